//! A server with databases, and engines on them.

use super::super::{LocalPostgres, PostgresEngine, PostgresFault, PostgresOptions};
use crate::conformance::{Fixture, OpenSealer, key, wait};
use crate::engine::{Engine, RawBatch};
use crate::{CommitError, Committed, Seq, StoreError};
use procura_types::InstallationId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(super) const ID: InstallationId = InstallationId::from_bytes([7; 16]);

/// How long it may take until all is in order again.
const PATIENCE: Duration = Duration::from_secs(180);

pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A server of its own.
pub(super) struct World {
    pub(super) server: LocalPostgres,
    databases: AtomicU32,
    _dir: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            server: LocalPostgres::start(dir.path(), &[]),
            databases: AtomicU32::new(0),
            _dir: dir,
        }
    }

    /// The name of a new and empty database.
    pub(super) fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("store{number}");
        self.server.database(&name);
        name
    }

    /// An empty store.
    pub(super) fn store(&self) -> Database {
        self.store_with(|_| {})
    }

    /// An empty store whose engines are run so.
    pub(super) fn store_with(&self, tune: fn(&mut PostgresOptions)) -> Database {
        let name = self.database();
        let store = Database {
            url: self.server.socket_url(&name),
            name,
            tune,
        };
        PostgresEngine::create(store.options(), &ID).unwrap();
        store
    }

    /// Changes a setting of the server, and waits until it is heard of.
    pub(super) fn set(&self, name: &str, value: &str) {
        let server = &self.server;
        server.tell("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
        server.tell("postgres", "SELECT pg_reload_conf()");
        let shown = format!("SHOW {name}");
        until(name, || server.tell("postgres", &shown) == value);
    }
}

/// A store on a server.
pub(super) struct Database {
    pub(super) name: String,
    pub(super) url: String,
    tune: fn(&mut PostgresOptions),
}

impl Database {
    pub(super) fn options(&self) -> PostgresOptions {
        self.options_at(&self.url)
    }

    fn options_at(&self, url: &str) -> PostgresOptions {
        let mut options = PostgresOptions::new(url.parse().unwrap());
        (self.tune)(&mut options);
        options
    }

    pub(super) fn try_open(&self) -> Result<PostgresEngine, PostgresFault> {
        PostgresEngine::open(self.options(), &ID)
    }

    /// An engine that writes.
    pub(super) fn engine(&self) -> PostgresEngine {
        self.engine_at(&self.url)
    }

    /// The same by another address.
    pub(super) fn engine_at(&self, url: &str) -> PostgresEngine {
        let engine = PostgresEngine::open(self.options_at(url), &ID).unwrap();
        engine.set_sealer(Some(Arc::new(OpenSealer)));
        engine
    }
}

impl Fixture for Database {
    fn open(&self) -> Arc<dyn Engine> {
        Arc::new(self.try_open().unwrap())
    }
}

pub(super) fn commit(engine: &dyn Engine, batch: RawBatch) -> Result<Committed, CommitError> {
    wait(engine.commit(batch))
}

/// The version and the value of a row of the suite's table.
pub(super) fn row(engine: &dyn Engine, name: &str) -> Result<Option<(Seq, Vec<u8>)>, StoreError> {
    let row = engine.get(&key(name))?;
    Ok(row.map(|row| (row.version, row.value[8..].to_vec())))
}

/// Waits until the engine takes questions again.
pub(super) fn back(engine: &dyn Engine) {
    until("the engine is back", || engine.get(&key("none")).is_ok());
}
