//! What follows a touch of a decoy: quarantine, the alarm, and its count. It is the
//! server's own work ([ADR 10](../../../docs/adr/0010-own-work.md)): it takes away and
//! gives nobody anything.

use crate::honey_missed::{MissedKey, forget};
use procura_directory::{QuarantineRecord, Snapshot, Suspect};
use procura_ledger::{Entry, SUMMARY, SessionMark, Summary};
use procura_policy::Resource;
use procura_record::tables::{DIRECTORY_GUARD, GUARD, LEDGER, QUARANTINES};
use procura_record::{Directory, RecordError};
use procura_store::{Batch, CommitError, Expected, Kind, Seq, Store, Table};
use procura_types::wire::HoneyTouch;
use procura_types::{
    ActorId, BatchId, CanaryId, Clock, Entropy, EntryId, ForeignId, Namespace, ProjectName,
    Thumbprint, Timestamp, TraceId,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// The entry's action.
pub const ACTION: &str = "honey.touch";

/// Most touches of one batch.
pub const MAX_TOUCHES: usize = 64;

/// (canary, suspect) → what it did.
pub(crate) const TOUCHES: Table<(String, String), TouchRow> =
    Table::new("honey-touch", Kind::Ordinary);

/// Touches of one decoy by one suspect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TouchRow {
    suspect: Suspect,
    actor: ActorId,
    /// What the first touch asked for.
    how: String,
    first: Timestamp,
    last: Timestamp,
    count: u64,
    /// The entry of the newest alarm.
    alarm: Option<EntryId>,
}

impl TouchRow {
    /// As it is shown to those who may know of decoys.
    pub(crate) fn shown(self, directory: &Snapshot) -> HoneyTouch {
        HoneyTouch {
            device: self.suspect.device(),
            agent_id: self.suspect.foreign().cloned(),
            actor: self.actor,
            name: directory.lineage(&self.actor),
            how: self.how,
            first: self.first,
            last: self.last,
            count: self.count,
            quarantined: directory.is_held(&self.suspect),
        }
    }
}

/// Touches of one decoy by one suspect that the record does not say yet.
#[derive(Debug, Clone)]
pub struct Touch {
    /// What proved itself.
    pub suspect: Suspect,
    /// What it touched.
    pub canary: CanaryId,
    /// Whose it is.
    pub actor: ActorId,
    /// The owner at the root of the actor's tree.
    pub owner: ActorId,
    /// What the first of them asked for: an action.
    pub how: &'static str,
    /// How the first of them was proven.
    pub profile: &'static str,
    /// The session of the first of them.
    pub session: Option<[u8; 16]>,
    /// Where the first of them came from.
    pub ip: Option<IpAddr>,
    /// The first request.
    pub trace: TraceId,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// How many, at least 1.
    pub count: u64,
    /// The sequence of the directory at which the last was asked. When a person has let it
    /// out since, these are counted, and it is not put there again.
    pub seq: u64,
    /// Whether it was in quarantine already when it touched: then these are counted, and
    /// it is not put there again, should it have been let out meanwhile.
    pub told: bool,
    /// What was kept of them until they are recorded.
    pub kept: Vec<MissedKey>,
}

impl Touch {
    /// The device that an entry names.
    const fn device(&self) -> Option<Thumbprint> {
        self.suspect.device()
    }

    /// The decoy, and who it was in the words of another system.
    fn resource(&self) -> String {
        let canary = Resource::Canary(self.canary);
        let id: Option<&ForeignId> = self.suspect.foreign();
        id.map_or_else(|| canary.to_string(), |id| format!("{canary} foreign/{id}"))
    }
}

/// Puts what touched a decoy into quarantine, with an alarm for each decoy, in one
/// commit; of one that is in quarantine for the same decoy already the count alone goes
/// up, whichever server noticed which: the alarm and the count are rows that all of them
/// share. At most [`MAX_TOUCHES`] at once. False when the directory was changed
/// meanwhile, or another server counted the same: then nothing was done, and it is to be
/// done again.
///
/// # Errors
/// What kept it from being recorded; nothing was done then.
pub async fn commit_touches(
    store: &Store,
    directory: &Directory,
    touches: &[Touch],
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<bool, RecordError> {
    let snapshot = directory.snapshot();
    let now = clock.now();
    // A full disk must not keep anything out of quarantine.
    let mut batch = Batch::new(BatchId::generate(now, entropy)?).reserved();
    let expected = match snapshot.seq() {
        0 => Expected::Absent,
        seq => Expected::At(Seq::new(seq)),
    };
    let guard = GUARD.to_owned();
    DIRECTORY_GUARD.expect(&mut batch, &guard, expected);
    store.fence(&mut batch);
    let mut held = Vec::new();
    for touch in touches.iter().take(MAX_TOUCHES) {
        let let_out = snapshot.was_let_out_since(&touch.suspect, touch.seq);
        let known = touch.told || let_out || snapshot.is_held(&touch.suspect);
        put(&mut batch, store, known, touch, now, entropy)?;
        forget(&mut batch, &touch.kept);
        if !known && !held.contains(&&touch.suspect) {
            held.push(&touch.suspect);
            let record = QuarantineRecord {
                suspect: touch.suspect.clone(),
                actor: touch.actor,
                since: touch.first,
                by: None,
                canary: Some(touch.canary),
                lifted: None,
                lifted_at: None,
            };
            QUARANTINES.put(&mut batch, &touch.suspect.to_string(), &record);
        }
    }
    if !held.is_empty() {
        DIRECTORY_GUARD.put(&mut batch, &guard, &());
    }
    match store.commit(batch).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A request of which it cannot be told whether it asked for a decoy, since a row that
/// says what it leads to is damaged.
#[derive(Debug, Clone)]
pub struct Untold {
    /// What proved itself.
    pub suspect: Suspect,
    /// Whose it is.
    pub actor: ActorId,
    /// The owner at the root of the actor's tree.
    pub owner: ActorId,
    /// How it was proven.
    pub profile: &'static str,
    /// Its session.
    pub session: Option<[u8; 16]>,
    /// Where it came from.
    pub ip: Option<IpAddr>,
    /// The request.
    pub trace: TraceId,
    /// Where it asked.
    pub namespace: Namespace,
    /// Of which project.
    pub project: ProjectName,
}

/// Why it is told of a request that nobody can tell about; nobody is put into quarantine.
pub const DAMAGED: &str = "damaged";

/// Tells people of such requests: an alarm for each. Nobody is put into quarantine.
///
/// # Errors
/// What kept it from being recorded.
pub async fn commit_untold(
    store: &Store,
    untold: &[Untold],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), RecordError> {
    for some in untold.chunks(MAX_TOUCHES) {
        let mut batch = Batch::new(BatchId::generate(now, entropy)?).reserved();
        for one in some {
            let project = Resource::Project(one.namespace.clone(), one.project.clone());
            let resource = match one.suspect.foreign() {
                None => project.to_string(),
                Some(id) => format!("{project} foreign/{id}"),
            };
            let entry = Entry {
                reason: Some(Cow::Borrowed(DAMAGED)),
                actor: Some(one.actor),
                owner: Some(one.owner),
                device: one.suspect.device(),
                session: one.session.map(SessionMark::from_bytes),
                resource: Some(resource),
                profile: Cow::Borrowed(one.profile),
                ip: one.ip,
                ..Entry::new(now, entropy, ACTION, one.trace)?
            };
            batch.append(LEDGER, entry.to_bytes()?);
        }
        store.commit(batch).await?;
    }
    Ok(())
}

/// Tells people that of what was kept some cannot be read, so that nobody can tell whether
/// it touched a decoy: one alarm.
///
/// # Errors
/// What kept it from being recorded.
pub async fn commit_unread(
    store: &Store,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), RecordError> {
    let mut batch = Batch::new(BatchId::generate(now, entropy)?).reserved();
    let trace = TraceId::generate(now, entropy)?;
    let entry = Entry {
        reason: Some(Cow::Borrowed(DAMAGED)),
        resource: Some(Resource::Installation.to_string()),
        ..Entry::new(now, entropy, ACTION, trace)?
    };
    batch.append(LEDGER, entry.to_bytes()?);
    store.commit(batch).await?;
    Ok(())
}

/// Puts the row and the entry of one.
fn put(
    batch: &mut Batch,
    store: &Store,
    known: bool,
    touch: &Touch,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), RecordError> {
    let key = (touch.canary.to_string(), touch.suspect.to_string());
    let before = TOUCHES.get(store, &key)?;
    // Another server may count touches of the same: each of them reads what the other did.
    let expected = before
        .as_ref()
        .map_or(Expected::Absent, |row| Expected::At(row.version));
    TOUCHES.expect(batch, &key, expected);
    // One that is out of quarantine again and comes back is another alarm.
    let repeated = known && before.is_some();
    let mut entry = |reason: &'static str, summary: Option<Summary>| {
        let entry = Entry {
            reason: Some(Cow::Borrowed(reason)),
            actor: Some(touch.actor),
            owner: Some(touch.owner),
            device: touch.device(),
            session: touch.session.map(SessionMark::from_bytes),
            resource: Some(touch.resource()),
            profile: Cow::Borrowed(touch.profile),
            ip: touch.ip,
            summary,
            ..Entry::new(now, entropy, ACTION, touch.trace)?
        };
        batch.append(LEDGER, entry.to_bytes()?);
        Ok::<EntryId, RecordError>(entry.id)
    };
    // The alarm is one entry, whatever follows; all touches behind it are a count.
    let alarm = if repeated {
        None
    } else {
        Some(entry(touch.how, None)?)
    };
    let counted = touch.count.saturating_sub(u64::from(alarm.is_some()));
    if counted > 0 {
        let summary = Summary {
            count: counted,
            from: touch.first,
            until: touch.last,
        };
        entry(SUMMARY, Some(summary))?;
    }
    let row = match before {
        Some(row) => TouchRow {
            last: touch.last,
            count: row.value.count.saturating_add(touch.count),
            alarm: alarm.or(row.value.alarm),
            ..row.value
        },
        None => TouchRow {
            suspect: touch.suspect.clone(),
            actor: touch.actor,
            how: touch.how.to_owned(),
            first: touch.first,
            last: touch.last,
            count: touch.count,
            alarm,
        },
    };
    TOUCHES.put(batch, &key, &row);
    Ok(())
}
