//! Behind the write path: tiles, and a signed checkpoint every 200 ms when there
//! is something new.
//!
//! A (size, root) is signed only after it was stored by compare-and-set, so that
//! no two checkpoints of one size can differ, whatever crashes when.

use crate::directory::Following;
use crate::pending::{Fresh, Pending};
use crate::recorder::RecordError;
use crate::resume::{self, push_log};
use crate::running::{Running, Stopping};
use crate::tables::{
    ACTORS, DEVICES, FOREIGN, GRANTS, LEDGER, NAMESPACES, PUBLISHED, PUBLISHED_KEY, PublishedRow,
    ROLES,
};
use crate::tiles::{Tiles, TilesError};
use arc_swap::ArcSwapOption;
use procura_crypto::sha256;
use procura_ledger::{Checkpoint, Frontier, LedgerError, NoteSigner, TileWriter, Vkey};
use procura_store::{Batch, CommitError, Expected, Head, Row, SetDigest, Store, StoreError};
use procura_types::{BatchId, Clock, Duration, Entropy, FieldTuple, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// How long entries wait for their checkpoint.
const EVERY: Duration = Duration::from_millis(200);

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
    /// Signs; its name is the log's origin.
    pub signer: NoteSigner,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What the worker lets others see.
#[derive(Clone)]
struct Shown {
    latest: Arc<ArcSwapOption<Published>>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Shown {
    fn say(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Publishes for as long as it lives: once dropped it ends, with or without
/// [`Self::stop`], and with it its hold on the signing key.
pub struct Publisher {
    tiles: Tiles,
    vkey: Vkey,
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
        let vkey = parts.signer.vkey().clone();
        let tiles = parts.tiles.clone();
        let pending = Arc::new(Pending::default());
        parts
            .store
            .observe(Arc::new(Following(Arc::downgrade(&pending))));
        let mut worker = tokio::task::spawn_blocking(move || Worker::resume(parts))
            .await
            .map_err(|_| PublisherError::Broken)??;
        pending.reach(worker.parts.store.log_len(LEDGER)?);
        let shown = Shown {
            latest: Arc::new(ArcSwapOption::empty()),
            problem: Arc::default(),
        };
        let (changes, changed) = watch::channel(0);
        match worker.publish(pending.length(), Fresh::default()).await {
            Ok(first) => {
                changes.send_replace(first.size);
                shown.latest.store(Some(Arc::new(first)));
            }
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
            vkey,
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

    /// Checkpoints verify with this.
    #[must_use]
    pub const fn vkey(&self) -> &Vkey {
        &self.vkey
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

struct Worker {
    parts: PublisherParts,
    /// None after a failure, until another is made.
    writer: Option<TileWriter>,
    row: Option<Row<PublishedRow>>,
    /// Entries of the newest signed checkpoint.
    signed: u64,
}

impl Worker {
    fn resume(parts: PublisherParts) -> Result<Self, PublisherError> {
        let (writer, row) = resume::resume(&parts)?;
        Ok(Self {
            parts,
            writer: Some(writer),
            row,
            signed: 0,
        })
    }

    async fn run(
        mut self,
        pending: Arc<Pending>,
        shown: Shown,
        changes: watch::Sender<u64>,
        mut stop: Stopping,
    ) {
        let mut stopping = false;
        loop {
            let length = pending.length();
            let outcome = if length > self.signed {
                self.publish(length, pending.take()).await.map(Some)
            } else {
                // Nothing came since: the partial files are not out of date at once.
                self.write_partial().await.map(|()| None)
            };
            let failed = outcome.is_err();
            shown.say(outcome.as_ref().err().map(ToString::to_string));
            match outcome {
                Ok(None) if stopping => return,
                Ok(None) => {}
                Ok(Some(published)) => {
                    let size = published.size;
                    shown.latest.store(Some(Arc::new(published)));
                    changes.send_replace(size);
                    if stopping {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "no checkpoint could be published");
                    if stopping {
                        return;
                    }
                    self.writer = None;
                }
            }
            let idle = !failed && self.is_flushed();
            let more = async {
                tokio::time::sleep(EVERY).await;
                // What could not be published is tried again without a new entry.
                if idle {
                    pending.more().await;
                }
            };
            tokio::select! {
                () = more => {}
                () = stop.told() => stopping = true,
            }
        }
    }

    /// Works with files, on a thread that may wait for them. After a failure the
    /// writer is gone, and the next work begins with another, at the last stored
    /// size: files that could not be written are made again.
    async fn with_files<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut TileWriter, &Store, &Tiles) -> Result<T, PublisherError> + Send + 'static,
    ) -> Result<T, PublisherError> {
        let (store, tiles) = (self.parts.store.clone(), self.parts.tiles.clone());
        let row = self.row.as_ref().map(|row| row.value.clone());
        let known = self.writer.take();
        let (writer, outcome) = tokio::task::spawn_blocking(move || {
            let mut writer = match known {
                Some(writer) => writer,
                None => resume::writer(&store, &tiles, row.as_ref())?,
            };
            let outcome = work(&mut writer, &store, &tiles)?;
            Ok::<_, PublisherError>((writer, outcome))
        })
        .await
        .map_err(|_| PublisherError::Broken)??;
        self.writer = Some(writer);
        Ok(outcome)
    }

    fn is_flushed(&self) -> bool {
        self.writer.as_ref().is_some_and(TileWriter::is_flushed)
    }

    /// Writes the partial files and removes those before them.
    async fn write_partial(&mut self) -> Result<(), PublisherError> {
        if self.is_flushed() {
            return Ok(());
        }
        self.with_files(|writer, _, tiles| {
            let flush = writer.flush();
            for file in &flush.files {
                tiles.write(file)?;
            }
            for path in &flush.obsolete {
                tiles.remove(path);
            }
            Ok(())
        })
        .await
    }

    /// Takes the entries up to `length` in, stores (size, root), then signs.
    async fn publish(&mut self, length: u64, fresh: Fresh) -> Result<Published, PublisherError> {
        let (frontier, partial) = self
            .with_files(move |writer, store, tiles| {
                let mut write = |file| Ok(tiles.write(&file)?);
                push_log(store, writer, fresh.from.min(length), &mut write)?;
                for (index, entry) in (fresh.from..).zip(&fresh.entries) {
                    if index == writer.size() {
                        writer.push(entry)?;
                    }
                }
                push_log(store, writer, length, &mut write)?;
                Ok((writer.frontier(), writer.partial()))
            })
            .await?;
        if self
            .row
            .as_ref()
            .is_none_or(|stored| stored.value.size != frontier.size())
        {
            self.store(&frontier).await?;
        }
        let Some(row) = self.row.as_ref().map(|stored| stored.value.clone()) else {
            return Err(PublisherError::RolledBack {
                size: length,
                what: "nothing was stored",
            });
        };
        if row.frontier != frontier.to_bytes() {
            return Err(PublisherError::RolledBack {
                size: row.size,
                what: "the entries do not hash to the stored root",
            });
        }
        let checkpoint = Checkpoint {
            origin: self.parts.signer.vkey().name().to_owned(),
            size: row.size,
            root: frontier.root(),
            seq: Some(row.seq),
            set: Some(row.set_digest),
            extensions: Vec::new(),
        };
        let note = checkpoint.sign(&self.parts.signer)?;
        self.parts.tiles.put_checkpoint(&note)?;
        self.parts.tiles.publish(row.size, partial);
        self.signed = row.size;
        Ok(Published {
            size: row.size,
            note,
            time: self.parts.clock.now(),
        })
    }

    async fn store(&mut self, frontier: &Frontier) -> Result<(), PublisherError> {
        let head = self.parts.store.head()?;
        let row = PublishedRow {
            size: frontier.size(),
            frontier: frontier.to_bytes(),
            seq: head.seq.get(),
            set_digest: directory_digest(&head),
        };
        let now = self.parts.clock.now();
        let id = BatchId::generate(now, self.parts.entropy.as_ref()).map_err(RecordError::from)?;
        let mut batch = Batch::new(id);
        let expected = self
            .row
            .as_ref()
            .map_or(Expected::Absent, |stored| Expected::At(stored.version));
        PUBLISHED.expect(&mut batch, &PUBLISHED_KEY.to_owned(), expected);
        PUBLISHED.put(&mut batch, &PUBLISHED_KEY.to_owned(), &row);
        let committed = self
            .parts
            .store
            .commit(batch)
            .await
            .map_err(RecordError::from)?;
        self.row = Some(Row {
            version: committed.seq,
            value: row,
        });
        Ok(())
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
    // empty, the value is the one from before there was such a table. Its rows are
    // never deleted, so one that was used is never left out again.
    let younger = [FOREIGN.name()].into_iter();
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
