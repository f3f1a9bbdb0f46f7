//! XAES-256-GCM (C2SP xaes-256-gcm): AES-256-GCM whose key and nonce are
//! derived from a long-lived key and 24 random bytes, so that nonces can be
//! random for as many values as we will ever seal.

use crate::aead::{gcm_open, gcm_seal_into};
use crate::{KeyError, LockError, LockedKey, OpenError, SealError};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use procura_types::{Entropy, Secret, SecretBytes};
use zeroize::Zeroize as _;

/// Bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 24;

/// A long-lived key that seals envelopes, in locked memory.
///
/// Its AES schedule is derived anew for each use, since whoever has the
/// schedule has the key; that is cheap against the rest.
pub struct XaesKey(LockedKey);

impl XaesKey {
    /// Moves the key into locked memory.
    ///
    /// # Errors
    ///
    /// [`LockError`] when there is none for it.
    pub fn new(key: Secret<[u8; 32]>) -> Result<Self, LockError> {
        LockedKey::new(key).map(Self)
    }

    /// A fresh key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] or [`KeyError::Memory`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let mut key = Secret::new([0; 32]);
        entropy.fill_secret(key.expose_mut())?;
        Ok(Self::new(key)?)
    }

    /// The key itself, to be wrapped.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Appends `ciphertext ‖ tag` to `out`. The nonce is random, and written by
    /// the caller to where it finds it again.
    pub(crate) fn seal_into(
        &self,
        out: &mut Vec<u8>,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        plain: &[u8],
    ) -> Result<(), SealError> {
        let (key, nonce) = self.derive(nonce).map_err(|_| SealError::TooLong)?;
        gcm_seal_into(out, key.expose(), nonce, associated, plain)
    }

    /// Opens `ciphertext ‖ tag`.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let (key, nonce) = self.derive(nonce).map_err(|_| OpenError::Refused)?;
        gcm_open(key.expose(), nonce, associated, sealed)
    }

    /// The key and the nonce of AES-256-GCM, from the first and the second half
    /// of the nonce: two blocks of the CMAC-based KDF in counter mode of NIST SP
    /// 800-108, with the letter X as label.
    fn derive(
        &self,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<(Secret<[u8; 32]>, [u8; 12]), Unspecified> {
        let aes = EncryptingKey::ecb(UnboundCipherKey::new(&AES_256, self.0.expose())?)?;

        // The first CMAC subkey (RFC 4493 §2.3): E(0), doubled in GF(2^128).
        let mut block = [0; 16];
        aes.encrypt(&mut block)?;
        let mut zero_encrypted = u128::from_be_bytes(block);
        let mut subkey = (zero_encrypted << 1) ^ ((zero_encrypted >> 127) * 0x87);

        let (for_key, for_gcm) = nonce.split_at(12);
        let mut message = [0; 16];
        message[2] = b'X';
        message[4..].copy_from_slice(for_key);
        let mut derived = Secret::new([0; 32]);
        let (first, second) = derived.expose_mut().split_at_mut(16);
        for (counter, half) in [(1, first), (2, second)] {
            message[1] = counter;
            half.copy_from_slice(&(u128::from_be_bytes(message) ^ subkey).to_be_bytes());
        }
        aes.encrypt(derived.expose_mut())?;

        block.zeroize();
        zero_encrypted.zeroize();
        subkey.zeroize();
        let mut gcm_nonce = [0; 12];
        gcm_nonce.copy_from_slice(for_gcm);
        Ok((derived, gcm_nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::encoding::hex;
    use serde_json::Value;
    use shake::Shake128;
    use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

    const VECTORS: &str = include_str!("../../../spec/vectors/c2sp/xaes_256_gcm.json");

    fn seal(key: &XaesKey, nonce: &[u8; NONCE_BYTES], associated: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key.seal_into(&mut out, nonce, associated, plain).unwrap();
        out
    }

    #[test]
    fn c2sp_cases() {
        let file: Value = serde_json::from_str(VECTORS).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 2);
        for case in cases {
            let text = |field: &str| case[field].as_str().unwrap();
            // The keys are of one byte, repeated.
            let byte = u8::from_str_radix(&text("key")[..2], 16).unwrap();
            assert_eq!(text("key"), hex(&[byte; 32]));
            let key = XaesKey::new(Secret::new([byte; 32])).unwrap();
            let nonce: [u8; NONCE_BYTES] = text("nonce_ascii").as_bytes().try_into().unwrap();

            let (derived, for_gcm) = key.derive(&nonce).unwrap();
            assert_eq!(hex(derived.expose()), text("Kx"));
            assert_eq!(for_gcm, nonce[12..]);
            let plain = text("plaintext_ascii").as_bytes();
            let associated = text("aad_ascii").as_bytes();
            let sealed = seal(&key, &nonce, associated, plain);
            assert_eq!(hex(&sealed), text("ciphertext"));
            let opened = key.open(&nonce, associated, &sealed).unwrap();
            assert_eq!(opened.expose(), plain);
        }
    }

    /// Ten thousand random keys, nonces and lengths, in one hash.
    #[test]
    fn c2sp_accumulated() {
        let mut random = Shake128::default().finalize_xof();
        let mut sealed = Shake128::default();
        for _ in 0..10_000 {
            let mut key = [0; 32];
            random.read(&mut key);
            let mut nonce = [0; NONCE_BYTES];
            random.read(&mut nonce);
            let mut field = || {
                let mut length = [0];
                random.read(&mut length);
                let mut bytes = vec![0; usize::from(length[0])];
                random.read(&mut bytes);
                bytes
            };
            let plain = field();
            let associated = field();
            let key = XaesKey::new(Secret::new(key)).unwrap();
            let out = seal(&key, &nonce, &associated, &plain);
            let opened = key.open(&nonce, &associated, &out).unwrap();
            assert_eq!(opened.expose(), &plain);
            sealed.update(&out);
        }
        let mut hash = [0; 32];
        sealed.finalize_xof().read(&mut hash);
        let file: Value = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(hex(&hash), file["accumulated"]["10000"]);
    }
}
