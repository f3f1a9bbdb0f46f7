//! `/.well-known/jwks.json`: the keys by which anybody verifies tokens (RFC 7517); and
//! beside it the same for the tokens of one type, by their audience.

use crate::app::App;
use crate::problem::Failure;
use crate::proving::authority;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, header};
use procura_token::KEY_SET_LIFE;
use procura_types::TraceId;
use procura_types::wire::TokenType;
use std::sync::Arc;
use std::time::Instant;

/// Where all keys are (RFC 8615).
pub(crate) const PATH: &str = "/.well-known/jwks.json";
/// Where those are that sign tokens of agents, and no others.
pub(crate) const AGENT_PATH: &str = "/.well-known/jwks/procura-agent.json";
/// Where those are that sign tokens of projects, and no others.
pub(crate) const PROJECT_PATH: &str = "/.well-known/jwks/procura-project.json";
/// As it is counted.
const LABEL: &str = "key_set.read";

/// Mounts the key sets.
pub(crate) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let sets = [
        (PATH, None),
        (AGENT_PATH, Some(TokenType::Agent)),
        (PROJECT_PATH, Some(TokenType::Project)),
    ];
    sets.into_iter().fold(router, |router, (path, tokens)| {
        let handler = async move |State(app): State<Arc<App>>, request: Request| {
            serve(&app, tokens, &request)
        };
        router.route(path, get(handler))
    })
}

fn serve(app: &App, tokens: Option<TokenType>, request: &Request) -> Response {
    let started = Instant::now();
    let response = answer(app, tokens, request).unwrap_or_else(|failure| refused(app, failure));
    app.metrics
        .request(LABEL, response.status(), started.elapsed());
    response
}

fn answer(app: &App, tokens: Option<TokenType>, request: &Request) -> Result<Response, Failure> {
    // Under another server's name it would be the set of that one.
    authority(app, request.version(), request.headers(), request.uri())?;
    let open = app.open()?;
    let set = open.tokens.key_set(tokens, app.clock.now())?;
    let mut response = Response::new(Body::from(set));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    let cache = format!("public, max-age={}", KEY_SET_LIFE.as_secs());
    if let Ok(cache) = HeaderValue::try_from(cache) {
        headers.insert(header::CACHE_CONTROL, cache);
    }
    Ok(response)
}

fn refused(app: &App, failure: Failure) -> Response {
    let trace = TraceId::generate(app.clock.now(), app.entropy.as_ref());
    failure.into_response_for(trace.unwrap_or_else(|_| TraceId::from_bytes([0; 16])))
}
