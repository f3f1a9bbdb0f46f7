//! A server whose clock is wrong when it starts, as before the network has told it the time.

use super::place::{Kind, Place};
use super::transit::Other;
use crate::installed::told;
use procura_client::SystemClock;
use procura_crypto::SystemEntropy;
use procura_server::{Config, run};
use procura_types::{Clock, Duration, Timestamp};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tokio::sync::Notify;

/// The machine's clock, so many milliseconds slow.
struct Slow(AtomicU64);

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        let slow = self.0.load(Ordering::SeqCst);
        Timestamp::from_millis(SystemClock.now().as_millis().saturating_sub(slow))
    }

    fn steady(&self) -> Instant {
        SystemClock.steady()
    }
}

/// Waits until what `/health` says is as expected.
fn wait(address: &str, expected: impl Fn(&Value) -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    loop {
        let health: Value = serde_json::from_str(&told(address, "/health")).unwrap();
        if expected(&health) {
            return;
        }
        assert!(Instant::now() < end, "{health}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The other server refuses what was signed an hour ago; when the clock is right the vault
/// opens by itself.
#[test]
fn a_clock_that_is_put_right_opens_the_vault() {
    let dir = tempfile::tempdir().unwrap();
    let mut kind = Other::new(dir.path());
    let mut place = Place::new(dir.path(), "home", kind.environment());
    place.add(&mut kind, "one");
    place.stop();
    let text = format!(
        "auto_unseal = [\"one\"]\n[unseal_credentials]\none = {}\n",
        json!(kind.credentials().unwrap())
    );
    let home = &place.cli.home;
    std::fs::write(home.join("procura.toml"), text).unwrap();
    let mut config = Config::load(home.clone(), None, std::iter::empty()).unwrap();
    config.listen.set_port(0);
    config.health_listen.set_port(0);

    let clock = Arc::new(Slow(AtomicU64::new(3_600_000)));
    let over = Arc::new(Notify::new());
    let (ready, when_ready) = mpsc::channel();
    let (of_server, end) = (Arc::clone(&clock), Arc::clone(&over));
    let server = std::thread::spawn(move || {
        let same = config.clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let running = run(
                config,
                of_server,
                Arc::new(SystemEntropy),
                move || Ok(same.clone()),
                |line| ready.send(line.to_owned()).unwrap(),
            );
            tokio::select! {
                ended = running => ended.unwrap(),
                () = end.notified() => {}
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
    });
    let ready: Value = serde_json::from_str(&when_ready.recv().unwrap()).unwrap();
    let health = ready["health"].as_str().unwrap();
    let health = health.trim_start_matches("http://");
    wait(health, |health| {
        health.to_string().contains("what one needs is not there")
    });
    let metrics = told(health, "/metrics");
    let failures = |reason: &str| {
        let name = format!("procura_unseal_source_failures_total{{reason=\"{reason}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name}: {metrics}"))
            .to_owned()
    };
    assert_ne!(failures("source_unavailable"), "0");
    assert_eq!(failures("credentials_refused"), "0");
    clock.0.store(0, Ordering::SeqCst);
    wait(health, |health| health["sealed"] == json!(false));
    over.notify_one();
    server.join().unwrap();
}
