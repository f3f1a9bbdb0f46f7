//! Who was stopped by name stays so when a restored home is activated: on hold by the steward
//! who did it, or because of a decoy. Neither is let go on with those who are held to be safe,
//! and whoever puts the others on hold is voted out of a restored home as well.

use crate::backup::{Backed, path};
use crate::installed::Cli;
use crate::restore::{activate, activated, at, copied, joined, joined_as, ok_at, served, settled};
use procura_server::restoring::ActivationStep;
use serde_json::{Value, json};
use std::path::PathBuf;

const OTHER: &[u8] = b"another operator 41\n";

fn device(cli: &Cli, of: &str) -> String {
    let list = cli.json(&["operator", "list"]);
    let mut operators = list["operators"].as_array().unwrap().iter();
    let found = operators.find(|operator| operator["name"] == of).unwrap();
    let device = &found["devices"][0]["thumbprint"];
    device.as_str().unwrap().to_owned()
}

fn json_at(cli: &Cli, url: &str, args: &[&str]) -> Value {
    let args = [&["--json", "--yes"], args].concat();
    serde_json::from_str(&ok_at(cli, url, &args)).unwrap()
}

/// Two stewards besides alice, who invited both while she was the only one.
fn stewards(backed: &Backed) -> [Cli; 2] {
    let names = ["bea", "cleo"];
    let invited = names.map(|name| {
        let invite = ["operator", "invite", name, "--role", "steward"];
        (name, backed.installed.cli.ok(&invite, b""))
    });
    invited.map(|(name, code)| {
        let cli = backed.installed.other(name);
        let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
        cli.ok(&join, OTHER);
        cli.ok(&["login", "--passphrase-fd", "0"], OTHER);
        cli
    })
}

/// Another backup, of what there is by now, by whoever may take it.
fn backed_up(backed: &mut Backed, by: &Cli) {
    let file = backed.place("tuesday.procura");
    by.ok(&["backup", path(&file)], b"");
    backed.file = file;
}

/// The record from behind the backup.
fn later(backed: &Backed, by: &Cli) -> PathBuf {
    let copy = backed.place("later");
    let since = path(&backed.file);
    by.ok(&["backup", path(&copy), "--ledger-since", since], b"");
    copy
}

/// Two stewards agree at this server that a third is to go.
fn agreed(by: &Cli, with: &Cli, url: &str, name: &str) -> String {
    let made = json_at(by, url, &["proposal", "remove-steward", name]);
    let id = made["id"].as_str().unwrap();
    for cli in [by, with] {
        ok_at(cli, url, &["--yes", "proposal", "sign", id]);
    }
    id.to_owned()
}

/// Two stewards vote a third out.
fn voted_out(by: &Cli, with: &Cli, url: &str, name: &str) {
    let id = agreed(by, with, url, name);
    let revoke = ["--yes", "operator", "revoke", name, "--proposal", &id];
    ok_at(by, url, &revoke);
}

/// Two stewards leave a third without a role.
fn left_none(by: &Cli, with: &Cli, url: &str, name: &str) {
    let id = agreed(by, with, url, name);
    let roles = ["--yes", "operator", "roles", name, "--none"];
    let by_quorum = ["--proposal", id.as_str()];
    ok_at(by, url, &[&roles[..], &by_quorum].concat());
}

#[test]
fn who_was_stopped_after_the_backup_is_not_let_go_with_those_held_to_be_safe() {
    let mut backed = Backed::new();
    let bea = joined_as(&backed, "bea", "admin@default");
    let cleo = joined(&backed, "cleo");
    let dora = joined_as(&backed, "dora", "auditor@default");
    let alice = Cli {
        home: backed.installed.cli.home.clone(),
        url: backed.installed.cli.url.clone(),
    };
    alice.ok(&["honey", "plant", "ci/token"], b"");
    backed_up(&mut backed, &alice);
    bea.run(&["secret", "get", "ci/token"], b"");
    let [touched, stopped, changed] = ["bea", "cleo", "dora"].map(|name| device(&alice, name));
    alice.ok(&["device", "hold", "--", &stopped], b"");
    let roles = ["operator", "roles", "dora", "--none", "--yes"];
    alice.ok(&roles, b"");
    let held = alice.json(&["honey", "quarantine"]);
    assert_eq!(held["quarantined"].as_array().unwrap().len(), 2, "{held}");
    let copy = later(&backed, &alice);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let done = activated(&backed.place("nobody"), &home, &["--ledger", path(&copy)]);
    let held = done["held"].as_array().unwrap();
    assert_eq!(held.len(), 3, "{done}");
    for device in [&touched, &stopped, &changed] {
        assert!(held.contains(&json!(format!("device/{device}"))), "{done}");
    }

    let server = served(&home);
    let url = server.url.as_str();
    settled(&alice, url);
    // Nobody is to blame for one of them, and that one is let go.
    let held = json_at(&alice, url, &["restore", "held"]);
    assert_eq!(held["quarantined"].as_array().unwrap().len(), 1, "{held}");
    let said = at(
        &alice,
        url,
        &["--yes", "restore", "release", "--", &stopped],
    );
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(said.err.contains("or is on hold"), "{}", said.err);
    let released = json_at(&alice, url, &["restore", "release", "--all"]);
    assert_eq!(released["devices"], json!([changed]), "{released}");

    let list = json_at(&alice, url, &["honey", "quarantine"]);
    let list = list["quarantined"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    let of = |device: &String| {
        let mut found = list.iter().filter(|held| held["device"] == json!(device));
        found.next().unwrap()
    };
    assert!(of(&touched)["canary"].is_string(), "{list:?}");
    assert!(of(&touched)["by"].is_null(), "{list:?}");
    assert!(of(&stopped)["by"].is_string(), "{list:?}");
    assert!(of(&stopped)["canary"].is_null(), "{list:?}");
    // On hold it has its say, and no more.
    let said = at(&cleo, url, &["operator", "list"]);
    assert!(said.err.contains("quarantined"), "{}", said.err);
    ok_at(&cleo, url, &["proposal", "list"]);
    ok_at(
        &alice,
        url,
        &["--yes", "honey", "reinstate", "--", &stopped],
    );
    ok_at(&cleo, url, &["operator", "list"]);
    drop((bea, dora));
    server.stop();
}

#[test]
fn who_put_the_others_on_hold_after_the_backup_is_voted_out_of_the_restored_home() {
    let mut backed = Backed::new();
    let [bea, cleo] = stewards(&backed);
    // Alice's key is in other hands.
    let thief = Cli {
        home: backed.installed.cli.home.clone(),
        url: backed.installed.cli.url.clone(),
    };
    backed_up(&mut backed, &bea);
    for name in ["bea", "cleo"] {
        thief.ok(&["device", "hold", "--", &device(&thief, name)], b"");
    }
    let copy = later(&backed, &thief);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let done = activated(&backed.place("nobody"), &home, &["--ledger", path(&copy)]);
    assert_eq!(done["held"].as_array().unwrap().len(), 2, "{done}");

    let server = served(&home);
    settled(&thief, &server.url);
    voted_out(&bea, &cleo, &server.url, "alice");
    // The holds ended with whoever made them.
    for cli in [&bea, &cleo] {
        ok_at(cli, &server.url, &["operator", "list"]);
    }
    let said = at(&thief, &server.url, &["operator", "list"]);
    assert!(said.err.contains("revoked"), "{}", said.err);
    server.stop();
}

#[test]
fn holds_of_who_was_voted_out_after_the_backup_end_again() {
    let mut backed = Backed::new();
    let [bea, cleo] = stewards(&backed);
    let thief = Cli {
        home: backed.installed.cli.home.clone(),
        url: backed.installed.cli.url.clone(),
    };
    thief.ok(&["device", "hold", "--", &device(&thief, "cleo")], b"");
    // One hold is in the backup, and one came after it.
    backed_up(&mut backed, &thief);
    thief.ok(&["device", "hold", "--", &device(&thief, "bea")], b"");
    let url = thief.url.clone().unwrap();
    voted_out(&bea, &cleo, &url, "alice");
    let copy = later(&backed, &bea);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let done = activated(&bea.home, &home, &["--ledger", path(&copy)]);
    assert_eq!(done["again"], json!(["alice is revoked"]), "{done}");
    assert_eq!(done["held"], json!([]), "{done}");

    let server = served(&home);
    settled(&bea, &server.url);
    for cli in [&bea, &cleo] {
        ok_at(cli, &server.url, &["operator", "list"]);
    }
    let list = json_at(&bea, &server.url, &["honey", "quarantine"]);
    assert_eq!(list["quarantined"], json!([]), "{list}");
    server.stop();
}

#[test]
fn holds_of_who_was_left_without_a_role_after_the_backup_end_again() {
    let mut backed = Backed::new();
    let [bea, cleo] = stewards(&backed);
    let thief = Cli {
        home: backed.installed.cli.home.clone(),
        url: backed.installed.cli.url.clone(),
    };
    let [stopped, own] = ["cleo", "alice"].map(|name| device(&thief, name));
    thief.ok(&["device", "hold", "--", &stopped], b"");
    backed_up(&mut backed, &thief);
    // Said once more of a device that is on hold, it is in the record all the same.
    thief.ok(&["device", "hold", "--", &stopped], b"");
    let url = thief.url.clone().unwrap();
    left_none(&bea, &cleo, &url, "alice");
    let copy = later(&backed, &bea);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let done = activated(&bea.home, &home, &["--ledger", path(&copy)]);
    assert_eq!(done["held"], json!([format!("device/{own}")]), "{done}");
    let recorded = done["recorded"].as_array().unwrap();
    assert!(recorded.contains(&json!("let_go:1")), "{done}");

    let server = served(&home);
    let url = server.url.as_str();
    settled(&bea, url);
    ok_at(&cleo, url, &["operator", "list"]);
    // Who has the role again is not let go with those who are held to be safe.
    let said = at(&thief, url, &["operator", "list"]);
    assert!(said.err.contains("quarantined"), "{}", said.err);
    let held = json_at(&bea, url, &["restore", "held"]);
    assert_eq!(held["quarantined"], json!([]), "{held}");
    left_none(&bea, &cleo, url, "alice");
    let list = json_at(&bea, url, &["honey", "quarantine"]);
    assert_eq!(list["quarantined"], json!([]), "{list}");
    server.stop();
}

#[test]
fn a_backup_whose_stewards_are_all_revoked_is_entered_under_another_origin() {
    let mut backed = Backed::new();
    let cli = &backed.installed.cli;
    let bea = joined(&backed, "bea");
    cli.ok(&["operator", "revoke", "alice", "--yes"], b"");
    let copy = later(&backed, &bea);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let by_copies = ["--ledger", path(&copy)];
    let said = activate(&bea.home, &home, &by_copies);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(
        said.err.contains("no device of a steward could act"),
        "{}",
        said.err
    );
    let seat = ["--steward-key", "alice"];
    let said = activate(&bea.home, &home, &[&by_copies[..], &seat].concat());
    assert_eq!(said.code, 77, "{}", said.err);
    for words in [
        "it is not activated",
        "alice was revoked after the backup",
        "--new-origin with --steward-key alice",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    // As it says.
    let done = activated(
        &bea.home,
        &home,
        &["--new-origin", "--steward-key", "alice"],
    );
    assert_eq!(done["seated"], "alice", "{done}");
    let server = served(&home);
    let vkey = done["ledger_vkey"].as_str().unwrap();
    let accept = ["--yes", "restore", "accept", "--key", vkey];
    ok_at(&bea, &server.url, &accept);
    settled(&bea, &server.url);
    ok_at(&bea, &server.url, &["operator", "list"]);
    server.stop();
}

#[test]
fn what_copies_led_to_is_known_once_some_of_them_are_in_the_record() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    cli.ok(&["agent", "add", "one", "--no-code"], b"");
    let first = copied(&backed, "first");
    cli.ok(&["secret", "destroy", "app/gone", "--yes"], b"");
    let second = backed.place("ledger").join("second");
    let since = ["backup", path(&second), "--ledger-since", path(&first)];
    cli.ok(&since, b"");
    let (home, _) = backed.restored("restored");
    let own = backed.place("nobody");
    let ledger = backed.place("ledger");
    let both = ["--ledger", path(&ledger)];
    crate::restore_steps::killed(&own, &home, &both, ActivationStep::PageAppended);
    // The first has nothing that is taken away.
    let said = activate(&own, &home, &["--ledger", path(&first)]);
    assert_eq!(said.code, 64, "{}", said.err);
    for words in [
        "has begun and was broken off",
        "run it again with all of them",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    let none = activate(&own, &home, &[]);
    assert_eq!(none.code, 64, "{}", none.err);
    let done = activated(&own, &home, &both);
    assert_eq!(
        done["again"],
        json!(["secret app/gone in default is destroyed"]),
        "{done}"
    );
}
