//! What a home remembers of its server: which one it is, and how far its
//! record had come.

use crate::installed::{Cli, Installed};
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

fn copy(from: &Path, to: &Path) {
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
