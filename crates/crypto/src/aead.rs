//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, for keys
//! that are used once.

use crate::{LockError, LockedKey, OpenError, SealError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use procura_types::{Entropy, Secret, SecretBytes};

/// Bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub(crate) const TAG_BYTES: usize = 16;

/// A data encryption key: seals one value and is then only opened with. Wrapped
/// at rest under a namespace key (`protocol.md` §5).
pub struct Dek(LockedKey);

impl Dek {
    /// A fresh key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`](crate::KeyError::Entropy) or
    /// [`KeyError::Memory`](crate::KeyError::Memory).
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, crate::KeyError> {
        let mut key = Secret::new([0; 32]);
        entropy.fill_secret(key.expose_mut())?;
        Ok(Self::from_bytes(key)?)
    }

    /// A key that was unwrapped.
    ///
    /// # Errors
    ///
    /// [`LockError`] when there is no locked memory for it.
    pub fn from_bytes(key: Secret<[u8; 32]>) -> Result<Self, LockError> {
        LockedKey::new(key).map(Self)
    }

    /// The key itself, to be wrapped.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// Seals `plain` with AES-256-GCM under a key that is used for this alone, such
/// as one that is derived together with its nonce: `ciphertext ‖ tag`.
///
/// A second value under the same key and nonce gives both away; what has no
/// fresh key goes into an envelope ([`seal`](crate::seal)).
///
/// # Errors
///
/// [`SealError::TooLong`].
pub fn seal_once(
    key: &Secret<[u8; 32]>,
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::with_capacity(plain.len().saturating_add(TAG_BYTES));
    gcm_seal_into(&mut out, key.expose(), nonce, associated, plain)?;
    Ok(out)
}

/// Opens what [`seal_once`] sealed.
///
/// # Errors
///
/// [`OpenError::Malformed`] when it is shorter than a tag, [`OpenError::Refused`]
/// when the tag does not verify.
pub fn open_once(
    key: &Secret<[u8; 32]>,
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, OpenError> {
    gcm_open(key.expose(), nonce, associated, sealed)
}

/// Appends `ciphertext ‖ tag` to `out`.
pub(crate) fn gcm_seal_into(
    out: &mut Vec<u8>,
    key: &[u8; 32],
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    plain: &[u8],
) -> Result<(), SealError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::TooLong)?;
    let start = out.len();
    // The plaintext is written once into the output and encrypted where it lies.
    out.reserve(plain.len().saturating_add(TAG_BYTES));
    out.extend_from_slice(plain);
    let Some(in_place) = out.get_mut(start..) else {
        return Err(SealError::TooLong);
    };
    let sealed = LessSafeKey::new(key).seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(associated),
        in_place,
    );
    match sealed {
        Ok(tag) => {
            out.extend_from_slice(tag.as_ref());
            Ok(())
        }
        Err(_) => {
            // Never leave the plaintext where a ciphertext is expected.
            zeroize::Zeroize::zeroize(out);
            Err(SealError::TooLong)
        }
    }
}

/// Opens `ciphertext ‖ tag`.
pub(crate) fn gcm_open(
    key: &[u8; 32],
    nonce: [u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, OpenError> {
    let (ciphertext, tag) = sealed
        .split_last_chunk::<TAG_BYTES>()
        .ok_or(OpenError::Malformed)?;
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| OpenError::Refused)?;
    // What a failed opening leaves in the buffer is wiped with it.
    let mut plain = Secret::new(vec![0; ciphertext.len()]);
    LessSafeKey::new(key)
        .open_separate_gather(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            ciphertext,
            tag,
            plain.expose_mut(),
        )
        .map_err(|_| OpenError::Refused)?;
    Ok(plain)
}
