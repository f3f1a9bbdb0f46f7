//! How secrets lie in the store.
//!
//! A head row per path carries the newest version's wrapped key, so that reading
//! it takes two rows: head and body. Older versions have rows of their own.
//! Bodies are envelopes under single-use keys; they pass the barrier by and are
//! never rewritten.

use crate::about::About;
use crate::as_of::Away;
use procura_store::{Blob, Key, KeyPrefix, Kind, Row, Store, StoreError, Table, Value};
use procura_types::wire::VersionState;
use procura_types::{EnvName, Namespace, SecretKind, SecretPath, Timestamp};
use serde::{Deserialize, Serialize};

/// One version without its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    /// From 1.
    pub(crate) version: u64,
    /// When it was written.
    pub(crate) created: Timestamp,
    /// Bytes of the value.
    pub(crate) size: u64,
    /// What is left of it.
    pub(crate) state: VersionState,
    /// The DEK, sealed under the namespace key; empty once destroyed.
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub(crate) dek: Vec<u8>,
    /// Of a template: the names of its variables, so that they are known without the
    /// value being opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) variables: Vec<EnvName>,
    /// When it was deleted and when it came back, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) away: Vec<Away>,
}

/// A path and its newest version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeadRow {
    /// The newest version.
    pub(crate) latest: VersionRow,
    /// The environment name that discovery finds it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<EnvName>,
    /// The one that it had when the newest version was deleted: an undelete brings it
    /// back, anything else that comes after lets it go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_env: Option<EnvName>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// What the versions are.
    #[serde(default, skip_serializing_if = "SecretKind::is_default")]
    pub(crate) kind: SecretKind,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub(crate) about: About,
}

impl HeadRow {
    /// Of a first version, of which nothing is said yet.
    pub(crate) fn new(latest: VersionRow) -> Self {
        Self {
            latest,
            env: None,
            deleted_env: None,
            description: None,
            kind: SecretKind::default(),
            about: About::default(),
        }
    }
}

/// (namespace, path) → head.
pub(crate) const HEADS: Table<(String, String), HeadRow> = Table::new("secret", Kind::Ordinary);
/// (namespace, path, version) → older version.
pub(crate) const VERSIONS: Table<(String, String, u64), VersionRow> =
    Table::new("secret-version", Kind::Ordinary);
/// (namespace, path, version) → envelope under the DEK.
pub(crate) const BODIES: Table<(String, String, u64), Blob> =
    Table::new("secret-body", Kind::Clear);
/// (namespace, env name, path) → nothing: which secrets declare a name.
pub(crate) const BY_ENV: Table<(String, String, String), ()> =
    Table::new("secret-env", Kind::Ordinary);

pub(crate) fn head_key(namespace: &Namespace, path: &SecretPath) -> (String, String) {
    (namespace.to_string(), path.to_string())
}

pub(crate) fn version_key(
    namespace: &Namespace,
    path: &SecretPath,
    version: u64,
) -> (String, String, u64) {
    (namespace.to_string(), path.to_string(), version)
}

/// All rows below a prefix, page by page.
pub(crate) fn all_rows<K: Key, V: Value>(
    table: &Table<K, V>,
    store: &Store,
    prefix: &KeyPrefix,
) -> Result<Vec<(K, Row<V>)>, StoreError> {
    const PAGE: usize = 1000;
    let snapshot = store.snapshot()?;
    let mut rows: Vec<(K, Row<V>)> = Vec::new();
    loop {
        let page = table.scan(&snapshot, prefix, rows.last().map(|(key, _)| key), PAGE)?;
        let more = page.len() == PAGE;
        rows.extend(page);
        if !more {
            return Ok(rows);
        }
    }
}

/// The versions before the newest, oldest first.
pub(crate) fn older_versions(
    store: &Store,
    namespace: &Namespace,
    path: &SecretPath,
) -> Result<Vec<Row<VersionRow>>, StoreError> {
    let prefix = KeyPrefix::all()
        .part(&namespace.to_string())
        .part(&path.to_string());
    Ok(all_rows(&VERSIONS, store, &prefix)?
        .into_iter()
        .map(|(_, row)| row)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::HeadRow;

    #[test]
    fn a_row_from_before_reads_as_if_nothing_had_been_said_and_stays_the_same() {
        let row = r#"{"latest":{"version":1,"created":"2026-11-21T09:12:37.123Z","size":3,"state":"live","dek":"AAAA"},"env":"KEY","description":"d"}"#;
        let head: HeadRow = serde_json::from_str(row).unwrap();
        assert!(head.kind.is_default() && head.about.is_empty() && head.deleted_env.is_none());
        assert_eq!(serde_json::to_string(&head).unwrap(), row);
    }
}
