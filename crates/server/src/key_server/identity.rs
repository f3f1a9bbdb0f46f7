//! `GET /api/agents/identity` and `/api/agents/identity/ID`: whose keys there are.

use super::answer;
use super::answer::AgentIdentity;
use super::{KeysNow, Public};
use crate::app::{App, Open};
use crate::foreign_answer::{bad_request, unavailable};
use axum::response::Response;
use procura_crypto::ssh::SshPublicKey;
use procura_proof::foreign::KeysUnavailable;
use procura_types::ForeignId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// When there is no telling which keys there are.
const KEYS_UNAVAILABLE: &str = "verifier_unavailable";

/// Answers with the ids of all agents.
pub(super) async fn list(app: Arc<App>) -> Response {
    let open = match app.open() {
        Ok(open) => open,
        Err(failure) => return unavailable(failure.code.as_str(), 1),
    };
    // Thousands of files may have to be looked at; the async threads go on.
    match tokio::task::spawn_blocking(move || ids(&app, &open)).await {
        Ok(Ok(agents)) => answer::identities(&agents),
        Ok(Err(_)) | Err(_) => unavailable(KEYS_UNAVAILABLE, 1),
    }
}

/// The ids of all agents with a key, sorted: those that have a file, and those that
/// were enrolled. Whoever was revoked is as good as unknown.
fn ids(app: &App, open: &Open) -> Result<Vec<ForeignId>, KeysUnavailable> {
    let snapshot = open.directory.snapshot();
    let keys = KeysNow::public(app, &snapshot, app.clock.now());
    let mut ids: BTreeSet<ForeignId> = app.key_server.keys.list()?.into_iter().collect();
    let enrolled = snapshot
        .foreign_ids()
        .filter(|bound| bound.device.is_some());
    ids.extend(enrolled.map(|bound| bound.id.clone()));
    let mut known = Vec::with_capacity(ids.len());
    for id in ids {
        if !keys.is_revoked(&id) && keys.public_key(&id)?.is_some() {
            known.push(id);
        }
    }
    Ok(known)
}

/// Answers with the key of one.
pub(super) fn read(app: &App, agent: &str) -> Response {
    let open = match app.open() {
        Ok(open) => open,
        Err(failure) => return unavailable(failure.code.as_str(), 1),
    };
    let Ok(agent) = agent.parse::<ForeignId>() else {
        return bad_request("missing_or_invalid_fields");
    };
    let snapshot = open.directory.snapshot();
    let keys = KeysNow::public(app, &snapshot, app.clock.now());
    let public = match keys.public_key(&agent) {
        Ok(public) => public.filter(|_| !keys.is_revoked(&agent)),
        Err(_) => return unavailable(KEYS_UNAVAILABLE, 1),
    };
    match public {
        Some(Public::File(file)) => AgentIdentity {
            agent_id: &agent,
            pub_key: &file.agent.line,
            fingerprint: &file.agent.fingerprint,
            registered_at: file.written,
        }
        .response(),
        Some(Public::Enrolled { key, since }) => {
            let key = SshPublicKey::of(key);
            AgentIdentity {
                agent_id: &agent,
                pub_key: &key.line(),
                fingerprint: &key.fingerprint(),
                registered_at: since,
            }
            .response()
        }
        None => answer::not_registered(&agent),
    }
}
