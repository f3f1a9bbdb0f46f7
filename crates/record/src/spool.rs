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

/// Beyond this the spool takes no more; the last line says so.
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
    /// Opens or makes the spool.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(path)?;
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
        if file.metadata()?.len() > LIMIT {
            return Err(SpoolError::Full);
        }
        file.write_all(&line)?;
        file.sync_data()?;
        Ok(())
    }

    /// Moves everything into the ledger, once: the ledger remembers the last
    /// line that it took, so a crash between commit and truncation repeats nothing.
    pub async fn flush(
        &self,
        store: &Store,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<usize, RecordError> {
        let text = self
            .read()
            .map_err(|error| procura_store::StoreError::Io(procura_store::IoCause::new(&error)))?;
        // The last line may be torn by a crash; it was never acknowledged.
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..end).unwrap_or(""));
        let lines: Vec<&str> = whole.lines().collect();
        let Some(last) = lines.last() else {
            return Ok(0);
        };
        let mark = procura_types::encoding::b64url(&procura_crypto::sha256(last.as_bytes()));
        let known = SPOOLED.get(store, &SPOOLED_KEY.to_owned())?;
        if known.is_none_or(|row| row.value != mark) {
            let mut batch = Batch::new(BatchId::generate(clock.now(), entropy)?);
            for line in &lines {
                batch.append(LEDGER, line.as_bytes().to_vec());
            }
            SPOOLED.put(&mut batch, &SPOOLED_KEY.to_owned(), &mark);
            store.commit(batch).await?;
        }
        self.clear()
            .map_err(|error| procura_store::StoreError::Io(procura_store::IoCause::new(&error)))?;
        Ok(lines.len())
    }

    fn read(&self) -> std::io::Result<String> {
        let _held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        File::open(&self.path)?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn clear(&self) -> std::io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(0)?;
        file.sync_data()
    }
}
