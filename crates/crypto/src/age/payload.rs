//! The payload of an age file: chunks of 64 KiB under ChaCha20-Poly1305, each bound to
//! its place and to whether it is the last (the construction STREAM).

use super::{AgeError, FileKey};
use crate::hkdf_sha256;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use procura_types::{Secret, SecretBytes};

pub(super) const NONCE_BYTES: usize = 16;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

fn cipher(key: &FileKey, nonce: &[u8; NONCE_BYTES]) -> Result<LessSafeKey, AgeError> {
    let key: Secret<[u8; 32]> = hkdf_sha256(key.expose(), nonce, b"payload");
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose()).map_err(|_| AgeError::Library)?;
    Ok(LessSafeKey::new(key))
}

/// The nonce of a chunk: its number in 11 bytes, and whether it is the last.
fn nonce(counter: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    let number = counter.to_be_bytes();
    for (to, from) in bytes.iter_mut().skip(3).zip(number) {
        *to = from;
    }
    if let Some(flag) = bytes.last_mut() {
        *flag = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

/// Appends the payload of `plain`. One that is empty is one empty chunk.
pub(super) fn seal(
    file: &mut Vec<u8>,
    key: &FileKey,
    salt: &[u8; NONCE_BYTES],
    plain: &[u8],
) -> Result<(), AgeError> {
    let cipher = cipher(key, salt)?;
    let chunks = plain.len().div_ceil(CHUNK).max(1);
    file.reserve(plain.len() + chunks * TAG);
    let mut rest = plain;
    let mut counter = 0;
    loop {
        let (chunk, behind) = rest.split_at_checked(CHUNK).unwrap_or((rest, &[]));
        let begin = file.len();
        file.extend_from_slice(chunk);
        let sealed = file.get_mut(begin..).ok_or(AgeError::Library)?;
        let tag = cipher
            .seal_in_place_separate_tag(nonce(counter, behind.is_empty()), Aad::empty(), sealed)
            .map_err(|_| AgeError::Library)?;
        file.extend_from_slice(tag.as_ref());
        if behind.is_empty() {
            return Ok(());
        }
        rest = behind;
        counter += 1;
    }
}

/// Opens a payload.
pub(super) fn open(
    key: &FileKey,
    salt: &[u8; NONCE_BYTES],
    sealed: &[u8],
) -> Result<SecretBytes, AgeError> {
    const DAMAGED: AgeError = AgeError::NotAFile("its content was changed or cut");
    let cipher = cipher(key, salt)?;
    let mut plain = Secret::new(Vec::with_capacity(sealed.len()));
    let mut rest = sealed;
    let mut counter = 0;
    loop {
        let (chunk, behind) = rest.split_at_checked(CHUNK + TAG).unwrap_or((rest, &[]));
        let last = behind.is_empty();
        let mut piece = Secret::new(chunk.to_vec());
        let opened = cipher
            .open_in_place(nonce(counter, last), Aad::empty(), piece.expose_mut())
            .map_err(|_| DAMAGED)?;
        // Only the payload of nothing ends in an empty chunk.
        if opened.is_empty() && counter > 0 {
            return Err(DAMAGED);
        }
        plain.expose_mut().extend_from_slice(opened);
        if last {
            return Ok(plain);
        }
        rest = behind;
        counter += 1;
    }
}
