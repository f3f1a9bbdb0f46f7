//! `POST /agent/session/start` and `/agent/session/extend`.

use super::holder::{Named, find_session, id_of, key_of, refused, session_text};
use super::{allowed, body};
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::foreign_answer::json;
use crate::opening::session_keys;
use crate::problem::{Code, Failure};
use crate::proving::either::{Proven, prove};
use crate::serve::Context;
use axum::response::Response;
use http::StatusCode;
use procura_proof::agent_session::{AgentKeyMark, IssuedAgentSession, issue};
use procura_proof::session::IssueError;
use procura_proof::{Case, Profile};
use procura_record::Refusal as Recorded;
use procura_types::{ForeignId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session, as the agent gets it.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentSessionId {
    /// What to send as `X-Session-Id`.
    session_id: String,
    /// How long it lives from now on.
    ttl_ms: u64,
}

/// Which session to go on with, where no `X-Session-Id` says so.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AgentSessionExtend)]
pub(super) struct Extend {
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    agent_id: Option<ForeignId>,
}

/// Starts a session of the agent that proves itself.
pub(super) async fn start(context: &Context<'_>) -> Result<Response, Failure> {
    let proven = strong(context, "agent.session.start").await?;
    let Named { agent_id } = body(context.input)?;
    let snapshot = context.open.directory.snapshot();
    let id = id_of(&snapshot, &proven, agent_id)?;
    let key = key_of(context, &snapshot, &proven, &id)?;
    let now = context.input.now;
    let issued = issued(context, &id, &key.mark(), now)?;
    context.app.metrics.session_started();
    let event = AgentEvent::new(Happened::SessionStarted, context.input);
    agent_event(context.app, event.agent(id.as_str()));
    Ok(answer(context, issued))
}

/// Goes on with a session of the agent that proves itself. The session stays one of
/// the key that it was started with.
pub(super) async fn extend(context: &Context<'_>) -> Result<Response, Failure> {
    let proven = strong(context, "agent.session.extend").await?;
    let Extend {
        session_id,
        agent_id,
    } = body(context.input)?;
    let snapshot = context.open.directory.snapshot();
    let refuse = |refusal| refused(context, &snapshot, &proven, refusal);
    let id = id_of(&snapshot, &proven, agent_id)?;
    let sent = session_text(context).map_err(refuse)?;
    let text = match (sent, session_id) {
        // Two that differ would leave it open which is meant.
        (Some(sent), Some(named)) if sent != named => {
            return Err(refuse(Case::SessionForeign.into()));
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(refuse(Case::SessionForeign.into())),
    };
    let ids = std::slice::from_ref(&id);
    let (session, key) = find_session(context, &snapshot, ids, &text).map_err(refuse)?;
    let issued = issued(context, &id, &key.mark(), session.first_issue())?;
    Ok(answer(context, issued))
}

/// Who makes the request, by a proof that a session may come of.
async fn strong(context: &Context<'_>, action: &'static str) -> Result<Proven, Failure> {
    let Context { app, open, input } = context;
    let proven = prove(app, open, input, &allowed(context)?).await?;
    match &proven {
        // A session proves less than the key that it came from.
        Proven::Native(caller) if caller.profile() != Profile::Native => Err(Failure::new(
            Code::Unauthorized,
            "A session starts with a signature by the device's own key.",
        )),
        Proven::Foreign(caller) if caller.is_weak() => {
            let profile = caller.profile().as_str();
            open.recorder.refuse(Recorded {
                resource: Some(format!("foreign/{}", caller.agent())),
                ip: input.peer,
                ..Recorded::of_nobody(action, "wrong_profile", input.now, profile, input.trace)
            });
            Err(Failure::new(
                Code::Forbidden,
                "hmac-v1 protects neither method, path nor time: no session comes of it.",
            ))
        }
        _ => Ok(proven),
    }
}

fn issued(
    context: &Context<'_>,
    id: &ForeignId,
    key: &AgentKeyMark<'_>,
    first_issue: Timestamp,
) -> Result<IssuedAgentSession, Failure> {
    let keys = session_keys(&context.open.vault);
    let entropy = context.app.entropy.as_ref();
    let issued = issue(
        keys.as_ref(),
        id,
        key,
        context.input.now,
        first_issue,
        entropy,
    );
    let issued = issued.map_err(|error| match error {
        IssueError::RenewalOver => Failure::new(
            Code::Unauthorized,
            "Twelve hours after its first issue a session cannot be gone on with; start another.",
        )
        .with_reason("session_expired"),
        IssueError::Sealed => Failure::new(Code::Sealed, "The vault was sealed meanwhile."),
        other => Failure::internal(other),
    })?;
    context.app.agents.started.add(context.app.clock.steady());
    Ok(issued)
}

fn answer(context: &Context<'_>, issued: IssuedAgentSession) -> Response {
    let ttl = issued.expires.since(context.input.now);
    let answer = AgentSessionId {
        session_id: issued.session_id,
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
    };
    json(StatusCode::OK, &answer)
}
