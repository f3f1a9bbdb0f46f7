//! Whose turn it is in one channel: what is due, how much of it a minute takes, and how
//! long it rests after failures. It knows no store and no network.

use super::facts::Cause;
use procura_types::wire::Severity;
use procura_types::{Duration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// What a cap counts.
const MINUTE: Duration = Duration::from_secs(60);
/// Most things in one message.
pub(super) const MOST_IN_ONE: usize = 200;
/// The first pause after a failure; each after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause of one message.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// The longest that a whole channel rests.
const LONGEST_REST: Duration = Duration::from_secs(2 * 60);
/// Tries after which a message is given up: more than six hours of them.
pub(super) const MOST_TRIES: u32 = 16;

/// When something is due, how much it matters, and who can have caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) next: Timestamp,
    pub(super) severity: Severity,
    pub(super) cause: Cause,
}

/// What to do in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing waits, or something is on its way.
    Nothing,
    /// Look again then.
    Wait(Timestamp),
    /// Send this one.
    One(u64),
    /// Send all of these in one message.
    Digest(Vec<u64>),
}

/// A channel's turn.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) per_minute: u32,
    /// By the entry that it is about.
    pub(super) waiting: BTreeMap<u64, Waits>,
    /// How many things people are not told of one by one.
    pub(super) untold: u64,
    /// Whether a message is on its way.
    pub(super) busy: bool,
    /// When messages were sent in the last minute, by the server's clock.
    sent: VecDeque<Timestamp>,
    /// Failures since the last success.
    failures: u32,
    rest_until: Option<Timestamp>,
}

impl Lane {
    pub(super) const fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            waiting: BTreeMap::new(),
            untold: 0,
            busy: false,
            sent: VecDeque::new(),
            failures: 0,
            rest_until: None,
        }
    }

    /// What to do now.
    pub(super) fn turn(&mut self, now: Timestamp) -> Turn {
        if self.busy {
            return Turn::Nothing;
        }
        let Some(first) = self.waiting.values().map(|waits| waits.next).min() else {
            return Turn::Nothing;
        };
        if first > now {
            return Turn::Wait(first);
        }
        if let Some(until) = self.rest_until.filter(|until| *until > now) {
            // A clock that was set back must not keep a channel quiet.
            let most = now.plus(LONGEST_PAUSE);
            self.rest_until = Some(until.min(most));
            return Turn::Wait(until.min(most));
        }
        self.sent
            .retain(|sent| *sent <= now && now.since(*sent) < MINUTE);
        let used = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        let left = self.per_minute.saturating_sub(used);
        if left == 0 {
            let oldest = self.sent.front().copied().unwrap_or(now);
            return Turn::Wait(oldest.plus(MINUTE));
        }
        // What anybody can cause, as often as they like, is critical as well; before
        // anything else it would leave nobody else a turn.
        let mut due: Vec<(Cause, Reverse<Severity>, u64)> = self
            .waiting
            .iter()
            .filter(|(_, waits)| waits.next <= now)
            .map(|(index, waits)| (waits.cause, Reverse(waits.severity), *index))
            .collect();
        due.sort_unstable();
        let many = due.len() > 1 && left == 1;
        if many || self.untold > 0 {
            let all = due.into_iter().take(MOST_IN_ONE);
            return Turn::Digest(all.map(|(_, _, index)| index).collect());
        }
        due.first()
            .map_or(Turn::Nothing, |(_, _, index)| Turn::One(*index))
    }

    /// A message is on its way; it counts whatever comes of it.
    pub(super) fn begins(&mut self, now: Timestamp) {
        self.busy = true;
        self.sent.push_back(now);
    }

    /// It arrived.
    pub(super) fn arrived(&mut self) {
        self.busy = false;
        self.failures = 0;
        self.rest_until = None;
    }

    /// It failed, in a way that says something about the receiver if `rests`: then the
    /// others are not tried one by one either. `asked` is how long it asked for.
    pub(super) fn failed(&mut self, now: Timestamp, rests: bool, asked: Option<Duration>) {
        self.busy = false;
        if !rests {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let rest = doubled(self.failures).min(LONGEST_REST);
        let rest = asked.map_or(rest, |asked| asked.min(LONGEST_PAUSE).max(rest));
        self.rest_until = Some(now.plus(rest));
    }
}

/// The pause after so many failures, as long as it can be.
fn doubled(failures: u32) -> Duration {
    let times = 2u32.saturating_pow(failures.saturating_sub(1).min(20));
    FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE)
}

/// The pause of a message that failed so often: between half of the longest and all of it,
/// so that those that failed together do not come back together. `random` is any number.
pub(super) fn pause(tries: u32, random: u32) -> Duration {
    let longest = doubled(tries);
    let half = longest / 2;
    half + half * (random % 1024) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn lane(per_minute: u32, waiting: &[(u64, Severity)]) -> Lane {
        let mut lane = Lane::new(per_minute);
        for (index, severity) in waiting {
            let waits = Waits {
                next: NOON,
                severity: *severity,
                cause: Cause::Inside,
            };
            lane.waiting.insert(*index, waits);
        }
        lane
    }

    /// Sends until there is nothing to do, and says what was sent.
    fn drain(lane: &mut Lane, now: Timestamp) -> (Vec<Vec<u64>>, Turn) {
        let mut sent = Vec::new();
        loop {
            let all = match lane.turn(now) {
                Turn::One(index) => vec![index],
                Turn::Digest(all) => all,
                other => return (sent, other),
            };
            lane.begins(now);
            assert_eq!(lane.turn(now), Turn::Nothing);
            for index in &all {
                lane.waiting.remove(index);
            }
            lane.arrived();
            lane.untold = 0;
            sent.push(all);
        }
    }

    #[test]
    fn what_matters_most_goes_first() {
        use Severity::{Critical, Info, Notice};
        let mut lane = lane(20, &[(1, Info), (2, Notice), (3, Critical), (4, Notice)]);
        let (sent, last) = drain(&mut lane, NOON);
        assert_eq!(sent, [[3], [2], [4], [1]]);
        assert_eq!(last, Turn::Nothing);
    }

    #[test]
    fn what_anybody_can_cause_goes_last_however_much_it_is() {
        let mut lane = lane(2, &[(1000, Severity::Critical), (1001, Severity::Notice)]);
        let flood = |cause| Waits {
            next: NOON,
            severity: Severity::Critical,
            cause,
        };
        lane.waiting.insert(1, flood(Cause::Stranger));
        for index in 2..900 {
            lane.waiting.insert(index, flood(Cause::Named));
        }
        assert_eq!(lane.turn(NOON), Turn::One(1000));
        lane.waiting.remove(&1000);
        lane.begins(NOON);
        lane.arrived();
        let Turn::Digest(all) = lane.turn(NOON) else {
            panic!("it is the last of the minute");
        };
        assert_eq!(all.len(), MOST_IN_ONE);
        assert_eq!(all[..3], [1001, 2, 3]);
        assert!(!all.contains(&1));
    }

    #[test]
    fn what_a_minute_does_not_take_goes_into_one_message() {
        let all: Vec<_> = (0..50).map(|index| (index, Severity::Info)).collect();
        let mut lane = lane(3, &all);
        let (sent, last) = drain(&mut lane, NOON);
        assert_eq!(sent.len(), 3);
        assert_eq!((sent[0].len(), sent[1].len(), sent[2].len()), (1, 1, 48));
        assert_eq!(last, Turn::Nothing);
        // What comes later in the minute waits for the next.
        lane.waiting.insert(
            99,
            Waits {
                next: NOON,
                severity: Severity::Critical,
                cause: Cause::Inside,
            },
        );
        assert_eq!(lane.turn(NOON), Turn::Wait(NOON.plus(MINUTE)));
        assert_eq!(lane.turn(NOON.plus(MINUTE)), Turn::One(99));
    }

    #[test]
    fn a_failure_is_a_pause_that_grows() {
        let mut lane = lane(100, &[(1, Severity::Info), (2, Severity::Info)]);
        let mut now = NOON;
        for (failures, seconds) in [10, 20, 40, 80, 120, 120].into_iter().enumerate() {
            assert_eq!(lane.turn(now), Turn::One(1), "{failures}");
            lane.begins(now);
            lane.failed(now, true, None);
            let until = now.plus(Duration::from_secs(seconds));
            assert_eq!(lane.turn(now), Turn::Wait(until));
            now = until;
        }
        lane.begins(now);
        lane.failed(now, true, Some(Duration::from_secs(300)));
        let until = now.plus(Duration::from_secs(300));
        assert_eq!(lane.turn(now), Turn::Wait(until));
        // What nobody can help by waiting keeps nobody else waiting.
        lane.begins(until);
        lane.failed(until, false, None);
        assert_eq!(lane.turn(until), Turn::One(1));
    }

    #[test]
    fn a_receiver_that_is_down_for_an_hour_loses_nothing() {
        // The shortest that jitter makes of the pauses.
        let all: Duration = (1..MOST_TRIES).map(|tries| pause(tries, 0)).sum();
        assert!(all > Duration::from_secs(2 * 60 * 60), "{all:?}");
        for tries in 1..40 {
            assert!(pause(tries, u32::MAX) <= LONGEST_PAUSE);
            assert!(pause(tries, 0) >= FIRST_PAUSE / 2);
        }
    }

    #[test]
    fn what_was_too_much_is_said_with_the_next() {
        let mut lane = lane(20, &[(7, Severity::Info)]);
        lane.untold = 3;
        assert_eq!(lane.turn(NOON), Turn::Digest(vec![7]));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_quiet() {
        let mut lane = lane(1, &[(1, Severity::Info)]);
        lane.begins(NOON.plus(Duration::from_secs(100_000)));
        lane.failed(NOON.plus(Duration::from_secs(100_000)), true, None);
        lane.waiting.insert(
            1,
            Waits {
                next: NOON,
                severity: Severity::Info,
                cause: Cause::Inside,
            },
        );
        let Turn::Wait(until) = lane.turn(NOON) else {
            panic!("it rests");
        };
        assert!(until <= NOON.plus(LONGEST_PAUSE));
    }
}
