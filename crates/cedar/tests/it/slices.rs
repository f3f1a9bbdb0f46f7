//! The slice decides as the full set: for policies and questions of every kind.

use procura_cedar::{AgentFacts, Asks, Circumstances, Facts, PolicySet, Principal, Thing};
use procura_policy::Action;
use procura_types::Timestamp;
use proptest::prelude::*;

const NAMES: [&str; 4] = ["ci", "dev", "scribe", "task"];
const SCOPES: [&str; 2] = ["shop", "bank"];
const THINGS: [(&str, &str); 4] = [
    ("project", "Project"),
    ("secret", "Secret"),
    ("transit", "TransitKey"),
    ("service", "Service"),
];
const ACTIONS: [Action; 4] = [
    Action::RunDeliver,
    Action::KeyRead,
    Action::TransitWrap,
    Action::SecretRead,
];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(from)
}

fn principal_head() -> impl Strategy<Value = String> {
    let uid = || {
        (pick(&SCOPES), pick(&NAMES))
            .prop_map(|(scope, name)| format!("Procura::Agent::\"{scope}/{name}\""))
    };
    prop_oneof![
        Just("principal".to_owned()),
        Just("principal is Procura::Agent".to_owned()),
        Just("principal is Procura::Operator".to_owned()),
        uid().prop_map(|uid| format!("principal == {uid}")),
        uid().prop_map(|uid| format!("principal in {uid}")),
        uid().prop_map(|uid| format!("principal is Procura::Agent in {uid}")),
        pick(&NAMES).prop_map(|name| format!("principal in Procura::Operator::\"{name}\"")),
        pick(&NAMES).prop_map(|name| format!("principal == Procura::Operator::\"{name}\"")),
        pick(&SCOPES).prop_map(|scope| format!("principal in Procura::Namespace::\"{scope}\"")),
    ]
}

fn action_head() -> impl Strategy<Value = String> {
    let uid = || {
        proptest::sample::select(ACTIONS.to_vec())
            .prop_map(|action| format!("Procura::Action::\"{}\"", action.as_str()))
    };
    prop_oneof![
        Just("action".to_owned()),
        uid().prop_map(|uid| format!("action == {uid}")),
        (uid(), uid()).prop_map(|(one, other)| format!("action in [{one}, {other}]")),
    ]
}

fn resource_head() -> impl Strategy<Value = String> {
    let kind = || proptest::sample::select(THINGS.to_vec()).prop_map(|(_, kind)| kind);
    let uid = move || {
        (kind(), pick(&SCOPES), pick(&NAMES))
            .prop_map(|(kind, scope, name)| format!("Procura::{kind}::\"{scope}/{name}\""))
    };
    prop_oneof![
        Just("resource".to_owned()),
        kind().prop_map(|kind| format!("resource is Procura::{kind}")),
        uid().prop_map(|uid| format!("resource == {uid}")),
        uid().prop_map(|uid| format!("resource in {uid}")),
        pick(&SCOPES).prop_map(|scope| format!("resource in Procura::Namespace::\"{scope}\"")),
        (kind(), pick(&SCOPES)).prop_map(|(kind, scope)| format!(
            "resource is Procura::{kind} in Procura::Namespace::\"{scope}\""
        )),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        1 => pick(&NAMES).prop_map(|name| format!(" when {{ principal.name == \"{name}\" }}")),
        1 => pick(&NAMES).prop_map(|name| format!(" unless {{ resource.name == \"{name}\" }}")),
        1 => (0..24).prop_map(|hour| format!(" when {{ context.hour < {hour} }}")),
        1 => (0..4).prop_map(|uses| format!(" when {{ context.uses_last_hour < {uses} }}")),
        // One that fails.
        1 => Just(" when { 9223372036854775807 + context.uses_last_hour > 0 }".to_owned()),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
    (
        effect,
        principal_head(),
        action_head(),
        resource_head(),
        condition(),
    )
        .prop_map(|(effect, principal, action, resource, condition)| {
            format!("{effect}({principal}, {action}, {resource}){condition};\n")
        })
}

fn facts() -> impl Strategy<Value = Facts> {
    let agent = (pick(&SCOPES), proptest::collection::vec(pick(&NAMES), 2..4)).prop_map(
        |(scope, lineage)| Principal {
            id: "id".to_owned(),
            name: (*lineage.last().unwrap()).to_owned(),
            agent: Some(AgentFacts {
                namespace: scope.to_owned(),
                lineage: lineage.into_iter().map(str::to_owned).collect(),
            }),
            steward: false,
            roles: Vec::new(),
        },
    );
    let operator = pick(&NAMES).prop_map(|name| Principal {
        id: "id".to_owned(),
        name: name.to_owned(),
        agent: None,
        steward: false,
        roles: vec!["admin"],
    });
    let principal = prop_oneof![3 => agent, 1 => operator];
    let thing = (
        proptest::sample::select(THINGS.to_vec()),
        pick(&SCOPES),
        pick(&NAMES),
    )
        .prop_map(|((word, _), scope, name)| Thing {
            kind: word.to_owned(),
            name: name.to_owned(),
            namespace: Some(scope.to_owned()),
        });
    let action = proptest::sample::select(ACTIONS.to_vec());
    (principal, action, thing, 0..24_u64, 0..4_u64).prop_map(
        |(principal, action, thing, hour, uses_last_hour)| Facts {
            principal,
            action,
            thing,
            circumstances: Circumstances {
                now: Timestamp::from_millis(1_795_305_600_000 + hour * 3_600_000),
                source: None,
                profile: "native".to_owned(),
                uses_last_hour,
                asks: Some(Asks {
                    project: "web".to_owned(),
                    delivery: "env".to_owned(),
                    items: vec![("KEY".to_owned(), "a/key".to_owned())],
                }),
            },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_slice_decides_as_the_full_set(
        policies in proptest::collection::vec(policy(), 0..12),
        asked in proptest::collection::vec(facts(), 1..12),
    ) {
        let set = PolicySet::parse("shop@1", &policies.concat());
        let set = set.map_err(|flaws| TestCaseError::fail(flaws[0].to_string()))?;
        for facts in asked {
            let slice = set.slice(&facts).unwrap();
            prop_assert!(slice.size() <= set.count());
            prop_assert_eq!(set.decide(&facts), set.decide_whole(&facts), "{:?}", facts);
        }
    }
}

#[test]
fn a_slice_has_only_what_can_apply() {
    let mut text = String::new();
    for number in 0..50 {
        text += &format!(
            "permit(principal == Procura::Agent::\"shop/a{number}\", action, resource);\n\
             forbid(principal, action, resource == Procura::Project::\"shop/p{number}\");\n"
        );
    }
    let set = PolicySet::parse("shop@1", &text)
        .map_err(|flaws| flaws[0].to_string())
        .unwrap();
    let asked = |agent: &str, project: &str| Facts {
        principal: Principal {
            id: String::new(),
            name: agent.to_owned(),
            agent: Some(AgentFacts {
                namespace: "shop".to_owned(),
                lineage: vec!["alice".to_owned(), agent.to_owned()],
            }),
            steward: false,
            roles: Vec::new(),
        },
        action: Action::RunDeliver,
        thing: Thing::parse(&format!("project/{project}"), Some("shop")),
        circumstances: Circumstances {
            now: Timestamp::from_millis(0),
            source: None,
            profile: "native".to_owned(),
            uses_last_hour: 0,
            asks: None,
        },
    };
    for (agent, project, size) in [
        ("a7", "p9", 2),
        ("a7", "web", 1),
        ("b", "p9", 1),
        ("b", "web", 0),
    ] {
        assert_eq!(
            set.slice(&asked(agent, project)).unwrap().size(),
            size,
            "{agent} {project}"
        );
    }
}
