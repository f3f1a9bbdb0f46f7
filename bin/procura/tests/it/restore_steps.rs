//! An activation that is killed at any of its steps and run again comes out as one that
//! was not: the same is taken away, the same are held, nothing is recorded twice, and the
//! record verifies.

use crate::backup::{Backed, path};
use crate::installed::{Cli, PASSPHRASE};
use crate::restore::{activated, at, copied, joined, joined_as, ok_at, served, settled};
use procura_server::restoring::ActivationStep;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Steps of an activation by copies of the ledger.
const REACHING: [ActivationStep; 11] = [
    ActivationStep::Planned,
    ActivationStep::SequenceAhead,
    ActivationStep::PageAppended,
    ActivationStep::CopiesAppended,
    ActivationStep::Begun,
    ActivationStep::ProposalsEnded,
    ActivationStep::OneTakenAway,
    ActivationStep::TakenAway,
    ActivationStep::Seated,
    ActivationStep::PageHeld,
    ActivationStep::Held,
];

/// Steps of one under another origin.
const RENAMING: [ActivationStep; 12] = [
    ActivationStep::Planned,
    ActivationStep::SequenceAhead,
    ActivationStep::CopiesAppended,
    ActivationStep::Begun,
    ActivationStep::ProposalsEnded,
    ActivationStep::TakenAway,
    ActivationStep::Seated,
    ActivationStep::PageHeld,
    ActivationStep::Held,
    ActivationStep::GrantsEnded,
    ActivationStep::KeyChanged,
    ActivationStep::FileReplaced,
];

/// Runs an activation that kills itself at a step.
pub(crate) fn killed(own: &Path, home: &Path, more: &[&str], step: ActivationStep) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_procura"))
        .args(["--json", "--yes", "--passphrase-fd", "0"])
        .args(["restore", "--activate", "--to", path(home)])
        .args(more)
        .env_clear()
        .env("PROCURA_HOME", own)
        .env("PROCURA_DANGER_STOP_ACTIVATION_AT", step.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(PASSPHRASE).unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.signal(), Some(9), "{}: {said}", step.as_str());
    assert!(home.join("restored.json").exists(), "{}", step.as_str());
}

fn copy_of(from: &Path, to: PathBuf) -> PathBuf {
    let done = Command::new("cp").arg("-a").arg(from).arg(&to).status();
    assert!(done.unwrap().success());
    to
}

/// What has to be alike. The name of another origin is chosen anew for each home.
fn result(done: &Value) -> Value {
    let origin = done["origin"].as_str().unwrap();
    let recorded = done["recorded"].to_string().replace(origin, "ORIGIN");
    json!({
        "new_origin": done["new_origin"],
        "reached": done["reached"],
        "again": done["again"],
        "lost": done["lost"],
        "held": done["held"],
        "because": done["because"],
        "grants_ended": done["grants_ended"],
        "proposals_ended": done["proposals_ended"],
        "recorded": recorded,
        "entries": done["restored"]["entries"],
        "root": done["restored"]["root"],
    })
}

/// Serves an activated home to the owner, who looks at it from a home of their own.
fn looked_at(owner: &Path, home: &Path, own: PathBuf, done: &Value) {
    std::fs::create_dir(&own).unwrap();
    copy_of(&owner.join("operator"), own.join("operator"));
    let server = served(home);
    let cli = Cli {
        home: own,
        url: Some(server.url.clone()),
    };
    if done["new_origin"] == true {
        let vkey = done["ledger_vkey"].as_str().unwrap();
        let accept = ["--yes", "restore", "accept", "--key", vkey];
        ok_at(&cli, &server.url, &accept);
    }
    cli.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
    settled(&cli, &server.url);
    let export = cli.home.join("export");
    ok_at(&cli, &server.url, &["audit", "export", path(&export)]);
    ok_at(&cli, &server.url, &["audit", "verify", path(&export)]);
    let deep = ok_at(&cli, &server.url, &["--json", "status", "--deep"]);
    let deep: Value = serde_json::from_str(&deep).unwrap();
    assert_eq!(deep["deep"], json!([]), "{deep}");
    let held = ok_at(&cli, &server.url, &["--json", "restore", "held"]);
    let held: Value = serde_json::from_str(&held).unwrap();
    let held = held["quarantined"].as_array().unwrap();
    assert_eq!(held.len(), done["held"].as_array().unwrap().len());
    for gone in ["app/gone", "app/large"] {
        let said = at(&cli, &server.url, &["secret", "get", gone]);
        let there = done["new_origin"] == true;
        assert_eq!(said.code == 0, there, "{gone}: {}", said.err);
    }
    drop(cli);
    server.stop();
}

/// Each step is one home of its own, all of them of one backup.
fn each(backed: &mut Backed, steps: &[ActivationStep], more: &[&str]) -> Value {
    let (restored, _) = backed.restored("restored");
    backed.installed.server.take().unwrap().stop();
    let owner = backed.installed.cli.home.clone();
    let whole = copy_of(&restored, backed.place("whole"));
    let unbroken = activated(&owner, &whole, more);
    let expected = result(&unbroken);
    let backed = &*backed;
    std::thread::scope(|scope| {
        for step in steps {
            let (owner, restored, expected) = (&owner, &restored, &expected);
            scope.spawn(move || {
                let word = step.as_str();
                let home = copy_of(restored, backed.place(word));
                killed(owner, &home, more, *step);
                let done = activated(owner, &home, more);
                assert_eq!(&result(&done), expected, "{word}");
                assert!(!home.join("restored.json").exists(), "{word}");
                let own = backed.place(&format!("own-{word}"));
                looked_at(owner, &home, own, &done);
            });
        }
    });
    unbroken
}

#[test]
fn an_activation_by_copies_is_killed_at_each_step_and_comes_out_the_same() {
    let mut backed = Backed::new();
    let bea = joined_as(&backed, "bea", "admin@default");
    backed
        .installed
        .cli
        .ok(&["agent", "add", "bot", "--no-code"], b"");
    backed
        .installed
        .cli
        .ok(&["namespace", "create", "staging"], b"");
    let file = backed.place("tuesday.procura");
    backed.installed.cli.ok(&["backup", path(&file)], b"");
    backed.file = file;
    let cli = &backed.installed.cli;
    cli.ok(&["agent", "revoke", "bot", "--yes"], b"");
    cli.ok(&["secret", "destroy", "app/gone", "--yes"], b"");
    cli.ok(&["secret", "delete", "app/large", "--yes"], b"");
    cli.ok(&["--yes", "namespace", "delete", "staging"], b"");
    cli.ok(&["operator", "roles", "bea", "--none", "--yes"], b"");
    copied(&backed, "first");
    copied(&backed, "second");
    drop(bea);
    let ledger = backed.place("ledger");
    let done = each(&mut backed, &REACHING, &["--ledger", path(&ledger)]);
    assert_eq!(done["again"].as_array().unwrap().len(), 4, "{done}");
    assert_eq!(done["held"].as_array().unwrap().len(), 1, "{done}");
    // The first entry, four things taken away, and one page of who is held.
    assert_eq!(done["recorded"].as_array().unwrap().len(), 6, "{done}");
}

#[test]
fn an_activation_under_another_origin_is_killed_at_each_step_and_comes_out_the_same() {
    let mut backed = Backed::new();
    let bea = joined(&backed, "bea");
    let file = backed.place("tuesday.procura");
    backed.installed.cli.ok(&["backup", path(&file)], b"");
    backed.file = file;
    drop(bea);
    let done = each(&mut backed, &RENAMING, &["--new-origin"]);
    assert_eq!(done["held"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(done["recorded"].as_array().unwrap().len(), 3, "{done}");
}

#[test]
fn every_step_is_killed_at() {
    for step in ActivationStep::ALL {
        assert!(
            REACHING.contains(step) || RENAMING.contains(step),
            "{}",
            step.as_str()
        );
        assert_eq!(step.as_str().parse(), Ok(*step));
    }
    assert!("held ".parse::<ActivationStep>().is_err());
}
