//! Codes for further devices of actors that exist.

use crate::agent;
use crate::code::{self, IssuedCode, Purpose};
use crate::error::IdentityError;
use crate::operator::of_operator;
use crate::proposal::ByQuorum;
use crate::{operator, stewards};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::Joins;
use procura_types::{Entropy, Label, Namespace, Timestamp};

/// Makes a code for a device of an agent.
pub struct AgentLink {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub label: Label,
}

impl Op for AgentLink {
    const ACTION: Action = Action::AgentLink;
    fn resource(&self) -> Resource {
        Resource::Agent(self.namespace.clone(), self.label.clone())
    }
}

impl AgentLink {
    /// Makes the code for the agent of the permit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<IssuedCode, IdentityError> {
        let op = batch.op();
        let id = agent::find(batch.directory(), &op.namespace, &op.label)?.id;
        code::issue(batch, Purpose::Device(id), Joins::Agent(id), now, entropy)
    }
}

of_operator! {
    /// Makes a code for another device of an operator.
    OperatorLink = OperatorLink;
}

impl OperatorLink {
    /// Makes the code for the operator of the permit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<IssuedCode, IdentityError> {
        let actor = batch.op().actor;
        if !batch.directory().is_active(&actor) {
            return Err(IdentityError::NoOperator(batch.op().name.clone()));
        }
        code::issue(
            batch,
            Purpose::Device(actor),
            Joins::Operator(actor),
            now,
            entropy,
        )
    }
}

/// Makes a code for another device of an operator whose key is lost. On the server's machine,
/// by whoever brought what opens the vault.
pub struct OperatorRecover {
    /// Who.
    pub name: Label,
    /// What was agreed to, where there are several stewards.
    pub by: Option<ByQuorum>,
}

impl Op for OperatorRecover {
    const ACTION: Action = Action::OperatorRecover;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

impl OperatorRecover {
    /// Makes the code for the operator of the permit.
    ///
    /// # Errors
    /// [`IdentityError::NoOperator`]; [`IdentityError::TakesQuorum`], and why what was
    /// brought is not what a quorum agreed to.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<IssuedCode, IdentityError> {
        let op = batch.op();
        let actor = operator::find(batch.directory(), &op.name)?.id;
        stewards::may_have_roles(batch.directory(), &actor)?;
        stewards::recovered(batch, (&op.name, &actor), op.by.as_ref(), now)?;
        code::issue_here(batch, actor, now, entropy)
    }
}
