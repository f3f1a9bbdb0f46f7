//! Passwords of people, as they are kept: Argon2id with the cost and the salt beside it.

use crate::{Argon2Params, KdfError, derive_passphrase_key};
use procura_types::{Entropy, EntropyError, Secret, encoding};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// What is kept of a password. Nothing of it is shown, and it is of use to nobody who
/// would not have to try passwords one by one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordHash {
    params: Argon2Params,
    #[serde(serialize_with = "encoding::serde_b64url::serialize")]
    #[serde(deserialize_with = "hash")]
    hash: [u8; 32],
}

fn hash<'de, D: serde::Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let bytes: Vec<u8> = encoding::serde_b64url::deserialize(from)?;
    bytes
        .try_into()
        .map_err(|_| serde::de::Error::custom("the hash is not of 32 bytes"))
}

/// Why there is no hash of a password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It could not be computed.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// No salt without random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl PasswordHash {
    /// Of a new password, over its UTF-8 bytes as they are, with a salt of its own.
    ///
    /// Takes a large part of a second and 64 MiB; not for an async thread.
    ///
    /// # Errors
    ///
    /// [`PasswordError`].
    pub fn new(password: &str, entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        let params = Argon2Params::generate(entropy)?;
        let hash = *derive_passphrase_key(password, &params)?.expose();
        Ok(Self { params, hash })
    }

    /// One that no password has, and that takes as long as a new one to try: for names
    /// that nobody has.
    ///
    /// # Errors
    ///
    /// [`EntropyError`].
    pub fn of_nobody(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut hash = [0; 32];
        entropy.fill(&mut hash)?;
        Ok(Self {
            params: Argon2Params::generate(entropy)?,
            hash,
        })
    }

    /// Whether it is this password; compared in constant time.
    ///
    /// Takes as long as [`Self::new`].
    ///
    /// # Errors
    ///
    /// [`KdfError`].
    pub fn is(&self, password: &str) -> Result<bool, KdfError> {
        let key: Secret<[u8; 32]> = derive_passphrase_key(password, &self.params)?;
        Ok(key.expose().ct_eq(&self.hash).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let kept = PasswordHash::new("correct horse", &SystemEntropy).unwrap();
        let json = serde_json::to_string(&kept).unwrap();
        assert!(!json.contains("horse"));
        let kept: PasswordHash = serde_json::from_str(&json).unwrap();
        assert!(kept.is("correct horse").unwrap());
        assert!(!kept.is("correct horse ").unwrap());
        let nobodys = PasswordHash::of_nobody(&SystemEntropy).unwrap();
        assert!(!nobodys.is("correct horse").unwrap());
        assert_eq!(nobodys.params.memory_kib, kept.params.memory_kib);
        assert_eq!(nobodys.params.passes, kept.params.passes);
    }

    #[test]
    fn what_is_cheaper_to_try_is_not_read() {
        let kept = PasswordHash::of_nobody(&SystemEntropy).unwrap();
        let json = serde_json::to_string(&kept).unwrap();
        for (from, to) in [
            ("\"memory_kib\":65536", "\"memory_kib\":1024"),
            ("\"passes\":3", "\"passes\":1"),
            ("\"hash\":\"", "\"hash\":\"AAAA"),
        ] {
            let edited = json.replace(from, to);
            assert_ne!(edited, json);
            assert!(
                serde_json::from_str::<PasswordHash>(&edited).is_err(),
                "{to}"
            );
        }
    }
}
