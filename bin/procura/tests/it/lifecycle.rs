//! What ends for good, and what people call things, from the command line.

use crate::installed::Installed;
use crate::run;
use serde_json::json;

#[test]
fn a_namespace_in_use_takes_its_name_and_yes_is_not_enough() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["namespace", "create", "staging"], b"");
    cli.ok(
        &["-n", "staging", "agent", "add", "scribe", "--no-code"],
        b"",
    );
    cli.ok(&["-n", "staging", "secret", "put", "a/key"], b"value");
    let refused = cli.run(&["--yes", "namespace", "delete", "staging"], b"");
    assert_eq!(refused.code, 64, "{}", refused.err);
    assert!(
        refused
            .err
            .starts_with("procura: not done without its name"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains(
            "1 agents, 1 secrets, 0 projects, 0 services, 0 transit keys and 0 grants that hold"
        ),
        "{}",
        refused.err
    );
    assert!(
        refused
            .err
            .ends_with("next: procura namespace delete staging --confirm staging\n"),
        "{}",
        refused.err
    );
    let refused = cli.run(
        &[
            "--yes",
            "namespace",
            "delete",
            "staging",
            "--confirm",
            "stagin",
        ],
        b"",
    );
    assert_eq!(refused.code, 77, "{}", refused.err);
    assert!(
        refused.err.contains("nothing was deleted"),
        "{}",
        refused.err
    );
    cli.ok(&["-n", "staging", "secret", "get", "a/key"], b"");

    let deleted = cli.json(&["namespace", "delete", "staging", "--confirm", "staging"]);
    assert_eq!(deleted["name"], "staging");
    assert_eq!(deleted["held"]["secrets"], 1);
    let gone = cli.run(&["-n", "staging", "secret", "get", "a/key"], b"");
    assert!(
        gone.err.contains("There is no such thing here"),
        "{}",
        gone.err
    );
    let again = cli.run(&["namespace", "create", "staging"], b"");
    assert!(
        again.err.contains("no other gets its name"),
        "{}",
        again.err
    );
    // One that nothing is in ends by a yes.
    cli.ok(&["namespace", "create", "empty"], b"");
    let asked = cli.run(&["namespace", "delete", "empty"], b"");
    assert_eq!(asked.code, 64, "{}", asked.err);
    cli.ok(&["--yes", "namespace", "delete", "empty"], b"");
}

#[test]
fn a_mistyped_name_is_refused_before_anybody_is_asked_for_anything() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(
        home.path(),
        &["namespace", "delete", "staging", "--confirm", "Staging"],
    );
    assert_eq!(
        ran.err,
        "procura: nothing was deleted: what was typed is not the name of the namespace\n  next: procura namespace show staging\n"
    );
}

#[test]
fn quotas_are_set_shown_and_explained() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["secret", "put", "a/key"], b"value");
    let shown = cli.json(&[
        "namespace",
        "quota",
        "default",
        "--secrets",
        "1",
        "--bytes",
        "100",
    ]);
    assert_eq!(shown["quota"], json!({"secrets": 1, "bytes": 100}));
    assert_eq!(
        shown["used"],
        json!({"secrets": 1, "versions": 1, "bytes": 5})
    );
    let refused = cli.run(&["secret", "put", "b/key"], b"value");
    assert!(
        refused
            .err
            .contains("the namespace default may hold 1 secrets and holds 1"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("procura namespace quota NS"),
        "{}",
        refused.err
    );
    let shown = cli.json(&["namespace", "quota", "default", "--no-secrets"]);
    assert_eq!(shown["quota"], json!({"bytes": 100}));
    cli.ok(&["secret", "put", "b/key"], b"value");
    let table = cli.run(&["namespace", "show", "default"], b"").out;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1], ["secrets", "2", "any"]);
    assert_eq!(rows[4], ["bytes", "10", "100"]);
}

#[test]
fn names_for_people_steer_no_terminal() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "scribe", "--no-code"], b"");
    cli.ok(&["project", "set", "shop", "--agent", "scribe"], b"");
    let called = [
        "<b>bold</b> & [link](http://x)",
        "2026-11-21T09:12:37Z ERROR all is lost",
        "$(reboot) `id` %n {{x}}",
        "Zo\u{eb} \u{30b7}\u{30e7}\u{30c3}\u{30d7}",
    ];
    for (what, label) in [
        ("agent", "scribe"),
        ("project", "shop"),
        ("namespace", "default"),
    ] {
        for name in called {
            cli.ok(&[what, "display-name", label, name], b"");
            let list = cli.run(&[what, "list"], b"").out;
            let line = list.lines().find(|line| line.starts_with(label)).unwrap();
            assert!(line.contains(name), "{line}");
            assert!(
                !list
                    .chars()
                    .any(|letter| letter.is_control() && letter != '\n'),
                "{list:?}"
            );
        }
        for bad in [
            "\u{1b}[2J",
            "a\nb",
            "a\u{202e}b",
            "a\u{9b}31m",
            "",
            "\u{200b}",
        ] {
            let refused = cli.run(&[what, "display-name", label, bad], b"");
            assert_eq!(refused.code, 64, "{bad:?}: {}", refused.err);
            let steers = |letter: char| letter.is_control() && letter != '\n';
            assert!(!refused.err.chars().any(steers), "{:?}", refused.err);
            assert!(!refused.err.contains('\u{202e}'), "{:?}", refused.err);
        }
        cli.ok(&[what, "display-name", label, "--clear"], b"");
        let list = cli.run(&[what, "list"], b"").out;
        let line = list.lines().find(|line| line.starts_with(label)).unwrap();
        assert!(line.split_whitespace().any(|cell| cell == "-"), "{line}");
    }
}

#[test]
fn a_project_is_moved_and_deleted() {
    let installed = Installed::new();
    let cli = &installed.cli;
    for label in ["scribe", "clerk"] {
        cli.ok(&["agent", "add", label, "--no-code"], b"");
    }
    cli.ok(
        &[
            "project", "set", "shop", "--agent", "scribe", "--env", "KEY=a/b",
        ],
        b"",
    );
    let moved = cli.json(&["--yes", "project", "rebind", "shop", "--agent", "clerk"]);
    assert_eq!(moved["project"]["agents"], json!(["clerk"]));
    assert_eq!(moved["project"]["env"], json!({"KEY": "a/b"}));
    assert_eq!(
        (&moved["withdrawn"], &moved["ended"]),
        (&json!([]), &json!([]))
    );
    let asked = cli.run(&["project", "delete", "shop"], b"");
    assert_eq!(asked.code, 64, "{}", asked.err);
    let deleted = cli.json(&["--yes", "project", "delete", "shop"]);
    assert_eq!(deleted["name"], "shop");
    let gone = cli.run(&["project", "show", "shop"], b"");
    assert!(
        gone.err.contains("there is no project shop"),
        "{}",
        gone.err
    );
}

#[test]
fn the_record_reads_after_an_empty_namespace_ended() {
    let installed = Installed::new();
    let cli = &installed.cli;
    for name in ["empty", "full"] {
        cli.ok(&["namespace", "create", name], b"");
    }
    cli.ok(&["-n", "full", "secret", "put", "a/key"], b"value");
    cli.ok(&["--yes", "namespace", "delete", "empty"], b"");
    cli.ok(&["namespace", "delete", "full", "--confirm", "full"], b"");
    // They are swept by name: once the second is done, so is the first.
    let mut swept = Vec::new();
    for _ in 0..600 {
        let args = ["audit", "list", "--everywhere", "--action"];
        let list = cli.json(&[&args[..], &["namespace.sweep"]].concat());
        swept = list["entries"].as_array().unwrap().clone();
        if !swept.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(swept.len(), 1, "{swept:?}");
    assert!(swept[0].to_string().contains("namespace/full"), "{swept:?}");
    let record = installed.dir().join("record");
    let record = record.to_str().unwrap();
    cli.ok(&["audit", "export", record], b"");
    cli.ok(&["audit", "verify", record], b"");
    let file = installed.dir().join("after.procura");
    let file = file.to_str().unwrap();
    cli.ok(&["backup", file], b"");
    let drill = ["--passphrase-fd", "0", "backup", "drill", file];
    cli.ok(&drill, crate::installed::PASSPHRASE);
}

#[test]
fn an_agent_is_deleted_by_either_word_and_its_label_is_another_then() {
    let installed = Installed::new();
    let cli = &installed.cli;
    for word in ["revoke", "delete"] {
        cli.ok(&["agent", "add", "scribe", "--no-code"], b"");
        let asked = cli.run(&["agent", word, "scribe"], b"");
        assert_eq!(asked.code, 64, "{}", asked.err);
        let ended = cli.json(&["--yes", "agent", word, "scribe"]);
        assert_eq!(ended["revoked"].as_array().unwrap().len(), 1, "{ended}");
    }
    cli.ok(&["agent", "add", "scribe", "--no-code"], b"");
    let list = cli.json(&["agent", "list"]);
    let agents = list["agents"].as_array().unwrap().iter();
    let told: Vec<_> = agents
        .map(|agent| (agent["incarnation"].clone(), agent.get("revoked").is_some()))
        .collect();
    assert_eq!(
        told,
        [(json!(1), true), (json!(2), true), (json!(3), false)]
    );
}
