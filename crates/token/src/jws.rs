//! JWS in compact serialisation (RFC 7515 §7.1), signed with ES256: ECDSA on P-256
//! with SHA-256, the signature r ‖ s of 64 bytes (RFC 7518 §3.4).

use crate::TokenError;
use crate::json;
use procura_crypto::{PublicKey, SignatureAlgorithm, SigningKey};
use procura_types::{Secret, encoding};
use serde::{Deserialize, Serialize};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// The one algorithm, as RFC 7518 §3.1 names it.
const ES256: &str = "ES256";

/// The protected header (RFC 7515 §4).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// How it is signed.
    alg: String,
    /// Which key signed it: of ours the RFC 7638 thumbprint.
    #[serde(default, deserialize_with = "json::text")]
    kid: Option<String>,
    /// What kind of token it is.
    #[serde(default, deserialize_with = "json::text")]
    typ: Option<String>,
}

impl Header {
    /// The algorithm that it claims.
    #[must_use]
    pub fn alg(&self) -> &str {
        &self.alg
    }

    /// The key that it names.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The type that it claims.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }
}

/// A JWS that was read and is not verified: nothing that it says counts yet.
pub struct Jws<'a> {
    header: Header,
    /// What is signed: the first two parts as sent.
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Reads a JWS.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for another form, [`TokenError::Header`].
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        // A further dot is no letter of base64url, so there are three parts.
        let part = |text| encoding::from_b64url("token", text).map_err(|_| TokenError::Malformed);
        let (header, payload, signature) = (part(header)?, part(payload)?, part(signature)?);
        Ok(Self {
            header: json::object(&header).ok_or(TokenError::Header)?,
            signed,
            payload,
            signature,
        })
    }

    /// The header, which nobody vouches for yet.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, if `key` signed it. The key says which algorithm that takes, never
    /// the header (RFC 8725 §3.1): `none` is the algorithm of no key.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`], [`TokenError::BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<&[u8], TokenError> {
        if key.algorithm() != SignatureAlgorithm::EcdsaP256Sha256 || self.header.alg != ES256 {
            return Err(TokenError::Algorithm);
        }
        if key.verify(self.signed.as_bytes(), &self.signature) {
            Ok(&self.payload)
        } else {
            Err(TokenError::BadSignature)
        }
    }
}

/// The `jti` that a token says, if it has the form of one. Nobody vouches for it: it is for
/// comparing with what somebody signed beside the token, and for nothing else.
#[must_use]
pub fn claimed_id(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        jti: String,
    }
    let jws = Jws::parse(token).ok()?;
    json::object::<Claimed>(&jws.payload).map(|claimed| claimed.jti)
}

/// A header of ours.
#[derive(Serialize)]
struct OwnHeader<'a> {
    alg: &'static str,
    kid: String,
    typ: &'a str,
}

/// Signs `payload` as a token of the type `typ`. Whoever has the token can use it.
///
/// # Errors
/// [`TokenError::Algorithm`] for a key that is not of P-256, [`TokenError::NotMade`]
/// when it would be longer than [`MAX_TOKEN`] or the key cannot be used.
pub fn sign(key: &SigningKey, typ: &str, payload: &[u8]) -> Result<Secret<String>, TokenError> {
    if key.public().algorithm() != SignatureAlgorithm::EcdsaP256Sha256 {
        return Err(TokenError::Algorithm);
    }
    let header = OwnHeader {
        alg: ES256,
        kid: key.public().thumbprint().to_string(),
        typ,
    };
    let header = serde_json::to_vec(&header).map_err(|_| TokenError::NotMade)?;
    let signed = format!(
        "{}.{}",
        encoding::b64url(&header),
        encoding::b64url(payload)
    );
    let signature = key
        .sign(signed.as_bytes())
        .map_err(|_| TokenError::NotMade)?;
    // Written once, in memory of its length: a text that grew would leave copies.
    let signature = encoding::b64url(&signature);
    let mut token = Secret::new(String::with_capacity(signed.len() + 1 + signature.len()));
    for part in [&signed, ".", &signature] {
        token.expose_mut().push_str(part);
    }
    if token.expose().len() > MAX_TOKEN {
        return Err(TokenError::NotMade);
    }
    Ok(token)
}
