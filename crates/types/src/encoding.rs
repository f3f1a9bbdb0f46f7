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

/// Reads the standard alphabet with padding or without.
const STANDARD_ANY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const URL_SAFE_PADDED: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new());

/// Bytes as base64 in the standard alphabet with padding (RFC 4648 §4), for
/// foreign formats.
#[must_use]
pub fn b64_standard(bytes: &[u8]) -> String {
    STANDARD_ANY.encode(bytes)
}

/// Bytes as base64url with padding (RFC 4648 §5), for foreign formats.
#[must_use]
pub fn b64url_padded(bytes: &[u8]) -> String {
    URL_SAFE_PADDED.encode(bytes)
}

/// Reads base64 of either alphabet, padded, not, or in part, for foreign formats;
/// `None` for anything else.
#[must_use]
pub fn from_b64_any(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .chars()
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    STANDARD_ANY.decode(standard).ok()
}

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

/// Reads hexadecimal of either case, of exactly `N` bytes; `None` for anything
/// else.
#[must_use]
pub fn from_hex_fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    let mut out = [0; N];
    for (to, [high, low]) in out.iter_mut().zip(pairs) {
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_foreign_formats() {
        let bytes = [0xfb, 0xff, 0xbf, 0x01];
        assert_eq!(b64_standard(&bytes), "+/+/AQ==");
        assert_eq!(b64url_padded(&bytes), "-_-_AQ==");
        for good in [
            "+/+/AQ==", "-_-_AQ==", "-_-_AQ", "+/+/AQ", "+_-/AQ", "+/+/AQ=",
        ] {
            assert_eq!(from_b64_any(good).as_deref(), Some(&bytes[..]), "{good}");
        }
        for bad in ["+/+/A", "=", "+/+/AQ===", "+/+/AR==", "a b=", "é", "A\n"] {
            assert_eq!(from_b64_any(bad), None, "{bad}");
        }
        assert_eq!(from_b64_any(""), Some(Vec::new()));
    }

    #[test]
    fn hexadecimal_of_a_length() {
        assert_eq!(from_hex_fixed("00fFa1"), Some([0, 255, 0xa1]));
        assert_eq!(from_hex_fixed::<0>(""), Some([]));
        for bad in ["", "0", "0g", "000", "0000", "+1", " 1", "é"] {
            assert_eq!(from_hex_fixed::<1>(bad), None, "{bad}");
        }
    }
}
