//! `POST /agent/token/refresh`.

use super::holder::{Named, check_session, id_of};
use super::{allowed, body, permit};
use crate::problem::{Code, Failure};
use crate::proving::either::{Proven, prove};
use crate::serve::{Context, Reply};
use axum::response::Response;
use procura_policy::{Action, Concerned, Op, Resource};
use procura_proof::{Caller, Profile};
use procura_record::Details;
use procura_types::{ActorId, ForeignId, Namespace};
use serde::Serialize;
use utoipa::ToSchema;

/// What a token is for; services that take it look for this.
pub(super) const SCOPES: [&str; 1] = ["agent"];

/// A token, as the agent gets it.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentToken)]
pub(super) struct Refreshed<'a> {
    agent_jwt: &'a str,
    /// In seconds.
    expires_in: u64,
}

/// Gives an agent a token.
struct TokenRefresh {
    namespace: Namespace,
    id: ForeignId,
    actor: ActorId,
}

impl Op for TokenRefresh {
    const ACTION: Action = Action::AgentTokenRefresh;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

/// Answers with a token for the agent that proves itself.
pub(super) async fn refresh(context: &Context<'_>) -> Result<Response, Failure> {
    let Context { app, open, input } = context;
    let proven = prove(app, open, input, &allowed(context)?).await?;
    check_session(context, &proven)?;
    let Named { agent_id } = body(input)?;
    let snapshot = open.directory.snapshot();
    let id = id_of(&snapshot, &proven, agent_id)?;
    let caller = match proven {
        // A session proves less than the key that it came from.
        Proven::Native(caller) if caller.profile() != Profile::Native => {
            return Err(Failure::new(
                Code::Unauthorized,
                "A token is for whoever signs with the device's own key.",
            ));
        }
        Proven::Native(caller) => caller,
        Proven::Foreign(foreign) => {
            let profile = foreign.profile().as_str();
            Caller::foreign(foreign, &snapshot).map_err(|refusal| {
                crate::proving::refused_by(profile, (app, open), &snapshot, input, &refusal)
            })?
        }
    };
    let (actor, owner) = (*caller.actor(), *caller.owner());
    let agent = snapshot.actor(&actor);
    let namespace = agent.and_then(|agent| agent.namespace().cloned());
    let op = TokenRefresh {
        namespace: namespace
            .ok_or_else(|| Failure::new(Code::NotFound, "The caller is no agent."))?,
        id,
        actor,
    };
    let permit = permit(context, caller, op)?;
    let id = permit.op().id.clone();
    let recorded = open
        .recorder
        .record(permit, context.origin(), Details::default())
        .await?;
    let jwt = match open
        .tokens
        .agent_jwt(id.as_str(), &actor, &owner, &SCOPES, input.now)
    {
        Ok(jwt) => jwt,
        Err(failure) => {
            open.recorder.failed(&recorded, "not_signed").await?;
            return Err(failure);
        }
    };
    let token = jwt.token.expose();
    let answer = Refreshed {
        agent_jwt: token,
        expires_in: jwt.expires_in.as_secs(),
    };
    Ok(Reply::secret(&answer, token.len())?.into_response(input.trace, None))
}
