//! Verification in two parts, around a guard that has to be waited for.

use crate::fixture::{AGENT, AUDIENCE, NOW, PEER, Request, Roots, SEQ, World};
use procura_proof::{
    Awaited, Case, Claim, Claiming, Guard, GuardUnavailable, Once, Outcome, SessionKeys,
    SharedGuard, Verifier,
};
use procura_types::{Duration, GuardGeneration};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// A shared guard that says what it was told to, on the second time of asking.
struct Told {
    answer: Result<Outcome, GuardUnavailable>,
    claimed: Mutex<Vec<String>>,
}

impl SharedGuard for Told {
    fn claim<'a>(&'a self, claim: &'a Claim<'a>) -> Claiming<'a> {
        let by = claim.by.unwrap();
        let once = match claim.once {
            Once::Nonce(nonce) => format!("nonce of {}", nonce.len()),
            Once::Counter { counter, .. } => format!("counter {counter}"),
        };
        assert_eq!((by.actor, by.directory_seq), (&AGENT, SEQ));
        self.claimed.lock().unwrap().push(once);
        let mut asked = false;
        Box::pin(std::future::poll_fn(move |context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(self.answer);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    fn is_available(&self) -> bool {
        self.answer.is_ok()
    }

    fn generation(&self) -> Option<GuardGeneration> {
        None
    }
}

/// How often a future was polled, and what came of it.
fn run<F: Future>(future: F) -> (u32, F::Output) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..100 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return (polls, output);
        }
    }
    panic!("it does not end");
}

fn told(world: &World, answer: Result<Outcome, GuardUnavailable>) -> (Arc<Told>, Verifier) {
    let told = Arc::new(Told {
        answer,
        claimed: Mutex::default(),
    });
    let keys: Arc<dyn SessionKeys> = Arc::<Roots>::clone(&world.roots);
    let guard = Guard::Shared(Arc::<Told>::clone(&told));
    (told, Verifier::new(AUDIENCE, guard, keys).unwrap())
}

#[test]
fn what_the_shared_guard_says_decides() {
    let world = World::new();
    let directory = &world.directory;
    let away = GuardUnavailable {
        retry_after: Duration::from_secs(7),
    };
    for (answer, expected) in [
        (Ok(Outcome::Fresh), None),
        (Ok(Outcome::Replayed), Some((Case::NonceUsed, None))),
        (Ok(Outcome::OverCap), Some((Case::OverCap, Some(20)))),
        (Ok(Outcome::Revoked), Some((Case::Tombstoned, None))),
        (Err(away), Some((Case::GuardUnavailable, Some(7)))),
    ] {
        let (_, verifier) = told(&world, answer);
        let request = world.sign(&Request::put());
        let pending = verifier
            .prepare(directory, &request.view(), NOW, PEER)
            .unwrap();
        let (polls, finished) = run(verifier.finish(pending));
        assert_eq!(polls, 2);
        let found = finished.map(drop).map_err(|refusal| {
            assert_eq!(refusal.actor, Some(AGENT));
            (
                refusal.case,
                refusal.retry_after.map(|after| after.as_secs()),
            )
        });
        assert_eq!(found.err(), expected);
        assert_eq!(verifier.can_claim(), answer.is_ok());
    }
}

#[test]
fn nothing_is_claimed_before_all_else_is_in_order() {
    let world = World::new();
    let (guard, verifier) = told(&world, Ok(Outcome::Fresh));
    let mut changed = world.sign(&Request::put());
    changed.body[0] ^= 1;
    let refused = verifier
        .prepare(&world.directory, &changed.view(), NOW, PEER)
        .err();
    assert_eq!(refused.unwrap().case, Case::BodyChanged);
    let late = NOW.plus(Duration::from_secs(301));
    let old = world.sign(&Request::get());
    let refused = verifier
        .prepare(&world.directory, &old.view(), late, PEER)
        .err();
    assert_eq!(refused.unwrap().case, Case::TooOld);
    // What is dropped before it is finished is not claimed either.
    let good = world.sign(&Request::get());
    drop(
        verifier
            .prepare(&world.directory, &good.view(), NOW, PEER)
            .unwrap(),
    );
    assert!(guard.claimed.lock().unwrap().is_empty());

    let pending = verifier
        .prepare(&world.directory, &good.view(), NOW, PEER)
        .unwrap();
    run(verifier.finish(pending)).1.unwrap();
    let session = world.session();
    let under = world.sign_under(&Request::get(), &session, 41);
    let pending = verifier
        .prepare(&world.directory, &under.view(), NOW, PEER)
        .unwrap();
    let caller = run(verifier.finish(pending)).1.unwrap();
    assert!(caller.answering().is_some());
    assert_eq!(
        *guard.claimed.lock().unwrap(),
        ["nonce of 18", "counter 41"]
    );
}

#[test]
fn a_head_has_the_digest_that_its_body_is_held_against() {
    let world = World::new();
    let (_, verifier) = told(&world, Ok(Outcome::Fresh));
    let request = world.sign(&Request::put());
    let view = request.view();
    let pending = verifier
        .prepare_head(&world.directory, &view, Awaited::Signed, NOW, PEER)
        .unwrap();
    assert_eq!(
        pending.digest(),
        Some(procura_crypto::sha256(&request.body))
    );
    run(verifier.finish(pending)).1.unwrap();
}

/// Whoever cannot wait does not get past a shared guard.
#[test]
fn a_shared_guard_is_not_to_be_had_without_waiting() {
    let world = World::new();
    let (guard, verifier) = told(&world, Ok(Outcome::Fresh));
    let request = world.sign(&Request::get());
    let refused = verifier.verify(&world.directory, &request.view(), NOW, PEER);
    assert_eq!(refused.unwrap_err().case, Case::GuardUnavailable);
    assert!(guard.claimed.lock().unwrap().is_empty());
}

#[test]
fn a_guard_of_this_process_does_not_wait() {
    let world = World::new();
    let request = world.sign(&Request::get());
    let prepare = || {
        world
            .verifier
            .prepare(&world.directory, &request.view(), NOW, PEER)
            .unwrap()
    };
    let (polls, first) = run(world.verifier.finish(prepare()));
    assert_eq!((polls, first.is_ok()), (1, true));
    let (_, again) = run(world.verifier.finish(prepare()));
    assert_eq!(again.unwrap_err().case, Case::NonceUsed);
}
