//! Decisions among many policies: what one costs by itself, and what reads by session cost
//! where as many are in force, beside the same reads where there are none.

use crate::Outcome;
use crate::floors::repeat;
use crate::honey_reads::Side;
use crate::report::{Figure, say};
use crate::values::{NAMESPACE, Values};
use procura_cedar::{AgentFacts, Asks, Circumstances, Facts, PolicySet, Principal, Thing};
use procura_client::SystemClock;
use procura_policy::Action;
use procura_types::wire::PolicyState;
use procura_types::{Clock as _, Namespace};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Policies in force.
const POLICIES: usize = 1_000;
/// Those of them that can apply to what is asked.
const APPLY: usize = 20;

/// 1,000 policies, of which 20 are about the agent or the project that is asked about;
/// each looks at something, as policies do.
fn text(condition: &str) -> String {
    let mut text = String::new();
    for number in 0..POLICIES {
        // Writing to a String cannot fail.
        let _ = match number {
            0 => writeln!(text, "permit(principal, action, resource);"),
            _ if number < APPLY / 2 => writeln!(
                text,
                "permit(principal == Procura::Agent::\"{NAMESPACE}/agent\", action, resource) when {{ resource.name like \"p{number}-*\" }};"
            ),
            _ if number < APPLY => writeln!(
                text,
                "forbid(principal, action == Procura::Action::\"run.deliver\", resource == Procura::Project::\"{NAMESPACE}/web\") when {{ {condition} && principal.name like \"x{number}-*\" }};"
            ),
            _ => writeln!(
                text,
                "permit(principal == Procura::Agent::\"{NAMESPACE}/a{number}\", action, resource == Procura::Project::\"{NAMESPACE}/p{number}\") when {{ {condition} }};"
            ),
        };
    }
    text
}

fn facts() -> Facts {
    Facts {
        principal: Principal {
            id: "id".to_owned(),
            name: "agent".to_owned(),
            agent: Some(AgentFacts {
                namespace: NAMESPACE.to_owned(),
                lineage: vec!["owner".to_owned(), "agent".to_owned()],
            }),
            steward: false,
            roles: Vec::new(),
        },
        action: Action::RunDeliver,
        thing: Thing::parse("project/web", Some(NAMESPACE)),
        circumstances: Circumstances {
            now: SystemClock.now(),
            source: None,
            profile: "session".to_owned(),
            uses_last_hour: 3,
            asks: Some(Asks {
                project: "web".to_owned(),
                delivery: "env".to_owned(),
                items: vec![("KEY".to_owned(), "app/key".to_owned())],
            }),
        },
    }
}

/// What one decision costs that is not kept.
fn decision(name: &str, condition: &str) -> Outcome<Figure> {
    let set = PolicySet::parse("bench@1", &text(condition)).map_err(|flaws| {
        let first = flaws.first().map(ToString::to_string);
        first.unwrap_or_default()
    })?;
    let facts = facts();
    let size = set.slice(&facts).map_or(0, |slice| slice.size());
    if set.count() != POLICIES || size != APPLY {
        return Err(format!("{size} of {} policies apply", set.count()).into());
    }
    let cpu = repeat(|| black_box(set.decide(black_box(&facts))).policies.len() == 1);
    Ok(Figure::plain(name, cpu, "us").cpu(cpu))
}

/// Decisions by themselves, and reads from two installations in turns.
pub(crate) async fn measure(dir: &Path, runs: usize, time: Duration) -> Outcome<Vec<Figure>> {
    let mut figures = vec![
        decision("policy_decision", "context.delivery == \"file\"")?,
        decision("policy_decision_time", "context.hour == 25")?,
        decision("policy_decision_rate", "context.uses_last_hour > 1000000")?,
    ];
    let values = Rc::new(Values::new());
    let mut plain = Side::make(dir).await?;
    let mut ruled = Side::make(dir).await?;
    let calls = ruled.calls()?;
    let namespace: Namespace = NAMESPACE.parse()?;
    let text = text("context.delivery == \"file\"");
    let version = calls.put_policies(Some(&namespace), text).await?.version;
    let state = PolicyState::Enforce;
    calls
        .set_policy_state(Some(&namespace), version, state)
        .await?;
    for _ in 0..runs {
        plain.run(&values, time).await?;
        ruled.run(&values, time).await?;
        if let (Some(plain), Some(ruled)) = (plain.last(), ruled.last()) {
            say(&format!(
                "{plain:.1} µs of the server without policies, {ruled:.1} µs with {POLICIES}"
            ));
        }
    }
    let floor = plain.middle(|run| run.cpu_us);
    figures.push(plain.figure("policy_reads.without"));
    figures.push(ruled.figure("policy_reads").floor(Some(floor)));
    Ok(figures)
}
