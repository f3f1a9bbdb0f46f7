//! The server ends as by `kill -9` at each named step of a rotation, under load. What
//! opened the vault before, or what does after, opens it with everything in it; the other
//! is refused.

use procura_acceptance::{Installation, PASSPHRASE, until};
use procura_faults::Load;
use serde_json::Value;
use std::net::TcpStream;
use std::time::Duration;

const NEW: &str = "another-canary-of-a-passphrase";

/// What turns, and what opens the vault when the server has ended at a step of it.
struct Case {
    step: &'static str,
    rotate: &'static [&'static str],
    opens: &'static str,
}

const fn root(step: &'static str, opens: &'static str) -> Case {
    let rotate = &["passphrase"];
    Case {
        step,
        rotate,
        opens,
    }
}

const fn namespace(step: &'static str) -> Case {
    Case {
        step,
        rotate: &["rotate", "namespace", "default"],
        opens: PASSPHRASE,
    }
}

fn configure(server: &Installation, text: &str) {
    std::fs::write(server.home().join("procura.toml"), text).unwrap();
}

fn vkey(server: &Installation) -> String {
    let known = std::fs::read(server.home().join("installation.json")).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    known["ledger_vkey"].as_str().unwrap().to_owned()
}

fn rotation(server: &Installation) -> Value {
    server.cli(&["--json", "rotate", "status"]).ok().json()
}

/// Ends the server at a step, and looks at what is left.
fn ends_at(case: &Case) {
    let mut server = Installation::ready();
    let load = Load::join(&server);
    let first = vkey(&server);
    let checkpoint = server.folder().join("first-checkpoint");
    std::fs::copy(server.home().join("ledger/checkpoint"), &checkpoint).unwrap();
    let url = server.url().to_owned();
    // More versions than one batch of the pass takes.
    for _ in 0..400 {
        load.during(&url, || std::thread::sleep(Duration::from_millis(250)));
        if load.counts().0 > 400 {
            break;
        }
    }
    assert!(load.counts().0 > 400, "the load wrote too little");
    server.stop();
    configure(&server, &format!("danger_stop_at = \"{}\"", case.step));
    server.start_again();
    server.unseal().ok();
    load.during(&url, || {
        let home = server.home();
        // The answer is lost where the server ends before it.
        let _ = server.cli_lines(&home, &[PASSPHRASE, NEW], case.rotate);
        let address = url.trim_start_matches("http://");
        until("the server to end", Duration::from_secs(180), || {
            TcpStream::connect(address).is_err().then_some(())
        });
    });
    server.kill();
    configure(&server, "");
    server.start_again();
    let wrong = if case.opens == NEW { PASSPHRASE } else { NEW };
    let home = server.home();
    server
        .cli_in(&home, wrong, &["unseal"], b"")
        .says("The passphrase is wrong");
    let opened = until("the vault to open", Duration::from_secs(180), || {
        // Whoever was wrong waits for a moment.
        let outcome = server.cli_in(&home, case.opens, &["unseal"], b"");
        (outcome.code == 0).then_some(outcome)
    });
    opened.ok();
    until("the rotation to end", Duration::from_secs(180), || {
        let state = rotation(&server);
        let over = state["rewrapping"].is_null() && state["root_settled"] == true;
        over.then_some(())
    });
    let state = rotation(&server);
    for namespace in state["namespaces"].as_array().unwrap() {
        let keys = namespace["key_epochs"].as_array().unwrap();
        assert_eq!(keys.len(), 1, "{state}");
    }
    load.check_all(&server);
    let status = server.cli(&["--json", "status", "--deep"]).ok().json();
    assert_eq!(status["deep"], serde_json::json!([]), "{status}");
    let export = server.folder().join("export");
    let export = export.to_str().unwrap();
    server.cli(&["audit", "export", export]).ok();
    let after = checkpoint.to_str().unwrap();
    let words = ["audit", "verify", export, "--key", &first, "--after", after];
    server.cli(&words).ok();
    // It turns to its end now, whatever was left of the turn before.
    if case.opens == PASSPHRASE {
        server.cli(&["rotate", "root"]).ok();
        server.cli(&["audit", "export", export]).ok();
        server.cli(&words).ok();
    }
}

#[test]
fn a_root_that_turns_is_killed_at_each_step() {
    for case in [
        root("root-prepared", PASSPHRASE),
        root("file-replaced", NEW),
        root("keys-in-use", NEW),
        root("old-root-gone", NEW),
    ] {
        println!("{}", case.step);
        ends_at(&case);
    }
}

#[test]
fn a_namespace_key_that_turns_is_killed_at_each_step() {
    for step in [
        "namespace-key-made",
        "page-wrapped",
        "namespace-wrapped",
        "old-namespace-keys-gone",
    ] {
        println!("{step}");
        ends_at(&namespace(step));
    }
}
