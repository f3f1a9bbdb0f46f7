//! A gate that runs, and whom it asks.

use http::HeaderMap;
use procura_crypto::sha256;
use procura_edge::tls::Certificate;
use procura_gate::{
    Authenticate, Authorities, BodyView, Gate, GateConfig, Head, Identity, Judging, Limits,
    Observer, Refusal, Report, Standing, Verdict,
};
use procura_proof::Reason;
use procura_types::dial::{Dial, Mode, Route};
use procura_types::{ActorId, Duration, encoding};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that has to happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes too long")
}

/// The field that the stand-in reads.
pub(crate) const PROOF: &str = "x-test-proof";

/// What proves a body.
pub(crate) fn proof_of(body: &[u8]) -> String {
    encoding::hex(&sha256(body))
}

/// Lets in whoever names the SHA-256 of the body, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct StandIn {
    pub(crate) asked: Mutex<Vec<Asked>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) body: String,
    pub(crate) peer: IpAddr,
}

fn judge(headers: &HeaderMap, body: BodyView<'_>) -> Verdict {
    let refuse = |reason| {
        Verdict::Refuse(Refusal {
            agent_id: Some("scribe-7".to_owned()),
            profile: Some("native"),
            ..Refusal::new(reason)
        })
    };
    let proof = match headers.get(PROOF).map(|value| value.to_str().unwrap()) {
        None => return Verdict::Refuse(Refusal::new(Reason::MissingHeaders)),
        Some(proof) => proof,
    };
    if let Some(reason) = Reason::ALL.iter().find(|reason| reason.as_str() == proof) {
        return refuse(*reason);
    }
    let identity = Identity::new("alice//scribe", "native")
        .unwrap()
        .in_tree(&ActorId::from_bytes([2; 32]), &ActorId::from_bytes([1; 32]))
        .unwrap();
    let digest = encoding::from_hex_fixed(proof);
    match body {
        BodyView::Whole(body) if digest != Some(sha256(body)) => refuse(Reason::DigestMismatch),
        _ => Verdict::Pass {
            identity,
            digest,
            standing: Standing::lasting(),
        },
    }
}

impl Authenticate for StandIn {
    fn check<'a>(&'a self, head: &'a Head<'a>, body: BodyView<'a>, peer: IpAddr) -> Judging<'a> {
        let shown = match body {
            BodyView::Whole(body) => String::from_utf8_lossy(body).into_owned(),
            BodyView::Streamed => "(streamed)".to_owned(),
            BodyView::Unsigned => "(unsigned)".to_owned(),
        };
        self.asked.lock().unwrap().push(Asked {
            line: format!("{} {} {}", head.method, head.authority, head.target),
            body: shown,
            peer,
        });
        Box::pin(async move {
            if head.headers.get(PROOF).is_some_and(|proof| proof == "hang") {
                std::future::pending::<()>().await;
            }
            judge(head.headers, body)
        })
    }

    fn foresee(&self, head: &Head<'_>, _: bool, _: IpAddr) -> Option<Refusal> {
        match judge(head.headers, BodyView::Streamed) {
            Verdict::Refuse(refusal) => Some(refusal),
            Verdict::Pass { .. } => None,
        }
    }
}

/// Keeps what it hears: `would` or `did`, method, path, reason, agent; counts who would
/// pass; and knows from where the last came that it heard of.
#[derive(Default)]
pub(crate) struct Heard(
    Mutex<Vec<String>>,
    pub(crate) AtomicUsize,
    pub(crate) Mutex<Option<IpAddr>>,
);

impl Heard {
    fn note(&self, word: &str, report: &Report<'_>) {
        // Or a client that a proxy here speaks for.
        let source = report.source.to_string();
        assert!(report.source.is_loopback() || source.starts_with("203.0.113."));
        *self.2.lock().unwrap() = Some(report.source);
        let agent = report.agent_id.unwrap_or("-");
        let profile = report.profile.unwrap_or("-");
        self.0.lock().unwrap().push(format!(
            "{word} {} {} {} {agent} {profile}",
            report.method, report.path, report.reason
        ));
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Heard {
    fn would_refuse(&self, report: &Report<'_>) {
        self.note("would", report);
    }

    fn would_pass(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn refused(&self, report: &Report<'_>) {
        self.note("did", report);
    }
}

/// How a gate is to be.
pub(crate) struct Setup {
    pub(crate) upstream: String,
    pub(crate) upstream_tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) environment: Option<Mode>,
    pub(crate) mode: Mode,
    pub(crate) routes: Vec<Route>,
    pub(crate) authorities: Authorities,
    pub(crate) limits: Limits,
}

pub(crate) fn route(prefix: &str, mode: Mode) -> Route {
    Route {
        mode: Some(mode),
        ..Route::new(prefix.parse().unwrap())
    }
}

pub(crate) fn dial(mode: Mode, routes: Vec<Route>) -> Dial {
    Dial {
        mode: Some(mode),
        routes: routes.try_into().unwrap(),
    }
}

/// A gate that runs.
pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) address: SocketAddr,
    pub(crate) stand_in: Arc<StandIn>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<()>,
}

impl World {
    /// One that enforces everywhere, in front of this upstream.
    pub(crate) async fn enforcing(upstream: SocketAddr) -> Self {
        Self::with(upstream, |_| {}).await
    }

    /// The same in front of one that is known to speak HTTP/2.
    pub(crate) async fn over_http2(upstream: SocketAddr) -> Self {
        Self::with(upstream, |setup| {
            setup.upstream = format!("h2c://{upstream}")
        })
        .await
    }

    pub(crate) async fn with(upstream: SocketAddr, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup {
            upstream: format!("http://{upstream}"),
            upstream_tls: None,
            certificate: None,
            environment: None,
            mode: Mode::Enforce,
            routes: vec![],
            authorities: Authorities::Listed(vec!["app.example".to_owned()]),
            limits: Limits::default(),
        };
        change(&mut setup);
        let stand_in = Arc::new(StandIn::default());
        let heard = Arc::new(Heard::default());
        let config = GateConfig {
            upstream: setup.upstream.parse().unwrap(),
            upstream_tls: setup.upstream_tls,
            environment: setup.environment,
            authorities: setup.authorities,
            limits: setup.limits,
        };
        let dial = dial(setup.mode, setup.routes);
        let gate = Gate::new(config, dial, stand_in.clone(), heard.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serving = {
            let (gate, certificate) = (gate.clone(), setup.certificate);
            tokio::spawn(async move { gate.serve(listener, certificate, stopping).await })
        };
        Self {
            gate,
            address,
            stand_in,
            heard,
            stop,
            serving,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.stand_in.asked.lock().unwrap().clone()
    }
}
