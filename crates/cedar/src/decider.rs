//! The decider of a server: roles and grants first, then the policies that are in force.

use crate::cache::Cache;
use crate::facts::Facts;
use crate::hours::Hours;
use crate::observed::Observed;
use crate::set::PolicySet;
use crate::verdict::{Outcome, Verdict, names};
use crate::versions::{label, text};
use crate::vocabulary::{Say, for_agents, for_operators};
use procura_crypto::sha256;
use procura_directory::{ActorKind, Policies, PolicyInForce, Snapshot};
use procura_policy::{
    Allowed, Claim, Decider, Denied, DenyReason, PolicyNames, PolicyRefusal, Question, RoleDecider,
};
use procura_store::{Store, StoreError};
use procura_types::wire::PolicyReport;
use procura_types::{Namespace, Scope};
use std::sync::{Arc, Mutex, PoisonError};

/// Decides by roles and grants, and what they allow once more by the policies in force: of
/// the installation, and of the namespace that it is about. Each of the two has to allow
/// it for itself.
pub struct CedarDecider {
    store: Store,
    hours: Hours,
    observed: Observed,
    /// Held while a text is read and checked, which many would begin at the same moment.
    loading: Mutex<()>,
}

/// What was made of a version that counts.
pub(crate) enum Loaded {
    Ready(Box<PolicySet>, Cache),
    /// It cannot be used, and why: nothing is allowed by it.
    Unusable(String),
}

/// Policies that count somewhere, which cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Where.
    pub scope: Scope,
    /// Which version.
    pub version: u32,
    /// Why.
    pub why: String,
}

/// What the policies of all scopes say together.
type Weighed = Result<Option<PolicyNames>, (PolicyRefusal, Option<PolicyNames>)>;

/// The policies that a question is about, with where they are from.
fn counting<'a>(
    snapshot: &'a Snapshot,
    namespace: Option<&'a Namespace>,
) -> impl Iterator<Item = (Option<&'a Namespace>, &'a Policies)> {
    let own = namespace.map(Some);
    std::iter::once(None)
        .chain(own)
        .filter_map(|of| Some((of, snapshot.policies(of)?)))
}

fn scope_of(namespace: Option<&Namespace>) -> Scope {
    namespace
        .cloned()
        .map_or(Scope::Installation, Scope::Namespace)
}

/// Whether a verdict lets somebody do what policies have this much to say about.
pub(crate) const fn lets(say: Say, outcome: Outcome) -> bool {
    match say {
        Say::Permit => matches!(outcome, Outcome::Permits),
        Say::Forbid => !matches!(outcome, Outcome::Forbids),
        Say::Nothing => true,
    }
}

/// How much policies have to say to a question, and whether an agent asks it.
fn say(snapshot: &Snapshot, question: &Question<'_>) -> (Say, bool) {
    let actor = snapshot.actor(question.caller.actor());
    match actor.map(|actor| &actor.kind) {
        Some(ActorKind::Agent { .. }) => (for_agents(question.action), true),
        Some(ActorKind::Owner { .. }) => (for_operators(question.action), false),
        None => (Say::Nothing, false),
    }
}

impl CedarDecider {
    /// A decider over an open store, in which the texts are.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            hours: Hours::default(),
            observed: Observed::default(),
            loading: Mutex::default(),
        }
    }

    fn load(
        &self,
        namespace: Option<&Namespace>,
        counts: &PolicyInForce,
    ) -> Result<Loaded, StoreError> {
        let version = counts.version();
        let label = label(namespace, version.version);
        let why = match text(&self.store, namespace, version.version)? {
            None => "its text is not there".to_owned(),
            Some(text) if sha256(text.as_bytes()).as_slice() != version.digest => {
                "its text is not the one that was put into force".to_owned()
            }
            Some(text) => match PolicySet::parse(&label, &text) {
                Ok(set) => return Ok(Loaded::Ready(Box::new(set), Cache::default())),
                Err(flaws) => {
                    let first = flaws.first().map(ToString::to_string);
                    first.unwrap_or_else(|| "it cannot be read".to_owned())
                }
            },
        };
        tracing::error!(
            policies = %label, %why,
            "policies that are in force cannot be used: what they would decide is denied"
        );
        Ok(Loaded::Unusable(why))
    }

    /// What is made of a version, made once for as long as it counts; none while the store
    /// cannot say.
    pub(crate) fn loaded<'a>(
        &self,
        namespace: Option<&Namespace>,
        counts: &'a PolicyInForce,
    ) -> Option<&'a Loaded> {
        if let Some(made) = counts.made() {
            return made.downcast_ref();
        }
        let _one = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = counts.made() {
            return made.downcast_ref();
        }
        let loaded = match self.load(namespace, counts) {
            Ok(loaded) => loaded,
            Err(StoreError::Corrupt { .. } | StoreError::Shape { .. }) => {
                Loaded::Unusable("its text is damaged".to_owned())
            }
            Err(error) => {
                // Not for ever: the next decision asks the store again.
                tracing::warn!(%error, "the text of policies cannot be read now");
                return None;
            }
        };
        counts.keep(Arc::new(loaded)).downcast_ref()
    }

    /// Reads all policies that count, and tells which of them cannot be used.
    #[must_use]
    pub fn unusable(&self, snapshot: &Snapshot) -> Vec<Unusable> {
        let mut found = Vec::new();
        for (scope, policies) in snapshot.all_policies() {
            let namespace = match &scope {
                Scope::Installation => None,
                Scope::Namespace(namespace) => Some(namespace),
            };
            for counts in [&policies.enforce, &policies.observe].into_iter().flatten() {
                if let Some(Loaded::Unusable(why)) = self.loaded(namespace, counts) {
                    found.push(Unusable {
                        scope: scope.clone(),
                        version: counts.version().version,
                        why: why.clone(),
                    });
                }
            }
        }
        found
    }

    /// What enforcing what is observed in a scope would change, as far as it was seen here.
    #[must_use]
    pub fn report(&self, snapshot: &Snapshot, namespace: Option<&Namespace>) -> PolicyReport {
        let observed = snapshot
            .policies(namespace)
            .and_then(|policies| policies.observe.as_ref())
            .map(|observed| observed.version().version);
        self.observed.report(&scope_of(namespace), observed)
    }

    /// What one set says: kept from before, or decided anew.
    fn verdict(
        set: &PolicySet,
        cache: &Cache,
        snapshot: &Snapshot,
        question: &Question<'_>,
        facts: &mut Option<Facts>,
        count: u64,
    ) -> Arc<Verdict> {
        let (seq, uses) = (snapshot.seq(), set.uses());
        let place = cache.place(question, uses);
        if let Some(kept) = cache.get(place, seq, question, uses) {
            return kept;
        }
        if facts.is_none() {
            *facts = Facts::of(snapshot, question, count);
        }
        let Some(facts) = facts.as_ref() else {
            // Whoever is not in the directory is permitted nothing.
            return Arc::new(Verdict {
                outcome: Outcome::NonePermits,
                policies: Vec::new(),
            });
        };
        let (verdict, may_be_kept) = set.judge(facts);
        let verdict = Arc::new(verdict);
        if may_be_kept {
            cache.put(place, seq, question, uses, &verdict);
        }
        verdict
    }

    /// What the policies in force say to what roles and grants allow.
    fn weigh(
        &self,
        snapshot: &Snapshot,
        question: &Question<'_>,
        (say, is_agent): (Say, bool),
        count: u64,
        observes: bool,
    ) -> Weighed {
        let mut facts = None;
        let mut refused: Option<(PolicyRefusal, Option<PolicyNames>)> = None;
        let mut permitted: Vec<(String, Arc<Verdict>)> = Vec::new();
        for (namespace, policies) in counting(snapshot, question.resource.namespace()) {
            let mut ask = |loaded: Option<&Loaded>| match loaded {
                Some(Loaded::Ready(set, cache)) => {
                    let verdict = Self::verdict(set, cache, snapshot, question, &mut facts, count);
                    Some((set.label().to_owned(), verdict))
                }
                _ => None,
            };
            let mut was = true;
            if let Some(counts) = &policies.enforce {
                let loaded = self.loaded(namespace, counts);
                let is_broken = matches!(loaded, Some(Loaded::Unusable(_)));
                match ask(loaded) {
                    Some((label, verdict)) if lets(say, verdict.outcome) => {
                        permitted.push((label, verdict));
                    }
                    Some((label, verdict)) => {
                        was = false;
                        let why = match verdict.outcome {
                            Outcome::Forbids => PolicyRefusal::Forbids,
                            _ => PolicyRefusal::NonePermits,
                        };
                        let by = names([(label.as_str(), verdict.policies.as_slice())]);
                        refused.get_or_insert((why, by));
                    }
                    // Operators go on: what is out of order has to be put right by them. What
                    // cannot be read now is in order, and may forbid it.
                    None if is_broken && !is_agent => {}
                    None => {
                        was = false;
                        refused.get_or_insert((PolicyRefusal::Unusable, None));
                    }
                }
            }
            if let Some(counts) = policies.observe.as_ref().filter(|_| observes)
                && let Some((_, verdict)) = ask(self.loaded(namespace, counts))
            {
                let (scope, would) = (scope_of(namespace), lets(say, verdict.outcome));
                let version = counts.version().version;
                let seen = (was, would, verdict.as_ref());
                self.observed.saw(&scope, version, snapshot, question, seen);
            }
        }
        match refused {
            Some(refused) => Err(refused),
            None => Ok(names(permitted.iter().map(|(label, verdict)| {
                (label.as_str(), verdict.policies.as_slice())
            }))),
        }
    }

    /// Whether any policies that are about a question look at how often it was done.
    fn counts_uses(&self, snapshot: &Snapshot, question: &Question<'_>) -> bool {
        let mut facts = None;
        counting(snapshot, question.resource.namespace()).any(|(namespace, policies)| {
            [&policies.enforce, &policies.observe]
                .into_iter()
                .flatten()
                .any(|counts| match self.loaded(namespace, counts) {
                    Some(Loaded::Ready(set, _)) if set.counts_uses() => {
                        if facts.is_none() {
                            facts = Facts::of(snapshot, question, 0);
                        }
                        let slice = facts.as_ref().and_then(|facts| set.slice(facts));
                        slice.is_none_or(|slice| slice.counts_uses())
                    }
                    _ => false,
                })
        })
    }
}

fn denied((refusal, policies): (PolicyRefusal, Option<PolicyNames>)) -> Denied {
    Denied {
        reason: DenyReason::Policy(refusal),
        // Roles and grants would have let them know of it.
        visible: true,
        policies,
    }
}

impl Decider for CedarDecider {
    fn decide(&self, snapshot: &Snapshot, question: &Question<'_>) -> Result<Allowed, Denied> {
        let allowed = RoleDecider.decide(snapshot, question)?;
        if !snapshot.has_policies() {
            return Ok(allowed);
        }
        let (say, is_agent) = say(snapshot, question);
        if say == Say::Nothing {
            return Ok(allowed);
        }
        let count = match is_agent && self.counts_uses(snapshot, question) {
            true => {
                let actor = question.caller.actor();
                self.hours.count(actor, question.action, question.now)
            }
            false => 0,
        };
        let policies = self
            .weigh(snapshot, question, (say, is_agent), count, true)
            .map_err(denied)?;
        Ok(Allowed {
            policies,
            ..allowed
        })
    }

    fn claim(&self, snapshot: &Snapshot, question: &Question<'_>) -> Result<Claim, Denied> {
        if !snapshot.has_policies() {
            return Ok(Claim::default());
        }
        let (say, is_agent) = say(snapshot, question);
        if say == Say::Nothing || !is_agent || !self.counts_uses(snapshot, question) {
            return Ok(Claim::default());
        }
        let (actor, now) = (question.caller.actor(), question.now);
        let claimed = self.hours.claim(actor, question.action, now, |count| {
            self.weigh(snapshot, question, (say, is_agent), count, false)
                .map(drop)
                .map_err(denied)
        })?;
        Ok(Claim::of(Box::new(claimed)))
    }
}
