//! The verification service: other services, which agents sign their requests to,
//! ask it whether a proof is good (`protocol.md` §3.6). Its shapes are those of the
//! systems that it stands in for; its clients are told by their addresses.

mod admission;
mod agent_keys;
mod allow_list;
mod answer;
mod audit;
mod identity;
mod known;
mod verify;
mod watched;

use crate::app::App;
use crate::config::{Config, LOGS};
use crate::foreign_answer::{method_not_allowed, not_found, timed_out};
use crate::foreign_call::{ForeignCall, JSON};
use crate::framed::Watched;
use crate::metrics::Metrics;
use crate::openapi::Document;
use crate::serve::BoxFuture;
pub(crate) use admission::admit;
use agent_keys::AgentKeys;
use allow_list::AllowList;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::Method;
pub(crate) use known::{KeysNow, Public, has_key_file};
use procura_directory::Snapshot;
use procura_edge::jsonl::JsonlLog;
use procura_types::{Clock, ForeignId};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
pub(crate) use watched::FileId;

/// What refusals of the service stand under in the record.
const ACTION: &str = "verify";

/// What the service works with.
pub(crate) struct KeyServer {
    keys: AgentKeys,
    clients: AllowList,
    audit: JsonlLog,
}

impl KeyServer {
    /// The service of a home. Nothing is read or written yet.
    pub(crate) fn new(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        Self {
            keys: AgentKeys::new(&config.home, Arc::clone(clock)),
            clients: AllowList::new(&config.home, Arc::clone(clock)),
            audit: JsonlLog::new(
                config.home.join(LOGS),
                audit::FILE,
                config.log_limits(),
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

    /// Files of the key directory that count for nothing, as their agents were enrolled
    /// with keys of their own: whoever put one there meant it to count.
    pub(crate) fn ignored(&self, snapshot: &Snapshot) -> Option<String> {
        let enrolled = snapshot
            .foreign_ids()
            .filter(|bound| bound.device.is_some());
        let mut ids: Vec<&ForeignId> = enrolled
            .map(|bound| &bound.id)
            .filter(|id| matches!(self.keys.get(id), Ok(Some(_))))
            .collect();
        ids.sort();
        let (first, more) = ids.split_first()?;
        let more = match more.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        Some(format!(
            "keys: the file of {first}{more} is ignored, since the agent was enrolled with a key of its own; remove the file, or release the id"
        ))
    }

    /// Writes what waits to be written.
    pub(crate) async fn stop(&self) {
        self.audit.stop().await;
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What the service is asked.
#[derive(Clone, Copy)]
enum Route {
    Verify,
    Identities,
    Identity,
}

impl Route {
    const ALL: [Self; 3] = [Self::Verify, Self::Identities, Self::Identity];

    /// The call of a path, with its parameter.
    fn of(path: &str) -> Option<(Self, &str)> {
        Self::ALL
            .into_iter()
            .find_map(|route| Some((route, route.call().matches(path)?)))
    }

    const fn call(self) -> ForeignCall {
        let read = ForeignCall {
            label: "agent_identity.read",
            method: "GET",
            path: "/api/agents/identity/{agent_id}",
            query: &[],
            summary: "The key of an agent",
            content: JSON,
            proven: false,
            refuses: &[404, 405],
        };
        match self {
            Self::Verify => ForeignCall {
                label: ACTION,
                method: "POST",
                path: "/api/verify",
                summary: "Whether a key-server-v1 proof that somebody hands on is good; it is used up then",
                refuses: &[405],
                ..read
            },
            Self::Identities => ForeignCall {
                label: "agent_identity.list",
                path: "/api/agents/identity",
                summary: "The ids of all agents with a key, sorted",
                refuses: &[405],
                ..read
            },
            Self::Identity => read,
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

/// Describes the service.
pub(crate) fn document(document: Document) -> Document {
    Route::ALL.into_iter().fold(document, |document, route| {
        let call = route.call();
        match route {
            Route::Verify => document
                .foreign::<verify::Fields, answer::ProofValid<'static>, answer::ProofInvalid<'static>>(&call),
            Route::Identities => {
                document.foreign::<(), answer::AgentIdentities<'static>, ()>(&call)
            }
            Route::Identity => document.foreign::<(), answer::AgentIdentity<'static>, ()>(&call),
        }
    })
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
fn serve(app: Arc<App>, mut request: Request) -> BoxFuture<Response> {
    Box::pin(async move {
        let route = Route::of(request.uri().path());
        let label = route.map_or("none", |(route, _)| route.call().label);
        let watched = Watched::begin(&app, label, None, &mut request);
        let answered = answered(&app, request);
        let response = tokio::time::timeout(app.config.request_time(), answered)
            .await
            .unwrap_or_else(|_| timed_out());
        watched.end(&app, &response);
        response
    })
}

async fn answered(app: &Arc<App>, request: Request) -> Response {
    let peer = match admit(app, &request, ACTION) {
        Ok(peer) => peer,
        Err(turned) => return turned.response(),
    };
    match Route::of(request.uri().path()) {
        None => not_found(),
        Some((route, _)) if !route.takes(request.method()) => method_not_allowed(route.methods()),
        Some((Route::Verify, _)) => verify::verify(app, request, peer).await,
        Some((Route::Identities, _)) => identity::list(Arc::clone(app)).await,
        Some((Route::Identity, agent)) => identity::read(app, agent),
    }
}
