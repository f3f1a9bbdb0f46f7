//! The secrets that are written and read: each path has its own value of 1 KB,
//! and both can be told from the number alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use procura_crypto::sha256;
use std::io::Write as _;

/// The namespace of the secrets.
pub(crate) const NAMESPACE: &str = "bench";
/// The part of a value that differs in each: a multiple of three, so that its
/// base64url form stands by itself.
const HEAD: usize = 24;
/// 24 bytes and these make 1 KB.
const TAIL: usize = 1000;
/// So many different tails there are.
const TAILS: usize = 61;

/// All values, as the base64url that travels.
pub(crate) struct Values {
    tails: Vec<String>,
}

impl Values {
    pub(crate) fn new() -> Self {
        let tails = (0..TAILS)
            .map(|tail| URL_SAFE_NO_PAD.encode(noise(tail)))
            .collect();
        Self { tails }
    }

    /// Appends the value of a secret as base64url.
    pub(crate) fn append(&self, out: &mut Vec<u8>, secret: u32) {
        let mut head = [0; 32];
        out.extend_from_slice(head_text(secret, &mut head));
        out.extend_from_slice(self.tail(secret).as_bytes());
    }

    /// Whether `text` is the base64url of the value of this secret.
    pub(crate) fn is(&self, secret: u32, text: &[u8]) -> bool {
        let mut head = [0; 32];
        text.strip_prefix(head_text(secret, &mut head)) == Some(self.tail(secret).as_bytes())
    }

    fn tail(&self, secret: u32) -> &str {
        let place = usize::try_from(secret).unwrap_or_default() % TAILS;
        self.tails.get(place).map_or("", String::as_str)
    }
}

/// The path of a secret within its namespace.
pub(crate) fn append_path(out: &mut Vec<u8>, secret: u32) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "team-{:02}/service/key-{secret:06}", secret % 50);
}

fn head_text(secret: u32, room: &mut [u8; 32]) -> &[u8] {
    let mut plain = [b'.'; HEAD];
    let mut rest = plain.as_mut_slice();
    // 24 bytes hold any number.
    let _ = write!(rest, "value {secret}");
    let length = URL_SAFE_NO_PAD
        .encode_slice(plain, room)
        .unwrap_or_default();
    room.get(..length).unwrap_or_default()
}

/// Bytes that look like those of a key.
fn noise(tail: usize) -> Vec<u8> {
    let mut block = sha256(&tail.to_be_bytes());
    let mut bytes = Vec::with_capacity(TAIL + 32);
    while bytes.len() < TAIL {
        bytes.extend_from_slice(&block);
        block = sha256(&block);
    }
    bytes.truncate(TAIL);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_1_kb_and_each_fits_its_number_only() {
        let values = Values::new();
        let mut text = Vec::new();
        values.append(&mut text, 99_999);
        assert_eq!(URL_SAFE_NO_PAD.decode(&text).unwrap().len(), 1024);
        assert!(values.is(99_999, &text));
        // The same tail under another head.
        assert!(!values.is(99_999 - 61, &text));
        assert!(!values.is(99_998, &text));
        text.pop();
        assert!(!values.is(99_999, &text));
    }
}
