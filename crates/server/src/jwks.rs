//! `/.well-known/jwks.json`: the keys by which anybody verifies tokens (RFC 7517); and
//! beside it the same for the tokens of one type, by their audience.

use crate::app::App;
use crate::notify::signing_key;
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
/// Where those are that sign tokens of devices, and no others.
pub(crate) const DAEMON_PATH: &str = "/.well-known/jwks/procura-daemon.json";
/// Where the key is that signs webhooks.
pub(crate) const WEBHOOK_PATH: &str = "/.well-known/jwks/procura-webhook.json";
/// As it is counted.
const LABEL: &str = "key_set.read";

/// Mounts the key sets.
pub(crate) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let sets = [
        (PATH, None),
        (AGENT_PATH, Some(TokenType::Agent)),
        (PROJECT_PATH, Some(TokenType::Project)),
        (DAEMON_PATH, Some(TokenType::Daemon)),
    ];
    let webhooks = async |State(app): State<Arc<App>>, request: Request| {
        let started = Instant::now();
        // Under another server's name it would be the key of that one.
        let asked = authority(&app, request.version(), request.headers(), request.uri());
        let asked = asked.map(drop);
        drop(request);
        let answer = webhook_key(&app, asked).await;
        counted(&app, answer, started)
    };
    let router = router.route(WEBHOOK_PATH, get(webhooks));
    sets.into_iter().fold(router, |router, (path, tokens)| {
        let handler = async move |State(app): State<Arc<App>>, request: Request| {
            serve(&app, tokens, &request)
        };
        router.route(path, get(handler))
    })
}

fn serve(app: &App, tokens: Option<TokenType>, request: &Request) -> Response {
    let started = Instant::now();
    counted(app, answer(app, tokens, request), started)
}

fn counted(app: &App, answer: Result<Response, Failure>, started: Instant) -> Response {
    let response = answer.unwrap_or_else(|failure| refused(app, failure));
    app.metrics
        .request(LABEL, response.status(), started.elapsed());
    response
}

fn answer(app: &App, tokens: Option<TokenType>, request: &Request) -> Result<Response, Failure> {
    // Under another server's name it would be the set of that one.
    authority(app, request.version(), request.headers(), request.uri())?;
    let open = app.open()?;
    Ok(key_set(
        open.tokens.key_set(tokens, app.clock.now())?.into(),
    ))
}

/// The set of the one key by which webhooks are verified (`spec/notifications.md`).
async fn webhook_key(app: &App, asked: Result<(), Failure>) -> Result<Response, Failure> {
    asked?;
    let open = app.open()?;
    let store = open.vault.store();
    let key = signing_key(store, app.clock.as_ref(), app.entropy.as_ref()).await?;
    let jwk = key.public().to_jwk();
    let set = serde_json::json!({ "keys": [{
        "kty": jwk.kty,
        "crv": jwk.crv,
        "x": jwk.x,
        "kid": key.public().thumbprint().to_string(),
        "use": "sig",
        "alg": "EdDSA",
    }] })
    .to_string();
    Ok(key_set(set.into()))
}

fn key_set(set: Body) -> Response {
    let mut response = Response::new(set);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    let cache = format!("public, max-age={}", KEY_SET_LIFE.as_secs());
    if let Ok(cache) = HeaderValue::try_from(cache) {
        headers.insert(header::CACHE_CONTROL, cache);
    }
    response
}

fn refused(app: &App, failure: Failure) -> Response {
    let trace = TraceId::generate(app.clock.now(), app.entropy.as_ref());
    failure.into_response_for(trace.unwrap_or_else(|_| TraceId::from_bytes([0; 16])))
}
