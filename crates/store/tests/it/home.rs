//! A store in a folder of its own, and plain SQL on its closed file.

use procura_crypto::SystemEntropy;
use procura_store::{
    Barrier, BarrierKeys, Batch, Blob, CommitError, Committed, Kind, LogId, OpenError,
    SqliteOptions, Store, StoreError, Table, UnsealError,
};
use procura_types::{Clock, InstallationId, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doc {
    pub(crate) text: String,
}

pub(crate) fn doc(text: &str) -> Doc {
    Doc { text: text.into() }
}

/// A table of each kind, and large values sealed and clear.
pub(crate) const AGENTS: Table<String, Doc> = Table::new("agents", Kind::Directory);
pub(crate) const PROJECTS: Table<(String, String), Doc> = Table::new("projects", Kind::Ordinary);
pub(crate) const KEYRING: Table<(), Doc> = Table::new("keyring", Kind::Clear);
pub(crate) const NOTES: Table<String, Blob> = Table::new("notes", Kind::Ordinary);
pub(crate) const BODIES: Table<(String, u64), Blob> = Table::new("bodies", Kind::Clear);
pub(crate) const LEDGER: LogId = LogId::new("ledger");

pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

pub(crate) struct Home {
    _folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) id: InstallationId,
    /// What all keys are made of.
    pub(crate) seed: u8,
}

/// Keys that are all different, from one byte.
pub(crate) fn keys(id: InstallationId, seed: u8, epochs: &[u32]) -> BarrierKeys {
    let key = |n: u8| Secret::new([seed.wrapping_mul(16).wrapping_add(n); 32]);
    BarrierKeys {
        installation: id,
        epochs: epochs
            .iter()
            .map(|epoch| (*epoch, key(10 + u8::try_from(*epoch).unwrap())))
            .collect(),
        set_key: key(1),
        chain_key: key(2),
        index_key: key(3),
    }
}

pub(crate) fn barrier(id: InstallationId, seed: u8, epochs: &[u32]) -> Barrier {
    Barrier::new(keys(id, seed, epochs), Arc::new(SystemEntropy)).unwrap()
}

impl Home {
    pub(crate) fn new(seed: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Self {
            path: folder.path().join("store.db"),
            _folder: folder,
            id: InstallationId::from_bytes([seed; 16]),
            seed,
        };
        let options = SqliteOptions::default();
        let store = Store::create(
            &home.path,
            &home.id,
            &options,
            Arc::new(Noon),
            Arc::new(SystemEntropy),
        );
        drop(store.unwrap());
        home
    }

    pub(crate) fn open(&self) -> Result<Store, OpenError> {
        let options = SqliteOptions::default();
        Store::open(
            &self.path,
            &self.id,
            &options,
            Arc::new(Noon),
            Arc::new(SystemEntropy),
        )
    }

    pub(crate) fn barrier(&self) -> Barrier {
        barrier(self.id, self.seed, &[1])
    }

    pub(crate) fn try_unseal(&self) -> Result<Store, UnsealError> {
        let store = self.open().unwrap();
        store.install_barrier(self.barrier())?;
        Ok(store)
    }

    pub(crate) fn unsealed(&self) -> Store {
        self.try_unseal().unwrap()
    }

    /// Fills a store with a little of everything and closes it.
    pub(crate) fn filled(seed: u8) -> Self {
        let home = Self::new(seed);
        let store = home.unsealed();
        for n in 0..4 {
            commit(&store, |batch| {
                AGENTS.put(batch, &format!("agent-{n}"), &doc("one"));
                PROJECTS.put(batch, &project("prod", n), &doc("one"));
                batch.append(LEDGER, format!("entry {n}").into_bytes());
            });
        }
        commit(&store, |batch| {
            KEYRING.put(batch, &(), &doc("wrapped"));
            NOTES.put(batch, &"large".into(), &large(1));
            BODIES.put(batch, &("s".into(), 1), &large(2));
        });
        home
    }

    /// Runs plain SQL on the closed file, as the `sqlite3` program would.
    pub(crate) fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.execute_batch(sql).unwrap();
        let changed = connection.total_changes();
        assert!(
            changed > 0 || sql.contains("PRAGMA") || sql.contains("CREATE"),
            "changed nothing: {sql}"
        );
    }
}

pub(crate) fn project(space: &str, n: usize) -> (String, String) {
    (space.into(), format!("p{n}"))
}

/// 150,000 bytes: three chunks.
pub(crate) fn large(seed: u8) -> Blob {
    Blob::new(
        (0..150_000u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed)
            .collect(),
    )
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

pub(crate) fn try_commit(
    store: &Store,
    fill: impl FnOnce(&mut Batch),
) -> Result<Committed, CommitError> {
    let mut batch = store.batch().unwrap();
    fill(&mut batch);
    wait(store.commit(batch))
}

pub(crate) fn commit(store: &Store, fill: impl FnOnce(&mut Batch)) -> Committed {
    try_commit(store, fill).unwrap()
}

pub(crate) fn corrupt(what: procura_store::Damage) -> StoreError {
    StoreError::Corrupt { what }
}
