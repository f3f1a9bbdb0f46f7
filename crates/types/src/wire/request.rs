use super::{CallerReport, GrantItem};
use crate::{ActorId, Delivery, EnvName, Namespace, ProjectName, RequestId, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a request stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// Waits for an approver.
    Pending,
    /// A grant of the same id exists.
    Approved,
    /// An approver said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The agent, or an actor above it, was revoked before anybody answered: it can
    /// no longer be approved.
    Revoked,
    /// The project was deleted, or changed so that the request does not fit it any
    /// more, before anybody answered.
    Ended,
}

/// A request as listed: everything that an approver must know.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its id; the grant will bear the same.
    pub id: RequestId,
    /// Where.
    pub namespace: Namespace,
    /// Who asks.
    pub agent: ActorId,
    /// The agent's way from its owner, for people.
    pub lineage: String,
    /// For which project.
    pub project: ProjectName,
    /// How values would be delivered.
    pub delivery: Delivery,
    /// What is asked for, sorted by name.
    pub items: Vec<GrantItem>,
    /// What the agent already has for this project, through grants that hold now.
    pub already: Vec<EnvName>,
    /// The device that asked first; none of a request from before this was kept, or of one
    /// that an agent of another system made without a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// What the daemon said of the process; advisory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerReport>,
    /// Where it stands.
    pub state: RequestState,
    /// Since when.
    pub created: Timestamp,
    /// When it expires unanswered.
    pub expires: Timestamp,
}

/// `GET …/requests`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestList {
    /// Sorted by id, that is by time.
    pub requests: Vec<AccessRequest>,
    /// Give this as `after` for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RequestId>,
}

/// `POST …/requests/{id}/approve`. The signature covers the exact grant, so the
/// approver fixes all of it: which names, from when, until when.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The names granted; without it, all that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<EnvName>>,
    /// From when; within 5 minutes of the server's clock.
    pub from: Timestamp,
    /// Until when; 30 days after `from` unless the approver says otherwise.
    pub until: Timestamp,
    /// By the approver's own key, over `T("procura.receipt.v1", grant bytes)`.
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
}
