//! Private keys that are kept for somebody, and never used here: of each type that
//! `ssh-keygen` makes but those whose private half is in a token. Whether the parts of
//! one belong together is looked at, so that what was cut or mixed up is found when it
//! is put away, not when it is needed.

use super::private::{BEGIN, Encryption, encryption, is_filling, private, unarmoured};
use super::{ED25519, SshKeyError, Wire};
use crate::certificate::lone_private_key;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use procura_types::{Secret, SecretBytes};

/// RFC 4253 §6.6.
const RSA: &[u8] = b"ssh-rsa";
/// A key that is not encrypted is filled up to this.
const BLOCK: usize = 8;
/// What AEAD ciphers put behind a key that they encrypt.
const TAG: usize = 16;

/// A curve of ECDSA (RFC 5656 §10.1).
struct Curve {
    kind: &'static [u8],
    name: &'static [u8],
    algorithm: &'static EcdsaSigningAlgorithm,
}

static CURVES: [Curve; 3] = [
    Curve {
        kind: b"ecdsa-sha2-nistp256",
        name: b"nistp256",
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
    },
    Curve {
        kind: b"ecdsa-sha2-nistp384",
        name: b"nistp384",
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
    },
    Curve {
        kind: b"ecdsa-sha2-nistp521",
        name: b"nistp521",
        algorithm: &ECDSA_P521_SHA512_FIXED_SIGNING,
    },
];

/// Refuses what is no private key of SSH: Ed25519, ECDSA or RSA in the file of OpenSSH,
/// or unencrypted in PEM (PKCS #8, PKCS #1, SEC 1). What is behind a passphrase is for
/// whoever has it, and only what stands around it is looked at; else the two halves have
/// to be of one key, of RSA as far as the modulus is the product of its primes.
///
/// # Errors
///
/// [`SshKeyError::NotAKey`], `TooLong`, `UnknownType`, `Cipher` for a file that is
/// encrypted without bcrypt, `Damaged`, `Key`, and `Pem` for what is wrong with one in
/// PEM.
pub fn check_private(bytes: &[u8]) -> Result<(), SshKeyError> {
    let text = bytes.trim_ascii();
    if !text.starts_with(BEGIN) {
        if !text.starts_with(b"-----BEGIN ") {
            return Err(SshKeyError::NotAKey);
        }
        return Ok(lone_private_key(text)?);
    }
    let file = unarmoured(text)?;
    let mut wire = Wire(file.expose());
    let Encryption {
        cipher,
        kdf,
        options,
    } = encryption(&mut wire)?;
    let public = Public::read(wire.string()?)?;
    let sealed = wire.string()?;
    let behind = wire.0.len();
    match (cipher, kdf) {
        (b"none", b"none") if options.is_empty() && behind == 0 => public.has(sealed),
        (b"none", b"none") => Err(SshKeyError::Damaged),
        (b"none", _) => Err(SshKeyError::Cipher),
        (_, b"bcrypt") => {
            let mut options = Wire(options);
            let (salt, rounds) = (options.string()?, options.u32()?);
            options.end()?;
            let is_whole = !salt.is_empty() && rounds > 0 && !sealed.is_empty();
            match is_whole && (behind == 0 || behind == TAG) {
                true => Ok(()),
                false => Err(SshKeyError::Damaged),
            }
        }
        _ => Err(SshKeyError::Cipher),
    }
}

/// The public half of a key.
enum Public<'a> {
    Ed25519(&'a [u8; 32]),
    Ecdsa {
        curve: &'static Curve,
        point: &'a [u8],
    },
    Rsa {
        exponent: &'a [u8],
        modulus: &'a [u8],
    },
}

impl<'a> Public<'a> {
    fn read(blob: &'a [u8]) -> Result<Self, SshKeyError> {
        let mut wire = Wire(blob);
        let kind = wire.string()?;
        let public = if kind == ED25519 {
            let key = wire.string()?.try_into();
            Self::Ed25519(key.map_err(|_| SshKeyError::Damaged)?)
        } else if kind == RSA {
            Self::Rsa {
                exponent: number(&mut wire)?,
                modulus: number(&mut wire)?,
            }
        } else {
            let curve = CURVES.iter().find(|curve| curve.kind == kind);
            let curve = curve.ok_or(SshKeyError::UnknownType)?;
            if wire.string()? != curve.name {
                return Err(SshKeyError::Damaged);
            }
            Self::Ecdsa {
                curve,
                point: wire.string()?,
            }
        };
        wire.end()?;
        Ok(public)
    }

    /// Refuses a private half, not encrypted, that is not this one's.
    fn has(&self, sealed: &[u8]) -> Result<(), SshKeyError> {
        match self {
            Self::Ed25519(public) => {
                private(sealed, public, BLOCK, SshKeyError::Damaged).map(|_| ())
            }
            Self::Ecdsa { curve, point } => within(sealed, |wire| {
                let parts = [wire.string()?, wire.string()?, wire.string()?];
                let scalar = number(wire)?;
                let pair = EcdsaKeyPair::from_private_key_and_public_key;
                let is_one = || pair(curve.algorithm, scalar, point).is_ok();
                Ok(parts == [curve.kind, curve.name, *point] && is_one())
            }),
            Self::Rsa { exponent, modulus } => within(sealed, |wire| {
                let parts = [wire.string()?, number(wire)?, number(wire)?];
                let (_private, _inverse) = (number(wire)?, number(wire)?);
                let primes = (number(wire)?, number(wire)?);
                Ok(parts == [RSA, *modulus, *exponent] && is_product(primes, modulus))
            }),
        }
    }
}

/// Refuses a private part of which `key` does not find its own, or that is not whole
/// around that: two equal numbers before, a comment behind, filled up to a block.
fn within<'a>(
    bytes: &'a [u8],
    key: impl FnOnce(&mut Wire<'a>) -> Result<bool, SshKeyError>,
) -> Result<(), SshKeyError> {
    let mut wire = Wire(bytes);
    let is_equal = wire.u32()? == wire.u32()?;
    let is_own = key(&mut wire)?;
    let _comment = wire.string()?;
    let is_filled = bytes.len().is_multiple_of(BLOCK) && is_filling(wire.0, BLOCK);
    match is_equal && is_own && is_filled {
        true => Ok(()),
        false => Err(SshKeyError::Damaged),
    }
}

/// A number above zero (`mpint` of RFC 4251 §5), without the zero that keeps it from being
/// a negative one.
fn number<'a>(wire: &mut Wire<'a>) -> Result<&'a [u8], SshKeyError> {
    let bytes = wire.string()?;
    match bytes {
        [0, rest @ ..] if rest.first() >= Some(&0x80) => Ok(rest),
        [1..=0x7f, ..] => Ok(bytes),
        _ => Err(SshKeyError::Damaged),
    }
}

/// Whether two primes make a modulus, all of them big-endian and without zeros before.
fn is_product((one, other): (&[u8], &[u8]), modulus: &[u8]) -> bool {
    let length = one.len() + other.len();
    // Also keeps the work in proportion to the length of what was brought.
    if length != modulus.len() && length != modulus.len() + 1 {
        return false;
    }
    // Little-endian.
    let mut product: SecretBytes = Secret::new(vec![0; length]);
    for (at, factor) in one.iter().rev().enumerate() {
        let mut carry = 0;
        let places = product.expose_mut().iter_mut().skip(at);
        let digits = other.iter().rev().copied().chain(std::iter::repeat(0));
        for (place, digit) in places.zip(digits) {
            let sum = u32::from(*factor) * u32::from(digit) + u32::from(*place) + carry;
            [*place, ..] = sum.to_le_bytes();
            carry = sum >> 8;
        }
    }
    let digits = product.expose().iter().rev();
    digits.skip_while(|digit| **digit == 0).eq(modulus)
}
