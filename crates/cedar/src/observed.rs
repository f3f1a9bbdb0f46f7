//! What observed policies would have decided otherwise: lines with owners, so many and no
//! more, in the process that saw them.

use crate::verdict::{Outcome, Verdict};
use procura_directory::Snapshot;
use procura_policy::Question;
use procura_types::wire::{PolicyObservedLine, PolicyReport, PolicyWould};
use procura_types::{ActorId, Scope, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines of one scope.
const LINES: usize = 1_000;

/// Policies that one line names.
const NAMED: usize = 20;

type Key = (PolicyWould, ActorId, &'static str, String);

struct Line {
    actor: String,
    owner: String,
    outcome: Outcome,
    by: Vec<Arc<str>>,
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

/// The first policies that a verdict is by.
fn first(verdict: &Verdict) -> Vec<Arc<str>> {
    verdict.policies.iter().take(NAMED).cloned().collect()
}

/// What was seen of one version.
struct Book {
    version: u32,
    since: Timestamp,
    decisions: u64,
    lines: BTreeMap<Key, Line>,
    left_out: u64,
}

impl Book {
    const fn new(version: u32, since: Timestamp) -> Self {
        Self {
            version,
            since,
            decisions: 0,
            lines: BTreeMap::new(),
            left_out: 0,
        }
    }

    fn write(&mut self, key: Key, snapshot: &Snapshot, verdict: &Verdict, now: Timestamp) {
        if let Some(line) = self.lines.get_mut(&key) {
            line.count = line.count.saturating_add(1);
            line.last = line.last.max(now);
            line.outcome = verdict.outcome;
            line.by = first(verdict);
            return;
        }
        if self.lines.len() >= LINES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let actor = snapshot.actor(&key.1);
        let owner = actor.and_then(|actor| snapshot.actor(&actor.owner));
        let line = Line {
            actor: snapshot.lineage(&key.1),
            owner: owner.map_or_else(String::new, |owner| owner.label().to_string()),
            outcome: verdict.outcome,
            by: first(verdict),
            count: 1,
            first: now,
            last: now,
        };
        self.lines.insert(key, line);
    }
}

/// The word of an outcome, as it would stand in the ledger.
pub(crate) const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Permits => "permitted",
        Outcome::Forbids => "policy_forbids",
        Outcome::NonePermits => "no_policy_permits",
    }
}

/// What was seen, by scope.
#[derive(Default)]
pub(crate) struct Observed {
    books: Mutex<BTreeMap<Scope, Book>>,
}

impl Observed {
    /// A decision that a version was computed beside: whether it was allowed by what is in
    /// force, and would be by the version.
    pub(crate) fn saw(
        &self,
        scope: &Scope,
        version: u32,
        snapshot: &Snapshot,
        question: &Question<'_>,
        (was, would, verdict): (bool, bool, &Verdict),
    ) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if books.get(scope).is_none_or(|book| book.version != version) {
            books.insert(scope.clone(), Book::new(version, question.now));
        }
        let Some(book) = books.get_mut(scope) else {
            return;
        };
        book.decisions = book.decisions.saturating_add(1);
        let would = match (was, would) {
            (true, false) => PolicyWould::WouldDeny,
            (false, true) => PolicyWould::WouldAllow,
            _ => return,
        };
        let key = (
            would,
            *question.caller.actor(),
            question.action.as_str(),
            question.resource.to_string(),
        );
        book.write(key, snapshot, verdict, question.now);
    }

    /// What was seen of this version, the most frequent first.
    pub(crate) fn report(&self, scope: &Scope, version: Option<u32>) -> PolicyReport {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let book = books
            .get(scope)
            .filter(|book| version == Some(book.version));
        let mut lines: Vec<PolicyObservedLine> = book
            .into_iter()
            .flat_map(|book| &book.lines)
            .map(
                |((would, actor, action, resource), line)| PolicyObservedLine {
                    would: *would,
                    actor: line.actor.clone(),
                    actor_id: *actor,
                    owner: line.owner.clone(),
                    action: (*action).to_owned(),
                    resource: resource.clone(),
                    reason: word(line.outcome).to_owned(),
                    by: line.by.iter().map(ToString::to_string).collect(),
                    count: line.count,
                    first: line.first,
                    last: line.last,
                },
            )
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.count));
        PolicyReport {
            version,
            since: book.map(|book| book.since),
            decisions: book.map_or(0, |book| book.decisions),
            lines,
            left_out: book.map_or(0, |book| book.left_out),
        }
    }
}
