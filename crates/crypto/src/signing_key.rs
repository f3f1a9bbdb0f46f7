//! Private keys that sign, in locked memory.

use crate::{KeyError, LockedKey, PublicKey, SignatureAlgorithm};
use aws_lc_rs::agreement;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use procura_types::{Alg, Entropy, Secret, SecretBytes};

/// An Ed25519 seed or a P-256 scalar with its public key.
///
/// The library's own form of the key exists only while it signs, since it
/// would lie in memory that is not locked; that costs about as much again as
/// the signature.
pub struct SigningKey {
    private: LockedKey,
    public: PublicKey,
}

impl SigningKey {
    /// A fresh Ed25519 key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] or [`KeyError::Memory`].
    pub fn generate_ed25519(entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let mut seed = Secret::new([0; 32]);
        entropy.fill_secret(seed.expose_mut())?;
        Self::from_private(SignatureAlgorithm::Ed25519, seed)
    }

    /// A fresh P-256 key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] or [`KeyError::Memory`].
    pub fn generate_p256(entropy: &dyn Entropy) -> Result<Self, KeyError> {
        // Candidates are drawn until one is below the group's order (FIPS 186-5
        // A.2.2). One in 2^32 is not; four in a row mean broken randomness.
        for _ in 0..4 {
            let mut scalar = Secret::new([0; 32]);
            entropy.fill_secret(scalar.expose_mut())?;
            match Self::from_private(SignatureAlgorithm::EcdsaP256Sha256, scalar) {
                Err(KeyError::NotOnCurve) => {}
                made => return made,
            }
        }
        Err(KeyError::Entropy(procura_types::EntropyError))
    }

    /// Reads what [`Self::to_secret_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another form, [`KeyError::NotOnCurve`] for a
    /// P-256 scalar out of range, [`KeyError::Memory`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let (alg, private) = bytes.split_first().ok_or(KeyError::Malformed)?;
        let algorithm = match *alg {
            alg if alg == Alg::Ed25519.byte() => SignatureAlgorithm::Ed25519,
            alg if alg == Alg::P256.byte() => SignatureAlgorithm::EcdsaP256Sha256,
            _ => return Err(KeyError::Malformed),
        };
        let private = private.try_into().map_err(|_| KeyError::Malformed)?;
        Self::from_private(algorithm, Secret::new(private))
    }

    pub(crate) fn from_private(
        algorithm: SignatureAlgorithm,
        private: Secret<[u8; 32]>,
    ) -> Result<Self, KeyError> {
        let public = match algorithm {
            SignatureAlgorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_seed_unchecked(private.expose())
                    .map_err(|_| KeyError::Library)?;
                PublicKey::from_ed25519(pair.public_key().as_ref())?
            }
            SignatureAlgorithm::EcdsaP256Sha256 => {
                // The library derives a public key only from a key of ECDH,
                // which for P-256 is the same.
                let scalar = agreement::PrivateKey::from_private_key(
                    &agreement::ECDH_P256,
                    private.expose(),
                )
                .map_err(|_| KeyError::NotOnCurve)?;
                let point = scalar.compute_public_key().map_err(|_| KeyError::Library)?;
                PublicKey::from_p256(point.as_ref())?
            }
        };
        Ok(Self {
            private: LockedKey::new(private)?,
            public,
        })
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`: 64 bytes, RFC 8032 §5.1.6 or r ‖ s. The nonce of ECDSA
    /// comes from the library.
    ///
    /// # Errors
    ///
    /// [`KeyError::Library`] when the key in memory no longer fits its public
    /// key, or the library failed inside.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let private = self.private.expose();
        let public = self.public.as_bytes();
        let signature = match self.public.algorithm() {
            SignatureAlgorithm::Ed25519 => {
                Ed25519KeyPair::from_seed_and_public_key(private, public)
                    .map_err(|_| KeyError::Library)?
                    .try_sign(message)
            }
            SignatureAlgorithm::EcdsaP256Sha256 => EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                private,
                public,
            )
            .map_err(|_| KeyError::Library)?
            .sign(&SystemRandom::new(), message),
        };
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| KeyError::Library)
    }

    /// `u8 alg ‖ 32 bytes`, with the byte of [`Alg`]: to be sealed, never to be
    /// written as it is.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let alg = match self.public.algorithm() {
            SignatureAlgorithm::Ed25519 => Alg::Ed25519,
            SignatureAlgorithm::EcdsaP256Sha256 => Alg::P256,
        };
        // The whole capacity at once: a buffer that grew would leave a copy.
        let mut out = Vec::with_capacity(33);
        out.push(alg.byte());
        out.extend_from_slice(self.private.expose());
        Secret::new(out)
    }
}
