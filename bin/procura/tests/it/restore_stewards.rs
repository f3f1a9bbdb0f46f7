//! Who is left when a restored home is activated: somebody always is, or nothing is done;
//! and what stewards had open between them is not taken up again.

use crate::backup::{Backed, path};
use crate::installed::Cli;
use crate::restore::{activate, activated, at, copied, joined, joined_as, ok_at, served, settled};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Another backup, of what there is by now.
fn backed_up(backed: &mut Backed) {
    let file = backed.place("tuesday.procura");
    backed.installed.cli.ok(&["backup", path(&file)], b"");
    backed.file = file;
}

/// The copies of the record from behind the backup.
fn ledger(backed: &Backed) -> PathBuf {
    copied(backed, "later");
    backed.place("ledger")
}

fn device(cli: &Cli, of: &str) -> String {
    let list = cli.json(&["operator", "list"]);
    let mut operators = list["operators"].as_array().unwrap().iter();
    let found = operators.find(|operator| operator["name"] == of).unwrap();
    let device = &found["devices"][0]["thumbprint"];
    device.as_str().unwrap().to_owned()
}

#[test]
fn what_takes_nothing_from_anybody_holds_nobody() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    cli.ok(&["signing-key", "roll", "--yes"], b"");
    let later = ledger(&backed);
    let (home, _) = backed.restored("restored");
    let done = activated(&backed.place("nobody"), &home, &["--ledger", path(&later)]);
    assert_eq!(done["held"], json!([]), "{done}");
    assert_eq!(done["because"], json!([]), "{done}");
    assert!(
        done["lost"].to_string().contains("signing_key.roll"),
        "{done}"
    );
}

#[test]
fn who_touched_a_decoy_after_the_backup_is_held_alone() {
    let mut backed = Backed::new();
    let bea = joined_as(&backed, "bea", "admin@default");
    let cleo = joined(&backed, "cleo");
    let cli = &backed.installed.cli;
    cli.ok(&["honey", "plant", "ci/token"], b"");
    backed_up(&mut backed);
    bea.run(&["secret", "get", "ci/token"], b"");
    let cli = &backed.installed.cli;
    let touched = device(cli, "bea");
    let held = cli.json(&["honey", "quarantine"]);
    assert!(held.to_string().contains(&touched), "{held}");
    let later = ledger(&backed);
    let (home, _) = backed.restored("restored");
    let done = activated(&backed.place("nobody"), &home, &["--ledger", path(&later)]);
    assert_eq!(done["held"], json!([format!("device/{touched}")]), "{done}");
    assert_eq!(done["because"].as_array().unwrap().len(), 1, "{done}");
    drop(cleo);
}

#[test]
fn an_activation_that_leaves_no_steward_is_refused_before_it_changes_anything() {
    let mut backed = Backed::new();
    let cli = &backed.installed.cli;
    let own = cli.home.clone();
    let owner = device(cli, "alice");
    let roles = [
        "operator",
        "roles",
        "alice",
        "--role",
        "steward",
        "--role",
        "auditor@default",
        "--yes",
    ];
    cli.ok(&roles, b"");
    let later = ledger(&backed);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let before = std::fs::read(home.join("restored.json")).unwrap();
    let more = ["--ledger", path(&later)];
    // Nobody's home, and that of the one whom the entry names: that one has to be typed.
    for own in [&backed.place("nobody"), &own] {
        let said = activate(own, &home, &more);
        assert_eq!(said.code, 77, "{}", said.err);
        for words in [
            "no device of a steward could act in it any more",
            "operator.roles operator/alice",
            "--device THUMBPRINT",
            &owner,
        ] {
            assert!(said.err.contains(words), "{words}: {}", said.err);
        }
        assert_eq!(std::fs::read(home.join("restored.json")).unwrap(), before);
    }
    let named = format!("--device={owner}");
    let done = activated(&own, &home, &[&more[..], &[named.as_str()]].concat());
    assert_eq!(done["held"], json!([]), "{done}");
    let first = done["recorded"][0].as_str().unwrap();
    assert!(first.ends_with(&format!(" device:{owner}")), "{done}");
    let server = served(&home);
    let cli = &backed.installed.cli;
    settled(cli, &server.url);
    ok_at(cli, &server.url, &["operator", "list"]);
    server.stop();
}

#[test]
fn a_laptop_that_was_replaced_after_the_backup_gets_its_place_from_who_opens_the_vault() {
    let mut backed = Backed::new();
    let bea = joined_as(&backed, "bea", "admin@default");
    backed_up(&mut backed);
    let cli = &backed.installed.cli;
    let old = device(cli, "alice");
    let code = cli.ok(&["device", "code"], b"");
    let laptop = backed.installed.other("laptop");
    let phrase = b"another operator 41\n";
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    laptop.ok(&join, phrase);
    laptop.ok(&["login", "--passphrase-fd", "0"], phrase);
    laptop.ok(&["device", "revoke", "--yes", "--", &old], b"");
    let later = backed.place("later");
    let since = path(&backed.file);
    laptop.ok(&["backup", path(&later), "--ledger-since", since], b"");
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let before = std::fs::read(home.join("restored.json")).unwrap();

    let by = |own: &Cli, more: &[&str]| {
        let more = [&["--ledger", path(&later)], more].concat();
        activate(&own.home, &home, &more)
    };
    let named = format!("--device={old}");
    for (own, more, words) in [
        (&laptop, &[][..], "no device of a steward could act"),
        (&laptop, &[], "--steward-key STEWARD"),
        (
            &laptop,
            &[named.as_str()],
            "no device of a steward could act",
        ),
        (&laptop, &["--steward-key", "bea"], "bea is no steward"),
        (&laptop, &["--steward-key", "dora"], "dora is no steward"),
        (
            &bea,
            &["--steward-key", "alice"],
            "is a device in what was restored already",
        ),
    ] {
        let said = by(own, more);
        assert_eq!(said.code, 77, "{more:?}: {}", said.err);
        assert!(said.err.contains(words), "{words}: {}", said.err);
        assert_eq!(std::fs::read(home.join("restored.json")).unwrap(), before);
    }
    // A record that has it as another's key is not contradicted; the own one is seated.
    let said = by(&laptop, &["--steward-key", "alice"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let done: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(done["seated"], "alice", "{done}");
    assert_eq!(done["again"], json!([format!("device {old} is revoked")]));
    assert!(
        done["recorded"]
            .to_string()
            .contains("seated:operator/alice")
    );

    let server = served(&home);
    settled(&laptop, &server.url);
    ok_at(&laptop, &server.url, &["operator", "list"]);
    let said = at(&backed.installed.cli, &server.url, &["operator", "list"]);
    assert!(said.err.contains("revoked"), "{}", said.err);
    // Every operator hears of it at their next use.
    let told = at(&bea, &server.url, &["namespace", "list"]);
    assert!(told.err.contains("another key of alice"), "{}", told.err);
    let export = backed.place("export");
    ok_at(&laptop, &server.url, &["audit", "export", path(&export)]);
    ok_at(&laptop, &server.url, &["audit", "verify", path(&export)]);
    server.stop();
}

#[test]
fn a_key_is_seated_under_another_origin_too() {
    let mut backed = Backed::new();
    let cli = &backed.installed.cli;
    let code = cli.ok(&["device", "code"], b"");
    let laptop = backed.installed.other("laptop");
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    laptop.ok(&join, b"another operator 41\n");
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let said = activate(&laptop.home, &home, &["--new-origin"]);
    assert!(
        said.err.contains("is no device of a steward"),
        "{}",
        said.err
    );
    let done = activated(
        &laptop.home,
        &home,
        &["--new-origin", "--steward-key", "alice"],
    );
    assert_eq!(done["seated"], "alice", "{done}");
    // The one of the backup is held, and the one that was brought lets it go on.
    assert_eq!(done["held"].as_array().unwrap().len(), 1, "{done}");
    let server = served(&home);
    let vkey = done["ledger_vkey"].as_str().unwrap();
    ok_at(
        &laptop,
        &server.url,
        &["--yes", "restore", "accept", "--key", vkey],
    );
    laptop.ok(&["login", "--passphrase-fd", "0"], b"another operator 41\n");
    settled(&laptop, &server.url);
    ok_at(
        &laptop,
        &server.url,
        &["--yes", "restore", "release", "--all"],
    );
    // Nobody is left about whom a yes could be asked for.
    let said = at(&laptop, &server.url, &["restore", "release", "--all"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err
            .ends_with("nobody is held since the installation was restored\n"),
        "{}",
        said.err
    );
    server.stop();
}

#[test]
fn what_was_proposed_before_the_backup_ends_since_nobody_knows_who_said_no() {
    let mut backed = Backed::new();
    let bea = joined(&backed, "bea");
    let cli = &backed.installed.cli;
    let made = cli.json(&["proposal", "remove-steward", "bea"]);
    let id = made["id"].as_str().unwrap().to_owned();
    cli.ok(&["--yes", "proposal", "sign", &id], b"");
    backed_up(&mut backed);
    bea.ok(&["--yes", "proposal", "refuse", &id], b"");
    let later = ledger(&backed);
    let (home, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let own = backed.installed.cli.home.clone();
    let done = activated(&own, &home, &["--ledger", path(&later)]);
    assert_eq!(done["proposals_ended"], 1, "{done}");
    assert_eq!(done["recorded"][1], "proposals_ended:1", "{done}");
    let server = served(&home);
    let cli = &backed.installed.cli;
    settled(cli, &server.url);
    let list = ok_at(cli, &server.url, &["--json", "proposal", "list"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["proposals"], json!([]), "{list}");
    let sign = ["--yes", "proposal", "sign", &id];
    let said = at(cli, &server.url, &sign);
    assert!(
        said.err.contains("there is no such proposal"),
        "{}",
        said.err
    );
    server.stop();
}
