//! Sharing among members or groups: the secret is what the polynomials are at 255,
//! and at 254 a digest of it, by which a wrong share is noticed (SLIP-0039, "Sharing
//! a secret").

use super::Slip39Error;
use crate::gf256::{Point, interpolate};
use aws_lc_rs::hmac;
use procura_types::{Entropy, Secret, SecretBytes};
use subtle::ConstantTimeEq as _;

const SECRET_AT: u8 = 255;
const DIGEST_AT: u8 = 254;
const DIGEST_BYTES: usize = 4;

/// The shares 0 to `count` − 1 of `secret`, of which any `threshold` give it back:
/// two at the least, and sixteen shares at the most.
pub(super) fn split(
    secret: &SecretBytes,
    threshold: u8,
    count: u8,
    entropy: &dyn Entropy,
) -> Result<Vec<SecretBytes>, Slip39Error> {
    let secret = secret.expose();
    let empty = || Secret::new(vec![0; secret.len()]);
    // As many shares as are free to be anything, then the digest and the secret.
    let mut shares = Vec::with_capacity(usize::from(count));
    for _ in 2..threshold {
        let mut share = empty();
        entropy.fill_secret(share.expose_mut())?;
        shares.push(share);
    }
    let mut digest_share = empty();
    if let Some((digest, random)) = digest_share.expose_mut().split_first_chunk_mut() {
        entropy.fill_secret(random)?;
        *digest = digest_of(secret, random);
    }
    let points: Vec<Point<'_>> = (0..)
        .zip(&shares)
        .map(|(x, share)| (x, share.expose().as_slice()))
        .chain([
            (DIGEST_AT, digest_share.expose().as_slice()),
            (SECRET_AT, secret),
        ])
        .map(|(x, y)| Point { x, y })
        .collect();
    let mut others = Vec::with_capacity(usize::from(count));
    for x in threshold.saturating_sub(2)..count {
        let mut share = empty();
        interpolate(x, &points, share.expose_mut());
        others.push(share);
    }
    shares.extend(others);
    Ok(shares)
}

/// What `points` were made of: exactly `threshold` of them, of one length.
pub(super) fn recover(threshold: u8, points: &[Point<'_>]) -> Result<SecretBytes, Slip39Error> {
    // With a threshold of 1 a share is the secret, and there is no digest.
    if let (1, [only]) = (threshold, points) {
        return Ok(Secret::new(only.y.to_vec()));
    }
    let at = |x| {
        let length = points.first().map_or(0, |point| point.y.len());
        let mut value = Secret::new(vec![0; length]);
        interpolate(x, points, value.expose_mut());
        value
    };
    let (secret, digest_share) = (at(SECRET_AT), at(DIGEST_AT));
    let (digest, random) = digest_share
        .expose()
        .split_first_chunk::<DIGEST_BYTES>()
        .ok_or(Slip39Error::Digest)?;
    if !bool::from(digest_of(secret.expose(), random).ct_eq(digest)) {
        return Err(Slip39Error::Digest);
    }
    Ok(secret)
}

/// The first four bytes of HMAC-SHA256 with the random part of the digest's share as
/// its key.
fn digest_of(secret: &[u8], random: &[u8]) -> [u8; DIGEST_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, random), secret);
    let mut digest = [0; DIGEST_BYTES];
    for (to, from) in digest.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    digest
}
