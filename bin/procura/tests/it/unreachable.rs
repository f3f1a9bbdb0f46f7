//! Nobody answers: 69, and the next command to type.

use crate::{ran, run, run_with_input};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// An address on which nobody listens: taken, and given back.
fn nobody() -> String {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", taken.local_addr().unwrap())
}

#[test]
fn status_without_a_server() {
    let home = tempfile::tempdir().unwrap();
    let url = nobody();
    let ran = run(home.path(), &["--server", &url, "status"]);
    assert_eq!(ran.code, 69);
    assert!(
        ran.err
            .starts_with(&format!("procura: cannot reach {url}: ")),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .contains("next: start it with procura server, or name another with --server URL"),
        "{}",
        ran.err
    );

    let ran = run(home.path(), &["--server", &url, "--json", "status"]);
    assert_eq!((ran.code, ran.out.as_str()), (69, ""));
    let failure: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(failure["exit"], 69);
    assert!(
        failure["what"]
            .as_str()
            .unwrap()
            .starts_with("cannot reach ")
    );
}

#[test]
fn unseal_without_a_server_takes_the_passphrase_from_the_descriptor_and_says_where_to_go() {
    let home = tempfile::tempdir().unwrap();
    let ran = run_with_input(
        home.path(),
        &["unseal", "--passphrase-fd", "0"],
        b"correct horse battery\n",
    );
    assert_eq!(ran.code, 69);
    let socket = home.path().join("admin.sock");
    assert!(
        ran.err.starts_with(&format!(
            "procura: no server answers at {}: ",
            socket.display()
        )),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("correct horse"));
}

#[test]
fn passphrases_come_from_a_terminal_or_a_descriptor_only() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &["unseal"]);
    assert_eq!(ran.code, 64);
    assert_eq!(
        ran.err,
        "procura: there is no terminal to ask at\n  next: --passphrase-fd N, which shares and PINs are read from as well, one a line\n"
    );
    for (input, message) in [
        (&b"\n"[..], "procura: the passphrase is empty\n"),
        (
            b"",
            "procura: file descriptor 0 has no line left for this: The vault's passphrase\n  next: all that are asked for, one a line\n",
        ),
        (b"\xff\n", "procura: the passphrase is not UTF-8\n"),
        (
            &[b'x'; 1025],
            "procura: the passphrase is longer than 1024 bytes\n",
        ),
    ] {
        let ran = run_with_input(home.path(), &["unseal", "--passphrase-fd", "0"], input);
        assert_eq!((ran.code, ran.err.as_str()), (64, message));
    }
    let ran = run(home.path(), &["unseal", "--passphrase-fd", "99"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            64,
            "procura: cannot read file descriptor 99: it is not open\n  next: --passphrase-fd 3 3< FILE\n"
        )
    );
}

#[test]
fn a_new_passphrase_that_is_short_or_cannot_be_typed_makes_no_key() {
    let home = tempfile::tempdir().unwrap();
    for (input, message) in [
        (
            &b"short\n"[..],
            "procura: a new passphrase has at least 12 characters\n",
        ),
        (
            b"correct horse battery\r\n",
            "procura: a new passphrase has no control characters, such as a carriage return\n",
        ),
    ] {
        let ran = run_with_input(home.path(), &["init", "--passphrase-fd", "0"], input);
        assert_eq!((ran.code, ran.err.as_str()), (64, message));
    }
    assert!(!home.path().join("operator").exists());
}

#[test]
fn commands_of_operators_need_a_home_that_knows_a_server() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["secret", "list"][..],
        &["audit", "list"],
        &["seal"],
        &["login"],
    ] {
        let ran = run(home.path(), args);
        assert_eq!(ran.code, 78, "{args:?}: {}", ran.err);
        assert_eq!(
            ran.err,
            format!(
                "procura: no server is known in {}\n  next: procura init for a new installation, procura operator join for an existing one\n",
                home.path().display()
            ),
            "{args:?}"
        );
    }
}

#[test]
fn a_home_of_a_server_alone_is_told_from_one_that_knows_no_server() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("installation.json"), "{}").unwrap();
    for args in [&["secret", "list"][..], &["seal", "--yes"], &["login"]] {
        let ran = run(home.path(), args);
        let expected = format!(
            "procura: {} is a server's home, and no operator's key is in it\n  next: the command with --home of the operator's own home (where none is named: ~/.procura)\n",
            home.path().display()
        );
        assert_eq!((ran.code, ran.err), (78, expected), "{args:?}");
    }
}

#[test]
fn a_file_with_recipients_is_no_recipient() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("id.pub");
    std::fs::write(&file, "ssh-ed25519 AAAA\n").unwrap();
    let file = file.to_str().unwrap();
    let ran = run(home.path(), &["secret", "export", "--to", file]);
    let expected = format!(
        "procura: --to {file}: this is a file, and no recipient\n  next: --to-file {file}\n"
    );
    assert_eq!((ran.code, ran.err), (64, expected));
}

#[test]
fn files_that_cannot_be_used_are_named_with_a_way_on() {
    let home = tempfile::tempdir().unwrap();
    let operator = home.path().join("operator");
    std::fs::create_dir(&operator).unwrap();
    for (file, command) in [("server.json", "status"), ("key.json", "login")] {
        let path = operator.join(file);
        std::fs::write(&path, "x").unwrap();
        let ran = run(home.path(), &[command]);
        let words = format!("procura: cannot use {}: ", path.display());
        assert_eq!(ran.code, 78);
        assert!(ran.err.starts_with(&words), "{}", ran.err);
        assert!(
            ran.err.contains("next: put it back from a backup"),
            "{}",
            ran.err
        );
    }

    let ran = run(Path::new("/dev/null/home"), &["init"]);
    assert_eq!(ran.code, 74);
    assert!(ran.err.contains("next: --home DIR"), "{}", ran.err);
}

#[test]
fn a_home_of_another_user_is_refused_with_a_way_on() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("operator")).unwrap();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    let mut command = Command::new(env!("CARGO_BIN_EXE_procura"));
    // Root may read everything.
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    std::fs::set_permissions(home.path(), mode(0o000)).unwrap();
    let ran = ran(command
        .env_clear()
        .env("PROCURA_HOME", home.path())
        .args(["secret", "list"])
        .output()
        .unwrap());
    std::fs::set_permissions(home.path(), mode(0o700)).unwrap();
    assert_eq!(ran.code, 74);
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
    assert!(
        ran.err
            .contains("next: the same as the user to whom it belongs, or with another --home"),
        "{}",
        ran.err
    );
}

#[test]
fn what_nobody_types_is_not_offered() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &[]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("doctor, setup, namespace"), "{}", ran.err);
    assert!(!ran.err.contains("__"), "{}", ran.err);
    // The home comes from the environment here.
    let ran = run(home.path(), &["secret", "get"]);
    assert!(
        ran.err.contains("Usage: procura secret get <PATH>"),
        "{}",
        ran.err
    );
}
