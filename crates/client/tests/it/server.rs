//! A server of the test: hyper on loopback, with the product's own verifier
//! behind it, and an answer that each test gives.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use procura_client::{Client, ClientOptions};
use procura_crypto::{LockedKey, MacKey, PublicKey, SigningKey, SystemEntropy, owner_id};
use procura_directory::{ActorKind, ActorRecord, Change, DeviceRecord, Snapshot};
use procura_proof::session::{Subject, audience_key, issue};
use procura_proof::{
    ANSWER_FIELD, AnswerView, Caller, Headers, Limits, MemoryGuard, RequestView, SessionKeys,
    Verifier, Windows,
};
use procura_types::wire::{Problem, SessionAnswer, SessionRequest, ValueB64};
use procura_types::{Alg, Clock, Duration, FieldTuple, Secret, Timestamp};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

/// A clock that the test turns.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_795_252_357_000)))
    }
    pub(crate) fn turn(&self, by: Duration) {
        self.0
            .fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A request as it came.
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) async fn read(request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();
        Self {
            method: parts.method.to_string(),
            authority: String::from_utf8(parts.headers["host"].as_bytes().to_vec()).unwrap(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            authority: &self.authority,
            scheme: None,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers as &dyn Headers,
            body: &self.body,
        }
    }
}

pub(crate) type Answer = Response<Bytes>;

pub(crate) fn json(status: u16, value: &impl serde::Serialize) -> Answer {
    let kind = if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Bytes::from(serde_json::to_vec(value).unwrap()))
        .unwrap()
}

pub(crate) fn problem(status: u16, code: &str, reason: Option<&str>) -> Answer {
    let problem = Problem {
        kind: format!("urn:procura:error:{code}"),
        title: code.to_owned(),
        status,
        detail: format!("it is {code}"),
        code: code.to_owned(),
        reason: reason.map(str::to_owned),
        field: None,
        action: None,
        namespace: None,
        roles: Vec::new(),
        request_id: "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11".to_owned(),
        trace_id: None,
    };
    json(status, &problem)
}

/// Answers one connection after another, each request with `answer`.
pub(crate) async fn serve_stream<S, F>(stream: S, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Fn(Got) -> Answer + Send + Sync + 'static,
{
    let service = service_fn(move |request| {
        let answer = Arc::clone(&answer);
        async move { Ok::<_, Infallible>(answer(Got::read(request).await).map(Full::new)) }
    });
    // A client that hangs up is no failure of the test.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A server on loopback; its URL.
pub(crate) async fn listen<F>(answer: F) -> String
where
    F: Fn(Got) -> Answer + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_stream(stream, Arc::clone(&answer)));
        }
    });
    url
}

pub(crate) fn client(url: &str, pinned: Option<PublicKey>, clock: &Arc<TestClock>) -> Client {
    let options = ClientOptions {
        pinned_server_key: pinned,
        timeout: Duration::from_secs(10),
        ..ClientOptions::default()
    };
    Client::new(
        url,
        options,
        Arc::<TestClock>::clone(clock),
        Arc::new(SystemEntropy),
    )
    .unwrap()
}

/// The answer as the product sends it to this caller.
fn signed(mut answer: Answer, caller: &Caller) -> Answer {
    if let Some(answering) = caller.answering() {
        let headers = answer.headers();
        let content_type = headers.get("content-type");
        let content_type = content_type.map_or("", |value| value.to_str().unwrap());
        let streams = content_type == procura_types::wire::EVENT_STREAM;
        let tag = answering.sign(&AnswerView {
            status: answer.status().as_u16(),
            content_type,
            // Of what goes on it covers the head.
            body: if streams { b"" } else { answer.body() },
        });
        answer
            .headers_mut()
            .insert(ANSWER_FIELD, tag.parse().unwrap());
    }
    answer
}

struct OneRoot(Arc<LockedKey>);

impl SessionKeys for OneRoot {
    fn accepts(&self, epoch: u32) -> bool {
        epoch == 1
    }
    fn audience_key(&self, epoch: u32, audience: &str) -> Option<Secret<[u8; 32]>> {
        (epoch == 1).then(|| audience_key(&self.0, audience))
    }
    fn current(&self) -> Option<u32> {
        Some(1)
    }
}

/// The part of the product's server that a client can tell from an impostor.
pub(crate) struct Authority {
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<TestClock>,
    directory: Snapshot,
    verifier: Verifier,
    keys: Arc<dyn SessionKeys>,
    /// `method path` of each request, and by what it was proven.
    pub(crate) seen: Mutex<Vec<(String, &'static str)>>,
}

impl Authority {
    /// Knows one operator, whose root key is `device`.
    pub(crate) fn new(device: &PublicKey, clock: &Arc<TestClock>) -> Arc<Self> {
        let now = clock.now();
        let id = owner_id(Alg::P256, device.as_bytes());
        let actor = ActorRecord {
            id,
            kind: ActorKind::Owner {
                name: "alice".parse().unwrap(),
                alg: Alg::P256,
                root_key: device.clone(),
            },
            owner: id,
            created: now,
            revoked: None,
            sources: Vec::new(),
            display_name: None,
        };
        let bound = DeviceRecord {
            thumbprint: device.thumbprint(),
            actor: id,
            key: device.clone(),
            created: now,
            revoked: None,
        };
        let directory = Snapshot::default().apply(1, [Change::Actor(actor), Change::Device(bound)]);
        let keys: Arc<dyn SessionKeys> = Arc::new(OneRoot(Arc::new(
            LockedKey::new(Secret::new([9; 32])).unwrap(),
        )));
        let key = MacKey::from_bytes(&[3; 32]).unwrap();
        let guard = MemoryGuard::new(key, Limits::default(), Windows::NATIVE);
        Arc::new(Self {
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
            clock: Arc::clone(clock),
            directory,
            verifier: Verifier::new("procura", Arc::new(guard), Arc::clone(&keys)).unwrap(),
            keys,
            seen: Mutex::new(Vec::new()),
        })
    }

    /// Proves a request as the product does; sessions are issued here, all else
    /// is for `answer`.
    pub(crate) fn handle(&self, got: Got, answer: impl FnOnce(&Got, &Caller) -> Answer) -> Answer {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let verified = self
            .verifier
            .verify(&self.directory, &got.view(), self.clock.now(), peer);
        let caller = match verified {
            Ok(caller) => caller,
            Err(refusal) => {
                let reason = refusal.case.reason().as_str();
                return problem(401, "unauthorized", Some(reason));
            }
        };
        let by = if caller.session().is_some() {
            "session"
        } else {
            "key"
        };
        self.seen
            .lock()
            .unwrap()
            .push((format!("{} {}", got.method, got.path), by));
        if got.path == "/v1/sessions" {
            self.session(&got, &caller)
        } else {
            signed(answer(&got, &caller), &caller)
        }
    }

    fn session(&self, got: &Got, caller: &Caller) -> Answer {
        assert_eq!(caller.profile(), procura_proof::Profile::Native);
        let request: SessionRequest = serde_json::from_slice(&got.body).unwrap();
        let now = self.clock.now();
        let first = match &request.renew {
            None => now,
            Some(id) => match procura_proof::session::open(self.keys.as_ref(), id, "procura") {
                Ok(session) => session.first_issue(),
                Err(_) => return problem(401, "unauthorized", Some("session_unknown")),
            },
        };
        let subject = Subject {
            actor: *caller.actor(),
            device: *caller.device().unwrap(),
        };
        let issued = issue(
            self.keys.as_ref(),
            &subject,
            "procura",
            now,
            first,
            1,
            &SystemEntropy,
        );
        let Ok(issued) = issued else {
            return problem(401, "unauthorized", Some("session_expired"));
        };
        let signed = FieldTuple::new("procura.session.answer.v1")
            .text(caller.nonce().unwrap_or_default())
            .text(&issued.session_id)
            .bytes(issued.mac_key.expose())
            .u64(issued.expires.as_millis());
        let answer = SessionAnswer {
            session_id: issued.session_id,
            mac_key: ValueB64::encode(issued.mac_key.expose()),
            expires_at: issued.expires,
            server_signature: self.key.sign(signed.as_bytes()).unwrap(),
            recoveries: Vec::new(),
        };
        json(200, &answer)
    }
}
