//! The record at the command line: exported, verified without a server, shown
//! and proven.

use crate::installed::{Cli, Installed};
use std::path::Path;

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
