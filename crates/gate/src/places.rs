//! How many connections there may be, in all and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one listener.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    each: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One of all places, before it is known whose.
pub(crate) struct Free(OwnedSemaphorePermit);

/// A place that a connection has.
pub(crate) struct Place {
    places: Arc<Places>,
    holder: Option<IpAddr>,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            each,
            held: Mutex::default(),
        })
    }

    /// Waits for a place. It is taken before a connection is accepted: beyond the
    /// limit the kernel's queue holds them, and this process does not.
    pub(crate) async fn free(&self) -> Free {
        match Arc::clone(&self.all).acquire_owned().await {
            Ok(permit) => Free(permit),
            // Nobody closes the semaphore; without one no connection is served.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives the place to a peer, unless that has as many as one may have.
    pub(crate) fn give(self: &Arc<Self>, free: Free, peer: IpAddr) -> Option<Place> {
        let holder = holder(peer);
        if let Some(holder) = holder {
            let mut held = self.held();
            let count = held.entry(holder).or_default();
            if *count >= self.each {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            places: Arc::clone(self),
            holder,
            _of_all: free.0,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counts are whole between any two lines; a panic elsewhere breaks none.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(holder) = self.holder else { return };
        let mut held = self.places.held();
        if let Some(count) = held.get_mut(&holder) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&holder);
            }
        }
    }
}

/// Who is counted as one. A network of IPv6 gives each of its hosts as many
/// addresses as it likes; who is on this machine needs none to do harm.
fn holder(peer: IpAddr) -> Option<IpAddr> {
    match peer {
        _ if peer.is_loopback() => None,
        IpAddr::V4(_) => Some(peer),
        IpAddr::V6(peer) => Some(Ipv6Addr::from_bits(peer.to_bits() & (!0 << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_does_not_get_all_places() {
        let places = Places::new(8, 2);
        let take = async |peer: &str| {
            let free = places.free().await;
            places.give(free, peer.parse().unwrap())
        };
        let first = take("192.0.2.1").await;
        let second = take("192.0.2.1").await;
        assert!(first.is_some() && second.is_some());
        assert!(take("192.0.2.1").await.is_none());
        let other = take("192.0.2.2").await;
        assert!(other.is_some());
        drop(first);
        let again = take("192.0.2.1").await;
        assert!(again.is_some());
        // A /64 is one; this machine is not counted.
        let network = [take("2001:db8::1").await, take("2001:db8::2").await];
        assert!(network.iter().all(Option::is_some));
        assert!(take("2001:db8::3").await.is_none());
        let own = [
            take("127.0.0.1").await,
            take("::1").await,
            take("::1").await,
        ];
        assert!(own.iter().all(Option::is_some));
        drop((second, other, again, network, own));
        assert!(places.held().is_empty());
    }
}
