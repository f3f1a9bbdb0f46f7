//! What was asked for and not found, or is about to be touched, until it is known whether
//! it was a decoy. It is durable before it is answered, decoy or not, so that a touch is
//! not lost with the process, and takes as long for one as for the other.

use procura_directory::Suspect;
use procura_record::RecordError;
use procura_store::{Batch, KeyPrefix, Kind, Store, StoreError, Table};
use procura_types::{
    ActorId, BatchId, CanaryId, Delivery, Duration, Entropy, Namespace, ProjectName, SecretPath,
    Timestamp, TraceId,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Id → what was asked for.
const MISSED: Table<String, MissedRow> = Table::new("honey-missed", Kind::Ordinary);

/// Rows read at once.
const PAGE: usize = 1000;
/// Most rows that are taken away in one commit.
const MAX_FORGOTTEN: usize = 1000;
/// From what age on a row is looked at by whoever opens the vault, although it may be of
/// another server: one that goes on looks at its own within a moment.
const ABANDONED: Duration = Duration::from_secs(60);

/// The name of what is kept of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedKey(String);

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissedAsk {
    /// The secret at a path.
    Path(Namespace, SecretPath),
    /// This decoy, whether it is still where it was or not.
    Decoy(CanaryId),
    /// What names of a project lead to.
    Names {
        /// Where.
        namespace: Namespace,
        /// Of which project.
        project: ProjectName,
        /// Names as sent.
        names: Vec<String>,
        /// How the values would be delivered.
        delivery: Delivery,
        /// Whether it was refused.
        refused: bool,
    },
}

/// A request that may have touched a decoy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MissedRow {
    /// What proved itself.
    pub suspect: Suspect,
    /// Whose it is.
    pub actor: ActorId,
    /// How it was proven.
    pub profile: String,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<[u8; 16]>,
    /// What it was: an action.
    pub how: String,
    /// What for.
    pub asked: MissedAsk,
    /// When.
    pub time: Timestamp,
    /// The sequence of the directory then. Rows from before this was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The request.
    pub trace: TraceId,
}

/// Keeps what a request asked for; on return it is durable.
///
/// # Errors
/// What kept it from being stored. Then nobody may be answered.
pub async fn keep_missed(
    store: &Store,
    rows: &[MissedRow],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Vec<MissedKey>, RecordError> {
    let id = BatchId::generate(now, entropy)?;
    let mut batch = Batch::new(id);
    let mut keys = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        let key = format!("{id}/{number}");
        MISSED.put(&mut batch, &key, row);
        keys.push(MissedKey(key));
    }
    store.commit(batch).await?;
    Ok(keys)
}

/// What was kept.
#[derive(Debug)]
pub struct KeptMissed {
    /// What can be read of it, in the order of its names.
    pub rows: Vec<(MissedKey, MissedRow)>,
    /// What is wrong with the row behind those; what follows it is not read.
    pub damaged: Option<StoreError>,
}

/// What was kept and never looked at: of this server from before it was opened, since
/// nobody else is served by a database of its own; where several share one, what is so
/// old that its server is gone.
///
/// # Errors
/// The store's.
pub fn kept_missed(store: &Store, now: Timestamp) -> Result<KeptMissed, StoreError> {
    let is_shared = store.is_shared();
    let snapshot = store.snapshot()?;
    let mut found = KeptMissed {
        rows: Vec::new(),
        damaged: None,
    };
    let mut after: Option<String> = None;
    let mut page = PAGE;
    loop {
        let rows = match MISSED.scan(&snapshot, &KeyPrefix::all(), after.as_ref(), page) {
            Ok(rows) => rows,
            // One by one, up to the one that is damaged.
            Err(StoreError::Corrupt { .. } | StoreError::Shape { .. }) if page > 1 => {
                page = 1;
                continue;
            }
            Err(error @ (StoreError::Corrupt { .. } | StoreError::Shape { .. })) => {
                found.damaged = Some(error);
                return Ok(found);
            }
            Err(error) => return Err(error),
        };
        let whole = rows.len() < page;
        after = rows.last().map(|(key, _)| key.clone()).or(after);
        for (key, row) in rows {
            if !is_shared || row.value.time.plus(ABANDONED) <= now {
                found.rows.push((MissedKey(key), row.value));
            }
        }
        if whole {
            return Ok(found);
        }
    }
}

/// Takes away in a batch what is recorded by it.
pub(crate) fn forget<'a>(batch: &mut Batch, kept: impl IntoIterator<Item = &'a MissedKey>) {
    for key in kept {
        MISSED.delete(batch, &key.0);
    }
}

/// Takes away what touched nothing.
///
/// # Errors
/// What kept it from being stored; it is looked at once more then.
pub async fn forget_missed(
    store: &Store,
    kept: &[MissedKey],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), RecordError> {
    for some in kept.chunks(MAX_FORGOTTEN) {
        let mut batch = Batch::new(BatchId::generate(now, entropy)?);
        forget(&mut batch, some);
        store.commit(batch).await?;
    }
    Ok(())
}
