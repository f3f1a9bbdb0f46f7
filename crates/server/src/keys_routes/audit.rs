//! `GET /audit`: the newest entries of the record, for those who may read it.
//!
//! They are the entries of the ledger and not the lines of `verify.jsonl`: only the
//! record knows whose they are, so that an auditor of one namespace sees nothing of
//! another.

use super::answer::Refused;
use super::{Asked, Context};
use crate::app::{App, Open};
use crate::problem::Code;
use crate::reply::Reply;
use crate::serve::{denial, refuse};
use procura_directory::Snapshot;
use procura_policy::{Action, Denied, Op, Permit, Resource, authorize};
use procura_proof::Caller;
use procura_types::wire::EntryQuery;
use procura_types::{Namespace, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most entries of one answer.
const MOST: u32 = 100;
/// Pages that are looked at for one answer; each is of more than a hundred thousand
/// entries where few are of the namespace.
const PAGES: usize = 8;

/// The newest of the record.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditTail {
    /// Entries of the whole record, those of other namespaces included: what every
    /// checkpoint tells.
    total_entries: u64,
    /// At most 100 that the caller may read, the newest last; each byte for byte as it
    /// stands in the record, one JSON object.
    recent_entries: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    namespace: Option<Namespace>,
}

/// Reads the end of the record of one namespace.
struct OfNamespace(Namespace);

impl Op for OfNamespace {
    const ACTION: Action = Action::LedgerRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.0.clone())
    }
}

/// Reads the end of the whole record.
struct Whole;

impl Op for Whole {
    const ACTION: Action = Action::LedgerExport;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

/// Answers with the newest entries: of the namespace that the query names, else of
/// all for a steward, else of the one namespace that the caller audits.
pub(super) async fn audit(app: &App, open: &Open, asked: Asked) -> Result<Reply, Refused> {
    let Asked { input, caller, .. } = asked;
    let Query { namespace } = input.query()?;
    let snapshot = open.directory.snapshot();
    let namespace = match namespace {
        Some(namespace) => Some(namespace),
        None => audited(&snapshot, &caller)?,
    };
    let context = Context {
        app,
        open,
        input: &input,
    };
    match namespace {
        Some(namespace) => {
            let permit = permitted(&context, &snapshot, caller, OfNamespace(namespace))?;
            let namespace = Some(permit.op().0.clone());
            tail(open, namespace).await
        }
        None => {
            permitted(&context, &snapshot, caller, Whole)?;
            tail(open, None).await
        }
    }
}

/// The one namespace whose record is for the caller; none for a steward, who has
/// them all, and for whoever has no such role, whom policy refuses.
fn audited(snapshot: &Snapshot, caller: &Caller) -> Result<Option<Namespace>, Refused> {
    let Some(held) = snapshot.roles(caller.actor()) else {
        return Ok(None);
    };
    if held.has(Role::Steward, None) {
        return Ok(None);
    }
    let mut audited = held
        .roles
        .iter()
        .filter(|held| held.role == Role::Auditor)
        .filter_map(|held| held.namespace.clone());
    match (audited.next(), audited.next()) {
        (Some(_), Some(_)) => Err(Refused::WhichNamespace),
        (one, _) => Ok(one),
    }
}

fn permitted<O: Op>(
    context: &Context<'_>,
    snapshot: &Snapshot,
    caller: Caller,
    op: O,
) -> Result<Permit<O>, Refused> {
    let decider = context.open.recorder.decider();
    authorize(decider, snapshot, caller, op, context.input.now).map_err(|(denied, caller, op)| {
        refuse(context, &caller, &op, &denied);
        refused(denied)
    })
}

/// One answer for all who have no role, whether there is such a namespace or not.
fn refused(denied: Denied) -> Refused {
    let denial = denial(denied);
    if denial.code == Code::Unauthorized {
        Refused::Failed(denial)
    } else {
        Refused::NoRole
    }
}

async fn tail(open: &Open, namespace: Option<Namespace>) -> Result<Reply, Refused> {
    open.recorder.drain_refusals().await;
    let total_entries = open.reader.size()?;
    let mut query = EntryQuery {
        namespace,
        limit: Some(MOST),
        ..EntryQuery::default()
    };
    let mut recent_entries = Vec::new();
    for _ in 0..PAGES {
        let page = open.reader.list(&query).await?;
        recent_entries.extend(page.entries.into_iter().map(|row| row.entry));
        let left = MOST.saturating_sub(u32::try_from(recent_entries.len()).unwrap_or(MOST));
        if left == 0 || page.next.is_none() {
            break;
        }
        query.before = page.next;
        query.limit = Some(left);
    }
    recent_entries.reverse();
    Ok(Reply::json(&AuditTail {
        total_entries,
        recent_entries,
    })?)
}
