//! A public key: one line of text.

use super::{ED25519, SshKeyError, read_blob};
use crate::{PublicKey, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Bytes of the longest line.
const LONGEST: usize = 4096;

/// An Ed25519 public key as `ssh-keygen` writes it into a `.pub` file.
#[derive(Debug, Clone)]
pub struct SshPublicKey {
    key: PublicKey,
    comment: String,
}

impl SshPublicKey {
    /// Reads `ssh-ed25519 BASE64 [COMMENT]`, with or without an end of line. The
    /// comment is anything; bytes of it that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// [`SshKeyError::TooLong`] above 4,096 bytes or one line; `OtherType`,
    /// `Options` and `NotAKey` by what the line begins with; `Damaged` when the
    /// part in base64 is not exactly a key, or one of another type than the line
    /// says; `Key` for a key that [`PublicKey::from_ed25519`] refuses.
    pub fn parse(line: &[u8]) -> Result<Self, SshKeyError> {
        if line.len() > LONGEST {
            return Err(SshKeyError::TooLong);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(SshKeyError::TooLong);
        }
        let (name, rest) = word(line);
        if name != ED25519 {
            return Err(other(name, rest));
        }
        let (blob, comment) = word(rest);
        let blob = STANDARD.decode(blob).map_err(|_| SshKeyError::Damaged)?;
        let key = match read_blob(&blob) {
            // The line contradicts itself.
            Err(SshKeyError::OtherType) => return Err(SshKeyError::Damaged),
            key => key?,
        };
        Ok(Self {
            key: PublicKey::from_ed25519(key)?,
            comment: String::from_utf8_lossy(comment).into_owned(),
        })
    }

    /// The key itself.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// A key that is in no file, without a comment. Only Ed25519 keys have a form here;
    /// it is for the caller to know that it is one.
    #[must_use]
    pub const fn of(key: PublicKey) -> Self {
        Self {
            key,
            comment: String::new(),
        }
    }

    /// `ssh-ed25519` and the key in base64, as in a `.pub` file, without the comment.
    #[must_use]
    pub fn line(&self) -> String {
        format!("ssh-ed25519 {}", STANDARD.encode(self.blob()))
    }

    /// `SHA256:` and the SHA-256 of the key's binary form in base64 without
    /// padding, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&self.blob())))
    }

    /// The key's binary form (RFC 8709 section 4).
    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(51);
        for part in [ED25519, self.key.as_bytes()] {
            // Both are far shorter than 2^32 bytes.
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
            blob.extend_from_slice(part);
        }
        blob
    }

    /// What stands behind the key; often who made it and where. Text of whoever
    /// wrote the file, with any character but an end of line.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

/// The first word, and what follows the white space behind it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = line.iter().position(space).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let skipped = rest.iter().take_while(|byte| space(byte)).count();
    (word, rest.split_at(skipped).1)
}

/// Why a line that does not begin with the one type is refused.
fn other(name: &[u8], rest: &[u8]) -> SshKeyError {
    let begins = |with: &[u8]| name.starts_with(with);
    if begins(b"ssh-") || begins(b"ecdsa-sha2-") || begins(b"sk-") {
        return SshKeyError::OtherType;
    }
    let mut left = rest;
    while !left.is_empty() {
        let (word, rest) = self::word(left);
        if word == ED25519 {
            return SshKeyError::Options;
        }
        left = rest;
    }
    SshKeyError::NotAKey
}
