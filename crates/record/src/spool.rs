//! What happens while the vault is sealed: a bounded file, synced line by line,
//! whose entries are the first of the ledger after the next unseal.
//!
//! While it is sealed the server has no key that could prove who wrote a line.
//! So a line is believed to say one thing only: that somebody unnamed was
//! refused. Whoever can write the file must not be able to put an act of anybody
//! into the record, nor a line that makes the record unreadable.

use crate::recorder::RecordError;
use crate::tables::{LEDGER, SPOOLED};
use procura_ledger::{Decision, Entry, MAX_ENTRY, Phase};
use procura_store::{Batch, Store};
use procura_types::{BatchId, Clock, Entropy, TraceId};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Beyond this the spool takes no more.
const LIMIT: u64 = 1024 * 1024;
const SPOOLED_KEY: &str = "last";
/// The entry that says that lines were found which this program did not write.
const FOREIGN: (&str, &str) = ("installation.spool", "foreign_lines");

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
    /// More than that somebody unnamed was refused; the spool cannot vouch for it.
    #[error("only refusals of nobody in particular can be recorded while sealed")]
    NotARefusal,
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
        if !is_believable(&line) {
            return Err(SpoolError::NotARefusal);
        }
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
    ///
    /// `home` tells this home's spool from those of other servers of the same store;
    /// `None` where there are none.
    pub async fn flush(
        &self,
        store: &Store,
        home: Option<&str>,
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
        let key = home.unwrap_or(SPOOLED_KEY).to_owned();
        let known = SPOOLED.get(store, &key)?;
        // Lines up to the one that the ledger remembers are in it: a crash came
        // between commit and truncation, and more may have happened since.
        let taken = known
            .and_then(|row| lines.iter().rposition(|line| mark(line) == row.value))
            .map_or(0, |position| position + 1);
        let fresh = lines.get(taken..).unwrap_or_default();
        if let Some(last) = fresh.last() {
            // It is a part of opening the vault, which a full disk must not prevent.
            let mut batch = Batch::new(BatchId::generate(clock.now(), entropy)?).reserved();
            let mut foreign = 0_usize;
            for line in fresh {
                if is_believable(line) {
                    batch.append(LEDGER, line.to_vec());
                } else {
                    foreign += 1;
                }
            }
            if foreign > 0 {
                tracing::error!(
                    lines = foreign,
                    "the spool holds lines that this program did not write"
                );
                batch.append(LEDGER, foreign_lines(clock, entropy)?.to_bytes()?);
            }
            SPOOLED.put(&mut batch, &key, &mark(last));
            store.commit(batch).await?;
        }
        self.clear().map_err(io)?;
        Ok(fresh.len())
    }

    /// The whole lines.
    fn read(&self) -> std::io::Result<Vec<u8>> {
        let _held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        // What is beyond the limit and one entry, nobody here wrote.
        let longest = LIMIT + u64::try_from(MAX_ENTRY).unwrap_or(u64::MAX) + 1;
        File::open(&self.path)?
            .take(longest)
            .read_to_end(&mut bytes)?;
        bytes.truncate(whole_lines(&bytes).len());
        Ok(bytes)
    }

    fn clear(&self) -> std::io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(0)?;
        file.sync_data()
    }
}

/// Whether a line is one that this program writes, and says no more than that
/// somebody unnamed was refused.
fn is_believable(line: &[u8]) -> bool {
    Entry::parse(line).is_ok_and(|entry| {
        let names_nobody = entry.actor.is_none()
            && entry.owner.is_none()
            && entry.device.is_none()
            && entry.session.is_none()
            && entry.namespace.is_none()
            && entry.resource.is_none()
            && entry.grant.is_none()
            && entry.approval.is_none()
            && entry.run.is_none()
            && entry.caller.is_none();
        entry.decision == Decision::Deny
            && entry.phase == Phase::Intent
            && names_nobody
            && entry.to_bytes().is_ok_and(|bytes| bytes == line)
    })
}

fn foreign_lines(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Entry, RecordError> {
    let now = clock.now();
    let (action, reason) = FOREIGN;
    Ok(Entry {
        decision: Decision::Failed,
        reason: Some(reason.into()),
        ..Entry::new(now, entropy, action, TraceId::generate(now, entropy)?)?
    })
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
