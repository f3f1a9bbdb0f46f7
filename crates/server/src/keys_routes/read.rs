//! `GET /keys/ssh/NAME` and `GET /keys/api/SERVICE`: one key, for an agent that has a
//! grant for it.

use super::answer::Refused;
use super::{Asked, Context};
use crate::app::{App, Open};
use crate::honey::{bait_key, hand_key};
use crate::problem::{Code, Failure};
use crate::reply::Reply;
use crate::serve::{denial, refuse, refuse_unfound};
use procura_authority::{KeyKind, KeyRead, RequestCreate};
use procura_policy::{Action, DenyReason, Permit, authorize};
use procura_proof::Caller;
use procura_types::RequestId;
use procura_vault::{Released, VaultError};
use serde::Serialize;
use utoipa::ToSchema;

/// The key of a service's API.
#[derive(Serialize, ToSchema)]
#[schema(as = ServiceApiKey)]
pub(super) struct ApiKey<'a> {
    service: &'a str,
    api_key: &'a str,
}

/// Answers with the key. Without a grant the read becomes a request, which a person
/// answers; whoever may not even ask is told that there is no such key.
pub(super) async fn read(
    app: &App,
    open: &Open,
    kind: KeyKind,
    asked: Asked,
) -> Result<Reply, Refused> {
    let Asked {
        input,
        caller,
        name,
    } = asked;
    let now = input.now;
    let snapshot = open.directory.snapshot();
    let path = kind.path(&name);
    let op = match &path {
        Some(path) => KeyRead::resolve(&open.vault, &snapshot, caller.actor(), path, now)?,
        None => None,
    };
    let context = Context {
        app,
        open,
        input: &input,
    };
    let Some(op) = op else {
        if let Some(honey) = bait_key(&snapshot, &caller, path.as_ref()) {
            let released = hand_key(&context, &snapshot, caller, honey).await?;
            return reply(kind, &name, released);
        }
        open.honey
            .missed_key(&snapshot, &caller, path, &input)
            .await?;
        refuse_unfound(open, &input, &caller, Action::KeyRead.as_str());
        return Err(Refused::NoKey(kind));
    };
    match authorize(open.recorder.decider(), &snapshot, caller, op, now) {
        Ok(permit) => {
            let released = release(&context, kind, permit).await?;
            reply(kind, &name, released)
        }
        Err((denied, caller, op)) if denied.reason == DenyReason::NoGrant => {
            Err(Refused::Waits(ask(&context, kind, caller, op).await?))
        }
        Err((denied, caller, op)) => {
            refuse(&context, &caller, &op, &denied);
            Err(hidden(kind, denial(denied)))
        }
    }
}

/// Opens the value, once the intent is durable.
async fn release(
    context: &Context<'_>,
    kind: KeyKind,
    permit: Permit<KeyRead>,
) -> Result<Released, Refused> {
    let open = context.open;
    let details = permit.op().details();
    let recorded = open
        .recorder
        .record(permit, context.origin(), details)
        .await?;
    match open.vault.release(&recorded, context.input.now) {
        // The operation is for one value.
        Ok(mut released) => released
            .pop()
            .ok_or_else(|| Failure::internal("nothing was released").into()),
        Err(error) => {
            open.recorder.failed(&recorded, "value_unreadable").await?;
            match error {
                // It was deleted between one look and the other.
                VaultError::NotFound(_) => Err(Refused::NoKey(kind)),
                other => Err(other.into()),
            }
        }
    }
}

fn reply(kind: KeyKind, service: &str, released: Released) -> Result<Reply, Refused> {
    match kind {
        KeyKind::Ssh => Ok(Reply::secret_raw(
            "text/plain; charset=utf-8",
            released.value,
        )),
        KeyKind::Api => {
            let api_key = std::str::from_utf8(released.value.expose())
                .map_err(|_| Failure::internal("the key of an API is not UTF-8"))?;
            let answer = ApiKey { service, api_key };
            Ok(Reply::secret(&answer, api_key.len())?)
        }
    }
}

/// The request that waits for a person now.
async fn ask(
    context: &Context<'_>,
    kind: KeyKind,
    caller: Caller,
    op: KeyRead,
) -> Result<RequestId, Refused> {
    let open = context.open;
    let now = context.input.now;
    let snapshot = open.directory.snapshot();
    let permit = match authorize(open.recorder.decider(), &snapshot, caller, op.ask(), now) {
        Ok(permit) => permit,
        Err((denied, caller, ask)) => {
            refuse(context, &caller, &ask, &denied);
            return Err(hidden(kind, denial(denied)));
        }
    };
    if let Some(waiting) = RequestCreate::waiting(&permit, open.vault.store(), now)? {
        return Ok(waiting);
    }
    let made = context
        .change(permit, |batch| {
            RequestCreate::run(batch, now, context.app.entropy.as_ref())
        })
        .await?;
    Ok(made)
}

/// A refusal of policy in the words for a key that is not there, unless the caller
/// itself is not good any more.
fn hidden(kind: KeyKind, denial: Failure) -> Refused {
    if denial.code == Code::Unauthorized {
        Refused::Failed(denial)
    } else {
        Refused::NoKey(kind)
    }
}
