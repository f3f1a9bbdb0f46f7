//! Decisions among many policies: what one costs by itself, and what reads by session and
//! uses of tokens cost where as many are in force, beside the same where there are none.

use crate::Outcome;
use crate::floors::repeat;
use crate::honey_reads::Side;
use crate::report::{Figure, say};
use crate::token_use::{Agent, figure};
use crate::values::{NAMESPACE, Values};
use procura_cedar::{AgentFacts, Asks, Circumstances, Facts, PolicySet, Principal, Thing};
use procura_client::SystemClock;
use procura_policy::Action;
use procura_types::wire::{PolicyState, ProjectTokenKind};
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

/// Many policies, of which the first `APPLY` are about who asks and what for: one permits
/// everything, the next are what `applies` says. The others are about other agents and
/// other projects.
fn text_of(condition: &str, applies: impl Fn(usize) -> String) -> String {
    let mut text = "permit(principal, action, resource);\n".to_owned();
    for number in 1..POLICIES {
        // Writing to a String cannot fail.
        let _ = match number < APPLY {
            true => writeln!(text, "{}", applies(number)),
            false => writeln!(
                text,
                "permit(principal == Procura::Agent::\"{NAMESPACE}/a{number}\", action, resource == Procura::Project::\"{NAMESPACE}/p{number}\") when {{ {condition} }};"
            ),
        };
    }
    text
}

/// 1,000 policies, of which 20 are about the agent or the project that is asked about;
/// each looks at something, as policies do.
fn text(condition: &str) -> String {
    text_of(condition, |number| match number < APPLY / 2 {
        true => format!(
            "permit(principal == Procura::Agent::\"{NAMESPACE}/agent\", action, resource) when {{ resource.name like \"p{number}-*\" }};"
        ),
        false => format!(
            "forbid(principal, action == Procura::Action::\"run.deliver\", resource == Procura::Project::\"{NAMESPACE}/web\") when {{ {condition} && principal.name like \"x{number}-*\" }};"
        ),
    })
}

/// 1,000 policies, of which 20 are about `action`, whoever does it.
fn text_about(action: Action, condition: &str) -> String {
    let action = action.as_str();
    text_of(condition, |number| {
        format!(
            "forbid(principal, action == Procura::Action::\"{action}\", resource) when {{ {condition} && principal.name like \"x{number}-*\" }};"
        )
    })
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

/// An operator reads a secret.
fn reading() -> Facts {
    let asking = facts();
    Facts {
        principal: Principal {
            name: "bench".to_owned(),
            agent: None,
            steward: true,
            ..asking.principal
        },
        action: Action::SecretRead,
        thing: Thing::parse("secret/app/key", Some(NAMESPACE)),
        circumstances: Circumstances {
            uses_last_hour: 0,
            asks: None,
            ..asking.circumstances
        },
    }
}

/// A set of which as many policies apply as should.
fn set(text: &str, facts: &Facts) -> Outcome<PolicySet> {
    let set = PolicySet::parse("bench@1", text).map_err(|flaws| {
        let first = flaws.first().map(ToString::to_string);
        first.unwrap_or_default()
    })?;
    let size = set.slice(facts).map_or(0, |slice| slice.size());
    if set.count() != POLICIES || size != APPLY {
        return Err(format!("{size} of {} policies apply", set.count()).into());
    }
    Ok(set)
}

/// What one decision costs that is not kept.
fn decision(name: &str, condition: &str) -> Outcome<Figure> {
    let facts = facts();
    let set = set(&text(condition), &facts)?;
    let cpu = repeat(|| black_box(set.decide(black_box(&facts))).policies.len() == 1);
    Ok(Figure::plain(name, cpu, "us").cpu(cpu))
}

/// Puts policies in force.
async fn enforce(side: &Side, text: String) -> Outcome<()> {
    let calls = side.calls()?;
    let namespace: Namespace = NAMESPACE.parse()?;
    let version = calls.put_policies(Some(&namespace), text).await?.version;
    let state = PolicyState::Enforce;
    calls
        .set_policy_state(Some(&namespace), version, state)
        .await?;
    Ok(())
}

/// Decisions by themselves, then reads and uses of tokens in turns.
pub(crate) async fn measure(dir: &Path, runs: usize, time: Duration) -> Outcome<Vec<Figure>> {
    let mut figures = vec![
        decision("policy_decision", "context.delivery == \"file\"")?,
        decision("policy_decision_time", "context.hour == 25")?,
        decision("policy_decision_rate", "context.uses_last_hour > 1000000")?,
    ];
    figures.extend(reads(dir, runs, time).await?);
    figures.extend(uses(dir, runs, time).await?);
    Ok(figures)
}

/// Reads where there are no policies, where there are some whose decisions are kept, and
/// where each read is decided anew, since they look at the time.
async fn reads(dir: &Path, runs: usize, time: Duration) -> Outcome<Vec<Figure>> {
    let values = Rc::new(Values::new());
    let [kept, anew] = ["context.profile == \"nobody\"", "context.hour == 25"]
        .map(|condition| text_about(Action::SecretRead, condition));
    set(&kept, &reading())?;
    set(&anew, &reading())?;
    let mut plain = Side::make(dir).await?;
    let mut ruled = Side::make(dir).await?;
    let mut timed = Side::make(dir).await?;
    enforce(&ruled, kept).await?;
    enforce(&timed, anew).await?;
    for _ in 0..runs {
        plain.run(&values, time).await?;
        ruled.run(&values, time).await?;
        timed.run(&values, time).await?;
        if let (Some(plain), Some(ruled), Some(timed)) = (plain.last(), ruled.last(), timed.last())
        {
            say(&format!(
                "{plain:.1} µs of the server without policies, {ruled:.1} µs with {POLICIES}, {timed:.1} µs where they look at the time"
            ));
        }
    }
    let [floor, with, anew] = [&plain, &ruled, &timed].map(|side| side.middle(|run| run.cpu_us));
    Ok(vec![
        plain.figure("policy_reads.without"),
        ruled.figure("policy_reads").floor(Some(floor)),
        Figure::plain("policy_reads.more", with - floor, "us"),
        Figure::plain(
            "policy_reads.generator",
            ruled.middle(|run| run.generator_us),
            "us",
        ),
        Figure::plain(
            "policy_reads.others",
            ruled.middle(|run| run.others_percent),
            "percent",
        ),
        timed.figure("policy_reads_time").floor(Some(floor)),
        Figure::plain("policy_reads_time.more", anew - floor, "us"),
    ])
}

/// Uses of an opaque project token where there are no policies, and where some look at how
/// often it was used: each use is counted and decided anew, and one more time when it is
/// claimed.
async fn uses(dir: &Path, runs: usize, time: Duration) -> Outcome<Vec<Figure>> {
    let plain = Side::make(dir).await?;
    let rated = Side::make(dir).await?;
    let condition = "context.uses_last_hour > 1000000";
    enforce(&rated, text_about(Action::ProjectTokenUse, condition)).await?;
    let ((installation, owner), (with, with_owner)) = (plain.owned()?, rated.owned()?);
    let without = Agent::make(installation, owner).await?;
    let with = Agent::make(with, with_owner).await?;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let plain = without.run(ProjectTokenKind::Opaque, time).await?;
        let rated = with.run(ProjectTokenKind::Opaque, time).await?;
        say(&format!(
            "{:.1} µs of the server for a use without policies, {:.1} µs where uses are counted",
            plain.cpu_us, rated.cpu_us
        ));
        before.push(plain);
        after.push(rated);
    }
    let before = figure("policy_uses.without", &before);
    let floor = before.cpu_us;
    Ok(vec![
        before,
        figure("policy_uses_rate", &after).floor(floor),
    ])
}
