//! The beginning of a log that is not kept for ever (`protocol.md` §6, ADR 34). Its entries
//! go; that they were those that were committed is vouched for by the head, which has the
//! keyed chain over them from then on.

use crate::{Damage, LogEntry, LogId, Store, StoreError, verify};
use std::sync::Arc;

/// Entries that are read at once.
const PAGE: usize = 512;

/// The beginning of a log, every entry of which was opened and is linked to the one before:
/// what [`Batch::trim`](crate::Batch::trim) takes away.
#[derive(Debug)]
pub struct LogBeginning {
    pub(crate) log: LogId,
    pub(crate) before: u64,
    pub(crate) chain: [u8; 32],
}

impl Store {
    /// Reads the entries of a log from the first that is kept up to `before`, in order, and
    /// gives each to `each`. What comes of it can take them away.
    ///
    /// # Errors
    /// `Corrupt` when an entry is missing, altered or moved, `Forgotten` when they have
    /// been taken away meanwhile; the errors of `each`, and those of [`Store::log_read`].
    pub fn log_beginning<E: From<StoreError>>(
        &self,
        log: LogId,
        before: u64,
        mut each: impl FnMut(&LogEntry) -> Result<(), E>,
    ) -> Result<LogBeginning, E> {
        let start = self.head()?.log(log.as_str());
        let (mut chain, mut next) = (start.start_chain, start.start);
        while next < before {
            let left = usize::try_from(before - next).unwrap_or(PAGE).min(PAGE);
            let page = self.log_read(log, next, left)?;
            if page.is_empty() {
                return Err(self.why_not_there(log.as_str(), next).into());
            }
            let stored = self.engine().log_read(log.as_str(), next, page.len())?;
            let unsealed = self.unsealed()?;
            let barrier = unsealed.barrier();
            for (entry, stored) in page.iter().zip(&stored) {
                if stored.index != entry.index {
                    return Err(self.why_not_there(log.as_str(), entry.index).into());
                }
                chain = barrier.link(&stored.value, entry.index, entry.bytes.expose(), &chain);
                each(entry)?;
                next = entry.index.saturating_add(1);
            }
        }
        Ok(LogBeginning { log, before, chain })
    }

    /// Why an entry is not there: the log may have lost its beginning meanwhile, also by
    /// another server.
    pub(crate) fn why_not_there(&self, log: &str, index: u64) -> StoreError {
        let start = || -> Result<u64, StoreError> {
            let snapshot = self.engine().snapshot(crate::SNAPSHOT_LIFE)?;
            let unsealed = self.unsealed()?;
            Ok(verify::open_head(&unsealed.barrier(), &*snapshot)?
                .log(log)
                .start)
        };
        match start() {
            Ok(first) if index < first => StoreError::forgotten(log, first),
            Ok(_) => {
                let log = Arc::from(log);
                Damage::LogEntry { log, index }.into()
            }
            Err(error) => error,
        }
    }
}
