//! Decisions that are kept: as long as the directory stands, the same caller asking the
//! same of the same thing under the same circumstances hears the same.

use crate::analysis::Uses;
use crate::verdict::Verdict;
use procura_policy::{Action, Concerned, Question, Resource};
use procura_types::wire::{GrantItem, RoleAssignment};
use procura_types::{ActorId, Delivery, ProjectName, TokenId};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hash as _, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 16;
/// Decisions in one shard. When it is full, all of it is decided anew.
const EACH: usize = 1_024;

/// Values of one decision: what asks for more is decided anew each time.
const ITEMS: usize = 32;

/// The class of circumstances: those that policies look at and that are a part of the
/// question.
#[derive(PartialEq, Eq)]
struct Class {
    source: Option<IpAddr>,
    profile: &'static str,
    lent: Vec<RoleAssignment>,
    need: Option<(ProjectName, Delivery, Vec<GrantItem>)>,
    token: Option<(TokenId, Vec<GrantItem>)>,
}

struct Kept {
    seq: u64,
    actor: ActorId,
    action: Action,
    resource: Resource,
    class: Class,
    verdict: Arc<Verdict>,
}

/// The decisions of one set.
pub(crate) struct Cache {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<u64, Kept>>>,
}

/// Writes text into a hash, so that no copy of it is made.
struct Hashing<'a, H>(&'a mut H);

impl<H: Hasher> fmt::Write for Hashing<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Where a decision is kept.
#[derive(Clone, Copy)]
pub(crate) struct Place(u64);

impl Default for Cache {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

/// The same parts of two questions about values.
fn same(kept: &Class, concerned: &Concerned<'_>) -> bool {
    let need = match (&kept.need, &concerned.need) {
        (None, None) => true,
        (Some((project, delivery, items)), Some(need)) => {
            project == need.project && *delivery == need.delivery && items == need.items
        }
        _ => false,
    };
    let token = match (&kept.token, &concerned.token) {
        (None, None) => true,
        (Some((token, items)), Some(need)) => token == need.token && items == need.items,
        _ => false,
    };
    need && token
}

/// The source, where policies look at it: without that all sources are one class.
fn source(question: &Question<'_>, uses: Uses) -> Option<IpAddr> {
    question.caller.peer().filter(|_| uses.has(Uses::SOURCE))
}

impl Cache {
    fn shard(&self, place: Place) -> Option<&Mutex<HashMap<u64, Kept>>> {
        let count = u64::try_from(self.shards.len()).ok()?;
        let at = usize::try_from(place.0.checked_rem(count)?).ok()?;
        self.shards.get(at)
    }

    /// Where the decision of a question is kept, as policies see it that look at `uses`.
    pub(crate) fn place(&self, question: &Question<'_>, uses: Uses) -> Place {
        let mut hasher = self.hasher.build_hasher();
        question.caller.actor().hash(&mut hasher);
        question.action.hash(&mut hasher);
        // Writing into a hash cannot fail.
        let _ = write!(Hashing(&mut hasher), "{}", question.resource);
        question.resource.namespace().hash(&mut hasher);
        source(question, uses).hash(&mut hasher);
        let needs = question.concerned.need.map(|need| need.items);
        let shows = question.concerned.token.map(|need| need.items);
        for items in [needs, shows].into_iter().flatten() {
            for item in items {
                hasher.write(item.name.as_str().as_bytes());
                hasher.write(item.path.as_str().as_bytes());
            }
        }
        if let Some(need) = question.concerned.need {
            hasher.write(need.project.as_str().as_bytes());
        }
        Place(hasher.finish())
    }

    /// The decision, if it is kept.
    pub(crate) fn get(
        &self,
        place: Place,
        seq: u64,
        question: &Question<'_>,
        uses: Uses,
    ) -> Option<Arc<Verdict>> {
        let shard = self.shard(place)?;
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = shard.get(&place.0)?;
        let is_same = kept.seq == seq
            && kept.actor == *question.caller.actor()
            && kept.action == question.action
            && kept.resource == *question.resource
            && kept.class.source == source(question, uses)
            && kept.class.profile == question.caller.profile().as_str()
            && kept.class.lent == question.caller.lent()
            && same(&kept.class, &question.concerned);
        is_same.then(|| Arc::clone(&kept.verdict))
    }

    /// Keeps a decision.
    pub(crate) fn put(
        &self,
        place: Place,
        seq: u64,
        question: &Question<'_>,
        uses: Uses,
        verdict: &Arc<Verdict>,
    ) {
        let Some(shard) = self.shard(place) else {
            return;
        };
        let concerned = &question.concerned;
        let needed = concerned.need.map_or(0, |need| need.items.len());
        if needed.max(concerned.token.map_or(0, |need| need.items.len())) > ITEMS {
            return;
        }
        let kept = Kept {
            seq,
            actor: *question.caller.actor(),
            action: question.action,
            resource: question.resource.clone(),
            class: Class {
                source: source(question, uses),
                profile: question.caller.profile().as_str(),
                lent: question.caller.lent().to_vec(),
                need: concerned
                    .need
                    .map(|need| (need.project.clone(), need.delivery, need.items.to_vec())),
                token: concerned
                    .token
                    .map(|need| (*need.token, need.items.to_vec())),
            },
            verdict: Arc::clone(verdict),
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= EACH {
            shard.clear();
        }
        shard.insert(place.0, kept);
    }
}
