//! Whether every value opens: what is looked at before a restored copy is trusted. Values
//! are opened and wiped, one after the other, and leave the vault in no way.

use crate::error::VaultError;
use crate::secret_rows::{HEADS, VERSIONS, VersionRow, head_key};
use crate::vault::Vault;
use crate::write::end_versions;
use procura_policy::Op;
use procura_record::RecordedBatch;
use procura_store::{Key, KeyPrefix, Row, Table, Value};
use procura_types::wire::VersionState;
use procura_types::{Namespace, SecretPath, Timestamp};

/// Rows that are looked at in one snapshot.
const PAGE: usize = 500;
/// After so many findings there is nothing more to learn.
const FINDINGS: usize = 100;

/// What was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EveryValue {
    /// Paths.
    pub secrets: u64,
    /// Versions whose value opened.
    pub values: u64,
    /// Bytes of those values.
    pub bytes: u64,
    /// One line for each that did not open, a hundred at most.
    pub findings: Vec<String>,
}

impl Vault {
    /// Opens every version of every secret that is not destroyed. Takes as long as reading
    /// all of them; blocks the thread.
    ///
    /// # Errors
    /// `Store` when it cannot be looked at all; values that do not open are findings.
    pub fn open_every_value(&self) -> Result<EveryValue, VaultError> {
        let mut every = EveryValue::default();
        self.rows(&HEADS, |(namespace, path), head| {
            every.secrets = every.secrets.saturating_add(1);
            self.opens(&mut every, &namespace, &path, &head.value.latest)
        })?;
        self.rows(&VERSIONS, |(namespace, path, _), version| {
            self.opens(&mut every, &namespace, &path, &version.value)
        })?;
        Ok(every)
    }

    /// All rows of a table, in snapshots that are not kept for long.
    fn rows<K: Key + Clone, V: Value>(
        &self,
        table: &Table<K, V>,
        mut each: impl FnMut(K, &Row<V>) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut last: Option<K> = None;
        loop {
            let snapshot = self.store().snapshot()?;
            let page = table.scan(&snapshot, &KeyPrefix::all(), last.as_ref(), PAGE)?;
            drop(snapshot);
            let more = page.len() == PAGE;
            last = page.last().map(|(key, _)| key.clone());
            for (key, row) in page {
                each(key, &row)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn opens(
        &self,
        every: &mut EveryValue,
        namespace: &str,
        path: &str,
        row: &VersionRow,
    ) -> Result<(), VaultError> {
        if row.state == VersionState::Destroyed {
            return Ok(());
        }
        let (Ok(place), Ok(name)) = (namespace.parse::<Namespace>(), path.parse::<SecretPath>())
        else {
            every.finding(format!("{namespace}/{path} is no name of a secret"));
            return Ok(());
        };
        match self.open_version(&place, &name, row) {
            Ok(value) => {
                every.values = every.values.saturating_add(1);
                let length = u64::try_from(value.expose().len()).unwrap_or(u64::MAX);
                every.bytes = every.bytes.saturating_add(length);
            }
            Err(VaultError::Store(error)) => return Err(error.into()),
            // What is left of a namespace that ended is meant to open no more.
            Err(VaultError::NoNamespace) if self.has_ended(&place)? => {}
            Err(error) => every.finding(format!(
                "secret {namespace}/{path} version {}: {error}",
                row.version
            )),
        }
        Ok(())
    }
}

/// What was ended of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretEnded {
    /// Its bytes and keys are gone; else it can be undeleted.
    pub destroyed: bool,
    /// Which version; none for all of them.
    pub version: Option<u64>,
}

/// Ends one version of a secret once more in a restored store, or all where none is named.
/// A version that is not there was written since, and with it the newest may have ended:
/// then all are deleted, which takes nothing away for good.
///
/// # Errors
/// [`VaultError::NotFound`] when there is nothing to end.
pub fn end_secret<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    path: &SecretPath,
    end: SecretEnded,
    now: Timestamp,
) -> Result<SecretEnded, VaultError> {
    let head = HEADS.get(batch.store(), &head_key(namespace, path))?;
    let newest = head.map_or(0, |head| head.value.latest.version);
    let end = match end.version {
        Some(version) if version > newest => SecretEnded {
            destroyed: false,
            version: None,
        },
        _ => end,
    };
    let to = match end.destroyed {
        true => VersionState::Destroyed,
        false => VersionState::Deleted,
    };
    end_versions(batch, None, (namespace, path), end.version, to, now)?;
    Ok(end)
}

impl EveryValue {
    fn finding(&mut self, line: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(line);
        }
    }
}
