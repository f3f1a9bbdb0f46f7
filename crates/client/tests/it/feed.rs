//! Feeds of gates: believed only from the server that was joined, for this question.

use crate::server::{Authority, Got, TestClock, client, json, listen};
use procura_client::{ClientError, FeedQuestion, SessionClient};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::dial::Routes;
use procura_types::wire::{Feed, FeedTerms, SignedFeed, ValueB64};
use procura_types::{Duration, InstallationId, InstanceId, Label, Namespace, Timestamp, encoding};
use std::sync::{Arc, Mutex};

const INSTALLATION: InstallationId = InstallationId::from_bytes([1; 16]);
const INSTANCE: InstanceId = InstanceId::from_bytes([2; 16]);

fn text() -> Vec<u8> {
    let feed = Feed {
        time: Timestamp::from_secs(1),
        seq: 7,
        full: true,
        mark: "1.1".to_owned(),
        actors: Vec::new(),
        devices: Vec::new(),
        foreign: Vec::new(),
        quarantined: Vec::new(),
        mode: None,
        routes: Routes::default(),
        keys: Vec::new(),
    };
    serde_json::to_vec(&feed).unwrap()
}

/// The nonce that a question came with.
fn nonce(got: &Got) -> [u8; 16] {
    let query = got.query.as_deref().unwrap();
    let mut parts = query.split('&');
    let nonce = parts.find_map(|part| part.strip_prefix("nonce=")).unwrap();
    encoding::from_b64url_fixed("nonce", nonce).unwrap()
}

/// What a server makes of a question; its own key first.
type Answering = Box<dyn Fn(&SigningKey, &Got) -> SignedFeed + Send + Sync>;

fn sign(key: &SigningKey, terms: &FeedTerms<'_>, signed: &[u8], sent: &[u8]) -> SignedFeed {
    SignedFeed {
        feed: ValueB64::encode(sent),
        signature: key.sign(&terms.message(signed)).unwrap(),
    }
}

/// A client, and a way to ask twice.
async fn asks(answering: Answering) -> [Result<Feed, ClientError>; 2] {
    let device = Arc::new(SigningKey::generate_p256(&SystemEntropy).unwrap());
    let clock = TestClock::new();
    let authority = Authority::new(device.public(), &clock);
    let serving = Arc::clone(&authority);
    let url =
        listen(move |got| serving.handle(got, |got, _| json(200, &answering(&serving.key, got))))
            .await;
    let client = client(&url, Some(authority.key.public().clone()), &clock);
    let client = SessionClient::new(client, device);
    let (namespace, service) = names("shop", "web");
    let question = FeedQuestion {
        installation: &INSTALLATION,
        namespace: &namespace,
        service: &service,
        instance: &INSTANCE,
        known: Some((6, "1.1")),
        wait: Duration::from_secs(3),
        guard: None,
    };
    [client.feed(&question).await, client.feed(&question).await]
}

fn names(namespace: &str, service: &str) -> (Namespace, Label) {
    (namespace.parse().unwrap(), service.parse().unwrap())
}

fn is_impostor(result: &Result<Feed, ClientError>) -> bool {
    matches!(
        result,
        Err(ClientError::Impostor { evidence, .. })
            if *evidence == "the feed is not signed by the server's key for this question"
    )
}

#[tokio::test]
async fn a_feed_is_asked_for_and_read() {
    let [first, second] = asks(Box::new(|key, got| {
        assert_eq!(got.path, "/v1/namespaces/shop/services/web/feed");
        let query = got.query.as_deref().unwrap();
        assert!(query.contains("&wait=3&after=6&mark=1.1"), "{query}");
        let (namespace, service) = names("shop", "web");
        let terms = FeedTerms {
            installation: &INSTALLATION,
            namespace: &namespace,
            service: &service,
            instance: &INSTANCE,
            nonce: &nonce(got),
        };
        sign(key, &terms, &text(), &text())
    }))
    .await;
    assert_eq!(first.unwrap().seq, 7);
    assert_eq!(second.unwrap().seq, 7);
}

#[tokio::test]
async fn one_that_is_not_signed_for_this_question_is_an_impostors() {
    /// What is wrong with an answer.
    #[derive(Clone, Copy, Debug)]
    enum Wrong {
        Key,
        Installation,
        Namespace,
        Service,
        Instance,
        Nonce,
        Text,
    }
    for wrong in [
        Wrong::Key,
        Wrong::Installation,
        Wrong::Namespace,
        Wrong::Service,
        Wrong::Instance,
        Wrong::Nonce,
        Wrong::Text,
    ] {
        let [answer, _] = asks(Box::new(move |key, got| {
            let other = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
            let key = if matches!(wrong, Wrong::Key) {
                &other
            } else {
                key
            };
            let namespace = if matches!(wrong, Wrong::Namespace) {
                "bank"
            } else {
                "shop"
            };
            let service = if matches!(wrong, Wrong::Service) {
                "other"
            } else {
                "web"
            };
            let (namespace, service) = names(namespace, service);
            let installation = InstallationId::from_bytes([9; 16]);
            let instance = InstanceId::from_bytes([9; 16]);
            let mut nonce = nonce(got);
            if matches!(wrong, Wrong::Nonce) {
                nonce[0] ^= 1;
            }
            let terms = FeedTerms {
                installation: if matches!(wrong, Wrong::Installation) {
                    &installation
                } else {
                    &INSTALLATION
                },
                namespace: &namespace,
                service: &service,
                instance: if matches!(wrong, Wrong::Instance) {
                    &instance
                } else {
                    &INSTANCE
                },
                nonce: &nonce,
            };
            let mut sent = text();
            if matches!(wrong, Wrong::Text) {
                sent.push(b' ');
            }
            sign(key, &terms, &text(), &sent)
        }))
        .await;
        assert!(is_impostor(&answer), "{wrong:?}");
    }
}

#[tokio::test]
async fn an_answer_from_before_is_none_to_another_question() {
    let kept: Mutex<Option<[u8; 16]>> = Mutex::new(None);
    let [first, second] = asks(Box::new(move |key, got| {
        let nonce = *kept.lock().unwrap().get_or_insert_with(|| nonce(got));
        let (namespace, service) = names("shop", "web");
        let terms = FeedTerms {
            installation: &INSTALLATION,
            namespace: &namespace,
            service: &service,
            instance: &INSTANCE,
            nonce: &nonce,
        };
        sign(key, &terms, &text(), &text())
    }))
    .await;
    assert!(first.is_ok());
    assert!(is_impostor(&second));
}

#[tokio::test]
async fn a_feed_of_another_shape_is_not_understood() {
    let [answer, _] = asks(Box::new(|key, got| {
        let (namespace, service) = names("shop", "web");
        let terms = FeedTerms {
            installation: &INSTALLATION,
            namespace: &namespace,
            service: &service,
            instance: &INSTANCE,
            nonce: &nonce(got),
        };
        sign(
            key,
            &terms,
            b"{\"seq\":\"canary\"}",
            b"{\"seq\":\"canary\"}",
        )
    }))
    .await;
    let Err(ClientError::NotUnderstood { cause, .. }) = answer else {
        panic!("not refused for its shape");
    };
    assert!(
        cause.contains("line 1") && !cause.contains("canary"),
        "{cause}"
    );
}
