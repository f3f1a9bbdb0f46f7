//! The record at the command line: exported, verified without a server, shown
//! and proven.

use crate::installed::{Cli, Installed};
use std::path::{Path, PathBuf};

#[test]
fn an_export_verifies_offline_and_one_changed_byte_is_found() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/b"], b"one");
    let record = installed.dir().join("record");
    let path = record.to_str().unwrap();
    let done = cli.ok(&["audit", "export", path, "--json"], b"");
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["fetched"], &done["kept"]), (&2.into(), &0.into()));
    cli.ok(&["audit", "verify", path], b"");

    // Offline from here on, with the key that init printed.
    let known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(cli.home.join("operator/server.json")).unwrap())
            .unwrap();
    let key = known["ledger_vkey"].as_str().unwrap();
    let stranger = Cli {
        home: installed.dir().join("elsewhere"),
        url: None,
    };
    let bundles = record.join("tile/entries");
    let find = |from: &Path| {
        std::fs::read_dir(from)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    let bundle = find(&find(&bundles));
    let whole = std::fs::read(&bundle).unwrap();
    // One byte in the middle of each of the first two entries.
    let first = usize::from(u16::from_be_bytes([whole[0], whole[1]]));
    for (entry, byte) in [(0, 2 + first / 2), (1, 2 + first + 2 + 20)] {
        let mut bent = whole.clone();
        bent[byte] ^= 1;
        std::fs::write(&bundle, bent).unwrap();
        let found = stranger.run(&["audit", "verify", path, "--key", key], b"");
        assert_eq!(found.code, 77, "{}", found.err);
        let words = format!(
            "procura: the record does not verify: entry {entry}: the entry is not as it was recorded"
        );
        assert!(found.err.starts_with(&words), "{}", found.err);
    }
    std::fs::write(&bundle, &whole).unwrap();
    let report = stranger.ok(&["audit", "verify", path, "--key", key], b"");
    assert!(
        report.contains("removal of the newest entries cannot be excluded"),
        "{report}"
    );
    let after = record.join("checkpoint");
    let args = [
        "audit",
        "verify",
        path,
        "--key",
        key,
        "--after",
        after.to_str().unwrap(),
    ];
    assert!(
        stranger
            .ok(&args, b"")
            .contains("the log continues the checkpoint")
    );
}

#[test]
fn an_entry_is_shown_and_proven_with_its_fields_as_stored() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/b"], b"one");
    let list = cli.ok(
        &["audit", "list", "--action", "secret.write", "--json"],
        b"",
    );
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let row = &list["entries"][0];
    let stored = row["entry"].as_str().unwrap();
    let parsed: serde_json::Value = serde_json::from_str(stored).unwrap();
    let id = parsed["id"].as_str().unwrap();

    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    for command in ["show", "prove"] {
        let shown = cli.ok(&["audit", command, id], b"");
        assert!(shown.starts_with("{\n  \""), "{shown}");
        assert_eq!(squeezed(&shown), squeezed(stored));
    }
    let shown = cli.ok(&["audit", "show", id, "--json"], b"");
    assert_eq!(
        &serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
        row
    );
    let proof = cli.ok(&["audit", "prove", id, "--json"], b"");
    let proof: procura_types::wire::ProofAnswer = serde_json::from_str(&proof).unwrap();
    assert_eq!(
        (proof.id.to_string().as_str(), proof.entry.as_str()),
        (id, stored)
    );
}

#[test]
fn a_directory_that_is_none_is_no_record_that_was_tampered_with() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let file = installed.dir().join("file");
    std::fs::write(&file, "x").unwrap();
    for (dir, why) in [
        (installed.dir().join("none"), "No such file or directory"),
        (file.clone(), "Not a directory"),
    ] {
        let ran = cli.run(&["audit", "verify", dir.to_str().unwrap()], b"");
        assert_eq!(ran.code, 64);
        let words = format!("procura: cannot read {}: {why}", dir.display());
        assert!(ran.err.starts_with(&words), "{}", ran.err);
    }
    // One without a record in it is another matter.
    let empty = installed.dir().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let ran = cli.run(&["audit", "verify", empty.to_str().unwrap()], b"");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (
            77,
            "procura: the record does not verify: this file is missing (checkpoint)\n"
        )
    );

    let ran = cli.run(&["audit", "export", file.to_str().unwrap()], b"");
    assert_eq!(ran.code, 74);
    assert!(
        ran.err.ends_with(
            "\n  next: procura audit export DIR, with a directory that can be written\n"
        ),
        "{}",
        ran.err
    );
}

/// The files of an export, by their names in it.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn no_byte_beside_the_record_passes_as_verified() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/b"], b"one");
    let record = installed.dir().join("record");
    let path = record.to_str().unwrap();
    cli.ok(&["audit", "export", path], b"");
    let before = files(&record.join("tile"));
    let old = std::fs::read(&before[0]).unwrap();

    // A second export takes the narrower files of the first away.
    cli.ok(&["secret", "put", "a/b"], b"two");
    let done = cli.json(&["audit", "export", path]);
    assert_eq!((&done["fetched"], &done["removed"]), (&2.into(), &2.into()));
    assert_eq!(files(&record.join("tile")).len(), 2);
    cli.ok(&["audit", "verify", path], b"");

    // Whatever else lies there is named, were it as it was or not.
    std::fs::write(&before[0], &old).unwrap();
    std::fs::write(record.join("tile/notes"), "x").unwrap();
    let name = before[0].strip_prefix(&record).unwrap().display();
    let ran = cli.run(&["audit", "verify", path], b"");
    assert_eq!(ran.code, 77);
    let words = format!("this file is not part of the checkpoint ({name})");
    assert!(ran.err.contains(&words), "{}", ran.err);
    for file in [name.to_string().as_str(), "tile/notes"] {
        assert!(ran.err.contains(file), "{}", ran.err);
    }
    let json = cli.run(&["--json", "audit", "verify", path], b"");
    let finding: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(finding["kind"], "file_not_signed");

    // What is not of the record stops an export; what is goes with the next one.
    let ran = cli.run(&["audit", "export", path], b"");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err
            .contains("tile/notes in it is not of an export of the record"),
        "{}",
        ran.err
    );
    std::fs::remove_file(record.join("tile/notes")).unwrap();
    cli.ok(&["audit", "export", path], b"");
    cli.ok(&["audit", "verify", path], b"");
}

#[test]
fn an_export_goes_into_no_directory_with_other_things_in_it() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let other = Installed::new();
    let record = installed.dir().join("record");
    let path = record.to_str().unwrap();
    std::fs::create_dir(&record).unwrap();
    std::fs::write(record.join("photo"), "x").unwrap();
    let ran = cli.run(&["audit", "export", path], b"");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.starts_with(&format!(
            "procura: nothing was written to {path}: photo in it is not of an export of the record\n"
        )),
        "{}",
        ran.err
    );
    assert_eq!(files(&record), [record.join("photo")]);
    std::fs::remove_file(record.join("photo")).unwrap();

    other.cli.ok(&["audit", "export", path], b"");
    let ran = cli.run(&["audit", "export", path], b"");
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("its checkpoint is not of this record"),
        "{}",
        ran.err
    );
}

#[test]
fn an_action_that_the_record_does_not_have_is_refused_with_the_nearest() {
    let installed = Installed::new();
    let cli = &installed.cli;
    for everywhere in [&[][..], &["--everywhere"]] {
        let list = |action| {
            let args = [&["audit", "list", "--action", action], everywhere].concat();
            cli.run(&args, b"")
        };
        for (typed, nearest) in [
            ("secret.reed", "secret.read"),
            ("run.deliverd", "run.deliver"),
        ] {
            let ran = list(typed);
            assert_eq!(ran.code, 64);
            assert!(
                ran.err.contains(&format!(
                    "action: is none that the record has; the nearest is {nearest} (malformed, "
                )),
                "{}",
                ran.err
            );
        }
        for known in ["secret.read", "authenticate", "run.prune"] {
            assert_eq!(list(known).code, 0);
        }
    }
}
