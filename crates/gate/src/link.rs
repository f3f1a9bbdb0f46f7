//! One connection of a client, as those who answer on it see it.

use crate::serve::Core;
use crate::upgrade::Tunnel;
use http::HeaderValue;
use procura_edge::wire::Signals;
use procura_types::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many more requests may be taken back than are answered, on one connection
/// (the rapid reset of CVE-2023-44487).
const MOST_TAKEN_BACK: usize = 100;

/// A connection.
pub(crate) struct Link {
    pub(crate) core: Arc<Core>,
    /// Who is at the other end; an IPv4 address that is mapped into IPv6 as such.
    pub(crate) peer: IpAddr,
    /// The same for `X-Forwarded-For`.
    pub(crate) peer_field: HeaderValue,
    pub(crate) tls: bool,
    /// Over HTTP/2 a client can take nothing of an answer and all of the connection.
    http2: bool,
    pub(crate) signals: Arc<Signals>,
    tunnel: Mutex<Option<Tunnel>>,
    /// How many more requests were taken back than were answered to the end.
    taken_back: AtomicUsize,
    flooded: Notify,
    /// Since when parts of answers wait for the client, by the number of the request.
    waiting: Mutex<BTreeMap<usize, Instant>>,
    running: AtomicUsize,
    begun: AtomicUsize,
}

impl Link {
    pub(crate) fn new(
        core: Arc<Core>,
        peer: IpAddr,
        (tls, http2): (bool, bool),
        signals: Arc<Signals>,
    ) -> Self {
        let peer_field = HeaderValue::try_from(peer.to_string());
        Self {
            core,
            peer,
            // Digits, letters, dots and colons are a value.
            peer_field: peer_field.unwrap_or(HeaderValue::from_static("unknown")),
            tls,
            http2,
            signals,
            tunnel: Mutex::default(),
            taken_back: AtomicUsize::new(0),
            flooded: Notify::new(),
            waiting: Mutex::default(),
            running: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
        }
    }

    /// The connection becomes a tunnel once HTTP has ended on it.
    pub(crate) fn set_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
        self.signals.tunnel();
    }

    pub(crate) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A request came to its end, or was taken back before.
    fn count(&self, answered: bool) {
        let change = |count: usize| {
            Some(if answered {
                count.saturating_sub(1)
            } else {
                count.saturating_add(1)
            })
        };
        let before = self
            .taken_back
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        if !answered && before.is_ok_and(|count| count >= MOST_TAKEN_BACK) {
            self.flooded.notify_one();
        }
    }

    /// Waits until so many requests were taken back that it can only be on purpose:
    /// each costs the client one frame, and this gate a request to the upstream.
    pub(crate) async fn flooded(&self) {
        self.flooded.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<usize, Instant>> {
        // The map is whole between any two lines.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a part of an answer has waited so long for the client to take it.
    pub(crate) async fn stalled(&self, most: Duration) {
        loop {
            tokio::time::sleep(most / 4).await;
            let now = Instant::now();
            let first = self.waiting().values().min().copied();
            if first.is_some_and(|since| now.duration_since(since) >= most) {
                return;
            }
        }
    }

    /// How many requests have begun, if none is running.
    pub(crate) fn at_rest(&self) -> Option<usize> {
        (self.running.load(Ordering::Acquire) == 0).then(|| self.begun.load(Ordering::Acquire))
    }
}

/// A request is running, to the end of its answer.
pub(crate) struct Busy {
    link: Arc<Link>,
    number: usize,
    answered: bool,
}

impl Busy {
    pub(crate) fn on(link: &Arc<Link>) -> Self {
        link.running.fetch_add(1, Ordering::AcqRel);
        Self {
            link: Arc::clone(link),
            number: link.begun.fetch_add(1, Ordering::AcqRel),
            answered: false,
        }
    }

    /// A part of the answer was handed out; it waits until the next one is asked for.
    pub(crate) fn handed(&self) {
        if self.link.http2 {
            self.link.waiting().insert(self.number, Instant::now());
        }
    }

    /// The client has taken all that was handed out.
    pub(crate) fn taken(&self) {
        if self.link.http2 {
            self.link.waiting().remove(&self.number);
        }
    }

    /// The answer has come to its end, or begins and needs no more waiting for.
    pub(crate) const fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.taken();
        self.link.running.fetch_sub(1, Ordering::AcqRel);
        self.link.count(self.answered);
    }
}
