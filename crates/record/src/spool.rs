//! What happens while the vault is sealed: a bounded file, synced line by line,
//! whose entries are the first of the ledger after the next unseal.

use crate::recorder::RecordError;
use crate::tables::{LEDGER, SPOOLED};
use procura_ledger::Entry;
use procura_store::{Batch, Store};
use procura_types::{BatchId, Clock, Entropy};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Beyond this the spool takes no more.
const LIMIT: u64 = 1024 * 1024;
const SPOOLED_KEY: &str = "last";

/// The spool could not be written or read; what it would have recorded must not
/// happen.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file.
    #[error("the spool of a sealed vault cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The entry.
    #[error(transparent)]
    Entry(#[from] procura_ledger::LedgerError),
    /// Full: too much happened since the last unseal.
    #[error("the spool of a sealed vault is full; unseal to go on")]
    Full,
}

/// Entries that wait for the next unseal.
pub struct Spool {
    path: PathBuf,
    file: Mutex<File>,
}

impl Spool {
    /// Opens or makes the spool. A last line that a crash tore was never
    /// acknowledged; it goes, so that the next line is not added to it.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = whole_lines(&bytes).len();
        if whole < bytes.len() {
            file.set_len(u64::try_from(whole).unwrap_or(0))?;
            file.sync_data()?;
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Adds one entry; on return it is on disk.
    pub fn push(&self, entry: &Entry) -> Result<(), SpoolError> {
        let mut line = entry.to_bytes()?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = file.metadata()?.len();
        if before > LIMIT {
            return Err(SpoolError::Full);
        }
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line must not become the beginning of the next one.
            file.set_len(before)?;
        }
        Ok(written?)
    }

    /// Moves everything into the ledger, once: the ledger remembers the last
    /// line that it took, so a crash between commit and truncation repeats nothing.
    pub async fn flush(
        &self,
        store: &Store,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<usize, RecordError> {
        let io = |error: std::io::Error| {
            procura_store::StoreError::Io(procura_store::IoCause::new(&error))
        };
        let bytes = self.read().map_err(io)?;
        let lines: Vec<&[u8]> = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        let known = SPOOLED.get(store, &SPOOLED_KEY.to_owned())?;
        // Lines up to the one that the ledger remembers are in it: a crash came
        // between commit and truncation, and more may have happened since.
        let taken = known
            .and_then(|row| lines.iter().rposition(|line| mark(line) == row.value))
            .map_or(0, |position| position + 1);
        let fresh = lines.get(taken..).unwrap_or_default();
        if let Some(last) = fresh.last() {
            let mut batch = Batch::new(BatchId::generate(clock.now(), entropy)?);
            for line in fresh {
                batch.append(LEDGER, line.to_vec());
            }
            SPOOLED.put(&mut batch, &SPOOLED_KEY.to_owned(), &mark(last));
            store.commit(batch).await?;
        }
        self.clear().map_err(io)?;
        Ok(fresh.len())
    }

    /// The whole lines.
    fn read(&self) -> std::io::Result<Vec<u8>> {
        let _held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = std::fs::read(&self.path)?;
        bytes.truncate(whole_lines(&bytes).len());
        Ok(bytes)
    }

    fn clear(&self) -> std::io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(0)?;
        file.sync_data()
    }
}

/// What comes before the end of the last line that has one.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(..=end)).unwrap_or_default()
}

/// What the ledger remembers of a line: entries are unique, so their hashes are.
fn mark(line: &[u8]) -> String {
    procura_types::encoding::b64url(&procura_crypto::sha256(line))
}
