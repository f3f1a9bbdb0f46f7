//! `/agent/*`, and the same under `/functions/v1`, in the shapes of other systems
//! (`protocol.md` §3.6): how their agents are enrolled, start sessions, and get tokens
//! and secrets.
//!
//! Whatever is handed out goes the way that every request goes: proof, policy, the
//! record, the effect. Only `/agent/protected/` follows the dial, as a service would
//! that stands behind a gate.

mod answer;
mod counts;
mod echo;
mod enrol;
mod holder;
mod observed;
mod secret;
mod session;
mod token;

use crate::app::{App, Open};
use crate::config::Config;
use crate::foreign_call::{ForeignCall, JSON};
use crate::input::{Arrived, Input, Progress, SMALL_BODY, read};
use crate::key_server::admit;
use crate::metrics::Metrics;
use crate::openapi::Document;
use crate::problem::{Code, Failure};
use crate::rates::count_call;
use crate::serve::{BoxFuture, Context, Peer, denial_of, refuse};
use crate::traces;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use counts::Started;
use enrol::Attempts;
use http::HeaderValue;
use observed::ObserveLog;
use procura_authority::Dialled;
use procura_policy::{Op, Permit, authorize};
use procura_proof::Caller;
use procura_proof::foreign::{Allowed, HmacV1};
use procura_types::{Clock, TraceId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What refusals stand under in the record before it is known who asks for what.
const ACTION: &str = "authenticate";
/// Where the routes are as well.
const FUNCTIONS: &str = "/functions/v1";

/// What the routes keep in memory. Nothing of it says who may do what.
pub(crate) struct AgentRoutes {
    attempts: Attempts,
    started: Started,
    observed: ObserveLog,
}

impl AgentRoutes {
    /// Of a server that starts. Nothing is written yet.
    pub(crate) fn new(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        Self {
            attempts: Attempts::default(),
            started: Started::default(),
            observed: ObserveLog::new(config, clock, metrics),
        }
    }

    /// Why the routes do less than they should.
    pub(crate) fn degraded(&self) -> Option<String> {
        self.observed.trouble()
    }

    /// Writes what waits to be written.
    pub(crate) async fn stop(&self) {
        self.observed.stop().await;
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    EnrolStart,
    EnrolComplete,
    SessionStart,
    SessionExtend,
    TokenRefresh,
    SecretRotate,
    Echo,
    Metrics,
    Healthz,
}

impl Route {
    const ALL: [Self; 9] = [
        Self::EnrolStart,
        Self::EnrolComplete,
        Self::SessionStart,
        Self::SessionExtend,
        Self::TokenRefresh,
        Self::SecretRotate,
        Self::Echo,
        Self::Metrics,
        Self::Healthz,
    ];

    /// The route of a path, and the path as the dial has it.
    fn of(path: &str) -> Option<(Self, &str)> {
        let path = path.strip_prefix(FUNCTIONS).unwrap_or(path);
        let route = Self::ALL
            .into_iter()
            .find(|route| route.call().path == path)?;
        Some((route, path))
    }

    const fn call(self) -> ForeignCall {
        let call = ForeignCall {
            label: "agent.enrol.start",
            method: "POST",
            path: "/agent/enroll/start",
            query: &[],
            summary: "A code and a challenge with which an agent is enrolled, for an admin",
            content: JSON,
            proven: true,
            refuses: &[404, 405, 409, 413, 429, 500],
        };
        match self {
            Self::EnrolStart => call,
            Self::EnrolComplete => ForeignCall {
                label: "agent.enrol.complete",
                path: "/agent/enroll/complete",
                summary: "Enrols whoever shows the code and signed the challenge; the secret is shown once",
                proven: false,
                ..call
            },
            Self::SessionStart => ForeignCall {
                label: "agent.session.start",
                path: "/agent/session/start",
                summary: "Starts a session of an agent, by any proof but hmac-v1",
                ..call
            },
            Self::SessionExtend => ForeignCall {
                label: "agent.session.extend",
                path: "/agent/session/extend",
                summary: "Goes on with a session, for twelve hours at most; its id is another then",
                ..call
            },
            Self::TokenRefresh => ForeignCall {
                label: "agent.token.refresh",
                path: "/agent/token/refresh",
                summary: "A token, by a native proof or hmac-v2",
                ..call
            },
            Self::SecretRotate => ForeignCall {
                label: "agent.secret.rotate",
                path: "/agent/secret/rotate",
                summary: "Another secret, for the agent itself or an admin, by a native proof",
                ..call
            },
            Self::Echo => ForeignCall {
                label: "agent.echo",
                path: "/agent/protected/echo",
                summary: "The body as it was sent; whether callers have to prove who they are, the dial says",
                refuses: &[405, 413, 429, 500],
                ..call
            },
            Self::Metrics => ForeignCall {
                label: "agent.metrics",
                method: "GET",
                path: "/agent/metrics",
                summary: "How many sessions, secrets and used nonces there are, for addresses on the list",
                proven: false,
                refuses: &[405, 429, 500],
                ..call
            },
            Self::Healthz => ForeignCall {
                label: "agent.healthz",
                method: "GET",
                path: "/agent/healthz",
                summary: "Whether the server answers",
                proven: false,
                refuses: &[405, 429],
                ..call
            },
        }
    }
}

/// Describes the routes.
pub(crate) fn document(document: Document) -> Document {
    type Unproven = crate::key_server::answer::ForeignRefused<'static>;
    Route::ALL.into_iter().fold(document, |document, route| {
        let call = route.call();
        match route {
            Route::EnrolStart => {
                document.foreign::<enrol::Start, enrol::Started<'static>, Unproven>(&call)
            }
            Route::EnrolComplete => {
                document.foreign::<enrol::Complete, enrol::Enrolled<'static>, Unproven>(&call)
            }
            Route::SessionStart => {
                document.foreign::<holder::Named, session::AgentSessionId, Unproven>(&call)
            }
            Route::SessionExtend => {
                document.foreign::<session::Extend, session::AgentSessionId, Unproven>(&call)
            }
            Route::TokenRefresh => {
                document.foreign::<holder::Named, token::Refreshed<'static>, Unproven>(&call)
            }
            Route::SecretRotate => {
                document.foreign::<secret::Rotate, secret::Rotated<'static>, Unproven>(&call)
            }
            Route::Echo => document.foreign::<(), (), Unproven>(&call),
            Route::Metrics => document.foreign::<(), counts::Counts, ()>(&call),
            Route::Healthz => document.foreign::<(), answer::Well, ()>(&call),
        }
    })
}

/// Mounts the routes: all of `/agent`, so that what is not there is refused in their
/// shapes as well.
pub(crate) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler = |State(app): State<Arc<App>>, request: Request| serve(app, request);
    router
        .route("/agent", any(handler))
        .route("/agent/", any(handler))
        .route("/agent/{*rest}", any(handler))
        .route("/functions/v1/agent", any(handler))
        .route("/functions/v1/agent/", any(handler))
        .route("/functions/v1/agent/{*rest}", any(handler))
}

/// Serves one request. On the heap, since what is above would move the whole of it.
fn serve(app: Arc<App>, mut request: Request) -> BoxFuture<Response> {
    Box::pin(async move {
        let started = Instant::now();
        let now = app.clock.now();
        let label = Route::of(request.uri().path()).map_or("none", |(route, _)| route.call().label);
        let Ok(trace) = TraceId::generate(now, app.entropy.as_ref()) else {
            return answer::failed(&Failure::internal("no random bytes"));
        };
        let span = traces::begin(&app, label, Some(trace), &mut request);
        let progress = Arc::new(Progress::default());
        let arrived = Arrived {
            peer: request.extensions().get::<Peer>().and_then(|peer| peer.0),
            request,
            trace,
            now,
            progress: Arc::clone(&progress),
        };
        let answered = tokio::time::timeout(app.config.request_time(), answered(&app, arrived));
        let mut response = match answered.await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => {
                failure.log(trace);
                answer::failed(&failure)
            }
            Err(_) => answer::failed(&timed_out(progress.begun.load(Ordering::Relaxed))),
        };
        if let Some(standing) = progress.standing.get() {
            standing.tell(response.headers_mut());
        }
        // An id is the value of a field.
        if let Ok(id) = HeaderValue::from_str(&trace.to_string()) {
            response.headers_mut().insert("x-request-id", id);
        }
        traces::end(span, Some(trace), &response);
        app.metrics
            .request(label, response.status(), started.elapsed());
        response
    })
}

/// One that had begun may have had its effect.
fn timed_out(begun: bool) -> Failure {
    let code = if begun { Code::Unknown } else { Code::Timeout };
    Failure::new(code, "The request took longer than the server waits.")
}

async fn answered(app: &App, arrived: Arrived) -> Result<Response, Failure> {
    let uri = arrived.request.uri();
    let Some((route, path)) = Route::of(uri.path()) else {
        return Ok(answer::not_found());
    };
    let method = route.call().method;
    if arrived.request.method().as_str() != method {
        return Ok(answer::method_not_allowed(method));
    }
    let path = path.to_owned();
    match route {
        Route::Healthz => return Ok(answer::well()),
        Route::Metrics => {
            if let Err(turned) = admit(app, &arrived.request, ACTION) {
                return Ok(turned.response());
            }
            return counts::counts(app);
        }
        _ => {}
    }
    if route == Route::Echo && echo::passes_unopened(app, &path) {
        let input = read(app, arrived, SMALL_BODY).await?;
        return Ok(echo::unopened(app, &input));
    }
    let open = app.open()?;
    let input = read(app, arrived, SMALL_BODY).await?;
    let context = Context {
        app,
        open: &open,
        input: &input,
    };
    match route {
        Route::EnrolStart => enrol::start(&context).await,
        Route::EnrolComplete => enrol::complete(&context).await,
        Route::SessionStart => session::start(&context).await,
        Route::SessionExtend => session::extend(&context).await,
        Route::TokenRefresh => token::refresh(&context).await,
        Route::SecretRotate => secret::rotate(&context).await,
        Route::Echo => echo::echo(&context, &path).await,
        Route::Metrics | Route::Healthz => Ok(answer::not_found()),
    }
}

/// The body, read as its type; nothing at all is as good as `{}`. What else is in it
/// is let be: clients of other systems send more.
fn body<T: Default + serde::de::DeserializeOwned>(input: &Input) -> Result<T, Failure> {
    if input.body.is_empty() {
        Ok(T::default())
    } else {
        input.object()
    }
}

/// Decides, and records a no.
fn permit<O: Op>(context: &Context<'_>, caller: Caller, op: O) -> Result<Permit<O>, Failure> {
    let snapshot = context.open.directory.snapshot();
    count_call(
        context.app,
        &snapshot,
        caller.actor(),
        O::ACTION,
        context.input,
    )?;
    let decider = context.open.recorder.decider();
    authorize(decider, &snapshot, caller, op, context.input.now).map_err(|(denied, caller, op)| {
        refuse(context, &caller, &op, denied);
        denial_of(denied, &op)
    })
}

/// The dial of the service that these routes are, if one is configured.
fn dialled(app: &App, open: &Open) -> Result<Option<Dialled>, Failure> {
    let Some(service) = &app.config.agent_service else {
        return Ok(None);
    };
    let store = open.vault.store();
    let dialled = Dialled::read(store, &service.namespace, &service.name)?;
    if dialled.version == 0 {
        tracing::error!(
            service = %service.name,
            namespace = %service.namespace,
            "agent_service names a service that there is not: callers have to prove who they are"
        );
    }
    Ok(Some(dialled))
}

/// What the service lets in beyond what every one does.
fn allowed(context: &Context<'_>) -> Result<Allowed, Failure> {
    let terms = dialled(context.app, context.open)?.and_then(|dialled| dialled.hmac_v1);
    let hmac_v1 = terms
        .map(|terms| HmacV1::new(terms.window_seconds(), terms.nonce_required()))
        .transpose()?;
    Ok(Allowed { hmac_v1 })
}
