//! Where requests come from, and what each address may cost before anybody has
//! proven who they are (`docs/adr/0019-rates.md`).

mod forwarded;

pub use forwarded::{Proxies, Unclear};

use crate::rate::{Backoff, Limiter, Over};
use procura_types::{Duration, Rate, RateLimit};
use std::net::IpAddr;
use std::time::Instant;

/// Addresses that are remembered for how often they ask: 2 MB.
const ADDRESSES: usize = 65_536;

/// Addresses that are remembered for breaking rules.
const OFFENDERS: usize = 16_384;

/// What an address has for calls that cannot wait, beside all else.
const URGENT: Rate = Rate::per_second(10, 20);

/// What somebody has for calls by which gates stay informed, beside all else: a dozen
/// gates that look at feed, status and record at once.
pub const INFORMING: Rate = Rate::per_second(20, 40);

/// A bucket that an address has for some calls alone, for when it may not ask any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// Calls that take power away from somebody.
    Urgent,
    /// Calls by which a gate hears of it.
    Informing,
}

/// The network that counts as one source, whichever way an IPv4 address is written.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    crate::places::source(address.to_canonical())
}

/// Why a request of an address is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// The address asks too often.
    Over(Over),
    /// It broke rules, and has to wait.
    Waiting(Duration),
}

impl Turned {
    /// The word for it, in counts.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Over(_) => "address",
            Self::Waiting(_) => "violations",
        }
    }

    /// When it is worth to try again.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Over(over) => over.retry_after,
            Self::Waiting(wait) => *wait,
        }
    }

    /// How its bucket stands, if it has one.
    #[must_use]
    pub const fn over(&self) -> Option<&Over> {
        match self {
            Self::Over(over) => Some(over),
            Self::Waiting(_) => None,
        }
    }
}

/// What addresses may cost.
pub struct Sources {
    rate: Option<(Rate, Limiter)>,
    urgent: Limiter,
    informing: Limiter,
    /// None where addresses are let be.
    backoff: Option<Backoff>,
    /// Whether addresses of this machine are counted like others.
    loopback: bool,
}

impl Sources {
    /// Counts from `now` on, by what is configured, or else by `default`. Off, nobody
    /// waits for anything. Addresses of this machine are counted only if something is
    /// configured: behind them stands whoever comes through a proxy or a gate on it.
    #[must_use]
    pub fn new(configured: Option<RateLimit>, default: RateLimit, now: Instant) -> Self {
        let rate = configured.unwrap_or(default).rate();
        let counted = configured != Some(RateLimit::Off);
        Self {
            rate: rate.map(|rate| (rate, Limiter::new("address", ADDRESSES, now))),
            urgent: Limiter::new("urgent", ADDRESSES / 8, now),
            informing: Limiter::new("informing", ADDRESSES / 8, now),
            backoff: counted.then(|| Backoff::new(OFFENDERS, now)),
            loopback: configured.is_some(),
        }
    }

    fn counts(&self, address: IpAddr) -> bool {
        self.loopback || !address.to_canonical().is_loopback()
    }

    /// Whether a request of `address` is looked at. Any of the `reserves` that are for
    /// it is enough when the address may not: to take power away from somebody, and to
    /// hear of that, must be possible from the same address from which that somebody
    /// asks too much.
    ///
    /// # Errors
    /// [`Turned`], with the time to wait.
    pub fn admit(&self, address: IpAddr, reserves: &[Reserve], now: Instant) -> Result<(), Turned> {
        if !self.counts(address) {
            return Ok(());
        }
        let network = network(address);
        let mut turned = match self.turned(network, now) {
            None => return Ok(()),
            Some(turned) => turned,
        };
        for reserve in reserves {
            let (limiter, rate) = match reserve {
                Reserve::Urgent => (&self.urgent, &URGENT),
                Reserve::Informing => (&self.informing, &INFORMING),
            };
            match limiter.take(limiter.key(&network), rate, now) {
                Ok(_) => return Ok(()),
                Err(over) => turned = Turned::Over(over),
            }
        }
        Err(turned)
    }

    fn turned(&self, network: IpAddr, now: Instant) -> Option<Turned> {
        let backoff = self.backoff.as_ref();
        if let Some(wait) = backoff.and_then(|backoff| backoff.wait(&network, now)) {
            return Some(Turned::Waiting(wait));
        }
        let (rate, limiter) = self.rate.as_ref()?;
        let taken = limiter.take(limiter.key(&network), rate, now);
        taken.err().map(Turned::Over)
    }

    /// Notes that a request of `address` proved nothing. Gives the wait that begins
    /// with it, if one does.
    pub fn violated(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let backoff = self.backoff.as_ref().filter(|_| self.counts(address))?;
        backoff.violate(&network(address), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limit(text: &str) -> RateLimit {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv4_address_and_a_network_of_ipv6_are_one_source_each() {
        let same = |one, other| network(at(one)) == network(at(other));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    }

    #[test]
    fn a_flood_from_one_address_does_not_slow_another() {
        let now = Instant::now();
        let sources = Sources::new(Some(limit("10/s burst 3")), RateLimit::Off, now);
        let flood = (0..100).filter(|_| sources.admit(at("192.0.2.1"), &[], now).is_ok());
        assert_eq!(flood.count(), 3);
        let mapped = sources.admit(at("::ffff:192.0.2.1"), &[], now);
        assert_eq!(mapped.unwrap_err().kind(), "address");
        assert_eq!(sources.admit(at("192.0.2.2"), &[], now), Ok(()));
        // Another host's number in the same network of IPv6 is no way out.
        for _ in 0..3 {
            assert_eq!(sources.admit(at("2001:db8::1"), &[], now), Ok(()));
        }
        let over = sources.admit(at("2001:db8::2"), &[], now).unwrap_err();
        assert_eq!(over.retry_after(), Duration::from_millis(100));
    }

    #[test]
    fn what_is_urgent_and_what_informs_have_buckets_of_their_own() {
        let now = Instant::now();
        let sources = Sources::new(Some(limit("1/h")), RateLimit::Off, now);
        let source = at("192.0.2.1");
        for _ in 0..100 {
            sources.violated(source, now);
        }
        let turned = sources.admit(source, &[], now).unwrap_err();
        assert_eq!(turned, Turned::Waiting(Duration::from_secs(1)));
        let urgent = (0..100).filter(|_| sources.admit(source, &[Reserve::Urgent], now).is_ok());
        assert_eq!(urgent.count(), 20);
        // What keeps a gate informed is apart from it, and a call that is for both has both.
        let both = [Reserve::Urgent, Reserve::Informing];
        for (reserves, left) in [(&both[..1], 0), (&both[1..], 40), (&both[..], 0), (&[], 0)] {
            let passed = (0..100).filter(|_| sources.admit(source, reserves, now).is_ok());
            assert_eq!(passed.count(), left, "{reserves:?}");
        }
        let later = now + Duration::from_millis(100);
        let passed = (0..100).filter(|_| sources.admit(source, &both, later).is_ok());
        assert_eq!(passed.count(), 1 + 2);
        assert_eq!(sources.admit(at("192.0.2.2"), &[], now), Ok(()));
    }

    #[test]
    fn this_machine_is_counted_if_that_is_configured() {
        let now = Instant::now();
        let default = limit("1/h burst 1");
        for (configured, local, far) in [
            (None, false, true),
            (Some(default), true, true),
            (Some(RateLimit::Off), false, false),
        ] {
            let sources = Sources::new(configured, default, now);
            for (address, counted) in [
                ("127.0.0.1", local),
                ("::1", local),
                ("::ffff:127.0.0.1", local),
                ("192.0.2.1", far),
            ] {
                let _ = sources.admit(at(address), &[], now);
                let turned = sources.admit(at(address), &[], now).is_err();
                assert_eq!(turned, counted, "{configured:?} {address}");
                let waits = (0..100).any(|_| sources.violated(at(address), now).is_some());
                assert_eq!(
                    waits,
                    counted && address != "::ffff:127.0.0.1",
                    "{configured:?} {address}"
                );
            }
        }
    }
}
