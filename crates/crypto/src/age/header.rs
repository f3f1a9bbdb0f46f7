//! The header of an age file: who can open it, and a tag by the key of the file.

use super::{AgeError, FileKey};
use crate::hkdf_sha256;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use procura_types::Secret;

const VERSION: &str = "age-encryption.org/v1";
const STANZA: &str = "-> ";
const MAC: &str = "---";
/// Characters of a line of a stanza's body; the last has fewer.
const LINE: usize = 64;
/// Longest header that is read: far beyond what 16 recipients take.
const LONGEST: usize = 64 * 1024;

/// Base64 with one spelling of everything: without padding, no bits left over.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The key of the file, wrapped for one recipient.
pub(super) struct Stanza {
    /// What kind of recipient, and what goes with it.
    pub(super) args: Vec<String>,
    pub(super) body: Vec<u8>,
}

/// A header that was read.
pub(super) struct Header<'a> {
    pub(super) stanzas: Vec<Stanza>,
    /// From the first byte to the three dashes.
    signed: &'a [u8],
    mac: Vec<u8>,
}

impl Header<'_> {
    /// Whether the tag is by this key.
    pub(super) fn is_by(&self, key: &FileKey) -> bool {
        hmac::verify(&mac_key(key), self.signed, &self.mac).is_ok()
    }
}

fn mac_key(key: &FileKey) -> hmac::Key {
    let bytes: Secret<[u8; 32]> = hkdf_sha256(key.expose(), &[], b"header");
    hmac::Key::new(hmac::HMAC_SHA256, bytes.expose())
}

/// The header for these stanzas, with its last line.
pub(super) fn write(stanzas: &[Stanza], key: &FileKey) -> Result<Vec<u8>, AgeError> {
    let mut text = format!("{VERSION}\n");
    for stanza in stanzas {
        text.push_str(STANZA);
        text.push_str(&stanza.args.join(" "));
        text.push('\n');
        let body = BASE64.encode(&stanza.body);
        let mut rest = body.as_str();
        while let Some((line, behind)) = rest.split_at_checked(LINE) {
            text.push_str(line);
            text.push('\n');
            rest = behind;
        }
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str(MAC);
    let mac = hmac::sign(&mac_key(key), text.as_bytes());
    text.push(' ');
    text.push_str(&BASE64.encode(mac));
    text.push('\n');
    Ok(text.into_bytes())
}

/// Reads a header, and says what is behind it.
pub(super) fn read(file: &[u8]) -> Result<(Header<'_>, &[u8]), AgeError> {
    let mut lines = Lines { file, at: 0 };
    if lines.next()? != VERSION {
        return Err(AgeError::NotAFile("it does not begin as one"));
    }
    let mut stanzas = Vec::new();
    loop {
        let begin = lines.at;
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix("--- ") {
            let mac = BASE64
                .decode(mac)
                .ok()
                .filter(|mac| mac.len() == 32)
                .ok_or(AgeError::NotAFile("its tag cannot be read"))?;
            let signed = file
                .get(..begin + MAC.len())
                .ok_or(AgeError::NotAFile("it ends early"))?;
            let rest = file.get(lines.at..).unwrap_or_default();
            let header = Header {
                stanzas,
                signed,
                mac,
            };
            return Ok((header, rest));
        }
        let args = line
            .strip_prefix(STANZA)
            .ok_or(AgeError::NotAFile("its header cannot be read"))?;
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        let fits =
            |arg: &String| !arg.is_empty() && arg.bytes().all(|byte| byte.is_ascii_graphic());
        if !args.iter().all(fits) {
            return Err(AgeError::NotAFile("its header cannot be read"));
        }
        let mut body = String::new();
        loop {
            let line = lines.next()?;
            if line.len() > LINE {
                return Err(AgeError::NotAFile("its header cannot be read"));
            }
            body.push_str(line);
            if line.len() < LINE {
                break;
            }
        }
        let body = BASE64
            .decode(body)
            .map_err(|_| AgeError::NotAFile("its header cannot be read"))?;
        stanzas.push(Stanza { args, body });
    }
}

struct Lines<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, AgeError> {
        let rest = self.file.get(self.at..LONGEST.min(self.file.len()));
        let rest = rest.unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(AgeError::NotAFile("its header has no end"))?;
        self.at += length + 1;
        rest.get(..length)
            .and_then(|line| std::str::from_utf8(line).ok())
            .ok_or(AgeError::NotAFile("its header is not text"))
    }
}
