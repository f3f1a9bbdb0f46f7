//! Keys that cannot be used.

use super::{URL, secret_file};
use crate::openssl::ssh_key;
use crate::{run, run_with_input};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[test]
fn keys_that_cannot_be_used_are_refused_with_a_way_on() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let locked = ssh_key(dir, "locked", "correct horse");
    let open = ssh_key(dir, "open", "");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o640)).unwrap();
    let made = ssh_key(dir, "made", "");
    let text = std::fs::read_to_string(&made).unwrap();
    let third = text.lines().nth(2).unwrap();
    let damaged = secret_file(dir, "damaged", text.replace(third, "").as_bytes());
    let public = made.with_extension("pub");
    let text = secret_file(dir, "text", b"canary");
    let rsa = dir.join("rsa");
    let keygen = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "rsa",
            "-b",
            "2048",
            "-N",
            "",
            "-f",
            rsa.to_str().unwrap(),
        ])
        .status();
    assert!(keygen.unwrap().success());
    let nowhere = dir.join("nowhere");
    for (file, input, code, what, next) in [
        (&nowhere, &b""[..], 64, "nowhere: it is not there", ""),
        (&dir.to_owned(), b"", 64, "it is a directory", ""),
        (
            &open,
            b"",
            78,
            "open is open to others: its mode is 640",
            "chmod 600 ",
        ),
        (
            &public,
            b"",
            78,
            "made.pub: it is the public half of a key",
            "--key with the private half",
        ),
        (
            &text,
            b"",
            78,
            "text: not an OpenSSH key",
            "--key with a file that ssh-keygen",
        ),
        (
            &rsa,
            b"",
            78,
            "rsa: an OpenSSH key of another type than Ed25519",
            "ssh-keygen -t ed25519",
        ),
        (
            &damaged,
            b"",
            78,
            "damaged: the OpenSSH key is damaged",
            "put it back from a backup",
        ),
        (
            &locked,
            b"wrong horse\n",
            77,
            "locked: the passphrase does not open the private key",
            "the command again",
        ),
        (&locked, b"\n", 64, "the passphrase is empty", ""),
    ] {
        let args = [
            "--passphrase-fd",
            "0",
            "sign",
            "GET",
            URL,
            "--key",
            file.to_str().unwrap(),
        ];
        let ran = run_with_input(dir, &args, input);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{what}: {}",
            ran.err
        );
        assert!(ran.err.contains(what), "{what}: {}", ran.err);
        if !next.is_empty() {
            assert!(
                ran.err.contains(&format!("\n  next: {next}")),
                "{what}: {}",
                ran.err
            );
        }
    }
    // Nobody to ask.
    let ran = run(
        dir,
        &["sign", "GET", URL, "--key", locked.to_str().unwrap()],
    );
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("there is no terminal to ask at"),
        "{}",
        ran.err
    );
    // No key at all.
    let ran = run(dir, &["sign", "GET", URL]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("no server is known in"), "{}", ran.err);
}
