//! The proof of an agent of another system that is about to be enrolled
//! (`protocol.md` §3.6): it signs the challenge that its code came with.

use crate::caller::Caller;
use crate::reason::{Case, Refusal};
use procura_crypto::PublicKey;
use procura_directory::Snapshot;
use procura_types::{ActorId, Timestamp, encoding};
use std::net::IpAddr;

/// What an agent shows beside its code.
#[derive(Debug, Clone, Copy)]
pub struct Enrolling<'a> {
    /// The agent of ours that the code is for.
    pub actor: &'a ActorId,
    /// What was to be signed, as its text.
    pub challenge: &'a str,
    /// An Ed25519 key, base64url.
    pub public_key: &'a str,
    /// Over the bytes of the challenge's text, base64url.
    pub signature: &'a str,
}

/// Checks that the challenge is signed by the key that comes with it; the code is not
/// used up by this.
///
/// # Errors
/// [`Case::JoinForm`] for what is no Ed25519 key, [`Case::JoinRefused`] for what is no
/// signature, or not of this key and challenge.
pub fn verify_enrolment(
    enrolling: &Enrolling<'_>,
    directory: &Snapshot,
    now: Timestamp,
    peer: IpAddr,
) -> Result<(PublicKey, Caller), Refusal> {
    let actor = *enrolling.actor;
    // Padding is let be, as in the profile that these agents sign by.
    let key = encoding::from_b64_any(enrolling.public_key)
        .and_then(|bytes| PublicKey::from_ed25519(&bytes).ok())
        .ok_or(Case::JoinForm)?;
    let device = key.thumbprint();
    let signed = encoding::from_b64_any(enrolling.signature)
        .is_some_and(|signature| key.verify(enrolling.challenge.as_bytes(), &signature));
    if !signed {
        return Err(Refusal {
            device: Some(device),
            actor: Some(actor),
            ..Case::JoinRefused.into()
        });
    }
    let caller = Caller::joining(actor, device, directory, now, peer);
    Ok((key, caller))
}
