//! Changes that are committed together.

use crate::engine::{Lane, RawAppend, RawBatch, RawTrim, RawWrite};
use crate::trim::LogBeginning;
use crate::{CommitError, Expected, LogId, MAX_BATCH, RowKey};
use procura_types::{BatchId, SecretBytes};

/// Changes of typed tables and appends to logs that apply together or not at
/// all. Filled through [`Table`](crate::Table) and [`Batch::append`].
pub struct Batch {
    pub(crate) raw: RawBatch,
    /// The first thing that was put in and cannot be stored; told at commit.
    pub(crate) refused: Option<CommitError>,
}

impl Batch {
    /// An empty batch with a fresh id; [`Store::batch`](crate::Store::batch)
    /// makes one.
    #[must_use]
    pub const fn new(id: BatchId) -> Self {
        Self {
            raw: RawBatch {
                id,
                lane: Lane::Ordinary,
                reserved: false,
                expect: Vec::new(),
                writes: Vec::new(),
                appends: Vec::new(),
                trims: Vec::new(),
            },
            refused: None,
        }
    }

    /// Its id, by which [`Store::fate`](crate::Store::fate) tells what became of it.
    #[must_use]
    pub const fn id(&self) -> BatchId {
        self.raw.id
    }

    /// Nobody waits for it: it goes to the queue for bulk work.
    #[must_use]
    pub const fn bulk(mut self) -> Self {
        self.raw.lane = Lane::Bulk;
        self
    }

    /// It may use the space that is held back so that revoke, seal and delete
    /// work on a full disk. For these and nothing else.
    #[must_use]
    pub const fn reserved(mut self) -> Self {
        self.raw.reserved = true;
        self
    }

    /// As [`Batch::reserved`], on a batch that is being filled.
    pub const fn set_reserved(&mut self) {
        self.raw.reserved = true;
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.writes.is_empty() && self.raw.appends.is_empty() && self.raw.trims.is_empty()
    }

    /// Appends to a log; the index is assigned at commit. At most 64 KiB.
    /// Returns the position in [`Committed::indexes`](crate::Committed::indexes).
    pub fn append(&mut self, log: LogId, bytes: Vec<u8>) -> usize {
        let bytes = SecretBytes::new(bytes);
        self.raw.appends.push(RawAppend { log, bytes });
        self.raw.appends.len() - 1
    }

    /// Takes the beginning of a log away, which
    /// [`Store::log_beginning`](crate::Store::log_beginning) read. There is no way back.
    pub fn trim(&mut self, beginning: &LogBeginning) {
        self.raw.trims.push(RawTrim {
            log: beginning.log,
            before: beginning.before,
            chain: beginning.chain,
        });
    }

    pub(crate) fn expect(&mut self, key: RowKey, expected: Expected) {
        self.raw.expect.push((key, expected));
    }

    pub(crate) fn write(&mut self, write: RawWrite) {
        self.raw.writes.push(write);
    }

    pub(crate) fn refuse(&mut self, error: CommitError) {
        self.refused.get_or_insert(error);
    }

    pub(crate) fn into_raw(self) -> Result<RawBatch, CommitError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        match self.raw.weight() {
            Some(weight) if weight <= MAX_BATCH => Ok(self.raw),
            _ => Err(CommitError::TooLarge),
        }
    }
}
