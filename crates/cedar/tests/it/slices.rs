//! The slice decides as the full set: for policies and questions of every kind.

use procura_cedar::{AgentFacts, Asks, Circumstances, Facts, PolicySet, Principal, Thing};
use procura_policy::Action;
use procura_types::Timestamp;
use proptest::prelude::*;
use std::net::IpAddr;

const NAMES: [&str; 4] = ["ci", "dev", "scribe", "task"];
const SCOPES: [&str; 2] = ["shop", "bank"];
/// Kinds of things of a namespace, by their words in the ledger and in policies.
const THINGS: [(&str, &str); 5] = [
    ("project", "Project"),
    ("secret", "Secret"),
    ("transit", "TransitKey"),
    ("service", "Service"),
    ("agent", "ManagedAgent"),
];
/// Those of the installation that have names.
const OF_INSTALLATION: [(&str, &str); 2] = [("operator", "ManagedOperator"), ("server", "Server")];
/// What agents do, with values and without, what both do, and what operators do.
const ACTIONS: [Action; 12] = [
    Action::RunDeliver,
    Action::KeyRead,
    Action::RequestCreate,
    Action::ProjectTokenUse,
    Action::TransitWrap,
    Action::SessionStart,
    Action::EventsRead,
    Action::SecretRead,
    Action::SecretWrite,
    Action::AgentCreate,
    Action::NamespaceCreate,
    Action::OperatorInvite,
];
/// Environment names and paths of values.
const KEYS: [&str; 3] = ["KEY", "SALT", "ROOT"];
const PATHS: [&str; 4] = ["a/key", "a/salt", "b/key", "b/root"];
const DELIVERIES: [&str; 3] = ["env", "file", "http"];
const PROFILES: [&str; 2] = ["native", "session"];
const SOURCES: [&str; 5] = [
    "10.1.2.3",
    "::ffff:10.1.2.3",
    "192.0.2.1",
    "2001:db8::1",
    "::1",
];

/// How many sets of policies are made: few by default, or as many as `SLICE_CASES` says.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no configuration"
)]
fn cases() -> u32 {
    std::env::var("SLICE_CASES").map_or(96, |wanted| wanted.parse().unwrap())
}

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
        proptest::collection::vec(uid(), 2..6)
            .prop_map(|uids| format!("action in [{}]", uids.join(", "))),
    ]
}

fn resource_head() -> impl Strategy<Value = String> {
    let kind = || proptest::sample::select(THINGS.to_vec()).prop_map(|(_, kind)| kind);
    let uid = move || {
        (kind(), pick(&SCOPES), pick(&NAMES))
            .prop_map(|(kind, scope, name)| format!("Procura::{kind}::\"{scope}/{name}\""))
    };
    let of_namespaces = prop_oneof![
        kind().prop_map(|kind| format!("resource is Procura::{kind}")),
        uid().prop_map(|uid| format!("resource == {uid}")),
        uid().prop_map(|uid| format!("resource in {uid}")),
        pick(&SCOPES).prop_map(|scope| format!("resource in Procura::Namespace::\"{scope}\"")),
        pick(&SCOPES).prop_map(|scope| format!("resource == Procura::Namespace::\"{scope}\"")),
        (kind(), pick(&SCOPES)).prop_map(|(kind, scope)| format!(
            "resource is Procura::{kind} in Procura::Namespace::\"{scope}\""
        )),
    ];
    let named = || proptest::sample::select(OF_INSTALLATION.to_vec()).prop_map(|(_, kind)| kind);
    let of_the_installation = prop_oneof![
        Just("resource is Procura::Installation".to_owned()),
        Just("resource == Procura::Installation::\"installation\"".to_owned()),
        named().prop_map(|kind| format!("resource is Procura::{kind}")),
        (named(), pick(&NAMES))
            .prop_map(|(kind, name)| format!("resource == Procura::{kind}::\"{name}\"")),
    ];
    prop_oneof![
        2 => Just("resource".to_owned()),
        5 => of_namespaces,
        2 => of_the_installation,
    ]
}

/// What is asked of caller and thing.
fn of_the_heads() -> impl Strategy<Value = String> {
    prop_oneof![
        pick(&NAMES).prop_map(|name| format!("principal.name == \"{name}\"")),
        pick(&NAMES).prop_map(|name| format!(
            "principal is Procura::Agent && principal.lineage like \"*{name}*\""
        )),
        Just("principal is Procura::Operator && principal.steward".to_owned()),
        Just("principal is Procura::Operator && principal.roles.contains(\"admin\")".to_owned()),
        pick(&NAMES).prop_map(|name| format!("resource.name == \"{name}\"")),
        pick(&SCOPES).prop_map(|scope| format!("resource.namespace == \"{scope}\"")),
    ]
}

/// What is asked of the circumstances of everything.
fn of_the_circumstances() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..24).prop_map(|hour| format!("context.hour < {hour}")),
        (0..4).prop_map(|uses| format!("context.uses_last_hour < {uses}")),
        pick(&PROFILES).prop_map(|profile| format!("context.profile == \"{profile}\"")),
        Just("context has source".to_owned()),
        Just("context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))".to_owned()),
        Just("context has source && context.source == ip(\"2001:db8::1\")".to_owned()),
        // One that fails.
        Just("9223372036854775807 + context.uses_last_hour > 0".to_owned()),
    ]
}

/// What is asked of the values that are asked for, where any are.
fn of_the_values() -> impl Strategy<Value = String> {
    prop_oneof![
        pick(&["a/*", "b/*", "*/key"])
            .prop_map(|paths| format!("context has path && context.path like \"{paths}\"")),
        pick(&KEYS).prop_map(|key| format!("context has name && context.name == \"{key}\"")),
        pick(&KEYS)
            .prop_map(|key| format!("context has names && context.names.contains(\"{key}\")")),
        pick(&PATHS)
            .prop_map(|path| format!("context has paths && context.paths.contains(\"{path}\")")),
        pick(&DELIVERIES)
            .prop_map(|way| format!("context has delivery && context.delivery == \"{way}\"")),
        pick(&NAMES)
            .prop_map(|name| format!("context has project && context.project == \"{name}\"")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let asked = prop_oneof![of_the_heads(), of_the_circumstances(), of_the_values()];
    let one = (pick(&["when", "unless"]), asked)
        .prop_map(|(word, asked)| format!(" {word} {{ {asked} }}"));
    proptest::collection::vec(one, 0..3).prop_map(|conditions| conditions.concat())
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
    let operator =
        (pick(&NAMES), any::<bool>(), any::<bool>()).prop_map(|(name, steward, admin)| Principal {
            id: "id".to_owned(),
            name: name.to_owned(),
            agent: None,
            steward,
            roles: if admin { vec!["admin"] } else { Vec::new() },
        });
    let principal = prop_oneof![3 => agent, 2 => operator];
    let action = proptest::sample::select(ACTIONS.to_vec());
    (principal, action, thing(), circumstances()).prop_map(
        |(principal, action, thing, circumstances)| Facts {
            principal,
            action,
            thing,
            circumstances,
        },
    )
}

/// Something of a namespace, a namespace, or something of the installation.
fn thing() -> impl Strategy<Value = Thing> {
    let words = |of: &[(&'static str, &'static str)]| {
        let words: Vec<&'static str> = of.iter().map(|(word, _)| *word).collect();
        proptest::sample::select(words)
    };
    let of_a_namespace = (words(&THINGS), pick(&SCOPES), pick(&NAMES))
        .prop_map(|(word, scope, name)| Thing::parse(&format!("{word}/{name}"), Some(scope)));
    let namespace =
        pick(&SCOPES).prop_map(|scope| Thing::parse(&format!("namespace/{scope}"), Some(scope)));
    let of_the_installation = (words(&OF_INSTALLATION), pick(&NAMES))
        .prop_map(|(word, name)| Thing::parse(&format!("{word}/{name}"), None));
    prop_oneof![
        5 => of_a_namespace,
        1 => namespace,
        1 => Just(Thing::parse("installation", None)),
        1 => of_the_installation,
    ]
}

/// At any hour, from anywhere or nowhere that is known, for up to three values.
fn circumstances() -> impl Strategy<Value = Circumstances> {
    let items = proptest::collection::vec((pick(&KEYS), pick(&PATHS)), 0..=3);
    let asks = (pick(&NAMES), pick(&DELIVERIES), items).prop_map(|(project, way, items)| Asks {
        project: project.to_owned(),
        delivery: way.to_owned(),
        items: items
            .into_iter()
            .map(|(name, path)| (name.to_owned(), path.to_owned()))
            .collect(),
    });
    (
        0..24_u64,
        proptest::option::of(pick(&SOURCES)),
        pick(&PROFILES),
        0..4_u64,
        proptest::option::weighted(0.9, asks),
    )
        .prop_map(
            |(hour, source, profile, uses_last_hour, asks)| Circumstances {
                now: Timestamp::from_millis(1_795_305_600_000 + hour * 3_600_000),
                source: source.map(|source| source.parse::<IpAddr>().unwrap()),
                profile: profile.to_owned(),
                uses_last_hour,
                asks,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

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
