//! The work behind [`Publisher`](crate::Publisher): entries become tiles, a (size, root)
//! is stored and only then signed. Where several servers write to one store it is the
//! work of whoever has the lease; the others publish what that one signed.

use crate::handover;
use crate::lease::Lease;
use crate::pending::{Fresh, Pending};
use crate::publisher::{EVERY, Published, PublisherError, PublisherParts, directory_digest};
use crate::recorder::RecordError;
use crate::resume::{self, push_log};
use crate::running::Stopping;
use crate::tables::{LEDGER, PUBLISHED, PUBLISHED_KEY, PublishedRow, SIGNED, SignedRow};
use crate::tiles::Tiles;
use arc_swap::ArcSwapOption;
use procura_ledger::{Checkpoint, Frontier, TileFile, TileWriter};
use procura_store::{Batch, CommitError, Expected, Row, Seq, Store};
use procura_types::{BatchId, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What the worker lets others see.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) latest: Arc<ArcSwapOption<Published>>,
    pub(crate) problem: Arc<Mutex<Option<String>>>,
}

impl Shown {
    pub(crate) fn say(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Makes the files and the checkpoints, one after the other.
pub(crate) struct Worker {
    pub(crate) parts: PublisherParts,
    /// None after a failure, until another is made.
    writer: Option<TileWriter>,
    row: Option<Row<PublishedRow>>,
    /// Entries of the newest signed checkpoint.
    signed: u64,
    /// What lets this server sign, where there are several.
    pub(crate) lease: Option<Arc<Lease>>,
    /// The term of the lease that `row` was read in.
    term: Option<Seq>,
}

impl Worker {
    /// Goes on from what was stored, once it is found to be what was signed.
    pub(crate) fn resume(
        parts: PublisherParts,
        lease: Option<Arc<Lease>>,
    ) -> Result<Self, PublisherError> {
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

    /// Publishes until it is told to stop, and then what is left.
    pub(crate) async fn run(
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
    pub(crate) async fn beside(
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
    pub(crate) async fn publish(
        &mut self,
        length: u64,
        fresh: Fresh,
    ) -> Result<Published, PublisherError> {
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
