//! What was acknowledged is there after `kill -9`, and was on the disk before.

use crate::scene::{CANARY, Scene, shop};
use procura_acceptance::Installation;

#[test]
fn every_acknowledged_write_survives_kill_9() {
    let mut server = shop();
    for round in 0..3 {
        for number in 0..4 {
            server.put(
                "shop",
                &format!("r{round}/n{number}"),
                format!("{round}-{number}").as_bytes(),
            );
        }
        server.kill();
        server.start_again();
        server.unseal().ok();
    }
    for round in 0..3 {
        for number in 0..4 {
            let read = server
                .cli(&[
                    "-n",
                    "shop",
                    "secret",
                    "get",
                    &format!("r{round}/n{number}"),
                ])
                .ok();
            assert_eq!(read.text(), format!("{round}-{number}"));
        }
    }
    let status = server.cli(&["--json", "status", "--deep"]).ok().json();
    assert_eq!(status["deep"], serde_json::json!([]), "{status}");
}

#[test]
fn a_released_value_has_its_record_after_kill_9() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene.run(&["API_KEY"], &["true"]).ok();
    scene.server.kill();
    scene.server.start_again();
    scene.server.unseal().ok();
    let list = scene
        .server
        .cli(&[
            "-n",
            "shop",
            "--json",
            "audit",
            "list",
            "--action",
            "run.deliver",
        ])
        .ok()
        .json();
    assert_eq!(list["entries"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn a_killed_daemon_comes_back_with_its_devices() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene.daemon.kill();
    let _ = scene.run(&["API_KEY"], &["true"]).code(69);
    scene.daemon.start_again();
    let ran = scene
        .run(&["API_KEY"], &["sh", "-c", "printf %s \"$API_KEY\""])
        .ok();
    assert_eq!(ran.stdout, CANARY.as_bytes());
}

#[test]
fn the_sync_comes_before_the_answer() {
    let mut server = shop();
    server.stop();
    let trace = server.folder().join("trace");
    let calls = "trace=fdatasync,fsync,write,writev,sendto,sendmsg,pwrite64";
    server.start_again_under(&[
        "strace",
        "-f",
        "-tt",
        "-s",
        "64",
        "-e",
        calls,
        "-o",
        trace.to_str().unwrap(),
    ]);
    server.unseal().ok();
    let before = std::fs::read_to_string(&trace).unwrap().lines().count();
    server.put("shop", "a", b"v");
    let text = std::fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().skip(before).collect();
    let answers: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].contains("HTTP/1.1 20"))
        .collect();
    // The last answer is the one to the write; its sync is after its own rows
    // were written and before the answer, and after the answer before it.
    let (&answer, earlier) = answers.split_last().expect("an answer was traced");
    let from = earlier.last().map_or(0, |at| at + 1);
    let wrote = (from..answer)
        .filter(|at| lines[*at].contains("pwrite64("))
        .max();
    let wrote = wrote.unwrap_or_else(|| {
        panic!(
            "nothing was written before the answer:\n{}",
            lines.join("\n")
        )
    });
    let synced = (wrote..answer).any(|at| {
        (lines[at].contains("fdatasync") || lines[at].contains("fsync"))
            && lines[at].ends_with("= 0")
    });
    assert!(
        synced,
        "answered without a sync after the last write:\n{}",
        lines[from..=answer].join("\n")
    );
}

#[test]
fn two_rows_swapped_in_the_database_do_not_open() {
    for table in ["secret", "secret-body"] {
        let mut server = shop();
        server.put("shop", "one", b"first!");
        server.put("shop", "two", b"second");
        server.stop();
        swap(&server, table);
        server.start_again();
        server.unseal().ok();
        for path in ["one", "two"] {
            let _ = server
                .cli(&["-n", "shop", "secret", "get", path])
                .code(74)
                .says("damaged");
        }
        let deep = server.cli(&["--json", "status", "--deep"]).code(74).json();
        assert_ne!(deep["deep"], serde_json::json!([]), "{deep}");
    }
}

#[test]
fn an_older_copy_of_the_database_is_refused() {
    let mut server = shop();
    server.stop();
    let older = server.folder().join("older.db");
    std::fs::copy(server.database(), &older).unwrap();
    server.start_again();
    server.unseal().ok();
    server.put("shop", "a", b"written since");
    server.stop();
    std::fs::copy(&older, server.database()).unwrap();
    server.start_again();
    let _ = server.unseal().code(74).says("older");
    assert_eq!(
        server.cli(&["--json", "status"]).ok().json()["sealed"],
        true
    );
}

/// Exchanges the values of the two rows of `table`, with versions, by means of
/// the `sqlite3` tool.
fn swap(server: &Installation, table: &str) {
    let database = server.database();
    let rows = format!(
        "substr(key, 1, {}) = CAST('{table}' || char(0) AS BLOB)",
        table.len() + 1
    );
    let sql = format!(
        "CREATE TEMP TABLE two AS SELECT key, value, version FROM row WHERE {rows};
         SELECT count(*) FROM two;
         UPDATE row SET (value, version) = (SELECT value, version FROM two WHERE two.key <> row.key) WHERE {rows};"
    );
    let output = std::process::Command::new("sqlite3")
        .arg(&database)
        .arg(&sql)
        .output()
        .expect("sqlite3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "2",
        "rows of {table}"
    );
}
