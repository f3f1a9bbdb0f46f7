//! When which device asked last whether somebody has answered. Kept in memory alone: a
//! thousand devices that wait must not cost a write each time one of them asks, and what is
//! lost with a restart is only who was slowed down.

use procura_identity::DeviceCodeTag;
use procura_store::Seq;
use procura_types::{Duration, Timestamp};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Seconds between two questions, at first.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// So much longer it gets for a device that asks too often (RFC 8628 §3.5).
const LONGER: Duration = Duration::from_secs(5);
/// What the network may take off the time between two questions.
const JITTER: Duration = Duration::from_millis(500);

/// Devices that wait for an answer at once, by this server.
pub(super) const MOST: usize = 2048;

/// Those of them that wait in one network.
pub(super) const OF_ONE: usize = MOST / 8;

/// The network whose devices share [`OF_ONE`] places: 48 bits of an IPv6 address, since
/// whoever has 64 mostly has all that 48 hold, and 16 of an IPv4 address. What comes from this
/// machine itself may be a proxy for many, and shares with nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(Option<IpAddr>);

impl Network {
    /// Where this address is.
    pub(super) fn of(peer: Option<IpAddr>) -> Self {
        let peer = peer.map(|peer| peer.to_canonical());
        let peer = peer.filter(|peer| !peer.is_loopback());
        Self(peer.map(|peer| match peer {
            IpAddr::V4(peer) => {
                let [first, second, ..] = peer.octets();
                IpAddr::from([first, second, 0, 0])
            }
            IpAddr::V6(peer) => {
                let [first, second, third, ..] = peer.segments();
                IpAddr::from([first, second, third, 0, 0, 0, 0, 0])
            }
        }))
    }
}

/// Why one more may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Its network has its share.
    Network,
    /// All places are taken, and no network has more of them than this one would.
    All,
}

impl Full {
    /// What is said of it to whoever asks.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Network => {
                "As many devices of this network wait for an answer as may; ask again later."
            }
            Self::All => "As many devices wait for an answer as may; ask again later.",
        }
    }
}

/// What a device that waits was last seen to be.
struct Poll {
    network: Network,
    last: Option<Instant>,
    interval: Duration,
    expires: Timestamp,
    seen: Option<Seen>,
}

/// A question that was found to be by the right key, and unanswered: asked again with the
/// same bytes it still is, as long as the row is the same.
struct Seen {
    signature: Vec<u8>,
    version: Seq,
}

/// All devices that wait.
#[derive(Default)]
pub(super) struct Polls(Mutex<HashMap<DeviceCodeTag, Poll>>);

impl Polls {
    fn held(&self) -> MutexGuard<'_, HashMap<DeviceCodeTag, Poll>> {
        // Whole between any two lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more of this network may wait: it has less than its share, and a place is
    /// free, or is to be had from a network that has more of them.
    pub(super) fn has_room(&self, network: Network, now: Timestamp) -> Result<(), Full> {
        let mut polls = self.held();
        if polls.len() >= OF_ONE {
            polls.retain(|_, poll| now < poll.expires);
        }
        let own = of(&polls, network);
        if has_its_share(network, own) {
            return Err(Full::Network);
        }
        let is_free = polls.len() < MOST;
        let gives = || largest(&polls).is_some_and(|(_, most)| most > own.saturating_add(1));
        if is_free || gives() {
            Ok(())
        } else {
            Err(Full::All)
        }
    }

    /// A device begins to wait. Where no place is free, the newest of the network that has
    /// the most of them gives its own up: its codes stay good, and how often it asks is not
    /// counted any more.
    pub(super) fn begin(
        &self,
        tag: DeviceCodeTag,
        (network, expires): (Network, Timestamp),
        now: Timestamp,
    ) {
        let mut polls = self.held();
        polls.retain(|_, poll| now < poll.expires);
        if polls.len() >= MOST
            && let Some((most, _)) = largest(&polls)
            && let Some(newest) = newest_of(&polls, most)
        {
            polls.remove(&newest);
        }
        polls
            .entry(tag)
            .or_insert_with(|| Poll::new(network, expires));
    }

    /// A device waits no more.
    pub(super) fn end(&self, tag: &DeviceCodeTag) {
        self.held().remove(tag);
    }

    /// The row that a question with this very signature was about, and until when.
    pub(super) fn seen(&self, tag: &DeviceCodeTag, signature: &[u8]) -> Option<(Seq, Timestamp)> {
        let polls = self.held();
        let poll = polls.get(tag)?;
        let seen = poll.seen.as_ref()?;
        (seen.signature == signature).then_some((seen.version, poll.expires))
    }

    /// Notes that a question was by the right key and is unanswered.
    pub(super) fn note(&self, tag: &DeviceCodeTag, signature: &[u8], version: Seq) {
        if let Some(poll) = self.held().get_mut(tag) {
            poll.seen = Some(Seen {
                signature: signature.to_vec(),
                version,
            });
        }
    }

    /// Whether a device that has proven itself may ask now; one that asks too early has to
    /// wait longer each time. One that is not known here, since this server was started
    /// after it asked or another one let it wait, is from now on, if there is room; it takes
    /// nobody's place for that.
    pub(super) fn may_ask(
        &self,
        tag: DeviceCodeTag,
        (network, expires): (Network, Timestamp),
        (now, steady): (Timestamp, Instant),
    ) -> bool {
        let mut polls = self.held();
        if !polls.contains_key(&tag) {
            if polls.len() >= OF_ONE {
                polls.retain(|_, poll| now < poll.expires);
            }
            if polls.len() >= MOST || has_its_share(network, of(&polls, network)) {
                return true;
            }
        }
        let poll = polls
            .entry(tag)
            .or_insert_with(|| Poll::new(network, expires));
        let early = poll
            .last
            .is_some_and(|last| steady.saturating_duration_since(last) + JITTER < poll.interval);
        poll.last = Some(steady);
        if early {
            poll.interval = poll.interval.saturating_add(LONGER);
        }
        !early
    }
}

/// Devices of this network that wait.
fn of(polls: &HashMap<DeviceCodeTag, Poll>, network: Network) -> usize {
    let all = polls.values();
    all.filter(|poll| poll.network == network).count()
}

/// Whether a network that has so many may have no more.
const fn has_its_share(network: Network, own: usize) -> bool {
    network.0.is_some() && own >= OF_ONE
}

/// The network that has the most places, and how many those are.
fn largest(polls: &HashMap<DeviceCodeTag, Poll>) -> Option<(Network, usize)> {
    let mut counts: HashMap<Network, usize> = HashMap::new();
    for poll in polls.values() {
        let count = counts.entry(poll.network).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().max_by_key(|(_, count)| *count)
}

/// The device of this network that has waited for the shortest time.
fn newest_of(polls: &HashMap<DeviceCodeTag, Poll>, network: Network) -> Option<DeviceCodeTag> {
    let own = polls.iter().filter(|(_, poll)| poll.network == network);
    own.max_by_key(|(_, poll)| poll.expires)
        .map(|(tag, _)| *tag)
}

impl Poll {
    const fn new(network: Network, expires: Timestamp) -> Self {
        Self {
            network,
            last: None,
            interval: INTERVAL,
            expires,
            seen: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::MacKey;

    fn tag(code: &str) -> DeviceCodeTag {
        DeviceCodeTag::of(&MacKey::from_bytes(&[1; 32]).unwrap(), code)
    }

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn end() -> Timestamp {
        NOW.plus(Duration::from_secs(600))
    }

    /// Of this machine itself.
    const HERE: Network = Network(None);

    fn at(address: &str) -> Network {
        Network::of(Some(address.parse().unwrap()))
    }

    #[test]
    fn whoever_asks_too_often_waits_five_seconds_longer_each_time() {
        let (polls, begin) = (Polls::default(), Instant::now());
        let (one, other) = (tag("one"), tag("other"));
        polls.begin(one, (HERE, end()), NOW);
        let at = |tag, millis: u64| {
            let steady = begin + Duration::from_millis(millis);
            polls.may_ask(tag, (HERE, end()), (NOW, steady))
        };
        // (when, whether it may)
        for (millis, may) in [
            (0, true),
            (4_999, true),
            (9_400, false),
            // Ten seconds now, counted from the last question.
            (18_800, false),
            // Fifteen.
            (33_800, true),
            (48_800, true),
        ] {
            assert_eq!(at(one, millis), may, "{millis}");
        }
        // Nobody else is slowed down by it.
        assert!(at(other, 48_800));
        assert!(!at(other, 48_801));
    }

    #[test]
    fn so_many_wait_at_once_and_those_that_are_over_make_room() {
        let polls = Polls::default();
        for place in 0..MOST {
            assert_eq!(polls.has_room(HERE, NOW), Ok(()));
            polls.begin(tag(&place.to_string()), (HERE, end()), NOW);
        }
        assert_eq!(polls.has_room(HERE, NOW), Err(Full::All));
        // One that is not known here is let be, and takes no place.
        for _ in 0..2 {
            let steady = Instant::now();
            assert!(polls.may_ask(tag("new"), (HERE, end()), (NOW, steady)));
        }
        polls.end(&tag("0"));
        assert_eq!(polls.has_room(HERE, NOW), Ok(()));
        polls.begin(tag("0"), (HERE, end()), NOW);
        assert_eq!(polls.has_room(HERE, NOW), Err(Full::All));
        assert_eq!(polls.has_room(HERE, end()), Ok(()));
    }

    #[test]
    fn a_network_is_48_bits_or_16() {
        for (one, other, same) in [
            ("2001:db8:1:2::3", "2001:db8:1:ffff::1", true),
            ("2001:db8:1::", "2001:db8:2::", false),
            ("192.0.2.1", "192.0.255.9", true),
            ("192.0.2.1", "192.1.2.1", false),
            ("192.0.2.1", "::ffff:192.0.9.9", true),
            ("127.0.0.1", "::1", true),
            ("::ffff:127.0.0.1", "::1", true),
        ] {
            assert_eq!(at(one) == at(other), same, "{one} {other}");
        }
        assert_eq!(Network::of(None), at("::1"));
    }

    #[test]
    fn one_network_takes_an_eighth_and_leaves_the_rest_to_others() {
        let polls = Polls::default();
        // As many /64 as one likes are one /48.
        for place in 0..OF_ONE {
            let network = at(&format!("2001:db8:1:{place:x}::1"));
            assert_eq!(polls.has_room(network, NOW), Ok(()), "{place}");
            polls.begin(tag(&place.to_string()), (network, end()), NOW);
        }
        let (full, other) = (at("2001:db8:1:ffff::1"), at("2001:db8:2::1"));
        assert_eq!(polls.has_room(full, NOW), Err(Full::Network));
        // One that asked elsewhere takes no place beyond the share either, and is let be.
        for _ in 0..2 {
            let steady = Instant::now();
            assert!(polls.may_ask(tag("new"), (full, end()), (NOW, steady)));
        }
        for free in [other, at("192.0.2.1"), HERE] {
            assert_eq!(polls.has_room(free, NOW), Ok(()));
        }
        assert_eq!(polls.has_room(full, end()), Ok(()));
    }

    #[test]
    fn where_all_is_taken_the_newest_of_the_largest_network_gives_its_place_up() {
        let polls = Polls::default();
        let of = |network: usize| at(&format!("2001:db8:{network:x}::1"));
        // Seven have their share; the eighth has some less, and a ninth the rest.
        for place in 0..MOST - 10 {
            let network = of(place / OF_ONE);
            let when = end().plus(Duration::from_secs(u64::from(place == 5)));
            polls.begin(tag(&place.to_string()), (network, when), NOW);
        }
        for place in MOST - 10..MOST {
            polls.begin(tag(&place.to_string()), (of(9), end()), NOW);
        }
        // One more in the first, which is over its share for having asked elsewhere.
        let one = tag(&(MOST - 1).to_string());
        polls.end(&one);
        polls.begin(one, (of(0), end()), NOW);
        assert_eq!(polls.held().len(), MOST);
        let newcomer = of(77);
        assert_eq!(polls.has_room(newcomer, NOW), Ok(()));
        polls.begin(tag("new"), (newcomer, end()), NOW);
        let held = polls.held();
        assert_eq!(held.len(), MOST);
        assert!(held.contains_key(&tag("new")));
        // The one of the largest that began last.
        assert!(!held.contains_key(&tag("5")));
        drop(held);
        assert_eq!(polls.has_room(of(0), NOW), Err(Full::Network));
        // Where it would have as many as any other has, nobody gives it one.
        for place in 0..MOST {
            polls.end(&tag(&place.to_string()));
        }
        polls.end(&tag("new"));
        for place in 0..MOST {
            polls.begin(tag(&place.to_string()), (of(place), end()), NOW);
        }
        assert_eq!(polls.has_room(of(9_999), NOW), Err(Full::All));
    }

    #[test]
    fn only_the_very_bytes_that_were_checked_are_known_again() {
        let polls = Polls::default();
        let one = tag("one");
        polls.note(&one, &[1; 64], Seq::new(7));
        assert_eq!(polls.seen(&one, &[1; 64]), None);
        polls.begin(one, (HERE, end()), NOW);
        polls.note(&one, &[1; 64], Seq::new(7));
        assert_eq!(polls.seen(&one, &[1; 64]), Some((Seq::new(7), end())));
        for other in [&[2; 64][..], &[1; 63], &[]] {
            assert_eq!(polls.seen(&one, other), None);
        }
        assert_eq!(polls.seen(&tag("other"), &[1; 64]), None);
    }
}
