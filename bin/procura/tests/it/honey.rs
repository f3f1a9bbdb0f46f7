//! `honey`, as a steward types it.

use crate::installed::Installed;
use procura_types::encoding;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn decoys_are_planted_listed_known_again_and_removed() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let plant = [
        "--json", "honey", "plant", "--shape", "github", "--env", "CI_TOKEN", "--show", "ci/token",
    ];
    let planted = json(&cli.ok(&plant, b""));
    let canary = planted["canary"].as_str().unwrap();
    let value = planted["value_b64"].as_str().unwrap();
    let value = encoding::from_b64url("value_b64", value).unwrap();
    assert!(value.starts_with(b"ghp_"));

    assert!(cli.ok(&["secret", "list"], b"").contains("ci/token"));
    // It lies there for others; the owner is a steward and touches nothing.
    let read = cli.run(&["secret", "get", "ci/token"], b"");
    assert_eq!((read.code, read.out.as_str()), (77, ""));
    let list = cli.ok(&["honey", "list"], b"");
    assert!(list.contains(canary) && list.contains("deny"), "{list}");
    assert!(!list.contains("ghp_"));

    let mut pasted = b"token: ".to_vec();
    pasted.extend_from_slice(&value);
    let found = cli.ok(&["honey", "which"], &pasted);
    assert!(
        found.contains(canary) && found.contains("ci/token"),
        "{found}"
    );
    let none = cli.run(&["honey", "which"], b"something else entirely");
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert_eq!(none.err, "no honey secret of this installation\n");

    let taken = cli.run(&["honey", "plant", "ci/token"], b"");
    assert_eq!(taken.code, 77);
    assert!(taken.err.contains("already_exists"), "{}", taken.err);
    let removed = cli.run(&["honey", "remove", "ci/token"], b"");
    assert_ne!(removed.code, 0, "it asks, and nobody is there to say yes");
    cli.ok(&["--yes", "honey", "remove", "ci/token"], b"");
    assert!(!cli.ok(&["secret", "list"], b"").contains("ci/token"));
    assert!(cli.ok(&["honey", "which"], &value).contains(canary));
}

#[test]
fn a_decoy_of_ones_own_comes_from_stdin_and_is_shown_to_nobody() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let own = b"user=backup password=correct-horse-battery";
    let planted = cli.run(&["honey", "plant", "--stdin", "backup/login"], own);
    assert_eq!((planted.code, planted.out.as_str()), (0, ""));
    assert!(
        planted.err.starts_with("planted backup/login in default"),
        "{}",
        planted.err
    );
    let none = cli.run(&["honey", "plant", "--stdin", "backup/other"], b"");
    assert_eq!(none.code, 64);
    assert!(none.err.contains("1 byte to 32 KiB"), "{}", none.err);
    // What is that short is a decoy too, and would be found by chance.
    for (path, own) in [
        ("backup/pin", &b"0451"[..]),
        ("backup/key", b"0451-0451-12"),
    ] {
        cli.ok(&["honey", "plant", "--stdin", path], own);
    }
    assert_eq!(cli.run(&["honey", "which"], b"0451").out, "");
    let found = cli.ok(&["honey", "which"], b"0451-0451-12");
    assert!(
        found.contains("backup/key") && !found.contains("backup/pin"),
        "{found}"
    );
    let both = [
        "honey",
        "plant",
        "--stdin",
        "--shape",
        "aws",
        "backup/other",
    ];
    assert_eq!(cli.run(&both, own).code, 64);
    assert_eq!(cli.ok(&["honey", "quarantine"], b""), "");
    let unknown = "4pKbMyPXWbNVqwj3d4ZUrB4KTaUYO0ArTVcsBPyCVH4";
    let reinstate = cli.run(&["--yes", "honey", "reinstate", unknown], b"");
    assert_eq!(reinstate.code, 77);
    assert!(
        reinstate.err.contains("not in quarantine"),
        "{}",
        reinstate.err
    );
}

#[test]
fn a_device_that_touched_a_decoy_is_listed_as_quarantined() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["honey", "plant", "--shape", "github", "ci/token"], b"");
    let invite = ["operator", "invite", "bob", "--role", "admin@default"];
    let code = cli.ok(&invite, b"");
    let bob = installed.other("bob");
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    bob.ok(&join, crate::installed::PASSPHRASE);
    let login = ["login", "--passphrase-fd", "0"];
    bob.ok(&login, crate::installed::PASSPHRASE);
    let state = |cli: &crate::installed::Cli, of: &str| {
        let listed = cli.ok(&["device", "list"], b"");
        let line = listed.lines().find(|line| line.contains(of));
        line.unwrap_or_default()
            .split("  ")
            .last()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(
        (state(cli, "alice"), state(cli, "bob")),
        ("active".into(), "active".into())
    );
    assert_eq!(bob.run(&["secret", "get", "ci/token"], b"").code, 77);
    let mut said = String::new();
    for _ in 0..600 {
        said = state(cli, "bob");
        if said != "active" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(
        (state(cli, "alice"), said),
        ("active".into(), "quarantined".into())
    );
    let listed = cli.json(&["device", "list"]);
    assert!(
        listed.to_string().contains("\"state\":\"quarantined\""),
        "{listed}"
    );
    // It is told who may let it out; whoever does is asked by why it is in.
    let refused = bob.run(&["secret", "list"], b"");
    let next = "\n  next: procura honey reinstate DEVICE, or procura restore release DEVICE if it is held since a restore, typed by a steward who knows what happened\n";
    assert!(refused.err.ends_with(next), "{}", refused.err);
    let list = cli.json(&["honey", "quarantine"]);
    let device = list["quarantined"][0]["device"].as_str().unwrap();
    let asked = |why: &str| {
        let ran = cli.run(&["honey", "reinstate", "--", device], b"");
        assert_eq!(ran.code, 64, "{}", ran.err);
        assert_eq!(
            ran.err,
            format!(
                "procura: not done without a yes: there is no terminal to ask at: Let {device} act again? {why}\n  next: the same command with --yes\n"
            )
        );
    };
    let reinstate = ["--yes", "honey", "reinstate", "--", device];
    asked("It touched a honey secret: find out first who had it.");
    cli.ok(&reinstate, b"");
    cli.ok(&["device", "hold", "--", device], b"");
    asked("A steward put it on hold: find out first what for.");
    // Revoked, it is out of everything, and nothing lets it out.
    cli.ok(&["--yes", "device", "revoke", "--", device], b"");
    assert_eq!(cli.ok(&["honey", "quarantine"], b""), "");
    let refused = cli.run(&reinstate, b"");
    assert_eq!(refused.code, 77, "{}", refused.err);
    let words = "this device or its actor is revoked, for good; a new device joins in its place (device_revoked, ";
    assert!(refused.err.contains(words), "{}", refused.err);
}

#[test]
fn what_is_in_the_way_is_said_with_what_to_type() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["honey", "plant", "ci/token"], b"");
    for (args, word, next) in [
        (
            &["secret", "put", "ci/token"][..],
            "(honey, ",
            "another path, or procura honey remove PATH, typed by a steward",
        ),
        (
            &["--yes", "operator", "revoke", "alice"],
            "(last_steward, ",
            "procura operator invite NAME --role steward, and this again when they have joined",
        ),
    ] {
        let refused = cli.run(args, b"a value");
        assert_eq!(refused.code, 77, "{args:?}: {}", refused.err);
        assert!(refused.err.contains(word), "{args:?}: {}", refused.err);
        let next = format!("\n  next: {next}\n");
        assert!(refused.err.ends_with(&next), "{args:?}: {}", refused.err);
    }
}
