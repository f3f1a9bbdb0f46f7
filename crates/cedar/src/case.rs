//! Questions that are written down: cases of a file, with the answers that are expected.
//! They are answered from the text alone, without any server.

use crate::decider::lets;
use crate::facts::{AgentFacts, Asks, Circumstances, Facts, Principal, Thing};
use crate::observed::word;
use crate::set::PolicySet;
use crate::verdict::Outcome;
use crate::vocabulary::{Say, asks_for_values, for_agents, for_operators, is_of_installation};
use procura_policy::Action;
use procura_types::wire::{
    PolicyAnswer, PolicyCaseResult, PolicyCases, PolicyCircumstances, PolicyQuestion,
};
use procura_types::{Label, Timestamp};

/// The owner of an agent of which a case does not say whose it is.
const SOMEBODY: &str = "owner";

/// How much policies have to say about an action of this principal.
pub(crate) const fn say_of(principal: &Principal, action: Action) -> Say {
    match principal.agent {
        Some(_) => for_agents(action),
        None => for_operators(action),
    }
}

/// The action of this name.
pub(crate) fn action(name: &str) -> Result<Action, String> {
    let mut all = Action::ALL.iter().copied();
    all.find(|action| action.as_str() == name)
        .ok_or_else(|| format!("there is no action {name:?}"))
}

/// What a question is about, in `namespace`.
pub(crate) fn thing(text: &str, namespace: Option<&str>) -> Thing {
    let kind = text.split('/').next().unwrap_or_default();
    Thing::parse(text, namespace.filter(|_| !is_of_installation(kind)))
}

/// The circumstances of a question that is asked `now`.
pub(crate) fn circumstances(
    asked: &PolicyCircumstances,
    action: Action,
    now: Timestamp,
) -> Circumstances {
    let items = asked.items.iter();
    Circumstances {
        now: asked.time.unwrap_or(now),
        source: asked.source,
        profile: asked.profile.clone().unwrap_or_else(|| "native".to_owned()),
        uses_last_hour: asked.uses_last_hour.unwrap_or(0),
        asks: asks_for_values(action).then(|| Asks {
            project: asked.project.clone().unwrap_or_default(),
            delivery: asked.delivery.clone().unwrap_or_else(|| "env".to_owned()),
            items: items
                .map(|(name, path)| (name.clone(), path.clone()))
                .collect(),
        }),
    }
}

fn principal(question: &PolicyQuestion, namespace: Option<&str>) -> Result<Principal, String> {
    let name = |text: &str| {
        text.parse::<Label>()
            .map(|label| label.to_string())
            .map_err(|error| format!("principal {text:?}: {error}"))
    };
    match question.principal.split_once('/') {
        Some(("agent", label)) => {
            let label = name(label)?;
            let mut lineage = question.lineage.clone();
            if lineage.is_empty() {
                lineage.push(SOMEBODY.to_owned());
            }
            lineage.push(label.clone());
            let namespace = namespace.ok_or("an agent is of a namespace, and none is said")?;
            Ok(Principal {
                id: label.clone(),
                name: label,
                agent: Some(AgentFacts {
                    namespace: namespace.to_owned(),
                    lineage,
                }),
                steward: false,
                roles: Vec::new(),
            })
        }
        Some(("operator", operator)) => {
            let operator = name(operator)?;
            Ok(Principal {
                id: operator.clone(),
                name: operator,
                agent: None,
                steward: false,
                roles: Vec::new(),
            })
        }
        _ => Err("principal is agent/<label> or operator/<name>".to_owned()),
    }
}

/// The facts of a question that is written down, asked `now` unless it says when.
///
/// # Errors
/// What cannot be read in it.
pub fn case_facts(
    question: &PolicyQuestion,
    namespace: Option<&str>,
    now: Timestamp,
) -> Result<Facts, String> {
    let action = action(&question.action)?;
    Ok(Facts {
        principal: principal(question, namespace)?,
        action,
        thing: thing(&question.resource, namespace),
        circumstances: circumstances(&question.context, action, now),
    })
}

/// Answers every case, in their order.
///
/// # Errors
/// Which case cannot be read, and why.
pub fn run_cases(
    set: &PolicySet,
    cases: &PolicyCases,
    now: Timestamp,
) -> Result<Vec<PolicyCaseResult>, String> {
    let namespace = cases.namespace.as_deref();
    let answer = |case: &procura_types::wire::PolicyCase| {
        let facts = case_facts(&case.ask, namespace, now)
            .map_err(|error| format!("case {:?}: {error}", case.name))?;
        let say = say_of(&facts.principal, facts.action);
        let (outcome, by, reason) = match say {
            Say::Nothing => (Outcome::Permits, Vec::new(), "not_asked"),
            _ => {
                let verdict = set.decide(&facts);
                let by = verdict.policies.iter().map(ToString::to_string).collect();
                (verdict.outcome, by, word(verdict.outcome))
            }
        };
        let found = match lets(say, outcome) {
            true => PolicyAnswer::Allow,
            false => PolicyAnswer::Deny,
        };
        let by: Vec<String> = by;
        let expected = case.by.as_ref().is_none_or(|expected| {
            let mut expected = expected.clone();
            expected.sort();
            expected == by
        });
        Ok(PolicyCaseResult {
            name: case.name.clone(),
            passed: found == case.expect && expected,
            found,
            reason: reason.to_owned(),
            by,
        })
    };
    cases.cases.iter().map(answer).collect()
}
