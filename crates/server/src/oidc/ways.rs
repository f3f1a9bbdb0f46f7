//! Ways to a provider that cost it something: a question that was pushed to it, or a code
//! that was sent to it. Each is remembered until it would be over, or until somebody was
//! signed in by it, so that no code is sent twice for one, and so that an address has only
//! so many that come to nothing.
//!
//! Anybody may begin one, so this is memory and no row. When an address has as many as it
//! may, no more of it are accepted. When there are too many of all addresses, the one that
//! would be over first is forgotten: whoever makes others forget one of theirs could as well
//! begin another, and a way that signed somebody in is a row of the store.

use procura_edge::source::network;
use procura_types::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ways that are remembered.
const MOST: usize = 4096;
/// Of these of one address: as many people as are on their way at once behind one.
const EACH: usize = 128;

/// SHA-256 of the bytes of a flow, and when it is over.
pub(super) type Mark = ([u8; 32], Timestamp);

/// What has become of a way whose code is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It is used up from now on.
    Free,
    /// A code was sent for it before.
    Used,
    /// Its address has as many as it may.
    Full,
}

/// Those that are remembered.
#[derive(Default)]
pub(super) struct Ways(Mutex<Known>);

#[derive(Default)]
struct Known {
    ways: HashMap<[u8; 32], Way>,
    /// The same by when they are over.
    ends: BTreeSet<(Timestamp, [u8; 32])>,
    /// How many of them each address has.
    each: HashMap<IpAddr, usize>,
}

struct Way {
    ends: Timestamp,
    /// None where addresses are not counted: behind those of this machine stands whoever
    /// comes through a proxy on it.
    of: Option<IpAddr>,
    is_used: bool,
}

impl Ways {
    /// Notes that a question is pushed; false when the address has as many as it may.
    pub(super) fn push(&self, mark: Mark, from: Option<IpAddr>, now: Timestamp) -> bool {
        self.known().enter(mark, from, now).is_some()
    }

    /// Uses a way up, right before its code is sent.
    pub(super) fn send(&self, mark: Mark, from: Option<IpAddr>, now: Timestamp) -> Passage {
        match self.known().enter(mark, from, now) {
            None => Passage::Full,
            Some(way) if way.is_used => Passage::Used,
            Some(way) => {
                way.is_used = true;
                Passage::Free
            }
        }
    }

    /// Somebody was signed in by it, and the store knows.
    pub(super) fn arrived(&self, digest: &[u8; 32]) {
        self.known().forget(digest);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is counted is whole between any two lines; a panic elsewhere breaks none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The way of this mark, which is there from now on; none when its address has as many
    /// as it may.
    fn enter(
        &mut self,
        (digest, ends): Mark,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<&mut Way> {
        while let Some((over, first)) = self.ends.first().copied() {
            if over > now {
                break;
            }
            self.forget(&first);
        }
        if !self.ways.contains_key(&digest) {
            let counted = from.filter(|from| !from.to_canonical().is_loopback());
            let of = counted.map(network);
            if let Some(of) = of {
                let count = self.each.get(&of).copied().unwrap_or_default();
                if count >= EACH {
                    return None;
                }
                self.each.insert(of, count.saturating_add(1));
            }
            if self.ways.len() >= MOST
                && let Some((_, first)) = self.ends.first().copied()
            {
                self.forget(&first);
            }
            self.ends.insert((ends, digest));
            let way = Way {
                ends,
                of,
                is_used: false,
            };
            self.ways.insert(digest, way);
        }
        self.ways.get_mut(&digest)
    }

    fn forget(&mut self, digest: &[u8; 32]) {
        let Some(way) = self.ways.remove(digest) else {
            return;
        };
        self.ends.remove(&(way.ends, *digest));
        let Some(of) = way.of else { return };
        if let Some(count) = self.each.get_mut(&of) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.each.remove(&of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// The way of this number, which is over so many seconds later.
    fn way(number: u64, seconds: u64) -> Mark {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        (digest, Timestamp::from_secs(NOW.as_secs() + seconds))
    }

    #[test]
    fn a_code_is_sent_once_for_a_way() {
        let ways = Ways::default();
        let one = way(1, 600);
        assert!(ways.push(one, at("192.0.2.1"), NOW));
        assert_eq!(ways.send(one, at("192.0.2.1"), NOW), Passage::Free);
        for from in ["192.0.2.1", "192.0.2.2", "127.0.0.1"] {
            assert_eq!(ways.send(one, at(from), NOW), Passage::Used, "{from}");
        }
        assert_eq!(ways.send(way(2, 600), None, NOW), Passage::Free);
        assert_eq!(ways.send(way(2, 600), None, NOW), Passage::Used);
    }

    #[test]
    fn an_address_that_has_as_many_as_it_may_keeps_nobody_else_out() {
        let ways = Ways::default();
        for number in 0..128 {
            assert!(ways.push(way(number, 600), at("2001:db8::1"), NOW));
        }
        // Another host's number in the same network is no way out.
        assert!(!ways.push(way(128, 600), at("2001:db8::2"), NOW));
        let sent = ways.send(way(128, 600), at("2001:db8::2"), NOW);
        assert_eq!(sent, Passage::Full);
        for from in ["2001:db8:0:1::1", "192.0.2.1", "127.0.0.1"] {
            let passage = ways.send(way(128, 600), at(from), NOW);
            assert_ne!(passage, Passage::Full, "{from}");
        }
        // Those that it has come back, and whom one signs in makes room.
        let sent = ways.send(way(0, 600), at("2001:db8::1"), NOW);
        assert_eq!(sent, Passage::Free);
        ways.arrived(&way(0, 600).0);
        assert!(ways.push(way(129, 600), at("2001:db8::2"), NOW));
        assert!(!ways.push(way(130, 600), at("2001:db8::2"), NOW));
        // The rest is over after ten minutes.
        let later = Timestamp::from_secs(NOW.as_secs() + 600);
        assert!(ways.push(way(130, 1200), at("2001:db8::2"), later));
        assert_eq!(ways.known().ways.len(), 1);
    }

    #[test]
    fn a_crowd_of_addresses_has_the_first_forgotten_and_keeps_nobody_out() {
        let ways = Ways::default();
        for number in 0..4096_u32 {
            let from = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let mark = way(u64::from(number), 100 + u64::from(number));
            assert_eq!(ways.send(mark, Some(from), NOW), Passage::Free, "{number}");
        }
        let one = way(9999, 600);
        assert_eq!(ways.send(one, at("192.0.2.1"), NOW), Passage::Free);
        assert_eq!(ways.send(one, at("192.0.2.1"), NOW), Passage::Used);
        assert_eq!(ways.send(way(1, 101), None, NOW), Passage::Used);
        let known = ways.known();
        assert!(!known.ways.contains_key(&way(0, 100).0));
        assert_eq!((known.ways.len(), known.ends.len()), (4096, 4096));
        assert_eq!(known.each.len(), 4096);
    }
}
