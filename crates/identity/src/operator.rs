//! Operators: owners with roles.

use crate::code::{self, IssuedCode, Purpose};
use crate::error::IdentityError;
use crate::proposal::ByQuorum;
use crate::roles::{Loses, checked, keeps_a_steward, recorded};
use crate::{account, device, stewards, tree, web_login};
use procura_directory::{ActorKind, ActorRecord, RolesRecord, Snapshot};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{Joins, Operator, OperatorList, RevokedActors, RoleAssignment};
use procura_types::{Entropy, ForeignId, Label, Role, Timestamp};
use std::sync::Arc;

/// Invites a person to become an operator.
pub struct OperatorInvite {
    /// Their name.
    pub name: Label,
    /// What they will be able to do.
    pub roles: Vec<RoleAssignment>,
}

impl Op for OperatorInvite {
    const ACTION: Action = Action::OperatorInvite;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

impl OperatorInvite {
    /// Makes the code for the invitation of the permit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<IssuedCode, IdentityError> {
        let op = batch.op();
        let roles = checked(batch.directory(), &op.roles)?;
        is_free(batch.directory(), &op.name)?;
        if is_steward(&roles) {
            stewards::may_invite(batch)?;
        }
        batch.details().with = Some(recorded(&roles));
        let purpose = Purpose::Operator {
            name: op.name.clone(),
            roles,
        };
        code::issue(batch, purpose, Joins::NewOperator, now, entropy)
    }
}

/// That nobody has the name: no operator, and no agent as its id in another system,
/// since whoever is told by a gate who asks, in one word, takes one for the other.
pub(crate) fn is_free(snapshot: &Snapshot, name: &Label) -> Result<(), IdentityError> {
    if snapshot.owner_named(name).is_some() {
        return Err(IdentityError::NameTaken(name.clone()));
    }
    let id = name.as_str().parse::<ForeignId>();
    if id.is_ok_and(|id| snapshot.foreign(&id).is_some()) {
        return Err(IdentityError::NameOfAgent(name.clone()));
    }
    Ok(())
}

/// Lists the operators.
pub struct OperatorListing;

impl Op for OperatorListing {
    const ACTION: Action = Action::OperatorList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl OperatorListing {
    /// All operators by name, revoked ones too.
    #[must_use]
    pub fn run(_permit: &Permit<Self>, snapshot: &Snapshot) -> OperatorList {
        let mut operators: Vec<Operator> = snapshot
            .actors()
            .filter(|actor| matches!(actor.kind, ActorKind::Owner { .. }))
            .map(|actor| render(snapshot, actor))
            .collect();
        operators.sort_by(|a, b| {
            (&a.name, a.created, a.actor_id).cmp(&(&b.name, b.created, b.actor_id))
        });
        OperatorList { operators }
    }
}

fn render(snapshot: &Snapshot, actor: &ActorRecord) -> Operator {
    Operator {
        actor_id: actor.id,
        name: actor.label().clone(),
        roles: snapshot
            .roles(&actor.id)
            .map_or_else(Vec::new, |held| held.roles.clone()),
        devices: device::rendered(snapshot, &actor.id),
        created: actor.created,
        revoked: actor.revoked,
    }
}

fn is_steward(roles: &[RoleAssignment]) -> bool {
    roles.iter().any(|held| held.role == Role::Steward)
}

/// The operator of this name who is not revoked.
pub(crate) fn find(snapshot: &Snapshot, name: &Label) -> Result<Arc<ActorRecord>, IdentityError> {
    snapshot
        .owner_named(name)
        .cloned()
        .ok_or_else(|| IdentityError::NoOperator(name.clone()))
}

/// Replaces the roles of an operator.
pub struct OperatorRoles {
    /// Who.
    pub name: Label,
    /// All that they will be able to do; nothing when it is empty.
    pub roles: Vec<RoleAssignment>,
    /// What was agreed to, if it makes or removes a steward where there are several.
    pub by: Option<ByQuorum>,
}

impl Op for OperatorRoles {
    const ACTION: Action = Action::OperatorRoles;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

impl OperatorRoles {
    /// Gives the operator of the permit these roles and no others.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Operator, IdentityError> {
        let op = batch.op();
        let actor = find(batch.directory(), &op.name)?;
        stewards::may_have_roles(batch.directory(), &actor.id)?;
        let roles = checked(batch.directory(), &op.roles)?;
        let stays = is_steward(&roles);
        let was = batch
            .directory()
            .roles(&actor.id)
            .is_some_and(|held| held.has(Role::Steward, None));
        if was && !stays {
            keeps_a_steward(batch.directory(), Loses::Actor(&actor.id))?;
            stewards::removed(batch, (&op.name, &actor.id), op.by.as_ref(), now)?;
        } else if stays && !was {
            stewards::made(batch, (&op.name, &actor.id), op.by.as_ref(), now)?;
        }
        batch.details().with = Some(recorded(&roles));
        batch.put_roles(&RolesRecord {
            actor: actor.id,
            roles: roles.clone(),
        });
        Ok(Operator {
            roles,
            ..render(batch.directory(), &actor)
        })
    }
}

/// Revokes an operator and every agent below.
pub struct OperatorRevoke {
    /// Who.
    pub name: Label,
    /// What was agreed to, if it is another steward.
    pub by: Option<ByQuorum>,
}

impl Op for OperatorRevoke {
    const ACTION: Action = Action::OperatorRevoke;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

impl OperatorRevoke {
    /// Revokes the operator of the permit, their agents and all devices of these,
    /// and empties their roles. The last steward stays.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<RevokedActors, IdentityError> {
        let op = batch.op();
        let actor = find(batch.directory(), &op.name)?;
        stewards::may_revoke(batch, &actor.id)?;
        keeps_a_steward(batch.directory(), Loses::Actor(&actor.id))?;
        stewards::removed(batch, (&op.name, &actor.id), op.by.as_ref(), now)?;
        batch.put_roles(&RolesRecord {
            actor: actor.id,
            roles: Vec::new(),
        });
        account::forget(batch, &actor.id);
        // They end with whose they are; a damaged row of them keeps nobody from this.
        web_login::end_all_of(batch, &actor.id).ok();
        Ok(tree::revoke(batch, &actor.id, now))
    }
}

/// Operations on one operator, with what else they take. Made by `resolve`, so that the
/// actor is the one of the name.
macro_rules! of_operator {
    ($($(#[$doc:meta])* $name:ident $({ $field:ident: $type:ty })? = $action:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name {
            name: procura_types::Label,
            actor: procura_types::ActorId,
            $($field: $type,)?
        }

        impl procura_policy::Op for $name {
            const ACTION: procura_policy::Action = procura_policy::Action::$action;
            fn resource(&self) -> procura_policy::Resource {
                procura_policy::Resource::Operator(self.name.clone())
            }
            fn concerned(&self) -> procura_policy::Concerned<'_> {
                procura_policy::Concerned {
                    own: Some(&self.actor),
                    ..procura_policy::Concerned::default()
                }
            }
        }

        impl $name {
            /// The operation for this operator; none when there is nobody of that name
            /// who is not revoked.
            #[must_use]
            pub fn resolve(
                snapshot: &procura_directory::Snapshot,
                name: &procura_types::Label,
                $($field: $type,)?
            ) -> Option<Self> {
                let actor = snapshot.owner_named(name)?;
                Some(Self {
                    name: name.clone(),
                    actor: actor.id,
                    $($field,)?
                })
            }
        }
    )*};
}
pub(crate) use of_operator;
