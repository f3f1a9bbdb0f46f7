//! `GET /api/agents/identity` and `/api/agents/identity/ID`: whose keys there are.

use super::answer;
use super::answer::Identity;
use crate::app::App;
use axum::response::Response;
use procura_types::ForeignId;
use std::sync::Arc;

/// When there is no telling which keys there are.
const KEYS_UNAVAILABLE: &str = "verifier_unavailable";

/// Answers with the ids of all agents.
pub(super) async fn list(app: Arc<App>) -> Response {
    if let Err(failure) = app.open() {
        return answer::unavailable(failure.code.as_str(), 1);
    }
    // Thousands of files may have to be looked at; the async threads go on.
    match tokio::task::spawn_blocking(move || app.key_server.keys.list()).await {
        Ok(Ok(agents)) => answer::identities(&agents),
        Ok(Err(_)) | Err(_) => answer::unavailable(KEYS_UNAVAILABLE, 1),
    }
}

/// Answers with the key of one.
pub(super) fn read(app: &App, agent: &str) -> Response {
    if let Err(failure) = app.open() {
        return answer::unavailable(failure.code.as_str(), 1);
    }
    let Ok(agent) = agent.parse::<ForeignId>() else {
        return answer::bad_request("missing_or_invalid_fields");
    };
    match app.key_server.keys.get(&agent) {
        Ok(Some((key, registered_at))) => Identity {
            agent_id: &agent,
            pub_key: &key.line,
            fingerprint: &key.fingerprint,
            registered_at,
        }
        .response(),
        Ok(None) => answer::not_registered(&agent),
        Err(_) => answer::unavailable(KEYS_UNAVAILABLE, 1),
    }
}
