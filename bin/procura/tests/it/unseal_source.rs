//! `unseal-source`, and unsealing with shares.

use crate::installed::{Cli, Installed, PASSPHRASE, Running};
use serde_json::Value;

const SECOND: &str = "canary passphrase 93bb";

/// Lines for the questions of a command.
fn lines(lines: &[&str]) -> Vec<u8> {
    format!("{}\n", lines.join("\n")).into_bytes()
}

fn first_passphrase() -> &'static str {
    std::str::from_utf8(PASSPHRASE).unwrap().trim_end()
}

#[test]
fn a_lost_passphrase_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let server = Running::start(&home);
    let cli = Cli {
        home,
        url: Some(server.url.clone()),
    };
    let fd = |args: &[&str]| -> Vec<String> {
        let args = args.iter().chain(&["--passphrase-fd", "0"]);
        args.map(|arg| (*arg).to_owned()).collect()
    };
    let with = |args: &[&str], typed: &[&str]| {
        let args = fd(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        cli.run(&args, &lines(typed))
    };
    let ok = |args: &[&str], typed: &[&str]| {
        let done = with(args, typed);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        done
    };
    ok(&["init", "--owner", "alice"], &[first_passphrase()]);
    ok(&["login"], &[first_passphrase()]);

    for wrong in ["5/3", "1/3", "3", "3/256", "-1/2"] {
        let refused = with(
            &["unseal-source", "add", "recovery", "--shares", wrong],
            &[],
        );
        assert_eq!(refused.code, 64, "{wrong}: {}", refused.err);
    }
    let none = with(&["unseal-source", "add", "recovery"], &[]);
    assert_eq!(none.code, 64, "{}", none.err);
    let made = ok(
        &[
            "unseal-source",
            "add",
            "recovery",
            "--shares",
            "2/3",
            "--json",
        ],
        &[first_passphrase()],
    );
    let made: Value = serde_json::from_str(&made.out).unwrap();
    let shares: Vec<&str> = made["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| share.as_str().unwrap())
        .collect();
    assert_eq!(shares.len(), 3);
    let listed = ok(&["unseal-source", "list"], &[]).out;
    assert!(
        listed.contains("recovery") && listed.contains("2 of its 3"),
        "{listed}"
    );
    assert!(!listed.contains("PROCURA-SHARE"));
    let tried = ok(
        &["unseal-source", "test", "--with", "shares"],
        &[shares[2], shares[0]],
    );
    assert!(tried.err.contains("recovery (shares)"), "{}", tried.err);
    let test = &["unseal-source", "test", "--with", "shares"][..];
    for (args, lines, says) in [
        (
            test,
            &[shares[2], shares[2]][..],
            "\n  next: the command again, with another share of the set\n",
        ),
        (
            test,
            &[shares[2]],
            "procura: file descriptor 0 has no line left for this: Share 2 of 2\n  next: all that are asked for, one a line\n",
        ),
        (
            &[
                "unseal-source",
                "add",
                "machine",
                "--tpm",
                "/nowhere/at/all",
                "--pcrs",
                "7",
            ],
            &[first_passphrase()],
            "\n  next: check what was named (--pkcs11 and --token, --tpm, --kms and --region, --transit); nothing was added\n",
        ),
    ] {
        let refused = with(args, lines);
        assert_ne!(refused.code, 0, "{args:?}");
        assert!(refused.err.ends_with(says), "{args:?}: {}", refused.err);
    }

    ok(&["seal"], &[]);
    let began = ok(&["unseal", "--share"], &[shares[1]]);
    let name = began
        .err
        .split("--ceremony ")
        .nth(1)
        .unwrap()
        .trim()
        .to_owned();
    assert!(began.err.contains("1 of 2 shares"), "{}", began.err);
    let twice = with(&["unseal", "--share", "--ceremony", &name], &[shares[1]]);
    assert!(twice.err.contains("brought already"), "{}", twice.err);
    let other = with(
        &["unseal", "--share", "--ceremony", "0cRkLqg0tXJqPUZm2Z9Qug"],
        &[shares[0]],
    );
    assert!(
        other
            .err
            .ends_with("\n  next: procura unseal --share, which begins another ceremony\n"),
        "{}",
        other.err
    );
    let opened = ok(&["unseal", "--share", "--ceremony", &name], &[shares[0]]);
    assert!(opened.err.contains("unsealed"), "{}", opened.err);

    // Whoever has enough shares can do that alone, so each operator hears of it, until
    // somebody was there to read it.
    for _ in 0..2 {
        let next = ok(&["namespace", "list"], &[]).err;
        let notice = "notice: the vault was opened with shares of recovery";
        assert!(next.contains(notice), "{next}");
    }

    // The passphrase is lost: another takes its place.
    let with_shares = [shares[0], shares[2], SECOND];
    ok(
        &[
            "unseal-source",
            "add",
            "second",
            "--passphrase",
            "--with",
            "shares",
        ],
        &with_shares,
    );
    ok(
        &[
            "unseal-source",
            "remove",
            "passphrase",
            "--with",
            "shares",
            "--yes",
        ],
        &with_shares[..2],
    );
    ok(&["seal"], &[]);
    let gone = with(&["unseal"], &[first_passphrase()]);
    assert_ne!(gone.code, 0);
    assert!(gone.err.contains("passphrase is wrong"), "{}", gone.err);
    ok(&["unseal"], &[SECOND]);
    ok(&["seal"], &[]);
    let opened = ok(&["unseal", "--shares"], &[shares[2], shares[1]]);
    assert!(opened.err.contains("unsealed"), "{}", opened.err);
    assert!(
        ok(&["audit", "list", "--everywhere"], &[])
            .out
            .contains("installation.unseal")
    );
    drop(server);
}

/// Shares whose text went nowhere open nothing: the passphrase that added them does not go
/// by itself, and whoever is asked reads what is left.
#[test]
fn what_was_never_tried_does_not_take_the_place_of_the_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let server = Running::start(&home);
    let cli = Cli {
        home,
        url: Some(server.url.clone()),
    };
    cli.ok(
        &["init", "--owner", "alice", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    let add = ["unseal-source", "add", "recovery", "--shares", "2/3"];
    cli.ok(&[&add[..], &["--passphrase-fd", "0"]].concat(), PASSPHRASE);
    let remove = ["unseal-source", "remove", "passphrase"];
    let remove = [&remove[..], &["--passphrase-fd", "0"]].concat();
    let asked = cli.run(&remove, PASSPHRASE);
    assert_ne!(asked.code, 0);
    let question = "What opens the vault then: recovery (2 of its 3 shares).";
    assert!(asked.err.contains(question), "{}", asked.err);
    let refused = cli.run(&[&remove[..], &["--yes", "--json"]].concat(), PASSPHRASE);
    let failure: serde_json::Value =
        serde_json::from_str(refused.err.lines().last().unwrap()).unwrap();
    assert_eq!(
        failure["problem"]["reason"], "brought_leaves",
        "{}",
        refused.err
    );
    assert!(
        refused
            .err
            .contains("the passphrase of another source, --with shares"),
        "{}",
        refused.err
    );
    cli.ok(&["seal", "--yes", "--passphrase-fd", "0"], PASSPHRASE);
    cli.ok(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
    drop(server);
}

#[test]
fn shares_are_shown_as_qr_codes_that_fit_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let server = Running::start(&home);
    let cli = Cli {
        home,
        url: Some(server.url.clone()),
    };
    cli.ok(
        &["init", "--owner", "alice", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    let args = [
        "unseal-source",
        "add",
        "recovery",
        "--shares",
        "2/2",
        "--qr",
        "--passphrase-fd",
        "0",
    ];
    let shown = cli.ok(&args, PASSPHRASE);
    assert_eq!(
        shown
            .lines()
            .filter(|line| line.starts_with("PROCURA-SHARE-1-"))
            .count(),
        2
    );
    let drawn: Vec<&str> = shown.lines().filter(|line| line.contains('█')).collect();
    assert!(drawn.len() > 30, "{shown}");
    assert!(
        drawn.iter().all(|line| line.chars().count() <= 79),
        "{shown}"
    );
    drop(server);
}

#[test]
fn what_was_refused_of_a_source_goes_with_it() {
    let mut installed = Installed::new();
    installed.server.take().unwrap().stop();
    // As a token leaves it that refused its PIN.
    let file = installed.cli.home.join("auto-unseal.json");
    let kept = |refused: &[&str]| serde_json::json!({"sealed": false, "refused": refused});
    std::fs::write(&file, kept(&["other", "second"]).to_string()).unwrap();
    installed.serve();
    let type_in = |args: &[&str]| {
        let args = [args, &["--yes", "--passphrase-fd", "0"]].concat();
        installed.cli.ok(&args, PASSPHRASE);
        let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        kept
    };
    let added = type_in(&["unseal-source", "add", "second", "--shares", "2/3"]);
    assert_eq!(added, kept(&["other", "second"]));
    // A later source of this name is another.
    let removed = type_in(&["unseal-source", "remove", "second"]);
    assert_eq!(removed, kept(&["other"]));
}
