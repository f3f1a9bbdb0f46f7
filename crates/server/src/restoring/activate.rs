//! A restored home becomes the installation again (`protocol.md` §6). Either its record
//! is led on, by copies of the ledger, to the highest checkpoint that is known, and what
//! was taken away on that way is taken away again; or it goes on under another origin,
//! and whoever was let in before is held until an operator lets them go on.

mod taking_away;

use super::copies;
use super::done::Done;
use super::error::RestoreError;
use super::load::BackupFile;
use super::marker::{Marker, Seat};
use super::measures::{Held, Measures};
use super::plan::{Plan, seatable};
use super::sources::bring;
use super::step::ActivationStep;
use super::verify::{Means, Report, Sandbox, look_through, open};
use crate::admin::DATABASE;
use procura_crypto::PublicKey;
use procura_directory::{DeviceRecord, QuarantineRecord, Snapshot};
use procura_identity::account::forget_everybody;
use procura_identity::end_all_proposals;
use procura_identity::web_login::end_everybodys;
use procura_policy::{Action, Op, Resource, RoleDecider, authorize};
use procura_proof::Caller;
use procura_record::tables::LEDGER;
use procura_record::{ChangeError, Origin, RecordedBatch, Recorder, keep_for_ever};
use procura_store::{Batch, Seq};
use procura_types::wire::{Opening, Recovery};
use procura_types::{BatchId, GrantId, Thumbprint, TraceId};
use procura_vault::{Brought, Vault};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Entries that are appended in one commit, and their bytes.
const ENTRIES: usize = 256;
const BYTES: usize = 2 * 1024 * 1024;
/// What is changed in one commit.
const CHANGES: usize = 500;

/// How the record goes on.
#[derive(Debug, Clone)]
pub enum Way {
    /// Through these copies of the ledger, up to the highest checkpoint that is known; one
    /// device may go on though it would be held.
    Reach(Vec<PathBuf>, Going),
    /// Under another origin. The device goes on acting, nobody else before an operator
    /// says so.
    NewOrigin(Thumbprint),
}

/// Which device of a steward goes on, whoever is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// None.
    Nobody,
    /// That of whoever activates: if everybody is held, and no entry names it or whose it is.
    Own(Thumbprint),
    /// The one that was named.
    Named(Thumbprint),
}

/// What an administrator wants.
#[derive(Debug, Clone)]
pub struct Activation {
    /// How the record goes on.
    pub way: Way,
    /// Checkpoints that somebody remembers: where each comes from, and the signed note.
    pub checkpoints: Vec<(String, String)>,
    /// Somebody says that nothing was recorded after the backup, where no copy shows how
    /// far the record went.
    pub nothing_after: bool,
    /// A key that becomes a device of a steward of what was restored, and goes on.
    pub seat: Option<Seat>,
    /// Under another origin: those of the checkpoints that the keys of the backup do not
    /// open are set aside.
    pub set_aside: bool,
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
    /// The steward who has another device now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seated: Option<String>,
    /// Proposals that ended: what stewards said to them since is not in the backup.
    pub proposals_ended: u64,
    /// What was recorded of all this, entry by entry, by whichever run did it.
    pub recorded: Vec<String>,
}

/// Changes a restored home.
struct InstallationRestore;

impl Op for InstallationRestore {
    const ACTION: Action = Action::InstallationRestore;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// Activates a restored home. It is opened and looked through first. Where it breaks off,
/// it stays a restored one, and the same activation goes on from there when it is run
/// again; nothing is done or recorded twice.
///
/// # Errors
/// Why not: see [`RestoreError`].
pub async fn activate(
    means: &Means,
    opening: Opening,
    wish: Activation,
) -> Result<Activated, RestoreError> {
    let home = &means.config.home;
    let brought = bring(means, opening).await?;
    let mut sandbox = open(means, &brought)?;
    let report = look_through(&sandbox, means.clock.now())?;
    let plan = Plan::make(&sandbox, &wish)?;
    let marker = Marker {
        verified: true,
        begun: Some(plan.begun.clone()),
        ..sandbox.marker.clone()
    };
    marker.write(home)?;
    reached(means, ActivationStep::Planned);
    let seq = Seq::new(plan.begun.seq);
    let store = sandbox.vault.store();
    if store.head()?.seq < seq {
        let ahead = store.head_ahead(seq)?;
        close(sandbox);
        ahead.stand(&home.join(DATABASE), &marker.installation)?;
        sandbox = open(means, &brought)?;
    }
    reached(means, ActivationStep::SequenceAhead);
    let work = Work::begin(means, sandbox);
    let activated = work.run(report, plan, &brought).await?;
    Marker::remove(home)?;
    Ok(activated)
}

/// A step is durable. For tests the process ends there, as by `kill -9`.
fn reached(means: &Means, step: ActivationStep) {
    if means.config.danger_stop_activation_at == Some(step) {
        crate::opening::die();
    }
}

/// The file is let go with the last who holds it.
fn close(sandbox: Sandbox) {
    sandbox.vault.store().seal();
    drop(sandbox);
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

    fn reached(&self, step: ActivationStep) {
        reached(&self.means, step);
    }

    async fn run(
        self,
        restored: Report,
        plan: Plan,
        brought: &Brought,
    ) -> Result<Activated, RestoreError> {
        let vault = &self.sandbox.vault;
        let begun = &plan.begun;
        if !plan.under_way {
            for copy in &plan.copies {
                self.append(copy).await?;
            }
            let length = vault.store().log_len(LEDGER)?;
            if length != begun.reached {
                return Err(RestoreError::NotWhole(vec![format!(
                    "the copies lead to entry {length}, and not to {} as before",
                    begun.reached
                )]));
            }
            self.reached(ActivationStep::CopiesAppended);
            // The first entry: from where the record goes on, and under which origin.
            self.change(|batch| {
                batch.details().with = Some(begun.words.clone());
                // How long a steward has said since that entries are kept is not known.
                keep_for_ever(batch.rows());
                // Nor which passwords and codes are still their operators', and which web
                // logins were ended.
                forget_everybody(batch.rows());
                end_everybodys(batch.rows());
                Ok(())
            })
            .await?;
        }
        if Done::read(vault, begun.reached)?.first() != Some(begun.words.as_str()) {
            return Err(RestoreError::Home {
                path: self.sandbox.home.clone(),
                problem: "restored.json is not of the activation that was begun; restore the backup once more".to_owned(),
            });
        }
        self.reached(ActivationStep::Begun);
        self.end_proposals().await?;
        self.reached(ActivationStep::ProposalsEnded);
        self.again(&plan.measures).await?;
        self.reached(ActivationStep::TakenAway);
        if let Some(seat) = &begun.seat {
            self.seat(seat, &plan.measures).await?;
        }
        self.reached(ActivationStep::Seated);
        let held = plan.measures.held(&self.snapshot(), begun.device.as_ref());
        self.hold(&plan.measures, &held).await?;
        self.reached(ActivationStep::Held);
        if let Some(origin) = &begun.origin {
            self.end_grants().await?;
            self.reached(ActivationStep::GrantsEnded);
            self.rename(origin, brought).await?;
        }
        let installation = procura_vault::Installation::read(&self.sandbox.home)?;
        let done = Done::read(vault, begun.reached)?;
        self.recorder.drain_refusals().await;
        let activated = Activated {
            restored,
            origin: begun.origin.clone().unwrap_or_else(|| vault.origin()),
            ledger_vkey: installation.ledger_vkey,
            new_origin: begun.origin.is_some(),
            reached: begun.reached,
            again: done.again(&self.snapshot()),
            lost: plan.measures.lost,
            held: held.iter().map(|held| held.suspect.to_string()).collect(),
            because: plan.measures.because,
            grants_ended: done.grants_ended(),
            seated: done.seated(),
            proposals_ended: done.proposals_ended(),
            recorded: done.into_words(),
        };
        vault.store().seal();
        Ok(activated)
    }

    /// Gives the record its other origin and a key of its own, last of all: in the keyring,
    /// with the entry that says so, then in `installation.json`. Where it breaks off between
    /// the two, [`open`] puts the file right.
    async fn rename(&self, origin: &str, brought: &Brought) -> Result<(), RestoreError> {
        let vault = &self.sandbox.vault;
        if !self.sandbox.is_renamed() {
            let next = vault.next_origin(brought, origin)?;
            self.change(|batch| {
                batch.details().with = Some(format!("signs:{origin}"));
                Ok(next.put(vault, batch)?)
            })
            .await?;
            self.reached(ActivationStep::KeyChanged);
            next.establish(&self.sandbox.home)?;
        }
        self.reached(ActivationStep::FileReplaced);
        Ok(())
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
            self.reached(ActivationStep::PageAppended);
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

    /// Holds those who are not held yet, or not as strictly. Who touched a decoy or was put
    /// on hold before the backup stays held because of that, and not to be safe alone: it is
    /// not let go with the others. Who is on hold may still vote the one out who did it, and
    /// may no more once it touched a decoy.
    async fn hold(&self, measures: &Measures, held: &[Held]) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        let snapshot = self.snapshot();
        let free: Vec<&Held> = held
            .iter()
            .filter(|held| !measures.is_held_so(&snapshot, held))
            .collect();
        for part in free.chunks(CHANGES) {
            self.change(|batch| {
                batch.details().with = Some(format!("held:{}", part.len()));
                for held in part {
                    batch.put_quarantine(&QuarantineRecord {
                        suspect: held.suspect.clone(),
                        actor: held.actor,
                        since: now,
                        by: held.by,
                        canary: held.canary,
                        lifted: None,
                        lifted_at: None,
                    });
                }
                Ok(())
            })
            .await?;
            self.reached(ActivationStep::PageHeld);
        }
        Ok(())
    }

    /// Makes a key a device of a steward, unless it is one already. The entry binds it, as
    /// that of a join would.
    async fn seat(&self, seat: &Seat, measures: &Measures) -> Result<(), RestoreError> {
        let key = PublicKey::from_jwk(&seat.key).map_err(RestoreError::internal)?;
        if self.snapshot().device(&key.thumbprint()).is_some() {
            return Ok(());
        }
        let (key, actor) = seatable(&self.sandbox, measures, seat)?;
        let device = DeviceRecord {
            thumbprint: key.thumbprint(),
            actor,
            key,
            created: self.means.clock.now(),
            revoked: None,
        };
        // Every operator is told, at their next use.
        let vault = &self.sandbox.vault;
        let told = match vault.opened_by() {
            Some(by) => Some(Recovery {
                operator: Some(seat.steward.clone()),
                ..vault.recovery(&by.source, device.created)?
            }),
            None => None,
        };
        self.change(|batch| {
            if let Some(told) = &told {
                Vault::put_recovery(batch.rows(), told);
            }
            let details = batch.details();
            details.subject = Some((actor, device.thumbprint));
            details.with = Some(format!("seated:operator/{}", seat.steward));
            batch.put_device(&device);
            Ok(())
        })
        .await
    }

    /// Who said no to them since, or took a yes back, is not in the backup, nor which were
    /// carried out.
    async fn end_proposals(&self) -> Result<(), RestoreError> {
        let store = self.sandbox.vault.store();
        let id = BatchId::generate(self.means.clock.now(), self.means.entropy.as_ref())
            .map_err(RestoreError::internal)?;
        if end_all_proposals(&mut Batch::new(id), store)? == 0 {
            return Ok(());
        }
        self.change(|batch| {
            let ended = end_all_proposals(batch.rows(), store)?;
            batch.details().with = Some(format!("proposals_ended:{ended}"));
            Ok(())
        })
        .await
    }

    /// Nobody knows which of them were withdrawn since.
    async fn end_grants(&self) -> Result<(), RestoreError> {
        let now = self.means.clock.now();
        let snapshot = self.snapshot();
        let mut grants: Vec<GrantId> = snapshot
            .grants()
            .filter(|grant| grant.withdrawn.is_none() && now < grant.until)
            .map(|grant| grant.id)
            .collect();
        grants.sort_unstable();
        for part in grants.chunks(CHANGES) {
            self.change(|batch| {
                batch.details().with = Some(format!("grants_ended:{}", part.len()));
                batch.end_grants(part, now);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}
