//! The record of a restored home, and the copies of the ledger that lead on from it: how
//! far they reach, and whether every checkpoint that is known lies on their way.

use super::error::RestoreError;
use super::load::{self, BackupFile};
use procura_ledger::{Checkpoint, Entry, Frontier, Hash, leaf_hash};
use procura_record::gone_leaves;
use procura_record::tables::LEDGER;
use procura_store::backup::Item;
use procura_store::{LogEntry, RawEntry, StoreError};
use procura_types::wire::BackupKind;
use procura_vault::Vault;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Entries that are read at once.
const PAGE: usize = 1024;

/// A checkpoint of the record, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) from: String,
    pub(super) checkpoint: Checkpoint,
}

impl Known {
    /// Reads a signed note; a key that the vault signs or has signed with must be on it.
    pub(super) fn open(vault: &Vault, from: &str, note: &str) -> Result<Self, RestoreError> {
        let keys = vault.ledger_keys();
        let signers = keys.current();
        let mut problem = None;
        let known = std::iter::once(signers.vkey()).chain(signers.former().map(|(vkey, _)| vkey));
        for vkey in known {
            match Checkpoint::open(note, vkey) {
                Ok(checkpoint) => {
                    return Ok(Self {
                        from: from.to_owned(),
                        checkpoint,
                    });
                }
                Err(error) => problem = problem.or(Some(error.to_string())),
            }
        }
        Err(RestoreError::Checkpoint {
            from: from.to_owned(),
            problem: problem.unwrap_or_default(),
        })
    }
}

/// The roots of a growing record, at every size.
#[derive(Default)]
pub(super) struct Heads {
    frontier: Frontier,
    size: u64,
    /// At those that are asked for later.
    roots: BTreeMap<u64, Hash>,
}

impl Heads {
    pub(super) fn push(&mut self, entry: &[u8], wanted: &BTreeSet<u64>) {
        self.push_leaf(leaf_hash(entry), wanted);
    }

    fn push_leaf(&mut self, leaf: Hash, wanted: &BTreeSet<u64>) {
        self.frontier.push(leaf);
        self.size = self.size.saturating_add(1);
        if wanted.contains(&self.size) {
            self.roots.insert(self.size, self.frontier.root());
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The root at a size that was asked for.
    pub(super) fn root_at(&self, size: u64) -> Option<Hash> {
        match self.roots.get(&size) {
            Some(root) => Some(*root),
            None if size == self.size => Some(self.root()),
            None if size == 0 => Some(Hash::empty_root()),
            None => None,
        }
    }

    /// Whether a checkpoint is of this record.
    pub(super) fn hold(&self, known: &Known) -> Result<(), RestoreError> {
        let Checkpoint { size, root, .. } = &known.checkpoint;
        if *size > self.size {
            return Err(RestoreError::TooShort {
                reached: self.size,
                known: *size,
            });
        }
        if self.root_at(*size) == Some(*root) {
            return Ok(());
        }
        Err(RestoreError::Forked {
            size: *size,
            from: known.from.clone(),
        })
    }
}

/// The record as it is in the store.
pub(super) struct Record {
    pub(super) heads: Heads,
    /// Entries that cannot be read as such.
    pub(super) findings: Vec<String>,
}

impl Record {
    /// Reads all of it, and keeps the roots at the sizes that are `wanted`. Each entry goes
    /// through `each` as well.
    pub(super) fn of(
        vault: &Vault,
        wanted: &BTreeSet<u64>,
        mut each: impl FnMut(&LogEntry, &Entry) -> Result<(), RestoreError>,
    ) -> Result<Self, RestoreError> {
        let mut heads = Heads::default();
        let mut findings = Vec::new();
        let store = vault.store();
        let length = store.log_len(LEDGER)?;
        // Of what is forgotten there are the hashes.
        gone_leaves(store, |leaf| heads.push_leaf(leaf, wanted))?;
        while heads.size < length {
            let left = usize::try_from(length - heads.size)
                .unwrap_or(PAGE)
                .min(PAGE);
            let page = store.log_read(LEDGER, heads.size, left)?;
            if page.is_empty() {
                return Err(RestoreError::NotWhole(vec![format!(
                    "the record ends at entry {} of {length}",
                    heads.size
                )]));
            }
            for entry in page {
                match Entry::parse(entry.bytes.expose()) {
                    Ok(parsed) => each(&entry, &parsed)?,
                    Err(error) if findings.len() < 100 => {
                        findings.push(format!("entry {} of the record: {error}", entry.index));
                    }
                    Err(_) => {}
                }
                heads.push(entry.bytes.expose(), wanted);
            }
        }
        Ok(Self { heads, findings })
    }
}

/// Looks at copies of the ledger: whole, of this vault, and without a hole behind the
/// record of `length` entries. A directory stands for the files in it.
pub(super) fn look(
    vault: &Vault,
    places: &[PathBuf],
    length: u64,
) -> Result<Vec<BackupFile>, RestoreError> {
    let mut copies = Vec::new();
    for path in files(places)? {
        let file = load::look(&path)?;
        let id = vault.installation().id;
        if file.head.id != id {
            return Err(RestoreError::OtherInstallation {
                path,
                expected: id,
                found: file.head.id,
            });
        }
        if file.head.kind != BackupKind::Ledger {
            return Err(RestoreError::OtherKind {
                path,
                is: "a backup",
                wanted: "a copy of the ledger",
            });
        }
        if !file.end.is_tagged_by(vault.backup_key(), &id) {
            return Err(RestoreError::NotOurs(path));
        }
        copies.push(file);
    }
    copies.sort_by_key(|copy| (copy.head.from, copy.head.until));
    let mut reached = length;
    for copy in &copies {
        if copy.head.from > reached {
            return Err(RestoreError::Hole {
                path: copy.path.clone(),
                expected: reached,
                found: copy.head.from,
            });
        }
        reached = reached.max(copy.head.until);
    }
    Ok(copies)
}

fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, RestoreError> {
    let mut files = Vec::new();
    for place in places {
        let failed = || RestoreError::io(format!("listing {}", place.display()));
        if !place.is_dir() {
            files.push(place.clone());
            continue;
        }
        for entry in fs::read_dir(place).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            let partial = path.extension().is_some_and(|end| end == "partial");
            if path.is_file() && !partial {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Opens the entries of a copy one after the other.
pub(super) fn each_entry(
    vault: &Vault,
    copy: &BackupFile,
    mut each: impl FnMut(&RawEntry, &[u8]) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let again = load::read(&copy.path, |item| {
        let Item::Entry(log, entry) = item else {
            return Ok(());
        };
        if *log != *LEDGER.as_str() {
            return Ok(());
        }
        let bytes = vault
            .store()
            .open_copied(&log, &entry)
            .map_err(|error| not_opened(&copy.path, error))?;
        each(&entry, bytes.expose())
    })?;
    if again.end == copy.end {
        return Ok(());
    }
    Err(RestoreError::Home {
        path: copy.path.clone(),
        problem: "was changed while it was read".to_owned(),
    })
}

fn not_opened(path: &Path, error: StoreError) -> RestoreError {
    match error {
        StoreError::Corrupt { what } => RestoreError::Home {
            path: path.to_owned(),
            problem: format!(
                "does not open with the keys of the backup ({what}): what opens the vault was changed between the two; restore a backup from after the change"
            ),
        },
        other => other.into(),
    }
}
