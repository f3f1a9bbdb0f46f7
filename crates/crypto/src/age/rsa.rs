//! Recipients that are RSA keys of OpenSSH (age's type `ssh-rsa`, C2SP `age.md`): the key
//! of a file by RSA-OAEP with SHA-256. What is encrypted to one is opened elsewhere; no
//! private key of RSA is used here.

use super::header::{BASE64, Stanza};
use super::{AgeError, FileKey};
use crate::sha256;
use crate::ssh::SshKeyError;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

pub(super) const SSH_RSA: &str = "ssh-rsa";
const LABEL: &[u8] = b"age-encryption.org/v1/ssh-rsa";
/// Bytes of the longest line.
const LONGEST: usize = 4096;

/// Tags of DER (X.690 §8).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// `AlgorithmIdentifier` of `rsaEncryption` (RFC 3279 §2.3.1).
const ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// A public key of 2,048 to 8,192 bits.
#[derive(Debug, Clone)]
pub(super) struct RsaKey {
    /// Its binary form (RFC 4253 §6.6).
    blob: Vec<u8>,
    key: PublicEncryptingKey,
}

impl RsaKey {
    /// Reads `ssh-rsa BASE64 [COMMENT]`.
    ///
    /// # Errors
    /// [`SshKeyError::TooLong`] and [`SshKeyError::Damaged`], [`AgeError::Rsa`].
    pub(super) fn parse(line: &str) -> Result<Self, AgeError> {
        if line.len() > LONGEST || line.contains(['\n', '\r']) {
            return Err(SshKeyError::TooLong.into());
        }
        let text = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        let blob = STANDARD.decode(text).map_err(|_| SshKeyError::Damaged)?;
        let key = subject_public_key(&blob).ok_or(SshKeyError::Damaged)?;
        let key = PublicEncryptingKey::from_der(&key).map_err(|_| AgeError::Rsa)?;
        Ok(Self { blob, key })
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub(super) fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&self.blob)))
    }

    /// The key of a file for whoever has the private half.
    pub(super) fn wrap(&self, key: &FileKey) -> Result<Stanza, AgeError> {
        let library = |_| AgeError::Library;
        let to = OaepPublicEncryptingKey::new(self.key.clone()).map_err(library)?;
        let mut body = vec![0; to.ciphertext_size()];
        to.encrypt(
            &OAEP_SHA256_MGF1SHA256,
            key.expose(),
            &mut body,
            Some(LABEL),
        )
        .map_err(library)?;
        let digest = sha256(&self.blob);
        let (tag, _) = digest.split_at(4);
        Ok(Stanza {
            args: vec![SSH_RSA.to_owned(), BASE64.encode(tag)],
            body,
        })
    }
}

/// The key as `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), from its form in OpenSSH: its
/// name, exponent and modulus, and nothing behind them. Integers have the same bytes in
/// both.
fn subject_public_key(blob: &[u8]) -> Option<Vec<u8>> {
    let mut rest = blob;
    let name = string(&mut rest)?;
    let exponent = string(&mut rest)?;
    let modulus = string(&mut rest)?;
    if name != SSH_RSA.as_bytes() || !rest.is_empty() {
        return None;
    }
    let (modulus, exponent) = (der(INTEGER, &[modulus])?, der(INTEGER, &[exponent])?);
    let key = der(SEQUENCE, &[&modulus, &exponent])?;
    // No bit of the last byte is unused.
    let key = der(BIT_STRING, &[&[0], &key])?;
    der(SEQUENCE, &[&ALGORITHM, &key])
}

/// A string with its length before it (RFC 4251 §5).
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (taken, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

/// A value of DER with its tag and length.
fn der(tag: u8, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let value = parts.concat();
    let [high, low] = u16::try_from(value.len()).ok()?.to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(&value);
    Some(out)
}
