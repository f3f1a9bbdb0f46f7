//! Cases of a file: who, what, under which circumstances, and what comes of it.

use procura_cedar::{PolicySet, diff, run_cases};
use procura_types::Timestamp;
use procura_types::wire::PolicyCases;
use serde_json::{Value, json};

/// Sunday, 2026-11-22, 10:30 UTC.
const NOW: Timestamp = Timestamp::from_millis(1_795_343_400_000);

pub(crate) fn set(text: &str) -> PolicySet {
    let parsed = PolicySet::parse("shop@1", text);
    parsed.map_err(|flaws| flaws[0].to_string()).unwrap()
}

/// What comes of one question: the answer, why, and by what.
pub(crate) fn ask(set: &PolicySet, ask: Value) -> (String, String, Vec<String>) {
    let file =
        json!({"namespace": "shop", "cases": [{"name": "one", "ask": ask, "expect": "allow"}]});
    let cases: PolicyCases = serde_json::from_value(file).unwrap();
    let result = run_cases(set, &cases, NOW).unwrap().remove(0);
    assert_eq!(result.passed, result.found.as_str() == "allow");
    (result.found.as_str().to_owned(), result.reason, result.by)
}

pub(crate) fn deliver(context: Value) -> Value {
    json!({"principal": "agent/ci-1", "lineage": ["alice", "scribe"], "action": "run.deliver", "resource": "project/web", "context": context})
}

fn by(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn said(answer: &str, reason: &str, names: &[&str]) -> (String, String, Vec<String>) {
    (answer.to_owned(), reason.to_owned(), by(names))
}

#[test]
fn who_fits_is_permitted_and_nobody_else() {
    let permit = |head: &str| set(&format!("@id(\"p\") permit({head}, action, resource);"));
    for (head, fits) in [
        ("principal", true),
        ("principal is Procura::Agent", true),
        ("principal == Procura::Agent::\"shop/ci-1\"", true),
        ("principal == Procura::Agent::\"bank/ci-1\"", false),
        ("principal == Procura::Agent::\"ci-1\"", false),
        ("principal in Procura::Agent::\"shop/scribe\"", true),
        ("principal in Procura::Operator::\"alice\"", true),
        ("principal in Procura::Namespace::\"shop\"", true),
        ("principal in Procura::Namespace::\"bank\"", false),
        ("principal in Procura::Operator::\"bob\"", false),
        ("principal == Procura::Agent::\"shop/scribe\"", false),
        ("principal is Procura::Operator", false),
    ] {
        let expected = match fits {
            true => said("allow", "permitted", &["p"]),
            false => said("deny", "no_policy_permits", &[]),
        };
        assert_eq!(ask(&permit(head), deliver(json!({}))), expected, "{head}");
    }
}

#[test]
fn a_forbid_wins_over_every_permit() {
    let set = set("@id(\"all\") permit(principal, action, resource);\n\
         @id(\"no\") forbid(principal, action, resource) when { principal.name like \"ci-*\" };");
    assert_eq!(
        ask(&set, deliver(json!({}))),
        said("deny", "policy_forbids", &["no"])
    );
    let mut other = deliver(json!({}));
    other["principal"] = json!("agent/dev");
    assert_eq!(ask(&set, other), said("allow", "permitted", &["all"]));
}

#[test]
fn a_forbid_that_fails_forbids_and_a_permit_that_fails_permits_nothing() {
    let overflow = "9223372036854775807 + context.uses_last_hour > 0";
    let set_of = |effect: &str| {
        set(&format!(
            "@id(\"all\") permit(principal, action, resource);\n\
             @id(\"fails\") {effect}(principal, action, resource) when {{ {overflow} }};"
        ))
    };
    let once = deliver(json!({"uses_last_hour": 1}));
    assert_eq!(
        ask(&set_of("forbid"), once.clone()),
        said("deny", "policy_forbids", &["fails"])
    );
    assert_eq!(
        ask(&set_of("permit"), once),
        said("allow", "permitted", &["all"])
    );
}

#[test]
fn circumstances_are_what_the_clock_and_the_question_say() {
    let when = |condition: &str| {
        set(&format!(
            "@id(\"p\") permit(principal, action == Procura::Action::\"run.deliver\", resource) when {{ {condition} }};"
        ))
    };
    let at = |time: &str| deliver(json!({"time": time}));
    let hours = when("8 <= context.hour && context.hour < 18");
    for (time, allowed) in [
        ("2026-11-22T07:59:59.999Z", false),
        ("2026-11-22T08:00:00Z", true),
        ("2026-11-22T17:59:59Z", true),
        ("2026-11-22T18:00:00Z", false),
    ] {
        let (answer, ..) = ask(&hours, at(time));
        assert_eq!(answer == "allow", allowed, "{time}");
    }
    for (condition, allowed) in [
        ("context.weekday == 7", true),
        ("context.minute_of_day == 630", true),
        ("context.weekday == 1", false),
        ("context.profile == \"native\"", true),
        ("context.project == \"web\"", true),
        ("context.delivery == \"env\"", true),
        ("context.delivery == \"file\"", false),
        ("context.names.contains(\"KEY\")", true),
        ("context.paths.containsAll([\"shop/a\", \"shop/b\"])", true),
        ("context.path like \"shop/*\"", true),
        ("context.path == \"shop/a\"", false),
        ("context has source", false),
        (
            "resource.name == \"web\" && resource.namespace == \"shop\"",
            true,
        ),
        ("resource == Procura::Project::\"shop/web\"", true),
        ("resource == Procura::Project::\"bank/web\"", false),
        ("resource in Procura::Namespace::\"shop\"", true),
        (
            "principal is Procura::Agent && principal.lineage == \"alice//scribe//ci-1\" && principal.depth == 2",
            true,
        ),
        (
            "principal is Procura::Agent && principal.owner == \"alice\"",
            true,
        ),
    ] {
        let context = json!({"project": "web", "items": {"KEY": "shop/a", "SALT": "shop/b"}});
        let (answer, reason, _) = ask(&when(condition), deliver(context));
        assert_eq!(answer == "allow", allowed, "{condition}: {reason}");
    }
    let inside = when("context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))");
    for (source, allowed) in [
        (json!("10.9.8.7"), true),
        (json!("11.0.0.1"), false),
        (json!("::ffff:10.0.0.1"), true),
        (json!("::1"), false),
        (Value::Null, false),
    ] {
        let (answer, ..) = ask(&inside, deliver(json!({"source": source})));
        assert_eq!(answer == "allow", allowed, "{source}");
    }
}

#[test]
fn of_several_values_each_has_to_be_allowed() {
    let set = set(
        "@id(\"shop\") permit(principal, action == Procura::Action::\"run.deliver\", resource) when { context.path like \"shop/*\" };\n\
         @id(\"mail\") permit(principal, action == Procura::Action::\"run.deliver\", resource) when { context.path like \"mail/*\" };\n\
         @id(\"root\") forbid(principal, action == Procura::Action::\"run.deliver\", resource) when { context.name == \"ROOT\" };",
    );
    let of = |items: Value| ask(&set, deliver(json!({"items": items})));
    assert_eq!(
        of(json!({"A": "shop/a", "B": "mail/b"})),
        said("allow", "permitted", &["mail", "shop"])
    );
    assert_eq!(
        of(json!({"A": "shop/a", "B": "bank/b"})),
        said("deny", "no_policy_permits", &[])
    );
    assert_eq!(
        of(json!({"A": "bank/a", "ROOT": "shop/b"})),
        said("deny", "policy_forbids", &["root"])
    );
    // Nothing that is asked for fits no path.
    assert_eq!(of(json!({})), said("deny", "no_policy_permits", &[]));
}

#[test]
fn policies_have_their_say_and_no_more() {
    let nothing = set("");
    let forbid = set("@id(\"no\") forbid(principal, action, resource);");
    let asked = |principal: &str, action: &str, resource: &str| json!({"principal": principal, "action": action, "resource": resource});
    for (principal, action, resource, by_nothing, by_forbid) in [
        ("agent/ci-1", "run.deliver", "project/web", "deny", "deny"),
        ("agent/ci-1", "key.read", "secret/a/b", "deny", "deny"),
        (
            "agent/ci-1",
            "session.start",
            "installation",
            "allow",
            "deny",
        ),
        ("agent/ci-1", "run.end", "run/1", "allow", "deny"),
        ("agent/ci-1", "honey.bait", "canary/1", "allow", "allow"),
        (
            "operator/adam",
            "secret.read",
            "secret/a/b",
            "allow",
            "deny",
        ),
        (
            "operator/adam",
            "policy.state",
            "policies",
            "allow",
            "allow",
        ),
        (
            "operator/adam",
            "operator.revoke",
            "operator/eve",
            "allow",
            "allow",
        ),
    ] {
        let found = |set| ask(set, asked(principal, action, resource)).0;
        assert_eq!(found(&nothing), by_nothing, "{principal} {action}");
        assert_eq!(found(&forbid), by_forbid, "{principal} {action}");
    }
}

#[test]
fn what_cannot_be_read_in_a_case_is_told() {
    let set = set("");
    let file = |ask: Value| {
        let file =
            json!({"namespace": "shop", "cases": [{"name": "one", "ask": ask, "expect": "deny"}]});
        let cases: PolicyCases = serde_json::from_value(file).unwrap();
        run_cases(&set, &cases, NOW).unwrap_err()
    };
    let ask = |principal: &str, action: &str| json!({"principal": principal, "action": action, "resource": "project/web"});
    assert!(file(ask("agent/ci", "run.walk")).contains("run.walk"));
    assert!(file(ask("ci", "run.deliver")).contains("agent/<label>"));
    assert!(file(ask("agent/CI!", "run.deliver")).contains("principal"));
}

#[test]
fn a_case_may_say_by_which_policies() {
    let set = set("@id(\"a\") permit(principal, action, resource);");
    let case = |by: Value| {
        let file = json!({"namespace": "shop", "cases": [{"name": "one", "ask": deliver(json!({})), "expect": "allow", "by": by}]});
        let cases: PolicyCases = serde_json::from_value(file).unwrap();
        run_cases(&set, &cases, NOW).unwrap()[0].passed
    };
    assert!(case(json!(["a"])));
    assert!(!case(json!(["b"])));
    assert!(!case(json!([])));
}

#[test]
fn a_difference_is_told_policy_by_policy() {
    let one = |text: &str| set(text);
    let a = "@id(\"a\") permit(principal, action, resource);\n";
    let b = "@id(\"b\") forbid(principal, action, resource);\n";
    assert_eq!(diff(&one(&format!("{a}{b}")), &one(&format!("{b}{a}"))), "");
    let found = diff(
        &one(a),
        &one(&format!(
            "{b}{}",
            a.replace("resource", "resource is Procura::Project")
        )),
    );
    assert!(
        found.contains("a: changed\n- ") && found.contains("b: added\n+ "),
        "{found}"
    );
    let found = diff(&one(b), &one(""));
    assert!(found.starts_with("b: removed\n- "), "{found}");
}
