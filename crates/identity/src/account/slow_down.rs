//! How fast somebody may try passwords (ADR 35): slower after each wrong one, so that
//! guessing leads nowhere, and never so that one who guesses keeps the operator out of
//! where they usually sign in.
//!
//! Three things are counted, each against what it is of: wrong tries of a name from one
//! place, wrong tries of a name from places where its operator never signed in, and wrong
//! tries from one place whatever the name. Who signed in from a place before is slowed
//! down by what was wrong there, and by nothing that others do elsewhere.

use procura_types::Duration;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A place that somebody comes from: an IPv4 address, or the 64 bits of an IPv6 address
/// that one customer of a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Block {
    /// This machine.
    Local,
    /// An address.
    V4(std::net::Ipv4Addr),
    /// A block of 64 bits.
    V6([u16; 4]),
}

impl Block {
    /// The place of an address; none is that of a socket on this machine.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6([a, b, c, d]) => {
                write!(f, "{}/64", Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0))
            }
        }
    }
}

/// How wrong tries of one kind slow down the next.
struct Terms {
    /// So many cost nothing.
    free: u32,
    /// The longest wait; the first is a second, and each is twice as long as the last.
    longest: Duration,
    /// A wrong try is forgotten each time so long passes without one.
    forgets: Duration,
}

/// Of a name from one place: who mistypes waits little, who guesses gets 4 tries an hour.
const HERE: Terms = Terms {
    free: 5,
    longest: Duration::from_secs(15 * 60),
    forgets: Duration::from_secs(30 * 60),
};
/// Of a name from where its operator never signed in: all these places share one try a
/// minute, and the operator on the way is one of them.
const STRANGERS: Terms = Terms {
    free: 20,
    longest: Duration::from_secs(60),
    forgets: Duration::from_secs(5 * 60),
};
/// From one place, whatever the name: an office with many who mistype.
const ANY_NAME: Terms = Terms {
    free: 30,
    longest: Duration::from_secs(60),
    forgets: Duration::from_secs(60),
};

/// Entries of each kind that are kept.
const MOST: usize = 16_384;
/// How many of a full map make room at once: those that count for least, and of them the
/// ones that waited already.
const ROOM: usize = 1024;
/// A full map is looked through this often at most; it takes all of them, under the lock
/// that every try takes.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(1);

/// Wrong tries of one kind.
struct Tries<K> {
    terms: Terms,
    kept: HashMap<K, Wrong>,
    /// When it was last looked through.
    swept: Option<Instant>,
}

struct Wrong {
    count: u32,
    /// The last.
    last: Instant,
    /// None is made before.
    next: Instant,
}

impl Terms {
    /// How many are still counted.
    fn counted(&self, wrong: &Wrong, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(wrong.next).as_millis();
        let forgotten = passed / self.forgets.as_millis().max(1);
        wrong
            .count
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl<K: Hash + Eq + Clone> Tries<K> {
    fn new(terms: Terms) -> Self {
        Self {
            terms,
            kept: HashMap::new(),
            swept: None,
        }
    }

    /// How long the next try has to wait: after wrong ones, or where there is no room to
    /// count it until the map is looked through again.
    fn wait(&mut self, of: &K, now: Instant) -> Option<std::time::Duration> {
        let wait = match self.kept.get(of) {
            Some(wrong) => wrong.next.saturating_duration_since(now),
            None if self.kept.len() < MOST => return None,
            None => self.make_room(now),
        };
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a try as wrong, before it is known.
    fn charge(&mut self, of: &K, now: Instant) {
        let before = self
            .kept
            .get(of)
            .map_or(0, |wrong| self.terms.counted(wrong, now));
        let count = before.saturating_add(1);
        let over = count.saturating_sub(self.terms.free);
        let seconds = if over == 0 {
            0
        } else {
            1u64.checked_shl(over.saturating_sub(1)).unwrap_or(u64::MAX)
        };
        let seconds = seconds.min(self.terms.longest.as_secs());
        let next = now + std::time::Duration::from_secs(seconds);
        let last = now;
        self.kept.insert(of.clone(), Wrong { count, last, next });
    }

    /// Takes one back that was right, or not made. What counts for nothing takes no room.
    fn forgive(&mut self, of: &K) {
        if let Some(wrong) = self.kept.get_mut(of) {
            wrong.count = wrong.count.saturating_sub(1);
            wrong.next = wrong.last;
            if wrong.count == 0 {
                self.kept.remove(of);
            }
        }
    }

    /// Drops what is forgotten, and where that is too little what counts for least: whose
    /// tries were many stays, or a crowd of single tries would wash them out. Says how long
    /// it is until it may be done again, if it was done a moment ago.
    fn make_room(&mut self, now: Instant) -> std::time::Duration {
        let passed = self.swept.map(|swept| now.saturating_duration_since(swept));
        let left = passed.map_or(std::time::Duration::ZERO, |passed| {
            SWEEP.saturating_sub(passed)
        });
        if !left.is_zero() {
            return left;
        }
        self.swept = Some(now);
        let Self { terms, kept, .. } = self;
        kept.retain(|_, wrong| terms.counted(wrong, now) > 0);
        let mut gone = kept.len().saturating_sub(MOST.saturating_sub(ROOM));
        let mut ranks: Vec<_> = kept
            .values()
            .map(|wrong| (terms.counted(wrong, now), wrong.next))
            .collect();
        ranks.sort_unstable();
        if let Some(highest) = gone
            .checked_sub(1)
            .and_then(|last| ranks.get(last).copied())
        {
            kept.retain(|_, wrong| {
                let goes = gone > 0 && (terms.counted(wrong, now), wrong.next) <= highest;
                gone = gone.saturating_sub(usize::from(goes));
                !goes
            });
        }
        std::time::Duration::ZERO
    }
}

struct State {
    here: Tries<(String, Block)>,
    strangers: Tries<String>,
    any_name: Tries<Block>,
    /// When the last try was admitted or not.
    latest: Option<Instant>,
}

/// What all tries share.
type Shared = Arc<Mutex<State>>;

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts wrong tries of this server. Nothing is stored: whoever restarts it forgives them.
pub struct SlowDown(Shared);

impl Default for SlowDown {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            here: Tries::new(HERE),
            strangers: Tries::new(STRANGERS),
            any_name: Tries::new(ANY_NAME),
            latest: None,
        })))
    }
}

impl SlowDown {
    /// Whether a try of the name may be made now from this place, where its operator
    /// signed in before or not; it counts as wrong until it turns out right, so that many
    /// at once are many. One that has to wait counts for nothing.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn admit(
        &self,
        name: &str,
        place: Block,
        is_known_place: bool,
        now: Instant,
    ) -> Result<Charge, Duration> {
        let name = folded(name);
        let pair = (name.clone(), place);
        let mut state = locked(&self.0);
        // Of two at once the one that read the clock first may come here second; it must
        // not wait for the other.
        let now = state.latest.map_or(now, |latest| now.max(latest));
        state.latest = Some(now);
        let strangers = (!is_known_place).then(|| state.strangers.wait(&name, now));
        let waits = [
            state.here.wait(&pair, now),
            strangers.flatten(),
            state.any_name.wait(&place, now),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            return Err(Duration::from_millis(millis.max(1)));
        }
        state.here.charge(&pair, now);
        if !is_known_place {
            state.strangers.charge(&name, now);
        }
        state.any_name.charge(&place, now);
        Ok(Charge {
            shared: Arc::clone(&self.0),
            name,
            place,
            is_known_place,
            stays: false,
        })
    }
}

/// A try that was admitted. Dropped before its password is hashed, it was not made, and is
/// taken back: whoever hangs up while they wait leaves nothing behind, for a name that is
/// not theirs either.
#[must_use = "a try that is dropped is taken back"]
pub struct Charge {
    shared: Shared,
    name: String,
    place: Block,
    is_known_place: bool,
    /// Whether it counts when it is dropped.
    stays: bool,
}

impl Charge {
    /// The password is hashed from here on: the try counts as wrong, also when nobody waits
    /// for what comes of it, until [`Self::right`] or [`Self::not_made`] takes it back.
    pub fn hashing(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Takes it back, and forgets what was wrong before at this place for the name.
    pub fn right(mut self) {
        self.stays = true;
        self.take_back(true);
    }

    /// Takes it back: whether it was right could not be found out.
    pub fn not_made(mut self) {
        self.stays = true;
        self.take_back(false);
    }

    fn take_back(&self, right: bool) {
        let mut state = locked(&self.shared);
        if !self.is_known_place {
            state.strangers.forgive(&self.name);
        }
        state.any_name.forgive(&self.place);
        let pair = (self.name.clone(), self.place);
        if right {
            state.here.kept.remove(&pair);
        } else {
            state.here.forgive(&pair);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if !self.stays {
            self.take_back(false);
        }
    }
}

/// A name as it is counted: no longer than a name can be, whatever was typed.
fn folded(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
