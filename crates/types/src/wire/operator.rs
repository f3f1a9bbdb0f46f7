use super::{Device, Opening};
use crate::{ActorId, Label, Namespace, ProposalId, Role, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One role of an operator.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignment {
    /// The role.
    pub role: Role,
    /// Where; `steward` has none, every other role needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
}

impl fmt::Display for RoleAssignment {
    /// `steward`, or `approver@default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            None => write!(f, "{}", self.role),
            Some(namespace) => write!(f, "{}@{namespace}", self.role),
        }
    }
}

/// `POST /v1/operators`: invites a person; answered with a [`super::LinkCode`].
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorInvite {
    /// The name, unique among operators.
    pub name: Label,
    /// What they will be able to do.
    pub roles: Vec<RoleAssignment>,
}

/// `POST /admin/operators/recover` on the admin socket: a code with which another key of an
/// operator joins whose own is lost; answered with a [`super::LinkCode`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRecover {
    /// What opens the vault.
    pub open: Opening,
    /// The operator.
    pub name: Label,
    /// What a quorum of stewards agreed to, where there are several.
    #[serde(default)]
    pub proposal: Option<ProposalId>,
}

/// `PUT /v1/operators/{name}/roles`: replaces all roles.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesPut {
    /// The new roles.
    pub roles: Vec<RoleAssignment>,
    /// What a quorum of stewards agreed to, where there are several and it makes a steward,
    /// or takes the role from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
}

/// An operator as listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operator {
    /// Derived from the operator's own root key.
    pub actor_id: ActorId,
    /// The name.
    pub name: Label,
    /// The roles, sorted.
    pub roles: Vec<RoleAssignment>,
    /// Devices, revoked ones too.
    pub devices: Vec<Device>,
    /// When they joined.
    pub created: Timestamp,
    /// When they were revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// `GET /v1/operators`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperatorList {
    /// Sorted by name.
    pub operators: Vec<Operator>,
}
