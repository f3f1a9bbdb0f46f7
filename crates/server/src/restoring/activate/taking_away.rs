//! What was taken away after the backup is taken away once more; what is gone already is
//! left. Each is an entry of its own, so that it goes on where it broke off.

use super::{CHANGES, InstallationRestore, Work};
use crate::restoring::error::RestoreError;
use crate::restoring::measures::Measures;
use crate::restoring::step::ActivationStep;
use procura_authority::end_namespace;
use procura_directory::{
    ApprovalRuleRecord, BaselineRecord, QuarantineRecord, ReleaseKeyRecord, ReleaseRecord,
};
use procura_record::RecordedBatch;
use procura_types::{Namespace, SecretPath, Timestamp};
use procura_vault::{SecretEnded, end_secret};
use std::sync::Arc;

/// What was ended of a secret, as the entry says it.
fn ended_words(namespace: &Namespace, path: &SecretPath, ended: SecretEnded) -> String {
    let word = if ended.destroyed {
        "destroyed"
    } else {
        "deleted"
    };
    match ended.version {
        None => format!("{word}:{namespace}/secret/{path}"),
        Some(version) => format!("{word}:{namespace}/secret/{path}@{version}"),
    }
}

/// Lets those who are on hold go on.
fn let_go(
    batch: &mut RecordedBatch<'_, InstallationRestore>,
    holds: &[Arc<QuarantineRecord>],
    now: Timestamp,
) {
    let seq = batch.directory().seq();
    for hold in holds {
        batch.put_quarantine(&QuarantineRecord {
            lifted: Some(seq),
            lifted_at: Some(now),
            ..QuarantineRecord::clone(hold)
        });
    }
}

impl Work {
    /// Takes away once more what was taken away after the backup; what is gone already is
    /// left.
    pub(super) async fn again(&self, measures: &Measures) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        let snapshot = self.snapshot();
        let agents = measures
            .agents
            .iter()
            .filter_map(|(namespace, label)| snapshot.agent_named(namespace, label));
        let operators = measures
            .operators
            .iter()
            .filter_map(|name| snapshot.owner_named(name));
        for actor in agents.chain(operators) {
            let what = format!("revoked:{}", actor.id);
            let of = snapshot.subtree(&actor.id);
            // What a steward put on hold goes on when they go.
            let holds: Vec<Arc<QuarantineRecord>> = snapshot
                .all_quarantines()
                .filter(|found| found.lifted.is_none() && found.by == Some(actor.id))
                .map(Arc::clone)
                .collect();
            self.change(|batch| {
                batch.details().with = Some(what.clone());
                let_go(batch, &holds, now);
                for id in &of {
                    let live = batch.directory().actor(id).cloned();
                    if let Some(live) = live.filter(|live| live.revoked.is_none()) {
                        let mut record = live.as_ref().clone();
                        record.revoked = Some(now);
                        batch.put_actor(&record);
                    }
                }
                Ok(())
            })
            .await?;
            self.reached(ActivationStep::OneTakenAway);
        }
        self.end_holds(measures).await?;
        for device in &measures.devices {
            let found = snapshot
                .device(device)
                .filter(|found| found.revoked.is_none());
            let Some(found) = found else { continue };
            let mut record = found.as_ref().clone();
            record.revoked = Some(now);
            self.one(format!("revoked:device/{device}"), |batch| {
                batch.put_device(&record)
            })
            .await?;
        }
        for passkey in &measures.passkeys {
            let found = snapshot
                .passkey(passkey)
                .filter(|found| found.removed.is_none());
            let Some(found) = found else { continue };
            let mut record = found.as_ref().clone();
            record.removed = Some(now);
            self.one(format!("removed:passkey/{passkey}"), |batch| {
                batch.put_passkey(&record)
            })
            .await?;
        }
        for grant in &measures.grants {
            let found = snapshot
                .grant(grant)
                .filter(|found| found.withdrawn.is_none());
            let Some(found) = found else { continue };
            let mut record = found.as_ref().clone();
            record.withdrawn = Some(now);
            self.one(format!("withdrawn:grant/{grant}"), |batch| {
                batch.put_grant(&record)
            })
            .await?;
        }
        self.vouches_no_more(measures).await?;
        self.takes_as_many(measures).await?;
        let ended = [(&measures.destroyed, true), (&measures.deleted, false)];
        for (secrets, destroyed) in ended {
            for (namespace, path, version) in secrets {
                let end = SecretEnded {
                    destroyed,
                    version: *version,
                };
                let changed = self
                    .change(|batch| {
                        let ended = end_secret(batch, namespace, path, end, now)?;
                        batch.details().with = Some(ended_words(namespace, path, ended));
                        Ok(())
                    })
                    .await;
                match changed {
                    Ok(()) => self.reached(ActivationStep::OneTakenAway),
                    // It is not in the backup, or ended in it already.
                    Err(RestoreError::Nothing) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Last, since what is in one that ended is looked at no more.
        for name in &measures.ended {
            if snapshot.namespace(name).is_none() {
                continue;
            }
            self.change(|batch| {
                batch.details().with = Some(format!("ended:namespace/{name}"));
                Ok(end_namespace(&self.sandbox.vault, batch, name, now)?)
            })
            .await?;
            self.reached(ActivationStep::OneTakenAway);
        }
        Ok(())
    }

    /// The most dangerous acts take as many stewards as was said last.
    async fn takes_as_many(&self, measures: &Measures) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        let snapshot = self.snapshot();
        for (act, (needs, by)) in &measures.approvals {
            let found = snapshot.approval_rule(*act);
            if found.is_some_and(|found| found.needs == *needs) {
                continue;
            }
            let record = ApprovalRuleRecord {
                act: *act,
                needs: *needs,
                since: now,
                by: *by,
            };
            self.one(format!("takes:approval_rule/{act}:{needs}"), |batch| {
                batch.put_approval_rule(&record)
            })
            .await?;
        }
        Ok(())
    }

    /// What a steward put on hold goes on as well when they were made one no more.
    async fn end_holds(&self, measures: &Measures) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        for part in measures.ended_holds(&self.snapshot()).chunks(CHANGES) {
            self.change(|batch| {
                batch.details().with = Some(format!("let_go:{}", part.len()));
                let_go(batch, part, now);
                Ok(())
            })
            .await?;
            self.reached(ActivationStep::OneTakenAway);
        }
        Ok(())
    }

    /// Takes one thing away, with an entry of these words.
    async fn one(
        &self,
        words: String,
        put: impl Fn(&mut RecordedBatch<'_, InstallationRestore>),
    ) -> Result<(), RestoreError> {
        self.change(|batch| {
            batch.details().with = Some(words.clone());
            put(batch);
            Ok(())
        })
        .await?;
        self.reached(ActivationStep::OneTakenAway);
        Ok(())
    }

    /// Takes away once more what vouched for daemons: programs, release keys, baselines.
    async fn vouches_no_more(&self, measures: &Measures) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        let snapshot = self.snapshot();
        for sha256 in &measures.releases {
            let found = snapshot.release(sha256);
            let Some(found) = found.filter(|found| found.withdrawn.is_none()) else {
                continue;
            };
            let record = ReleaseRecord {
                withdrawn: Some(now),
                ..found.as_ref().clone()
            };
            self.one(format!("withdrawn:release/{sha256}"), |batch| {
                batch.put_release(&record)
            })
            .await?;
        }
        for key in &measures.release_keys {
            let found = snapshot.release_key(key);
            let Some(found) = found.filter(|found| found.removed.is_none()) else {
                continue;
            };
            let record = ReleaseKeyRecord {
                removed: Some(now),
                ..found.as_ref().clone()
            };
            self.one(format!("removed:release_key/{key}"), |batch| {
                batch.put_release_key(&record)
            })
            .await?;
        }
        for device in &measures.baselines {
            let found = snapshot.baseline(device);
            let Some(found) = found.filter(|found| found.removed.is_none()) else {
                continue;
            };
            let record = BaselineRecord {
                removed: Some(now),
                ..found.as_ref().clone()
            };
            self.one(format!("removed:baseline/{device}"), |batch| {
                batch.put_baseline(&record)
            })
            .await?;
        }
        Ok(())
    }
}
