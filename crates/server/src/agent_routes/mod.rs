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
mod route;
mod secret;
mod session;
mod token;

use crate::app::{App, Open};
use crate::config::Config;
use crate::framed::{Frame, framed};
use crate::input::{Arrived, Input, SMALL_BODY, read};
use crate::key_server::admit;
use crate::metrics::Metrics;
use crate::problem::Failure;
use crate::rates::count_call;
use crate::serve::{BoxFuture, Context, permitted};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use counts::Started;
use enrol::Attempts;
use observed::ObserveLog;
use procura_authority::Dialled;
use procura_policy::{Op, Permit};
use procura_proof::Caller;
use procura_proof::foreign::{Allowed, HmacV1};
use procura_types::Clock;
use route::Route;
pub(crate) use route::document;
use std::sync::Arc;

/// What refusals stand under in the record before it is known who asks for what.
const ACTION: &str = "authenticate";

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

/// Serves one request.
fn serve(app: Arc<App>, request: Request) -> BoxFuture<Response> {
    let label = Route::of(request.uri().path()).map_or("none", |(route, _)| route.call().label);
    framed(app, label, request, answered, worded)
}

/// The answer in the words of these routes.
fn worded(result: Result<Response, Failure>, frame: &Frame<'_>) -> Response {
    result.unwrap_or_else(|failure| {
        failure.log(frame.trace);
        answer::failed(&failure)
    })
}

async fn answered(app: Arc<App>, arrived: Arrived) -> Result<Response, Failure> {
    let app = app.as_ref();
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
    permitted(context, &snapshot, caller, op)
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
