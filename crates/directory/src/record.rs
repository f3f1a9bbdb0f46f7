//! The records, as they are stored and as they are decided on.

use crate::api_key::ApiKeyRecord;
use crate::approval_rule::ApprovalRuleRecord;
use crate::attestation::{AttestationRecord, BaselineRecord, ReleaseKeyRecord, ReleaseRecord};
use crate::break_glass::BreakGlassRecord;
use crate::honey::HoneyRecord;
use crate::passkey::PasskeyRecord;
use crate::policies::PolicyRecord;
use crate::quarantine::QuarantineRecord;
use crate::token::{TokenRecord, TokensEndedRecord};
use procura_crypto::PublicKey;
use procura_types::wire::{GrantItem, Receipt, RoleAssignment};
use procura_types::{
    ActorId, Alg, AttestationId, Cidr, Delivery, DisplayName, ForeignId, GrantId, Label, Namespace,
    ProjectName, Role, Thumbprint, Timestamp, TokenId,
};
use serde::{Deserialize, Serialize};

/// What kind of node an actor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A person: the root of a tree.
    Owner {
        /// Unique among owners of this installation.
        name: Label,
        /// Algorithm of the root key.
        alg: Alg,
        /// The root key; the actor's id is derived from it.
        root_key: PublicKey,
    },
    /// A non-human actor.
    Agent {
        /// An owner or an agent.
        parent: ActorId,
        /// Where it belongs, its children too.
        namespace: Namespace,
        /// Its name below the parent.
        label: Label,
        /// 1, and one more each time a revoked label comes back.
        incarnation: u32,
    },
}

/// An owner or an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorRecord {
    /// Derived, see `protocol.md` §2.
    pub id: ActorId,
    /// Owner or agent.
    pub kind: ActorKind,
    /// The owner at the root; of an owner, itself.
    pub owner: ActorId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The addresses that its requests, and those of actors below it, may come from;
    /// any when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Cidr>,
    /// What people call it. Nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
}

impl ActorRecord {
    /// The namespace of an agent; owners have none.
    #[must_use]
    pub const fn namespace(&self) -> Option<&Namespace> {
        match &self.kind {
            ActorKind::Owner { .. } => None,
            ActorKind::Agent { namespace, .. } => Some(namespace),
        }
    }

    /// The parent of an agent; owners have none.
    #[must_use]
    pub const fn parent(&self) -> Option<&ActorId> {
        match &self.kind {
            ActorKind::Owner { .. } => None,
            ActorKind::Agent { parent, .. } => Some(parent),
        }
    }

    /// The name of an owner or the label of an agent.
    #[must_use]
    pub const fn label(&self) -> &Label {
        match &self.kind {
            ActorKind::Owner { name, .. } => name,
            ActorKind::Agent { label, .. } => label,
        }
    }
}

/// One machine's key, bound to one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// RFC 7638 thumbprint of the key.
    pub thumbprint: Thumbprint,
    /// The one actor it speaks for.
    pub actor: ActorId,
    /// The public key.
    pub key: PublicKey,
    /// When it joined.
    pub created: Timestamp,
    /// When it was revoked; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// The roles of one operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolesRecord {
    /// The owner who holds them.
    pub actor: ActorId,
    /// Sorted, without duplicates.
    pub roles: Vec<RoleAssignment>,
}

impl RolesRecord {
    /// Whether `role` is held: in `namespace`, or for the installation.
    #[must_use]
    pub fn has(&self, role: Role, namespace: Option<&Namespace>) -> bool {
        self.roles
            .iter()
            .any(|held| held.role == role && held.namespace.as_ref() == namespace)
    }
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// Its name.
    pub name: Namespace,
    /// When it was made.
    pub created: Timestamp,
    /// What people call it. Nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// When it ended, with everything in it; never undone, and no other namespace gets
    /// its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// The decision that an agent may have certain values for a project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Equal to the id of the request that it answers.
    pub id: GrantId,
    /// Where.
    pub namespace: Namespace,
    /// The agent and no other actor, not even a child.
    pub agent: ActorId,
    /// For which project.
    pub project: ProjectName,
    /// Delivered how.
    pub delivery: Delivery,
    /// Sorted by name, without duplicates.
    pub items: Vec<GrantItem>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// When it was withdrawn; never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
    /// The approver's signed yes.
    pub receipt: Receipt,
}

impl GrantRecord {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.withdrawn.is_none() && self.from <= now && now < self.until
    }

    /// Whether it covers every one of `items` (a subset passes by itself).
    #[must_use]
    pub fn covers(&self, items: &[GrantItem]) -> bool {
        items
            .iter()
            .all(|item| self.items.binary_search(item).is_ok())
    }
}

/// That grants ended together, with their project or because it went to other agents.
/// However large they are, this is small, so that it always fits into one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantsEndedRecord {
    /// When; never undone.
    pub time: Timestamp,
    /// Which; at least one, and at most [`Self::MOST`].
    pub grants: Vec<GrantId>,
}

impl GrantsEndedRecord {
    /// Most grants of one record.
    pub const MOST: usize = 1000;
}

/// An agent's id in the words of another system, bound to one of our agents. Unlike
/// an actor an id can come back: a record that is released makes room for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignRecord {
    /// Unique in the installation.
    pub id: ForeignId,
    /// The agent that it stands for.
    pub actor: ActorId,
    /// The device of that agent which signs as this id, for ids that were enrolled
    /// with a key of their own. Ids without one have their key in a file of the
    /// server's home, if they have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// When it was bound, or enrolled with this key.
    pub created: Timestamp,
    /// When it was released: from then on it stands for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
}

/// One step of the directory: a record put in place of the one of the same key.
#[derive(Debug, Clone)]
pub enum Change {
    /// An actor made or revoked.
    Actor(ActorRecord),
    /// A device joined or revoked.
    Device(DeviceRecord),
    /// The roles of an operator.
    Roles(RolesRecord),
    /// A namespace made, or ended with everything in it.
    Namespace(NamespaceRecord),
    /// A grant made or withdrawn.
    Grant(GrantRecord),
    /// Grants ended together.
    GrantsEnded(GrantsEndedRecord),
    /// An id of another system bound, enrolled with another key, or released.
    Foreign(ForeignRecord),
    /// A project token issued or revoked.
    Token(TokenRecord),
    /// A project token that is over, or was revoked, and is not remembered any more.
    TokenGone(TokenId),
    /// All tokens of a project revoked.
    TokensEnded(TokensEndedRecord),
    /// A decoy planted or removed.
    Honey(HoneyRecord),
    /// Something put into quarantine, or let out.
    Quarantine(QuarantineRecord),
    /// Policies of a scope put into force, observed, or neither.
    Policies(PolicyRecord),
    /// A passkey enrolled, named otherwise, or removed.
    Passkey(PasskeyRecord),
    /// An attestation made, renewed or revoked.
    Attestation(AttestationRecord),
    /// An attestation that counts no more and is not remembered any more.
    AttestationGone(AttestationId),
    /// A release key enrolled or removed.
    ReleaseKey(ReleaseKeyRecord),
    /// A program vouched for, or withdrawn.
    Release(ReleaseRecord),
    /// The baseline of a host set or removed.
    Baseline(BaselineRecord),
    /// A device bound to an API key.
    ApiKey(ApiKeyRecord),
    /// A break-glass account made or used.
    BreakGlass(BreakGlassRecord),
    /// How many stewards an act takes.
    ApprovalRule(ApprovalRuleRecord),
}
