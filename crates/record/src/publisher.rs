//! Behind the write path: tiles, and a signed checkpoint every 200 ms when there
//! is something new.
//!
//! A (size, root) is signed only after it was stored by compare-and-set, so that
//! no two checkpoints of one size can differ, whatever crashes when. Where several
//! servers write to one store, that row is written, and anything is signed, under a
//! lease by one of them; the others publish what it signed, once their own copy of the
//! record hashes to it.

use crate::directory::Following;
use crate::handover::LedgerKeys;
use crate::lease::Lease;
use crate::others::Others;
use crate::pending::{Fresh, Pending};
use crate::publishing::{Shown, Worker};
use crate::recorder::RecordError;
use crate::running::Running;
use crate::tables::{
    ACTORS, API_KEYS, APPROVAL_RULES, ATTESTATIONS, BASELINES, BREAK_GLASS, DEVICES, FOREIGN,
    GRANTS, GRANTS_ENDED, HONEY, LEDGER, NAMESPACES, PASSKEYS, POLICIES, QUARANTINES, RELEASE_KEYS,
    RELEASES, ROLES, TOKENS, TOKENS_ENDED,
};
use crate::tiles::{Tiles, TilesError};
use arc_swap::ArcSwapOption;
use procura_crypto::sha256;
use procura_ledger::{LedgerError, Vkey};
use procura_store::{CommitError, Head, SetDigest, Store, StoreError};
use procura_types::{Clock, Duration, Entropy, FieldTuple, Timestamp};
use std::sync::{Arc, PoisonError, Weak};
use tokio::sync::watch;

/// How long entries wait for their checkpoint.
pub(crate) const EVERY: Duration = Duration::from_millis(200);

/// The record cannot be published, or is not the one that was signed before.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// A checkpoint that was signed names more than the store holds, or other
    /// content: the store was rolled back or shortened.
    #[error("the store does not hold what checkpoint {size} signed: {what}")]
    RolledBack {
        /// The size that the checkpoint names.
        size: u64,
        /// What differs.
        what: &'static str,
    },
    /// Another server signs by now.
    #[error("another server publishes the record now")]
    LeaseLost,
    /// A thread that worked with files died.
    #[error("publishing broke off; it is tried again")]
    Broken,
    /// Files.
    #[error(transparent)]
    Tiles(#[from] TilesError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Formats and signatures.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Storing before signing.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl PublisherError {
    /// Whether there is no room, for the row or for a file.
    fn is_full(&self) -> bool {
        match self {
            Self::Tiles(error) => error.is_full(),
            Self::Record(RecordError::Commit(error)) => *error == CommitError::Full,
            _ => false,
        }
    }
}

/// A signed checkpoint.
#[derive(Debug, Clone)]
pub struct Published {
    /// Entries in the tree.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub time: Timestamp,
}

/// What the publisher needs to work.
pub struct PublisherParts {
    /// The store that holds the log.
    pub store: Store,
    /// Where the files go.
    pub tiles: Tiles,
    /// Sign; their name is the log's origin.
    pub keys: Arc<LedgerKeys>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Publishes for as long as it lives: once dropped it ends, with or without
/// [`Self::stop`], and with it its hold on the signing key.
pub struct Publisher {
    tiles: Tiles,
    keys: Arc<LedgerKeys>,
    shown: Shown,
    changed: watch::Receiver<u64>,
    running: Running,
}

impl Publisher {
    /// Checks what was published before against the store, brings the files up to
    /// date, and goes on from there. Fails when the store is older than a
    /// checkpoint that this home signed. Where there is no room for a checkpoint it
    /// starts without one and tries again: what makes room must be able to run.
    pub async fn start(parts: PublisherParts) -> Result<Self, PublisherError> {
        let pending = Arc::new(Pending::default());
        let follower = Following(Arc::downgrade(&pending));
        parts.store.observe(Arc::new(follower));
        Self::begin(parts, pending, None).await
    }

    /// As [`Self::start`], on a store that other servers write to as well: signs while
    /// the lease is held, and publishes what another signed while it is not.
    pub async fn start_beside(
        parts: PublisherParts,
        others: &Others,
        lease: Arc<Lease>,
    ) -> Result<Self, PublisherError> {
        let pending = Arc::new(Pending::default());
        let follower: Weak<Pending> = Arc::downgrade(&pending);
        others.tell(follower);
        Self::begin(parts, pending, Some(lease)).await
    }

    async fn begin(
        parts: PublisherParts,
        pending: Arc<Pending>,
        lease: Option<Arc<Lease>>,
    ) -> Result<Self, PublisherError> {
        let keys = Arc::clone(&parts.keys);
        let tiles = parts.tiles.clone();
        let resumed = tokio::task::spawn_blocking(move || Worker::resume(parts, lease));
        let mut worker = resumed.await.map_err(|_| PublisherError::Broken)??;
        pending.reach(worker.parts.store.log_len(LEDGER)?);
        let shown = Shown {
            latest: Arc::new(ArcSwapOption::empty()),
            problem: Arc::default(),
        };
        let (changes, changed) = watch::channel(0);
        let first = match worker.lease.clone() {
            Some(lease) => worker.beside(&lease, &pending).await,
            None => worker
                .publish(pending.length(), Fresh::default())
                .await
                .map(Some),
        };
        match first {
            Ok(Some(first)) => {
                changes.send_replace(first.size);
                shown.latest.store(Some(Arc::new(first)));
            }
            Ok(None) => {}
            Err(error) if error.is_full() => {
                tracing::error!(%error, "there is no room for a checkpoint");
                shown.say(Some(error.to_string()));
            }
            Err(error) => return Err(error),
        }
        let visible = shown.clone();
        let running = Running::start(|stopping| worker.run(pending, visible, changes, stopping));
        Ok(Self {
            tiles,
            keys,
            shown,
            changed,
            running,
        })
    }

    /// The newest signed checkpoint.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Published>> {
        self.shown.latest.load_full()
    }

    /// Waits until a checkpoint covers `size` entries; `None` when publishing
    /// has stopped.
    pub async fn covering(&self, size: u64) -> Option<Arc<Published>> {
        let mut changed = self.changed.clone();
        changed
            .wait_for(|published| *published >= size)
            .await
            .ok()?;
        self.latest()
    }

    /// Checkpoints verify with this, until the key turns.
    #[must_use]
    pub fn vkey(&self) -> Vkey {
        self.keys.current().vkey().clone()
    }

    /// The files.
    #[must_use]
    pub const fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// Why nothing is being published, if so.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.shown
            .problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Publishes what is left and stops.
    pub async fn stop(&self) {
        self.running.stop().await;
    }
}

/// The set digests of the directory's tables as one value.
pub(crate) fn directory_digest(head: &Head) -> [u8; 32] {
    let tables = [
        ACTORS.name(),
        DEVICES.name(),
        ROLES.name(),
        NAMESPACES.name(),
        GRANTS.name(),
    ];
    // Younger than the first checkpoints of some installations: as long as it is
    // empty, the value is the one from before there was such a table. It is left out again
    // when the last of its rows went, and is empty then.
    let younger = [
        FOREIGN.name(),
        TOKENS.name(),
        TOKENS_ENDED.name(),
        GRANTS_ENDED.name(),
        HONEY.name(),
        QUARANTINES.name(),
        POLICIES.name(),
        PASSKEYS.name(),
        ATTESTATIONS.name(),
        RELEASE_KEYS.name(),
        RELEASES.name(),
        BASELINES.name(),
        API_KEYS.name(),
        BREAK_GLASS.name(),
        APPROVAL_RULES.name(),
    ];
    let younger = younger.into_iter();
    let younger = younger.filter(|table| head.table(table) != SetDigest::default());
    let tuple = tables.into_iter().chain(younger).fold(
        FieldTuple::new("procura.directory.set.v1"),
        |tuple, table| tuple.text(table).bytes(&head.table(table).to_bytes()),
    );
    sha256(tuple.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What checkpoints of before said, when there were five tables.
    #[test]
    fn a_table_that_was_never_used_changes_no_digest() {
        let five = ["actor", "device", "role", "namespace", "grant"];
        let before = five.iter().fold(
            FieldTuple::new("procura.directory.set.v1"),
            |tuple, table| tuple.text(table).bytes(&[0; 32]),
        );
        let digest = directory_digest(&Head::default());
        assert_eq!(digest, sha256(before.as_bytes()));
    }
}
