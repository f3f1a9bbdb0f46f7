//! Keys that turn at the command line, and who follows them.

use crate::installed::{Cli, Installed, PASSPHRASE};
use serde_json::Value;

fn known(cli: &Cli) -> Value {
    let bytes = std::fs::read(cli.home.join("operator/server.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Waits until nothing is left to be wrapped anew.
fn finished(cli: &Cli) -> Value {
    for _ in 0..600 {
        let state = cli.json(&["rotate", "status"]);
        if state["rewrapping"].is_null() && state["root_settled"] == true {
            return state;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the pass has no end");
}

#[test]
fn everything_turns_and_whoever_knew_the_record_follows_it() {
    let mut installed = Installed::new();
    let url = installed.cli.url.clone();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/b"], b"one");
    let first = known(cli)["ledger_vkey"].as_str().unwrap().to_owned();
    let record = installed.dir().join("record");
    let record = record.to_str().unwrap();
    cli.ok(&["audit", "export", record], b"");
    let before = installed.dir().join("before");
    std::fs::copy(format!("{record}/checkpoint"), &before).unwrap();

    let wrong = cli.run(
        &["rotate", "root", "--passphrase-fd", "0"],
        b"not this passphrase\n",
    );
    assert_ne!(wrong.code, 0);
    assert!(
        wrong.err.contains("The passphrase is wrong"),
        "{}",
        wrong.err
    );
    for what in [&["root"][..], &["sessions"], &["ledger", "--end-sessions"]] {
        // Wrong ones are slowed for a moment.
        let mut tries = 0;
        loop {
            let args = [&["rotate"], what, &["--passphrase-fd", "0"]].concat();
            let ran = cli.run(&args, PASSPHRASE);
            if ran.code == 0 {
                assert!(ran.err.contains("a new root key"), "{}", ran.err);
                break;
            }
            tries += 1;
            assert!(tries < 200, "{what:?}: {}", ran.err);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
    // The next command goes by the key of today, which the ones before have led to.
    assert_eq!(cli.ok(&["secret", "get", "a/b"], b""), "one");
    let state = finished(cli);
    assert_eq!(state["root_epoch"], 4);
    assert_eq!(state["agent_token_keys"]["keys"][1]["state"], "active");
    let keys = state["ledger_keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[3]["state"]), (4, &"active".into()));
    let today = keys[3]["vkey"].as_str().unwrap().to_owned();
    assert_ne!(today, first);
    // Its first checkpoint comes a moment after it turned.
    let mut tries = 0;
    while cli.ok(&["audit", "key"], b"").trim() != today {
        tries += 1;
        assert!(tries < 200, "{}", known(cli));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(known(cli)["ledger_vkey"], today.as_str());
    let shown = cli.json(&["audit", "key"]);
    assert!(
        shown["former"]
            .as_array()
            .unwrap()
            .contains(&first.as_str().into())
    );

    // Exported over what the first key signed, and verified without a server by both.
    cli.ok(&["audit", "export", record], b"");
    let stranger = Cli {
        home: installed.dir().join("elsewhere"),
        url: None,
    };
    let after = before.to_str().unwrap();
    for words in [
        &["--key", today.as_str()][..],
        &["--key", first.as_str(), "--after", after],
    ] {
        let args = [&["audit", "verify", record], words].concat();
        stranger.ok(&args, b"");
    }

    // So many that it is not over before it is looked at.
    let many: serde_json::Map<_, _> = (0..2_000)
        .map(|number| (format!("MANY_{number}"), "value".into()))
        .collect();
    let file = installed.dir().join("many.json");
    std::fs::write(&file, Value::from(many).to_string()).unwrap();
    cli.ok(&["secret", "import", file.to_str().unwrap(), "--yes"], b"");
    let said = cli.json(&["rotate", "namespace", "--all"]);
    assert_eq!(said["namespaces"][0]["key_epoch"], 5);
    let state = cli.json(&["rotate", "status", "--wait"]);
    assert_eq!(state["rewrapping"], Value::Null);
    assert_eq!(state["namespaces"][0]["key_epochs"], serde_json::json!([5]));
    let none = cli.run(&["rotate", "namespace", "nowhere"], b"");
    assert!(none.err.contains("procura: "), "{}", none.err);
    assert_ne!(none.code, 0);
    cli.ok(&["rotate", "tokens"], b"");
    let soon = cli.run(&["rotate", "tokens"], b"");
    assert!(soon.err.contains("the command again then"), "{}", soon.err);
    let table = cli.run(&["rotate", "status"], b"");
    for part in [
        "root",
        "sessions",
        "record",
        "agent tokens",
        "namespace default",
        "retiring",
    ] {
        assert!(table.out.contains(part), "{part}: {}", table.out);
    }
    assert!(table.err.contains("nothing is left under an older key"));

    // And all of it opens with the same passphrase after a restart.
    installed.server.take().unwrap().stop();
    installed.serve();
    assert_ne!(installed.cli.url, url);
    assert_eq!(installed.cli.ok(&["secret", "get", "a/b"], b""), "one");
}
