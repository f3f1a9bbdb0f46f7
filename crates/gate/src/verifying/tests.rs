//! For how long agents of other systems are let in, by the server's word and the feed.

use super::*;
use procura_crypto::{MacKey, SigningKey, SystemEntropy};
use procura_proof::{Limits, MemoryGuard, ReplayGuard, Windows};
use procura_types::dial::Routes;
use procura_types::wire::{FeedActor, FeedActorKind, FeedForeign};
use procura_types::{ActorId, Alg, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const OWNER: ActorId = ActorId::from_bytes([1; 32]);
const OTHER: ActorId = ActorId::from_bytes([2; 32]);

/// Stands still, but for what the test says has passed.
struct Turned(Instant, AtomicU64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn steady(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::SeqCst))
    }
}

fn verifying() -> (Verifying, Arc<Turned>) {
    let clock = Arc::new(Turned(Instant::now(), AtomicU64::new(0)));
    let guard: Arc<dyn ReplayGuard> = Arc::new(MemoryGuard::new(
        MacKey::from_bytes(&[9; 32]).unwrap(),
        Limits::default(),
        Windows::NATIVE,
    ));
    let turned: Arc<dyn Clock> = Arc::<Turned>::clone(&clock);
    let verifying = Verifying::new(
        &"shop".parse().unwrap(),
        &"web".parse().unwrap(),
        guard,
        0,
        Duration::from_secs(60),
        turned,
    );
    (verifying.unwrap(), clock)
}

/// What changed.
fn delta(seq: u64, foreign: Vec<FeedForeign>) -> Feed {
    Feed {
        time: NOW,
        seq,
        full: false,
        mark: "1.3".to_owned(),
        actors: Vec::new(),
        devices: Vec::new(),
        foreign,
        quarantined: Vec::new(),
        mode: None,
        routes: Routes::default(),
        keys: Vec::new(),
    }
}

/// Two actors, and these ids.
fn whole(seq: u64, foreign: Vec<FeedForeign>) -> Feed {
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let actor = |id, label: &str| FeedActor {
        id,
        label: label.parse().unwrap(),
        owner: id,
        kind: FeedActorKind::Owner {
            alg: Alg::P256,
            root_key: key.public().to_jwk(),
        },
        created: NOW,
        revoked: None,
        sources: Vec::new(),
    };
    Feed {
        full: true,
        actors: vec![actor(OWNER, "alice"), actor(OTHER, "bert")],
        ..delta(seq, foreign)
    }
}

fn bound(actor: ActorId, released: Option<Timestamp>) -> FeedForeign {
    FeedForeign {
        id: "legacy-7".parse().unwrap(),
        actor,
        device: None,
        created: NOW,
        released,
    }
}

/// What the server says of it.
fn proven(actor: Option<ActorId>) -> ProvenAgent {
    ProvenAgent {
        agent_id: "legacy-7".parse().unwrap(),
        profile: "hmac-v2".to_owned(),
        actor,
        owner: actor,
        device: None,
    }
}

/// Whether what it opens now has ended, each time that this is asked; none where it is
/// not let in.
fn open(verifying: &Verifying, actor: Option<ActorId>) -> Option<impl FnMut() -> bool> {
    let mut ending = verifying.standing_of(&proven(actor))?.ending().unwrap();
    let mut has_ended = false;
    Some(move || {
        let mut cx = Context::from_waker(Waker::noop());
        has_ended = has_ended || ending.as_mut().poll(&mut cx).is_ready();
        has_ended
    })
}

#[test]
fn what_a_bound_id_opened_ends_with_its_release_and_with_another_binding() {
    let (gate, clock) = verifying();
    let take = |feed: &Feed| gate.take(feed, clock.steady()).unwrap();
    take(&whole(1, vec![bound(OWNER, None)]));
    let mut first = open(&gate, Some(OWNER)).unwrap();
    assert!(!first());
    // The server knows better: that comes with the next feed.
    assert!(open(&gate, Some(OTHER)).is_none());
    assert!(open(&gate, None).is_none());
    take(&delta(2, vec![bound(OWNER, Some(NOW))]));
    assert!(first());
    assert!(open(&gate, Some(OWNER)).is_none());

    take(&delta(3, vec![bound(OWNER, None)]));
    let mut again = open(&gate, Some(OWNER)).unwrap();
    take(&delta(4, Vec::new()));
    assert!(!again());
    take(&delta(5, vec![bound(OWNER, Some(NOW)), bound(OTHER, None)]));
    assert!(again());
    // All there is leaves released ones out.
    let mut other = open(&gate, Some(OTHER)).unwrap();
    take(&whole(6, Vec::new()));
    assert!(other());
}

#[test]
fn what_an_unbound_id_opened_ends_with_a_binding_and_with_what_is_known() {
    let (gate, clock) = verifying();
    assert!(open(&gate, None).is_none());
    let take = |feed: &Feed| gate.take(feed, clock.steady()).unwrap();
    take(&whole(1, Vec::new()));
    let mut first = open(&gate, None).unwrap();
    gate.end_stale();
    assert!(!first());
    take(&delta(2, vec![bound(OWNER, None)]));
    assert!(first());
    assert!(open(&gate, None).is_none());
    take(&delta(3, vec![bound(OWNER, Some(NOW))]));

    let mut lost = open(&gate, None).unwrap();
    assert!(!lost());
    gate.lose();
    assert!(lost());
    assert!(open(&gate, None).is_none());
    take(&whole(4, Vec::new()));
    let mut stale = open(&gate, None).unwrap();
    clock.1.fetch_add(60, Ordering::SeqCst);
    gate.end_stale();
    assert!(!stale());
    clock.1.fetch_add(1, Ordering::SeqCst);
    gate.end_stale();
    assert!(stale());
    assert!(open(&gate, None).is_none());
}
