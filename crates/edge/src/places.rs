//! Places for connections, for requests, for bytes: so many in all, and for each
//! address at most its share of them, so that nobody alone can keep others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The share of an address is one in so many of all places, unless it is configured.
const SHARES: usize = 4;

/// How many places one address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Each {
    /// So many, at least one.
    pub most: usize,
    /// Whether addresses of this machine have a share like others, or all. Behind them
    /// stands whoever comes through a proxy or a gate on it, and in an installation
    /// without TLS everybody.
    pub of_this_machine: bool,
}

impl Each {
    /// A quarter of so many; for addresses of this machine all.
    #[must_use]
    pub const fn quarter_of(all: usize) -> Self {
        Self {
            most: all / SHARES,
            of_this_machine: false,
        }
    }
}

/// How many places there are, and who has them.
pub struct Places {
    all: Arc<Semaphore>,
    each: Each,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One or more places; given back when it is dropped.
pub struct Place {
    permit: OwnedSemaphorePermit,
    share: Share,
}

/// What an address takes of its share, before there is a place free.
pub struct Share {
    places: Arc<Places>,
    /// None for an address that may have all.
    of: Option<IpAddr>,
    count: usize,
}

impl Places {
    /// So many places.
    #[must_use]
    pub fn new(most: usize, each: Each) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            each,
            taken: Mutex::default(),
        })
    }

    /// Counts one more place for an address; none if it has its share already.
    pub fn share(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let address = address.to_canonical();
        let all = address.is_loopback() && !self.each.of_this_machine;
        let mut share = Share {
            places: Arc::clone(self),
            of: (!all).then(|| source(address)),
            count: 0,
        };
        share.grow(1).then_some(share)
    }

    /// Waits until a place is free for the share.
    pub async fn free(&self, share: Share) -> Option<Place> {
        // The semaphore is never closed; if it were, there would be no more places.
        let permit = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place { permit, share })
    }

    /// Takes a place for an address; none if all are taken or its share is.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let share = self.share(address)?;
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place { permit, share })
    }

    /// How many are free.
    #[must_use]
    pub fn left(&self) -> usize {
        self.all.available_permits()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counts are whole between any two lines; a panic elsewhere breaks none.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes so many more for the same address; nothing is taken unless all are free
    /// and within its share.
    #[must_use]
    pub fn grow(&mut self, more: u32) -> bool {
        let Ok(count) = usize::try_from(more) else {
            return false;
        };
        if !self.share.grow(count) {
            return false;
        }
        match Arc::clone(&self.share.places.all).try_acquire_many_owned(more) {
            Ok(permit) => {
                self.permit.merge(permit);
                true
            }
            Err(_) => {
                self.share.shrink(count);
                false
            }
        }
    }
}

impl Share {
    /// Counts so many more, if that is within the share.
    fn grow(&mut self, more: usize) -> bool {
        let Some(source) = self.of else { return true };
        let most = self.places.each.most.max(1);
        let mut taken = self.places.taken();
        let before = taken.get(&source).copied().unwrap_or_default();
        let Some(after) = before.checked_add(more).filter(|after| *after <= most) else {
            return false;
        };
        taken.insert(source, after);
        self.count = self.count.saturating_add(more);
        true
    }

    fn shrink(&mut self, less: usize) {
        let Some(source) = self.of else { return };
        let mut taken = self.places.taken();
        self.count = self.count.saturating_sub(less);
        if let Some(count) = taken.get_mut(&source) {
            *count = count.saturating_sub(less);
            // Who has no place is not remembered: the map is as long as there are
            // places, whoever comes and goes.
            if *count == 0 {
                taken.remove(&source);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.count);
    }
}

/// What counts as one source: an IPv4 address, or the /64 network of an IPv6 address,
/// all of which one host can use.
pub(crate) fn source(address: IpAddr) -> IpAddr {
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

    fn quarter(most: usize) -> Arc<Places> {
        Places::new(most, Each::quarter_of(most))
    }

    fn each(most: usize, each: usize) -> Arc<Places> {
        let each = Each {
            most: each,
            of_this_machine: true,
        };
        Places::new(most, each)
    }

    #[test]
    fn an_address_gets_a_quarter_and_others_the_rest() {
        let places = quarter(8);
        let first: Vec<_> = (0..2).map(|_| places.take(at("192.0.2.1"))).collect();
        assert!(first.iter().all(Option::is_some));
        assert!(places.take(at("192.0.2.1")).is_none());
        // The same address, written as IPv6.
        assert!(places.take(at("::ffff:192.0.2.1")).is_none());
        assert!(places.take(at("192.0.2.2")).is_some());
        drop(first);
        assert!(places.take(at("192.0.2.1")).is_some());
        assert!(places.taken().is_empty(), "none is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let places = quarter(4);
        let _first = places.take(at("2001:db8::1")).unwrap();
        assert!(places.take(at("2001:db8::ffff:1")).is_none());
        assert!(places.take(at("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn this_machine_gets_all_unless_it_has_a_share() {
        let places = quarter(3);
        let held: Vec<_> = (0..3).map(|_| places.take(at("127.0.0.1"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(at("::1")).is_none(), "there are three");
        let places = each(3, 1);
        let _one = places.take(at("127.0.0.1")).unwrap();
        assert!(places.take(at("127.0.0.1")).is_none());
        assert!(places.take(at("127.0.0.2")).is_some());
        assert!(places.take(at("::1")).is_some());
    }

    #[test]
    fn the_smallest_share_is_one() {
        let places = quarter(2);
        let _one = places.take(at("192.0.2.1")).unwrap();
        assert!(places.take(at("192.0.2.1")).is_none());
    }

    #[test]
    fn a_place_that_is_not_free_does_not_use_up_the_share() {
        let places = each(1, 1);
        let held = places.take(at("192.0.2.1")).unwrap();
        assert!(places.take(at("192.0.2.2")).is_none());
        drop(held);
        assert!(places.take(at("192.0.2.2")).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_a_place_has_taken_of_its_share() {
        let places = each(1, 1);
        let held = places.take(at("192.0.2.1")).unwrap();
        let share = places.share(at("192.0.2.2")).unwrap();
        assert!(places.share(at("192.0.2.2")).is_none());
        drop(held);
        let place = places.free(share).await.unwrap();
        assert!(places.take(at("192.0.2.1")).is_none(), "there is one");
        drop(place);
        assert!(places.taken().is_empty());
    }

    #[test]
    fn a_place_grows_within_the_share_and_what_is_free() {
        let places = quarter(40);
        let mut one = places.take(at("192.0.2.1")).unwrap();
        assert!(one.grow(8));
        assert!(!one.grow(2), "a quarter is ten");
        let mut other = places.take(at("192.0.2.1")).unwrap();
        assert!(!other.grow(1), "another request of the same address");
        assert!(other.grow(0));
        // All of it, by many: what one has of its share beyond what is free is not
        // counted.
        let mut own = places.take(at("127.0.0.1")).unwrap();
        assert!(own.grow(28));
        let mut last = places.take(at("192.0.2.2")).unwrap();
        assert!(!last.grow(1), "forty are taken");
        drop(one);
        assert!(last.grow(9));
        assert!(!last.grow(1));
        drop((other, own, last));
        assert!(places.taken().is_empty());
    }
}
