//! Text forms of ids written into a buffer on the stack: an entry has about
//! ten of them, and it is written before every answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

/// 16 bytes as a UUID in lower case.
pub(crate) struct UuidText<'a>(pub(crate) &'a [u8; 16]);

/// Up to 33 bytes as base64url without padding.
pub(crate) struct Base64Text<'a>(pub(crate) &'a [u8]);

impl Serialize for UuidText<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = [b'-'; 36];
        let mut places = text.iter_mut();
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                places.next();
            }
            if let (Some(high), Some(low)) = (places.next(), places.next()) {
                *high = digit(byte >> 4);
                *low = digit(byte & 15);
            }
        }
        to.serialize_str(ascii(&text))
    }
}

impl Serialize for Base64Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = [0u8; 44];
        match URL_SAFE_NO_PAD.encode_slice(self.0, &mut text) {
            Ok(len) => to.serialize_str(ascii(text.get(..len).unwrap_or_default())),
            Err(_) => Err(serde::ser::Error::custom("id of more than 33 bytes")),
        }
    }
}

fn ascii(text: &[u8]) -> &str {
    // Both alphabets are ASCII, so this cannot fail.
    std::str::from_utf8(text).unwrap_or_default()
}
