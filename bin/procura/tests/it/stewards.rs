//! Stewards at the command line: made and removed as a quorum agreed, a device stopped at
//! once by one.

use crate::installed::{Cli, Installed, PASSPHRASE};
use serde_json::{Value, json};

const OTHER: &[u8] = b"another operator 41\n";

/// Two stewards besides alice, with homes of their own.
fn stewards(installed: &Installed) -> [Cli; 2] {
    let names = ["bea", "cleo"];
    let codes = names.map(|name| {
        let invite = ["operator", "invite", name, "--role", "steward"];
        installed.cli.ok(&invite, b"")
    });
    let mut codes = codes.iter();
    names.map(|name| {
        let cli = installed.other(name);
        let code = codes.next().unwrap().trim();
        cli.ok(&["operator", "join", code, "--passphrase-fd", "0"], OTHER);
        cli.ok(&["login", "--passphrase-fd", "0"], OTHER);
        cli
    })
}

fn proposed(cli: &Cli, args: &[&str]) -> String {
    let made = cli.json(&[&["proposal"], args].concat());
    made["id"].as_str().unwrap().to_owned()
}

fn sign(cli: &Cli, id: &str) -> Value {
    cli.json(&["--yes", "proposal", "sign", id])
}

fn device(cli: &Cli, of: &str) -> String {
    let list = cli.json(&["operator", "list"]);
    let operators = list["operators"].as_array().unwrap().iter();
    let found = operators
        .into_iter()
        .find(|operator| operator["name"] == of)
        .unwrap();
    found["devices"][0]["thumbprint"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn one_proposes_more_than_half_sign_and_one_carries_it_out() {
    let installed = Installed::new();
    let alice = &installed.cli;
    let [bea, cleo] = stewards(&installed);
    let revoke = ["--yes", "operator", "revoke", "cleo"];
    let refused = alice.run(&revoke, b"");
    assert_eq!(refused.code, 77, "{}", refused.err);
    assert!(refused.err.contains("procura proposal"), "{}", refused.err);
    let shares = ["unseal-source", "add", "recovery", "--shares", "2/3"];
    let refused = alice.run(
        &[&shares[..], &["--passphrase-fd", "0"]].concat(),
        PASSPHRASE,
    );
    let next = "\n  next: procura proposal shares recovery 2/3, with --replaces NAME if there are shares already; when more than half of the stewards have signed it, this again with --proposal ID\n";
    assert!(refused.err.ends_with(next), "{}", refused.err);

    let id = proposed(alice, &["remove-steward", "cleo"]);
    sign(alice, &id);
    assert_eq!(sign(&bea, &id)["state"], "agreed");
    let carried = [&revoke[..], &["--proposal", &id]].concat();
    alice.ok(&carried, b"");
    let listed = alice.ok(&["proposal", "list"], b"");
    assert!(listed.contains("make cleo a steward no more"), "{listed}");
    assert!(listed.contains("done"), "{listed}");
    assert_ne!(cleo.run(&["operator", "list"], b"").code, 0);

    let refused = bea.run(&["operator", "invite", "dora", "--role", "steward"], b"");
    assert_eq!(refused.code, 77, "{}", refused.err);
    assert!(refused.err.contains("join_first"), "{}", refused.err);
    let invite = ["operator", "invite", "dora", "--role", "auditor@default"];
    let code = bea.ok(&invite, b"");
    let dora = installed.other("dora");
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    dora.ok(&join, OTHER);
    let id = proposed(&bea, &["make-steward", "dora"]);
    for cli in [alice, &bea] {
        sign(cli, &id);
    }
    let roles = ["operator", "roles", "dora", "--role", "steward"];
    bea.ok(&[&roles[..], &["--proposal", &id]].concat(), b"");

    // Another key of hers: what opens the vault is not enough among several.
    let recover = ["operator", "recover", "dora", "--passphrase-fd", "0"];
    let refused = alice.run(&recover, crate::installed::PASSPHRASE);
    assert_eq!(refused.code, 77, "{}", refused.err);
    assert!(refused.err.contains("recover NAME"), "{}", refused.err);
    let id = proposed(&bea, &["recover", "dora"]);
    for cli in [alice, &bea] {
        sign(cli, &id);
    }
    let code = alice.ok(
        &[&recover[..], &["--proposal", &id]].concat(),
        crate::installed::PASSPHRASE,
    );
    assert!(code.starts_with("pcj1_"), "{code}");
}

#[test]
fn a_device_is_stopped_at_once_and_still_has_its_say() {
    let installed = Installed::new();
    let alice = &installed.cli;
    let [bea, cleo] = stewards(&installed);
    for name in ["bea", "cleo"] {
        let device = device(alice, name);
        let refused = alice.run(&["--yes", "device", "revoke", &device], b"");
        assert_eq!(refused.code, 77, "{}", refused.err);
        assert!(refused.err.contains("device hold"), "{}", refused.err);
        alice.ok(&["device", "hold", &device], b"");
        let listed = alice.ok(&["device", "list"], b"");
        let line = listed.lines().find(|line| line.contains(&device));
        assert!(line.unwrap().ends_with("on hold"), "{listed}");
    }
    let held = bea.run(&["operator", "list"], b"");
    assert_eq!(held.code, 77, "{}", held.err);
    let listed = alice.ok(&["honey", "quarantine"], b"");
    assert_eq!(listed.matches("on hold").count(), 2, "{listed}");

    let id = proposed(&bea, &["remove-steward", "alice"]);
    let mine = proposed(alice, &["remove-steward", "bea"]);
    let refused = bea.json(&["proposal", "refuse", &mine]);
    assert_eq!(refused["refused"].as_array().unwrap().len(), 1);
    sign(&bea, &id);
    assert_eq!(sign(&cleo, &id)["state"], "agreed");
    let revoke = ["--yes", "operator", "revoke", "alice", "--proposal", &id];
    cleo.ok(&revoke, b"");
    let operators = bea.json(&["operator", "list"]);
    let alice = &operators["operators"][0];
    assert_eq!(alice["name"], json!("alice"));
    assert!(alice["revoked"].is_string());
}
