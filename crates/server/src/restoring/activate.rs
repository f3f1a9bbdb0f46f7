//! A restored home becomes the installation again (`protocol.md` §6). Either its record
//! is led on, by copies of the ledger, to the highest checkpoint that is known, and what
//! was taken away on that way is taken away again; or it goes on under another origin,
//! and whoever was let in before is held until an operator lets them go on.

use super::copies::{self, Known, Record};
use super::error::RestoreError;
use super::load::BackupFile;
use super::marker::Marker;
use super::measures::{Held, Measures};
use super::verify::{Means, Report, Sandbox, brought, look_through, open};
use crate::admin::DATABASE;
use procura_directory::{QuarantineRecord, Snapshot};
use procura_ledger::Entry;
use procura_policy::{Action, Op, Resource, RoleDecider, authorize};
use procura_proof::Caller;
use procura_record::tables::LEDGER;
use procura_record::{ChangeError, Origin, RecordedBatch, Recorder};
use procura_store::{Batch, Seq};
use procura_types::wire::Opening;
use procura_types::{BatchId, GrantId, Thumbprint, TraceId};
use procura_vault::{Brought, NextOrigin, end_secret};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// So far ahead of everything that is known of it goes the sequence of a restored store
/// on, so that nobody who saw a later state than is known here takes it for an older.
const AHEAD: u64 = 1 << 32;
/// Entries that are appended in one commit, and their bytes.
const ENTRIES: usize = 256;
const BYTES: usize = 2 * 1024 * 1024;
/// What is changed in one commit.
const CHANGES: usize = 500;

/// How the record goes on.
#[derive(Debug, Clone)]
pub enum Way {
    /// Through these copies of the ledger, up to the highest checkpoint that is known.
    Reach(Vec<PathBuf>),
    /// Under another origin. The device goes on acting, nobody else before an operator
    /// says so.
    NewOrigin(Thumbprint),
}

/// What an administrator wants.
#[derive(Debug, Clone)]
pub struct Activation {
    /// How the record goes on.
    pub way: Way,
    /// Checkpoints that somebody remembers: where each comes from, and the signed note.
    pub checkpoints: Vec<(String, String)>,
}

/// What became of the home.
#[derive(Debug, Clone, Serialize)]
pub struct Activated {
    /// What was found in it before.
    pub restored: Report,
    /// What checkpoints are of from here on.
    pub origin: String,
    /// What they verify with.
    pub ledger_vkey: String,
    /// Whether that is another origin than before.
    pub new_origin: bool,
    /// Entries of the record up to which it is the one of before.
    pub reached: u64,
    /// What was taken away once more.
    pub again: Vec<String>,
    /// What was done after the backup, and is lost.
    pub lost: Vec<String>,
    /// Devices and ids of other systems that are held.
    pub held: Vec<String>,
    /// The entries because of which they are.
    pub because: Vec<String>,
    /// Grants that ended, since nobody knows whether they were withdrawn.
    pub grants_ended: u64,
}

/// Changes a restored home.
struct InstallationRestore;

impl Op for InstallationRestore {
    const ACTION: Action = Action::InstallationRestore;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// Activates a restored home. It is opened and looked through first; where it breaks off,
/// it stays a restored one, and is activated anew.
///
/// # Errors
/// Why not: see [`RestoreError`].
pub async fn activate(
    means: &Means,
    opening: Opening,
    wish: Activation,
) -> Result<Activated, RestoreError> {
    let brought = brought(opening)?;
    let sandbox = open(means, &brought)?;
    let report = look_through(&sandbox, means.clock.now())?;
    let plan = Plan::make(&sandbox, &wish)?;
    let marker = Marker {
        verified: true,
        activating: true,
        ..sandbox.marker.clone()
    };
    marker.write(&means.config.home)?;
    let ahead = sandbox.vault.store().head_ahead(plan.seq)?;
    close(sandbox);
    ahead.stand(&means.config.home.join(DATABASE), &marker.installation)?;

    let sandbox = open(means, &brought)?;
    let work = Work::begin(means, sandbox);
    let activated = work.run(report, plan, &wish, &brought).await?;
    Marker::remove(&means.config.home)?;
    Ok(activated)
}

/// The file is let go with the last who holds it.
fn close(sandbox: Sandbox) {
    sandbox.vault.store().seal();
    drop(sandbox);
}

/// What is to be done.
struct Plan {
    copies: Vec<BackupFile>,
    measures: Measures,
    /// Entries of the record of before.
    reached: u64,
    root: String,
    seq: Seq,
    /// The highest checkpoint that is known.
    highest: Option<Known>,
}

impl Plan {
    fn make(sandbox: &Sandbox, wish: &Activation) -> Result<Self, RestoreError> {
        let vault = &sandbox.vault;
        let store = vault.store();
        let mut known = Vec::new();
        for (from, note) in &wish.checkpoints {
            known.push(Known::open(vault, from, note)?);
        }
        let copies = match &wish.way {
            Way::Reach(places) => {
                let copies = copies::look(vault, places, store.log_len(LEDGER)?)?;
                // A folder without a copy in it says nothing of what came later.
                if copies.is_empty() && known.is_empty() {
                    return Err(RestoreError::NothingKnown);
                }
                copies
            }
            Way::NewOrigin(_) => Vec::new(),
        };
        for copy in &copies {
            if let Some(note) = &copy.head.checkpoint {
                known.push(Known::open(vault, &copy.path.display().to_string(), note)?);
            }
        }
        if let Some(note) = &sandbox.marker.checkpoint {
            known.push(Known::open(vault, "the backup", note)?);
        }
        let sizes: BTreeSet<u64> = known.iter().map(|known| known.checkpoint.size).collect();
        let mut record = Record::of(vault, &sizes)?;
        let mut measures = Measures::default();
        let mut seq = store.head()?.seq.get();
        let first = record.heads.size();
        for copy in &copies {
            copies::each_entry(vault, copy, |entry, bytes| {
                seq = seq.max(entry.version.get());
                if entry.index >= first && entry.index == record.heads.size() {
                    record.heads.push(bytes, &sizes);
                    let parsed = Entry::parse(bytes).map_err(RestoreError::internal)?;
                    measures.read(entry.index, &parsed);
                }
                Ok(())
            })?;
        }
        if let Way::Reach(_) = wish.way {
            for known in &known {
                record.heads.hold(known)?;
            }
        } else {
            measures.all = true;
        }
        for known in &known {
            seq = seq.max(known.checkpoint.seq.unwrap_or(0));
        }
        let highest = known.into_iter().max_by_key(|known| known.checkpoint.size);
        Ok(Self {
            copies,
            measures,
            reached: record.heads.size(),
            root: record.heads.root().to_string(),
            seq: Seq::new(seq.saturating_add(AHEAD)),
            highest,
        })
    }
}

/// A restored home, and the way to change it.
struct Work {
    means: Means,
    sandbox: Sandbox,
    recorder: Recorder,
}

impl Work {
    fn begin(means: &Means, sandbox: Sandbox) -> Self {
        let recorder = Recorder::new(
            sandbox.vault.store().clone(),
            Arc::clone(&sandbox.directory),
            Arc::new(RoleDecider),
            Arc::clone(&means.clock),
            Arc::clone(&means.entropy),
        );
        Self {
            means: means.clone(),
            sandbox,
            recorder,
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.sandbox.directory.snapshot()
    }

    async fn run(
        self,
        restored: Report,
        plan: Plan,
        wish: &Activation,
        brought: &Brought,
    ) -> Result<Activated, RestoreError> {
        for copy in &plan.copies {
            self.append(copy).await?;
        }
        let (free, next) = match &wish.way {
            Way::Reach(_) => (None, None),
            Way::NewOrigin(device) => {
                self.usable(device)?;
                (Some(device), Some(self.sandbox.vault.next_origin(brought)?))
            }
        };
        self.begins(&plan, next.as_ref()).await?;
        let again = self.again(&plan.measures).await?;
        let held = plan.measures.held(&self.snapshot(), free);
        self.hold(&held).await?;
        let grants_ended = match &next {
            Some(_) => self.end_grants().await?,
            None => 0,
        };
        let vault = &self.sandbox.vault;
        let (origin, ledger_vkey) = match &next {
            Some(next) => {
                // Last, and close together: what breaks off before is begun anew.
                self.change(|batch| {
                    batch.details().with = Some(format!("signs:{}", next.origin()));
                    Ok(next.put(vault, batch)?)
                })
                .await?;
                next.establish(&self.means.config.home)?;
                (next.origin().to_owned(), next.vkey().to_owned())
            }
            None => (vault.origin(), vault.installation().ledger_vkey),
        };
        self.recorder.drain_refusals().await;
        vault.store().seal();
        Ok(Activated {
            restored,
            origin,
            ledger_vkey,
            new_origin: next.is_some(),
            reached: plan.reached,
            again,
            lost: plan.measures.lost,
            held: held.iter().map(|held| held.suspect.to_string()).collect(),
            because: plan.measures.because,
            grants_ended,
        })
    }

    /// The one device that goes on has to be a steward's, or nobody could let go on anybody.
    fn usable(&self, device: &Thumbprint) -> Result<(), RestoreError> {
        let snapshot = self.snapshot();
        let steward = snapshot.device(device).is_some_and(|found| {
            let roles = snapshot.roles(&found.actor);
            snapshot.may_act(device)
                && roles.is_some_and(|held| held.has(procura_types::Role::Steward, None))
        });
        if steward {
            return Ok(());
        }
        Err(RestoreError::Refused(format!(
            "{device} is no device of a steward in what was restored; name one that is, with --device"
        )))
    }

    /// Appends the entries of a copy that the record does not have, as they were.
    async fn append(&self, copy: &BackupFile) -> Result<(), RestoreError> {
        let store = self.sandbox.vault.store();
        let mut next = store.log_len(LEDGER)?;
        let mut waiting: Vec<Vec<u8>> = Vec::new();
        let mut ready: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut bytes = 0usize;
        copies::each_entry(&self.sandbox.vault, copy, |entry, plain| {
            if entry.index == next {
                next = next.saturating_add(1);
                bytes = bytes.saturating_add(plain.len());
                waiting.push(plain.to_vec());
                if waiting.len() >= ENTRIES || bytes >= BYTES {
                    bytes = 0;
                    ready.push(std::mem::take(&mut waiting));
                }
            }
            Ok(())
        })?;
        ready.push(waiting);
        for part in ready.into_iter().filter(|part| !part.is_empty()) {
            let now = self.means.clock.now();
            let id = BatchId::generate(now, self.means.entropy.as_ref())
                .map_err(RestoreError::internal)?;
            let mut batch = Batch::new(id);
            for entry in part {
                batch.append(LEDGER, entry);
            }
            store.commit(batch).await?;
        }
        Ok(())
    }

    /// A change that is recorded.
    async fn change(
        &self,
        build: impl Fn(&mut RecordedBatch<'_, InstallationRestore>) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        let uid = rustix::process::getuid().as_raw();
        let caller = Caller::admin_socket(uid, uid, now).map_err(RestoreError::internal)?;
        let decider = self.recorder.decider();
        let permit = authorize(decider, &self.snapshot(), caller, InstallationRestore, now)
            .map_err(|(denied, _, _)| RestoreError::internal(denied))?;
        let trace =
            TraceId::generate(now, self.means.entropy.as_ref()).map_err(RestoreError::internal)?;
        self.recorder
            .change(permit, &Origin::new(trace), build)
            .await
            .map_err(|error| match error {
                ChangeError::Domain(error) => error,
                ChangeError::Record(error) => RestoreError::internal(error),
            })
    }

    /// The first entry: from where the record goes on, and under which origin.
    async fn begins(&self, plan: &Plan, next: Option<&NextOrigin>) -> Result<(), RestoreError> {
        let vault = &self.sandbox.vault;
        let mut words = format!(
            "backup:{} after:{}@{}:{}",
            self.sandbox.marker.seq,
            vault.origin(),
            plan.reached,
            plan.root
        );
        if let Some(known) = &plan.highest {
            let checkpoint = &known.checkpoint;
            words.push_str(&format!(
                " known:{}@{}:{}",
                checkpoint.origin, checkpoint.size, checkpoint.root
            ));
        }
        if let Some(next) = next {
            words.push_str(&format!(" origin:{}", next.origin()));
        }
        self.change(|batch| {
            batch.details().with = Some(words.clone());
            Ok(())
        })
        .await
    }

    /// Takes away once more what was taken away after the backup.
    async fn again(&self, measures: &Measures) -> Result<Vec<String>, RestoreError> {
        let now = self.means.clock.now();
        let mut done = Vec::new();
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
            self.change(|batch| {
                batch.details().with = Some(what.clone());
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
            done.push(format!("{} is revoked", snapshot.lineage(&actor.id)));
        }
        for device in &measures.devices {
            let found = snapshot
                .device(device)
                .filter(|found| found.revoked.is_none());
            let Some(found) = found else { continue };
            let mut record = found.as_ref().clone();
            record.revoked = Some(now);
            self.change(|batch| {
                batch.details().with = Some(format!("revoked:device/{device}"));
                batch.put_device(&record);
                Ok(())
            })
            .await?;
            done.push(format!("device {device} is revoked"));
        }
        for grant in &measures.grants {
            let found = snapshot
                .grant(grant)
                .filter(|found| found.withdrawn.is_none());
            let Some(found) = found else { continue };
            let mut record = found.as_ref().clone();
            record.withdrawn = Some(now);
            self.change(|batch| {
                batch.details().with = Some(format!("withdrawn:grant/{grant}"));
                batch.put_grant(&record);
                Ok(())
            })
            .await?;
            done.push(format!("grant {grant} is withdrawn"));
        }
        let ended = [(&measures.destroyed, true), (&measures.deleted, false)];
        for (secrets, destroyed) in ended {
            let word = if destroyed { "destroyed" } else { "deleted" };
            for (namespace, path) in secrets {
                let changed = self
                    .change(|batch| {
                        batch.details().with = Some(format!("{word}:{namespace}/secret/{path}"));
                        Ok(end_secret(batch, namespace, path, destroyed, now)?)
                    })
                    .await;
                match changed {
                    Ok(()) => done.push(format!("secret {path} in {namespace} is {word}")),
                    // It is not in the backup, or ended in it already.
                    Err(RestoreError::Nothing) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(done)
    }

    async fn hold(&self, held: &[Held]) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        for part in held.chunks(CHANGES) {
            self.change(|batch| {
                batch.details().with = Some(format!("held:{}", part.len()));
                for held in part {
                    batch.put_quarantine(&QuarantineRecord {
                        suspect: held.suspect.clone(),
                        actor: held.actor,
                        since: now,
                        canary: None,
                        lifted: None,
                        lifted_at: None,
                    });
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Nobody knows which of them were withdrawn since.
    async fn end_grants(&self) -> Result<u64, RestoreError> {
        let now = self.means.clock.now();
        let snapshot = self.snapshot();
        let grants: Vec<GrantId> = snapshot
            .grants()
            .filter(|grant| grant.withdrawn.is_none() && now < grant.until)
            .map(|grant| grant.id)
            .collect();
        for part in grants.chunks(CHANGES) {
            self.change(|batch| {
                batch.details().with = Some(format!("grants_ended:{}", part.len()));
                batch.end_grants(part, now);
                Ok(())
            })
            .await?;
        }
        Ok(u64::try_from(grants.len()).unwrap_or(u64::MAX))
    }
}
