//! Threshold sharing of a 32-byte secret (Shamir, 1979) over GF(2⁸) modulo 0x11b,
//! byte by byte: any `threshold` of the shares give the secret, and fewer say
//! nothing about it.
//!
//! The secret is what the polynomials are at 0 and share `i` what they are at `i`,
//! so any implementation over the same field combines the 32 bytes. What holders
//! keep is text ([`Share::encode`]), whose layout is in `protocol.md` §5.

mod text;

use crate::gf256::{self, Point};
use crate::sha256;
use procura_types::{Entropy, EntropyError, FieldTuple, Secret};
use std::borrow::Borrow;
use subtle::ConstantTimeEq as _;

/// Bytes of the secret and of what a share says of it.
const BYTES: usize = 32;
/// With one share needed, each would be the secret itself.
const LEAST_THRESHOLD: u8 = 2;

/// A secret was not split, a share was not read, or shares do not give a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// It has not the form of a share.
    #[error("not a share: those begin with PROCURA-SHARE-1- and have 120 characters")]
    Malformed,
    /// It has the form of a share, and was mistyped.
    #[error("the share is mistyped: its checksum does not match")]
    Checksum,
    /// Fewer than two are said to be needed.
    #[error("the threshold of shares is 2 at the least")]
    Threshold,
    /// Fewer shares are to be made than are needed, so the secret would be lost.
    #[error("there are to be fewer shares than are needed to combine them")]
    Count,
    /// A share is said to be at 0, where the secret is.
    #[error("the index of a share is 1 at the least")]
    Index,
    /// They were made at different times, of whatever secrets.
    #[error("the shares are of different sets")]
    OtherSet,
    /// They are of one set and say different numbers of shares that are needed; at
    /// least one is forged.
    #[error("the shares disagree on how many of them are needed")]
    Disagree,
    /// Two shares have one index: one share twice, or a forged one.
    #[error("share {index} is there twice")]
    Repeated {
        /// The index that both have.
        index: u8,
    },
    /// More shares are needed.
    #[error("{have} of {need} shares that are needed")]
    TooFew {
        /// How many there are.
        have: usize,
        /// How many are needed.
        need: u8,
    },
    /// There are more shares than are needed, and not all of them give one secret:
    /// at least one is forged. Which one cannot be told from the shares; whoever
    /// kept their digests can tell ([`Share::digest`]).
    #[error("the shares do not fit together: at least one of them is wrong")]
    Inconsistent,
    /// No shares without random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// One holder's part of a secret.
pub struct Share {
    set: [u8; 16],
    threshold: u8,
    index: u8,
    value: Secret<[u8; BYTES]>,
}

impl Share {
    /// The set that the share is of; public.
    #[must_use]
    pub const fn set(&self) -> &[u8; 16] {
        &self.set
    }

    /// How many shares of the set give the secret, 2 to 255; public.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Which share of the set it is, from 1; public.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// SHA-256 of `T("procura.share.digest.v1", set, threshold, index, value)`, by
    /// which a share is known again without keeping it. It helps nobody to guess
    /// the share, which has 256 random bits.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.hash("procura.share.digest.v1")
    }

    /// SHA-256 over all that the share consists of.
    fn hash(&self, domain: &'static str) -> [u8; 32] {
        // Shorter than what a tuple has room for from the beginning, so no copy of
        // the value is left where it grew out of; what is left here is wiped.
        let tuple = FieldTuple::new(domain)
            .bytes(&self.set)
            .u8(self.threshold)
            .u8(self.index)
            .bytes(self.value.expose());
        let tuple = Secret::new(tuple.into_bytes());
        sha256(tuple.expose())
    }

    fn point(&self) -> Point<'_> {
        Point {
            x: self.index,
            y: self.value.expose(),
        }
    }
}

/// Splits `secret` into the shares 1 to `count` of a new set, of which any
/// `threshold` give it back: 2 ≤ `threshold` ≤ `count` ≤ 255.
///
/// `set` tells the shares from those of all other sets: 16 random bytes, never used
/// before.
///
/// # Errors
///
/// [`ShareError::Threshold`], [`ShareError::Count`] or [`ShareError::Entropy`].
pub fn split(
    secret: &Secret<[u8; 32]>,
    threshold: u8,
    count: u8,
    set: [u8; 16],
    entropy: &dyn Entropy,
) -> Result<Vec<Share>, ShareError> {
    if threshold < LEAST_THRESHOLD {
        return Err(ShareError::Threshold);
    }
    if count < threshold {
        return Err(ShareError::Count);
    }
    // The coefficients of x, x² … of all bytes, uniform: the highest may be zero,
    // or shares would say what the secret is not.
    let degree = usize::from(threshold).saturating_sub(1);
    let mut coefficients = Secret::new(vec![[0; BYTES]; degree]);
    for row in coefficients.expose_mut() {
        entropy.fill_secret(row)?;
    }
    let mut shares = Vec::with_capacity(usize::from(count));
    for index in 1..=count {
        let mut value = Secret::new([0; BYTES]);
        let sum = value.expose_mut();
        for row in coefficients.expose().iter().rev() {
            climb(sum, row, index);
        }
        // The secret is the coefficient of 1: it is added, and not multiplied.
        for (sum, byte) in sum.iter_mut().zip(secret.expose()) {
            *sum ^= byte;
        }
        shares.push(Share {
            set,
            threshold,
            index,
            value,
        });
    }
    Ok(shares)
}

/// One step of Horner's rule, `(sum + row) · x`, in each byte.
fn climb(sum: &mut [u8; BYTES], row: &[u8; BYTES], x: u8) {
    for (sum, byte) in sum.iter_mut().zip(row) {
        *sum = gf256::multiply(*sum ^ byte, x);
    }
}

/// Gives the secret of the shares, in whatever order they are. The first
/// `threshold` of them give it, and every further one has to agree.
///
/// A forged share among exactly as many as are needed gives another secret, which
/// cannot be told from the shares: ask for their digests first ([`Share::digest`]).
///
/// # Errors
///
/// In this order: [`ShareError::TooFew`] without any share, [`ShareError::OtherSet`],
/// [`ShareError::Disagree`], [`ShareError::Repeated`], [`ShareError::TooFew`],
/// [`ShareError::Inconsistent`].
pub fn combine<S: Borrow<Share>>(shares: &[S]) -> Result<Secret<[u8; 32]>, ShareError> {
    let shares: Vec<&Share> = shares.iter().map(Borrow::borrow).collect();
    let first = shares.first().ok_or(ShareError::TooFew {
        have: 0,
        need: LEAST_THRESHOLD,
    })?;
    if shares.iter().any(|share| share.set != first.set) {
        return Err(ShareError::OtherSet);
    }
    let need = first.threshold;
    if shares.iter().any(|share| share.threshold != need) {
        return Err(ShareError::Disagree);
    }
    let mut seen = [false; 256];
    for share in &shares {
        if let Some(seen) = seen.get_mut(usize::from(share.index))
            && std::mem::replace(seen, true)
        {
            let index = share.index;
            return Err(ShareError::Repeated { index });
        }
    }
    let points: Vec<Point<'_>> = shares.iter().map(|share| share.point()).collect();
    let (needed, more) = points
        .split_at_checked(usize::from(need))
        .ok_or(ShareError::TooFew {
            have: shares.len(),
            need,
        })?;
    let mut value = Secret::new([0; BYTES]);
    for point in more {
        gf256::interpolate(point.x, needed, value.expose_mut());
        if !bool::from(value.expose().as_slice().ct_eq(point.y)) {
            return Err(ShareError::Inconsistent);
        }
    }
    gf256::interpolate(0, needed, value.expose_mut());
    Ok(value)
}
