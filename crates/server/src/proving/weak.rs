//! The record of proofs that protect next to nothing (`hmac-v1`), where a service lets
//! them in.

use super::refused_by;
use crate::app::{App, Open};
use crate::problem::{Failure, printable};
use crate::serve::{Input, denial};
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, Op, Resource, authorize};
use procura_proof::Caller;
use procura_proof::foreign::ForeignCaller;
use procura_record::{Details, Origin};
use procura_types::{ActorId, ForeignId, Namespace};

/// An agent was let in by a proof that protects next to nothing.
struct WeakUse {
    namespace: Namespace,
    id: ForeignId,
    actor: ActorId,
}

impl Op for WeakUse {
    const ACTION: Action = Action::ForeignWeak;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

/// Puts a weak proof into the record, before anything comes of it.
pub(super) async fn record_weak(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
    proven: &ForeignCaller,
) -> Result<(), Failure> {
    let refused = |refusal| {
        refused_by(
            proven.profile().as_str(),
            (app, open),
            snapshot,
            input,
            &refusal,
        )
    };
    let Some(caller) = Caller::weak(proven, snapshot).map_err(refused)? else {
        return Ok(());
    };
    let actor = *caller.actor();
    let namespace = snapshot
        .actor(&actor)
        .and_then(|agent| agent.namespace().cloned());
    let op = WeakUse {
        namespace: namespace.ok_or_else(|| Failure::internal("an agent without a namespace"))?,
        id: proven.agent().clone(),
        actor,
    };
    let permit = authorize(open.recorder.decider(), snapshot, caller, op, input.now)
        .map_err(|(denied, _, _)| denial(denied))?;
    let parts = &input.parts;
    let details = Details {
        with: Some(format!(
            "{} {}",
            printable(parts.method.as_str()),
            printable(parts.uri.path())
        )),
        ..Details::default()
    };
    open.recorder
        .record(permit, Origin::new(input.trace), details)
        .await?;
    Ok(())
}
