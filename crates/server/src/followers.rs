//! Which gates follow which service. Two gates of one service that share no memory of
//! used proofs would each accept what the other has accepted: there is one at a time,
//! or several that name the same memory. This is not stored: after a restart of the
//! server whoever asks first is it.

use procura_types::{Duration, GuardGeneration, InstanceId, Label, Namespace};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How long a gate that is not heard of keeps its place.
pub(crate) const KEPT: Duration = Duration::from_secs(60);

/// How long a gate may name the memory of before, after another of those that share it
/// has named a later one: longer than a question waits for news.
const LAG: Duration = Duration::from_secs(15);

/// The gates that follow.
#[derive(Default)]
pub(crate) struct Followers(Mutex<HashMap<(Namespace, Label), Following>>);

/// The gates of one service.
#[derive(Default)]
struct Following {
    /// The memory that they share.
    guard: Option<GuardGeneration>,
    /// The one that they shared before, and since when they do no more.
    before: Option<(GuardGeneration, Instant)>,
    /// When each was last heard of.
    heard: HashMap<InstanceId, Instant>,
}

/// A gate that asks whether it may follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    pub(crate) instance: InstanceId,
    /// The memory of used proofs that it shares.
    pub(crate) guard: Option<GuardGeneration>,
    pub(crate) now: Instant,
}

/// Whether a gate may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It does already.
    Its,
    /// It does not yet, and may.
    Free,
    /// Another does, and they share nothing.
    Taken,
}

impl Followers {
    /// Whose the place is.
    pub(crate) fn place(&self, namespace: &Namespace, service: &Label, gate: &Asking) -> Place {
        let key = (namespace.clone(), service.clone());
        let followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers
            .get(&key)
            .map_or(Place::Free, |following| following.standing(gate))
    }

    /// How many gates there are.
    pub(crate) fn count(&self, now: Instant) -> usize {
        let followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = followers
            .values()
            .flat_map(|following| following.heard.values());
        heard.filter(|heard| !is_gone(**heard, now)).count()
    }

    /// Takes or keeps the place, unless it is taken.
    pub(crate) fn take(&self, namespace: &Namespace, service: &Label, gate: &Asking) -> Place {
        let key = (namespace.clone(), service.clone());
        // A map is whole between any two lines.
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = followers
            .get(&key)
            .map_or(Place::Free, |following| following.standing(gate));
        if place != Place::Taken {
            // Gates and services come and go; their places are not kept for ever.
            followers.retain(|_, following| {
                following
                    .heard
                    .retain(|_, heard| !is_gone(*heard, gate.now));
                !following.heard.is_empty()
            });
            let following = followers.entry(key).or_default();
            if following.guard != gate.guard && !following.lags(gate) {
                following.before = following.guard.map(|guard| (guard, gate.now));
                following.guard = gate.guard;
            }
            following.heard.insert(gate.instance, gate.now);
        }
        place
    }
}

impl Following {
    fn standing(&self, gate: &Asking) -> Place {
        let others = self
            .heard
            .iter()
            .any(|(instance, heard)| *instance != gate.instance && !is_gone(*heard, gate.now));
        let known = self.knows(gate);
        let together = match (self.guard, gate.guard) {
            (Some(shared), Some(named)) => {
                // A memory that was lost is begun anew by one of those who share it, and
                // the others follow; whoever comes from elsewhere with another one does not
                // drive them out.
                shared == named || known && named.since > shared.since || self.lags(gate)
            }
            _ => false,
        };
        match (others, known) {
            (true, _) if !together => Place::Taken,
            (_, true) => Place::Its,
            (_, false) => Place::Free,
        }
    }
}

impl Following {
    fn knows(&self, gate: &Asking) -> bool {
        let heard = self.heard.get(&gate.instance);
        heard.is_some_and(|heard| !is_gone(*heard, gate.now))
    }

    /// Whether it follows already, and has not heard yet that the memory is another. It
    /// can use nothing up in the one that it names.
    fn lags(&self, gate: &Asking) -> bool {
        let lately = |(before, since): (GuardGeneration, Instant)| {
            gate.guard == Some(before) && gate.now.saturating_duration_since(since) < LAG
        };
        self.knows(gate) && self.before.is_some_and(lately)
    }
}

fn is_gone(heard: Instant, now: Instant) -> bool {
    now.saturating_duration_since(heard) >= KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: InstanceId = InstanceId::from_bytes([1; 16]);
    const TWO: InstanceId = InstanceId::from_bytes([2; 16]);
    const THREE: InstanceId = InstanceId::from_bytes([3; 16]);

    fn gate(instance: InstanceId, guard: Option<GuardGeneration>, now: Instant) -> Asking {
        Asking {
            instance,
            guard,
            now,
        }
    }

    fn generation(id: u8, since: u64) -> Option<GuardGeneration> {
        Some(GuardGeneration {
            id: [id; 16],
            since,
        })
    }

    #[test]
    fn a_place_is_kept_for_a_minute_and_then_free() {
        let followers = Followers::default();
        let (shop, web, till) = (
            "shop".parse().unwrap(),
            "web".parse().unwrap(),
            "till".parse().unwrap(),
        );
        let begin = Instant::now();
        let at = |instance, secs| gate(instance, None, begin + Duration::from_secs(secs));
        assert_eq!(followers.place(&shop, &web, &at(ONE, 0)), Place::Free);
        assert_eq!(followers.take(&shop, &web, &at(ONE, 0)), Place::Free);
        assert_eq!(followers.take(&shop, &web, &at(TWO, 59)), Place::Taken);
        assert_eq!(followers.take(&shop, &till, &at(TWO, 59)), Place::Free);
        // Heard again, so that it counts from then.
        assert_eq!(followers.take(&shop, &web, &at(ONE, 59)), Place::Its);
        assert_eq!(followers.place(&shop, &web, &at(TWO, 118)), Place::Taken);
        assert_eq!(followers.take(&shop, &web, &at(TWO, 119)), Place::Free);
        assert_eq!(followers.take(&shop, &web, &at(ONE, 120)), Place::Taken);
        // What nobody asks for any more is forgotten, and not counted before.
        assert_eq!(followers.count(begin + Duration::from_secs(178)), 1);
        assert_eq!(followers.count(begin + Duration::from_secs(179)), 0);
        assert_eq!(followers.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn several_follow_who_share_one_memory() {
        let followers = Followers::default();
        let (shop, web) = ("shop".parse().unwrap(), "web".parse().unwrap());
        let now = Instant::now();
        let take = |instance, guard| followers.take(&shop, &web, &gate(instance, guard, now));
        let (first, other) = (generation(1, 100), generation(9, 900));
        assert_eq!(take(ONE, first), Place::Free);
        assert_eq!(take(TWO, first), Place::Free);
        assert_eq!(take(TWO, first), Place::Its);
        for guard in [None, other, generation(1, 101)] {
            assert_eq!(take(THREE, guard), Place::Taken, "{guard:?}");
        }
        // Neither may go on without it, nor with an older one.
        for guard in [None, generation(2, 100), generation(2, 99)] {
            assert_eq!(take(TWO, guard), Place::Taken, "{guard:?}");
        }
    }

    #[test]
    fn one_that_shares_nothing_stays_alone() {
        let followers = Followers::default();
        let (shop, web) = ("shop".parse().unwrap(), "web".parse().unwrap());
        let now = Instant::now();
        let take = |instance, guard| followers.take(&shop, &web, &gate(instance, guard, now));
        assert_eq!(take(ONE, None), Place::Free);
        assert_eq!(take(TWO, None), Place::Taken);
        assert_eq!(take(TWO, generation(1, 1)), Place::Taken);
        // Alone it may change its mind.
        assert_eq!(take(ONE, generation(1, 1)), Place::Its);
        assert_eq!(take(TWO, generation(1, 1)), Place::Free);
    }

    #[test]
    fn a_memory_that_was_begun_anew_is_followed() {
        let followers = Followers::default();
        let (shop, web) = ("shop".parse().unwrap(), "web".parse().unwrap());
        let begin = Instant::now();
        let take = |instance, guard, secs| {
            let now = begin + Duration::from_secs(secs);
            followers.take(&shop, &web, &gate(instance, guard, now))
        };
        let (before, after) = (generation(1, 100), generation(2, 200));
        assert_eq!(take(ONE, before, 0), Place::Free);
        assert_eq!(take(TWO, before, 0), Place::Free);
        assert_eq!(take(ONE, after, 1), Place::Its);
        // The other one lags behind, and changes nothing by that; nobody begins so.
        assert_eq!(take(TWO, before, 2), Place::Its);
        assert_eq!(take(THREE, before, 2), Place::Taken);
        assert_eq!(take(ONE, after, 3), Place::Its);
        assert_eq!(take(TWO, before, 15), Place::Its);
        assert_eq!(take(TWO, before, 16), Place::Taken);
        assert_eq!(take(TWO, after, 17), Place::Its);
        assert_eq!(take(ONE, before, 17), Place::Taken);
        assert_eq!(take(ONE, after, 18), Place::Its);
        // Whoever was gone is nobody any more.
        assert_eq!(take(ONE, after, 70), Place::Its);
        assert_eq!(take(TWO, generation(3, 300), 77), Place::Taken);
        assert_eq!(take(TWO, after, 77), Place::Free);
    }
}
