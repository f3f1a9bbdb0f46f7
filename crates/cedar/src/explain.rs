//! What the policies that count would say to a question, and why.

use crate::case::{action, circumstances, say_of, thing};
use crate::decider::{CedarDecider, Loaded, lets};
use crate::error::PolicyError;
use crate::facts::{Facts, Principal};
use crate::observed::word;
use crate::vocabulary::Say;
use procura_directory::{PolicyInForce, Snapshot};
use procura_types::wire::{
    PolicyAnswer, PolicyExplained, PolicyExplanation, PolicyQuestion, PolicyState,
};
use procura_types::{Label, Namespace, Timestamp};

const fn answer(allows: bool) -> PolicyAnswer {
    match allows {
        true => PolicyAnswer::Allow,
        false => PolicyAnswer::Deny,
    }
}

/// Who is meant: `agent/<label>` of this namespace, `operator/<name>`.
fn principal(
    snapshot: &Snapshot,
    text: &str,
    namespace: Option<&Namespace>,
) -> Result<Principal, PolicyError> {
    let unknown = || {
        PolicyError::Question(format!(
            "there is no {text:?} here; who asks is agent/LABEL, of the namespace, or operator/NAME"
        ))
    };
    let (kind, name) = text.split_once('/').ok_or_else(unknown)?;
    let label: Label = name.parse().map_err(|_| unknown())?;
    let found = match (kind, namespace) {
        ("agent", Some(namespace)) => snapshot.agent_named(namespace, &label),
        ("operator", _) => snapshot.owner_named(&label),
        _ => None,
    };
    found
        .and_then(|actor| Principal::of(snapshot, &actor.id, namespace))
        .ok_or_else(unknown)
}

/// Explains a question about `namespace`, or about the installation: as roles and grants
/// would allow it, and with the values that it says itself.
///
/// # Errors
/// [`PolicyError::Question`] for what cannot be read or found.
pub fn explain(
    decider: &CedarDecider,
    snapshot: &Snapshot,
    namespace: Option<&Namespace>,
    question: &PolicyQuestion,
    now: Timestamp,
) -> Result<PolicyExplained, PolicyError> {
    let action = action(&question.action).map_err(PolicyError::Question)?;
    let facts = Facts {
        principal: principal(snapshot, &question.principal, namespace)?,
        action,
        thing: thing(&question.resource, namespace.map(Namespace::as_str)),
        circumstances: circumstances(&question.context, action, now),
    };
    let say = say_of(&facts.principal, action);
    let mut versions = Vec::new();
    let mut allowed = true;
    for of in std::iter::once(None).chain(namespace.map(Some)) {
        let Some(policies) = snapshot.policies(of) else {
            continue;
        };
        let mut tell = |counts: &PolicyInForce, state| {
            let told = explained(decider, (of, counts, state), &facts, say);
            let decides = state == PolicyState::Enforce;
            allowed &= !decides || told.answer == PolicyAnswer::Allow;
            versions.push(told);
        };
        if let Some(counts) = &policies.enforce {
            tell(counts, PolicyState::Enforce);
        }
        if let Some(counts) = &policies.observe {
            tell(counts, PolicyState::Observe);
        }
    }
    Ok(PolicyExplained {
        answer: answer(allowed),
        versions,
    })
}

fn explained(
    decider: &CedarDecider,
    (namespace, counts, state): (Option<&Namespace>, &PolicyInForce, PolicyState),
    facts: &Facts,
    say: Say,
) -> PolicyExplanation {
    let told = PolicyExplanation {
        namespace: namespace.map(ToString::to_string),
        version: counts.version().version,
        state,
        answer: PolicyAnswer::Allow,
        reason: "not_asked".to_owned(),
        by: Vec::new(),
        looked_at: 0,
        kept: true,
    };
    if say == Say::Nothing {
        return told;
    }
    let loaded = decider.loaded(namespace, counts);
    let Some(Loaded::Ready(set, _)) = loaded else {
        // Of what cannot be used agents are denied everything, and operators go on; of what
        // cannot be read now nobody does.
        return PolicyExplanation {
            answer: answer(loaded.is_some() && facts.principal.agent.is_none()),
            reason: "policies_unusable".to_owned(),
            ..told
        };
    };
    let (verdict, kept) = set.judge(facts);
    let looked_at = set.slice(facts).map_or(0, |slice| slice.size());
    PolicyExplanation {
        answer: answer(lets(say, verdict.outcome)),
        reason: word(verdict.outcome).to_owned(),
        by: verdict.policies.iter().map(ToString::to_string).collect(),
        looked_at: u64::try_from(looked_at).unwrap_or(u64::MAX),
        kept,
        ..told
    }
}
