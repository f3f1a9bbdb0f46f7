use super::{PublicJwk, ValueB64};
use crate::dial::{Mode, Routes};
use crate::{
    ActorId, Alg, Cidr, FieldTuple, ForeignId, InstallationId, InstanceId, Label, Namespace,
    Thumbprint, Timestamp,
};
use serde::{Deserialize, Serialize};

/// `GET …/services/{name}/feed`: what a gate of the service has to know, signed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct SignedFeed {
    /// The JSON of a [`Feed`]; it holds keys.
    pub feed: ValueB64,
    /// By the server's key over [`FeedTerms::message`].
    #[serde(with = "crate::encoding::serde_b64url")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Vec<u8>,
}

/// What a feed is good for; its signature binds all of it, so that one that was
/// made for another gate, another service, or another moment is not believed.
#[derive(Debug, Clone, Copy)]
pub struct FeedTerms<'a> {
    /// Whose directory it is.
    pub installation: &'a InstallationId,
    /// Where the service is.
    pub namespace: &'a Namespace,
    /// The service.
    pub service: &'a Label,
    /// The gate that asked.
    pub instance: &'a InstanceId,
    /// The 16 random bytes that it asked with.
    pub nonce: &'a [u8; 16],
}

impl FeedTerms<'_> {
    /// The bytes that are signed: `T("procura.feed.v1", installation, namespace,
    /// service, instance, nonce, feed)` (`protocol.md` §1).
    #[must_use]
    pub fn message(&self, feed: &[u8]) -> Vec<u8> {
        FieldTuple::new("procura.feed.v1")
            .bytes(self.installation.as_bytes())
            .text(self.namespace.as_str())
            .text(self.service.as_str())
            .bytes(self.instance.as_bytes())
            .bytes(self.nonce)
            .bytes(feed)
            .into_bytes()
    }
}

/// The directory as far as one gate needs it, or what changed of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// When it was made, by the server's clock.
    pub time: Timestamp,
    /// The state of the directory that it leads to.
    pub seq: u64,
    /// Whether it replaces everything that was known before, or adds to the state
    /// that was asked from.
    pub full: bool,
    /// Stands for the dial and the keys; to be sent with the next question.
    pub mark: String,
    /// Agents of the namespace, owners at the root of their trees, and operators
    /// with a role in the namespace; those above others first.
    pub actors: Vec<FeedActor>,
    /// Devices of those who can be callers of the service.
    pub devices: Vec<FeedDevice>,
    /// Ids of other systems that stand for agents of the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<FeedForeign>,
    /// Which of these devices and ids were put into quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<FeedQuarantine>,
    /// The dial's mode for paths that no route speaks of.
    pub mode: Option<Mode>,
    /// The dial's routes.
    pub routes: Routes,
    /// The keys of sessions for this service's audience and no other.
    pub keys: Vec<FeedKey>,
}

/// An actor. An agent has a parent, an owner a root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedActor {
    /// Its id.
    pub id: ActorId,
    /// Its name.
    pub label: Label,
    /// The owner at the root; of an owner, itself.
    pub owner: ActorId,
    /// Agent or owner.
    pub kind: FeedActorKind,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The addresses that it and those below it may be at; any when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Cidr>,
}

/// What an actor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum FeedActorKind {
    /// A person.
    Owner {
        /// Algorithm of the root key.
        alg: Alg,
        /// What the id is derived from.
        root_key: PublicJwk,
    },
    /// An agent of the namespace.
    Agent {
        /// An owner, or an agent of the same namespace.
        parent: ActorId,
        /// From 1, counted up each time a revoked label comes back.
        incarnation: u32,
    },
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedDevice {
    /// Its id, which is the thumbprint of its key.
    pub thumbprint: Thumbprint,
    /// Whose it is.
    pub actor: ActorId,
    /// Its public key.
    pub key: PublicJwk,
    /// When it joined.
    pub created: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// An id of another system that stands for an agent, or stood for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedForeign {
    /// The id.
    pub id: ForeignId,
    /// The agent.
    pub actor: ActorId,
    /// The device of that agent that was enrolled under the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// When it was bound, or enrolled with this key.
    pub created: Timestamp,
    /// When it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
}

/// A device, or an id of another system without one, that was put into quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedQuarantine {
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// The id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ForeignId>,
    /// Whose it is.
    pub actor: ActorId,
    /// Since when.
    pub since: Timestamp,
    /// The state of the directory at which it was let out again: what was given to it
    /// up to there counts no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<u64>,
}

/// The key of an audience's sessions in one epoch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedKey {
    /// The epoch.
    pub epoch: u32,
    /// 32 bytes.
    pub key: ValueB64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ids_of_other_systems_a_feed_is_what_it_was_before_there_were_any() {
        let text = r#"{"time":"2027-01-15T08:00:00Z","seq":7,"full":true,"mark":"1.1","actors":[],"devices":[],"mode":null,"routes":[],"keys":[]}"#;
        let feed: Feed = serde_json::from_str(text).unwrap();
        assert!(feed.foreign.is_empty());
        let written = serde_json::to_value(&feed).unwrap();
        assert_eq!(written.get("foreign"), None);
        assert_eq!(written.get("quarantined"), None);
    }
}
