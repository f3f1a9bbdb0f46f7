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
use crate::foreign_answer::{ForeignRefused, method_not_allowed, not_found};
use crate::foreign_call::{ForeignCall, JSON};
use crate::framed::{Frame, framed};
use crate::input::{Arrived, Input, SMALL_BODY};
use crate::key_server::admit;
use crate::openapi::Document;
use crate::problem::Failure;
use crate::proving::either::{self, Proven};
use crate::proving::refused_by;
use crate::rates::count_call;
use crate::reply::Reply;
use crate::serve::{BoxFuture, Context};
use answer::Refused;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::Method;
use procura_authority::KeyKind;
use procura_policy::Action;
use procura_proof::Caller;
use procura_proof::foreign::Allowed;
use std::sync::Arc;

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

/// Serves one request.
fn serve(app: Arc<App>, request: Request) -> BoxFuture<Response> {
    let route = Route::of(request.uri().path());
    let label = route.map_or("none", |(route, _)| route.call().label);
    framed(app, label, request, answered, worded)
}

/// The answer in the words of these routes.
fn worded(result: Result<Response, Refused>, frame: &Frame<'_>) -> Response {
    result.unwrap_or_else(|refused| refused.response(frame.trace))
}

async fn answered(app: Arc<App>, arrived: Arrived) -> Result<Response, Refused> {
    let request = &arrived.request;
    if let Err(turned) = admit(&app, request, ACTION) {
        return Ok(turned.response());
    }
    let Some((route, name)) = Route::of(request.uri().path()) else {
        return Ok(not_found());
    };
    if request.method() != Method::GET {
        return Ok(method_not_allowed("GET"));
    }
    let name = name.to_owned();
    let (trace, progress) = (arrived.trace, Arc::clone(&arrived.progress));
    let reply = run(&app, route, name, arrived).await?;
    Ok(reply.into_response(trace, progress.answering.get()))
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
    let proven = match either::prove(app, open, input, &ALLOWED).await? {
        Proven::Native(caller) => return Ok(caller),
        Proven::Foreign(proven) => proven,
    };
    let snapshot = open.directory.snapshot();
    let profile = proven.profile().as_str();
    Caller::foreign(proven, &snapshot)
        .map_err(|refusal| refused_by(profile, (app, open), &snapshot, input, &refusal))
}

#[cfg(test)]
mod tests {
    use super::worded;
    use crate::framed::tests::late;
    use serde_json::json;

    #[tokio::test]
    async fn one_that_took_too_long_may_have_had_its_effect_once_it_had_begun() {
        let (status, body) = late(worded, "GET").await;
        assert_eq!((status, body), (408, json!({"error": "timeout"})));
        let (status, body) = late(worded, "POST").await;
        assert_eq!((status, body), (500, json!({"error": "outcome_unknown"})));
    }
}
