//! The ids of actors: hashes of what an actor is, so nobody hands them out
//! (`protocol.md` §2).

use crate::sha256;
use procura_types::{ActorId, Alg, FieldTuple, Label, Namespace};

/// The id of the owner whose root key this is:
/// `SHA-256(T("procura.actor.owner.v1", alg, root_public_key))`.
///
/// `root_public_key` has the form that [`Alg`] names. It is hashed as it comes;
/// whether it is a key at all is for [`PublicKey`](crate::PublicKey) to say.
#[must_use]
pub fn owner_id(alg: Alg, root_public_key: &[u8]) -> ActorId {
    let fields = FieldTuple::new("procura.actor.owner.v1")
        .u8(alg.byte())
        .bytes(root_public_key);
    ActorId::from_bytes(sha256(fields.as_bytes()))
}

/// The id of the agent `label` under `parent`:
/// `SHA-256(T("procura.actor.child.v1", parent_id, namespace, label, u32be incarnation))`.
///
/// A label that comes back after a revocation does so as a new incarnation,
/// which makes it another actor.
#[must_use]
pub fn agent_id(
    parent: &ActorId,
    namespace: &Namespace,
    label: &Label,
    incarnation: u32,
) -> ActorId {
    let fields = FieldTuple::new("procura.actor.child.v1")
        .bytes(parent.as_bytes())
        .text(namespace.as_str())
        .text(label.as_str())
        .u32(incarnation);
    ActorId::from_bytes(sha256(fields.as_bytes()))
}
