//! What does not parse or does not type-check never becomes a set.

use procura_cedar::{MAX_POLICIES, MAX_TEXT, PolicySet};

fn flaws(text: &str) -> Vec<String> {
    match PolicySet::parse("shop@1", text) {
        Ok(_) => Vec::new(),
        Err(flaws) => flaws.iter().map(ToString::to_string).collect(),
    }
}

fn refused(text: &str, words: &str) {
    let found = flaws(text);
    assert!(
        found.iter().any(|flaw| flaw.contains(words)),
        "{text}: {found:?} lacks {words:?}"
    );
}

const DELIVER: &str = "Procura::Action::\"run.deliver\"";

#[test]
fn a_syntax_error_is_told_with_the_line_of_its_policy() {
    let text = "permit(principal, action, resource);\n\n// next\npermit(principal, action;\n";
    let found = flaws(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("line 4: "), "{found:?}");
    refused("permit(principal, action, resource)", "line 1: ");
    refused("permit", "line 1: ");
    refused("permit(principal, action, resource); }", "line 1: ");
}

#[test]
fn every_flaw_is_told_at_once() {
    let text = "permit(principal, action, resource) when { context.hours > 3 };\n\
                permit(principal, action, resource) when { context.hour > \"3\" };\n";
    let found = flaws(text);
    assert!(
        found.iter().any(|flaw| flaw.starts_with("line 1: ")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|flaw| flaw.starts_with("line 2: ")),
        "{found:?}"
    );
}

#[test]
fn types_actions_and_attributes_have_to_be_there() {
    refused(
        &format!(
            "permit(principal, action == {DELIVER}, resource) when {{ context.hour == \"9\" }};"
        ),
        "policy0",
    );
    refused(
        "permit(principal, action == Procura::Action::\"run.walk\", resource);",
        "run.walk",
    );
    refused(
        "permit(principal == Procura::Robot::\"x\", action, resource);",
        "Robot",
    );
    refused(
        "permit(principal, action == Action::\"run.deliver\", resource);",
        "run.deliver",
    );
    refused(
        &format!(
            "permit(principal, action == {DELIVER}, resource) when {{ principal.shoe == 3 }};"
        ),
        "shoe",
    );
    // An address may be unknown, so whoever looks at it asks first whether it is there.
    refused(
        &format!(
            "permit(principal, action == {DELIVER}, resource) when {{ context.source.isInRange(ip(\"10.0.0.0/8\")) }};"
        ),
        "source",
    );
    // Values are asked for by few actions.
    refused(
        "permit(principal, action, resource) when { context.path like \"a/*\" };",
        "path",
    );
    // What is known of others is nothing.
    refused(
        &format!(
            "permit(principal, action == {DELIVER}, resource) when {{ Procura::Agent::\"shop/x\".owner == \"alice\" }};"
        ),
        "policy0",
    );
    refused(
        "permit(principal == ?principal, action, resource);",
        "line 1",
    );
    // Policies say nothing about policies.
    refused(
        "forbid(principal, action == Procura::Action::\"policy.write\", resource);",
        "policy.write",
    );
}

#[test]
fn names_are_unique_and_fit_into_the_record() {
    let named = |name: &str| format!("@id(\"{name}\") permit(principal, action, resource);\n");
    refused(&(named("a") + &named("a")), "same name");
    refused(
        &(named("policy1") + "permit(principal, action, resource);"),
        "same name",
    );
    for bad in ["", "a b", "a\\nb", "ä", &"x".repeat(65)] {
        refused(&named(bad), "@id has");
    }
    assert!(flaws(&named(&"x".repeat(64))).is_empty());
}

#[test]
fn a_text_reads_as_it_decides() {
    refused(
        "// nothing \u{202e}\npermit(principal, action, resource);",
        "line 1: a character steers",
    );
    refused(
        "// nothing\rpermit(principal, action, resource);",
        "line 1: a character steers",
    );
    refused(
        "\n@id(\"a\u{200b}\") permit(principal, action, resource);",
        "line 2: a character steers",
    );
}

#[test]
fn what_is_nested_too_deep_is_refused_and_harms_nobody() {
    for deep in [
        format!(
            "permit(principal, action, resource) when {{ {}1{} == 1 }};",
            "(".repeat(100_000),
            ")".repeat(100_000)
        ),
        format!(
            "permit(principal, action, resource) when {{ {}true }};",
            "true && ".repeat(10_000)
        ),
        format!(
            "permit(principal, action, resource) when {{ context{} }};",
            ".a".repeat(100_000)
        ),
        format!(
            "permit(principal, action, resource) when {{ {}true }};",
            "if true then true else ".repeat(10_000)
        ),
        "[".repeat(500_000),
    ] {
        refused(&deep, "line 1: the policy is nested too deep");
    }
    // As deep as may be.
    let long = format!(
        "permit(principal, action, resource) when {{ {}true }};",
        "true && ".repeat(120)
    );
    assert_eq!(flaws(&long), [""; 0]);
    let deep = format!(
        "permit(principal, action, resource) when {{ {}true{} }};",
        "(".repeat(30),
        ")".repeat(30)
    );
    assert_eq!(flaws(&deep), [""; 0]);
}

#[test]
fn there_is_an_end_to_what_is_read() {
    let one = "permit(principal, action, resource);\n";
    refused(&format!("//{}\n{one}", "x".repeat(MAX_TEXT)), "longer than");
    refused(&"permit;".repeat(MAX_POLICIES + 1), "more than");
}

#[test]
fn nothing_is_a_set_that_permits_nothing() {
    let set = PolicySet::parse("shop@1", "// nothing yet\n").unwrap();
    assert_eq!(set.count(), 0);
    for (text, doubtful) in [
        ("", 1),
        ("forbid(principal, action, resource);", 1),
        ("permit(principal, action, resource);", 0),
    ] {
        let set = PolicySet::parse("shop@1", text).unwrap();
        assert_eq!(set.warnings().len(), doubtful, "{text}");
    }
}

#[test]
fn a_policy_that_never_applies_is_doubtful_and_no_more() {
    let text = format!("permit(principal, action == {DELIVER}, resource is Procura::Secret);");
    let set = PolicySet::parse("shop@1", &text).unwrap();
    let mut said = set.warnings().iter().map(ToString::to_string);
    assert!(said.any(|warning| warning.contains("policy is impossible")));
}
