//! Rows and files changed behind the server's back: each is noticed when the
//! vault is opened or when the row is touched, and nothing false is given.

use procura_acceptance::{Installation, Outcome, until};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long it may take until all tables were looked through.
const PATIENCE: Duration = Duration::from_secs(60);

fn sql(server: &Installation, statement: &str) -> String {
    let output = Command::new("sqlite3")
        .arg(server.database())
        .arg(statement)
        .output()
        .expect("sqlite3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn stopped() -> Installation {
    let mut server = Installation::ready();
    server.put("default", "one", b"old value");
    server.stop();
    server
}

fn rows(table: &str) -> String {
    format!(
        "substr(key, 1, {}) = CAST('{table}' || char(0) AS BLOB)",
        table.len() + 1
    )
}

/// Starts on what was tampered with, where an unseal may be refused at once, and asks for
/// the secret: what came of it, and everything that was said about the store meanwhile.
fn asked(server: &mut Installation, path: &str) -> (Outcome, String) {
    server.start_again();
    let opened = server.unseal();
    let mut said = opened.stderr.clone();
    let outcome = if opened.code == 0 {
        let outcome = server.cli(&["secret", "get", path]);
        said.push_str(&outcome.stderr);
        if outcome.code != 0 {
            // Tables are looked through behind the opening.
            until("what is wrong", PATIENCE, || {
                let degraded = server.cli(&["--json", "status"]).json()["degraded"].take();
                said.push_str(&degraded.to_string());
                (degraded != serde_json::json!([])).then_some(())
            });
        }
        outcome
    } else {
        opened
    };
    server.stop();
    (outcome, said)
}

/// Nothing of it was given, because the rows of this table are not those that were written.
fn is_noticed(server: &mut Installation, table: &str) {
    let (outcome, said) = asked(server, "one");
    let given = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert_eq!(outcome.code, 74, "{table}: {given:?} was given: {said}");
    assert_eq!(given, "", "{table}");
    assert!(
        outcome.stderr.contains("(damaged, request "),
        "{table}: {said}"
    );
    let reason = format!("rows of table {table} were removed, added or rolled back");
    assert!(said.contains(&reason), "{table}: {said}");
}

#[test]
fn a_row_rolled_back_to_an_older_version_is_noticed() {
    for table in ["secret", "secret-body"] {
        let mut server = stopped();
        let old = server.folder().join("old.db");
        fs::copy(server.database(), &old).unwrap();
        server.start_again();
        server.unseal().ok();
        server.put("default", "one", b"new value");
        server.stop();
        // Only this table's rows go back, with the versions that they had.
        sql(
            &server,
            &format!(
                "ATTACH '{}' AS old; DELETE FROM row WHERE {t}; INSERT INTO row SELECT * FROM old.row WHERE {t};",
                old.display(),
                t = rows(table)
            ),
        );
        is_noticed(&mut server, table);
    }
}

#[test]
fn a_removed_row_is_noticed() {
    for table in [
        "actor",
        "device",
        "role",
        "namespace",
        "namespace-key",
        "secret",
        "secret-body",
        "directory",
    ] {
        let mut server = stopped();
        let removed = sql(
            &server,
            &format!("DELETE FROM row WHERE {}; SELECT changes();", rows(table)),
        );
        assert_ne!(removed, "0", "{table} has rows");
        is_noticed(&mut server, table);
    }
}

#[test]
fn a_row_of_another_installation_does_not_open() {
    let mut server = stopped();
    let other = stopped();
    sql(
        &server,
        &format!(
            "ATTACH '{}' AS other; DELETE FROM row WHERE {t}; INSERT INTO row SELECT * FROM other.row WHERE {t};",
            other.database().display(),
            t = rows("secret")
        ),
    );
    // It does not even open, whichever table it is in.
    server.start_again();
    server.unseal().ok();
    let refused = server.cli(&["secret", "get", "one"]).code(74);
    assert_eq!(refused.says("(damaged, request ").text(), "");
}

#[test]
fn the_database_of_another_installation_is_refused_at_start() {
    let mut server = stopped();
    let other = stopped();
    let genuine = server.folder().join("genuine.db");
    fs::rename(server.database(), &genuine).unwrap();
    fs::copy(other.database(), server.home().join("procura.db")).unwrap();
    let refused = start(&server);
    assert_eq!(refused.0, Some(83), "{}", refused.1);
    fs::rename(&genuine, server.home().join("procura.db")).unwrap();
    server.start_again();
    server.unseal().ok();
    let given = server.cli(&["secret", "get", "one"]).ok();
    assert_eq!(given.text(), "old value");
}

/// Starts the server where it is expected to end by itself.
fn start(server: &Installation) -> (Option<i32>, String) {
    let output = Command::new(procura_acceptance::program("procura"))
        .args([
            "server",
            "--listen",
            "127.0.0.1:0",
            "--health-listen",
            "127.0.0.1:0",
        ])
        .env("PROCURA_HOME", server.home())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_newer_format_is_refused_at_start() {
    let server = stopped();
    let version: u32 = sql(&server, "PRAGMA user_version").parse().unwrap();
    sql(&server, &format!("PRAGMA user_version = {}", version + 1));
    let (code, text) = start(&server);
    assert_eq!(code, Some(82), "{text}");
}

#[test]
fn a_home_in_use_is_refused_at_start() {
    let server = Installation::ready();
    let (code, text) = start(&server);
    assert_eq!(code, Some(81), "{text}");
}

#[test]
fn an_older_database_beside_a_newer_checkpoint_is_refused() {
    let mut server = stopped();
    let old = server.folder().join("old.db");
    fs::copy(server.database(), &old).unwrap();
    server.start_again();
    server.unseal().ok();
    server.put("default", "one", b"new value");
    server.stop();
    fs::copy(&old, server.database()).unwrap();
    server.start_again();
    let _ = server.unseal().code(74).says("older");
}

#[test]
fn an_older_home_is_noticed_by_who_saw_a_newer_checkpoint() {
    let mut server = stopped();
    let old: PathBuf = server.folder().join("old");
    let copied = Command::new("cp")
        .args(["-a"])
        .arg(server.home())
        .arg(&old)
        .status()
        .unwrap();
    assert!(copied.success());
    server.start_again();
    server.unseal().ok();
    server.put("default", "one", b"new value");
    // An export waits for the checkpoint that covers all of it, and it is remembered.
    let record = server.folder().join("record");
    server
        .cli(&["audit", "export", record.to_str().unwrap()])
        .ok();
    server.stop();
    // All of the server goes back; what the operator remembers does not.
    for name in ["procura.db", "ledger", "installation.json"] {
        let (there, here) = (old.join(name), server.home().join(name));
        let replaced = Command::new("sh")
            .args(["-c", "rm -rf \"$1\" && cp -a \"$0\" \"$1\""])
            .arg(there)
            .arg(here)
            .status()
            .unwrap();
        assert!(replaced.success());
    }
    server.start_again();
    server.unseal().ok();
    let refused = server.cli(&["secret", "get", "one"]);
    assert_eq!(refused.code, 77, "{refused:?}");
}

#[test]
fn edited_removed_and_reordered_entries_are_noticed() {
    let edits = [
        ("edited", "UPDATE entry SET value = CAST(substr(value, 1, 40) || X'00' || substr(value, 42) AS BLOB) WHERE id = (SELECT min(id) + 1 FROM entry)"),
        ("removed", "DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)"),
        ("swapped", "CREATE TEMP TABLE two AS SELECT * FROM entry WHERE id IN (SELECT id FROM entry ORDER BY id LIMIT 2);
          UPDATE entry SET (value, version) = (SELECT value, version FROM two WHERE two.id <> entry.id) WHERE id IN (SELECT id FROM two)"),
    ];
    for (what, statement) in edits {
        let mut server = stopped();
        sql(&server, statement);
        server.start_again();
        let opened = server.unseal();
        if opened.code == 0 {
            let deep = server.cli(&["--json", "status", "--deep"]);
            let found = deep.code != 0 || deep.json()["deep"] != serde_json::json!([]);
            assert!(found, "{what}: {deep:?}");
        }
    }
}
