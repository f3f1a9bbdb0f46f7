//! `auth report` and `auth except`: what stands in the way of enforcing.

use crate::installed::{Cli, Installed};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn refused(at: &str, agent: Option<&str>, reason: &str, path: &str) -> String {
    let line = json!({
        "ts": at, "event": "would_reject", "service": "web", "method": "POST", "path": path,
        "reason": reason, "agent_id": agent, "profile": "key-server-v1", "ip": "10.0.0.7",
    });
    format!("{line}\n")
}

fn counted(at: &str, passed: u64, would_reject: u64) -> String {
    let line = json!({
        "ts": at, "event": "observed", "service": "web", "passed": passed, "would_reject": would_reject,
    });
    format!("{line}\n")
}

/// Moments of one day.
const NINE: &str = "2026-11-20T09:00:00.000Z";
const TEN: &str = "2026-11-20T10:00:00.000Z";
const ELEVEN: &str = "2026-11-20T11:00:00.000Z";

struct Logs<'a> {
    cli: &'a Cli,
    dir: PathBuf,
}

impl Logs<'_> {
    fn write(&self, name: &str, lines: &[String]) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, lines.concat()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The report as JSON, with its exit code and what was said of a failure.
    fn report(&self, args: &[&str]) -> (i32, Value, String) {
        let ran = self
            .cli
            .run(&[&["--json", "auth", "report", "web"], args].concat(), b"");
        let found = serde_json::from_str(&ran.out).unwrap_or(Value::Null);
        (ran.code, found, ran.err)
    }
}

fn logs<'a>(cli: &'a Cli, dir: &Path) -> Logs<'a> {
    Logs {
        cli,
        dir: dir.to_owned(),
    }
}

#[test]
fn the_report_tells_what_is_left_and_when_nothing_is() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(
        &[
            "service",
            "add",
            "web",
            "--mode",
            "observe",
            "--route",
            "/api=observe",
        ],
        b"",
    );
    let logs = logs(cli, installed.dir());
    let old = logs.write(
        "web.jsonl.1",
        &[
            refused(NINE, Some("scribe"), "bad_signature", "/api/1"),
            refused(NINE, Some("probe"), "missing_headers", "/status"),
            counted(NINE, 40, 2),
        ],
    );
    let new = logs.write(
        "web.jsonl",
        &[
            refused(TEN, Some("scribe"), "bad_signature", "/api/2"),
            counted(TEN, 50, 1),
            counted(ELEVEN, 60, 0),
        ],
    );
    // Given twice, and read once.
    let (code, found, error) = logs.report(&["--log", &old, &new, &new]);
    assert_eq!(
        (code, found["safe"].as_bool()),
        (77, Some(false)),
        "{error}"
    );
    assert_eq!(
        (&found["requests"], &found["passed"], &found["would_reject"]),
        (&json!(153), &json!(150), &json!(3))
    );
    assert_eq!(
        (&found["from"], &found["until"]),
        (&json!(NINE), &json!(ELEVEN))
    );
    let left = found["left"].as_array().unwrap();
    let row = |at: usize| {
        let row = &left[at];
        json!([
            row["agent"],
            row["reason"],
            row["route"],
            row["count"],
            row["example"]
        ])
    };
    assert_eq!(
        row(0),
        json!(["scribe", "bad_signature", "/api", 2, "POST /api/2"])
    );
    assert_eq!(
        row(1),
        json!(["probe", "missing_headers", null, 1, "POST /status"])
    );
    assert!(
        left[0]["todo"]
            .as_str()
            .unwrap()
            .starts_with("it signs other bytes")
    );
    assert_eq!(
        found["conclusion"],
        "not safe to enforce: 3 of 153 requests would be refused that are no exceptions"
    );

    // Somebody looked at the probe; scribe was mended at ten.
    let excepted = cli.json(&[
        "auth",
        "except",
        "web",
        "--agent",
        "probe",
        "--because",
        "never signs",
    ]);
    assert_eq!(
        excepted["exceptions"],
        json!([{"agent": "probe", "reason": "never signs"}])
    );
    let (_, found, _) = logs.report(&["--log", &old, &new]);
    assert_eq!(found["left"].as_array().unwrap().len(), 1);
    assert_eq!(
        found["excepted"],
        json!([{"agent": "probe", "reason": "never signs", "count": 1, "holds": true}])
    );
    let (code, found, error) =
        logs.report(&["--log", &old, &new, "--since", "2026-11-20T10:30:00Z"]);
    assert_eq!(code, 77, "{error}");
    // The only count since then began before.
    assert_eq!(
        found["conclusion"],
        "not safe to enforce: nothing was observed"
    );

    let since = logs.write("since.jsonl", &[counted(TEN, 7, 0), counted(ELEVEN, 60, 0)]);
    let (code, found, error) = logs.report(&["--log", &since]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(found["safe"], true);
    assert_eq!(
        found["conclusion"],
        format!(
            "safe to enforce, as far as 67 requests between {TEN} and {ELEVEN}, 1h 0m, can tell"
        )
    );
    assert_eq!(
        found["notes"][0],
        "this is less than a day: whoever comes by once a day may not have been seen"
    );

    let words = cli.run(&["auth", "report", "web", "--log", &old, &new], b"");
    assert_eq!(words.code, 77);
    assert!(words.out.starts_with("AGENT   REASON"), "{}", words.out);
    assert!(
        words
            .out
            .contains("refused on purpose: probe, 1 times (never signs)"),
        "{}",
        words.out
    );
    assert!(
        words
            .err
            .contains("procura: not safe to enforce: 2 of 153 requests"),
        "{}",
        words.err
    );

    let back = cli.json(&["auth", "except", "web", "--agent", "probe", "--remove"]);
    assert_eq!(back["exceptions"], json!([]));
    let none = cli.run(
        &["auth", "except", "web", "--agent", "probe", "--remove"],
        b"",
    );
    assert_eq!(
        (none.code, none.err.as_str()),
        (
            64,
            "procura: nothing was changed: the service web has no such exception\n  next: procura service show web\n"
        )
    );
}

#[test]
fn what_is_not_known_is_not_safe() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["service", "add", "web", "--mode", "observe"], b"");
    let logs = logs(cli, installed.dir());
    for (lines, conclusion) in [
        (vec![], "not safe to enforce: nothing was observed"),
        (
            vec![counted(NINE, 0, 0), counted(TEN, 0, 0)],
            "not safe to enforce: nothing was observed",
        ),
        (
            vec![counted(NINE, 5, 0).replace("web", "shop")],
            "not safe to enforce: nothing was observed",
        ),
        (
            vec![
                counted(NINE, 5, 0),
                "{\"ts\":\n".to_owned(),
                counted(TEN, 5, 0),
            ],
            "not safe to enforce: the log is not complete",
        ),
        (
            vec![counted(NINE, 5, 0), counted(TEN, 5, 1)],
            "not safe to enforce: the log is not complete",
        ),
        (
            vec![refused(NINE, None, "missing_headers", "/")],
            "not safe to enforce: 1 of 1 requests would be refused that are no exceptions",
        ),
    ] {
        let log = logs.write("web.jsonl", &lines);
        let (code, found, error) = logs.report(&["--log", &log]);
        assert_eq!((code, &found["safe"]), (77, &json!(false)), "{lines:?}");
        assert_eq!(found["conclusion"], conclusion, "{lines:?}");
        let failure: Value = serde_json::from_str(&error).unwrap();
        assert_eq!(failure["what"], conclusion);
        assert!(failure["next"].is_string());
    }
    let torn = logs.write("torn.jsonl", &[counted(NINE, 5, 0), "torn\n".to_owned()]);
    let (_, found, _) = logs.report(&["--log", &torn]);
    assert_eq!(
        found["damaged"],
        json!([{"file": torn, "line": 2, "problem": "it is not JSON from column 2 on"}])
    );
}

#[test]
fn files_that_are_no_logs_are_said_to_be_none() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["service", "add", "web", "--mode", "observe"], b"");
    let logs = logs(cli, installed.dir());
    let table = logs.write("table.csv", &["a,b\n".to_owned(), "1,2\n".to_owned()]);
    let packed = installed.dir().join("web.jsonl.2.gz");
    std::fs::write(&packed, b"\x1f\x8b\x08\0\0\0").unwrap();
    let packed = packed.to_str().unwrap();
    let missing = installed.dir().join("none.jsonl");
    let missing = missing.to_str().unwrap();
    for (log, words) in [
        (
            table.as_str(),
            format!(
                "procura: {table} is not an observe log: line 1: it is not JSON from column 1 on\n"
            ),
        ),
        (
            packed,
            format!("procura: {packed} is compressed\n  next: zcat {packed} | "),
        ),
        (
            missing,
            format!("procura: cannot read {missing}: No such file"),
        ),
    ] {
        let ran = cli.run(&["auth", "report", "web", "--log", log], b"");
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{}", ran.err);
        assert!(ran.err.starts_with(&words), "{}", ran.err);
        let next = "\n  next: logs/observe.jsonl of the gate's --home\n";
        assert_eq!(ran.err.ends_with(next), log == missing, "{}", ran.err);
    }
    let lines = counted(NINE, 5, 0) + &counted(TEN, 5, 0);
    let args = ["auth", "report", "web", "--log", "-"];
    let words = cli.ok(&args, lines.as_bytes());
    assert!(
        words.ends_with(&format!(
            "safe to enforce, as far as 10 requests between {NINE} and {TEN}, 1h 0m, can tell\n"
        )),
        "{words}"
    );
}
