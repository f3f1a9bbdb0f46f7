//! What every [`ReplayGuard`] has to do; each implementation runs it.

use crate::guard::{Claim, Once, Outcome, ReplayGuard, Windows};
use procura_types::{Thumbprint, Timestamp};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The time at which the suite begins: far ahead of today, so that a guard over a real
/// server, whose memory begins by a real clock, remembers all of it.
pub const START: Timestamp = Timestamp::from_secs(4_000_000_000);

/// The caps that the guard under test has to be made with.
pub const LIMITS: crate::Limits = crate::Limits {
    nonces: 64,
    sessions: 4,
};

fn nonce<'a>(device: &'a Thumbprint, nonce: &'a [u8], at: u64) -> Claim<'a> {
    let now = Timestamp::from_secs(START.as_secs() + at);
    Claim {
        device,
        created: now,
        now,
        ahead: Windows::FOREIGN.forward,
        once: Once::Nonce(nonce),
        by: None,
    }
}

fn counter<'a>(device: &'a Thumbprint, session: &'a [u8; 16], counter: u64, at: u64) -> Claim<'a> {
    let now = Timestamp::from_secs(START.as_secs() + at);
    let expires = Timestamp::from_secs(START.as_secs() + 600);
    Claim {
        device,
        created: now,
        now,
        ahead: Windows::FOREIGN.forward,
        once: Once::Counter {
            session,
            counter,
            expires,
        },
        by: None,
    }
}

/// Runs the suite on guards that `fresh` makes with [`LIMITS`] for `windows`.
///
/// # Panics
/// When the guard does not conform; the message says how.
pub fn run(windows: Windows, fresh: &mut dyn FnMut() -> Box<dyn ReplayGuard>) {
    once_per_device(fresh().as_ref());
    remembered_as_long_as_let_in(fresh().as_ref(), windows);
    made_ahead_is_remembered_until_too_old(fresh().as_ref(), windows);
    cap_touches_one_device_only(fresh().as_ref(), windows);
    counters_slide(fresh().as_ref());
    sessions_have_a_cap(fresh().as_ref());
    one_of_many_wins(fresh().as_ref());
    a_clock_set_back_forgets_nothing_silently(fresh().as_ref());
}

fn once_per_device(guard: &dyn ReplayGuard) {
    let (a, b) = (
        Thumbprint::from_bytes([1; 32]),
        Thumbprint::from_bytes([2; 32]),
    );
    assert_eq!(guard.claim(&nonce(&a, b"n1", 0)), Ok(Outcome::Fresh));
    assert_eq!(guard.claim(&nonce(&a, b"n1", 0)), Ok(Outcome::Replayed));
    assert_eq!(guard.claim(&nonce(&a, b"n2", 0)), Ok(Outcome::Fresh));
    assert_eq!(
        guard.claim(&nonce(&b, b"n1", 0)),
        Ok(Outcome::Fresh),
        "per device"
    );
}

fn remembered_as_long_as_let_in(guard: &dyn ReplayGuard, windows: Windows) {
    let device = Thumbprint::from_bytes([1; 32]);
    assert_eq!(guard.claim(&nonce(&device, b"n", 0)), Ok(Outcome::Fresh));
    for at in 1..windows.retain() {
        // Others' claims make the guard purge what it may.
        let other = other(at);
        assert_eq!(
            guard.claim(&nonce(&other, &at.to_be_bytes(), at)),
            Ok(Outcome::Fresh)
        );
        assert_eq!(
            guard.claim(&nonce(&device, b"n", at)),
            Ok(Outcome::Replayed),
            "{at} s later"
        );
    }
}

/// A proof made as far ahead as the clock lets in is good for the longest time.
fn made_ahead_is_remembered_until_too_old(guard: &dyn ReplayGuard, windows: Windows) {
    let device = Thumbprint::from_bytes([1; 32]);
    let created = Timestamp::from_secs(START.as_secs() + windows.forward);
    let claim = |at: u64| {
        guard.claim(&Claim {
            created,
            ..nonce(&device, b"n", at)
        })
    };
    assert_eq!(claim(0), Ok(Outcome::Fresh));
    let last = windows.forward + windows.back;
    for at in [1, windows.back + 1, last - 1, last] {
        let now = Timestamp::from_secs(START.as_secs() + at);
        assert!(windows.place(created, now).is_eq(), "let in {at} s later");
        let _ = guard.claim(&nonce(&other(at), b"n", at));
        assert_eq!(claim(at), Ok(Outcome::Replayed), "{at} s later");
    }
}

/// Another device than the first, for each second another one.
fn other(at: u64) -> Thumbprint {
    let mut bytes = [2; 32];
    for (to, from) in bytes.iter_mut().zip(at.to_be_bytes()) {
        *to = from;
    }
    Thumbprint::from_bytes(bytes)
}

fn cap_touches_one_device_only(guard: &dyn ReplayGuard, windows: Windows) {
    let (a, b) = (
        Thumbprint::from_bytes([1; 32]),
        Thumbprint::from_bytes([2; 32]),
    );
    for n in 0..64u64 {
        assert_eq!(
            guard.claim(&nonce(&a, &n.to_be_bytes(), 0)),
            Ok(Outcome::Fresh)
        );
    }
    assert_eq!(
        guard.claim(&nonce(&a, b"one more", 1)),
        Ok(Outcome::OverCap)
    );
    assert_eq!(
        guard.claim(&nonce(&a, &0u64.to_be_bytes(), 1)),
        Ok(Outcome::Replayed)
    );
    assert_eq!(guard.claim(&nonce(&b, b"one", 1)), Ok(Outcome::Fresh));
    // Not early, and not never.
    assert_eq!(
        guard.claim(&nonce(&a, b"one more", windows.retain() - 1)),
        Ok(Outcome::OverCap)
    );
    assert_eq!(
        guard.claim(&nonce(&a, b"one more", 2 * windows.retain())),
        Ok(Outcome::Fresh)
    );
}

fn counters_slide(guard: &dyn ReplayGuard) {
    let device = Thumbprint::from_bytes([1; 32]);
    let claim = |session, n| guard.claim(&counter(&device, session, n, 0));
    assert_eq!(claim(&[7; 16], 5000), Ok(Outcome::Fresh));
    assert_eq!(claim(&[7; 16], 5000), Ok(Outcome::Replayed));
    assert_eq!(
        claim(&[7; 16], 905),
        Ok(Outcome::Fresh),
        "the last in the window"
    );
    assert_eq!(
        claim(&[7; 16], 904),
        Ok(Outcome::Replayed),
        "behind the window"
    );
    assert_eq!(claim(&[8; 16], 904), Ok(Outcome::Fresh), "per session");
    let late = counter(&device, &[7; 16], 5000, 599);
    assert_eq!(
        guard.claim(&late),
        Ok(Outcome::Replayed),
        "as long as the session"
    );
}

fn sessions_have_a_cap(guard: &dyn ReplayGuard) {
    let (a, b) = (
        Thumbprint::from_bytes([1; 32]),
        Thumbprint::from_bytes([2; 32]),
    );
    for n in 0..4 {
        assert_eq!(
            guard.claim(&counter(&a, &[n; 16], 1, 0)),
            Ok(Outcome::Fresh)
        );
    }
    assert_eq!(
        guard.claim(&counter(&a, &[9; 16], 1, 0)),
        Ok(Outcome::OverCap)
    );
    assert_eq!(
        guard.claim(&counter(&a, &[0; 16], 2, 0)),
        Ok(Outcome::Fresh)
    );
    assert_eq!(
        guard.claim(&counter(&b, &[9; 16], 1, 0)),
        Ok(Outcome::Fresh)
    );
}

fn one_of_many_wins(guard: &dyn ReplayGuard) {
    let device = Thumbprint::from_bytes([1; 32]);
    for round in 0..16u64 {
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if guard.claim(&nonce(&device, &round.to_be_bytes(), 0)) == Ok(Outcome::Fresh) {
                        won.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1, "round {round}");
    }
}

fn a_clock_set_back_forgets_nothing_silently(guard: &dyn ReplayGuard) {
    let device = Thumbprint::from_bytes([1; 32]);
    assert_eq!(guard.claim(&nonce(&device, b"n", 0)), Ok(Outcome::Fresh));
    assert_eq!(guard.claim(&nonce(&device, b"m", 3600)), Ok(Outcome::Fresh));
    // It may still know, or it may not and says so. It never lets it in again.
    assert_ne!(guard.claim(&nonce(&device, b"n", 1)), Ok(Outcome::Fresh));
}
