//! Rolls: no verifier that goes by a set it may go by refuses a token that counts.

use crate::p256;
use procura_crypto::PublicKey;
use procura_token::{
    KEY_SET_LIFE, KeyRing, KeyState, NotReady, Retirement, SKEW, TOKEN_LIFE, UnknownKey,
};
use procura_types::{Duration, Thumbprint, Timestamp};
use proptest::prelude::*;
use std::sync::LazyLock;

const BEGIN: Timestamp = Timestamp::from_secs(1_795_000_000);
const READY: Duration = Duration::from_secs(360);

/// Keys to take from; making one takes a while.
static KEYS: LazyLock<Vec<PublicKey>> =
    LazyLock::new(|| (0..100).map(|_| p256().public().clone()).collect());

fn key(number: usize) -> PublicKey {
    KEYS[number].clone()
}

fn kid(number: usize) -> Thumbprint {
    KEYS[number].thumbprint()
}

fn ring() -> KeyRing {
    KeyRing::found(key(0), key(1), TOKEN_LIFE, BEGIN)
}

fn states(ring: &KeyRing, now: Timestamp) -> Vec<(usize, KeyState)> {
    ring.keys(now)
        .map(|found| {
            let number = KEYS.iter().position(|key| key == found.key).unwrap();
            (number, found.state)
        })
        .collect()
}

fn published(ring: &KeyRing, now: Timestamp) -> Vec<Thumbprint> {
    let set = ring.key_set(now).unwrap();
    set.keys().iter().map(PublicKey::thumbprint).collect()
}

use KeyState::{Active, Next, Retired, Retiring};

#[test]
fn a_roll_moves_every_key_one_step() {
    let mut ring = ring();
    assert_eq!(states(&ring, BEGIN), [(1, Next), (0, Active)]);
    // The first two are in the first set together.
    ring.roll(key(2), BEGIN).unwrap();
    assert_eq!(
        states(&ring, BEGIN),
        [(2, Next), (1, Active), (0, Retiring)]
    );
    assert_eq!(published(&ring, BEGIN), [kid(2), kid(1), kid(0)]);
    let over = BEGIN.plus(TOKEN_LIFE).plus(SKEW);
    let before = over.minus(Duration::from_millis(1));
    assert_eq!(states(&ring, before)[2], (0, Retiring));
    assert_eq!(states(&ring, over)[2], (0, Retired));
    assert_eq!(published(&ring, over), [kid(2), kid(1)]);
}

#[test]
fn a_key_does_not_sign_before_every_verifier_may_know_it() {
    assert_eq!(READY, KEY_SET_LIFE + SKEW);
    let mut ring = ring();
    ring.roll(key(2), BEGIN).unwrap();
    let ready = BEGIN.plus(READY);
    for now in [BEGIN, ready.minus(Duration::from_millis(1))] {
        let before = ring.clone();
        assert_eq!(ring.roll(key(3), now), Err(NotReady(ready)));
        assert_eq!(ring, before);
    }
    ring.roll(key(3), ready).unwrap();
    assert_eq!(ring.active(), &key(2));
}

#[test]
fn a_key_that_is_suspected_goes_at_once() {
    let mut ring = ring();
    // Active: the next one signs, ready or not.
    ring.roll(key(2), BEGIN).unwrap();
    assert_eq!(
        ring.retire(&kid(1), key(3), BEGIN),
        Ok(Retirement::Replaced)
    );
    assert_eq!(
        states(&ring, BEGIN),
        [(3, Next), (2, Active), (1, Retired), (0, Retiring)]
    );
    // Retiring.
    assert_eq!(ring.retire(&kid(0), key(4), BEGIN), Ok(Retirement::Former));
    assert_eq!(published(&ring, BEGIN), [kid(3), kid(2)]);
    // Next.
    assert_eq!(
        ring.retire(&kid(3), key(4), BEGIN),
        Ok(Retirement::Replaced)
    );
    assert_eq!(published(&ring, BEGIN), [kid(4), kid(2)]);
    // Again, and one that never was.
    let before = ring.clone();
    assert_eq!(ring.retire(&kid(1), key(5), BEGIN), Ok(Retirement::Already));
    assert_eq!(ring.retire(&kid(9), key(5), BEGIN), Err(UnknownKey));
    assert_eq!(ring, before);
}

#[test]
fn those_before_are_forgotten_but_not_while_they_are_in_the_set() {
    let mut ring = ring();
    let mut now = BEGIN;
    for number in 2..80 {
        ring.roll(key(number), now).unwrap();
        now = now.plus(READY);
    }
    let found = states(&ring, now);
    assert_eq!(found.len(), 34);
    let retiring = found.iter().filter(|(_, state)| *state == Retiring).count();
    // As many as end within an hour and a minute.
    assert_eq!(retiring, 10);
}

#[test]
fn a_ring_comes_back_from_json() {
    let mut ring = ring();
    ring.roll(key(2), BEGIN).unwrap();
    ring.retire(&kid(0), key(3), BEGIN).unwrap();
    let json = serde_json::to_string(&ring).unwrap();
    assert_eq!(serde_json::from_str::<KeyRing>(&json).unwrap(), ring);
}

/// What happens to a ring.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Roll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![(1u64..2000).prop_map(Step::Wait), Just(Step::Roll)];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever fetched a set and goes by it for as long as it may can verify every
    /// token that was made and is not over.
    #[test]
    fn no_verifier_with_a_cached_set_fails(steps in steps()) {
        let (mut ring, mut now, mut fresh) = (ring(), BEGIN, 2);
        // Sets as they were fetched, and tokens as they were signed.
        let mut fetched = vec![(BEGIN, published(&ring, BEGIN))];
        let mut signed = vec![(BEGIN, ring.active().thumbprint())];
        for step in steps {
            match step {
                Step::Wait(seconds) => now = now.plus(Duration::from_secs(seconds)),
                Step::Roll => {
                    // A set is fetched, and a token made, right before.
                    fetched.push((now, published(&ring, now)));
                    signed.push((now, ring.active().thumbprint()));
                    if ring.roll(key(fresh), now).is_ok() {
                        fresh += 1;
                    }
                }
            }
            fetched.push((now, published(&ring, now)));
            signed.push((now, ring.active().thumbprint()));
            prop_assert!(published(&ring, now).len() >= 2);
            for (at, set) in &fetched {
                if now.since(*at) > KEY_SET_LIFE {
                    continue;
                }
                for (made, kid) in &signed {
                    let counts = now.since(*made) < TOKEN_LIFE;
                    // One made after the set was fetched, too.
                    prop_assert!(!counts || set.contains(kid), "{made} {at} {now}");
                }
            }
        }
    }
}
