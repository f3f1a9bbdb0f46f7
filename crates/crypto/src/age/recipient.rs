//! Who can open a file.

use super::edwards::to_montgomery;
use super::header::{BASE64, Stanza};
use super::rsa::{RsaKey, SSH_RSA};
use super::{AgeError, FileKey, bech32, wrap_key, x25519, x25519_public};
use crate::ssh::SshPublicKey;
use crate::{hkdf_sha256, sha256};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use procura_types::{Entropy, Secret};

pub(super) const X25519: &str = "X25519";
pub(super) const SSH_ED25519: &str = "ssh-ed25519";
pub(super) const X25519_INFO: &str = "age-encryption.org/v1/X25519";
pub(super) const SSH_INFO: &str = "age-encryption.org/v1/ssh-ed25519";
pub(super) const PREFIX: &str = "age";

/// Somebody who can open a file: the public half of a key.
#[derive(Debug, Clone)]
pub struct Recipient(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// `age1…`
    X25519([u8; 32]),
    /// `ssh-ed25519 …`
    Ssh(SshPublicKey),
    /// `ssh-rsa …`
    Rsa(RsaKey),
}

/// What an `ssh-ed25519` recipient is known by in a file, and what goes into its keys.
pub(super) struct SshPoint {
    pub(super) tag: String,
    pub(super) tweak: Secret<[u8; 32]>,
    pub(super) point: [u8; 32],
}

impl SshPoint {
    pub(super) fn of(key: &SshPublicKey) -> Result<Self, AgeError> {
        let blob = key.blob();
        let digest = sha256(&blob);
        let (tag, _) = digest.split_at(4);
        let point = key.key().as_bytes().try_into();
        let point: &[u8; 32] = point.map_err(|_| AgeError::NotARecipient)?;
        Ok(Self {
            tag: BASE64.encode(tag),
            tweak: hkdf_sha256(&[], &blob, SSH_INFO.as_bytes()),
            point: to_montgomery(point),
        })
    }
}

impl Recipient {
    /// Reads `age1…`, or a line `ssh-ed25519 …` or `ssh-rsa …`.
    ///
    /// # Errors
    /// [`AgeError::NotARecipient`], [`AgeError::Ssh`], [`AgeError::Rsa`].
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let text = text.trim_ascii();
        if text.split_ascii_whitespace().next() == Some(SSH_RSA) {
            return Ok(Self(Kind::Rsa(RsaKey::parse(text)?)));
        }
        if text.starts_with("ssh-") {
            return Ok(Self(Kind::Ssh(SshPublicKey::parse(text.as_bytes())?)));
        }
        let key = bech32::decode(PREFIX, text).ok_or(AgeError::NotARecipient)?;
        Ok(Self(Kind::X25519(*key.expose())))
    }

    pub(super) const fn x25519(public: [u8; 32]) -> Self {
        Self(Kind::X25519(public))
    }

    /// What it is called in records: `age1…`, or the fingerprint of a key of OpenSSH. One
    /// word.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match &self.0 {
            Kind::X25519(key) => bech32::encode(PREFIX, key),
            Kind::Ssh(key) => key.fingerprint(),
            Kind::Rsa(key) => key.fingerprint(),
        }
    }

    /// The key of a file for this recipient alone.
    pub(super) fn wrap(&self, key: &FileKey, entropy: &dyn Entropy) -> Result<Stanza, AgeError> {
        let mut mine = Secret::new([0; 32]);
        entropy.fill_secret(mine.expose_mut())?;
        let share = x25519_public(mine.expose())?;
        let (args, wrapping) = match &self.0 {
            Kind::Rsa(to) => return to.wrap(key),
            Kind::X25519(public) => {
                let shared = x25519(mine.expose(), public)?;
                let wrapping = wrap_key(&shared, &share, public, X25519_INFO);
                (vec![X25519.to_owned(), BASE64.encode(share)], wrapping)
            }
            Kind::Ssh(key) => {
                let SshPoint { tag, tweak, point } = SshPoint::of(key)?;
                let shared = x25519(mine.expose(), &point)?;
                let shared = x25519(tweak.expose(), shared.expose())?;
                let wrapping = wrap_key(&shared, &share, &point, SSH_INFO);
                (
                    vec![SSH_ED25519.to_owned(), tag, BASE64.encode(share)],
                    wrapping,
                )
            }
        };
        let cipher = cipher(&wrapping)?;
        let mut body = key.expose().to_vec();
        cipher
            .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut body)
            .map_err(|_| AgeError::Library)?;
        Ok(Stanza { args, body })
    }
}

pub(super) fn cipher(key: &Secret<[u8; 32]>) -> Result<LessSafeKey, AgeError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose()).map_err(|_| AgeError::Library)?;
    Ok(LessSafeKey::new(key))
}

/// Each of the keys that wrap is used once.
pub(super) fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
