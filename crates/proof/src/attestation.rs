//! What a daemon signs of its process, and what ties its sessions to that (ADR 39,
//! `protocol.md` §3.7).

use procura_crypto::{KeyError, PublicKey, SignatureAlgorithm, sha256};
use procura_types::wire::AttestationStatement;
use procura_types::{AttestationId, FieldTuple, Thumbprint};

/// Reads the key of a process: Ed25519, and nothing else.
///
/// # Errors
/// [`KeyError::Malformed`] for another kind of key, and as [`PublicKey::from_jwk`].
pub fn process_key(statement: &AttestationStatement) -> Result<PublicKey, KeyError> {
    let key = PublicKey::from_jwk(&statement.key)?;
    match key.algorithm() {
        SignatureAlgorithm::Ed25519 => Ok(key),
        SignatureAlgorithm::EcdsaP256Sha256 => Err(KeyError::Malformed),
    }
}

/// What the key of a process signs, and whose SHA-256 a TPM quotes:
/// `T("procura.attestation.v1", server_id, installation, agent, device, key, exe_sha256,
/// version, target, u32 pid, boot_id, u64 time in ms, nonce)`. `key` is its 32 bytes.
#[must_use]
pub fn attestation_message(
    server: &Thumbprint,
    statement: &AttestationStatement,
    key: &PublicKey,
) -> Vec<u8> {
    FieldTuple::new("procura.attestation.v1")
        .bytes(server.as_bytes())
        .bytes(statement.installation.as_bytes())
        .bytes(statement.agent.as_bytes())
        .bytes(statement.device.as_bytes())
        .bytes(key.as_bytes())
        .bytes(statement.exe_sha256.as_bytes())
        .text(statement.version.as_str())
        .text(statement.target.as_str())
        .u32(statement.pid)
        .text(statement.boot_id.as_str())
        .u64(statement.time.as_millis())
        .text(&statement.nonce)
        .into_bytes()
}

/// The id of the attestation of a process: the first 16 bytes of
/// `SHA-256(T("procura.attestation.id.v1", device, key))`. So one that was revoked is so for
/// its key, and a process cannot attest as another.
#[must_use]
pub fn attestation_id(device: &Thumbprint, key: &PublicKey) -> AttestationId {
    let named = FieldTuple::new("procura.attestation.id.v1")
        .bytes(device.as_bytes())
        .bytes(key.as_bytes());
    let hash = sha256(named.as_bytes());
    AttestationId::from_bytes(hash.first_chunk().copied().unwrap_or_default())
}

/// What the key of a process signs to start a session under its attestation:
/// `T("procura.attestation.session.v1", id, nonce, audience)`, where `nonce` is the one of
/// the request's own proof, which is good once.
#[must_use]
pub fn attested_session_message(id: &AttestationId, nonce: &str, audience: &str) -> Vec<u8> {
    FieldTuple::new("procura.attestation.session.v1")
        .bytes(id.as_bytes())
        .text(nonce)
        .text(audience)
        .into_bytes()
}
