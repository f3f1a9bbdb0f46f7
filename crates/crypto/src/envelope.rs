//! Envelopes (`protocol.md` §5): `u8 version ‖ u32be key_epoch ‖ nonce ‖
//! ciphertext ‖ tag`. Version 1 is XAES-256-GCM under a long-lived key of that
//! epoch, version 2 is AES-256-GCM under a DEK, with epoch 0.

use crate::aead::{self, TAG_BYTES, gcm_open, gcm_seal_into};
use crate::{Binding, Dek, OpenError, SealError, XaesKey, hpke, xaes};
use procura_types::{Entropy, SecretBytes};
use std::borrow::Borrow;

const UNDER_KEY: u8 = 1;
const UNDER_DEK: u8 = 2;
const HEADER_BYTES: usize = 5;

/// Seals `plain` under a long-lived key: a version 1 envelope, 45 bytes longer.
///
/// # Errors
///
/// [`SealError`].
pub fn seal(
    key: &XaesKey,
    epoch: u32,
    binding: &Binding<'_>,
    entropy: &dyn Entropy,
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; xaes::NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    let header = header(UNDER_KEY, epoch);
    let mut out = begin(&header, &nonce, plain.len());
    let associated = binding.associated_data(&header);
    key.seal_into(&mut out, &nonce, associated.as_bytes(), plain)?;
    Ok(out)
}

/// Opens a version 1 envelope. `keys` gives the key of an epoch: `&XaesKey`,
/// `Arc<XaesKey>` or whatever else lends one.
///
/// # Errors
///
/// [`OpenError::Malformed`] for anything but a version 1 envelope,
/// [`OpenError::UnknownEpoch`] when `keys` has none, [`OpenError::Refused`] when
/// key, binding or bytes are not those of the sealing.
pub fn open<K: Borrow<XaesKey>>(
    keys: impl FnOnce(u32) -> Option<K>,
    binding: &Binding<'_>,
    envelope: &[u8],
) -> Result<SecretBytes, OpenError> {
    let (header, rest) = split_header(envelope)?;
    let (nonce, sealed) = split_nonce::<{ xaes::NONCE_BYTES }>(rest)?;
    let epoch = match header {
        [UNDER_KEY, epoch @ ..] => u32::from_be_bytes(*epoch),
        _ => return Err(OpenError::Malformed),
    };
    let key = keys(epoch).ok_or(OpenError::UnknownEpoch(epoch))?;
    let associated = binding.associated_data(header);
    key.borrow().open(nonce, associated.as_bytes(), sealed)
}

/// Seals the one value of a DEK: a version 2 envelope, 33 bytes longer.
///
/// # Errors
///
/// [`SealError`].
pub fn seal_with_dek(
    dek: &Dek,
    binding: &Binding<'_>,
    entropy: &dyn Entropy,
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; aead::NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    let header = header(UNDER_DEK, 0);
    let mut out = begin(&header, &nonce, plain.len());
    let associated = binding.associated_data(&header);
    gcm_seal_into(&mut out, dek.expose(), nonce, associated.as_bytes(), plain)?;
    Ok(out)
}

/// Opens a version 2 envelope.
///
/// # Errors
///
/// [`OpenError::Malformed`] for anything but a version 2 envelope of epoch 0,
/// [`OpenError::Refused`] when DEK, binding or bytes are not those of the sealing.
pub fn open_with_dek(
    dek: &Dek,
    binding: &Binding<'_>,
    envelope: &[u8],
) -> Result<SecretBytes, OpenError> {
    let (header, rest) = split_header(envelope)?;
    let (nonce, sealed) = split_nonce::<{ aead::NONCE_BYTES }>(rest)?;
    if *header != [UNDER_DEK, 0, 0, 0, 0] {
        return Err(OpenError::Malformed);
    }
    let associated = binding.associated_data(header);
    gcm_open(dek.expose(), *nonce, associated.as_bytes(), sealed)
}

/// The epoch of the key that a version 1 envelope is sealed under, 0 of a version 2
/// envelope, or that of what a version 3 envelope holds; read, not verified.
///
/// # Errors
///
/// [`OpenError::Malformed`] when it has the form of none.
pub fn envelope_epoch(envelope: &[u8]) -> Result<u32, OpenError> {
    let (header, rest) = split_header(envelope)?;
    match header {
        [UNDER_KEY, epoch @ ..] => {
            split_nonce::<{ xaes::NONCE_BYTES }>(rest).map(|_| u32::from_be_bytes(*epoch))
        }
        [UNDER_DEK, 0, 0, 0, 0] => split_nonce::<{ aead::NONCE_BYTES }>(rest).map(|_| 0),
        [hpke::TO_KEY, epoch @ ..] => {
            split_nonce::<{ hpke::ENC_BYTES }>(rest).map(|_| u32::from_be_bytes(*epoch))
        }
        _ => Err(OpenError::Malformed),
    }
}

fn header(version: u8, epoch: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = epoch.to_be_bytes();
    [version, a, b, c, d]
}

fn begin(header: &[u8; HEADER_BYTES], nonce: &[u8], plain_bytes: usize) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(plain_bytes.saturating_add(HEADER_BYTES + nonce.len() + TAG_BYTES));
    out.extend_from_slice(header);
    out.extend_from_slice(nonce);
    out
}

fn split_header(envelope: &[u8]) -> Result<(&[u8; HEADER_BYTES], &[u8]), OpenError> {
    envelope.split_first_chunk().ok_or(OpenError::Malformed)
}

/// The nonce and what follows it, which is a tag at the least.
fn split_nonce<const N: usize>(rest: &[u8]) -> Result<(&[u8; N], &[u8]), OpenError> {
    rest.split_first_chunk()
        .filter(|(_, sealed)| sealed.len() >= TAG_BYTES)
        .ok_or(OpenError::Malformed)
}
