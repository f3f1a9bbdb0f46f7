//! How often an agent did something in the last hour, counted in the process from what was
//! recorded (ADR 37: each server counts for itself, and from its start on).

use procura_policy::{Action, Counted};
use procura_types::{ActorId, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// The time in which uses are counted, in milliseconds.
const HOUR: u64 = 3_600_000;

/// Up to how many uses are told apart. What was done more often counts as without end, so
/// that a limit that is higher lets nothing through.
pub const COUNTED: usize = 65_536;

/// When one agent did one thing, oldest first. A use counts while it is less than an hour
/// ago.
#[derive(Default)]
pub(crate) struct Window(VecDeque<(u64, u64)>);

impl Window {
    /// How many uses count at `now`.
    pub(crate) fn count(&mut self, now: Timestamp) -> u64 {
        let now = now.as_millis();
        while self
            .0
            .front()
            .is_some_and(|(time, _)| time.saturating_add(HOUR) <= now)
        {
            self.0.pop_front();
        }
        match self.0.len() {
            many if many >= COUNTED => u64::MAX,
            few => u64::try_from(few).unwrap_or(u64::MAX),
        }
    }

    fn add(&mut self, now: Timestamp, number: u64) {
        if self.0.len() >= COUNTED {
            self.0.pop_front();
        }
        self.0.push_back((now.as_millis(), number));
    }

    fn take_back(&mut self, number: u64) {
        self.0.retain(|(_, known)| *known != number);
    }
}

type Shared = Arc<Mutex<Window>>;

/// The windows of all agents and actions that are counted.
#[derive(Default)]
pub(crate) struct Hours {
    windows: Mutex<HashMap<(ActorId, Action), Shared>>,
}

/// How many windows there may be before those are dropped in which nothing counts.
const WINDOWS: usize = 4_096;

impl Hours {
    fn window(&self, actor: &ActorId, action: Action, now: Timestamp) -> Shared {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= WINDOWS && !windows.contains_key(&(*actor, action)) {
            windows.retain(|_, window| {
                // One that is claimed right now is held elsewhere too.
                Arc::strong_count(window) > 1
                    || window
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .count(now)
                        > 0
            });
        }
        Arc::clone(windows.entry((*actor, action)).or_default())
    }

    /// How often it was done.
    pub(crate) fn count(&self, actor: &ActorId, action: Action, now: Timestamp) -> u64 {
        self.window(actor, action, now)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(now)
    }

    /// Claims one more use if `allows`, which is told how many there were. Nobody else
    /// claims between the question and the claim.
    pub(crate) fn claim<E>(
        &self,
        actor: &ActorId,
        action: Action,
        now: Timestamp,
        allows: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<Use, E> {
        let shared = self.window(actor, action, now);
        let mut window = shared.lock().unwrap_or_else(PoisonError::into_inner);
        allows(window.count(now))?;
        let number = window.0.back().map_or(0, |(_, last)| last.wrapping_add(1));
        window.add(now, number);
        drop(window);
        Ok(Use {
            shared: Some(shared),
            number,
        })
    }
}

/// A use that is claimed: taken back when it is dropped before it is recorded.
pub(crate) struct Use {
    shared: Option<Shared>,
    number: u64,
}

impl Counted for Use {
    fn recorded(mut self: Box<Self>) {
        self.shared = None;
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_back(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTOR: ActorId = ActorId::from_bytes([1; 32]);
    const T: u64 = 1_795_000_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn claim(hours: &Hours, time: u64, most: u64) -> bool {
        let claimed = hours.claim(&ACTOR, Action::RunDeliver, at(time), |count| {
            if count < most { Ok(()) } else { Err(()) }
        });
        claimed.map(|claimed| Box::new(claimed).recorded()).is_ok()
    }

    #[test]
    fn a_limit_is_exact_at_the_edge() {
        let hours = Hours::default();
        for n in 0..10 {
            assert!(claim(&hours, T + n, 10), "{n}");
        }
        assert!(!claim(&hours, T + 10, 10));
        // The first counts until an hour is over, to the millisecond.
        assert!(!claim(&hours, T + HOUR - 1, 10));
        assert!(claim(&hours, T + HOUR, 10));
        assert!(!claim(&hours, T + HOUR, 10));
        assert!(claim(&hours, T + HOUR + 1, 10));
    }

    #[test]
    fn what_was_not_recorded_does_not_count() {
        let hours = Hours::default();
        let one = |_| Ok::<(), ()>(());
        let claimed = hours.claim(&ACTOR, Action::RunDeliver, at(T), one);
        assert_eq!(hours.count(&ACTOR, Action::RunDeliver, at(T)), 1);
        drop(claimed);
        assert_eq!(hours.count(&ACTOR, Action::RunDeliver, at(T)), 0);
    }

    #[test]
    fn agents_and_actions_are_told_apart() {
        let hours = Hours::default();
        assert!(claim(&hours, T, 1));
        let other = ActorId::from_bytes([2; 32]);
        assert_eq!(hours.count(&other, Action::RunDeliver, at(T)), 0);
        assert_eq!(hours.count(&ACTOR, Action::KeyRead, at(T)), 0);
        assert_eq!(hours.count(&ACTOR, Action::RunDeliver, at(T)), 1);
    }

    #[test]
    fn what_cannot_be_counted_any_more_has_no_end() {
        let hours = Hours::default();
        for _ in 0..COUNTED {
            assert!(claim(&hours, T, u64::MAX));
        }
        assert_eq!(hours.count(&ACTOR, Action::RunDeliver, at(T)), u64::MAX);
        assert!(!claim(&hours, T, u64::MAX));
    }

    #[test]
    fn a_clock_that_goes_back_frees_nothing() {
        let hours = Hours::default();
        assert!(claim(&hours, T, 1));
        assert!(!claim(&hours, T - 10 * HOUR, 1));
    }
}
