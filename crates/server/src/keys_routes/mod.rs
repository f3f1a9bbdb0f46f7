//! `/keys/*` and `/audit`, in the shapes of other systems (`protocol.md` §3.6): agents
//! fetch keys by name, auditors the newest of the record.
//!
//! Unlike the verification service these routes release something, so callers prove
//! who they are, and from there on all goes the way that every request goes: policy,
//! the record, the vault.

mod answer;
mod audit;
mod list;
mod read;

use crate::app::{App, Open};
use crate::foreign::{self, Proven};
use crate::foreign_call::{ForeignCall, JSON};
use crate::input::{Arrived, Input, Progress, SMALL_BODY};
use crate::key_server::admit;
use crate::key_server::answer::{ForeignRefused, method_not_allowed, not_found, timed_out};
use crate::openapi::Document;
use crate::problem::Failure;
use crate::proving::refused_by;
use crate::rates::count_call;
use crate::reply::Reply;
use crate::serve::{BoxFuture, Context, Peer};
use crate::traces;
use answer::Refused;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::{HeaderValue, Method};
use procura_authority::KeyKind;
use procura_policy::Action;
use procura_proof::Caller;
use procura_proof::foreign::Allowed;
use procura_types::TraceId;
use std::sync::Arc;
use std::time::Instant;

/// What refusals stand under in the record before it is known who asks for what.
const ACTION: &str = "authenticate";

/// The profiles that may ask: all but `hmac-v1`, which releases nothing whatever a
/// service allows.
const ALLOWED: Allowed = Allowed { hmac_v1: None };

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Route {
    Read(KeyKind),
    List,
    Audit,
}

impl Route {
    const ALL: [Self; 4] = [
        Self::Read(KeyKind::Ssh),
        Self::Read(KeyKind::Api),
        Self::List,
        Self::Audit,
    ];

    /// The call of a path, with its parameter.
    fn of(path: &str) -> Option<(Self, &str)> {
        Self::ALL
            .into_iter()
            .find_map(|route| Some((route, route.call().matches(path)?)))
    }

    /// What it is counted as, among the calls of all agents.
    const fn action(self) -> Action {
        match self {
            Self::Read(_) => Action::KeyRead,
            Self::List => Action::KeyList,
            Self::Audit => Action::LedgerRead,
        }
    }

    const fn call(self) -> ForeignCall {
        let read = ForeignCall {
            label: Action::KeyRead.as_str(),
            method: "GET",
            path: "/keys/api/{service}",
            query: &[],
            summary: "The key of a service's API, for an agent that has a grant; 403 with the request that waits, for one that may ask",
            content: JSON,
            proven: true,
            refuses: &[404, 405, 413, 429, 500],
        };
        match self {
            Self::Read(KeyKind::Api) => read,
            Self::Read(KeyKind::Ssh) => ForeignCall {
                path: "/keys/ssh/{name}",
                summary: "A private key of SSH, for an agent that has a grant; 403 with the request that waits, for one that may ask",
                content: "text/plain",
                ..read
            },
            Self::List => ForeignCall {
                label: Action::KeyList.as_str(),
                path: "/keys/list",
                summary: "The keys that the agent has grants for",
                refuses: &[405, 413, 429, 500],
                ..read
            },
            Self::Audit => ForeignCall {
                label: "audit",
                path: "/audit",
                query: &["namespace"],
                summary: "The newest entries of the record, for auditors of a namespace and for stewards",
                refuses: &[405, 413, 429, 500],
                ..read
            },
        }
    }
}

/// Describes the routes.
pub(crate) fn document(document: Document) -> Document {
    type Unproven = ForeignRefused<'static>;
    Route::ALL.into_iter().fold(document, |document, route| {
        let call = route.call();
        match route {
            Route::Read(KeyKind::Ssh) => document.foreign::<(), (), Unproven>(&call),
            Route::Read(KeyKind::Api) => {
                document.foreign::<(), read::ApiKey<'static>, Unproven>(&call)
            }
            Route::List => document.foreign::<(), list::KeyList, Unproven>(&call),
            Route::Audit => document.foreign::<(), audit::AuditTail, Unproven>(&call),
        }
    })
}

/// Mounts the routes: all of `/keys`, so that what is not there is refused in their
/// shapes as well.
pub(crate) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler = |State(app): State<Arc<App>>, request: Request| serve(app, request);
    router
        .route("/keys", any(handler))
        .route("/keys/", any(handler))
        .route("/keys/{*rest}", any(handler))
        .route("/audit", any(handler))
}

/// Serves one request. On the heap, since what is above would move the whole of it.
fn serve(app: Arc<App>, mut request: Request) -> BoxFuture<Response> {
    Box::pin(async move {
        let started = Instant::now();
        let now = app.clock.now();
        let Ok(trace) = TraceId::generate(now, app.entropy.as_ref()) else {
            let failure = Failure::internal("no random bytes");
            return Refused::from(failure).response(TraceId::from_bytes([0; 16]));
        };
        let route = Route::of(request.uri().path());
        let label = route.map_or("none", |(route, _)| route.call().label);
        let span = traces::begin(&app, label, Some(trace), &mut request);
        let progress = Arc::new(Progress::default());
        let arrived = Arrived {
            peer: request.extensions().get::<Peer>().and_then(|peer| peer.0),
            request,
            trace,
            now,
            progress: Arc::clone(&progress),
        };
        let answered = answered(&app, arrived);
        let mut response = tokio::time::timeout(app.config.request_time(), answered)
            .await
            .unwrap_or_else(|_| timed_out());
        let headers = response.headers_mut();
        if let Some(standing) = progress.standing.get() {
            standing.tell(headers);
        }
        // An id is the value of a field.
        if let Ok(id) = HeaderValue::from_str(&trace.to_string()) {
            headers.insert("x-request-id", id);
        }
        traces::end(span, Some(trace), &response);
        app.metrics
            .request(label, response.status(), started.elapsed());
        response
    })
}

async fn answered(app: &App, arrived: Arrived) -> Response {
    let request = &arrived.request;
    if let Err(turned) = admit(app, request, ACTION) {
        return turned.response();
    }
    let Some((route, name)) = Route::of(request.uri().path()) else {
        return not_found();
    };
    if request.method() != Method::GET {
        return method_not_allowed("GET");
    }
    let name = name.to_owned();
    let (trace, progress) = (arrived.trace, Arc::clone(&arrived.progress));
    match run(app, route, name, arrived).await {
        Ok(reply) => reply.into_response(trace, progress.answering.get()),
        Err(refused) => refused.response(trace),
    }
}

/// Who asks for what.
struct Asked {
    input: Input,
    caller: Caller,
    /// The parameter of the path, as sent.
    name: String,
}

async fn run(app: &App, route: Route, name: String, arrived: Arrived) -> Result<Reply, Refused> {
    let open = app.open()?;
    let input = crate::serve::read(app, arrived, SMALL_BODY).await?;
    let caller = caller(app, &open, &input).await?;
    if let Some(answering) = caller.answering() {
        input.progress.answering.get_or_init(|| answering.clone());
    }
    count_call(
        app,
        &open.directory.snapshot(),
        caller.actor(),
        route.action(),
        &input,
    )?;
    let asked = Asked {
        input,
        caller,
        name,
    };
    match route {
        Route::Read(kind) => read::read(app, &open, kind, asked).await,
        Route::List => list::list(app, &open, asked),
        Route::Audit => audit::audit(app, &open, asked).await,
    }
}

/// Who asks, by a native proof or by that of another system.
async fn caller(app: &App, open: &Open, input: &Input) -> Result<Caller, Failure> {
    let proven = match foreign::prove(app, open, input, &ALLOWED).await? {
        Proven::Native(caller) => return Ok(caller),
        Proven::Foreign(proven) => proven,
    };
    let snapshot = open.directory.snapshot();
    let profile = proven.profile().as_str();
    Caller::foreign(proven, &snapshot)
        .map_err(|refusal| refused_by(profile, (app, open), &snapshot, input, &refusal))
}
