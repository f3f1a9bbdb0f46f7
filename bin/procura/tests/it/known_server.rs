//! What a home remembers of its server: which one it is, and how far its
//! record had come.

use crate::installed::{Cli, Installed, PASSPHRASE};
use std::path::Path;

#[test]
fn another_server_at_the_address_is_refused_before_it_learns_anything() {
    let (installed, stranger) = (Installed::new(), Installed::new());
    let misled = Cli {
        home: installed.cli.home.clone(),
        url: stranger.cli.url.clone(),
    };
    let refused = misled.run(&["secret", "put", "a/b"], b"canary");
    assert_eq!(refused.code, 77);
    assert!(
        refused.err.starts_with(
            "procura: another installation answers at this address: this home belongs to "
        ),
        "{}",
        refused.err
    );
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&source, &target);
        } else if kind.is_file() {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}

#[test]
fn an_installation_put_back_from_a_copy_is_refused_until_accepted() {
    let mut installed = Installed::new();
    let home = installed.cli.home.clone();
    let backup = installed.dir().join("backup");
    installed.cli.ok(&["secret", "put", "a/b"], b"one");
    // The server stops in order, and everything but the operator's side is
    // copied.
    installed.server.take().unwrap().stop();
    copy(&home, &backup);
    std::fs::remove_dir_all(backup.join("operator")).unwrap();

    installed.serve();
    for value in [&b"two"[..], b"three", b"four"] {
        installed.cli.ok(&["secret", "put", "a/b"], value);
    }
    // An export waits for the checkpoint that covers all of it, and it is remembered.
    let record = installed.dir().join("record");
    let export = ["audit", "export", record.to_str().unwrap()];
    installed.cli.ok(&export, b"");
    drop(installed.server.take());

    for entry in std::fs::read_dir(&home).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("operator") {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    copy(&backup, &home);
    installed.serve();
    let cli = &installed.cli;
    let refused = cli.run(&["secret", "get", "a/b"], b"");
    assert_eq!((refused.code, refused.out.as_str()), (77, ""));
    assert!(
        refused
            .err
            .starts_with("procura: the server is older than it was, or its record was rewritten: "),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("--danger-accept-rollback"),
        "{}",
        refused.err
    );

    let accepted = cli.ok(&["--danger-accept-rollback", "secret", "get", "a/b"], b"");
    assert_eq!(accepted, "one");
    assert_eq!(cli.ok(&["secret", "get", "a/b"], b""), "one");
}

#[test]
fn a_code_leads_to_its_own_server_whatever_the_environment_says() {
    let (installed, stranger) = (Installed::new(), Installed::new());
    let (own, other) = (
        installed.cli.url.clone().unwrap(),
        stranger.cli.url.clone().unwrap(),
    );
    let invite = ["operator", "invite", "bob", "--role", "admin@default"];
    let code = installed.cli.ok(&invite, b"");
    let bob = Cli {
        home: installed.dir().join("bob"),
        url: Some(other.clone()),
    };
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    let typed = [&["--server", &other][..], &join].concat();
    let words = format!(
        "procura: the code is of {own}, and you asked {other}\n  next: the same command without --server"
    );
    let refused = bob.run(&typed, PASSPHRASE);
    assert_eq!(refused.code, 64);
    assert!(refused.err.starts_with(&words), "{}", refused.err);
    // So it is where a flag stands behind the command, and in the other joins.
    let agent = installed.cli.ok(&["agent", "add", "scribe"], b"");
    let out = installed.dir().join("transit.json");
    let out = out.to_str().unwrap();
    for join in [
        &["join"][..],
        &["unseal-source", "join", "--out", out],
        &[
            "gate",
            "--service",
            "till",
            "--upstream",
            "http://127.0.0.1:9",
            "--join",
        ],
    ] {
        let refused = bob.run(&[join, &[agent.trim(), "--server", &other]].concat(), b"");
        assert!(refused.err.starts_with(&words), "{join:?}: {}", refused.err);
    }
    assert!(!Path::new(out).exists());
    let joined = bob.run(&join, PASSPHRASE);
    let said = format!("joined {own} as bob\n");
    assert!(
        joined.code == 0 && joined.err.ends_with(&said),
        "{}",
        joined.err
    );
}
