//! Credentials (part 1, clause 24): a secret that only the chip opens which holds both an
//! endorsement key and an attestation key. Made here without a chip.

use crate::TpmError;
use crate::bytes::Writer;
use crate::key::{AttestationKey, EndorsementKey};
use procura_crypto::{MacKey, tpm_encrypt, tpm_kdfa, tpm_seed, tpm_storage_key};
use procura_types::{Entropy, Secret};

/// What a credential holds.
pub type CredentialSecret = Secret<[u8; 32]>;

/// What `TPM2_ActivateCredential` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The contents of a `TPM2B_ID_OBJECT`.
    pub blob: Vec<u8>,
    /// The contents of a `TPM2B_ENCRYPTED_SECRET`.
    pub secret: Vec<u8>,
}

impl Credential {
    /// Makes a credential for the chip of an endorsement key that has this attestation key,
    /// and the secret in it.
    ///
    /// # Errors
    /// [`TpmError::Own`] without randomness, and for an endorsement key that is no point.
    pub fn make(
        ek: &EndorsementKey,
        ak: &AttestationKey,
        entropy: &dyn Entropy,
    ) -> Result<(Self, CredentialSecret), TpmError> {
        let mut held = Secret::new([0; 32]);
        entropy.fill_secret(held.expose_mut())?;
        let (ephemeral, seed) = tpm_seed(&ek.point, "IDENTITY", entropy)?;
        let name = ak.name();
        let mut identity = Writer::default();
        identity.sized(held.expose())?;
        let storage = tpm_storage_key(seed.expose(), &name)?;
        tpm_encrypt(&storage, identity.as_mut())?;
        let integrity = tpm_kdfa(seed.expose(), "INTEGRITY", &[], &[])?;
        let mac = MacKey::from_bytes(integrity.expose())?;
        let mac = mac.sign(&[identity.as_bytes(), &name]);
        let mut blob = Writer::default();
        blob.sized(&mac)?;
        blob.raw(identity.as_bytes());
        let mut secret = Writer::default();
        secret.sized(&ephemeral.x)?;
        secret.sized(&ephemeral.y)?;
        let made = Self {
            blob: blob.into_bytes(),
            secret: secret.into_bytes(),
        };
        Ok((made, held))
    }
}
