//! What a session with a TPM 2.0 is protected with (TCG Trusted Platform Module
//! Library, part 1, "Secret sharing", "Session-based encryption" and annex C), for SHA-256,
//! P-256 and AES-128 in CFB mode: whoever reads along between processor and chip learns
//! nothing of what is sealed or unsealed.

use crate::{KeyError, LockError, MacKey, Sha256};
use aws_lc_rs::agreement;
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use procura_types::{Entropy, Secret};
use zeroize::Zeroize as _;

/// The coordinates of a point of P-256, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TpmPoint {
    /// The first one.
    pub x: [u8; 32],
    /// The second one.
    pub y: [u8; 32],
}

impl TpmPoint {
    fn from_sec1(bytes: &[u8]) -> Option<Self> {
        let (prefix, rest) = bytes.split_first()?;
        let (x, rest) = rest.split_first_chunk::<32>()?;
        let (y, rest) = rest.split_first_chunk::<32>()?;
        (*prefix == 4 && rest.is_empty()).then_some(Self { x: *x, y: *y })
    }

    fn to_sec1(self) -> [u8; 65] {
        let mut bytes = [4; 65];
        let (_, coordinates) = bytes.split_at_mut(1);
        let (x, y) = coordinates.split_at_mut(32);
        x.copy_from_slice(&self.x);
        y.copy_from_slice(&self.y);
        bytes
    }
}

/// A salt for a session that only the holder of the private half of `key` learns (part 1,
/// C.6.1): the ephemeral point to send, and the salt.
///
/// # Errors
///
/// [`KeyError::NotOnCurve`] when `key` is no point of P-256; [`KeyError::Entropy`].
pub fn tpm_salt(
    key: &TpmPoint,
    entropy: &dyn Entropy,
) -> Result<(TpmPoint, Secret<[u8; 32]>), KeyError> {
    tpm_seed(key, "SECRET", entropy)
}

/// The same for another purpose than a session's, which the label says: `IDENTITY` for
/// credentials (part 1, clause 24).
///
/// # Errors
///
/// As [`tpm_salt`].
pub fn tpm_seed(
    key: &TpmPoint,
    label: &str,
    entropy: &dyn Entropy,
) -> Result<(TpmPoint, Secret<[u8; 32]>), KeyError> {
    let mut scalar = Secret::new([0; 32]);
    entropy.fill_secret(scalar.expose_mut())?;
    // One draw in 2^32 is above the order of the curve, and is refused.
    let mine = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar.expose())
        .map_err(|_| KeyError::Library)?;
    let public = mine.compute_public_key().map_err(|_| KeyError::Library)?;
    let ephemeral = TpmPoint::from_sec1(public.as_ref()).ok_or(KeyError::Library)?;
    let theirs = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, key.to_sec1());
    let salt = agreement::agree(&mine, theirs, Unspecified, |shared| {
        Ok(kdfe(shared, label, &ephemeral.x, &key.x))
    })
    .map_err(|_| KeyError::NotOnCurve)?;
    Ok((ephemeral, salt))
}

/// KDFe for 256 bits (part 1, 11.4.10.3): one block of SHA-256. The label's final zero is
/// part of it.
fn kdfe(shared: &[u8], label: &str, party_u: &[u8], party_v: &[u8]) -> Secret<[u8; 32]> {
    let mut hash = Sha256::default();
    for part in [
        &1u32.to_be_bytes(),
        shared,
        label.as_bytes(),
        &[0],
        party_u,
        party_v,
    ] {
        hash.update(part);
    }
    Secret::new(hash.finish())
}

/// KDFa for 256 bits (part 1, 11.4.10.2): one block of HMAC-SHA256 in counter mode.
///
/// # Errors
///
/// [`LockError`] when there is no locked memory for the key.
pub fn tpm_kdfa(
    key: &[u8],
    label: &str,
    context_u: &[u8],
    context_v: &[u8],
) -> Result<Secret<[u8; 32]>, LockError> {
    kdfa(key, label, context_u, context_v, 256)
}

fn kdfa(
    key: &[u8],
    label: &str,
    context_u: &[u8],
    context_v: &[u8],
    bits: u32,
) -> Result<Secret<[u8; 32]>, LockError> {
    let key = MacKey::from_bytes(key)?;
    Ok(Secret::new(key.sign(&[
        &1u32.to_be_bytes(),
        label.as_bytes(),
        &[0],
        context_u,
        context_v,
        &bits.to_be_bytes(),
    ])))
}

/// The key under which a credential for the object of this name is encrypted, for
/// [`tpm_encrypt`]: 128 bits of KDFa, and an initialization vector of zeros (part 1,
/// clause 24).
///
/// # Errors
///
/// [`LockError`] when there is no locked memory for the seed.
pub fn tpm_storage_key(seed: &[u8], name: &[u8]) -> Result<Secret<[u8; 32]>, LockError> {
    let mut key = kdfa(seed, "STORAGE", name, &[], 128)?;
    let (_, iv) = key.expose_mut().split_at_mut(16);
    iv.fill(0);
    Ok(key)
}

/// Encrypts the first parameter of a command in place; `key` is a key and an
/// initialization vector, 16 bytes each, and is for this parameter alone.
///
/// # Errors
///
/// [`KeyError::Library`].
pub fn tpm_encrypt(key: &Secret<[u8; 32]>, parameter: &mut [u8]) -> Result<(), KeyError> {
    let (key, iv) = parts(key);
    let failed = |_: Unspecified| KeyError::Library;
    let unbound = UnboundCipherKey::new(&AES_128, &key).map_err(failed);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    let done = unbound.and_then(|unbound| {
        EncryptingKey::cfb128(unbound)
            .and_then(|key| key.less_safe_encrypt(parameter, context))
            .map_err(failed)
    });
    wiped(key);
    done.map(drop)
}

/// Decrypts the first parameter of a response in place, as [`tpm_encrypt`] encrypts.
///
/// # Errors
///
/// [`KeyError::Library`].
pub fn tpm_decrypt(key: &Secret<[u8; 32]>, parameter: &mut [u8]) -> Result<(), KeyError> {
    let (key, iv) = parts(key);
    let failed = |_: Unspecified| KeyError::Library;
    let unbound = UnboundCipherKey::new(&AES_128, &key).map_err(failed);
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let done = unbound.and_then(|unbound| {
        DecryptingKey::cfb128(unbound)
            .and_then(|key| key.decrypt(parameter, context).map(drop))
            .map_err(failed)
    });
    wiped(key);
    done
}

fn parts(key: &Secret<[u8; 32]>) -> ([u8; 16], [u8; 16]) {
    let (mut cipher, mut iv) = ([0; 16], [0; 16]);
    let (first, second) = key.expose().split_at(16);
    cipher.copy_from_slice(first);
    iv.copy_from_slice(second);
    (cipher, iv)
}

fn wiped(mut key: [u8; 16]) {
    key.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    /// NIST SP 800-38A, F.3.13: CFB128-AES128.
    #[test]
    fn parameters_are_encrypted_as_the_standard_says() {
        let key: [u8; 32] = procura_types::encoding::from_hex_fixed(
            "2b7e151628aed2a6abf7158809cf4f3c000102030405060708090a0b0c0d0e0f",
        )
        .unwrap();
        let plain: [u8; 32] = procura_types::encoding::from_hex_fixed(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        )
        .unwrap();
        let sealed: [u8; 32] = procura_types::encoding::from_hex_fixed(
            "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b",
        )
        .unwrap();
        let key = Secret::new(key);
        let mut bytes = plain;
        tpm_encrypt(&key, &mut bytes).unwrap();
        assert_eq!(bytes, sealed);
        tpm_decrypt(&key, &mut bytes).unwrap();
        assert_eq!(bytes, plain);
        // A parameter need not fill its last block.
        let mut short = plain[..21].to_vec();
        tpm_encrypt(&key, &mut short).unwrap();
        assert_eq!(short, sealed[..21]);
    }

    #[test]
    fn both_sides_have_the_same_salt_and_nobody_else() {
        let entropy = &SystemEntropy;
        let chip = |seed: [u8; 32]| {
            agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, &seed).unwrap()
        };
        let point = |key: &agreement::PrivateKey| {
            TpmPoint::from_sec1(key.compute_public_key().unwrap().as_ref()).unwrap()
        };
        let (own, other) = (chip([7; 32]), chip([8; 32]));
        let (ephemeral, salt) = tpm_salt(&point(&own), entropy).unwrap();
        let opened = |key: &agreement::PrivateKey| {
            let sent =
                agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, ephemeral.to_sec1());
            agreement::agree(key, sent, Unspecified, |shared| {
                Ok(kdfe(shared, "SECRET", &ephemeral.x, &point(key).x))
            })
            .unwrap()
        };
        assert!(opened(&own) == salt);
        assert!(opened(&other) != salt);
        let nowhere = TpmPoint {
            x: [1; 32],
            y: [1; 32],
        };
        assert!(matches!(
            tpm_salt(&nowhere, entropy),
            Err(KeyError::NotOnCurve)
        ));
    }
}
