use super::ValueB64;
use crate::{
    ActorId, CanaryId, EnvName, ForeignId, HoneyMode, HoneyShape, Namespace, SecretKind,
    SecretPath, Tags, Thumbprint, Timestamp,
};
use serde::{Deserialize, Serialize};

/// `PUT /v1/honey/{ns}/{path}`: a decoy, made in a shape or brought.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoneyPlant {
    /// What it is to look like. Either this or `value_b64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<HoneyShape>,
    /// A decoy of one's own: 1 byte to 32 KiB, and known again from 12 bytes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_b64: Option<ValueB64>,
    /// What whoever asks for it is answered.
    #[serde(default)]
    pub mode: HoneyMode,
    /// The environment name that discovery is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// As of other secrets: lists show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// As of other secrets: lists show it.
    #[serde(default)]
    pub kind: SecretKind,
    /// As of other secrets: lists show them.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::Tag>))]
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// The answer to a plant.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct HoneyPlanted {
    /// By what it is named in the record, and nowhere else.
    pub canary: CanaryId,
    /// Where it lies.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// The decoy, to lay copies of it elsewhere.
    pub value_b64: ValueB64,
}

impl HoneyPlanted {
    /// How long the decoy is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        // Of each four letters of base64 without padding three are bytes.
        let bytes = self.value_b64.len().saturating_mul(3) / 4;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Somebody who touched a decoy.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoneyTouch {
    /// The device that proved it, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// The id of another system that proved it, if it was one without a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<ForeignId>,
    /// Whose it is.
    pub actor: ActorId,
    /// Its place in the tree: `alice//scribe`.
    pub name: String,
    /// What the first touch asked for: an action, such as `secret.read`.
    pub how: String,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// How many there were.
    pub count: u64,
    /// Whether what touched it is in quarantine now.
    pub quarantined: bool,
}

/// A decoy, for those who may know of it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Honey {
    /// By what it is named in the record.
    pub canary: CanaryId,
    /// Where it lies.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// What whoever asks for it is answered.
    pub mode: HoneyMode,
    /// What it looks like, if it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<HoneyShape>,
    /// The environment name that it declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// When it was planted.
    pub planted: Timestamp,
    /// By whom.
    pub by: ActorId,
    /// Who touched it, the last first.
    pub touches: Vec<HoneyTouch>,
}

/// `GET /v1/honey`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoneyList {
    /// By namespace and path.
    pub honey: Vec<Honey>,
}

/// `POST /v1/honey/which`: something that was found.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoneyFound {
    /// The value, a part of it, or a text that it stands in; at most 32 KiB.
    pub value_b64: ValueB64,
}

/// A decoy that was found again.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoneyMatch {
    /// By what it is named in the record.
    pub canary: CanaryId,
    /// Where it lies, or lay.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// When it was planted.
    pub planted: Timestamp,
    /// When it was removed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// The answer to `which`: none, when it is no decoy of this installation.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoneyMatches {
    /// The newest first.
    pub matches: Vec<HoneyMatch>,
}

/// What is in quarantine.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The device, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// The id of another system, if it is one without a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<ForeignId>,
    /// Whose it is.
    pub actor: ActorId,
    /// Its place in the tree: `alice//scribe`.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// The steward who put it on hold, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorId>,
    /// What it touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryId>,
}

/// `GET /v1/quarantine`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuarantineList {
    /// The longest there first.
    pub quarantined: Vec<Quarantined>,
}
