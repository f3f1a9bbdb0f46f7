//! Places for connections and for requests: so many in all, and for each address
//! at most its share of them, so that nobody alone can keep others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share of an address is one in so many of all places, unless it is configured.
const SHARES: usize = 4;

/// How many places there are, and who has them.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    share: usize,
    /// Whether addresses of this machine have a share like others.
    loopback_shares: bool,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place; given back when it is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

/// One of the places that an address may have, before there is one free.
pub(crate) struct Share {
    /// None for an address that may have all.
    of: Option<(Arc<Places>, IpAddr)>,
}

impl Places {
    /// So many places. Without a configured share an address gets a quarter of them,
    /// at least one; this machine's own addresses get all, since behind them stands
    /// whoever comes through a proxy or a gate on it, and in an installation without
    /// TLS everybody.
    pub(crate) fn new(most: usize, share: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            share: share.unwrap_or(most / SHARES).max(1),
            loopback_shares: share.is_some(),
            taken: Mutex::default(),
        })
    }

    /// Counts one more place for an address; none if it has its share already.
    pub(crate) fn share(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let address = address.to_canonical();
        if address.is_loopback() && !self.loopback_shares {
            return Some(Share { of: None });
        }
        let source = source(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(source).or_insert(0);
        if *count >= self.share {
            return None;
        }
        *count += 1;
        Some(Share {
            of: Some((Arc::clone(self), source)),
        })
    }

    /// Waits until a place is free for the share.
    pub(crate) async fn free(&self, share: Share) -> Option<Place> {
        // The semaphore is never closed; if it were, there would be no more places.
        let permit = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place {
            _permit: permit,
            _share: share,
        })
    }

    /// Takes a place for an address; none if all are taken or its share is.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let share = self.share(address)?;
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place {
            _permit: permit,
            _share: share,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((places, source)) = &self.of else {
            return;
        };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(source) {
            *count = count.saturating_sub(1);
            // Who has no place is not remembered: the map is as long as there are
            // places, whoever comes and goes.
            if *count == 0 {
                taken.remove(source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 network of an IPv6 address,
/// all of which one host can use.
fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_a_quarter_and_others_the_rest() {
        let places = Places::new(8, None);
        let first: Vec<_> = (0..2).map(|_| places.take(at("192.0.2.1"))).collect();
        assert!(first.iter().all(Option::is_some));
        assert!(places.take(at("192.0.2.1")).is_none());
        // The same address, written as IPv6.
        assert!(places.take(at("::ffff:192.0.2.1")).is_none());
        assert!(places.take(at("192.0.2.2")).is_some());
        drop(first);
        assert!(places.take(at("192.0.2.1")).is_some());
        assert!(places.taken.lock().unwrap().is_empty(), "none is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let places = Places::new(4, None);
        let _first = places.take(at("2001:db8::1")).unwrap();
        assert!(places.take(at("2001:db8::ffff:1")).is_none());
        assert!(places.take(at("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn this_machine_gets_all_unless_a_share_is_set() {
        let places = Places::new(3, None);
        let held: Vec<_> = (0..3).map(|_| places.take(at("127.0.0.1"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(at("::1")).is_none(), "there are three");
        let places = Places::new(3, Some(1));
        let _one = places.take(at("127.0.0.1")).unwrap();
        assert!(places.take(at("127.0.0.1")).is_none());
        assert!(places.take(at("127.0.0.2")).is_some());
        assert!(places.take(at("::1")).is_some());
    }

    #[test]
    fn the_smallest_share_is_one() {
        let places = Places::new(2, None);
        let _one = places.take(at("192.0.2.1")).unwrap();
        assert!(places.take(at("192.0.2.1")).is_none());
    }

    #[test]
    fn a_place_that_is_not_free_does_not_use_up_the_share() {
        let places = Places::new(1, Some(1));
        let held = places.take(at("192.0.2.1")).unwrap();
        assert!(places.take(at("192.0.2.2")).is_none());
        drop(held);
        assert!(places.take(at("192.0.2.2")).is_some());
    }
}
