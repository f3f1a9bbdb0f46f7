//! A text of policies that parsed and type-checked, and what it says.

use crate::analysis::Uses;
use crate::error::Flaw;
use crate::facts::Facts;
use crate::request::{context, principal_entity, principal_subject, thing_entity, thing_subject};
use crate::schema::{Names, validator};
use crate::slice::{Index, Slice, Subject};
use crate::stack::apart;
use crate::statement::{Statement, deceives, named, statements};
use crate::verdict::{Outcome, Verdict};
use crate::weight::{STEPS, Weight};
use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Effect, Entities, EntityUid, Policy, PolicyId,
    Request, ValidationMode,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest text of policies.
pub const MAX_TEXT: usize = 512 * 1024;

/// The most policies of one text.
pub const MAX_POLICIES: usize = 2_000;

/// Policies in slices that are kept put together. There are as many slices as there are
/// kinds of callers and things that policies tell apart; when there are more, all are made
/// anew.
const SLICED: usize = 50_000;

/// Expressions in expressions that are evaluated where they are asked about; what goes
/// deeper gets a stack of its own.
const SHALLOW: usize = 16;

/// How far a policy may look: at attributes of caller, thing and circumstances, and no
/// further, since nothing else is there when it is decided.
const LEVEL: u32 = 1;

/// Policies that are in force together.
pub struct PolicySet {
    /// What stands before the names of its policies in the record: `shop@3`.
    label: Arc<str>,
    policies: Vec<Policy>,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
    uses: Vec<Uses>,
    weights: Vec<Weight>,
    index: Index,
    whole: Arc<Slice>,
    slices: Mutex<Slices>,
    warnings: Vec<Flaw>,
}

/// Slices by the numbers of their policies, and how many policies are in all of them.
#[derive(Default)]
struct Slices {
    known: HashMap<Box<[u32]>, Arc<Slice>>,
    policies: usize,
}

/// What a policy looks at and what it costs, or why it must not be decided by.
fn measured(policy: &Policy) -> Result<(Uses, Weight), &'static str> {
    let json = policy.to_json();
    let json = json.map_err(|_| "the policy cannot be measured")?;
    Ok((Uses::of_policy(&json), Weight::of_policy(&json)?))
}

/// The values that are asked for.
fn values(facts: &Facts) -> &[(String, String)] {
    let asks = facts.circumstances.asks.as_ref();
    asks.map_or(&[][..], |asks| &asks.items)
}

/// Whether to decide what is asked by these policies is more work than a decision may be.
fn is_too_much(facts: &Facts, slice: &Slice) -> bool {
    let items = values(facts);
    let evaluations = match slice.uses.has(Uses::ITEM) {
        true => items.len(),
        false => 1,
    };
    let in_sets = match slice.uses.has(Uses::ITEMS) {
        true => items.len(),
        false => 0,
    };
    let agent = facts.principal.agent.as_ref();
    let lineage: usize = agent.map_or(0, |agent| {
        agent.lineage.iter().map(|name| name.len() + 2).sum()
    });
    let asked = items
        .iter()
        .map(|(name, path)| name.len().max(path.len()))
        .max();
    let longest = lineage
        .max(asked.unwrap_or(0))
        .max(facts.principal.name.len())
        .max(facts.thing.name.len());
    slice.weight.is_too_much(evaluations, longest, in_sets)
}

impl PolicySet {
    /// Reads a text, strictly: it parses, every policy type-checks against the schema, and
    /// no two have the same name. A policy is named by its annotation `@id("…")`, and
    /// `policyN` by its place, from 0, without one.
    ///
    /// # Errors
    /// All that is wrong with it; nothing of it may take effect then.
    pub fn parse(label: &str, text: &str) -> Result<Self, Vec<Flaw>> {
        if text.len() > MAX_TEXT {
            let most = format!("the text is longer than {MAX_TEXT} bytes");
            return Err(vec![Flaw::of_text(most)]);
        }
        if let Some(line) = deceives(text) {
            return Err(vec![Flaw {
                policy: None,
                line: Some(line),
                message: "a character steers, hides or reverses what is shown".to_owned(),
            }]);
        }
        let found = statements(text);
        if found.len() > MAX_POLICIES {
            let most = format!("there are more than {MAX_POLICIES} policies");
            return Err(vec![Flaw::of_text(most)]);
        }
        if let Some(flaw) = found.iter().find_map(Statement::flaw) {
            return Err(vec![flaw]);
        }
        apart(|| Self::parsed(label, text, &found)).unwrap_or_else(|| {
            let failed = "the text could not be checked";
            Err(vec![Flaw::of_text(failed)])
        })
    }

    fn parsed(label: &str, text: &str, found: &[Statement<'_>]) -> Result<Self, Vec<Flaw>> {
        let (mut flaws, mut policies, mut lines) = (Vec::new(), Vec::new(), HashMap::new());
        for (place, statement) in found.iter().enumerate() {
            match named(place, statement) {
                Ok((name, _)) if lines.contains_key(&name) => flaws.push(Flaw {
                    line: Some(statement.line),
                    message: "another policy has the same name".to_owned(),
                    policy: Some(name.to_string()),
                }),
                Ok((name, policy)) => {
                    lines.insert(Arc::clone(&name), statement.line);
                    match measured(&policy) {
                        Ok((uses, weight)) => policies.push((name, policy, uses, weight)),
                        Err(message) => flaws.push(Flaw {
                            policy: Some(name.to_string()),
                            line: Some(statement.line),
                            message: message.to_owned(),
                        }),
                    }
                }
                Err(flaw) => flaws.push(flaw),
            }
        }
        let whole: Weight = policies.iter().map(|(_, _, _, weight)| *weight).collect();
        if flaws.is_empty() && whole.steps > STEPS {
            flaws.push(Flaw::of_text(format!(
                "to decide by all policies takes more than {STEPS} steps"
            )));
        }
        if !flaws.is_empty() {
            return Err(flaws);
        }
        // What was taken apart here is what Cedar itself finds, or nothing counts.
        let count = text
            .parse::<cedar_policy::PolicySet>()
            .map(|set| set.policies().count() + set.templates().count());
        if count.ok() != Some(policies.len()) {
            return Err(vec![Flaw::of_text(
                "the text cannot be told apart into policies",
            )]);
        }
        Self::checked(label, policies, &lines)
    }

    fn checked(
        label: &str,
        measured: Vec<(Arc<str>, Policy, Uses, Weight)>,
        lines: &HashMap<Arc<str>, usize>,
    ) -> Result<Self, Vec<Flaw>> {
        let (mut names, mut policies) = (Vec::new(), Vec::new());
        let (mut uses, mut weights) = (Vec::new(), Vec::new());
        for (name, policy, used, weight) in measured {
            names.push(name);
            policies.push(policy);
            uses.push(used);
            weights.push(weight);
        }
        let whole = cedar_policy::PolicySet::from_policies(policies.iter().cloned())
            .map_err(|error| vec![Flaw::of_text(error.to_string())])?;
        let Some(validator) = validator() else {
            return Err(vec![Flaw::of_text("the schema of policies cannot be read")]);
        };
        let flaw = |policy: &PolicyId, message: String| {
            let policy: &str = policy.as_ref();
            Flaw {
                line: lines.get(policy).copied(),
                policy: Some(policy.to_owned()),
                message,
            }
        };
        let checked = validator.validate_with_level(&whole, ValidationMode::Strict, LEVEL);
        let mut flaws: Vec<Flaw> = checked
            .validation_errors()
            .map(|error| flaw(error.policy_id(), error.to_string()))
            .collect();
        if !flaws.is_empty() {
            flaws.sort_by_key(|flaw| flaw.line);
            flaws.dedup();
            return Err(flaws);
        }
        let mut warnings: Vec<Flaw> = checked
            .validation_warnings()
            .map(|warning| flaw(warning.policy_id(), warning.to_string()))
            .collect();
        if !policies.iter().any(|one| one.effect() == Effect::Permit) {
            warnings.push(Flaw::of_text(
                "nothing is permitted: in force, it denies agents everything; procura policy template prints permits to begin with",
            ));
        }
        let mut index = Index::default();
        policies.iter().for_each(|policy| index.add(policy));
        let numbers = names.iter().cloned().zip(0..).collect();
        let whole = Slice {
            policies: whole,
            uses: uses.iter().copied().collect(),
            weight: weights.iter().copied().collect(),
            size: policies.len(),
        };
        Ok(Self {
            label: label.into(),
            numbers,
            names,
            index,
            whole: Arc::new(whole),
            slices: Mutex::default(),
            policies,
            uses,
            weights,
            warnings,
        })
    }

    /// What stands before the names of its policies in the record.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What is doubtful about it, such as a policy that can never apply.
    #[must_use]
    pub fn warnings(&self) -> &[Flaw] {
        &self.warnings
    }

    /// Each policy by name, with its text.
    pub fn policies(&self) -> impl Iterator<Item = (&str, String)> {
        let texts = self.policies.iter().map(ToString::to_string);
        self.names.iter().map(|name| &**name).zip(texts)
    }

    /// How many policies there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.policies.len()
    }

    /// Whether any of its policies looks at how often something was done.
    #[must_use]
    pub fn counts_uses(&self) -> bool {
        self.whole.counts_uses()
    }

    /// What of the circumstances any of its policies looks at.
    pub(crate) fn uses(&self) -> Uses {
        self.whole.uses
    }

    /// The policies that can have a say in what is asked. Put together once for all who
    /// are asked about by the same policies.
    #[must_use]
    pub fn slice(&self, facts: &Facts) -> Option<Arc<Slice>> {
        let names = Names::get()?;
        let principal = principal_subject(names, &facts.principal)?;
        let thing = thing_subject(names, &facts.thing)?;
        let action = names.action(facts.action)?;
        Some(self.sliced(&principal, action, &thing))
    }

    fn sliced(&self, principal: &Subject, action: &EntityUid, thing: &Subject) -> Arc<Slice> {
        let numbers = self.index.candidates(principal, action, thing);
        if numbers.len() == self.policies.len() {
            return Arc::clone(&self.whole);
        }
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slice) = slices.known.get(numbers.as_slice()) {
            return Arc::clone(slice);
        }
        let places = || {
            numbers
                .iter()
                .filter_map(|number| usize::try_from(*number).ok())
        };
        let members = places()
            .filter_map(|place| self.policies.get(place))
            .cloned();
        // Names are told apart in the whole, so they are in a part of it.
        let Ok(policies) = cedar_policy::PolicySet::from_policies(members) else {
            return Arc::clone(&self.whole);
        };
        let slice = Arc::new(Slice {
            policies,
            uses: places()
                .filter_map(|place| self.uses.get(place))
                .copied()
                .collect(),
            weight: places()
                .filter_map(|place| self.weights.get(place))
                .copied()
                .collect(),
            size: numbers.len(),
        });
        if slices.policies >= SLICED {
            *slices = Slices::default();
        }
        // An empty one takes room as well.
        slices.policies += slice.size.max(10);
        slices.known.insert(numbers.into(), Arc::clone(&slice));
        slice
    }

    /// What the set says, by the policies that can have a say.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Verdict {
        self.judge(facts).0
    }

    /// What the set says when all policies are looked at: the same, at a higher price.
    #[must_use]
    pub fn decide_whole(&self, facts: &Facts) -> Verdict {
        self.judged(facts, Some(&self.whole)).0
    }

    /// What the set says, and whether that may be kept.
    pub(crate) fn judge(&self, facts: &Facts) -> (Verdict, bool) {
        self.judged(facts, None)
    }

    fn judged(&self, facts: &Facts, by: Option<&Arc<Slice>>) -> (Verdict, bool) {
        self.evaluated(facts, by).unwrap_or_else(|| {
            // What cannot be put into words of Cedar is nothing that was permitted.
            let nothing = Verdict {
                outcome: Outcome::Forbids,
                policies: Vec::new(),
            };
            (nothing, false)
        })
    }

    fn evaluated(&self, facts: &Facts, by: Option<&Arc<Slice>>) -> Option<(Verdict, bool)> {
        let names = Names::get()?;
        let principal = principal_subject(names, &facts.principal)?;
        let thing = thing_subject(names, &facts.thing)?;
        let action = names.action(facts.action)?;
        let slice = match by {
            Some(slice) => Arc::clone(slice),
            None => self.sliced(&principal, action, &thing),
        };
        let may_be_kept = slice.may_be_kept();
        if slice.size == 0 {
            let nothing = Verdict {
                outcome: Outcome::NonePermits,
                policies: Vec::new(),
            };
            return Some((nothing, may_be_kept));
        }
        if is_too_much(facts, &slice) {
            return None;
        }
        let say = || self.said(facts, &slice, (principal, action, thing));
        let verdict = match slice.weight.deep > SHALLOW {
            true => apart(say)?,
            false => say(),
        };
        Some((verdict?, may_be_kept))
    }

    /// What the policies of a slice say: to all values together, or to each in turn.
    fn said(
        &self,
        facts: &Facts,
        slice: &Slice,
        (principal, action, thing): (Subject, &EntityUid, Subject),
    ) -> Option<Verdict> {
        let (caller, on) = (principal.uid.clone(), thing.uid.clone());
        let entities = [
            principal_entity(principal, &facts.principal)?,
            thing_entity(thing, &facts.thing)?,
        ];
        let entities = Entities::from_entities(entities, None).ok()?;
        let ask = |item: Option<&(String, String)>| {
            let context = context(&facts.circumstances, facts.action, slice.uses, item)?;
            let (caller, action, on) = (caller.clone(), action.clone(), on.clone());
            let request = Request::new(caller, action, on, context, None).ok()?;
            Some(self.told(&request, slice, &entities))
        };
        let mut items = values(facts).iter();
        let first = ask(items.next())?;
        if !slice.uses.has(Uses::ITEM) {
            return Some(first);
        }
        items.try_fold(first, |so_far, item| Some(so_far.and(ask(Some(item))?)))
    }

    fn told(&self, request: &Request, slice: &Slice, entities: &Entities) -> Verdict {
        let response = Authorizer::new().is_authorized(request, &slice.policies, entities);
        let by = response.diagnostics();
        let is_forbid = |number: usize| {
            self.policies
                .get(number)
                .is_none_or(|policy| policy.effect() == Effect::Forbid)
        };
        let number = |id: &PolicyId| {
            let id: &str = id.as_ref();
            self.numbers.get(id).copied()
        };
        // A policy that fails permits nothing; one that would forbid forbids.
        let mut failed: Vec<usize> = by
            .errors()
            .filter_map(|AuthorizationError::PolicyEvaluationError(error)| {
                number(error.policy_id())
            })
            .filter(|number| is_forbid(*number))
            .collect();
        let outcome = match response.decision() {
            Decision::Allow if failed.is_empty() => Outcome::Permits,
            Decision::Deny if failed.is_empty() && by.reason().next().is_none() => {
                Outcome::NonePermits
            }
            _ => Outcome::Forbids,
        };
        let reasons = by.reason().filter_map(number);
        failed.extend(reasons.filter(|number| {
            outcome == Outcome::Permits || (outcome == Outcome::Forbids && is_forbid(*number))
        }));
        let mut policies: Vec<Arc<str>> = failed
            .iter()
            .filter_map(|number| self.names.get(*number))
            .cloned()
            .collect();
        policies.sort_unstable();
        policies.dedup();
        Verdict { outcome, policies }
    }
}
