//! The deep check behind `status --deep`: everything that can be verified is.

use crate::chunk::{self, Stored};
use crate::engine::{RawRow, Snapshot};
use crate::head::{Head, LogHead};
use crate::key::KeyRange;
use crate::verify::Audience;
use crate::{Barrier, Damage, RowKey, Store, StoreError, verify};
use procura_types::SecretBytes;
use std::sync::Arc;
use std::time::Duration;

const PAGE: usize = 512;
const LIFE: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Checks the database's structure, the set of rows of each table, every
    /// row, every large value and every log from its first entry on. Takes as
    /// long as reading the whole store; blocks the thread, not the store.
    ///
    /// Returns one line for each finding; none when all is sound. Rows of
    /// [`Kind::Clear`](crate::Kind::Clear) tables are envelopes of their own and
    /// are not opened here.
    ///
    /// # Errors
    /// `Sealed`, `Poisoned`, `Io`: the check itself could not be done.
    pub fn deep_check(&self) -> Result<Vec<String>, StoreError> {
        let mut findings = Findings::default();
        for line in self.engine().integrity()? {
            findings.0.push(format!("database: {line}"));
        }
        let unsealed = self.unsealed()?;
        let snapshot = self.engine().snapshot(LIFE)?;
        // After the snapshot, so that it has the epoch of the head in it.
        let barrier = unsealed.barrier();
        let head = match verify::open_head(&barrier, &*snapshot) {
            Ok(head) => head,
            Err(error) => {
                findings.note(error)?;
                return Ok(findings.0);
            }
        };
        let sets = verify::check_sets(&barrier, &head, &*snapshot, &mut findings);
        if let Err(error) = sets {
            findings.note(error)?;
        }
        if let Err(error) = open_rows(&barrier, &head, &*snapshot, &mut findings) {
            findings.note(error)?;
        }
        for (log, end) in &head.logs {
            if let Err(error) = self.check_log(&barrier, log, *end) {
                findings.note(error)?;
            }
        }
        for (log, found) in snapshot.anchor()?.logs {
            let expected = head.log(&log).len;
            if found != expected {
                let what = Damage::LogLength {
                    log,
                    expected,
                    found,
                };
                findings.0.push(what.to_string());
            }
        }
        Ok(findings.0)
    }

    /// Follows the keyed chain of one log from its beginning to the end that the head
    /// names.
    fn check_log(&self, barrier: &Barrier, log: &Arc<str>, end: LogHead) -> Result<(), StoreError> {
        let missing = |index| Damage::LogEntry {
            log: Arc::clone(log),
            index,
        };
        // What a log has forgotten nobody vouches for, so it must not be there.
        let first = self.engine().log_read(log, 0, 1)?;
        if let Some(stray) = first.first().filter(|entry| entry.index < end.start) {
            return Err(missing(stray.index).into());
        }
        let (mut chain, mut index) = (end.start_chain, end.start);
        'pages: while index < end.len {
            let page = self.engine().log_read(log, index, PAGE)?;
            let begins = page.first().map(|entry| entry.index);
            if begins != Some(index) {
                // It may have been trimmed meanwhile: then what is left is followed.
                let now = self.engine().snapshot(LIFE)?;
                let now = verify::open_head(barrier, &*now)?.log(log);
                if now.start <= index || now.start > end.len {
                    return Err(missing(index).into());
                }
                (chain, index) = (now.start_chain, now.start);
                continue 'pages;
            }
            for entry in page {
                if index == end.len {
                    break;
                }
                if entry.index != index {
                    return Err(missing(index).into());
                }
                let plain = barrier.open_entry(log, index, entry.version, &entry.value)?;
                chain = barrier.link(&entry.value, index, plain.expose(), &chain);
                index += 1;
            }
        }
        if chain == end.chain {
            Ok(())
        } else {
            Err(Damage::Chain(Arc::clone(log)).into())
        }
    }
}

/// Opens every row that the barrier sealed, and holds chunks against their heads.
fn open_rows(
    barrier: &Barrier,
    head: &Head,
    snapshot: &dyn Snapshot,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut range = KeyRange::everything();
    loop {
        let page = snapshot.scan(&range, PAGE)?;
        for (key, raw) in &page {
            // A table that the head does not name was reported as a set.
            let sealed = head.tables.get(key.table()).is_some_and(|t| t.sealed);
            let damage = match open_row(barrier, sealed, key, raw) {
                Ok(plain) => broken_chunks(barrier, sealed, snapshot, key, raw, &plain)?,
                Err(what) => Some(what),
            };
            findings.0.extend(damage.map(|what| what.to_string()));
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => {
                range = KeyRange::everything().after(last);
            }
            _ => return Ok(()),
        }
    }
}

fn open_row(
    barrier: &Barrier,
    sealed: bool,
    key: &RowKey,
    raw: &RawRow,
) -> Result<SecretBytes, Damage> {
    match sealed {
        true => barrier.open_row(key, raw.version, &raw.value),
        false => Ok(SecretBytes::new(raw.value.to_vec())),
    }
}

/// What is wrong with the chunks of a row, if it has any. JSON begins with
/// neither mark of a head row, so no other row is taken for one.
fn broken_chunks(
    barrier: &Barrier,
    sealed: bool,
    snapshot: &dyn Snapshot,
    key: &RowKey,
    raw: &RawRow,
    plain: &SecretBytes,
) -> Result<Option<Damage>, StoreError> {
    let Some(Stored::Chunked(described)) = chunk::parse(plain.expose()) else {
        return Ok(None);
    };
    if key.table().ends_with('#') {
        return Ok(None);
    }
    let mut whole = SecretBytes::new(Vec::new());
    for index in 0..described.chunks {
        let key = chunk::chunk_key(key, index);
        if let Some(part) = snapshot.get(&key)?
            && part.version == raw.version
            && let Ok(part) = open_row(barrier, sealed, &key, &part)
        {
            whole.expose_mut().extend_from_slice(part.expose());
        }
    }
    let broken = !described.is(whole.expose());
    Ok(broken.then(|| Damage::Chunks(key.table_name())))
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Audience for Findings {
    fn tell(&mut self, _: &Arc<str>, damage: Option<Damage>) {
        self.0.extend(damage.map(|what| what.to_string()));
    }
}

impl Findings {
    /// Damage is a finding; anything else means that the check cannot go on.
    fn note(&mut self, error: StoreError) -> Result<(), StoreError> {
        match error {
            StoreError::Corrupt { what } => {
                self.0.push(what.to_string());
                Ok(())
            }
            other => Err(other),
        }
    }
}
