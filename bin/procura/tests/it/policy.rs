//! `policy`, as somebody who writes policies types it: without a server, and with one.

use crate::installed::Installed;
use crate::run;
use serde_json::{Value, json};
use std::path::Path;

fn at(home: &Path, name: &str) -> std::path::PathBuf {
    home.join(name)
}

/// What the guide begins with.
fn written(home: &Path) -> String {
    let templates: [&[&str]; 4] = [
        &["baseline"],
        &["paths", "--agents", "ci-*", "--paths", "shop/*"],
        &[
            "hours", "--agents", "ci-*", "--from", "06:00", "--until", "22:00",
        ],
        &["rate", "--agents", "ci-*", "--most", "60"],
    ];
    let mut text = String::new();
    for template in templates {
        let printed = run(home, &[&["policy", "template"], template].concat());
        assert_eq!(
            (printed.code, printed.err.as_str()),
            (0, ""),
            "{template:?}"
        );
        text += &printed.out;
    }
    text
}

#[test]
fn policies_are_checked_and_tested_without_a_server() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (good, bad, cases) = (at(home, "a.cedar"), at(home, "b.cedar"), at(home, "c.json"));
    std::fs::write(&good, written(home)).unwrap();
    let checked = run(home, &["policy", "check", good.to_str().unwrap()]);
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert_eq!(checked.err, "4 policies, nothing wrong\n");

    std::fs::write(
        &bad,
        "permit(principal, action, resource);\n\npermit(principal, action;\n",
    )
    .unwrap();
    let checked = run(home, &["policy", "check", bad.to_str().unwrap()]);
    assert_eq!(checked.code, 77);
    assert!(checked.err.contains("line 3: "), "{}", checked.err);

    let case = |name: &str, expect: &str, time: &str, path: &str| {
        json!({"name": name, "expect": expect, "ask": {
            "principal": "agent/ci-1", "action": "run.deliver", "resource": "project/web",
            "context": {"time": time, "project": "web", "items": {"KEY": path}},
        }})
    };
    let day = "2026-11-23T10:00:00Z";
    let mut all = vec![
        case("its paths", "allow", day, "shop/key"),
        case("no others", "deny", day, "bank/key"),
        case("not at night", "deny", "2026-11-23T22:00:00Z", "shop/key"),
    ];
    let file = |all: &[Value]| json!({"namespace": "shop", "cases": all}).to_string();
    std::fs::write(&cases, file(&all)).unwrap();
    let test = [
        "policy",
        "test",
        good.to_str().unwrap(),
        cases.to_str().unwrap(),
    ];
    let tested = run(home, &test);
    assert_eq!(tested.code, 0, "{}", tested.err);
    assert_eq!(tested.out.matches(" ok ").count(), 3, "{}", tested.out);
    all.push(case("wrong", "allow", day, "bank/key"));
    std::fs::write(&cases, file(&all)).unwrap();
    let tested = run(home, &test);
    assert_eq!(tested.code, 77);
    assert!(tested.out.contains("FAILED"), "{}", tested.out);
    assert!(
        tested.err.contains("1 of 4 cases are not as expected"),
        "{}",
        tested.err
    );

    let diff = [
        "policy",
        "diff",
        good.to_str().unwrap(),
        good.to_str().unwrap(),
    ];
    let same = run(home, &diff);
    assert_eq!((same.code, same.out.as_str()), (0, ""));
    let schema = run(home, &["policy", "schema"]);
    assert!(
        schema.out.contains("action \"run.deliver\" appliesTo"),
        "{}",
        schema.out
    );
}

#[test]
fn what_a_template_lacks_is_told() {
    let home = tempfile::tempdir().unwrap();
    for (args, why) in [
        (&["paths"][..], "--paths"),
        (&["hours", "--from", "8:00", "--until", "18:00"], "HH:MM"),
        (&["rate"], "--most"),
        (
            &["delivery", "--delivery", "mail"],
            "env, file, stdin or http",
        ),
        (
            &[
                "paths",
                "--paths",
                "a\" }; permit(principal,action,resource);",
            ],
            "pattern",
        ),
    ] {
        let printed = run(home.path(), &[&["policy", "template"], args].concat());
        assert_eq!((printed.code, printed.out.as_str()), (64, ""), "{args:?}");
        assert!(printed.err.contains(why), "{args:?}: {}", printed.err);
    }
}

#[test]
fn what_a_template_is_told_is_what_decides() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (text, cases) = (at(home, "a.cedar"), at(home, "c.json"));
    for (name, told, within, beyond) in [
        (
            "network",
            ["--network", "10.0.0.0/8"],
            json!({"source": "10.255.255.255"}),
            json!({"source": "11.0.0.0"}),
        ),
        (
            "network",
            ["--network", "::1"],
            json!({"source": "::1"}),
            json!({}),
        ),
        (
            "delivery",
            ["--delivery", "env"],
            json!({"delivery": "env"}),
            json!({"delivery": "file"}),
        ),
        (
            "rate",
            ["--most", "60"],
            json!({"uses_last_hour": 59}),
            json!({"uses_last_hour": 60}),
        ),
    ] {
        let args = ["policy", "template", name, "--agents", "ci-*"];
        let printed = run(home, &[&args[..], &told[..]].concat());
        assert_eq!((printed.code, printed.err.as_str()), (0, ""), "{name}");
        let all = "@id(\"all\") permit(principal, action, resource);\n";
        std::fs::write(&text, format!("{all}{}", printed.out)).unwrap();
        let case = |agent: &str, expect: &str, by: &str, context: &Value| {
            json!({"name": format!("{agent} {expect}"), "expect": expect, "by": [by], "ask": {
                "principal": format!("agent/{agent}"), "action": "run.deliver",
                "resource": "project/web", "context": context,
            }})
        };
        let own = format!("{name}.ci-x");
        let all = [
            case("ci-1", "allow", "all", &within),
            case("ci-1", "deny", &own, &beyond),
            case("dev", "allow", "all", &beyond),
        ];
        let file = json!({"namespace": "shop", "cases": all}).to_string();
        std::fs::write(&cases, file).unwrap();
        let (text, cases) = (text.to_str().unwrap(), cases.to_str().unwrap());
        let tested = run(home, &["policy", "test", text, cases]);
        assert_eq!(tested.code, 0, "{name}: {}{}", tested.out, tested.err);
        assert_eq!(tested.out.matches(" ok ").count(), 3, "{}", tested.out);
    }
}

#[test]
fn a_version_is_observed_enforced_rolled_back_and_taken_out_of_force() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (at(folder.path(), "1.cedar"), at(folder.path(), "2.cedar"));
    std::fs::write(
        &first,
        "@id(\"all\") permit(principal, action, resource);\n",
    )
    .unwrap();
    std::fs::write(
        &second,
        "@id(\"no\") forbid(principal, action == Procura::Action::\"secret.write\", resource);\n",
    )
    .unwrap();
    cli.ok(&["policy", "put", first.to_str().unwrap()], b"");
    cli.ok(&["policy", "put", second.to_str().unwrap()], b"");
    let list = |cli: &crate::installed::Cli| cli.json(&["policy", "list"])["versions"].clone();
    let states: Vec<Value> = list(cli)
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].clone())
        .collect();
    assert_eq!(states, ["draft", "draft"]);

    cli.ok(&["policy", "observe", "2"], b"");
    cli.ok(&["secret", "put", "a/b"], b"one");
    let report = cli.json(&["policy", "report"]);
    assert_eq!(report["lines"][0]["would"], "would_deny");
    assert_eq!(report["lines"][0]["owner"], "alice");
    assert!(cli.ok(&["policy", "report"], b"").contains("would_deny"));

    cli.ok(&["policy", "enforce", "2"], b"");
    let refused = cli.run(&["secret", "put", "a/b"], b"two");
    assert_eq!(refused.code, 77);
    assert!(refused.err.contains("policy"), "{}", refused.err);
    let explain = [
        "policy",
        "explain",
        "operator/alice",
        "secret.write",
        "secret/a/b",
    ];
    let told = cli.json(&explain);
    assert_eq!(
        (&told["answer"], &told["versions"][0]["by"][0]),
        (&json!("deny"), &json!("no"))
    );
    assert!(cli.ok(&explain, b"").contains("policy_forbids"));

    let diff = cli.ok(&["policy", "diff", "1", "2"], b"");
    assert!(
        diff.contains("all: removed") && diff.contains("no: added"),
        "{diff}"
    );
    assert!(
        cli.ok(&["policy", "show", "1"], b"")
            .contains("@id(\"all\")")
    );
    cli.ok(&["policy", "rollback", "1", "--enforce"], b"");
    cli.ok(&["secret", "put", "a/b"], b"two");
    assert_eq!(list(cli)[0]["text_of"], 1);
    cli.ok(&["policy", "draft", "3"], b"");
    assert!(
        list(cli)
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["state"] == "draft")
    );
    let none = cli.run(&["policy", "list", "--installation"], b"");
    assert_eq!((none.code, none.out.as_str()), (0, ""));
}
