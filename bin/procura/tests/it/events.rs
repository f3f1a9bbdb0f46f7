//! `events` and `signing-key`, as a steward types them.

use crate::installed::Installed;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// The lines of JSON that a command prints.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_happened_is_shown_and_what_happens_then() {
    let installed = Installed::new();
    let cli = &installed.cli;
    assert_eq!(cli.ok(&["events"], b""), "");
    cli.ok(&["agent", "add", "scribe", "--no-code"], b"");
    cli.ok(&["agent", "add", "baker", "--no-code"], b"");
    cli.ok(&["--yes", "agent", "revoke", "scribe"], b"");
    let said = cli.ok(&["events"], b"");
    assert!(
        said.contains("  revocation  agent.revoke  in default  agent/scribe"),
        "{said}"
    );
    let kept = lines(&cli.ok(&["--json", "events"], b""));
    let [first] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    assert_eq!(first["event"], "revocation");
    assert_eq!(first["data"]["resource"], "agent/scribe");
    let id = first["id"].as_u64().unwrap();
    let after = id.to_string();
    assert!(said.starts_with(&format!("{after}  20")), "{said}");
    assert_eq!(cli.ok(&["events", "--after", &after], b""), "");
    // Nothing has this id.
    let beyond = cli.run(&["events", "--after", "4711000"], b"");
    assert_eq!(
        (beyond.code, beyond.out.as_str(), beyond.err.as_str()),
        (
            0,
            "",
            "that id is not kept any more, or is none of this record; procura audit list has all of it\n"
        )
    );

    let mut following = cli
        .command(&["--json", "events", "--follow", "--after", &after])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(following.stdout.take().unwrap());
    cli.ok(&["--yes", "agent", "revoke", "baker"], b"");
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert_eq!(lines(&line)[0]["data"]["resource"], "agent/baker");
    // It ends with the seal, and says so.
    cli.ok(&["--yes", "seal"], b"");
    let ended = following.wait_with_output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("sealed"), "{said}");
}

#[test]
fn signing_keys_are_listed_rolled_and_retired() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let states = |list: &Value| -> Vec<String> {
        let keys = list["keys"].as_array().unwrap().iter();
        keys.map(|key| key["state"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = cli.json(&["signing-key", "list"]);
    assert_eq!(states(&before), ["next", "active"]);
    let rolled = cli.json(&["signing-key", "roll"]);
    assert_eq!(states(&rolled), ["next", "active", "retiring"]);
    assert_eq!(rolled["keys"][1]["kid"], before["keys"][0]["kid"]);
    let soon = cli.run(&["signing-key", "roll"], b"");
    assert_ne!(soon.code, 0);
    assert!(
        soon.err.contains("the next key can sign from"),
        "{}",
        soon.err
    );
    assert!(
        soon.err.contains(
            "\n  next: the command again then; procura signing-key retire KID, if the active key"
        ),
        "{}",
        soon.err
    );
    let unknown = cli.run(&["--yes", "signing-key", "retire", &"A".repeat(43)], b"");
    assert_eq!(unknown.code, 77, "{}", unknown.err);
    assert!(
        unknown.err.contains("(not_found, ")
            && unknown
                .err
                .ends_with("\n  next: procura signing-key list\n"),
        "{}",
        unknown.err
    );
    let kid = rolled["keys"][1]["kid"].as_str().unwrap();
    // Nobody is there to say yes.
    assert_ne!(cli.run(&["signing-key", "retire", kid], b"").code, 0);
    let retired = cli.json(&["--yes", "signing-key", "retire", kid]);
    assert_eq!(states(&retired), ["next", "active", "retired", "retiring"]);
    let table = cli.ok(&["signing-key", "list"], b"");
    assert!(table.contains("retired") && table.contains(kid), "{table}");
    assert!(table.contains("  SIGNED UNTIL\n"), "{table}");
}
