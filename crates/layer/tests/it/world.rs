//! A service behind the layer, and an agent that it knows.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use procura_crypto::{LockedKey, MacKey, SigningKey, SystemEntropy};
use procura_layer::{
    Admission, Authorities, Identity, Limits, Observer, Peer, ProcuraLayer, Report, RequestBody,
    Standing, Terms, Verifying,
};
use procura_proof::session::audience_key;
use procura_proof::sign::{Signer, sign_request};
use procura_proof::{MemoryGuard, ReplayGuard, RequestView, Windows};
use procura_types::dial::{Dial, Mode, Routes};
use procura_types::wire::{Feed, FeedActor, FeedActorKind, FeedDevice, FeedKey, ValueB64};
use procura_types::{ActorId, Alg, Clock, Duration, Secret, Timestamp};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::Layer as _;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const HOST: &str = "app.example";
const OWNER: ActorId = ActorId::from_bytes([1; 32]);
const AGENT: ActorId = ActorId::from_bytes([2; 32]);

struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn steady(&self) -> Instant {
        self.0
    }
}

/// What the layer tells of.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl Observer for Heard {
    fn would_refuse(&self, report: &Report<'_>) {
        self.note("would", report);
    }
    fn would_pass(&self) {}
    fn refused(&self, report: &Report<'_>) {
        self.note("did", report);
    }
}

impl Heard {
    fn note(&self, word: &str, report: &Report<'_>) {
        assert!(report.source.is_loopback());
        let line = format!("{word} {} {} {}", report.method, report.path, report.reason);
        self.0.lock().unwrap().push(line);
    }
}

/// A body whose parts are given one by one.
pub(crate) struct Parts(mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx)
    }
}

/// Answers with the method, who asks by extension and by field, and the body; a stream
/// begins and never ends.
async fn answer(
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Parts>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    assert!(parts.extensions.get::<Standing>().is_some());
    let (giver, taker) = mpsc::channel(1);
    let answer = Response::new(Parts(taker));
    if parts.uri.path() == "/stream" {
        giver
            .try_send(Ok(Frame::data(Bytes::from_static(b"begun"))))
            .unwrap();
        // It is there as long as somebody listens.
        tokio::spawn(async move { giver.closed().await });
        return Ok(answer);
    }
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => Bytes::from(error.to_string()),
    };
    let identity = parts.extensions.get::<Identity>();
    let who = identity.map_or_else(
        || "nobody".to_owned(),
        |who| format!("{} {} {}", who.agent(), who.profile(), who.actor().unwrap()),
    );
    let mut fields: Vec<String> = parts
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("procura"))
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    let text = format!(
        "{}|{who}|{}|{}|",
        parts.method,
        fields.join(","),
        String::from_utf8_lossy(&body)
    );
    giver.try_send(Ok(Frame::data(Bytes::from(text)))).unwrap();
    Ok(answer)
}

/// A service that runs.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) heard: Arc<Heard>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) key: SigningKey,
    verifying: Arc<Verifying>,
    clock: Arc<Still>,
}

impl World {
    pub(crate) async fn new(mode: Mode) -> Self {
        let clock = Arc::new(Still(Instant::now()));
        let guard: Arc<dyn ReplayGuard> = Arc::new(MemoryGuard::new(
            MacKey::from_bytes(&[9; 32]).unwrap(),
            procura_proof::Limits::default(),
            Windows::NATIVE,
        ));
        let verifying = Verifying::new(
            &"shop".parse().unwrap(),
            &"web".parse().unwrap(),
            guard,
            0,
            Duration::from_secs(60),
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        let verifying = Arc::new(verifying.unwrap());
        let heard = Arc::new(Heard::default());
        let terms = Terms {
            environment: None,
            authorities: Authorities::Listed(vec![HOST.to_owned()]),
            limits: Limits {
                body_bytes: 1000,
                ..Limits::default()
            },
        };
        let dial = Dial {
            mode: Some(mode),
            routes: Routes::default(),
        };
        let admission = Admission::new(
            terms,
            dial,
            Arc::<Verifying>::clone(&verifying),
            Arc::<Heard>::clone(&heard),
        );
        let admission = Arc::new(admission);
        let address = serve(ProcuraLayer::new(Arc::clone(&admission))).await;
        let world = Self {
            address,
            heard,
            admission,
            key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
            verifying,
            clock,
        };
        world.tell(40, None);
        world
    }

    /// Has the server say all that there is.
    pub(crate) fn tell(&self, seq: u64, revoked: Option<Timestamp>) {
        let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
        let actor = |id, label: &str, kind, revoked| FeedActor {
            id,
            label: label.parse().unwrap(),
            owner: OWNER,
            kind,
            created: NOW,
            revoked,
            sources: Vec::new(),
        };
        let owner = FeedActorKind::Owner {
            alg: Alg::P256,
            root_key: root.public().to_jwk(),
        };
        let agent = FeedActorKind::Agent {
            parent: OWNER,
            incarnation: 1,
        };
        let held = LockedKey::new(Secret::new([5; 32])).unwrap();
        let feed = Feed {
            time: NOW,
            seq,
            full: true,
            mark: "1.3".to_owned(),
            actors: vec![
                actor(OWNER, "alice", owner, None),
                actor(AGENT, "scribe", agent, revoked),
            ],
            devices: vec![FeedDevice {
                thumbprint: self.key.public().thumbprint(),
                actor: AGENT,
                key: self.key.public().to_jwk(),
                created: NOW,
                revoked: None,
            }],
            foreign: Vec::new(),
            quarantined: Vec::new(),
            mode: None,
            routes: Routes::default(),
            keys: vec![FeedKey {
                epoch: 3,
                key: ValueB64::encode(audience_key(&held, "gate:shop/web").expose()),
            }],
        };
        self.verifying.take(&feed, self.clock.steady()).unwrap();
    }

    /// A request that is proven, on a connection that ends with it.
    pub(crate) fn proven(&self, path: &str, body: &str) -> String {
        let kind = [("content-type", "text/plain")];
        let view = RequestView {
            method: "POST",
            authority: HOST,
            scheme: None,
            path,
            query: None,
            headers: &kind,
            body: body.as_bytes(),
        };
        let signed = sign_request(&view, Signer::Device(&self.key), NOW, &SystemEntropy).unwrap();
        let mut fields = String::new();
        for (name, value) in signed.headers {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        request(path, &fields, body)
    }

    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let read = stream.read_to_end(&mut answer);
        let _ = within(read).await;
        String::from_utf8(answer).unwrap()
    }
}

pub(crate) fn request(path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{fields}\r\n{body}",
        body.len()
    )
}

/// Waits for something that has to happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it takes too long")
}

/// Serves HTTP/1 with hyper, as any service would.
async fn serve(layer: ProcuraLayer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = layer.layer(tower::service_fn(answer));
            let service = tower::ServiceBuilder::new()
                .map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(Peer(peer.ip()));
                    request
                })
                .service(service);
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                    .await;
            });
        }
    });
    address
}
