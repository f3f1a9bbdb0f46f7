//! Health and metrics, on a listener of their own that proves nothing and tells
//! nothing of anyone.

use crate::app::{App, Stage};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde::Serialize;
use std::sync::Arc;

/// Why the server does less than it should.
#[must_use]
pub(crate) fn degraded(app: &App) -> Vec<String> {
    let mut why: Vec<String> = app.key_server.degraded().collect();
    why.extend(app.events.degraded());
    why.extend(app.agents.degraded());
    why.extend(app.shared_guard_problem());
    why.extend(app.in_force.problem());
    if let Some(problem) = app
        .certificate()
        .and_then(|certificate| certificate.problem())
    {
        why.push(format!(
            "TLS: {problem}; the certificate from before is in use"
        ));
    }
    if let Stage::Sealed(..) = app.stage().as_ref() {
        let config = &app.config;
        let configured = !config.auto_unseal.is_empty() || config.passphrase_file.is_some();
        why.extend(app.auto_unseal.problem(configured));
    }
    if let Stage::Open(open) = app.stage().as_ref() {
        why.extend(open.stale(app.config.max_stale()));
        why.extend(app.key_server.ignored(&open.directory.snapshot()));
        let unusable = open.policies.unusable(&open.directory.snapshot());
        if !unusable.is_empty() {
            why.push(format!(
                "policies: {} versions that count cannot be used, so they allow nothing; `procura policy list` says why",
                unusable.len()
            ));
        }
        if let Some(problem) = open.publisher.problem() {
            why.push(format!("checkpoints: {problem}"));
        }
        why.extend(
            open.vault
                .store()
                .trouble()
                .iter()
                .map(|trouble| format!("store: {trouble}")),
        );
    }
    why
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    initialized: bool,
    sealed: bool,
    degraded: Vec<String>,
    /// How many connections to the API fit.
    max_connections: usize,
}

async fn health(State(app): State<Arc<App>>) -> impl IntoResponse {
    let (initialized, sealed) = match app.stage().as_ref() {
        Stage::Uninitialised => (false, true),
        Stage::Sealed(..) => (true, true),
        Stage::Open(_) => (true, false),
    };
    let degraded = degraded(&app);
    let (status, code) = match (initialized, sealed, degraded.is_empty()) {
        (false, _, _) => ("uninitialised", StatusCode::SERVICE_UNAVAILABLE),
        (_, true, _) => ("sealed", StatusCode::SERVICE_UNAVAILABLE),
        (_, _, false) => ("degraded", StatusCode::SERVICE_UNAVAILABLE),
        _ => ("ok", StatusCode::OK),
    };
    (
        code,
        axum::Json(Health {
            status,
            initialized,
            sealed,
            degraded,
            max_connections: app.config.max_connections,
        }),
    )
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    // It counts what there is; the async threads go on.
    let counted = tokio::task::spawn_blocking(move || app.metrics.render(&app)).await;
    let Ok(text) = counted else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// The routes of the health listener.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(app)
}
