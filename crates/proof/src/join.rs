//! The proof of a device that is about to join (`protocol.md` §2). It is checked
//! before the code is used up, so that a stranger cannot burn a code.

use crate::caller::Caller;
use crate::reason::{Case, Refusal};
use procura_crypto::PublicKey;
use procura_directory::Snapshot;
use procura_types::wire::JoinRequest;
use procura_types::{ActorId, FieldTuple, Thumbprint, Timestamp};
use std::net::IpAddr;

/// A device whose join request is signed by its own key. Whether the code is
/// good is still to be seen.
#[derive(Debug)]
pub struct Joining {
    key: PublicKey,
    actor: ActorId,
    code_sha256: [u8; 32],
}

/// Checks that the request is signed by the key that it brings, for this server
/// (the thumbprint of its key) and this code.
///
/// # Errors
/// [`Case::JoinForm`], [`Case::JoinRefused`].
pub fn verify_join(
    request: &JoinRequest,
    server: &Thumbprint,
    directory: &Snapshot,
    now: Timestamp,
    peer: IpAddr,
) -> Result<(Joining, Caller), Refusal> {
    let key = PublicKey::from_jwk(&request.device_key).map_err(|_| Case::JoinForm)?;
    let code_sha256: [u8; 32] = request
        .code_sha256
        .as_slice()
        .try_into()
        .map_err(|_| Case::JoinForm)?;
    let device = key.thumbprint();
    let actor = request.actor_id;
    let message = join_message(server, &code_sha256, &actor, &device);
    if !key.verify(&message, &request.signature) {
        return Err(Refusal {
            device: Some(device),
            actor: Some(actor),
            ..Case::JoinRefused.into()
        });
    }
    let caller = Caller::joining(actor, device, directory, now, peer);
    Ok((
        Joining {
            key,
            actor,
            code_sha256,
        },
        caller,
    ))
}

/// What a joining device signs:
/// `T("procura.join.v1", server_id, SHA-256(code), actor_id, device_thumbprint)`.
#[must_use]
pub fn join_message(
    server: &Thumbprint,
    code_sha256: &[u8; 32],
    actor: &ActorId,
    device: &Thumbprint,
) -> Vec<u8> {
    FieldTuple::new("procura.join.v1")
        .bytes(server.as_bytes())
        .bytes(code_sha256)
        .bytes(actor.as_bytes())
        .bytes(device.as_bytes())
        .into_bytes()
}

impl Joining {
    /// The device's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its thumbprint.
    #[must_use]
    pub fn device(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// The actor that it wants to speak for.
    #[must_use]
    pub const fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// The SHA-256 of the code.
    #[must_use]
    pub const fn code_sha256(&self) -> &[u8; 32] {
        &self.code_sha256
    }
}
