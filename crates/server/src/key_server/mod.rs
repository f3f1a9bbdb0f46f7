//! The verification service: other services, which agents sign their requests to,
//! ask it whether a proof is good (`protocol.md` §3.6). Its shapes are those of the
//! systems that it stands in for; its clients are told by their addresses.

mod agent_keys;
mod allow_list;
mod answer;
mod audit;
mod identity;
mod verify;
mod watched;

use crate::app::App;
use crate::config::Config;
use crate::jsonl::{JsonlLog, Limits};
use crate::metrics::Metrics;
use crate::proving::authority;
use crate::serve::{BoxFuture, Peer};
use agent_keys::AgentKeys;
use allow_list::AllowList;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::Method;
use procura_types::{Clock, Duration, TraceId};
use std::fs::DirBuilder;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What refusals of the service stand under in the record.
const ACTION: &str = "verify";
/// Where logs are, below the home.
const LOGS: &str = "logs";

/// What the service works with.
pub(crate) struct KeyServer {
    keys: AgentKeys,
    clients: AllowList,
    audit: JsonlLog,
}

impl KeyServer {
    /// The service of a home. Nothing is read or written yet.
    pub(crate) fn new(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        const DAY: u64 = 24 * 60 * 60;
        let limits = Limits {
            bytes: config.log_megabytes.saturating_mul(1024 * 1024),
            age: Duration::from_secs(config.log_days.saturating_mul(DAY)),
            older: config.log_files,
        };
        Self {
            keys: AgentKeys::new(&config.home, Arc::clone(clock)),
            clients: AllowList::new(&config.home, Arc::clone(clock)),
            audit: JsonlLog::new(
                config.home.join(LOGS),
                audit::FILE,
                limits,
                Arc::clone(clock),
                metrics.lines_lost(audit::FILE),
            ),
        }
    }

    /// Makes the folders that people put files into, for the server's user alone.
    pub(crate) fn make_folders(&self) -> io::Result<()> {
        let folders = [self.keys.folder(), self.clients.folder()];
        folders.into_iter().try_for_each(make_private)
    }

    /// Why the service does less than it should.
    pub(crate) fn degraded(&self) -> impl Iterator<Item = String> {
        let clients = self.clients.problem();
        let audit = self.audit.trouble();
        clients
            .map(|problem| format!("allow-list: {problem}"))
            .into_iter()
            .chain(audit.map(|trouble| format!("log {}: {trouble}", audit::FILE)))
    }

    /// Writes what waits to be written.
    pub(crate) async fn stop(&self) {
        self.audit.stop().await;
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What a path of the service is.
#[derive(Clone, Copy)]
enum Route<'a> {
    Verify,
    Identities,
    Identity(&'a str),
    Unknown,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "/api/verify" => Self::Verify,
            "/api/agents/identity" => Self::Identities,
            _ => path
                .strip_prefix("/api/agents/identity/")
                .map_or(Self::Unknown, Self::Identity),
        }
    }

    /// As it is counted.
    const fn label(self) -> &'static str {
        match self {
            Self::Verify => ACTION,
            Self::Identities => "agent_identity.list",
            Self::Identity(_) => "agent_identity.read",
            Self::Unknown => "none",
        }
    }

    /// The methods that it takes, as in `Allow`.
    const fn methods(self) -> &'static str {
        match self {
            Self::Verify => "POST",
            _ => "GET, HEAD",
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Verify => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// Mounts the service: all of `/api`, so that what is not there is refused in its
/// shapes as well.
pub(crate) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler = |State(app): State<Arc<App>>, request: Request| serve(app, request);
    router
        .route("/api", any(handler))
        .route("/api/", any(handler))
        .route("/api/{*rest}", any(handler))
}

/// Serves one request. On the heap, since what is above would move the whole of it.
fn serve(app: Arc<App>, request: Request) -> BoxFuture<Response> {
    Box::pin(async move {
        let started = Instant::now();
        let label = Route::of(request.uri().path()).label();
        let answered = answered(&app, request);
        let response = tokio::time::timeout(app.config.request_time(), answered)
            .await
            .unwrap_or_else(|_| answer::timed_out());
        app.metrics
            .request(label, response.status(), started.elapsed());
        response
    })
}

async fn answered(app: &Arc<App>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    // The address is that of the connection. What a request says about its way is
    // the word of whoever sent it.
    let Some(peer) = peer.filter(|peer| app.key_server.clients.admits(*peer)) else {
        refuse(app, &request, peer, "source_not_allowed");
        return answer::forbidden();
    };
    if let Err(failure) = authority(app, request.version(), request.headers(), request.uri()) {
        refuse(app, &request, Some(peer), failure.code.as_str());
        return match failure.field {
            Some("host") => answer::misdirected(),
            _ => answer::bad_request("host"),
        };
    }
    match Route::of(request.uri().path()) {
        Route::Unknown => answer::not_found(),
        route if !route.takes(request.method()) => answer::method_not_allowed(route.methods()),
        Route::Verify => verify::verify(app, request, peer).await,
        Route::Identities => identity::list(Arc::clone(app)).await,
        Route::Identity(agent) => identity::read(app, agent),
    }
}

/// Counts and records a request that was refused before it was looked at.
fn refuse(app: &App, request: &Request, peer: Option<IpAddr>, reason: &'static str) {
    app.metrics.refused(reason);
    let now = app.clock.now();
    // While sealed there is no record of it: the spool is for acts upon the seal.
    let (Ok(open), Ok(trace)) = (app.open(), TraceId::generate(now, app.entropy.as_ref())) else {
        return;
    };
    open.recorder.refuse(procura_record::Refusal {
        action: ACTION.to_owned(),
        reason: reason.to_owned(),
        time: now,
        actor: None,
        owner: None,
        device: None,
        namespace: None,
        resource: Some(format!(
            "http/{}",
            crate::problem::printable(request.uri().path())
        )),
        profile: "none",
        ip: peer,
        trace,
    });
}
