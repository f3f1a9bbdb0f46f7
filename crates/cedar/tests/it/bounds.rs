//! What a text can cost the server that checks it and decides by it.

use procura_cedar::{AgentFacts, Asks, Circumstances, Facts, Outcome, PolicySet, Principal, Thing};
use procura_policy::Action;
use procura_types::Timestamp;
use std::time::{Duration, Instant};

const HEAD: &str = "permit(principal, action == Procura::Action::\"run.deliver\", resource)";

/// The stack of a worker of the server.
const WORKER: usize = 2 * 1024 * 1024;

/// All that is wrong with a text, or what it says at midnight of somebody who asks for
/// values with these paths.
fn said(text: &str, paths: &[&str]) -> Result<Outcome, Vec<String>> {
    let set = PolicySet::parse("shop@1", text)
        .map_err(|flaws| flaws.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(set.decide(&facts(paths)).outcome)
}

fn facts(paths: &[&str]) -> Facts {
    Facts {
        principal: Principal {
            id: "id".to_owned(),
            name: "ci".to_owned(),
            agent: Some(AgentFacts {
                namespace: "shop".to_owned(),
                lineage: vec!["alice".to_owned(), "ci".to_owned()],
            }),
            steward: false,
            roles: Vec::new(),
        },
        action: Action::RunDeliver,
        thing: Thing::parse("project/web", Some("shop")),
        circumstances: Circumstances {
            now: Timestamp::from_millis(0),
            source: None,
            profile: "native".to_owned(),
            uses_last_hour: 0,
            asks: Some(Asks {
                project: "web".to_owned(),
                delivery: "env".to_owned(),
                items: paths
                    .iter()
                    .map(|path| ("KEY".to_owned(), (*path).to_owned()))
                    .collect(),
            }),
        },
    }
}

fn refused(text: &str, why: &str) {
    assert_eq!(said(text, &[]), Err(vec![why.to_owned()]));
}

/// A policy with a chain of so many links.
type Chain = fn(usize) -> String;

/// Chains of every kind, each with the links of the longest one that is let through.
fn chains() -> [(Chain, usize); 5] {
    [
        (
            |links| {
                let chain = "context.hour == 30 || ".repeat(links);
                format!("{HEAD} when {{ {chain}context.hour == 0 }};")
            },
            124,
        ),
        (
            |links| {
                let chain = "context.hour == 0 && ".repeat(links);
                format!("{HEAD} when {{ {chain}context.hour == 0 }};")
            },
            124,
        ),
        (
            |links| {
                let chain = "context.uses_last_hour + ".repeat(links);
                format!("{HEAD} when {{ {chain}1 == 1 }};")
            },
            124,
        ),
        (
            |links| {
                let chain = "if context.hour == 30 then false else ".repeat(links);
                format!("{HEAD} when {{ {chain}context.hour == 0 }};")
            },
            124,
        ),
        (
            |links| format!("{HEAD}{};", " when { context.hour == 0 }".repeat(links)),
            125,
        ),
    ]
}

#[test]
fn the_deepest_that_is_let_through_is_checked_decides_and_goes_on_a_small_stack() {
    let worker = std::thread::Builder::new().stack_size(WORKER);
    let done = worker.spawn(|| {
        for (chain, most) in chains() {
            assert_eq!(said(&chain(most), &[]), Ok(Outcome::Permits), "{most}");
            refused(
                &chain(most + 1),
                "line 1: policy0: the policy is nested too deep",
            );
        }
    });
    done.unwrap().join().unwrap();
}

/// Where the stack of the type checker ends, it says nothing.
#[test]
fn what_is_deepest_is_checked_as_well() {
    let deep = "context.hour == 30 || ".repeat(123);
    let text = format!("{HEAD} when {{ context.hour == \"x\" || {deep}true }};");
    let flaws = said(&text, &[]).unwrap_err();
    assert!(flaws[0].contains("not compatible"), "{flaws:?}");
    let clauses = " when { context.hour == 0 }".repeat(124);
    let text = format!("{HEAD}{clauses} unless {{ context.hour == \"x\" }};");
    let flaws = said(&text, &[]).unwrap_err();
    assert!(flaws[0].contains("not compatible"), "{flaws:?}");
}

#[test]
fn thousands_of_clauses_are_refused_and_harm_nobody() {
    let worker = std::thread::Builder::new().stack_size(WORKER);
    let done = worker.spawn(|| {
        for clause in [" when { true }", " unless { false }", "when{context.a}"] {
            let text = format!("{HEAD}{};", clause.repeat(30_000));
            refused(&text, "line 1: the policy is nested too deep");
        }
        let clause = format!(" when {{ context.project == \"{}\" }}", "a".repeat(14));
        let clauses = format!("{HEAD}{};", clause.repeat(250));
        refused(&clauses, "line 1: the policy is longer than 8192 bytes");
    });
    done.unwrap().join().unwrap();
}

/// Each of these would be twice as much with each bracket.
#[test]
fn nothing_is_doubled_with_every_bracket() {
    let mut who = "principal".to_owned();
    for _ in 0..25 {
        who = format!("(if {who} is Procura::Agent in principal then principal else principal)");
    }
    let text = format!("{HEAD} when {{ {who} == principal }};");
    refused(
        &text,
        "line 1: `is` is asked of principal, action or resource only",
    );
    let plain = "principal is Procura::Agent in Procura::Namespace::\"shop\"";
    let text = format!("{HEAD} when {{ {plain} }};");
    assert_eq!(said(&text, &[]), Ok(Outcome::Permits));
}

#[test]
fn strings_policies_and_patterns_have_bounds() {
    let string = |bytes: usize| {
        let letters = "a".repeat(bytes);
        format!("{HEAD} when {{ context.project != \"{letters}\" }};")
    };
    assert_eq!(said(&string(1024), &[]), Ok(Outcome::Permits));
    refused(&string(1025), "line 1: a string is longer than 1024 bytes");
    let list = |count: usize| {
        let names = "\"aaaaaaaaa\",".repeat(count);
        format!("{HEAD} when {{ ![{names}].contains(context.project) }};")
    };
    assert_eq!(said(&list(660), &[]), Ok(Outcome::Permits));
    refused(&list(690), "line 1: the policy is longer than 8192 bytes");
    refused(
        &format!("{HEAD} when {{ \"aaa\" like \"*ab\" }};"),
        "line 1: policy0: `like` is asked of an attribute of principal, resource or context only",
    );
    let own = format!(
        "{HEAD} when {{ principal is Procura::Agent && principal.lineage like \"alice//*\" }};"
    );
    assert_eq!(said(&own, &[]), Ok(Outcome::Permits));
}

#[test]
fn what_costs_most_decides_soon_and_more_of_it_is_refused() {
    // Every place of the path is tried, and fails after half of it.
    let one = format!(
        "{HEAD} when {{ context.path like \"*{}b\" }};\n",
        "a".repeat(127)
    );
    let path = "a".repeat(255);
    let text = one.repeat(125);
    let set = PolicySet::parse("shop@1", &text)
        .map_err(|flaws| flaws[0].to_string())
        .unwrap();
    let asked = facts(&[path.as_str(); 4]);
    let begun = Instant::now();
    assert_eq!(set.decide(&asked).outcome, Outcome::NonePermits);
    // By far less, also in a build that is not optimised on a machine that is busy.
    assert!(begun.elapsed() < Duration::from_secs(5));
    // One value more is more than one decision may take: nothing is permitted.
    let verdict = set.decide(&facts(&[path.as_str(); 5]));
    assert_eq!(verdict.outcome, Outcome::Forbids);
    assert!(verdict.policies.is_empty());
    refused(
        &(text + &one),
        "to decide by all policies takes more than 65536 steps",
    );
}

/// Of those who ask for many values, names and paths of all are looked at for each.
#[test]
fn many_values_are_not_looked_at_for_each_other() {
    let text = format!("{HEAD} when {{ context.paths.contains(context.path) }};");
    let decided = |count: usize| said(&text, &vec!["a/b"; count]);
    assert_eq!(decided(100), Ok(Outcome::Permits));
    assert_eq!(decided(1_000), Ok(Outcome::Forbids));
}
