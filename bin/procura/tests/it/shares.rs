//! Shares for their holders alone, and whether one is genuine.

use crate::installed::{Installed, PASSPHRASE};
use std::path::Path;
use std::process::Command;

/// A recipient whose key is the point 0, which gives everybody the same secret (RFC 7748
/// §6.1): nothing is encrypted to it.
const OF_NOBODY: &str = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";

/// A tool of others, with what it prints.
fn tool(program: &str, args: &[&str], place: &Path) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(place)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn shares_are_encrypted_to_their_holders_and_can_be_tried_without_use() {
    let installed = Installed::new();
    let (cli, place) = (&installed.cli, installed.dir());
    tool("age-keygen", &["-o", "ann.key"], place);
    let ann = tool("age-keygen", &["-y", "ann.key"], place);
    tool(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", "bob"],
        place,
    );
    let bob = place.join("bob.pub");
    let add = |to: &[&str]| {
        let mut args = vec!["unseal-source", "add", "recovery", "--shares", "2/2"];
        for to in to {
            args.extend(["--to", to]);
        }
        args.extend(["--yes", "--passphrase-fd", "0"]);
        cli.run(&args, PASSPHRASE)
    };
    let (ann, bob) = (ann.trim(), bob.to_str().unwrap());
    for (to, part) in [
        (
            &[ann][..],
            "there are 2 shares and 1 holders\n  next: --to 2 times, once for each holder\n",
        ),
        (&[ann, ann], "named twice"),
        (&[ann, "age1nobody"], "--to age1nobody"),
        (&[ann, "/nowhere/at/all"], "No such file"),
        (
            &[ann, OF_NOBODY],
            "nothing can be encrypted to this key, so no shares were made",
        ),
    ] {
        let refused = add(to);
        assert_eq!(refused.code, 64, "{to:?}: {}", refused.err);
        assert!(refused.err.contains(part), "{to:?}: {}", refused.err);
    }

    let listed = cli.json(&["unseal-source", "list"]);
    assert_eq!(listed["sources"].as_array().unwrap().len(), 1, "{listed}");

    let made = add(&[ann, bob]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(!made.out.contains("PROCURA-SHARE"), "a share in the clear");
    let end = "-----END AGE ENCRYPTED FILE-----\n";
    let files: Vec<&str> = made.out.split_inclusive(end).collect();
    assert_eq!(files.len(), 2, "{}", made.out);
    let mut shares = Vec::new();
    for (file, key) in files.into_iter().zip(["ann.key", "bob"]) {
        std::fs::write(place.join("share.age"), file).unwrap();
        shares.push(tool("age", &["-d", "-i", key, "share.age"], place));
        let other = if key == "bob" { "ann.key" } else { "bob" };
        let refused = Command::new("age")
            .args(["-d", "-i", other, "share.age"])
            .current_dir(place)
            .output()
            .unwrap();
        assert!(!refused.status.success(), "opened by {other}");
    }

    let verify = |share: &str| {
        let args = ["unseal-source", "verify", "--passphrase-fd", "0"];
        cli.run(&args, share.as_bytes())
    };
    cli.ok(&["seal", "--yes"], b"");
    let genuine = verify(&shares[1]);
    assert_eq!(genuine.code, 0, "{}", genuine.err);
    let said = format!("{}{}", genuine.out, genuine.err);
    assert!(said.contains("share 2 of the 2 of recovery"), "{said}");
    let text = shares[1].trim_end();
    let at = text.rfind('-').unwrap() - 1;
    let other = if &shares[1][at..=at] == "A" { "B" } else { "A" };
    let mistyped = format!("{}{other}{}", &shares[1][..at], &shares[1][at + 1..]);
    let wrong = verify(&mistyped);
    assert_eq!(wrong.code, 77, "{}", wrong.err);
    assert!(wrong.err.contains("checksum"), "{}", wrong.err);

    let opened = ["unseal", "--shares", "--passphrase-fd", "0"];
    cli.ok(&opened, shares.concat().as_bytes());
    // Of the tries before nothing is in the record, and they slowed nobody.
    let entries = cli.json(&[
        "audit",
        "list",
        "--everywhere",
        "--action",
        "installation.unseal",
    ]);
    let entries = entries["entries"].as_array().unwrap();
    assert!(
        entries
            .iter()
            .all(|entry| !entry["entry"].as_str().unwrap().contains("deny"))
    );

    // A share of the set before is told from a genuine one.
    let again = add(&[]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(
        again.err.contains("takes the place of recovery"),
        "{}",
        again.err
    );
    let old = verify(&shares[1]);
    assert_eq!(old.code, 77, "{}", old.err);
    assert!(old.err.contains("no more"), "{}", old.err);
}

/// Holders whose key is one of RSA get theirs as well, and read it with `age`.
#[test]
fn shares_are_encrypted_to_rsa_keys() {
    let installed = Installed::new();
    let (cli, place) = (&installed.cli, installed.dir());
    let mut add = vec!["unseal-source", "add", "recovery", "--shares", "2/2"];
    let holders = ["ann", "bob"];
    for holder in holders {
        let make = ["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", holder];
        tool("ssh-keygen", &make, place);
    }
    let public = holders.map(|holder| place.join(format!("{holder}.pub")));
    for file in &public {
        add.extend(["--to", file.to_str().unwrap()]);
    }
    add.extend(["--passphrase-fd", "0"]);
    let made = cli.run(&add, PASSPHRASE);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(!made.out.contains("PROCURA-SHARE"), "a share in the clear");
    let end = "-----END AGE ENCRYPTED FILE-----\n";
    let files: Vec<&str> = made.out.split_inclusive(end).collect();
    assert_eq!(files.len(), 2, "{}", made.out);
    let shares: Vec<String> = files
        .into_iter()
        .zip(holders)
        .map(|(file, holder)| {
            std::fs::write(place.join("share.age"), file).unwrap();
            tool("age", &["-d", "-i", holder, "share.age"], place)
        })
        .collect();
    cli.ok(&["seal", "--yes"], b"");
    let opened = ["unseal", "--shares", "--passphrase-fd", "0"];
    cli.ok(&opened, shares.concat().as_bytes());
}

/// Of several shares at one terminal the wrong one alone is brought again.
#[test]
fn what_was_brought_before_a_mistake_is_not_lost() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let add = ["unseal-source", "add", "recovery", "--shares", "3/3"];
    let made = cli.ok(&[&add[..], &["--passphrase-fd", "0"]].concat(), PASSPHRASE);
    let shares: Vec<&str> = made.lines().collect();
    assert_eq!(shares.len(), 3, "{made}");
    cli.ok(&["seal", "--yes"], b"");
    let lines = [shares[0], shares[1], shares[0]].join("\n");
    let together = ["unseal", "--shares", "--passphrase-fd", "0"];
    let refused = cli.run(&together, lines.as_bytes());
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("brought already"), "{}", refused.err);
    let begin = "next: the shares before it count for half an hour: procura ";
    let next = refused.err.split_once(begin).unwrap().1.trim();
    let mut words: Vec<&str> = next.split(' ').collect();
    assert_eq!(words[..3], ["unseal", "--share", "--ceremony"]);
    words.extend(["--passphrase-fd", "0"]);
    let opened = cli.run(&words, shares[2].as_bytes());
    assert_eq!(opened.code, 0, "{}", opened.err);
    assert!(opened.err.contains("unsealed"), "{}", opened.err);
}
