//! Behind the write path: tiles, and a signed checkpoint every 200 ms when there
//! is something new.
//!
//! A (size, root) is signed only after it was stored by compare-and-set, so that
//! no two checkpoints of one size can differ, whatever crashes when. Where several
//! servers write to one store, that row is written, and anything is signed, under a
//! lease by one of them; the others publish what it signed, once their own copy of the
//! record hashes to it.

use crate::directory::Following;
use crate::handover::{self, LedgerKeys};
use crate::lease::Lease;
use crate::others::Others;
use crate::pending::{Fresh, Pending};
use crate::recorder::RecordError;
use crate::resume::{self, push_log};
use crate::running::{Running, Stopping};
use crate::tables::{
    ACTORS, DEVICES, FOREIGN, GRANTS, GRANTS_ENDED, HONEY, LEDGER, NAMESPACES, PUBLISHED,
    PUBLISHED_KEY, PublishedRow, QUARANTINES, ROLES, SIGNED, SignedRow, TOKENS, TOKENS_ENDED,
};
use crate::tiles::{Tiles, TilesError};
use arc_swap::ArcSwapOption;
use procura_crypto::sha256;
use procura_ledger::{Checkpoint, Frontier, LedgerError, TileFile, TileWriter, Vkey};
use procura_store::{Batch, CommitError, Expected, Head, Row, Seq, SetDigest, Store, StoreError};
use procura_types::{BatchId, Clock, Duration, Entropy, FieldTuple, Timestamp};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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

struct Worker {
    parts: PublisherParts,
    /// None after a failure, until another is made.
    writer: Option<TileWriter>,
    row: Option<Row<PublishedRow>>,
    /// Entries of the newest signed checkpoint.
    signed: u64,
    /// What lets this server sign, where there are several.
    lease: Option<Arc<Lease>>,
    /// The term of the lease that `row` was read in.
    term: Option<Seq>,
}

impl Worker {
    fn resume(parts: PublisherParts, lease: Option<Arc<Lease>>) -> Result<Self, PublisherError> {
        let (writer, row) = resume::resume(&parts)?;
        Ok(Self {
            parts,
            writer: Some(writer),
            row,
            signed: 0,
            lease,
            term: None,
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
            let outcome = if let Some(lease) = self.lease.clone() {
                self.beside(&lease, &pending).await
            } else if length > self.signed {
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
            // What others sign comes without an entry of one's own.
            let idle = !failed && self.is_flushed() && self.lease.is_none();
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

    /// Takes the entries up to `length` in; the tree then, and its partial files.
    async fn take_in(
        &mut self,
        length: u64,
        fresh: Fresh,
    ) -> Result<(Frontier, Vec<TileFile>), PublisherError> {
        self.with_files(move |writer, store, tiles| {
            let mut write = |file| Ok(tiles.write(&file)?);
            push_log(store, writer, fresh.from.min(length), &mut write)?;
            for (index, entry) in (fresh.from..length).zip(&fresh.entries) {
                if index == writer.size() {
                    writer.push(entry)?;
                }
            }
            push_log(store, writer, length, &mut write)?;
            Ok((writer.frontier(), writer.partial()))
        })
        .await
    }

    /// What is to be done now beside other servers.
    async fn beside(
        &mut self,
        lease: &Lease,
        pending: &Pending,
    ) -> Result<Option<Published>, PublisherError> {
        let Some(term) = lease.term() else {
            self.term = None;
            return self.follow(pending.take()).await;
        };
        if self.term != Some(term) {
            // What others stored meanwhile is what is gone on from.
            self.row = PUBLISHED.get(&self.parts.store, &PUBLISHED_KEY.to_owned())?;
            self.keep_writer_up_to(self.stored_size());
            self.term = Some(term);
        }
        let length = self.parts.store.log_len(LEDGER)?;
        if length <= self.signed || length < self.stored_size() {
            self.write_partial().await?;
            return Ok(None);
        }
        match self.publish(length, pending.take()).await {
            Ok(published) => Ok(Some(published)),
            // Another has the lease by now.
            Err(
                PublisherError::LeaseLost
                | PublisherError::Record(RecordError::Commit(CommitError::Conflict { .. })),
            ) => {
                self.term = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Entries of the tree that was last stored, as far as is known.
    fn stored_size(&self) -> u64 {
        self.row.as_ref().map_or(0, |row| row.value.size)
    }

    /// A writer that has taken in more than `size` entries is of no use: what it would
    /// go on from may never have been stored.
    fn keep_writer_up_to(&mut self, size: u64) {
        if self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.size() > size)
        {
            self.writer = None;
        }
    }

    /// Publishes what the holder of the lease signed, if it is what is stored here.
    async fn follow(&mut self, fresh: Fresh) -> Result<Option<Published>, PublisherError> {
        let signed = SIGNED.get(&self.parts.store, &PUBLISHED_KEY.to_owned())?;
        let Some(SignedRow { size, note, time }) = signed.map(|row| row.value) else {
            return Ok(None);
        };
        if size <= self.signed || self.parts.store.log_len(LEDGER)? < size {
            self.write_partial().await?;
            return Ok(None);
        }
        self.keep_writer_up_to(size);
        if self.writer.is_none() && self.stored_size() > size {
            // The next one that is signed is not before what was stored.
            return Ok(None);
        }
        let checkpoint = handover::open(&self.parts.store, &self.parts.keys.current(), &note)?;
        let (frontier, partial) = self.take_in(size, fresh).await?;
        if (checkpoint.size, checkpoint.root) != (size, frontier.root()) {
            return Err(PublisherError::RolledBack {
                size,
                what: "the entries do not hash to the root that another server signed",
            });
        }
        self.parts.tiles.put_checkpoint(&note)?;
        self.parts.tiles.publish(size, partial);
        self.signed = size;
        Ok(Some(Published { size, note, time }))
    }

    /// Takes the entries up to `length` in, stores (size, root), then signs.
    async fn publish(&mut self, length: u64, fresh: Fresh) -> Result<Published, PublisherError> {
        let (frontier, partial) = self.take_in(length, fresh).await?;
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
            origin: self.parts.keys.current().vkey().name().to_owned(),
            size: row.size,
            root: frontier.root(),
            seq: Some(row.seq),
            set: Some(row.set_digest),
            extensions: Vec::new(),
        };
        let time = self.parts.clock.now();
        let note = match self.lease.clone() {
            None => self.sign(&checkpoint, time).await?,
            Some(lease) => self.sign_under(&lease, &checkpoint, time).await?,
        };
        self.parts.tiles.put_checkpoint(&note)?;
        self.parts.tiles.publish(row.size, partial);
        self.signed = row.size;
        Ok(Published {
            size: row.size,
            note,
            time,
        })
    }

    /// Signs with the keys of now, and keeps the first checkpoint of each.
    async fn sign(
        &self,
        checkpoint: &Checkpoint,
        time: Timestamp,
    ) -> Result<String, PublisherError> {
        let PublisherParts {
            store,
            keys,
            clock,
            entropy,
            ..
        } = &self.parts;
        let signers = Arc::clone(&keys.current());
        let handing_over = handover::is_due(store, &signers)?;
        let note = signers.sign(checkpoint.clone(), time, handing_over)?;
        if handing_over {
            handover::keep(store, &signers, &note, clock.as_ref(), entropy.as_ref()).await?;
        }
        Ok(note)
    }

    /// Signs while the lease is held, and tells the others.
    async fn sign_under(
        &self,
        lease: &Lease,
        checkpoint: &Checkpoint,
        time: Timestamp,
    ) -> Result<String, PublisherError> {
        if lease.term() != self.term {
            return Err(PublisherError::LeaseLost);
        }
        let note = self.sign(checkpoint, time).await?;
        let id = BatchId::generate(time, self.parts.entropy.as_ref()).map_err(RecordError::from)?;
        let mut batch = Batch::new(id).reserved();
        if !lease.fence(&mut batch) {
            return Err(PublisherError::LeaseLost);
        }
        let row = SignedRow {
            size: checkpoint.size,
            note,
            time,
        };
        SIGNED.put(&mut batch, &PUBLISHED_KEY.to_owned(), &row);
        let committed = self.parts.store.commit(batch).await;
        committed.map_err(RecordError::from)?;
        Ok(row.note)
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
        if let Some(lease) = &self.lease
            && !lease.fence(&mut batch)
        {
            return Err(PublisherError::LeaseLost);
        }
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
    // empty, the value is the one from before there was such a table. It is left out again
    // when the last of its rows went, and is empty then.
    let younger = [
        FOREIGN.name(),
        TOKENS.name(),
        TOKENS_ENDED.name(),
        GRANTS_ENDED.name(),
        HONEY.name(),
        QUARANTINES.name(),
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
