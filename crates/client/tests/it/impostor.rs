//! Somebody takes the server's port in the middle of a session: nothing that they
//! answer is believed.

use crate::server::{Answer, Authority, TestClock, client, json, listen, problem};
use procura_client::{ClientError, SessionClient};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::wire::{NamespaceList, SecretValue, ValueB64};
use procura_types::{Clock as _, Timestamp};
use std::sync::{Arc, Mutex};

/// Makes another answer of what the server would have answered.
type Forge = Box<dyn Fn(Answer) -> Answer + Send + Sync>;

/// A client, and whoever answers in its sessions: the server as long as there is no
/// forger.
struct Scene {
    client: SessionClient,
    authority: Arc<Authority>,
    forger: Arc<Mutex<Option<Forge>>>,
    url: String,
}

fn value(text: &[u8], created: Timestamp) -> SecretValue {
    SecretValue {
        path: "a/b".parse().unwrap(),
        version: 1,
        value_b64: ValueB64::encode(text),
        created,
    }
}

impl Scene {
    async fn set() -> Self {
        let (device, clock) = (
            Arc::new(SigningKey::generate_p256(&SystemEntropy).unwrap()),
            TestClock::new(),
        );
        let authority = Authority::new(device.public(), &clock);
        let forger: Arc<Mutex<Option<Forge>>> = Arc::default();
        let (serving, forges) = (Arc::clone(&authority), Arc::clone(&forger));
        let created = clock.now();
        let url = listen(move |got| {
            let session = got.path == "/v1/sessions";
            let answer = serving.handle(got, |got, _| match got.method.as_str() {
                "GET" if got.path.ends_with("/namespaces") => json(
                    200,
                    &NamespaceList {
                        namespaces: Vec::new(),
                    },
                ),
                "GET" => json(200, &value(b"genuine", created)),
                _ => http::Response::builder()
                    .status(204)
                    .body(Default::default())
                    .unwrap(),
            });
            match forges.lock().unwrap().as_ref() {
                Some(forge) if !session => forge(answer),
                _ => answer,
            }
        })
        .await;
        let client = client(&url, Some(authority.key.public().clone()), &clock);
        let scene = Self {
            client: SessionClient::new(client, device),
            authority,
            forger,
            url,
        };
        assert_eq!(scene.read().await.unwrap(), b"genuine");
        scene
    }

    fn forge(&self, forge: impl Fn(Answer) -> Answer + Send + Sync + 'static) {
        *self.forger.lock().unwrap() = Some(Box::new(forge));
    }

    async fn read(&self) -> Result<Vec<u8>, ClientError> {
        let (namespace, path) = ("default".parse().unwrap(), "a/b".parse().unwrap());
        let secret = self.client.get_secret(&namespace, &path, None).await?;
        Ok(secret.value_b64.decode().unwrap().expose().clone())
    }

    async fn delete(&self) -> Result<(), ClientError> {
        let (namespace, path) = ("default".parse().unwrap(), "a/b".parse().unwrap());
        self.client
            .delete_secret(&namespace, &path, None, false)
            .await
    }

    /// That it is the error of another key at the start of a session, and that the
    /// session is not used again.
    async fn expect_impostor<T>(&self, what: &str, result: Result<T, ClientError>) {
        match result {
            Err(ClientError::Impostor { address, evidence }) => assert_eq!(
                (address.as_str(), evidence),
                (
                    self.url.as_str(),
                    "the answer is not signed with the session's key"
                ),
                "{what}"
            ),
            other => panic!("{what}: {:?}", other.map(drop)),
        }
        *self.forger.lock().unwrap() = None;
        self.authority.seen.lock().unwrap().clear();
        assert_eq!(self.read().await.unwrap(), b"genuine", "{what}");
        let seen = std::mem::take(&mut *self.authority.seen.lock().unwrap());
        assert_eq!(seen[0], ("POST /v1/sessions".to_owned(), "key"), "{what}");
        assert_eq!(seen.len(), 2, "{what}");
    }
}

fn with_tag(mut answer: Answer, tag: &str) -> Answer {
    answer
        .headers_mut()
        .insert("procura-answer", tag.parse().unwrap());
    answer
}

#[tokio::test]
async fn an_altered_answer_is_an_impostors() {
    let scene = Scene::set().await;
    let created = Timestamp::from_millis(1_795_252_357_000);
    let forgers: Vec<(&str, Forge)> = vec![
        (
            "no tag, a value of its own",
            Box::new(move |_| json(200, &value(b"forged", created))),
        ),
        (
            "the tag taken off",
            Box::new(|mut answer| {
                answer.headers_mut().remove("procura-answer").unwrap();
                answer
            }),
        ),
        (
            "a tag of zeros",
            Box::new(|answer| with_tag(answer, &"A".repeat(43))),
        ),
        (
            "what is no base64url",
            Box::new(|answer| with_tag(answer, "?")),
        ),
        (
            "another body under the genuine tag",
            Box::new(move |answer| {
                let tag = answer.headers()["procura-answer"].to_str().unwrap();
                with_tag(json(200, &value(b"forged!", created)), tag)
            }),
        ),
        (
            "another status",
            Box::new(|mut answer| {
                *answer.status_mut() = http::StatusCode::ACCEPTED;
                answer
            }),
        ),
        (
            "another media type",
            Box::new(|mut answer| {
                let kind = "application/json; charset=utf-8".parse().unwrap();
                answer.headers_mut().insert("content-type", kind);
                answer
            }),
        ),
        (
            "cut to nothing",
            Box::new(|answer| answer.map(|_| Default::default())),
        ),
    ];
    for (what, forger) in forgers {
        scene.forge(forger);
        scene.expect_impostor(what, scene.read().await).await;
    }
}

#[tokio::test]
async fn an_answer_to_another_request_of_the_session_is_an_impostors() {
    let scene = Scene::set().await;
    let recorded: Arc<Mutex<Option<Answer>>> = Arc::default();
    let keeps = Arc::clone(&recorded);
    scene.forge(move |answer| {
        *keeps.lock().unwrap() = Some(answer.clone());
        answer
    });
    assert_eq!(scene.read().await.unwrap(), b"genuine");
    let replayed = recorded.lock().unwrap().clone().unwrap();
    scene.forge(move |_| replayed.clone());
    // The same question, and an answer that was genuine once.
    scene.expect_impostor("replayed", scene.read().await).await;
}

#[tokio::test]
async fn a_forged_nothing_is_no_success() {
    let scene = Scene::set().await;
    scene.delete().await.unwrap();
    for status in [200, 201, 202, 204, 206] {
        scene.forge(move |_| {
            http::Response::builder()
                .status(status)
                .body(Default::default())
                .unwrap()
        });
        let what = format!("status {status}");
        scene.expect_impostor(&what, scene.delete().await).await;
    }
}

#[tokio::test]
async fn bytes_are_checked_like_json() {
    let scene = Scene::set().await;
    scene.forge(|_| {
        http::Response::builder()
            .body("a forged note".into())
            .unwrap()
    });
    scene
        .expect_impostor("a note", scene.client.checkpoint().await)
        .await;
}

#[tokio::test]
async fn a_refusal_needs_no_tag_and_ends_no_session() {
    let scene = Scene::set().await;
    scene.forge(|_| problem(403, "forbidden", None));
    let refused = scene.read().await.unwrap_err();
    assert!(refused.is_refusal("forbidden"), "{refused}");
    *scene.forger.lock().unwrap() = None;
    scene.authority.seen.lock().unwrap().clear();
    scene.read().await.unwrap();
    assert_eq!(scene.authority.seen.lock().unwrap().len(), 1);
}
