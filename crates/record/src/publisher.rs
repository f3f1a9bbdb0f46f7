//! Behind the write path: tiles, and a signed checkpoint every 200 ms when there
//! is something new.
//!
//! A (size, root) is signed only after it was stored by compare-and-set, so that
//! no two checkpoints of one size can differ, whatever crashes when.

use crate::directory::Following;
use crate::recorder::RecordError;
use crate::tables::{
    ACTORS, DEVICES, DIRECTORY_GUARD, GRANTS, GUARD, LEDGER, NAMESPACES, PUBLISHED, PublishedRow,
    ROLES,
};
use crate::tiles::{Tiles, TilesError};
use arc_swap::ArcSwapOption;
use procura_crypto::sha256;
use procura_ledger::{
    Checkpoint, Frontier, Hash, HashTiles, LedgerError, NoteSigner, TILE_WIDTH, TileFile, TileKind,
    TilePath, TileWriter, Vkey, leaf_hash, push_entry,
};
use procura_store::{Batch, CommitObserver, CommitView, Expected, Head, Row, Store, StoreError};
use procura_types::{BatchId, Clock, Duration, Entropy, FieldTuple};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// How long entries wait for their checkpoint.
const EVERY: Duration = Duration::from_millis(200);
/// Bytes of entries that wait in memory to be published.
const FRESH_BYTES: usize = 16 * 1024 * 1024;
/// Entries read from the log at once.
const PAGE: usize = 4096;
const KEY: &str = "published";
/// The width of a full tile.
const FULL_TILE: u16 = 256;

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

/// A signed checkpoint.
#[derive(Debug, Clone)]
pub struct Published {
    /// Entries in the tree.
    pub size: u64,
    /// The signed note.
    pub note: String,
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

/// Entries that were committed and are not published.
struct Pending {
    /// How long the log is.
    length: AtomicU64,
    wake: Notify,
    fresh: Mutex<Fresh>,
}

/// The newest entries as they were committed, so that they need not be read back
/// and opened. Beyond [`FRESH_BYTES`] they are dropped, and read back after all.
#[derive(Default)]
struct Fresh {
    from: u64,
    bytes: usize,
    entries: Vec<Vec<u8>>,
}

impl Fresh {
    fn push(&mut self, index: u64, entry: &[u8]) {
        let next = self
            .from
            .saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX));
        if index != next || self.bytes > FRESH_BYTES {
            *self = Self {
                from: index,
                ..Self::default()
            };
        }
        self.bytes += entry.len();
        self.entries.push(entry.to_vec());
    }
}

impl Pending {
    fn take(&self) -> Fresh {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CommitObserver for Pending {
    fn committed(&self, commits: &[CommitView<'_>]) {
        let mut length = None;
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        for appended in commits.iter().flat_map(CommitView::appended) {
            if appended.log == LEDGER {
                fresh.push(appended.index, appended.bytes);
                length = Some(appended.index + 1);
            }
        }
        drop(fresh);
        if let Some(length) = length {
            self.length.store(length, Ordering::Release);
            self.wake.notify_one();
        }
    }
}

/// Publishes for as long as it lives.
pub struct Publisher {
    tiles: Tiles,
    vkey: Vkey,
    latest: Arc<ArcSwapOption<Published>>,
    changed: watch::Receiver<u64>,
    problem: Arc<Mutex<Option<String>>>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
    stop: Arc<Notify>,
}

impl Publisher {
    /// Checks what was published before against the store, brings the files up to
    /// date, and goes on from there. Fails when the store is older than a
    /// checkpoint that this home signed.
    pub async fn start(parts: PublisherParts) -> Result<Self, PublisherError> {
        let vkey = parts.signer.vkey().clone();
        let pending = Arc::new(Pending {
            length: AtomicU64::new(0),
            wake: Notify::new(),
            fresh: Mutex::default(),
        });
        parts
            .store
            .observe(Arc::new(Following(Arc::downgrade(&pending))));
        let mut worker = tokio::task::spawn_blocking(move || Worker::resume(parts))
            .await
            .map_err(|_| PublisherError::Broken)??;
        pending
            .length
            .fetch_max(worker.parts.store.log_len(LEDGER)?, Ordering::AcqRel);
        let latest = Arc::new(ArcSwapOption::empty());
        let (changes, changed) = watch::channel(0);
        let first = worker
            .publish(pending.length.load(Ordering::Acquire), Fresh::default())
            .await?;
        changes.send_replace(first.size);
        latest.store(Some(Arc::new(first)));
        let problem = Arc::new(Mutex::new(None));
        let stop = Arc::new(Notify::new());
        let tiles = worker.parts.tiles.clone();
        let task = tokio::spawn(worker.run(
            pending,
            Arc::clone(&latest),
            changes,
            Arc::clone(&problem),
            Arc::clone(&stop),
        ));
        Ok(Self {
            tiles,
            vkey,
            latest,
            changed,
            problem,
            task: Mutex::new(Some(task)),
            stop,
        })
    }

    /// The newest signed checkpoint.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Published>> {
        self.latest.load_full()
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
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Publishes what is left and stops.
    pub async fn stop(&self) {
        self.stop.notify_one();
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // A worker that panicked has nothing left to publish.
            let _ = task.await;
        }
    }
}

struct Worker {
    parts: PublisherParts,
    writer: TileWriter,
    row: Option<Row<PublishedRow>>,
    /// Entries of the newest signed checkpoint.
    signed: u64,
}

impl Worker {
    /// Where the store and the files stand, and whether they may.
    fn resume(parts: PublisherParts) -> Result<Self, PublisherError> {
        let row = PUBLISHED.get(&parts.store, &KEY.to_owned())?;
        let length = parts.store.log_len(LEDGER)?;
        let (size, frontier) = match &row {
            None => (0, Frontier::new()),
            Some(row) => (row.value.size, Frontier::from_bytes(&row.value.frontier)?),
        };
        let rolled_back = |size, what| PublisherError::RolledBack { size, what };
        if size > length {
            return Err(rolled_back(size, "entries are missing at the end"));
        }
        if let Some(note) = parts.tiles.checkpoint()? {
            // A checkpoint beside the store that is ahead of it, or another at the
            // same size: an older or another store was put in its place.
            let signed = Checkpoint::open(&note, parts.signer.vkey())?;
            if signed.size > size {
                return Err(rolled_back(
                    signed.size,
                    "the store knows only older checkpoints",
                ));
            }
            if signed.size == size && signed.root != frontier.root() {
                return Err(rolled_back(
                    signed.size,
                    "another tree of the same size is stored",
                ));
            }
        }
        if let Some(row) = &row {
            let head = parts.store.head()?;
            if head.seq.get() < row.value.seq {
                return Err(rolled_back(size, "the store's sequence is older"));
            }
            // A directory that did not change since must be the one that was signed.
            let changed = DIRECTORY_GUARD.get(&parts.store, &GUARD.to_owned())?;
            let since = changed.is_some_and(|guard| guard.version.get() > row.value.seq);
            if !since && directory_digest(&head) != row.value.set_digest {
                return Err(rolled_back(
                    size,
                    "the directory is not the one that was signed",
                ));
            }
        }
        let writer = match Self::files(&parts, size, &frontier) {
            Ok(writer) => writer,
            Err(error) => {
                tracing::warn!(%error, size, "the ledger's files are not whole and are written anew");
                let writer = Self::rebuild(&parts, size)?;
                if writer.frontier() != frontier {
                    return Err(rolled_back(
                        size,
                        "the entries do not hash to the stored root",
                    ));
                }
                writer
            }
        };
        // What a killed process left of them may be of another size.
        for file in writer.partial() {
            parts.tiles.write(&file)?;
        }
        parts.tiles.publish(size, writer.partial());
        Ok(Self {
            parts,
            writer,
            row,
            signed: 0,
        })
    }

    /// The writer at `size`, from the files when they are whole: all that lies to
    /// the left of the right edge is in the hashes of the edge.
    fn files(
        parts: &PublisherParts,
        size: u64,
        frontier: &Frontier,
    ) -> Result<TileWriter, PublisherError> {
        let mut bundle = Vec::new();
        let tail = size % TILE_WIDTH;
        let count = usize::try_from(tail).unwrap_or_default();
        for entry in parts.store.log_read(LEDGER, size - tail, count)? {
            push_entry(&mut bundle, entry.bytes.expose())?;
        }
        let writer = TileWriter::resume(size, &RightEdge(parts), &bundle)?;
        if writer.frontier() == *frontier {
            Ok(writer)
        } else {
            Err(LedgerError::ResumeMismatch { index: size }.into())
        }
    }

    /// Writes all files anew from the store's log.
    fn rebuild(parts: &PublisherParts, size: u64) -> Result<TileWriter, PublisherError> {
        let mut writer = TileWriter::new();
        push_log(&parts.store, &mut writer, size, &mut |file| {
            Ok(parts.tiles.write(&file)?)
        })?;
        Ok(writer)
    }

    async fn run(
        mut self,
        pending: Arc<Pending>,
        latest: Arc<ArcSwapOption<Published>>,
        changes: watch::Sender<u64>,
        problem: Arc<Mutex<Option<String>>>,
        stop: Arc<Notify>,
    ) {
        let mut stopping = false;
        loop {
            let length = pending.length.load(Ordering::Acquire);
            let outcome = if length > self.signed {
                self.publish(length, pending.take()).await.map(Some)
            } else {
                // Nothing came since: the partial files are not out of date at once.
                self.write_partial().await.map(|()| None)
            };
            let failed = outcome.is_err();
            let said = outcome.as_ref().err().map(ToString::to_string);
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = said;
            match outcome {
                Ok(None) if stopping => return,
                Ok(None) => {}
                Ok(Some(published)) => {
                    let size = published.size;
                    latest.store(Some(Arc::new(published)));
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
                    self.go_back();
                }
            }
            let idle = !failed && self.writer.is_flushed();
            let more = async {
                tokio::time::sleep(EVERY).await;
                // What could not be published is tried again without a new entry.
                if idle {
                    pending.wake.notified().await;
                }
            };
            tokio::select! {
                () = more => {}
                () = stop.notified() => stopping = true,
            }
        }
    }

    /// Forgets what was taken in since the last stored size: files that could not
    /// be written are made again.
    fn go_back(&mut self) {
        let (size, frontier) = self.row.as_ref().map_or_else(
            || (0, Frontier::new()),
            |row| {
                let frontier = Frontier::from_bytes(&row.value.frontier).unwrap_or_default();
                (row.value.size, frontier)
            },
        );
        let writer =
            Self::files(&self.parts, size, &frontier).or_else(|_| Self::rebuild(&self.parts, size));
        if let Ok(writer) = writer {
            self.writer = writer;
        }
    }

    /// Works with files, on a thread that may wait for them. Should that thread die,
    /// the writer is gone with it, and [`Self::go_back`] makes another.
    async fn with_files<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut TileWriter, &Store, &Tiles) -> Result<T, PublisherError> + Send + 'static,
    ) -> Result<T, PublisherError> {
        let (store, tiles) = (self.parts.store.clone(), self.parts.tiles.clone());
        let mut writer = std::mem::take(&mut self.writer);
        let (writer, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut writer, &store, &tiles);
            (writer, outcome)
        })
        .await
        .map_err(|_| PublisherError::Broken)?;
        self.writer = writer;
        outcome
    }

    /// Writes the partial files and removes those before them.
    async fn write_partial(&mut self) -> Result<(), PublisherError> {
        if self.writer.is_flushed() {
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
        let partial = self
            .with_files(move |writer, store, tiles| {
                let mut write = |file| Ok(tiles.write(&file)?);
                push_log(store, writer, fresh.from.min(length), &mut write)?;
                for (index, entry) in (fresh.from..).zip(&fresh.entries) {
                    if index == writer.size() {
                        writer.push(entry)?;
                    }
                }
                push_log(store, writer, length, &mut write)?;
                Ok(writer.partial())
            })
            .await?;
        let frontier = self.writer.frontier();
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
        PUBLISHED.expect(&mut batch, &KEY.to_owned(), expected);
        PUBLISHED.put(&mut batch, &KEY.to_owned(), &row);
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
fn directory_digest(head: &Head) -> [u8; 32] {
    let tables = [
        ACTORS.name(),
        DEVICES.name(),
        ROLES.name(),
        NAMESPACES.name(),
        GRANTS.name(),
    ];
    let tuple = tables.iter().fold(
        FieldTuple::new("procura.directory.set.v1"),
        |tuple, table| tuple.text(table).bytes(&head.table(table).to_bytes()),
    );
    sha256(tuple.as_bytes())
}

/// The partial hash tiles at the right edge, made from what they stand for: after a
/// kill their own files are not there or older.
struct RightEdge<'a>(&'a PublisherParts);

impl HashTiles for RightEdge<'_> {
    type Error = PublisherError;

    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, PublisherError> {
        if width == FULL_TILE {
            let path = TilePath::new(TileKind::Hashes(level), index, width)?;
            let bytes = self.0.tiles.read(&path)?;
            let bytes = bytes.ok_or_else(|| LedgerError::TileTooShort {
                path: path.to_string(),
            })?;
            return Ok(Hash::from_tile(&bytes)?);
        }
        let first = index * TILE_WIDTH;
        match level.checked_sub(1) {
            None => {
                let entries = self.0.store.log_read(LEDGER, first, usize::from(width))?;
                Ok(entries
                    .iter()
                    .map(|entry| leaf_hash(entry.bytes.expose()))
                    .collect())
            }
            Some(below) => (first..first + u64::from(width))
                .map(|child| {
                    let hashes = self.hash_tile(below, child, FULL_TILE)?;
                    Ok(hashes.into_iter().collect::<Frontier>().root())
                })
                .collect(),
        }
    }
}

/// Feeds the log from where the writer stands up to `length`, and writes the full
/// files that come up.
fn push_log(
    store: &Store,
    writer: &mut TileWriter,
    length: u64,
    write: &mut impl FnMut(TileFile) -> Result<(), PublisherError>,
) -> Result<(), PublisherError> {
    while writer.size() < length {
        let left = usize::try_from(length - writer.size())
            .unwrap_or(PAGE)
            .min(PAGE);
        let entries = store.log_read(LEDGER, writer.size(), left)?;
        if entries.is_empty() {
            return Err(PublisherError::RolledBack {
                size: length,
                what: "entries are missing",
            });
        }
        for entry in entries {
            writer.push(entry.bytes.expose())?;
        }
        writer
            .take_complete()
            .into_iter()
            .try_for_each(&mut *write)?;
    }
    writer.take_complete().into_iter().try_for_each(write)
}
