//! Which gate follows which service. Two gates of one service that share no memory of
//! used proofs would each accept what the other has accepted, so there is one at a
//! time. This is not stored: after a restart of the server whoever asks first is it.

use procura_types::{Duration, InstanceId, Label, Namespace};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How long a gate that is not heard of keeps its place.
pub(crate) const KEPT: Duration = Duration::from_secs(60);

/// The gates that follow.
#[derive(Default)]
pub(crate) struct Followers(Mutex<HashMap<(Namespace, Label), Follower>>);

struct Follower {
    instance: InstanceId,
    heard: Instant,
}

/// Whether a gate may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It does already.
    Its,
    /// Nobody does.
    Free,
    /// Another does.
    Taken,
}

impl Followers {
    /// Whose the place is.
    pub(crate) fn place(
        &self,
        namespace: &Namespace,
        service: &Label,
        instance: &InstanceId,
        now: Instant,
    ) -> Place {
        let key = (namespace.clone(), service.clone());
        let followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standing(followers.get(&key), instance, now)
    }

    /// Takes or keeps the place, unless it is taken.
    pub(crate) fn take(
        &self,
        namespace: &Namespace,
        service: &Label,
        instance: &InstanceId,
        now: Instant,
    ) -> Place {
        let key = (namespace.clone(), service.clone());
        // A map is whole between any two lines.
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = standing(followers.get(&key), instance, now);
        if place != Place::Taken {
            // Services come and go; their places are not kept for ever.
            followers.retain(|_, follower| !follower.is_gone(now));
            let follower = Follower {
                instance: *instance,
                heard: now,
            };
            followers.insert(key, follower);
        }
        place
    }
}

impl Follower {
    fn is_gone(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= KEPT
    }
}

fn standing(follower: Option<&Follower>, instance: &InstanceId, now: Instant) -> Place {
    match follower {
        Some(follower) if follower.instance == *instance => Place::Its,
        Some(follower) if !follower.is_gone(now) => Place::Taken,
        _ => Place::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_for_a_minute_and_then_free() {
        let followers = Followers::default();
        let (shop, web, till) = (
            "shop".parse().unwrap(),
            "web".parse().unwrap(),
            "till".parse().unwrap(),
        );
        let (one, two) = (
            InstanceId::from_bytes([1; 16]),
            InstanceId::from_bytes([2; 16]),
        );
        let begin = Instant::now();
        let at = |secs| begin + Duration::from_secs(secs);
        assert_eq!(followers.place(&shop, &web, &one, begin), Place::Free);
        assert_eq!(followers.take(&shop, &web, &one, begin), Place::Free);
        assert_eq!(followers.take(&shop, &web, &two, at(59)), Place::Taken);
        assert_eq!(followers.take(&shop, &till, &two, at(59)), Place::Free);
        // Heard again, so that it counts from then.
        assert_eq!(followers.take(&shop, &web, &one, at(59)), Place::Its);
        assert_eq!(followers.place(&shop, &web, &two, at(118)), Place::Taken);
        assert_eq!(followers.take(&shop, &web, &two, at(119)), Place::Free);
        assert_eq!(followers.take(&shop, &web, &one, at(120)), Place::Taken);
        // What nobody asks for any more is forgotten.
        assert_eq!(followers.0.lock().unwrap().len(), 1);
    }
}
