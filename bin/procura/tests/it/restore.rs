//! A restored home becomes the installation again: by copies of the record that reach
//! what is known of it, or under another origin.

use crate::backup::{Backed, path};
use crate::installed::{Cli, Installed, PASSPHRASE, Running};
use crate::runbooks::{blocks_of, typed_in};
use crate::{Ran, ran, run_with_input};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const NEXT_LINE: &[u8] = b"correct horse battery\n";

/// The activation of `home` by somebody whose own home is `own`.
pub(crate) fn activate(own: &Path, home: &Path, more: &[&str]) -> Ran {
    let first = [
        "--json",
        "--yes",
        "--passphrase-fd",
        "0",
        "restore",
        "--activate",
        "--to",
        path(home),
    ];
    run_with_input(own, &[&first, more].concat(), PASSPHRASE)
}

pub(crate) fn activated(own: &Path, home: &Path, more: &[&str]) -> Value {
    let said = activate(own, home, more);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

/// Starts a server on a restored home and unseals it.
pub(crate) fn served(home: &Path) -> Running {
    let server = Running::start(home);
    let own = Cli {
        home: home.to_owned(),
        url: Some(server.url.clone()),
    };
    own.ok(&["unseal", "--passphrase-fd", "0"], NEXT_LINE);
    server
}

/// Waits until the server can tell again which proofs were used: for 15 s after a start
/// without its memory of them it believes none.
pub(crate) fn settled(of: &Cli, url: &str) {
    let patience = Instant::now() + Duration::from_secs(180);
    loop {
        let said = at(of, url, &["namespace", "list"]);
        if !said.err.contains("verifier_unavailable") {
            return;
        }
        assert!(Instant::now() < patience, "{}", said.err);
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A second operator, steward too, with a home of her own.
pub(crate) fn joined(backed: &Backed, name: &str) -> Cli {
    joined_as(backed, name, "steward")
}

/// One with another role.
pub(crate) fn joined_as(backed: &Backed, name: &str, role: &str) -> Cli {
    let owner = &backed.installed.cli;
    let invite = ["operator", "invite", name, "--role", role];
    let code = owner.ok(&invite, b"");
    let other = backed.installed.other(name);
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    other.ok(&join, b"another operator 41\n");
    other.ok(&["login", "--passphrase-fd", "0"], b"another operator 41\n");
    other
}

/// The command line of `of`, told of another server.
pub(crate) fn at(of: &Cli, url: &str, args: &[&str]) -> Ran {
    let mut command = of.command(args);
    command.env("PROCURA_SERVER", url);
    ran(command.stdin(Stdio::null()).output().unwrap())
}

pub(crate) fn ok_at(of: &Cli, url: &str, args: &[&str]) -> String {
    let said = at(of, url, args);
    assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    said.out
}

/// The newest copy of the record from behind the backup.
pub(crate) fn copied(backed: &Backed, name: &str) -> PathBuf {
    let folder = backed.place("ledger");
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join(name);
    let since = path(&backed.file);
    let take = ["backup", path(&copy), "--ledger-since", since];
    backed.installed.cli.ok(&take, b"");
    copy
}

#[test]
fn copies_of_the_record_lead_on_and_what_was_taken_away_is_taken_away_again() {
    let mut backed = Backed::new();
    let cli = &backed.installed.cli;
    cli.ok(&["agent", "add", "bot", "--no-code"], b"");
    cli.ok(&["namespace", "create", "staging"], b"");
    cli.ok(&["-n", "staging", "secret", "put", "a/key"], b"of staging");
    cli.ok(&["secret", "put", "app/newer"], b"the first");
    let file = backed.place("tuesday.procura");
    cli.ok(&["backup", path(&file)], b"");
    backed.file = file;
    let cli = &backed.installed.cli;
    cli.ok(&["agent", "revoke", "bot", "--yes"], b"");
    cli.ok(&["secret", "destroy", "app/gone", "--yes"], b"");
    cli.ok(&["secret", "delete", "app/large", "--yes"], b"");
    // One version alone, and one that the backup does not have, which was the newest.
    let first = ["secret", "destroy", "app/key", "--version", "1", "--yes"];
    cli.ok(&first, b"");
    cli.ok(&["secret", "put", "app/key"], b"the third");
    cli.ok(&["secret", "put", "app/newer"], b"leaked");
    let newest = ["secret", "destroy", "app/newer", "--version", "2", "--yes"];
    cli.ok(&newest, b"");
    let end = ["namespace", "delete", "staging", "--confirm", "staging"];
    cli.ok(&end, b"");
    copied(&backed, "first");
    copied(&backed, "second");
    let own = cli.home.clone();
    let ledger = backed.place("ledger");

    let (home, _) = backed.restored("restored");
    // Nobody knows how far the record went, and then that it went further.
    let unknown = activate(&backed.place("nobody"), &home, &[]);
    assert!(
        unknown.err.contains("nothing says how far the record went"),
        "{}",
        unknown.err
    );
    let short = activate(&own, &home, &[]);
    assert!(
        short.err.contains("what is between is missing"),
        "{}",
        short.err
    );
    assert!(home.join("restored.json").exists());

    backed.installed.server.take().unwrap().stop();
    let done = activated(&own, &home, &["--ledger", path(&ledger)]);
    assert_eq!(done["new_origin"], false);
    let again: Vec<&str> = done["again"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert_eq!(
        again,
        [
            "alice//bot is revoked",
            "secret app/gone in default is destroyed",
            "version 1 of secret app/key in default is destroyed",
            "secret app/newer in default is deleted",
            "secret app/large in default is deleted",
            "namespace staging has ended",
        ],
        "{done}"
    );
    let lost = done["lost"].to_string();
    assert!(
        lost.contains("secret.write secret/app/key in default"),
        "{lost}"
    );
    assert_eq!(done["held"].as_array().unwrap().len(), 0, "{done}");

    // Who remembers the installation of before goes on without being asked anything.
    let server = served(&home);
    let cli = &backed.installed.cli;
    settled(cli, &server.url);
    let agents: Value =
        serde_json::from_str(&ok_at(cli, &server.url, &["--json", "agent", "list"])).unwrap();
    assert!(agents["agents"][0]["revoked"].is_string(), "{agents}");
    assert_eq!(
        ok_at(cli, &server.url, &["secret", "get", "app/key"]),
        "the second"
    );
    for gone in ["app/gone", "app/large", "app/newer"] {
        let said = at(cli, &server.url, &["secret", "get", gone]);
        assert!(said.err.contains("not_found"), "{}", said.err);
    }
    let first = ["secret", "get", "app/key", "--version", "1"];
    let said = at(cli, &server.url, &first);
    let gone = "app/key has no version 1 that can be read";
    assert!(said.err.contains(gone), "{}", said.err);
    let back = ["--yes", "secret", "undelete", "app/newer"];
    ok_at(cli, &server.url, &back);
    assert_eq!(
        ok_at(cli, &server.url, &["secret", "get", "app/newer"]),
        "the first"
    );
    // What was in a namespace that ended is as far away as it was, and so is its name.
    let of_staging = ["-n", "staging", "secret", "get", "a/key"];
    let said = at(cli, &server.url, &of_staging);
    assert!(
        said.err.contains("There is no such thing here"),
        "{}",
        said.err
    );
    let said = at(cli, &server.url, &["namespace", "create", "staging"]);
    assert!(said.err.contains("no other gets its name"), "{}", said.err);
    // The record is the one of before, and says that it was restored.
    let export = backed.place("export");
    ok_at(cli, &server.url, &["audit", "export", path(&export)]);
    ok_at(cli, &server.url, &["audit", "verify", path(&export)]);
    let said = ok_at(
        cli,
        &server.url,
        &[
            "--json",
            "audit",
            "list",
            "--everywhere",
            "--action",
            "installation.restore",
        ],
    );
    assert!(said.contains("after:procura/"), "{said}");
    // A copy that was activated is no restored home any more.
    let twice = activate(&own, &home, &["--ledger", path(&ledger)]);
    let said: Value = serde_json::from_str(&twice.err).unwrap();
    assert_eq!(
        said,
        serde_json::json!({
            "exit": 78,
            "what": format!("there is nothing to activate in {}", home.display()),
            "why": "it is activated already, or was not restored from a backup",
            "next": format!("procura server --home {}", home.display()),
        })
    );
    let deep: Value =
        serde_json::from_str(&ok_at(cli, &server.url, &["--json", "status", "--deep"])).unwrap();
    assert_eq!(deep["deep"].as_array().unwrap().len(), 0, "{deep}");
    server.stop();
}

#[test]
fn copies_with_a_hole_or_of_others_are_refused() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    cli.ok(&["agent", "add", "one", "--no-code"], b"");
    let first = copied(&backed, "first");
    cli.ok(&["agent", "add", "two", "--no-code"], b"");
    let second = backed.place("second");
    cli.ok(
        &["backup", path(&second), "--ledger-since", path(&first)],
        b"",
    );
    let checked = backed.run(&["--json", "backup", "check", path(&second)], b"");
    let checked: Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!(checked["kind"], "ledger");
    let (home, _) = backed.restored("restored");
    let own = backed.place("nobody");
    let hole = activate(&own, &home, &["--ledger", path(&second)]);
    assert!(hole.err.contains("a copy is missing"), "{}", hole.err);
    let whole = activate(&own, &home, &["--ledger", path(&backed.file)]);
    assert!(whole.err.contains("is a backup, where"), "{}", whole.err);
    let other = Backed::new();
    other
        .installed
        .cli
        .ok(&["agent", "add", "x", "--no-code"], b"");
    let strange = copied(&other, "strange");
    let foreign = activate(&own, &home, &["--ledger", path(&strange)]);
    assert!(
        foreign.err.contains("is of installation"),
        "{}",
        foreign.err
    );
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = backed.place("damaged");
    std::fs::write(&damaged, bytes).unwrap();
    let said = activate(&own, &home, &["--ledger", path(&damaged)]);
    assert!(said.err.contains("is damaged"), "{}", said.err);
    // A checkpoint that nobody's key has signed, and one of another record.
    let note = other.installed.cli.home.join("operator/checkpoint");
    let both = ["--ledger", path(&first), "--checkpoint", path(&note)];
    let said = activate(&own, &home, &both);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(said.err.contains("operator/checkpoint"), "{}", said.err);
}

#[test]
fn without_copies_it_goes_on_under_another_origin_and_everybody_is_held() {
    let mut backed = Backed::new();
    let bea = joined(&backed, "bea");
    let file = backed.place("tuesday.procura");
    backed.installed.cli.ok(&["backup", path(&file)], b"");
    backed.file = file;
    backed
        .installed
        .cli
        .ok(&["secret", "put", "app/later"], b"lost");
    bea.json(&["status"]);
    bea.ok(&["namespace", "list"], b"");
    let (home, _) = backed.restored("restored");
    let cli = &backed.installed.cli;
    let own = cli.home.clone();
    // Only a steward's device can go on.
    let nobodys = [
        "--new-origin",
        "--device",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    let said = activate(&own, &home, &nobodys);
    assert!(
        said.err.contains("is no device of a steward"),
        "{}",
        said.err
    );
    backed.installed.server.take().unwrap().stop();
    let done = activated(&own, &home, &["--new-origin"]);
    assert_eq!(done["new_origin"], true);
    assert_eq!(done["held"].as_array().unwrap().len(), 1, "{done}");
    let origin = done["origin"].as_str().unwrap();
    let (first, apart) = origin.rsplit_once('-').unwrap();
    assert!(first.ends_with("/2"), "{origin}");
    assert_eq!(apart.len(), 16, "{origin}");
    let vkey = done["ledger_vkey"].as_str().unwrap();

    let server = served(&home);
    let cli = &backed.installed.cli;
    settled(cli, &server.url);
    // Whoever knows the record of before believes none of it.
    let said = at(cli, &server.url, &["secret", "get", "app/key"]);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(
        said.err.starts_with("procura: the server's checkpoint is not one of the installation that was joined: not signed by procura/"),
        "{}",
        said.err
    );
    assert!(
        said.err.ends_with("\n  next: if an administrator says that they restored it with --new-origin: procura restore accept --key KEY, with the KEY that they tell you\n"),
        "{}",
        said.err
    );
    let said = at(
        cli,
        &server.url,
        &["restore", "accept", "--key", "procura/x+1a2b3c4d+AQ=="],
    );
    assert_ne!(said.code, 0);
    ok_at(
        cli,
        &server.url,
        &["--yes", "restore", "accept", "--key", vkey],
    );
    assert_eq!(
        ok_at(cli, &server.url, &["secret", "get", "app/key"]),
        "the second"
    );
    // The first entry under it commits to the head of before.
    let list = ok_at(
        cli,
        &server.url,
        &[
            "--json",
            "audit",
            "list",
            "--everywhere",
            "--action",
            "installation.restore",
        ],
    );
    assert!(list.contains(&format!("origin:{origin}")), "{list}");
    assert!(list.contains("known:procura/"), "{list}");
    let export = backed.place("export");
    ok_at(cli, &server.url, &["audit", "export", path(&export)]);
    ok_at(
        cli,
        &server.url,
        &["audit", "verify", path(&export), "--key", vkey],
    );

    // The other operator is held.
    ok_at(
        &bea,
        &server.url,
        &["--yes", "restore", "accept", "--key", vkey],
    );
    let said = at(&bea, &server.url, &["namespace", "list"]);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(said.err.contains("quarantine"), "{}", said.err);
    let release = "or procura restore release DEVICE if it is held since a restore";
    assert!(said.err.contains(release), "{}", said.err);
    let held: Value =
        serde_json::from_str(&ok_at(cli, &server.url, &["--json", "restore", "held"])).unwrap();
    let device = held["quarantined"][0]["device"].as_str().unwrap();
    assert_eq!(held["quarantined"][0]["name"], "bea", "{held}");
    let own = [
        "restore",
        "release",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    let said = at(cli, &server.url, &own);
    assert!(said.err.contains("is not held"), "{}", said.err);
    let said = at(cli, &server.url, &["honey", "reinstate", "--", device]);
    let question = format!(
        "Let {device} act again? It is held since the installation was restored: find out first whether it was revoked after the backup."
    );
    assert!(said.err.contains(&question), "{}", said.err);
    ok_at(cli, &server.url, &["--yes", "restore", "release", device]);
    ok_at(&bea, &server.url, &["namespace", "list"]);
    server.stop();
}

#[test]
fn the_drill_of_the_guide_ends_with_a_server_on_what_was_restored() {
    let mut installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "app/key"], b"kept");
    std::fs::write(installed.dir().join("passphrase.txt"), PASSPHRASE).unwrap();
    let own = cli.home.to_str().unwrap().to_owned();
    let url = cli.url.clone().unwrap();
    let variables = [
        ("PROCURA_HOME", own.as_str()),
        ("PROCURA_SERVER", url.as_str()),
    ];
    let blocks = blocks_of("guides", "backup-drill.md");
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        typed_in(installed.dir(), &block, &variables);
    }
    assert!(!installed.dir().join("monday.procura.partial").exists());
    installed.server.take().unwrap().stop();
    let home = installed.dir().join("restored");
    let server = served(&home);
    settled(&installed.cli, &server.url);
    let said = ok_at(&installed.cli, &server.url, &["secret", "get", "app/key"]);
    assert_eq!(said, "kept");
    server.stop();
}
