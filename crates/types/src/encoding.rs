//! Text forms of bytes: base64url without padding unless a foreign format says
//! otherwise (`protocol.md` §1).

use crate::Malformed;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Bytes as base64url without padding.
#[must_use]
pub fn b64url(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

/// Reads base64url without padding; anything else is refused.
pub fn from_b64url(field: &'static str, text: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE
        .decode(text)
        .map_err(|_| Malformed::new(field, "is not base64url without padding"))
}

/// Reads base64url without padding of exactly `N` bytes.
pub fn from_b64url_fixed<const N: usize>(
    field: &'static str,
    text: &str,
) -> Result<[u8; N], Malformed> {
    from_b64url(field, text)?
        .try_into()
        .map_err(|_| Malformed::new(field, "has the wrong length"))
}

/// Bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// Serde adapter: bytes as base64url text.
pub mod serde_b64url {
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the bytes as base64url without padding.
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::b64url(bytes))
    }

    /// Reads base64url without padding.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        super::from_b64url("value", &text).map_err(serde::de::Error::custom)
    }
}
