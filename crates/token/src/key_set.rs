//! The JWK Set (RFC 7517 §5) by which tokens are verified.

use crate::TokenError;
use crate::json;
use procura_crypto::{PublicKey, SignatureAlgorithm};
use procura_types::wire::PublicJwk;
use procura_types::{Duration, Thumbprint};
use serde::{Deserialize, Serialize};

/// How long whoever fetched a set may go by it.
pub const KEY_SET_LIFE: Duration = Duration::from_secs(300);

/// The longest set that is looked at, in bytes.
pub const MAX_KEY_SET: usize = 64 * 1024;

/// A key of the set.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    /// The RFC 7638 thumbprint, always.
    kid: Thumbprint,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<Jwk>,
}

/// Public keys for ES256, each found by its thumbprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<PublicKey>);

impl KeySet {
    /// A set of these keys, in this order.
    ///
    /// # Errors
    /// [`TokenError::KeySet`] for a key that is not of P-256, or is there twice.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, TokenError> {
        let mut set = Self(Vec::new());
        for key in keys {
            let is_new = set.key(&key.thumbprint().to_string()).is_none();
            if !is_new || key.algorithm() != SignatureAlgorithm::EcdsaP256Sha256 {
                return Err(TokenError::KeySet);
            }
            set.0.push(key);
        }
        Ok(set)
    }

    /// The key of this id.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<&PublicKey> {
        let kid: Thumbprint = kid.parse().ok()?;
        self.0.iter().find(|key| key.thumbprint() == kid)
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// The set as JSON.
    ///
    /// # Errors
    /// [`TokenError::NotMade`], which no key of this set leads to.
    pub fn to_json(&self) -> Result<String, TokenError> {
        let keys = self
            .0
            .iter()
            .map(|key| {
                let PublicJwk { kty, crv, x, y } = key.to_jwk();
                Some(Jwk {
                    kty,
                    crv,
                    x,
                    y: y?,
                    kid: key.thumbprint(),
                    usage: "sig".to_owned(),
                    alg: "ES256".to_owned(),
                })
            })
            .collect::<Option<_>>()
            .ok_or(TokenError::NotMade)?;
        serde_json::to_string(&Keys { keys }).map_err(|_| TokenError::NotMade)
    }

    /// Reads a set of ours: each key for ES256, under its own thumbprint, once.
    ///
    /// # Errors
    /// [`TokenError::KeySet`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.len() > MAX_KEY_SET {
            return Err(TokenError::KeySet);
        }
        let set: Keys = json::object(bytes).ok_or(TokenError::KeySet)?;
        let keys = set
            .keys
            .into_iter()
            .map(|jwk| {
                let (kid, fits) = (jwk.kid, jwk.usage == "sig" && jwk.alg == "ES256");
                let key = PublicKey::from_jwk(&PublicJwk {
                    kty: jwk.kty,
                    crv: jwk.crv,
                    x: jwk.x,
                    y: Some(jwk.y),
                })
                .ok()?;
                (fits && key.thumbprint() == kid).then_some(key)
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(TokenError::KeySet)?;
        Self::new(keys)
    }
}
