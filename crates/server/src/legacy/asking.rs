//! What is asked of a project: whose yes it takes, and whether it was a decoy.

use super::answer::Refused;
use crate::honey::AsksNames;
use crate::problem::Failure;
use crate::serve::{Context, permitted};
use axum::response::Response;
use procura_authority::{Attesting, HoneyQuery, Matched, RequestCreate, RunQuery, TokenHolder};
use procura_directory::Snapshot;
use procura_policy::Action;
use procura_proof::Caller;
use procura_types::{Delivery, EnvName, Namespace, RequestId};
use std::sync::atomic::Ordering;

/// How values reach these clients: what was granted for a run of our own daemon opens nothing
/// here.
pub(super) const DELIVERY: Delivery = Delivery::Http;

/// The namespace of an agent.
pub(super) fn namespace_of(snapshot: &Snapshot, caller: &Caller) -> Result<Namespace, Failure> {
    let actor = snapshot.actor(caller.actor());
    let namespace = actor.and_then(|actor| actor.namespace().cloned());
    namespace.ok_or_else(|| Failure::internal("an id of no agent"))
}

/// Whose tokens of projects a daemon is given, and uses.
pub(super) fn holder(caller: &Caller, attesting: Attesting) -> Result<TokenHolder, Failure> {
    let process = caller.process().copied();
    Ok(TokenHolder {
        agent: *caller.actor(),
        device: process.ok_or_else(|| Failure::internal("a daemon without a key"))?,
        foreign: caller.foreign_id().cloned(),
        attesting,
    })
}

/// What is asked for, as far as there may be decoys among it.
pub(super) fn asks(
    snapshot: &Snapshot,
    caller: &Caller,
    action: Action,
    query: &RunQuery,
) -> Option<AsksNames> {
    let query = HoneyQuery {
        namespace: query.namespace.clone(),
        project: query.project.clone(),
        names: query.names.clone(),
        delivery: query.delivery,
        refused: false,
    };
    AsksNames::of(snapshot, caller, action, query)
}

/// What came of it. Where it was refused, or not all of it was there, that is kept before it
/// is answered.
pub(super) async fn came_of(
    context: &Context<'_>,
    asks: Option<AsksNames>,
    result: Result<Response, Refused>,
) -> Result<Response, Refused> {
    let Context { open, input, .. } = context;
    let refused = matches!(result, Err(Refused::Failed(_)));
    let unfound = input.progress.unfound.load(Ordering::Relaxed);
    if let Some(asks) = asks.filter(|_| refused || unfound) {
        asks.missed(&open.honey, input, refused).await?;
    }
    result
}

/// Asks a person for what no grant covers, once however often it is asked for, and says so.
pub(super) async fn ask(context: &Context<'_>, caller: Caller, matched: Matched) -> Refused {
    let names = matched.items().iter().map(|item| item.name.clone());
    let names: Vec<EnvName> = names.collect();
    match waiting(context, caller, matched.ask()).await {
        Ok(request) => Refused::Waits(request, names),
        Err(failure) => failure.into(),
    }
}

/// The request that waits for a person now.
async fn waiting(
    context: &Context<'_>,
    caller: Caller,
    ask: RequestCreate,
) -> Result<RequestId, Failure> {
    let Context { app, open, input } = context;
    let now = input.now;
    let snapshot = open.directory.snapshot();
    let permit = permitted(context, &snapshot, caller, ask)?;
    if let Some(waiting) = RequestCreate::waiting(&permit, open.vault.store(), now)? {
        return Ok(waiting);
    }
    let made = context
        .change(permit, |batch| {
            RequestCreate::run(batch, now, app.entropy.as_ref())
        })
        .await?;
    Ok(made)
}
