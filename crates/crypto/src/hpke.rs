//! Values sealed to a public key: HPKE (RFC 9180) in base mode with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM. Whoever seals needs no
//! secret, so that something can be sealed for a key whose holder is away.
//!
//! The envelope is `u8 3 ‖ u32be epoch ‖ enc (32) ‖ ciphertext ‖ tag`; the epoch is
//! that of what is sealed.

use crate::aead::{TAG_BYTES, gcm_open};
use crate::{Binding, KeyError, LockError, LockedKey, OpenError, SealError};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{agreement, hmac};
use procura_types::{Entropy, Secret, SecretBytes, encoding};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{Hpke as _, HpkePublicKey};
use serde::{Deserialize, Serialize};

pub(crate) const TO_KEY: u8 = 3;
pub(crate) const ENC_BYTES: usize = 32;
const INFO: &[u8] = b"procura.hpke.v1";

/// What others seal to: the public half of an [`OpeningKey`] (X25519, RFC 7748 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealingKey(#[serde(with = "encoding::serde_b64url")] Vec<u8>);

/// The private half, in locked memory.
pub struct OpeningKey(LockedKey);

impl OpeningKey {
    /// Moves 32 secret bytes into locked memory; any are a key (RFC 7748 §5 clamps
    /// them where they are used).
    ///
    /// # Errors
    ///
    /// [`LockError`].
    pub fn new(bytes: Secret<[u8; 32]>) -> Result<Self, LockError> {
        LockedKey::new(bytes).map(Self)
    }

    /// A fresh key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] or [`KeyError::Memory`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let mut bytes = Secret::new([0; 32]);
        entropy.fill_secret(bytes.expose_mut())?;
        Ok(Self::new(bytes)?)
    }

    /// The key itself, to be kept by what keeps it.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The public half.
    ///
    /// # Errors
    ///
    /// [`KeyError::Library`].
    pub fn sealing_key(&self) -> Result<SealingKey, KeyError> {
        let failed = |_| KeyError::Library;
        let key = agreement::PrivateKey::from_private_key(&agreement::X25519, self.0.expose())
            .map_err(|_| KeyError::Library)?;
        let public = key.compute_public_key().map_err(failed)?;
        Ok(SealingKey(public.as_ref().to_vec()))
    }

    /// Opens what was sealed to this key for `binding`: the epoch that it is of, and
    /// the value.
    ///
    /// # Errors
    ///
    /// [`OpenError::Malformed`] for anything but an envelope of version 3,
    /// [`OpenError::Refused`] when key, binding or bytes are not those of the sealing.
    pub fn open(
        &self,
        binding: &Binding<'_>,
        envelope: &[u8],
    ) -> Result<(u32, SecretBytes), OpenError> {
        let (header, rest) = envelope
            .split_first_chunk::<5>()
            .ok_or(OpenError::Malformed)?;
        let [TO_KEY, epoch @ ..] = header else {
            return Err(OpenError::Malformed);
        };
        let (enc, sealed) = rest
            .split_first_chunk::<ENC_BYTES>()
            .filter(|(_, sealed)| sealed.len() >= TAG_BYTES)
            .ok_or(OpenError::Malformed)?;
        let (key, nonce) = self.receive(enc).map_err(|_| OpenError::Refused)?;
        let associated = binding.associated_data(header);
        let plain = gcm_open(key.expose(), nonce, associated.as_bytes(), sealed)?;
        Ok((u32::from_be_bytes(*epoch), plain))
    }

    /// Key and nonce of what was sealed with the ephemeral key `enc` (RFC 9180 §4.1 and
    /// §5.1, base mode). Not by the library that seals: it opens in a buffer that it frees
    /// as it is, with the value in it.
    fn receive(&self, enc: &[u8; ENC_BYTES]) -> Result<(Secret<[u8; 32]>, [u8; 12]), Unspecified> {
        let mine = agreement::PrivateKey::from_private_key(&agreement::X25519, self.0.expose())
            .map_err(|_| Unspecified)?;
        let public = mine.compute_public_key()?;
        let theirs = agreement::UnparsedPublicKey::new(&agreement::X25519, enc);
        let extracted = agreement::agree(&mine, theirs, Unspecified, |shared| {
            Ok(extract(&KEM, &[], b"eae_prk", shared))
        })?;
        let context = [enc.as_slice(), public.as_ref()].concat();
        let shared = expand::<32>(&KEM, &extracted, b"shared_secret", &context);
        let mut schedule = vec![0];
        schedule.extend_from_slice(extract(&HPKE, &[], b"psk_id_hash", &[]).expose());
        schedule.extend_from_slice(extract(&HPKE, &[], b"info_hash", INFO).expose());
        let secret = extract(&HPKE, shared.expose(), b"secret", &[]);
        let key = expand(&HPKE, &secret, b"key", &schedule);
        let nonce: Secret<[u8; 12]> = expand(&HPKE, &secret, b"base_nonce", &schedule);
        Ok((key, *nonce.expose()))
    }
}

/// `suite_id` of the KEM and of the whole (RFC 9180 §4.1, §5.1): DHKEM(X25519,
/// HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
const KEM: [u8; 5] = *b"KEM\x00\x20";
const HPKE: [u8; 10] = *b"HPKE\x00\x20\x00\x01\x00\x02";
const VERSION: &[u8] = b"HPKE-v1";

/// `LabeledExtract` (RFC 9180 §4).
fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Secret<[u8; 32]> {
    // An empty salt is one of zeros (RFC 5869 §2.2), to which HMAC pads any key.
    hmac_of(salt, &[VERSION, suite, label, ikm])
}

/// `LabeledExpand` (RFC 9180 §4), of one block at the most.
fn expand<const N: usize>(
    suite: &[u8],
    key: &Secret<[u8; 32]>,
    label: &[u8],
    info: &[u8],
) -> Secret<[u8; N]> {
    const { assert!(N <= 32, "RFC 5869 §2.3: one block of SHA-256") };
    let length = u16::try_from(N).unwrap_or(u16::MAX).to_be_bytes();
    let block = hmac_of(key.expose(), &[&length, VERSION, suite, label, info, &[1]]);
    let mut out = Secret::new([0; N]);
    for (to, from) in out.expose_mut().iter_mut().zip(block.expose()) {
        *to = *from;
    }
    out
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> Secret<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut out = Secret::new([0; 32]);
    // HMAC-SHA256 has 32 bytes of output, so the lengths are equal.
    out.expose_mut().copy_from_slice(context.sign().as_ref());
    out
}

impl SealingKey {
    /// No key: nothing can be sealed to it.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Seals `plain`, which is of `epoch`, to whoever has the private half. The library
    /// draws the ephemeral key itself.
    ///
    /// # Errors
    ///
    /// [`SealError::NoRecipient`] when this is no public key.
    pub fn seal(
        &self,
        epoch: u32,
        binding: &Binding<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let [a, b, c, d] = epoch.to_be_bytes();
        let header = [TO_KEY, a, b, c, d];
        let (enc, sealed) = SUITE
            .seal(
                INFO,
                binding.associated_data(&header).as_bytes(),
                plain,
                &HpkePublicKey(self.0.clone()),
            )
            .map_err(|_| SealError::NoRecipient)?;
        Ok([header.as_slice(), &enc.0, &sealed].concat())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
