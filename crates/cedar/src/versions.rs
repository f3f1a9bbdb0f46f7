//! Versions of policies: kept by number, and which of them counts. A text is checked when
//! it is stored and once more when it is to count, since the schema may be another by
//! then; what counts is bound by its digest to the row of the directory that says so.

use crate::error::{Flaw, PolicyError};
use crate::op::{PolicyListing, PolicyPut, PolicyReading, PolicyRollback, PolicyStateSet};
use crate::set::PolicySet;
use procura_crypto::sha256;
use procura_directory::{PolicyInForce, PolicyRecord, Snapshot};
use procura_policy::{Op, Permit};
use procura_record::RecordedBatch;
use procura_record::tables::INSTALLATION_POLICIES;
use procura_store::{Blob, Expected, KeyPrefix, Kind, Store, StoreError, Table};
use procura_types::wire::{PolicyState, PolicyText, PolicyVersion, PolicyVersionList};
use procura_types::{ActorId, Namespace, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Versions of one scope that are kept: of more, the oldest that does not count goes.
pub const MAX_VERSIONS: usize = 1_000;

/// Rows that are read at once.
const PAGE: usize = 256;

/// What is known of a version besides its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionRow {
    #[serde(with = "procura_types::encoding::serde_b64url")]
    digest: Vec<u8>,
    size: u64,
    policies: u64,
    author: ActorId,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_of: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// (scope, number) → version.
const VERSIONS: Table<(String, u32), VersionRow> = Table::new("policy-version", Kind::Ordinary);
/// (scope, number) → its text.
const TEXTS: Table<(String, u32), Blob> = Table::new("policy-text", Kind::Ordinary);
/// Scope → the number of the newest version.
const LAST: Table<String, u32> = Table::new("policy-last", Kind::Ordinary);

/// The key of a scope in these tables.
fn scope_key(namespace: Option<&Namespace>) -> String {
    namespace.map_or_else(|| INSTALLATION_POLICIES.to_owned(), ToString::to_string)
}

/// What stands before the names of the policies of a version in the record.
pub(crate) fn label(namespace: Option<&Namespace>, version: u32) -> String {
    // No namespace begins so.
    let scope = namespace.map_or("/", Namespace::as_str);
    format!("{scope}@{version}")
}

/// The text of a version, or nothing if there is none, or one that is not text.
pub(crate) fn text(
    store: &Store,
    namespace: Option<&Namespace>,
    version: u32,
) -> Result<Option<String>, StoreError> {
    let row = TEXTS.get(store, &(scope_key(namespace), version))?;
    Ok(row.and_then(|row| String::from_utf8(row.value.as_bytes().to_vec()).ok()))
}

/// What a version counts for now.
fn state_of(snapshot: &Snapshot, namespace: Option<&Namespace>, version: u32) -> PolicyState {
    let is = |counts: &Option<Arc<PolicyInForce>>| {
        counts
            .as_ref()
            .is_some_and(|counts| counts.version().version == version)
    };
    match snapshot.policies(namespace) {
        Some(counts) if is(&counts.enforce) => PolicyState::Enforce,
        Some(counts) if is(&counts.observe) => PolicyState::Observe,
        _ => PolicyState::Draft,
    }
}

fn shown(
    snapshot: &Snapshot,
    namespace: Option<&Namespace>,
    version: u32,
    row: VersionRow,
) -> PolicyVersion {
    let author = snapshot.actor(&row.author);
    PolicyVersion {
        version,
        state: state_of(snapshot, namespace, version),
        policies: row.policies,
        size: row.size,
        sha256: row
            .digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        author: author.map_or_else(
            || row.author.to_string(),
            |author| author.label().to_string(),
        ),
        created: row.created,
        text_of: row.text_of,
        warnings: row.warnings,
    }
}

/// All versions of a scope, oldest first.
fn versions(
    store: &Store,
    namespace: Option<&Namespace>,
) -> Result<Vec<(u32, VersionRow)>, StoreError> {
    let snapshot = store.snapshot()?;
    let prefix = KeyPrefix::all().part(&scope_key(namespace));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = VERSIONS.scan(&snapshot, &prefix, after.as_ref(), PAGE)?;
        let full = page.len() == PAGE;
        found.extend(page.into_iter().map(|(key, row)| (key.1, row.value)));
        match found.last() {
            Some((last, _)) if full => after = Some((scope_key(namespace), *last)),
            _ => return Ok(found),
        }
    }
}

/// The text of a version, read and checked as it would be for deciding.
fn checked(
    store: &Store,
    namespace: Option<&Namespace>,
    version: u32,
) -> Result<(String, PolicySet), PolicyError> {
    let text = text(store, namespace, version)?.ok_or(PolicyError::NoVersion(version))?;
    let set = PolicySet::parse(&label(namespace, version), &text).map_err(PolicyError::Flawed)?;
    Ok((text, set))
}

/// Puts the rows of another version, and says so in the entry.
fn store_version<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: Option<&Namespace>,
    (text, set): (&str, &PolicySet),
    text_of: Option<u32>,
    now: Timestamp,
) -> Result<PolicyVersion, PolicyError> {
    let (store, scope) = (batch.store(), scope_key(namespace));
    let last = LAST.get(store, &scope)?;
    let (expected, number) = match &last {
        None => (Expected::Absent, 1),
        Some(row) => (Expected::At(row.version), row.value.saturating_add(1)),
    };
    let known = versions(store, namespace)?;
    let too_many = known.len().saturating_sub(MAX_VERSIONS - 1);
    let idle: Vec<u32> = known
        .iter()
        .map(|(version, _)| *version)
        .filter(|version| state_of(batch.directory(), namespace, *version) == PolicyState::Draft)
        .take(too_many)
        .collect();
    let row = VersionRow {
        digest: sha256(text.as_bytes()).to_vec(),
        size: u64::try_from(text.len()).unwrap_or(u64::MAX),
        policies: u64::try_from(set.count()).unwrap_or(u64::MAX),
        author: *batch.permit().caller().actor(),
        created: now,
        text_of,
        warnings: set
            .warnings()
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect(),
    };
    let about = shown(batch.directory(), namespace, number, row.clone());
    LAST.expect(batch.rows(), &scope, expected);
    LAST.put(batch.rows(), &scope, &number);
    let key = (scope.clone(), number);
    VERSIONS.put(batch.rows(), &key, &row);
    TEXTS.put(batch.rows(), &key, &Blob::new(text.as_bytes().to_vec()));
    for old in idle {
        let key = (scope.clone(), old);
        VERSIONS.delete(batch.rows(), &key);
        TEXTS.delete(batch.rows(), &key);
    }
    let of = text_of.map_or_else(String::new, |of| format!(" text_of:{of}"));
    batch.details().with = Some(format!("version:{number} sha256:{}{of}", about.sha256));
    Ok(about)
}

impl PolicyPut {
    /// The set that the text makes: outside the change, since it may take a while.
    ///
    /// # Errors
    /// [`PolicyError::Flawed`].
    pub fn check(namespace: Option<&Namespace>, text: &str) -> Result<PolicySet, PolicyError> {
        PolicySet::parse(&label(namespace, 0), text).map_err(PolicyError::Flawed)
    }

    /// Stores the version of the permit, whose text was checked.
    ///
    /// # Errors
    /// The store.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        set: &PolicySet,
        now: Timestamp,
    ) -> Result<PolicyVersion, PolicyError> {
        let op = batch.op();
        store_version(batch, op.namespace.as_ref(), (&op.text, set), None, now)
    }
}

impl PolicyRollback {
    /// The old text, if it can still be used.
    ///
    /// # Errors
    /// [`PolicyError::NoVersion`], [`PolicyError::Flawed`], the store.
    pub fn check(&self, store: &Store) -> Result<(String, PolicySet), PolicyError> {
        checked(store, self.namespace.as_ref(), self.version)
    }

    /// Stores the version of the permit.
    ///
    /// # Errors
    /// The store.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        (text, set): (&str, &PolicySet),
        now: Timestamp,
    ) -> Result<PolicyVersion, PolicyError> {
        let op = batch.op();
        let of = Some(op.version);
        store_version(batch, op.namespace.as_ref(), (text, set), of, now)
    }
}

impl PolicyStateSet {
    /// Whether the version may count: it has to be whole and to type-check now.
    ///
    /// # Errors
    /// [`PolicyError::NoVersion`], [`PolicyError::Flawed`], the store.
    pub fn check(&self, store: &Store) -> Result<(), PolicyError> {
        let namespace = self.namespace.as_ref();
        if self.state == PolicyState::Draft {
            // What cannot be used any more can still be taken out of force.
            let known = VERSIONS.get(store, &(scope_key(namespace), self.version))?;
            return known.map(drop).ok_or(PolicyError::NoVersion(self.version));
        }
        let (text, _) = checked(store, namespace, self.version)?;
        let row = VERSIONS.get(store, &(scope_key(namespace), self.version))?;
        let row = row.ok_or(PolicyError::NoVersion(self.version))?;
        if row.value.digest == sha256(text.as_bytes()) {
            return Ok(());
        }
        let other = "the text of this version is not the one that was stored";
        Err(PolicyError::Flawed(vec![Flaw::of_text(other)]))
    }

    /// Has the version of the permit count for what the permit says, and what counted for
    /// that before for nothing.
    ///
    /// # Errors
    /// [`PolicyError::NoVersion`], the store.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<PolicyVersion, PolicyError> {
        let op = batch.op();
        let (namespace, number) = (op.namespace.as_ref(), op.version);
        let key = (scope_key(namespace), number);
        let row = VERSIONS
            .get(batch.store(), &key)?
            .ok_or(PolicyError::NoVersion(number))?;
        // Nobody takes it away while it is put into force.
        VERSIONS.expect(batch.rows(), &key, Expected::At(row.version));
        let counts = batch.directory().policies(namespace);
        let other = |known: Option<&Arc<PolicyInForce>>| {
            known
                .map(|known| known.version().clone())
                .filter(|known| known.version != number)
        };
        let mut record = PolicyRecord {
            namespace: op.namespace.clone(),
            enforce: other(counts.and_then(|counts| counts.enforce.as_ref())),
            observe: other(counts.and_then(|counts| counts.observe.as_ref())),
        };
        let this = procura_directory::PolicyVersion {
            version: number,
            digest: row.value.digest.clone(),
            since: now,
            by: *batch.permit().caller().actor(),
        };
        match op.state {
            PolicyState::Draft => {}
            PolicyState::Observe => record.observe = Some(this),
            PolicyState::Enforce => record.enforce = Some(this),
        }
        let words = |version: &Option<procura_directory::PolicyVersion>| {
            version
                .as_ref()
                .map_or_else(|| "none".to_owned(), |known| known.version.to_string())
        };
        batch.details().with = Some(format!(
            "version:{number} state:{} enforce:{} observe:{}",
            op.state,
            words(&record.enforce),
            words(&record.observe),
        ));
        let mut about = shown(batch.directory(), namespace, number, row.value);
        about.state = op.state;
        batch.put_policies(&record);
        Ok(about)
    }
}

impl PolicyListing {
    /// All versions that are kept, newest first.
    ///
    /// # Errors
    /// The store.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
    ) -> Result<PolicyVersionList, StoreError> {
        let namespace = permit.op().namespace.as_ref();
        let found = versions(store, namespace)?.into_iter().rev();
        Ok(PolicyVersionList {
            versions: found
                .map(|(version, row)| shown(snapshot, namespace, version, row))
                .collect(),
            unusable: None,
        })
    }
}

impl PolicyReading {
    /// The version of the permit with its text.
    ///
    /// # Errors
    /// [`PolicyError::NoVersion`], the store.
    pub fn run(
        permit: &Permit<Self>,
        snapshot: &Snapshot,
        store: &Store,
    ) -> Result<PolicyText, PolicyError> {
        let op = permit.op();
        let (namespace, number) = (op.namespace.as_ref(), op.version);
        let none = || PolicyError::NoVersion(number);
        let row = VERSIONS.get(store, &(scope_key(namespace), number))?;
        let row = row.ok_or_else(none)?;
        Ok(PolicyText {
            about: shown(snapshot, namespace, number, row.value),
            text: text(store, namespace, number)?.ok_or_else(none)?,
        })
    }
}
