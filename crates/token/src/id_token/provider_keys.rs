//! The keys of an identity provider (RFC 7517), of which those are taken that sign.

use super::IdTokenRefusal;
use crate::json;
use procura_crypto::{PublicKey, RsaPublicKey, SignatureAlgorithm};
use procura_types::encoding;
use procura_types::wire::PublicJwk;
use serde::Deserialize;

/// The longest set that is looked at, in bytes.
pub const MAX_PROVIDER_KEYS: usize = 64 * 1024;
/// Most keys of a set that are looked at.
const MOST: usize = 64;

/// How an ID token may be signed (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864). There is no
/// `none` among them and no shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signing {
    Rs256,
    Es256,
    Ed25519,
}

impl Signing {
    /// What a header calls it.
    pub(super) fn of(alg: &str) -> Option<Self> {
        match alg {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa(RsaPublicKey),
    Own(PublicKey),
}

/// A key that signs, under the id that its provider gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProviderKey {
    kid: Option<String>,
    material: Material,
}

impl ProviderKey {
    /// The one algorithm that it signs by.
    pub(super) fn signing(&self) -> Signing {
        match &self.material {
            Material::Rsa(_) => Signing::Rs256,
            Material::Own(key) => match key.algorithm() {
                SignatureAlgorithm::EcdsaP256Sha256 => Signing::Es256,
                SignatureAlgorithm::Ed25519 => Signing::Ed25519,
            },
        }
    }

    /// Whether it signed this.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa(key) => key.verify(message, signature),
            Material::Own(key) => key.verify(message, signature),
        }
    }
}

/// The members of a JWK that matter here; others may stand beside them.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<serde_json::Value>,
}

/// The keys with which a provider signs ID tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKeys(Vec<ProviderKey>);

impl ProviderKeys {
    /// Reads a set. Keys of other types, for other uses, or that are not safe are left out
    /// (RFC 7517 §5), so that a token that names one finds none.
    ///
    /// # Errors
    /// [`IdTokenRefusal::KeySet`] for what is no set, or has too many keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdTokenRefusal> {
        if bytes.len() > MAX_PROVIDER_KEYS {
            return Err(IdTokenRefusal::KeySet);
        }
        let set: Keys = json::object(bytes).ok_or(IdTokenRefusal::KeySet)?;
        if set.keys.len() > MOST {
            return Err(IdTokenRefusal::KeySet);
        }
        let read = |value| serde_json::from_value(value).ok().and_then(key);
        Ok(Self(set.keys.into_iter().filter_map(read).collect()))
    }

    /// The key of this id that signs so; the only one there is where a token names none
    /// (OpenID Connect Core §10.1).
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        signing: Signing,
    ) -> Result<&ProviderKey, IdTokenRefusal> {
        let mut named = self
            .0
            .iter()
            .filter(|key| kid.is_none() || key.kid.as_deref() == kid)
            .peekable();
        if named.peek().is_none() {
            return Err(IdTokenRefusal::UnknownKey);
        }
        // Keys of several types may share an id (RFC 7517 §4.5).
        let mut fitting = named.filter(|key| key.signing() == signing);
        let found = fitting.next().ok_or(IdTokenRefusal::Algorithm)?;
        if fitting.next().is_some() {
            return Err(IdTokenRefusal::UnknownKey);
        }
        Ok(found)
    }
}

/// A key, if it signs by an algorithm that is accepted.
fn key(jwk: Jwk) -> Option<ProviderKey> {
    let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk
            .key_ops
            .as_ref()
            .is_none_or(|all| all.iter().any(|one| one == "verify"));
    if !signs {
        return None;
    }
    let bytes = |text: &str| encoding::from_b64url("jwk", text).ok();
    let material = match jwk.kty.as_str() {
        "RSA" => {
            let (modulus, exponent) = (bytes(jwk.n.as_deref()?)?, bytes(jwk.e.as_deref()?)?);
            Material::Rsa(RsaPublicKey::from_components(&modulus, &exponent).ok()?)
        }
        "EC" | "OKP" => {
            let jwk = PublicJwk {
                kty: jwk.kty,
                crv: jwk.crv?,
                x: jwk.x?,
                y: jwk.y,
            };
            Material::Own(PublicKey::from_jwk(&jwk).ok()?)
        }
        _ => return None,
    };
    let key = ProviderKey {
        kid: jwk.kid,
        material,
    };
    let alg = jwk.alg.as_deref();
    alg.is_none_or(|alg| Signing::of(alg) == Some(key.signing()))
        .then_some(key)
}
