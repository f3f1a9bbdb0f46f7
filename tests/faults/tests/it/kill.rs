//! `kill -9` under load. Few rounds in CI; `FAULT_ROUNDS=100` for many.

use procura_acceptance::{Installation, until};
use procura_client::SystemClock;
use procura_faults::{Load, rounds};
use procura_types::Clock as _;
use std::time::Duration;

#[test]
fn what_was_acknowledged_survives_kills_under_load() {
    let mut server = Installation::ready();
    let load = Load::join(&server);
    let key = std::fs::read_to_string(server.home().join("installation.json")).unwrap();
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let key = key["ledger_vkey"].as_str().unwrap().to_owned();
    let checkpoint = server.folder().join("first-checkpoint");
    std::fs::copy(server.home().join("ledger/checkpoint"), &checkpoint).unwrap();
    for round in 0..rounds(5) {
        let before = load.counts().0;
        let since = SystemClock.now();
        let url = server.url().to_owned();
        load.during(&url, || {
            until("writes", Duration::from_secs(60), || {
                (load.counts().0 > before + 20).then_some(())
            });
            // Long enough for some hundred writes, and never the same moment.
            let pause = 150 + u64::from(round) * 37 % 200;
            std::thread::sleep(Duration::from_millis(pause));
            server.kill();
        });
        server.start_again();
        server.unseal().ok();
        load.check(&server, since);
        assert!(load.counts().0 > before, "round {round} wrote nothing");
    }
    load.check_all(&server);
    let status = server.cli(&["--json", "status", "--deep"]).ok().json();
    assert_eq!(status["deep"], serde_json::json!([]), "{status}");
    let export = server.folder().join("export");
    server
        .cli(&["audit", "export", export.to_str().unwrap()])
        .ok();
    server
        .cli(&[
            "audit",
            "verify",
            export.to_str().unwrap(),
            "--key",
            &key,
            "--after",
            checkpoint.to_str().unwrap(),
        ])
        .ok();
    let (writes, reads) = load.counts();
    println!(
        "{writes} acknowledged writes and {reads} released values after {} kills",
        rounds(5)
    );
}
