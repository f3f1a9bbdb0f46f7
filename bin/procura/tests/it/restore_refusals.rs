//! What does not show how far a record went, or is of another key: what an activation
//! takes for evidence, and what somebody has to say themselves.

use crate::backup::{Backed, path};
use crate::installed::{Installed, PASSPHRASE};
use crate::restore::{activate, activated, copied};
use std::path::Path;

/// The base64 part of a verification key.
fn key_of(vkey: &str) -> &str {
    vkey.rsplit('+').next().unwrap()
}

fn recorded(done: &serde_json::Value) -> &str {
    done["recorded"][0].as_str().unwrap()
}

#[test]
fn a_checkpoint_that_reaches_no_further_than_the_backup_shows_nothing() {
    let backed = Backed::new();
    let own = backed.installed.cli.home.clone();
    let remembered = own.join("operator/checkpoint");
    assert!(remembered.exists());
    let (home, report) = backed.restored("restored");
    let entries = report["entries"].as_u64().unwrap();
    let unknown = format!("no copy of the ledger goes beyond its {entries} entries");
    // The one that the owner's home remembers, the same once more, and a copy from when
    // there was nothing more.
    let same = copied(&backed, "same");
    let ledger = backed.place("ledger");
    for more in [
        &[][..],
        &["--checkpoint", path(&remembered)],
        &["--ledger", path(&ledger)],
    ] {
        let said = activate(&own, &home, more);
        assert_eq!(said.code, 77, "{more:?}: {}", said.err);
        assert!(said.err.contains(&unknown), "{more:?}: {}", said.err);
        assert!(said.err.contains("--nothing-after-backup"), "{}", said.err);
    }
    assert!(same.exists());
    // What somebody says does not stand beside what is shown, nor against it.
    let both = ["--nothing-after-backup", "--ledger", path(&ledger)];
    assert_eq!(activate(&own, &home, &both).code, 64);
    let other = ["--nothing-after-backup", "--new-origin"];
    assert_eq!(activate(&own, &home, &other).code, 64);
    // Said, it is in the record.
    let done = activated(&own, &home, &["--nothing-after-backup"]);
    assert!(recorded(&done).ends_with(" nothing_after:stated"), "{done}");
    assert_eq!(done["reached"], entries);
}

#[test]
fn a_home_that_nothing_was_restored_to_is_named() {
    let backed = Backed::new();
    let own = backed.installed.cli.home.clone();
    let wrong = backed.place("wrong");
    let said = activate(&own, &wrong, &["--nothing-after-backup"]);
    assert_eq!(said.code, 78, "{}", said.err);
    let said: serde_json::Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(
        said,
        serde_json::json!({
            "exit": 78,
            "what": format!("nothing was restored to {}", wrong.display()),
            "next": "procura restore FILE --to HOME --verify, and then --activate with the same HOME",
        })
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let backed = Backed::new();
    let (missing, next) = (backed.place("missing"), backed.place("next.procura"));
    let home = backed.place("restored");
    for args in [
        &["backup", "check", path(&missing)][..],
        &["backup", path(&next), "--ledger-since", path(&missing)],
        &["restore", path(&missing), "--to", path(&home)],
    ] {
        let said = backed.installed.cli.run(args, b"");
        assert_eq!(said.code, 74, "{args:?}: {}", said.err);
        let words = format!(
            "procura: a file cannot be used: opening {}: No such file or directory (os error 2)\n  next: the same command with a path that is there\n",
            missing.display()
        );
        assert_eq!(said.err, words, "{args:?}");
    }
}

#[test]
fn a_file_that_is_no_checkpoint_is_named_and_no_reason_to_go_another_way() {
    let backed = Backed::new();
    let own = backed.installed.cli.home.clone();
    let (home, _) = backed.restored("restored");
    let pem = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let unsigned = "signed note: has no signature block";
    for (name, bytes, why) in [
        ("cert.pem", &pem[..], unsigned),
        ("passphrase.txt", PASSPHRASE, unsigned),
        ("image", b"\xff\xd8", "stream did not contain valid UTF-8"),
    ] {
        let file = backed.place(name);
        std::fs::write(&file, bytes).unwrap();
        for way in [
            &["--nothing-after-backup"][..],
            &["--new-origin", "--set-aside-checkpoints"],
        ] {
            let named = ["--checkpoint", path(&file)];
            let said = activate(&own, &home, &[way, &named].concat());
            assert_eq!(said.code, 64, "{name}: {}", said.err);
            let said: serde_json::Value = serde_json::from_str(&said.err).unwrap();
            assert_eq!(
                said,
                serde_json::json!({
                    "exit": 64,
                    "what": format!("{} is no checkpoint", file.display()),
                    "why": why,
                    "next": "the same command with another --checkpoint",
                })
            );
        }
    }
    // Nothing was done, and who goes on is told where.
    let to = path(&home);
    let mut args = vec!["--yes", "--passphrase-fd", "0", "restore", "--activate"];
    args.extend(["--to", to, "--nothing-after-backup"]);
    let said = backed.run(&args, PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
    let words = format!("\nnext: procura server --home {to}, then procura --home {to} unseal\n");
    assert!(said.err.ends_with(&words), "{}", said.err);
}

#[test]
fn who_brings_what_does_not_open_a_backup_is_told_what_to_type() {
    let backed = Backed::new();
    // A set of shares that came after it.
    let add = ["unseal-source", "add", "recovery", "--shares", "2/2"];
    let add = [&["--json", "--passphrase-fd", "0"], &add[..]].concat();
    let made = backed.installed.cli.ok(&add, PASSPHRASE);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let shares = made["shares"].as_array().unwrap().iter();
    let shares: Vec<&str> = shares.map(|share| share.as_str().unwrap()).collect();
    let shares = format!("{}\n", shares.join("\n"));
    for (with, input, next) in [
        (
            &["--shares"][..],
            shares.as_bytes(),
            "the same command without --shares, with the passphrase of the source passphrase",
        ),
        (
            &["--source", "nope"],
            b"",
            "the same command without --source, with the passphrase of the source passphrase",
        ),
        (
            &[],
            b"another passphrase 77\n",
            "the same command with the passphrase of the source passphrase",
        ),
    ] {
        let drill = ["--json", "--passphrase-fd", "0", "backup", "drill"];
        let args = [&drill[..], &[path(&backed.file)], with].concat();
        let said = backed.run(&args, input);
        assert_ne!(said.code, 0, "{with:?}");
        let said: serde_json::Value = serde_json::from_str(&said.err).unwrap();
        assert_eq!(said["next"], next, "{with:?}: {said}");
    }
}

#[test]
fn who_says_that_nothing_came_after_is_not_believed_against_a_checkpoint() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    cli.ok(&["agent", "add", "bot", "--no-code"], b"");
    // What the home remembers is from behind that.
    copied(&backed, "later");
    let (home, _) = backed.restored("restored");
    let own = cli.home.clone();
    let said = activate(&own, &home, &["--nothing-after-backup"]);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(
        said.err.contains("what is between is missing"),
        "{}",
        said.err
    );
    // Where a copy shows how far it went, nothing had to be said.
    let ledger = backed.place("ledger");
    let done = activated(&own, &home, &["--ledger", path(&ledger)]);
    assert!(!recorded(&done).contains("nothing_after"), "{done}");
}

#[test]
fn a_checkpoint_of_another_key_is_named_and_set_aside_only_by_word() {
    let backed = Backed::new();
    let other = Installed::new();
    other.cli.ok(&["agent", "add", "x", "--no-code"], b"");
    other.cli.ok(&["status"], b"");
    let strange = other.dir().join("strange.procura");
    other.cli.ok(&["backup", path(&strange)], b"");
    let note = other.cli.home.join("operator/checkpoint");
    let (home, _) = backed.restored("restored");
    let own = backed.installed.cli.home.clone();
    let bring = |more: &[&str]| {
        let first = ["--new-origin", "--checkpoint", path(&note)];
        activate(&own, &home, &[&first, more].concat())
    };
    let said = bring(&[]);
    assert_eq!(said.code, 77, "{}", said.err);
    for words in [
        path(&note),
        "does not open with the keys of the backup",
        "--new-origin --set-aside-checkpoints",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    // A record that is led on is held against all that is known.
    let led = [
        "--nothing-after-backup",
        "--set-aside-checkpoints",
        "--checkpoint",
        path(&note),
    ];
    assert_eq!(activate(&own, &home, &led).code, 64);
    let led = ["--nothing-after-backup", "--checkpoint", path(&note)];
    let said = activate(&own, &home, &led);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(said.err.contains("does not open with the keys"));
    assert!(home.join("restored.json").exists());

    let said = bring(&["--set-aside-checkpoints"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let done: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(recorded(&done).contains(" set_aside:1 "), "{done}");
}

#[test]
fn two_restored_copies_of_one_backup_never_have_one_name_or_key() {
    let backed = Backed::new();
    let own = backed.installed.cli.home.clone();
    let known = std::fs::read(own.join("operator/server.json")).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
    let mut seen = vec![known["ledger_vkey"].as_str().unwrap().to_owned()];
    for name in ["one", "two"] {
        let (home, _) = backed.restored(name);
        let done = activated(&own, &home, &["--new-origin"]);
        let vkey = done["ledger_vkey"].as_str().unwrap();
        let origin = done["origin"].as_str().unwrap();
        assert!(vkey.starts_with(&format!("{origin}+")), "{done}");
        assert!(recorded(&done).ends_with(&format!(" origin:{origin}")));
        assert_eq!(vkey_in(&home), vkey);
        for before in &seen {
            assert_ne!(key_of(before), key_of(vkey));
            assert!(!before.starts_with(&format!("{origin}+")), "{done}");
        }
        seen.push(vkey.to_owned());
    }
}

fn vkey_in(home: &Path) -> String {
    let file = std::fs::read(home.join("installation.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    file["ledger_vkey"].as_str().unwrap().to_owned()
}

#[test]
fn an_activation_that_has_begun_goes_on_the_same_way_or_not_at_all() {
    let backed = Backed::new();
    let own = backed.installed.cli.home.clone();
    let (home, _) = backed.restored("restored");
    let file = home.join("restored.json");
    crate::restore_steps::killed(
        &own,
        &home,
        &["--nothing-after-backup"],
        procura_server::restoring::ActivationStep::Begun,
    );
    let said = activate(&own, &home, &["--new-origin"]);
    assert_eq!(said.code, 64, "{}", said.err);
    for words in ["has begun and was broken off", "not with --new-origin"] {
        assert!(said.err.contains(words), "{}", said.err);
    }
    // Whoever edits what is kept of it has nothing passed over.
    let good = std::fs::read(&file).unwrap();
    let marker: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let entries = marker["length"].as_u64().unwrap();
    for (pointer, value) in [
        ("/length", serde_json::json!(entries - 1)),
        ("/length", serde_json::json!(entries + 1)),
        ("/begun/root", serde_json::json!("AAAA")),
        ("/begun/reached", serde_json::json!(entries - 1)),
        ("/begun/words", serde_json::json!("backup:1")),
        ("/seq", serde_json::json!(1u64 << 40)),
    ] {
        let mut edited = marker.clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        std::fs::write(&file, edited.to_string()).unwrap();
        let said = activate(&own, &home, &["--nothing-after-backup"]);
        assert_eq!(said.code, 78, "{pointer}: {}", said.err);
        assert!(said.err.contains("restored.json"), "{}", said.err);
    }
    std::fs::write(&file, good).unwrap();
    let done = activated(&own, &home, &["--nothing-after-backup"]);
    assert_eq!(done["recorded"].as_array().unwrap().len(), 1, "{done}");
}

#[test]
fn a_restored_copy_takes_nothing_from_the_one_that_lives() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    let bea = crate::restore::joined(&backed, "bea");
    cli.ok(&["agent", "add", "bot", "--no-code"], b"");
    let file = backed.place("tuesday.procura");
    cli.ok(&["backup", path(&file)], b"");
    let home = backed.place("restored");
    let said = backed.run(
        &crate::backup::restoring(&file, &home),
        b"correct horse battery\n",
    );
    assert_eq!(said.code, 0, "{}", said.err);
    // In the copy everybody is held, and another origin signs.
    let done = activated(&cli.home, &home, &["--new-origin"]);
    assert_eq!(done["held"].as_array().unwrap().len(), 1, "{done}");
    // In the original nobody is, nothing has ended, and its record goes on as it was.
    bea.ok(&["namespace", "list"], b"");
    let held = cli.json(&["restore", "held"]);
    assert_eq!(held["quarantined"], serde_json::json!([]));
    let agents = cli.json(&["agent", "list"]);
    assert_eq!(agents["agents"][0]["revoked"], serde_json::Value::Null);
    assert_eq!(cli.ok(&["secret", "get", "app/key"], b""), "the second");
    let export = backed.place("export");
    cli.ok(&["audit", "export", path(&export)], b"");
    cli.ok(&["audit", "verify", path(&export)], b"");
}
