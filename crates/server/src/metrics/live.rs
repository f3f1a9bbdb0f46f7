//! How things stand at the moment of a scrape.

use crate::app::{App, Open, Stage};
use crate::health::degraded;
use procura_directory::{ActorKind, Snapshot};
use procura_identity::count_agent_secrets;
use procura_record::tables::LEDGER;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    cache: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GuardLabels {
    guard: &'static str,
}

pub(super) struct Live {
    sealed: Gauge,
    degraded: Gauge,
    directory: Family<KindLabels, Gauge>,
    secrets: Gauge,
    followers: Gauge,
    servers: Family<StateLabels, Gauge>,
    caches: Family<CacheLabels, Counter>,
    nonces: Family<GuardLabels, Gauge>,
    entries: Gauge,
    checkpoint_entries: Gauge,
    checkpoint_time: Gauge,
}

impl Live {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let live = Self {
            sealed: Gauge::default(),
            degraded: Gauge::default(),
            directory: Family::default(),
            secrets: Gauge::default(),
            followers: Gauge::default(),
            servers: Family::default(),
            caches: Family::default(),
            nonces: Family::default(),
            entries: Gauge::default(),
            checkpoint_entries: Gauge::default(),
            checkpoint_time: Gauge::default(),
        };
        registry.register(
            "sealed",
            "1 while the vault is sealed or not initialised",
            live.sealed.clone(),
        );
        registry.register(
            "degraded",
            "Reasons why the server does less than it should, which /health words",
            live.degraded.clone(),
        );
        registry.register(
            "directory_records",
            "Who and what is in the directory and not revoked, by kind",
            live.directory.clone(),
        );
        registry.register(
            "agent_secrets",
            "Secrets of agents that are good",
            live.secrets.clone(),
        );
        registry.register(
            "gates_following",
            "Gates that follow this server",
            live.followers.clone(),
        );
        registry.register(
            "servers",
            "Servers of the installation on a shared database, open and absent",
            live.servers.clone(),
        );
        registry.register(
            "cache_lookups",
            "Look-ups in caches, by result",
            live.caches.clone(),
        );
        registry.register(
            "nonces_held",
            "Used proofs that a replay guard remembers",
            live.nonces.clone(),
        );
        registry.register(
            "ledger_entries",
            "Entries of the record",
            live.entries.clone(),
        );
        registry.register(
            "checkpoint_entries",
            "Entries of the record that the newest signed checkpoint covers",
            live.checkpoint_entries.clone(),
        );
        registry.register(
            "checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed, in seconds since 1970",
            live.checkpoint_time.clone(),
        );
        live
    }

    /// Looks at how things stand, which takes the longer the more there is. What is not
    /// known while sealed keeps its last value.
    pub(super) fn look_at(&self, app: &App) {
        let stage = app.stage();
        let sealed = !matches!(stage.as_ref(), Stage::Open(_));
        self.sealed.set(i64::from(sealed));
        set(&self.degraded, degraded(app).len());
        set(&self.followers, app.followers.count(app.clock.steady()));
        for (guard, held) in app.nonces_held() {
            set(&self.nonces.get_or_create(&GuardLabels { guard }), held);
        }
        if let Stage::Open(open) = stage.as_ref() {
            self.look_inside(app, open);
        }
    }

    fn look_inside(&self, app: &App, open: &Open) {
        for (kind, count) in census(&open.directory.snapshot()) {
            set(&self.directory.get_or_create(&KindLabels { kind }), count);
        }
        let (present, absent) = open.vault.servers_counted().unwrap_or((1, 0));
        for (state, count) in [("open", present), ("absent", absent)] {
            set(&self.servers.get_or_create(&StateLabels { state }), count);
        }
        let store = open.vault.store();
        let terms = app.config.agent_secret_terms();
        if let Ok(secrets) = count_agent_secrets(store, &terms, app.clock.now()) {
            self.secrets.set(i64::try_from(secrets).unwrap_or(i64::MAX));
        }
        let (rows, sessions) = (store.cache_use(), open.verifier.session_cache_use());
        for (cache, result, count) in [
            ("rows", "hit", rows.0),
            ("rows", "miss", rows.1),
            ("sessions", "hit", sessions.0),
            ("sessions", "miss", sessions.1),
        ] {
            // They count by themselves; here they are only shown.
            self.caches
                .get_or_create(&CacheLabels { cache, result })
                .inner()
                .store(count, Ordering::Relaxed);
        }
        if let Ok(entries) = store.log_len(LEDGER) {
            self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
        if let Some(published) = open.publisher.latest() {
            let size = i64::try_from(published.size);
            self.checkpoint_entries.set(size.unwrap_or(i64::MAX));
            let time = i64::try_from(published.time.as_secs());
            self.checkpoint_time.set(time.unwrap_or(i64::MAX));
        }
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// How many of each kind count, which who is revoked does not.
fn census(snapshot: &Snapshot) -> [(&'static str, usize); 5] {
    let (mut owners, mut agents, mut devices) = (0, 0, 0);
    for actor in snapshot.actors().filter(|actor| actor.revoked.is_none()) {
        match actor.kind {
            ActorKind::Owner { .. } => owners += 1,
            ActorKind::Agent { .. } => agents += 1,
        }
        devices += snapshot
            .devices_of(&actor.id)
            .filter(|device| device.revoked.is_none())
            .count();
    }
    [
        ("owner", owners),
        ("agent", agents),
        ("device", devices),
        ("namespace", snapshot.namespaces().count()),
        ("grant", snapshot.grants().count()),
    ]
}
