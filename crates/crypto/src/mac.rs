//! HMAC-SHA256 (RFC 2104, FIPS 198-1) and HKDF-SHA256 (RFC 5869).

use crate::{LockError, LockedKey, sha256};
use aws_lc_rs::{hkdf, hmac};
use procura_types::Secret;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

const BLOCK_BYTES: usize = 64;

/// A key for HMAC-SHA256, in locked memory.
///
/// The schedule is derived anew for each tag: it is as good as the key, and the
/// library would keep it in memory that is not locked.
pub struct MacKey {
    first_half: LockedKey,
    /// Absent for keys of at most 32 bytes, where it would be zeros.
    second_half: Option<LockedKey>,
}

impl MacKey {
    /// Takes a key of any length. RFC 2104 §2: a key longer than a block of 64
    /// bytes is hashed, a shorter one is padded with zeros.
    ///
    /// # Errors
    ///
    /// [`LockError`] when there is no locked memory for it.
    pub fn from_bytes(key: &[u8]) -> Result<Self, LockError> {
        if key.len() > BLOCK_BYTES {
            return Ok(Self::from_locked(LockedKey::new(Secret::new(sha256(key)))?));
        }
        let (first, second) = key.split_at(key.len().min(32));
        Ok(Self {
            first_half: LockedKey::new(padded(first))?,
            second_half: if second.is_empty() {
                None
            } else {
                Some(LockedKey::new(padded(second))?)
            },
        })
    }

    /// Uses a 32-byte key where it lies.
    #[must_use]
    pub const fn from_locked(key: LockedKey) -> Self {
        Self {
            first_half: key,
            second_half: None,
        }
    }

    /// The tag of the parts, one after the other without a separator: where the
    /// parts vary in length, pass a [`FieldTuple`](procura_types::FieldTuple).
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let key = match &self.second_half {
            None => hmac::Key::new(hmac::HMAC_SHA256, self.first_half.expose()),
            Some(second_half) => {
                let mut block = [0; BLOCK_BYTES];
                let (first, second) = block.split_at_mut(32);
                first.copy_from_slice(self.first_half.expose());
                second.copy_from_slice(second_half.expose());
                let key = hmac::Key::new(hmac::HMAC_SHA256, &block);
                block.zeroize();
                key
            }
        };
        let tag = if let [whole] = parts {
            hmac::sign(&key, whole)
        } else {
            let mut context = hmac::Context::with_key(&key);
            for part in parts {
                context.update(part);
            }
            context.sign()
        };
        let mut out = [0; 32];
        // HMAC-SHA256 has 32 bytes of output, so the lengths are equal.
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Whether `tag` is the tag of the parts; compared in constant time. A tag
    /// of another length than 32 bytes never is.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.sign(parts).ct_eq(tag).into()
    }
}

fn padded(half: &[u8]) -> Secret<[u8; 32]> {
    let mut out = Secret::new([0; 32]);
    for (to, from) in out.expose_mut().iter_mut().zip(half) {
        *to = *from;
    }
    out
}

/// The length of what HKDF shall give; the library wants a type for it.
struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA256, extract and expand (RFC 5869 §2): `N` bytes from `ikm`.
///
/// An empty `salt` is the one of zeros (§2.2). More than 255 × 32 bytes do not
/// compile (§2.3).
#[must_use]
pub fn hkdf_sha256<const N: usize>(ikm: &[u8], salt: &[u8], info: &[u8]) -> Secret<[u8; N]> {
    const { assert!(N <= 255 * 32, "RFC 5869 §2.3: at most 255 blocks") };
    let mut out = Secret::new([0; N]);
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(&[info], Bytes(N))
        .and_then(|okm| okm.fill(out.expose_mut()));
    #[expect(
        clippy::expect_used,
        reason = "the library refuses only a length above the limit that is asserted at compile time, or one unlike the output's, which is the same N"
    )]
    derived.expect("HKDF of a length within the limit");
    out
}
