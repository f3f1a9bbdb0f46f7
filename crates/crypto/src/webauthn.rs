//! Passkeys (Web Authentication Level 3): what a browser and an authenticator answer,
//! read strictly and checked. ES256 only, user verification always, and nothing is
//! believed of an attestation ([ADR 36](../../../docs/adr/0036-passkeys.md)).
//!
//! Pure: what the answer is held against is passed in, and what stays to be checked
//! (whose passkey it is, whether its counter went on, whether its challenge was used
//! before) is for whoever keeps passkeys.

mod authenticator_data;
mod cbor;
mod client_data;
mod relying_party;
#[cfg(any(test, feature = "fake"))]
mod software;

pub use relying_party::RelyingParty;
#[cfg(any(test, feature = "fake"))]
pub use software::{Answered, Made, SoftwarePasskey};

use crate::{PublicKey, sha256};
use authenticator_data::{AuthenticatorData, attested_in};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use client_data::{Ceremony, ClientData};

/// Longest part of an answer in bytes. Real ones are below 1 KiB, but for attestations
/// with certificates.
pub const LONGEST: usize = 16 * 1024;

/// Why an answer of an authenticator is not accepted, in the order of the checks. The
/// word stands in the record and in the answer to the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not in the form that the standard gives it.
    #[error("the answer of the authenticator is not well formed")]
    Malformed,
    /// It was made by the other ceremony.
    #[error("the answer is of another ceremony")]
    WrongType,
    /// It answers another challenge: an older one, or other terms than those that count.
    #[error("the answer is to another challenge than this one")]
    WrongChallenge,
    /// It was made on another site.
    #[error("the answer was made on another site")]
    WrongOrigin,
    /// It was made within a frame of another site.
    #[error("the answer was made within another site's page")]
    CrossOrigin,
    /// The authenticator signed for another relying party.
    #[error("the passkey answered for another site")]
    WrongRelyingParty,
    /// Nobody touched it.
    #[error("nobody was present at the authenticator")]
    NotPresent,
    /// It did not make sure who touched it.
    #[error(
        "the authenticator did not verify its user: it has to ask for a PIN, a finger or a face"
    )]
    NotVerified,
    /// It says that it was copied to a backup and that it never is.
    #[error("what the authenticator says of its backup contradicts itself")]
    BackupFlags,
    /// Its key is not for ES256.
    #[error("the passkey does not sign by ES256")]
    Algorithm,
    /// Its key is no point of P-256.
    #[error("the passkey's key is not valid")]
    BadKey,
    /// Its id is too short or too long.
    #[error("the passkey's id has a length that none has")]
    CredentialId,
    /// The signature is not by this key over this answer.
    #[error("the answer is not signed by the passkey")]
    BadSignature,
}

impl Flaw {
    /// One word for the record and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::WrongChallenge => "wrong_challenge",
            Self::WrongOrigin => "wrong_origin",
            Self::CrossOrigin => "cross_origin",
            Self::WrongRelyingParty => "wrong_relying_party",
            Self::NotPresent => "not_present",
            Self::NotVerified => "not_verified",
            Self::BackupFlags => "backup_flags",
            Self::Algorithm => "algorithm",
            Self::BadKey => "bad_key",
            Self::CredentialId => "credential_id",
            Self::BadSignature => "bad_signature",
        }
    }
}

/// What a passkey signed (WebAuthn §6.3.3).
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// The authenticator data, as signed.
    pub authenticator_data: &'a [u8],
    /// The client data JSON, whose hash is signed behind it.
    pub client_data: &'a [u8],
    /// ECDSA with SHA-256 in DER.
    pub signature: &'a [u8],
}

/// What an accepted assertion says besides that it is the passkey's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asserted {
    /// How often the passkey signed, by its own count; 0 of those that do not count.
    pub counter: u32,
    /// Whether it may be copied to a backup; never changes (WebAuthn §6.1.3).
    pub backup_eligible: bool,
    /// Whether it is in a backup now.
    pub backed_up: bool,
}

/// What an accepted registration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The id by which browsers name it, 16 to 1023 bytes.
    pub credential_id: Vec<u8>,
    /// Its public key, of P-256.
    pub key: PublicKey,
    /// What else it says.
    pub asserted: Asserted,
}

/// Checks a registration (WebAuthn §7.1). Possession of the private key is not shown by
/// one: the first assertion shows it.
///
/// # Errors
/// The first [`Flaw`] in the order of the checks.
pub fn verify_registration(
    party: &RelyingParty,
    challenge: &[u8; 32],
    client_data: &[u8],
    attestation_object: &[u8],
) -> Result<Registered, Flaw> {
    ClientData::read(client_data)?.check(Ceremony::Create, party, challenge)?;
    bounded(attestation_object)?;
    let data = cbor::authenticator_data(attestation_object)?;
    let (data, attested) = attested_in(data)?;
    let asserted = checked(&data, party)?;
    let key = attested.key.p256()?;
    if !(16..=1023).contains(&attested.credential_id.len()) {
        return Err(Flaw::CredentialId);
    }
    Ok(Registered {
        credential_id: attested.credential_id.to_vec(),
        key,
        asserted,
    })
}

/// Checks an assertion of the passkey with this key (WebAuthn §7.2).
///
/// # Errors
/// The first [`Flaw`] in the order of the checks.
pub fn verify_assertion(
    party: &RelyingParty,
    challenge: &[u8; 32],
    key: &PublicKey,
    assertion: &Assertion<'_>,
) -> Result<Asserted, Flaw> {
    ClientData::read(assertion.client_data)?.check(Ceremony::Get, party, challenge)?;
    let signed = bounded(assertion.authenticator_data)?;
    let asserted = checked(&AuthenticatorData::read(signed)?, party)?;
    let message = [signed, &sha256(assertion.client_data)].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_bytes())
        .verify(&message, assertion.signature)
        .map_err(|_| Flaw::BadSignature)?;
    Ok(asserted)
}

/// The challenge that client data answers, to look it up by; nothing of it is checked yet.
///
/// # Errors
/// [`Flaw::Malformed`]; [`Flaw::WrongChallenge`] for one that is not of 32 bytes, as all
/// of ours are.
pub fn challenge_in(client_data: &[u8]) -> Result<[u8; 32], Flaw> {
    ClientData::read(client_data)?.challenge()
}

/// What holds of the authenticator data of both ceremonies.
fn checked(data: &AuthenticatorData<'_>, party: &RelyingParty) -> Result<Asserted, Flaw> {
    if *data.rp_id_hash != sha256(party.id().as_bytes()) {
        return Err(Flaw::WrongRelyingParty);
    }
    if !data.is_present() {
        return Err(Flaw::NotPresent);
    }
    if !data.is_verified() {
        return Err(Flaw::NotVerified);
    }
    let (backup_eligible, backed_up) = (data.is_backup_eligible(), data.is_backed_up());
    if backed_up && !backup_eligible {
        return Err(Flaw::BackupFlags);
    }
    Ok(Asserted {
        counter: data.counter,
        backup_eligible,
        backed_up,
    })
}

fn bounded(bytes: &[u8]) -> Result<&[u8], Flaw> {
    if bytes.len() > LONGEST {
        return Err(Flaw::Malformed);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
