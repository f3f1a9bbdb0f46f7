//! Whom a gate lets in by what the feed said, and which feeds it does not take.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use procura_crypto::{LockedKey, MacKey, SigningKey, SystemEntropy};
use procura_gate::{Authenticate as _, BodyView, FeedFault, Head, Refusal, Verdict, Verifying};
use procura_proof::session::{Issued, Subject, audience_key, issue};
use procura_proof::sign::{Signer, sign_request};
use procura_proof::{Limits, MemoryGuard, Reason, ReplayGuard, RequestView, SessionKeys, Windows};
use procura_types::dial::Routes;
use procura_types::wire::{
    Feed, FeedActor, FeedActorKind, FeedDevice, FeedKey, FeedQuarantine, ValueB64,
};
use procura_types::{ActorId, Alg, Clock, Duration, Secret, Timestamp};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const HOST: &str = "web.example";
const OWNER: ActorId = ActorId::from_bytes([1; 32]);
pub(crate) const AGENT: ActorId = ActorId::from_bytes([2; 32]);
pub(crate) const AUDIENCE: &str = "gate:shop/web";

/// Stands still, but for what the test says has passed.
pub(crate) struct Turned(Instant, AtomicU64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn steady(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::SeqCst))
    }
}

/// The roots of a server.
struct Roots(LockedKey);

impl SessionKeys for Roots {
    fn accepts(&self, epoch: u32) -> bool {
        epoch == 3
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        (epoch == 3).then(|| audience_key(&self.0, audience))
    }
    fn current(&self) -> Option<u32> {
        Some(3)
    }
}

pub(crate) struct World {
    pub(crate) verifying: Arc<Verifying>,
    pub(crate) clock: Arc<Turned>,
    pub(crate) key: SigningKey,
    owner: SigningKey,
    roots: Roots,
}

/// A guard that remembers nothing yet.
pub(crate) fn guard() -> Arc<dyn ReplayGuard> {
    Arc::new(MemoryGuard::new(
        MacKey::from_bytes(&[9; 32]).unwrap(),
        Limits::default(),
        Windows::NATIVE,
    ))
}

/// A request as it comes.
pub(crate) struct Sent(pub(crate) Method, pub(crate) HeaderMap);

impl World {
    pub(crate) fn after(highest: u64) -> Self {
        let clock = Arc::new(Turned(Instant::now(), AtomicU64::new(0)));
        let (namespace, service) = ("shop".parse().unwrap(), "web".parse().unwrap());
        let verifying = Verifying::new(
            &namespace,
            &service,
            guard(),
            highest,
            Duration::from_secs(60),
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        Self {
            verifying: Arc::new(verifying.unwrap()),
            clock,
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
            owner: SigningKey::generate_p256(&SystemEntropy).unwrap(),
            roots: Roots(LockedKey::new(Secret::new([5; 32])).unwrap()),
        }
    }

    pub(crate) fn new() -> Self {
        let world = Self::after(0);
        world.take(&world.whole(40)).unwrap();
        world
    }

    pub(crate) fn take(&self, feed: &Feed) -> Result<(), FeedFault> {
        self.verifying.take(feed, self.clock.steady())
    }

    pub(crate) fn pass_time(&self, seconds: u64) {
        self.clock.1.fetch_add(seconds, Ordering::SeqCst);
    }

    fn owner(&self) -> FeedActor {
        FeedActor {
            id: OWNER,
            label: "alice".parse().unwrap(),
            owner: OWNER,
            kind: FeedActorKind::Owner {
                alg: Alg::P256,
                root_key: self.owner.public().to_jwk(),
            },
            created: NOW,
            revoked: None,
            sources: Vec::new(),
        }
    }

    pub(crate) fn agent(revoked: Option<Timestamp>) -> FeedActor {
        FeedActor {
            id: AGENT,
            label: "scribe".parse().unwrap(),
            owner: OWNER,
            kind: FeedActorKind::Agent {
                parent: OWNER,
                incarnation: 1,
            },
            created: NOW,
            revoked,
            sources: Vec::new(),
        }
    }

    pub(crate) fn device(key: &SigningKey, actor: ActorId) -> FeedDevice {
        FeedDevice {
            thumbprint: key.public().thumbprint(),
            actor,
            key: key.public().to_jwk(),
            created: NOW,
            revoked: None,
        }
    }

    pub(crate) fn delta(&self, seq: u64) -> Feed {
        let key = audience_key(&self.roots.0, AUDIENCE);
        Feed {
            time: NOW,
            seq,
            full: false,
            mark: "1.3".to_owned(),
            actors: Vec::new(),
            devices: Vec::new(),
            foreign: Vec::new(),
            quarantined: Vec::new(),
            mode: None,
            routes: Routes::default(),
            keys: vec![FeedKey {
                epoch: 3,
                key: ValueB64::encode(key.expose()),
            }],
        }
    }

    pub(crate) fn whole(&self, seq: u64) -> Feed {
        Feed {
            full: true,
            actors: vec![self.owner(), Self::agent(None)],
            devices: vec![
                Self::device(&self.key, AGENT),
                Self::device(&self.owner, OWNER),
            ],
            ..self.delta(seq)
        }
    }

    pub(crate) fn session(&self, audience: &str, directory_seq: u64) -> Issued {
        let subject = Subject {
            actor: AGENT,
            device: self.key.public().thumbprint(),
        };
        issue(
            &self.roots,
            &subject,
            audience,
            NOW,
            NOW,
            directory_seq,
            &SystemEntropy,
        )
        .unwrap()
    }

    async fn judge(&self, sent: &Sent, body: BodyView<'_>) -> Result<Option<[u8; 32]>, Refusal> {
        let target = "/orders?n=1".parse().unwrap();
        let head = Head {
            method: &sent.0,
            authority: HOST,
            scheme: None,
            target: &target,
            headers: &sent.1,
        };
        match self.verifying.check(&head, body, PEER).await {
            Verdict::Pass { digest, .. } => Ok(digest),
            Verdict::Refuse(refusal) => Err(refusal),
        }
    }

    /// Whether a fresh proof of this key is let in, or why not.
    async fn asks(&self, key: &SigningKey) -> Result<(), Reason> {
        let sent = Sent::by(Signer::Device(key), b"");
        let verdict = self.judge(&sent, BodyView::Whole(b"")).await;
        verdict.map(drop).map_err(|refusal| refusal.reason)
    }

    async fn asks_in(&self, session: &Issued, counter: u64) -> Result<(), Reason> {
        let key = MacKey::from_bytes(session.mac_key.expose()).unwrap();
        let signer = Signer::Session {
            id: &session.session_id,
            mac_key: &key,
            counter,
        };
        let verdict = self
            .judge(&Sent::by(signer, b""), BodyView::Whole(b""))
            .await;
        verdict.map(drop).map_err(|refusal| refusal.reason)
    }
}

impl Sent {
    fn by(signer: Signer<'_>, body: &[u8]) -> Self {
        let mut headers = HeaderMap::new();
        let mut lines = Vec::new();
        if !body.is_empty() {
            lines.push(("content-type", "text/plain".to_owned()));
        }
        let view = RequestView {
            method: "POST",
            authority: HOST,
            scheme: None,
            path: "/orders",
            query: Some("n=1"),
            headers: &lines,
            body,
        };
        let signed = sign_request(&view, signer, NOW, &SystemEntropy).unwrap();
        for (name, value) in lines.into_iter().chain(signed.headers) {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::try_from(value).unwrap(),
            );
        }
        Self(Method::POST, headers)
    }
}

#[tokio::test]
async fn who_is_in_the_feed_is_let_in_once_by_each_proof() {
    let world = World::new();
    assert_eq!(world.asks(&world.key).await, Ok(()));
    assert_eq!(world.asks(&world.owner).await, Ok(()));
    let stranger = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    assert_eq!(world.asks(&stranger).await, Err(Reason::UnknownAgent));

    let once = Sent::by(Signer::Device(&world.key), b"");
    assert!(world.judge(&once, BodyView::Whole(b"")).await.is_ok());
    let again = world.judge(&once, BodyView::Whole(b"")).await.unwrap_err();
    assert_eq!(again.reason, Reason::NonceReplayed);
    assert_eq!(again.profile, Some("native"));
    assert_eq!(again.agent_id, Some(AGENT.to_string()));
}

#[tokio::test]
async fn sessions_are_let_in_with_the_keys_of_the_feed() {
    let world = World::new();
    let session = world.session(AUDIENCE, 40);
    assert_eq!(world.asks_in(&session, 1).await, Ok(()));
    assert_eq!(world.asks_in(&session, 1).await, Err(Reason::NonceReplayed));
    for audience in ["procura", "gate:shop/other", "gate:bank/web"] {
        let other = world.session(audience, 40);
        let refused = world.asks_in(&other, 1).await;
        assert_eq!(refused, Err(Reason::SessionUnknown), "{audience}");
    }
    // One that was started on a later state than is known here waits for it.
    let ahead = world.session(AUDIENCE, 41);
    assert_eq!(
        world.asks_in(&ahead, 1).await,
        Err(Reason::VerifierUnavailable)
    );
    world.take(&world.delta(41)).unwrap();
    assert_eq!(world.asks_in(&ahead, 2).await, Ok(()));

    // Also one that is in the cache ends with its epoch.
    let turned = Feed {
        keys: Vec::new(),
        ..world.delta(42)
    };
    world.take(&turned).unwrap();
    assert_eq!(
        world.asks_in(&session, 2).await,
        Err(Reason::SessionUnknown)
    );
}

#[tokio::test]
async fn what_changed_counts_from_the_next_request_on() {
    let world = World::new();
    let session = world.session(AUDIENCE, 40);
    assert_eq!(world.asks_in(&session, 1).await, Ok(()));
    let revoked = Feed {
        actors: vec![World::agent(Some(NOW))],
        ..world.delta(41)
    };
    world.take(&revoked).unwrap();
    assert_eq!(world.asks(&world.key).await, Err(Reason::Revoked));
    assert_eq!(world.asks_in(&session, 2).await, Err(Reason::Revoked));
    assert_eq!(world.asks(&world.owner).await, Ok(()));

    // All there is leaves out who is not in it.
    let without = Feed {
        devices: vec![World::device(&world.key, AGENT)],
        ..world.whole(42)
    };
    world.take(&without).unwrap();
    assert_eq!(world.asks(&world.owner).await, Err(Reason::UnknownAgent));
}

#[tokio::test]
async fn what_is_in_quarantine_is_refused_until_it_is_let_out() {
    let world = World::new();
    let session = world.session(AUDIENCE, 40);
    assert_eq!(world.asks_in(&session, 1).await, Ok(()));
    let quarantine = |seq, lifted| Feed {
        quarantined: vec![FeedQuarantine {
            device: Some(world.key.public().thumbprint()),
            id: None,
            actor: AGENT,
            since: NOW,
            lifted,
        }],
        ..world.delta(seq)
    };
    world.take(&quarantine(41, None)).unwrap();
    assert_eq!(world.asks(&world.key).await, Err(Reason::Quarantined));
    assert_eq!(world.asks_in(&session, 2).await, Err(Reason::Quarantined));
    assert_eq!(world.asks(&world.owner).await, Ok(()));

    // Let out, with what it is given from then on.
    world.take(&quarantine(42, Some(41))).unwrap();
    assert_eq!(world.asks(&world.key).await, Ok(()));
    assert_eq!(
        world.asks_in(&session, 3).await,
        Err(Reason::SessionExpired)
    );
    let after = world.session(AUDIENCE, 42);
    assert_eq!(world.asks_in(&after, 1).await, Ok(()));
}

#[tokio::test]
async fn an_agent_is_let_in_only_from_where_the_feed_says() {
    let world = World::new();
    let session = world.session(AUDIENCE, 40);
    let held = |seq, sources: &[&str]| Feed {
        actors: vec![FeedActor {
            sources: sources.iter().map(|block| block.parse().unwrap()).collect(),
            ..World::agent(None)
        }],
        ..world.delta(seq)
    };
    world
        .take(&held(41, &["10.0.0.0/8", "127.0.0.2/32"]))
        .unwrap();
    assert_eq!(world.asks(&world.key).await, Err(Reason::SourceNotAllowed));
    assert_eq!(
        world.asks_in(&session, 1).await,
        Err(Reason::SourceNotAllowed)
    );
    assert_eq!(world.asks(&world.owner).await, Ok(()));
    world.take(&held(42, &["127.0.0.0/8"])).unwrap();
    assert_eq!(world.asks(&world.key).await, Ok(()));
    // What was refused was not used up.
    assert_eq!(world.asks_in(&session, 1).await, Ok(()));
}

#[tokio::test]
async fn an_older_state_is_not_taken() {
    let world = World::new();
    let refused = world.take(&world.whole(39)).unwrap_err();
    assert!(matches!(
        refused,
        FeedFault::RolledBack {
            known: 40,
            offered: 39
        }
    ));
    // Nor one that is older than what an earlier process has seen.
    let again = World::after(40);
    assert!(matches!(
        again.take(&again.whole(39)),
        Err(FeedFault::RolledBack { .. })
    ));
    assert_eq!(
        again.asks(&again.key).await,
        Err(Reason::VerifierUnavailable)
    );
    again.take(&again.whole(40)).unwrap();
    assert_eq!(again.asks(&again.key).await, Ok(()));
}

#[tokio::test]
async fn a_feed_that_cannot_be_used_changes_nothing() {
    let world = World::new();
    let mut misnamed = World::device(&world.owner, AGENT);
    misnamed.thumbprint = world.key.public().thumbprint();
    let mut no_key = world.delta(41);
    no_key.keys[0].key = ValueB64::encode(&[1; 31]);
    let mut no_root = world.owner();
    no_root.kind = FeedActorKind::Owner {
        alg: Alg::P256,
        root_key: procura_types::wire::PublicJwk {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x: "AA".to_owned(),
            y: None,
        },
    };
    let feeds = [
        Feed {
            devices: vec![misnamed],
            ..world.delta(41)
        },
        no_key,
        Feed {
            actors: vec![World::agent(Some(NOW)), no_root],
            ..world.delta(41)
        },
    ];
    for feed in feeds {
        assert!(matches!(world.take(&feed), Err(FeedFault::Key(_))));
        assert_eq!(world.asks(&world.key).await, Ok(()));
    }
}

#[tokio::test]
async fn nobody_is_let_in_on_what_is_too_old_or_lost() {
    let world = World::after(0);
    assert!(!world.verifying.is_fresh());
    assert_eq!(
        world.asks(&world.key).await,
        Err(Reason::VerifierUnavailable)
    );
    assert!(matches!(
        world.take(&world.delta(40)),
        Err(FeedFault::NoBase)
    ));
    let asked = world.clock.steady();
    world.pass_time(10);
    // It counts from the question: the answer may have been under way for long.
    world.verifying.take(&world.whole(40), asked).unwrap();
    world.pass_time(50);
    let used = Sent::by(Signer::Device(&world.key), b"");
    assert!(world.judge(&used, BodyView::Whole(b"")).await.is_ok());
    world.pass_time(1);
    let refused = world.judge(&used, BodyView::Whole(b"")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::VerifierUnavailable);
    assert!(refused.retry_after.is_some());
    world.take(&world.delta(40)).unwrap();
    assert_eq!(world.asks(&world.key).await, Ok(()));

    let session = world.session(AUDIENCE, 40);
    assert_eq!(world.asks_in(&session, 1).await, Ok(()));
    world.verifying.lose();
    assert_eq!(
        world.asks(&world.key).await,
        Err(Reason::VerifierUnavailable)
    );
    assert!(matches!(
        world.take(&world.delta(41)),
        Err(FeedFault::NoBase)
    ));
    world.take(&world.whole(41)).unwrap();
    assert_eq!(world.asks_in(&session, 2).await, Ok(()));
}

#[tokio::test]
async fn a_body_that_follows_is_covered_or_its_route_says_that_it_need_not_be() {
    let world = World::new();
    let body = b"one, two";
    let signed = Sent::by(Signer::Device(&world.key), body);
    let digest = world.judge(&signed, BodyView::Streamed).await.unwrap();
    assert_eq!(digest, Some(procura_crypto::sha256(body)));
    let again = world.judge(&signed, BodyView::Streamed).await.unwrap_err();
    assert_eq!(again.reason, Reason::NonceReplayed);

    let bare = Sent::by(Signer::Device(&world.key), b"");
    let refused = world.judge(&bare, BodyView::Streamed).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Malformed);
    assert_eq!(world.judge(&bare, BodyView::Unsigned).await, Ok(None));
    let refused = world.judge(&bare, BodyView::Unsigned).await.unwrap_err();
    assert_eq!(refused.reason, Reason::NonceReplayed);

    let whole = Sent::by(Signer::Device(&world.key), body);
    let refused = world.judge(&whole, BodyView::Whole(b"one, three")).await;
    assert_eq!(refused.unwrap_err().reason, Reason::DigestMismatch);
}

#[tokio::test]
async fn what_a_head_proves_is_told_before_the_body_and_used_up_after_it() {
    let world = World::new();
    let body = b"one, two";
    let target = "/orders?n=1".parse().unwrap();
    let foresee = |sent: &Sent, follows| {
        let head = Head {
            method: &sent.0,
            authority: HOST,
            scheme: None,
            target: &target,
            headers: &sent.1,
        };
        let refusal = world.verifying.foresee(&head, follows, PEER);
        refusal.map(|refusal| (refusal.reason, refusal.profile))
    };
    let native = Some("native");
    let signed = Sent::by(Signer::Device(&world.key), body);
    assert_eq!(foresee(&signed, true), None);
    assert_eq!(foresee(&signed, false), None);
    assert!(world.judge(&signed, BodyView::Whole(body)).await.is_ok());
    // That it was used is for later to say.
    assert_eq!(foresee(&signed, true), None);
    let bare = Sent::by(Signer::Device(&world.key), b"");
    assert_eq!(foresee(&bare, true), Some((Reason::Malformed, native)));
    assert_eq!(foresee(&bare, false), None);

    let stranger = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let unknown = Sent::by(Signer::Device(&stranger), body);
    assert_eq!(
        foresee(&unknown, true),
        Some((Reason::UnknownAgent, native))
    );
    let mut other = Sent::by(Signer::Device(&world.key), body);
    let digest = Sent::by(Signer::Device(&world.key), b"else").1["content-digest"].clone();
    other.1.insert("content-digest", digest);
    assert_eq!(foresee(&other, true), Some((Reason::BadSignature, native)));
    let none = Sent(Method::POST, HeaderMap::new());
    assert_eq!(foresee(&none, true), Some((Reason::MissingHeaders, None)));
    // Others sign the body: nothing can be said before it is here.
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-agent-id", "legacy"),
        ("x-timestamp", "2027-01-15T08:00:00Z"),
        ("x-nonce", "00112233445566778899aabbccddeeff"),
        ("x-signature", "AAAA"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    assert_eq!(foresee(&Sent(Method::POST, headers), true), None);

    world.pass_time(61);
    let stale = Some((Reason::VerifierUnavailable, native));
    assert_eq!(
        foresee(&Sent::by(Signer::Device(&world.key), body), true),
        stale
    );
}

#[tokio::test]
async fn profiles_of_others_and_shapes_of_none_are_refused() {
    let world = World::new();
    let mut headers = HeaderMap::new();
    let none = Sent(Method::GET, headers.clone());
    let refused = world.judge(&none, BodyView::Whole(b"")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::MissingHeaders);
    for (name, value) in [
        ("x-agent-id", "legacy"),
        ("x-timestamp", "2027-01-15T08:00:00Z"),
        ("x-nonce", "00112233445566778899aabbccddeeff"),
        ("x-signature", "AAAA"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let foreign = Sent(Method::GET, headers);
    let refused = world
        .judge(&foreign, BodyView::Whole(b""))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::VerifierUnavailable);
    assert_eq!(refused.profile, Some("key-server-v1"));
}
