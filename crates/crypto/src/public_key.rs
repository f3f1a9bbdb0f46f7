//! Public keys of devices, operators and servers, and their verification:
//! Ed25519 (RFC 8032) and ECDSA on P-256 with SHA-256 (FIPS 186-5).

use crate::{KeyError, curve25519, sha256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use procura_types::{Thumbprint, encoding, wire::PublicJwk};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::sync::Arc;

/// Bytes of a signature, of either algorithm.
const SIGNATURE_BYTES: usize = 64;

/// How a key signs; the names of RFC 9421 §6.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// Ed25519, RFC 8032.
    Ed25519,
    /// ECDSA on P-256 with SHA-256; signatures are r ‖ s, 64 bytes.
    EcdsaP256Sha256,
}

impl SignatureAlgorithm {
    /// The name in the HTTP Signature Algorithms registry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
        }
    }
}

/// A public key that was parsed and found acceptable. Cheap to clone; verifying
/// parses nothing.
#[derive(Clone)]
pub struct PublicKey(Arc<Parsed>);

struct Parsed {
    algorithm: SignatureAlgorithm,
    key: ParsedPublicKey,
    thumbprint: Thumbprint,
}

impl PublicKey {
    /// Reads an Ed25519 key: 32 bytes (RFC 8032 §5.1.5).
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another length, [`KeyError::NotCanonical`] and
    /// [`KeyError::SmallOrder`] for keys that give a message two meanings.
    pub fn from_ed25519(bytes: &[u8]) -> Result<Self, KeyError> {
        let point: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Malformed)?;
        curve25519::check_point(point)?;
        let key = ParsedPublicKey::new(&ED25519, point).map_err(|_| KeyError::Malformed)?;
        Ok(Self::new(SignatureAlgorithm::Ed25519, key))
    }

    /// Reads a P-256 key: SEC 1 §2.3.3 uncompressed, 65 bytes from 0x04 on.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another form, [`KeyError::NotOnCurve`].
    pub fn from_p256(bytes: &[u8]) -> Result<Self, KeyError> {
        // The library would take other forms too; we want one spelling per key.
        let point: &[u8; 65] = bytes.try_into().map_err(|_| KeyError::Malformed)?;
        if point[0] != 4 {
            return Err(KeyError::Malformed);
        }
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self::new(SignatureAlgorithm::EcdsaP256Sha256, key))
    }

    /// Reads a JWK (RFC 7517; RFC 8037 for `OKP`).
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for another type or curve or a missing or
    /// superfluous coordinate; otherwise as [`Self::from_ed25519`] and
    /// [`Self::from_p256`].
    pub fn from_jwk(jwk: &PublicJwk) -> Result<Self, KeyError> {
        let coordinate = |text: &str| {
            encoding::from_b64url_fixed::<32>("jwk", text).map_err(|_| KeyError::Malformed)
        };
        match (jwk.kty.as_str(), jwk.crv.as_str(), &jwk.y) {
            ("OKP", "Ed25519", None) => Self::from_ed25519(&coordinate(&jwk.x)?),
            ("EC", "P-256", Some(y)) => {
                Self::from_p256(&[&[4], &coordinate(&jwk.x)?[..], &coordinate(y)?[..]].concat())
            }
            _ => Err(KeyError::Malformed),
        }
    }

    fn new(algorithm: SignatureAlgorithm, key: ParsedPublicKey) -> Self {
        let jwk = jwk(algorithm, key.as_ref());
        Self(Arc::new(Parsed {
            algorithm,
            thumbprint: thumbprint(&jwk),
            key,
        }))
    }

    /// The key as JWK.
    #[must_use]
    pub fn to_jwk(&self) -> PublicJwk {
        jwk(self.0.algorithm, self.as_bytes())
    }

    /// The key as bytes: 32 of Ed25519, 65 of P-256 (SEC 1 uncompressed).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.key.as_ref()
    }

    /// The RFC 7638 thumbprint with SHA-256: the id of the device.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.0.thumbprint
    }

    /// How this key signs.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm
    }

    /// Whether `signature` (64 bytes) is this key's over `message`.
    ///
    /// Ed25519 is strict: S below the group's order, R in its one encoding and
    /// not of small order, no cofactor. ECDSA takes r ‖ s, with s of either
    /// half: whoever needs signatures to be unique must not count on it.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        if signature.len() != SIGNATURE_BYTES {
            return false;
        }
        if self.0.algorithm == SignatureAlgorithm::Ed25519
            && signature
                .first_chunk()
                .is_none_or(|r| curve25519::check_point(r).is_err())
        {
            return false;
        }
        self.0.key.verify_sig(message, signature).is_ok()
    }
}

/// `bytes` are a key's of that algorithm: 32, or 65 of which the first is a tag.
fn jwk(algorithm: SignatureAlgorithm, bytes: &[u8]) -> PublicJwk {
    match algorithm {
        SignatureAlgorithm::Ed25519 => PublicJwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: encoding::b64url(bytes),
            y: None,
        },
        SignatureAlgorithm::EcdsaP256Sha256 => {
            let (head, y) = bytes.split_at(33);
            PublicJwk {
                kty: "EC".to_owned(),
                crv: "P-256".to_owned(),
                x: encoding::b64url(head.get(1..).unwrap_or_default()),
                y: Some(encoding::b64url(y)),
            }
        }
    }
}

/// RFC 7638 §3: SHA-256 over the required members in alphabetical order, without
/// space. The values are of base64url and need no escaping.
fn thumbprint(jwk: &PublicJwk) -> Thumbprint {
    let PublicJwk { kty, crv, x, y } = jwk;
    let json = match y {
        None => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
        Some(y) => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
    };
    Thumbprint::from_bytes(sha256(json.as_bytes()))
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        // The algorithm shows in the length.
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.algorithm.as_str(), self.0.thumbprint)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_jwk().serialize(to)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_jwk(&PublicJwk::deserialize(from)?).map_err(D::Error::custom)
    }
}
