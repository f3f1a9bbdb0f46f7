//! From what happens to rows that wait: for each notice, one in each channel that a route
//! leads to. The rows and how far it was looked commit together, so that nothing is
//! looked over and nothing comes twice.

use super::facts::Facts;
use super::lane::{Lane, Waits};
use super::rows::{MessageRow, POSITION, Place, ScopeRow, UNTOLD, WAITING};
use procura_directory::Snapshot;
use procura_record::Notice;
use procura_store::{Batch, Store};
use procura_types::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Messages that may wait in one channel; what is more is counted.
const MOST_WAITING: usize = 50_000;
/// As many wait when no more is taken in of what anybody can cause: the rest of the room
/// is for what happens otherwise.
const MOST_OF_ANYBODY: usize = 25_000;
/// Rows of one commit.
const MOST_ROWS: usize = 1000;

/// What is to be committed, and what is so then.
pub(super) struct Gathered {
    /// The messages that wait then.
    pub(super) waiting: Vec<(Place, u64, Waits)>,
    /// How much people are not told of one by one then.
    pub(super) untold: BTreeMap<Place, u64>,
    /// The next entry to look at then.
    pub(super) next: u64,
    /// Notices that were looked at.
    pub(super) looked_at: usize,
}

/// Where it looks and what it knows.
pub(super) struct Gathering<'a> {
    pub(super) store: &'a Store,
    pub(super) snapshot: &'a Snapshot,
    pub(super) scopes: &'a BTreeMap<String, ScopeRow>,
    /// Routes with the first entry that they are not told of yet.
    pub(super) floors: &'a BTreeMap<Place, u64>,
    pub(super) lanes: &'a BTreeMap<Place, Lane>,
    pub(super) now: Timestamp,
}

impl Gathering<'_> {
    /// Puts the rows of the first of these notices into the batch, and how far that is;
    /// `end` is the place after all of them.
    pub(super) fn put(&self, batch: &mut Batch, notices: &[Arc<Notice>], end: u64) -> Gathered {
        let mut gathered = Gathered {
            waiting: Vec::new(),
            untold: BTreeMap::new(),
            next: end,
            looked_at: notices.len(),
        };
        let mut more: BTreeMap<Place, usize> = BTreeMap::new();
        for (position, notice) in notices.iter().enumerate() {
            if gathered.waiting.len() >= MOST_ROWS {
                (gathered.next, gathered.looked_at) = (notice.index, position);
                break;
            }
            let Some(facts) = Facts::of(notice, self.snapshot, self.store) else {
                continue;
            };
            for place in self.places(notice, &facts) {
                let Some(lane) = self.lanes.get(&place) else {
                    continue;
                };
                let new = more.entry(place.clone()).or_default();
                let facts = if place.0.is_empty() {
                    facts.clone().everywhere()
                } else {
                    facts.clone()
                };
                let most = if facts.cause.is_inside() {
                    MOST_WAITING
                } else {
                    MOST_OF_ANYBODY
                };
                if lane.waiting.len() + *new >= most {
                    *gathered.untold.entry(place).or_insert(lane.untold) += 1;
                    continue;
                }
                *new += 1;
                let row = MessageRow {
                    facts,
                    tries: 0,
                    next: self.now,
                    failure: None,
                };
                let (scope, channel) = place.clone();
                WAITING.put(batch, &(scope, channel, notice.index), &row);
                gathered.waiting.push((place, notice.index, row.waits()));
            }
        }
        for (place, untold) in &gathered.untold {
            UNTOLD.put(batch, place, untold);
        }
        POSITION.put(batch, &(), &gathered.next);
        gathered
    }

    /// The channels that are told of it: each once, however many routes lead there.
    fn places(&self, notice: &Notice, facts: &Facts) -> BTreeSet<Place> {
        let namespace = notice.namespace.as_ref();
        let mut places = BTreeSet::new();
        for (scope, row) in self.scopes {
            let here = scope.is_empty() || namespace.is_some_and(|found| found.as_str() == scope);
            if !here {
                continue;
            }
            for (name, route) in &row.routes {
                let floor = self.floors.get(&(scope.clone(), name.clone()));
                let is_new = floor.is_none_or(|floor| notice.index >= *floor);
                if is_new && route.takes(notice.index, facts.event, namespace) {
                    places.insert((scope.clone(), route.channel.clone()));
                }
            }
        }
        places
    }
}
