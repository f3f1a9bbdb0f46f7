//! What clients of CortexAuth ask while they are moved here (`protocol.md` §3.8, ADR 43):
//! `/device/authorize`, `/device/token`, `/daemon/attest`, `/agent/discover` and `/project/`,
//! where the configuration switches them on. The rest of the server knows nothing of it.
//!
//! Words and shapes are theirs, what happens is ours: what they prove is one profile, policy
//! has a list of what that may do, and whatever is handed out goes the way of a grant, the
//! record and the vault.

mod answer;
mod asking;
mod attest;
mod discover;
mod found;
mod login;
mod proving;
mod route;
mod values;

use crate::app::App;
use crate::framed::{Frame, framed};
use crate::input::{Arrived, SMALL_BODY, read};
use crate::problem::{Code, Failure};
use crate::proving::{addressed, not_by_browser};
use crate::serve::{BoxFuture, Context};
use answer::Refused;
pub(crate) use answer::{turned_away, unclear};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use route::Route;
pub(crate) use route::document;
use std::sync::Arc;

/// Mounts the paths, where they are switched on.
pub(crate) fn route(router: Router<Arc<App>>, app: &App) -> Router<Arc<App>> {
    if !app.config.cortexauth {
        return router;
    }
    let handler = |State(app): State<Arc<App>>, request: Request| serve(app, request);
    let mount =
        |router: Router<Arc<App>>, route: Route| router.route(route.call().path, any(handler));
    Route::ALL.into_iter().fold(router, mount)
}

/// Whether a path is answered in these words.
pub(crate) fn answers(app: &App, path: &str) -> bool {
    app.config.cortexauth && Route::of(path).is_some()
}

/// Serves one request.
fn serve(app: Arc<App>, request: Request) -> BoxFuture<Response> {
    let label = Route::of(request.uri().path()).map_or("none", |route| route.call().label);
    framed(app, label, request, answered, worded)
}

/// The answer in the words of these clients.
fn worded(result: Result<Response, Refused>, frame: &Frame<'_>) -> Response {
    result.unwrap_or_else(|refused| refused.into_response(frame.trace))
}

async fn answered(app: Arc<App>, arrived: Arrived) -> Result<Response, Refused> {
    let app = app.as_ref();
    let uri = arrived.request.uri();
    let Some(route) = Route::of(uri.path()) else {
        return Err(Failure::new(Code::NotFound, "There is no such path.").into());
    };
    let method = route.call().method;
    if arrived.request.method().as_str() != method {
        return Err(Refused::Method(method));
    }
    // No signature of theirs covers it.
    if uri.query().is_some() {
        let mut failure = Failure::new(Code::Malformed, "These calls take no query.");
        failure.field = Some("query");
        return Err(failure.into());
    }
    let open = app.open()?;
    let input = read(app, arrived, SMALL_BODY).await?;
    addressed(app, &open, &input)?;
    // None of the fields of ours is there, and theirs a page cannot write.
    not_by_browser(app, &open, &input)?;
    let context = Context {
        app,
        open: &open,
        input: &input,
    };
    match route {
        Route::Authorize => login::ask(&context).await,
        Route::Token => login::collect(&context).await,
        Route::Attest => attest::attest(&context).await,
        Route::Discover => discover::discover(&context).await,
        Route::Secrets => values::secrets(&context).await,
        Route::Config => values::config(&context).await,
    }
}

#[cfg(test)]
mod tests {
    use super::worded;
    use crate::framed::tests::late;

    #[tokio::test]
    async fn one_that_took_too_long_may_have_had_its_effect_once_it_had_begun() {
        for (method, status, code) in [("GET", 408, "timeout"), ("POST", 500, "outcome_unknown")] {
            let (found, body) = late(worded, method).await;
            assert_eq!((found, body["error_code"].as_str()), (status, Some(code)));
        }
    }
}
