//! The primary of the database goes under load, killed or hung, and its standby takes
//! over: what was acknowledged is there, and clients were told the truth meanwhile.

use crate::servers::{PATIENCE, Servers};
use procura_acceptance::until;
use procura_client::SystemClock;
use procura_faults::Load;
use procura_store::LocalPostgres;
use procura_types::Clock as _;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A primary and a standby that repeats what it writes.
struct Pair {
    primary: LocalPostgres,
    standby: LocalPostgres,
    _dirs: [TempDir; 2],
}

impl Pair {
    /// Commits do not wait for the standby yet.
    fn new() -> Self {
        let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let primary = LocalPostgres::start(dirs[0].path(), &[]);
        primary.database("procura");
        let standby = primary.standby(dirs[1].path(), &[]);
        until("the standby", PATIENCE, || {
            let count = primary.tell("postgres", "SELECT count(*) FROM pg_stat_replication");
            (count == "1").then_some(())
        });
        Self {
            primary,
            standby,
            _dirs: dirs,
        }
    }

    fn url(&self) -> String {
        format!(
            "postgres://procura@127.0.0.1:{},127.0.0.1:{}/procura",
            self.primary.port(),
            self.standby.port()
        )
    }

    /// From now on commits wait for the standby.
    fn synchronous(&self) {
        let names = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        self.primary.tell("postgres", names);
        self.primary.tell("postgres", "SELECT pg_reload_conf()");
        until("that commits wait", PATIENCE, || {
            let shown = self
                .primary
                .tell("postgres", "SHOW synchronous_standby_names");
            (shown == "*").then_some(())
        });
    }

    fn promote(&self) {
        self.standby.tell("postgres", "SELECT pg_promote()");
    }
}

/// Holds against the acknowledged writes what happens when `gone` takes the primary away,
/// and what clients were told meanwhile against `truths`; says what happened.
///
/// Requests wait for `patience`; 50 writes are there `most` after the promotion, of the
/// programs as they are released, and within three times that as they are built for other
/// tests, on a machine that does other things too.
fn fails_over(
    gone: impl FnOnce(&mut Pair),
    truths: &[&str],
    patience: Duration,
    most: Duration,
) -> String {
    let most = if cfg!(debug_assertions) {
        most * 3
    } else {
        most
    };
    let (mut lasted, mut before_it) = (Duration::ZERO, BTreeMap::new());
    let mut pair = Pair::new();
    pair.synchronous();
    let servers = Servers::on(&pair.url(), "");
    let load = Load::join(&servers.servers[0]).waiting(patience);
    let urls = servers.urls();
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let since = SystemClock.now();
    load.during_at(&urls, || {
        std::thread::sleep(Duration::from_secs(2));
        until("writes", PATIENCE, || (load.counts().0 > 20).then_some(()));
        // At the start the other server has not heard of the operator yet.
        until("that both know who asks", PATIENCE, || {
            let said = load.refusals();
            std::thread::sleep(Duration::from_millis(500));
            (said == load.refusals()).then_some(())
        });
        before_it = load.refusals();
        gone(&mut pair);
        std::thread::sleep(Duration::from_millis(500));
        pair.promote();
        let promoted = Instant::now();
        // They go on by themselves, at the address of the other.
        let after = load.counts().0;
        until("writes on the standby", PATIENCE, || {
            (load.counts().0 > after + 50).then_some(())
        });
        lasted = promoted.elapsed();
    });
    let mut refused = load.refusals();
    refused.retain(|told, times| before_it.get(told) != Some(times));
    let lies: Vec<_> = refused
        .keys()
        .filter(|told| !truths.contains(&told.as_str()))
        .collect();
    assert!(lies.is_empty(), "{refused:?}");
    assert!(lasted < most, "{lasted:?} from the promotion on");
    let unavailable = refused.contains_key("503 store_unavailable wait");
    assert!(unavailable, "nobody noticed: {refused:?}");
    load.check(&servers.servers[0], since);
    servers.verify(&BTreeSet::new());
    let writes = load.counts().0;
    format!(
        "{writes} acknowledged writes, 50 of them within {lasted:?} of the promotion; refused: {refused:?}"
    )
}

/// What may be said while there is no primary: that nothing happened, and when to ask
/// again; or, of what was just being committed, that nobody knows.
const TRUTHS: [&str; 4] = [
    "503 store_unavailable wait",
    "503 ledger_unavailable wait",
    // The replay guard did not answer in time, as on a machine that is busy.
    "503 verifier_unavailable wait",
    "500 outcome_unknown",
];

#[test]
fn a_primary_is_killed_under_load_and_its_standby_goes_on_without_a_loss() {
    println!(
        "{}",
        fails_over(
            |pair| pair.primary.kill(),
            &TRUTHS,
            // Each is told something, however slow the machine is.
            Duration::from_secs(30),
            Duration::from_secs(15)
        )
    );
}

/// As when its machine hangs or is cut off: connections stay, new ones are taken, and
/// nothing is said on any. It is not the one that is asked first from then on.
#[test]
fn a_primary_that_hangs_under_load_is_left_for_its_standby() {
    // The client of the load waits for five seconds.
    let truths = [&TRUTHS[..], &["no answer"]].concat();
    println!(
        "{}",
        fails_over(
            |pair| pair.primary.freeze(),
            &truths,
            Duration::from_secs(5),
            Duration::from_secs(30)
        )
    );
}

#[test]
fn standbys_that_no_commit_waits_for_are_refused_at_the_start() {
    let pair = Pair::new();
    let url = pair.url();
    let refused = std::panic::catch_unwind(|| Servers::on(&url, ""));
    let said = refused.err().unwrap();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(
        said.contains("danger_async_standby") && said.contains("78"),
        "{said}"
    );
    // Unless somebody accepts it in so many words.
    drop(Servers::on(&url, "danger_async_standby = true\n"));
}
