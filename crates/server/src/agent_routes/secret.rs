//! `POST /agent/secret/rotate`.

use super::holder::{check_session, id_of};
use super::{allowed, body, permit};
use crate::problem::{Code, Failure};
use crate::proving::either::{Proven, prove};
use crate::proving::refused_by;
use crate::serve::{Context, Reply, refuse_unfound};
use axum::response::Response;
use procura_identity::AgentSecretRotate;
use procura_policy::Action;
use procura_proof::Caller;
use procura_types::ForeignId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose secret, and what becomes of the ones from before.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AgentSecretRotation)]
pub(super) struct Rotate {
    /// Needed by an operator, and by an agent with more than one id.
    #[serde(default)]
    agent_id: Option<ForeignId>,
    /// Whether they end at once.
    #[serde(default)]
    invalidate: bool,
}

/// A secret that was just made, shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentSecretRotated)]
pub(super) struct Rotated<'a> {
    agent_id: &'a ForeignId,
    new_secret: &'a str,
}

/// Answers with another secret of the id that an operator names, or of the agent that
/// proves itself natively.
pub(super) async fn rotate(context: &Context<'_>) -> Result<Response, Failure> {
    let Context { app, open, input } = context;
    let proven = prove(app, open, input, &allowed(context)?).await?;
    check_session(context, &proven)?;
    let Rotate {
        agent_id,
        invalidate,
    } = body(input)?;
    let snapshot = open.directory.snapshot();
    let id = match (&proven, agent_id) {
        // Whose it is, policy looks at.
        (Proven::Native(_), Some(named)) => named,
        (_, named) => id_of(&snapshot, &proven, named)?,
    };
    let caller = match proven {
        Proven::Native(caller) => caller,
        Proven::Foreign(foreign) => {
            let profile = foreign.profile().as_str();
            Caller::foreign(foreign, &snapshot)
                .map_err(|refusal| refused_by(profile, (app, open), &snapshot, input, &refusal))?
        }
    };
    let Some(op) = AgentSecretRotate::resolve(&snapshot, &id, invalidate) else {
        refuse_unfound(open, input, &caller, Action::AgentSecretRotate.as_str());
        return Err(Failure::new(Code::NotFound, "There is no such id here."));
    };
    let permit = permit(context, caller, op)?;
    let (terms, entropy) = (app.config.agent_secret_terms(), app.entropy.as_ref());
    let made = context
        .change(permit, |batch| {
            AgentSecretRotate::run(batch, &terms, input.now, entropy)
        })
        .await?;
    let text = made.text.expose();
    let answer = Rotated {
        agent_id: &id,
        new_secret: text,
    };
    Ok(Reply::secret(&answer, text.len())?.into_response(input.trace, None))
}
