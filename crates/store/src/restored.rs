//! What a restored store needs beside the contract: entries that were copied out of a log
//! are opened, and the sequence goes on behind everything that was ever told of it, so
//! that nobody who remembers a later one takes the store for an older.

use crate::engine::RawEntry;
use crate::head::Head;
use crate::sqlite;
use crate::{OpenError, Seq, Store, StoreError};
use procura_types::{InstallationId, SecretBytes};
use std::path::Path;

/// The head of a store, sealed at a sequence that it has not reached.
pub struct HeadAhead {
    seq: Seq,
    sealed: Vec<u8>,
}

impl Store {
    /// Opens an entry that was copied out of `log` as it was stored.
    ///
    /// # Errors
    /// `Sealed`; `Corrupt` when it is not that entry, or of an epoch that is not known.
    pub fn open_copied(&self, log: &str, entry: &RawEntry) -> Result<SecretBytes, StoreError> {
        let barrier = self.unsealed()?;
        let barrier = barrier.barrier();
        Ok(barrier.open_entry(log, entry.index, entry.version, &entry.value)?)
    }

    /// The head of the last commit as it would stand at `seq`. Nothing may be committed
    /// before [`HeadAhead::stand`].
    ///
    /// # Errors
    /// `Sealed`, `Entropy`.
    pub fn head_ahead(&self, seq: Seq) -> Result<HeadAhead, StoreError> {
        let unsealed = self.unsealed()?;
        let head = Head {
            seq,
            ..Head::clone(&*self.head()?)
        };
        let sealed = unsealed.barrier().seal_head(&head);
        Ok(HeadAhead {
            seq,
            sealed: sealed.map_err(|_| StoreError::Entropy)?,
        })
    }
}

impl HeadAhead {
    /// Puts it in place in the embedded store at `path`, which is closed.
    ///
    /// # Errors
    /// `InUse` while it is open; why it cannot be written.
    pub fn stand(&self, path: &Path, installation: &InstallationId) -> Result<(), OpenError> {
        sqlite::advance(path, installation, self.seq, &self.sealed)
    }
}
