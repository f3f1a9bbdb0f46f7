//! Who signs: a key in memory, or somebody who holds it for us.

use procura_crypto::{PublicKey, SigningKey};

/// Signs with one asymmetric key. The daemon implements it with the device's
/// key in memory, the command line with a key agent that never gives its key
/// away.
///
/// `sign` may block for as long as a round trip on a local socket takes.
pub trait RequestSigner: Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// A signature over exactly these bytes: Ed25519 (RFC 8032), or ECDSA P-256
    /// with SHA-256 as `r ‖ s`, 64 bytes either way.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// The key, or who holds it, did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not sign: {0}")]
pub struct SignerError(
    /// What happened, for the person at the terminal.
    pub String,
);

impl RequestSigner for SigningKey {
    fn public(&self) -> &PublicKey {
        self.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.sign(message)
            .map_err(|error| SignerError(error.to_string()))
    }
}
