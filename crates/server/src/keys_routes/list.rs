//! `GET /keys/list`: the keys that the caller has grants for.

use super::answer::Refused;
use super::{Asked, Context};
use crate::app::{App, Open};
use crate::reply::Reply;
use crate::serve::{denial, refuse};
use procura_authority::{KeyListing, KeyNames};
use procura_policy::authorize;
use serde::Serialize;
use utoipa::ToSchema;

/// The names, sorted.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    ssh_keys: Vec<String>,
    api_services: Vec<String>,
}

impl From<KeyNames> for KeyList {
    fn from(names: KeyNames) -> Self {
        Self {
            ssh_keys: names.ssh,
            api_services: names.api,
        }
    }
}

/// Answers with the names. Operators have no grants, so for them there are none.
pub(super) fn list(app: &App, open: &Open, asked: Asked) -> Result<Reply, Refused> {
    let Asked { input, caller, .. } = asked;
    let snapshot = open.directory.snapshot();
    let agent = *caller.actor();
    let record = snapshot.actor(&agent);
    let Some(namespace) = record.and_then(|record| record.namespace()).cloned() else {
        return Ok(Reply::json(&KeyList::from(KeyNames::default()))?);
    };
    let op = KeyListing { namespace, agent };
    match authorize(open.recorder.decider(), &snapshot, caller, op, input.now) {
        Ok(permit) => {
            let names = KeyListing::run(&permit, &snapshot, open.vault.store(), input.now)?;
            Ok(Reply::json(&KeyList::from(names))?)
        }
        Err((denied, caller, op)) => {
            let context = Context {
                app,
                open,
                input: &input,
            };
            refuse(&context, &caller, &op, &denied);
            Err(denial(denied).into())
        }
    }
}
