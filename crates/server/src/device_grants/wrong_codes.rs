//! Who typed codes that there are not, and how long they wait for it. A code has 34 bits,
//! so that whoever tries one a minute finds none; who types one wrongly may type it again.

use procura_edge::source::network;
use procura_types::{ActorId, Duration};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Wrong codes that have no consequence: of one person, and of one address, behind which
/// there may be several.
const OF_A_PERSON: u32 = 5;
const OF_AN_ADDRESS: u32 = 20;

/// The first wait, twice as long with each further code, and the longest.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// After so long without a wrong code all are forgiven.
const QUIET: Duration = Duration::from_secs(30 * 60);

/// Persons and addresses that are remembered; there are few operators.
const MOST: usize = 4096;

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Person(ActorId),
    Address(IpAddr),
}

impl Who {
    const fn tolerated(self) -> u32 {
        match self {
            Self::Person(_) => OF_A_PERSON,
            Self::Address(_) => OF_AN_ADDRESS,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
    until: Option<Instant>,
}

impl Wrong {
    fn is_forgiven(&self, now: Instant) -> bool {
        let since = self.until.unwrap_or(self.last).max(self.last);
        now.saturating_duration_since(since) >= QUIET
    }
}

/// All who typed wrong ones. Nobody waits for what somebody else typed, unless it came from
/// the same address.
#[derive(Default)]
pub(crate) struct WrongCodes(Mutex<HashMap<Who, Wrong>>);

impl WrongCodes {
    fn held(&self) -> MutexGuard<'_, HashMap<Who, Wrong>> {
        // Whole between any two lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody try a code, which counts as a wrong one until it was right: many tries
    /// at once are no way around it. Or says how long they wait still.
    pub(super) fn begin(
        &self,
        actor: &ActorId,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut wrong = self.held();
        let waits = who(actor, address).filter_map(|who| wrong.get(&who)?.until);
        match waits.max() {
            Some(until) if now < until => return Err(until.saturating_duration_since(now)),
            _ => {}
        }
        if wrong.len() >= MOST {
            wrong.retain(|_, wrong| !wrong.is_forgiven(now));
        }
        for who in who(actor, address) {
            // Who waits is not forgotten for the sake of others.
            if wrong.len() >= MOST && !wrong.contains_key(&who) {
                continue;
            }
            let of = wrong.entry(who).or_insert(Wrong {
                count: 0,
                last: now,
                until: None,
            });
            if of.is_forgiven(now) {
                of.count = 0;
                of.until = None;
            }
            of.count = of.count.saturating_add(1);
            of.last = now;
            if let Some(further) = of.count.checked_sub(who.tolerated()) {
                let factor = 1_u32.checked_shl(further).unwrap_or(u32::MAX);
                of.until = now.checked_add(FIRST.saturating_mul(factor).min(LONGEST));
            }
        }
        Ok(())
    }

    /// The code that was tried was right. The wait that began with it ends; of others there
    /// is none, since nobody tries who has to wait.
    pub(super) fn was_right(&self, actor: &ActorId, address: Option<IpAddr>) {
        let mut wrong = self.held();
        for who in who(actor, address) {
            if let Some(of) = wrong.get_mut(&who) {
                of.count = of.count.saturating_sub(1);
                of.until = None;
            }
        }
    }
}

fn who(actor: &ActorId, address: Option<IpAddr>) -> impl Iterator<Item = Who> {
    let address = address.map(|address| Who::Address(network(address)));
    std::iter::once(Who::Person(*actor)).chain(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn person(byte: u8) -> ActorId {
        ActorId::from_bytes([byte; 32])
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn after_five_wrong_codes_the_sixth_waits_and_nobody_else_does() {
        let (wrong, begin) = (WrongCodes::default(), Instant::now());
        let here = address("192.0.2.1");
        for _ in 0..OF_A_PERSON {
            assert_eq!(wrong.begin(&person(1), here, begin), Ok(()));
        }
        assert_eq!(wrong.begin(&person(1), here, begin), Err(FIRST));
        assert_eq!(
            wrong.begin(&person(1), address("192.0.2.2"), begin),
            Err(FIRST)
        );
        assert_eq!(wrong.begin(&person(2), here, begin), Ok(()));
        let later = begin + FIRST;
        assert_eq!(wrong.begin(&person(1), here, later), Ok(()));
        assert_eq!(wrong.begin(&person(1), here, later), Err(FIRST * 2));
    }

    #[test]
    fn right_ones_count_for_nothing() {
        let (wrong, begin) = (WrongCodes::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(wrong.begin(&person(1), None, begin), Ok(()));
            wrong.was_right(&person(1), None);
        }
        // Nor do they forgive what was wrong.
        for _ in 0..OF_A_PERSON {
            assert_eq!(wrong.begin(&person(1), None, begin), Ok(()));
        }
        let later = begin + FIRST;
        assert_eq!(wrong.begin(&person(1), None, later), Ok(()));
        wrong.was_right(&person(1), None);
        assert_eq!(wrong.begin(&person(1), None, later), Ok(()));
        assert_eq!(wrong.begin(&person(1), None, later), Err(FIRST * 2));
    }

    #[test]
    fn many_persons_of_one_address_wait_together() {
        let (wrong, begin) = (WrongCodes::default(), Instant::now());
        let network = address("2001:db8::1");
        for place in 0..20 {
            assert_eq!(wrong.begin(&person(place), network, begin), Ok(()));
        }
        let beside = address("2001:db8::2");
        assert_eq!(wrong.begin(&person(99), beside, begin), Err(FIRST));
        let elsewhere = address("2001:db8:0:1::1");
        assert_eq!(wrong.begin(&person(99), elsewhere, begin), Ok(()));
    }

    #[test]
    fn a_wait_has_a_longest_and_is_forgiven_after_quiet() {
        let (wrong, mut now) = (WrongCodes::default(), Instant::now());
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            match wrong.begin(&person(1), None, now) {
                Ok(()) => {}
                Err(wait) => {
                    longest = longest.max(wait);
                    now += wait;
                }
            }
        }
        assert_eq!(longest, LONGEST);
        let quiet = now + LONGEST + QUIET;
        for _ in 0..OF_A_PERSON {
            assert_eq!(wrong.begin(&person(1), None, quiet), Ok(()));
        }
        assert_eq!(wrong.begin(&person(1), None, quiet), Err(FIRST));
    }
}
