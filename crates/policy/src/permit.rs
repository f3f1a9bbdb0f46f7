//! The permit: the value that a successful authorization yields.

use crate::action::{Action, Rule};
use crate::decider::{Allowed, Basis, Claim, Decider, Denied, PolicyNames, Question};
use crate::resource::{Concerned, Resource};
use procura_directory::Snapshot;
use procura_proof::Caller;
use procura_types::Timestamp;

/// The data of an operation: what is to be done, on which resource. Effects take
/// their target from here and from nowhere else, so that nothing can be
/// authorized for one thing and done to another.
pub trait Op: Send + Sync + 'static {
    /// What it does.
    const ACTION: Action;

    /// On what.
    fn resource(&self) -> Resource;

    /// Whom it concerns besides the caller.
    fn concerned(&self) -> Concerned<'_> {
        Concerned::default()
    }

    /// All that it does, for an action that is its parts ([`Rule::Parts`]): each has to be
    /// allowed by itself.
    fn parts(&self) -> Vec<(Action, Resource)> {
        Vec::new()
    }
}

/// The decision on an operation, or on every part of one that is its parts; the basis is
/// then that of the first. Without parts nobody may.
fn decide<O: Op>(
    decider: &dyn Decider,
    snapshot: &Snapshot,
    caller: &Caller,
    (op, resource): (&O, &Resource),
    now: Timestamp,
) -> Result<Allowed, Denied> {
    let ask = |action, resource: &Resource, concerned| {
        decider.decide(
            snapshot,
            &Question {
                caller,
                action,
                resource,
                concerned,
                now,
            },
        )
    };
    let mut first = None;
    if O::ACTION.rule() == Rule::Parts {
        for (action, resource) in op.parts() {
            let allowed = ask(action, &resource, Concerned::default())?;
            first.get_or_insert(allowed);
        }
    }
    match first {
        Some(allowed) => Ok(allowed),
        None => ask(O::ACTION, resource, op.concerned()),
    }
}

/// Proof that `op` was authorized for `caller`, at one state of the directory.
/// Neither cloned nor made by hand: an effect that takes one cannot run without
/// the decision.
pub struct Permit<O: Op> {
    op: O,
    caller: Caller,
    resource: Resource,
    basis: Basis,
    policies: Option<PolicyNames>,
    directory_seq: u64,
}

/// Decides on an operation. The snapshot must be the one that `caller` was
/// authenticated with or a later one.
#[expect(
    clippy::result_large_err,
    reason = "a refusal gives caller and operation back, to be recorded"
)]
pub fn authorize<O: Op>(
    decider: &dyn Decider,
    snapshot: &Snapshot,
    caller: Caller,
    op: O,
    now: Timestamp,
) -> Result<Permit<O>, (Denied, Caller, O)> {
    let resource = op.resource();
    match decide(decider, snapshot, &caller, (&op, &resource), now) {
        Ok(Allowed { basis, policies }) => Ok(Permit {
            op,
            caller,
            resource,
            basis,
            policies,
            directory_seq: snapshot.seq(),
        }),
        Err(denied) => Err((denied, caller, op)),
    }
}

impl<O: Op> Permit<O> {
    /// Decides once more, on a later state of the directory. A no consumes the
    /// permit's force: the caller must not go on with it.
    pub fn renew(
        &mut self,
        decider: &dyn Decider,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let of = (&self.op, &self.resource);
        let Allowed { basis, policies } = decide(decider, snapshot, &self.caller, of, now)?;
        self.basis = basis;
        self.policies = policies;
        self.directory_seq = snapshot.seq();
        Ok(())
    }

    /// Claims the use that is about to be recorded ([`Decider::claim`]).
    pub fn claim(
        &self,
        decider: &dyn Decider,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Claim, Denied> {
        decider.claim(
            snapshot,
            &Question {
                caller: &self.caller,
                action: O::ACTION,
                resource: &self.resource,
                concerned: self.op.concerned(),
                now,
            },
        )
    }

    /// The operation.
    #[must_use]
    pub const fn op(&self) -> &O {
        &self.op
    }

    /// Who it was authorized for.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// On what.
    #[must_use]
    pub const fn resource(&self) -> &Resource {
        &self.resource
    }

    /// By what.
    #[must_use]
    pub const fn basis(&self) -> Basis {
        self.basis
    }

    /// The policies that permit it, where any are in force.
    #[must_use]
    pub const fn policies(&self) -> Option<&PolicyNames> {
        self.policies.as_ref()
    }

    /// The state of the directory that it was decided on.
    #[must_use]
    pub const fn directory_seq(&self) -> u64 {
        self.directory_seq
    }
}
