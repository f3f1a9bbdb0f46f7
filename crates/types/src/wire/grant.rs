use super::{PublicJwk, ReceiptAssertion};
use crate::{
    ActorId, Delivery, EnvName, GrantId, Namespace, ProjectName, RunId, SecretPath, Thumbprint,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// One environment name and the secret behind it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantItem {
    /// The name in the environment of the process.
    pub name: EnvName,
    /// The secret; every later version of it is covered.
    pub path: SecretPath,
}

/// A person's signed yes.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// The exact grant bytes that were signed, base64url.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub grant: Vec<u8>,
    /// Who approved.
    pub approver: ActorId,
    /// The device (or root key) that signed; of a passkey, the passkey.
    pub device: Thumbprint,
    /// Its public key.
    pub key: PublicJwk,
    /// When the server accepted it.
    pub time: Timestamp,
    /// Over `T("procura.receipt.v1", grant)`, base64url. Of a passkey, in DER, over the
    /// assertion whose challenge is the SHA-256 of that.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
    /// What a passkey signed; absent where a device did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion: Option<ReceiptAssertion>,
}

/// A grant as listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// Equal to the id of the request.
    pub id: GrantId,
    /// Where it holds.
    pub namespace: Namespace,
    /// The agent, and no other actor, not even a child.
    pub agent: ActorId,
    /// The agent's way from its owner, for people.
    pub lineage: String,
    /// The project.
    pub project: ProjectName,
    /// How values may be delivered.
    pub delivery: Delivery,
    /// What may be delivered, sorted by name.
    pub items: Vec<GrantItem>,
    /// From when it holds.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// When it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// Whether the agent, or an actor above it, is revoked: then the grant holds no
    /// more, whatever its end says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_revoked: bool,
    /// The signed approval.
    pub receipt: Receipt,
}

/// `GET …/grants`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantList {
    /// Sorted by id, that is by time.
    pub grants: Vec<Grant>,
    /// Give this as `after` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<GrantId>,
}

/// A process that received values under a grant and has not been seen to end.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunningChild {
    /// The hand-over.
    pub run: RunId,
    /// The device whose daemon delivered it.
    pub device: Thumbprint,
    /// When.
    pub started: Timestamp,
    /// What the daemon said of the process; advisory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<super::CallerReport>,
}

/// `POST …/grants/{id}/withdraw`: no read passes under it from now on.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Withdrawn {
    /// The grant as it is now.
    pub grant: Grant,
    /// Processes that hold values from before; withdrawal cannot take those back.
    pub running: Vec<RunningChild>,
}
