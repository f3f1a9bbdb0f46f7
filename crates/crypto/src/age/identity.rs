//! Who opens a file.

use super::header::{BASE64, Stanza};
use super::recipient::{
    Recipient, SSH_ED25519, SSH_INFO, SshPoint, X25519, X25519_INFO, cipher, zero_nonce,
};
use super::{AgeError, FileKey, bech32, wrap_key, x25519, x25519_public};
use crate::LockedKey;
use crate::ssh::{SshPublicKey, read_private};
use aws_lc_rs::aead::Aad;
use aws_lc_rs::digest;
use base64::Engine as _;
use procura_types::{Secret, SecretBytes};
use zeroize::Zeroize as _;

/// What an identity of age begins with, in lower case.
const PREFIX: &str = "age-secret-key-";

/// The private half of a key that files are encrypted to, in locked memory.
pub struct Identity {
    secret: LockedKey,
    kind: Kind,
}

enum Kind {
    X25519,
    Ssh(SshPublicKey),
}

impl Identity {
    /// Reads a file of identities: lines `AGE-SECRET-KEY-1…` with comments between them,
    /// as `age-keygen` writes it, or one private key of OpenSSH, opened by `passphrase`
    /// when it is encrypted.
    ///
    /// # Errors
    /// [`AgeError::NotAnIdentity`] also for a file without any, [`AgeError::Ssh`].
    pub fn read(file: &[u8], passphrase: Option<&Secret<String>>) -> Result<Vec<Self>, AgeError> {
        if file.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Ok(vec![Self::of_ssh(file, passphrase)?]);
        }
        let text = std::str::from_utf8(file).map_err(|_| AgeError::NotAnIdentity)?;
        let mut found = Vec::new();
        for line in text.lines() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut lower = Secret::new(line.to_ascii_lowercase());
            // One spelling: age writes them in capitals.
            let key = (*line == line.to_ascii_uppercase())
                .then(|| bech32::decode(PREFIX, lower.expose()))
                .flatten();
            lower.expose_mut().zeroize();
            found.push(Self {
                secret: LockedKey::new(key.ok_or(AgeError::NotAnIdentity)?)
                    .map_err(crate::KeyError::from)?,
                kind: Kind::X25519,
            });
        }
        if found.is_empty() {
            return Err(AgeError::NotAnIdentity);
        }
        Ok(found)
    }

    fn of_ssh(file: &[u8], passphrase: Option<&Secret<String>>) -> Result<Self, AgeError> {
        let key = read_private(file, passphrase)?;
        let public = SshPublicKey::of(key.public().clone());
        // RFC 8032 §5.1.5: the scalar is the first half of the hash of the seed.
        let bytes = key.to_secret_bytes();
        let seed = bytes.expose().get(1..).ok_or(AgeError::Library)?;
        let hash = SecretBytes::new(digest::digest(&digest::SHA512, seed).as_ref().to_vec());
        let mut scalar = Secret::new([0; 32]);
        for (to, from) in scalar.expose_mut().iter_mut().zip(hash.expose()) {
            *to = *from;
        }
        Ok(Self {
            secret: LockedKey::new(scalar).map_err(crate::KeyError::from)?,
            kind: Kind::Ssh(public),
        })
    }

    /// Who can be written to so that this identity opens it; of a key of age only.
    ///
    /// # Errors
    /// [`AgeError::Library`].
    pub fn recipient(&self) -> Result<Recipient, AgeError> {
        match &self.kind {
            Kind::X25519 => x25519_public(self.secret.expose()).map(Recipient::x25519),
            Kind::Ssh(key) => Recipient::parse(&key.line()),
        }
    }

    /// The key of a file, when the stanza is for this identity.
    ///
    /// # Errors
    /// [`AgeError::NotAFile`] for a stanza that looks like one and is none.
    pub(super) fn unwrap(&self, stanza: &Stanza) -> Result<Option<FileKey>, AgeError> {
        const DAMAGED: AgeError = AgeError::NotAFile("its header cannot be read");
        let args: Vec<&str> = stanza.args.iter().map(String::as_str).collect();
        let wrapping = match (&self.kind, args.as_slice()) {
            (Kind::X25519, [X25519, share]) => {
                let share = point(share).ok_or(DAMAGED)?;
                let public = x25519_public(self.secret.expose())?;
                let shared = x25519(self.secret.expose(), &share).map_err(|_| DAMAGED)?;
                wrap_key(&shared, &share, &public, X25519_INFO)
            }
            (Kind::Ssh(key), [SSH_ED25519, tag, share]) => {
                let ours = SshPoint::of(key)?;
                if ours.tag != *tag {
                    return Ok(None);
                }
                let share = point(share).ok_or(DAMAGED)?;
                let shared = x25519(self.secret.expose(), &share).map_err(|_| DAMAGED)?;
                let shared = x25519(ours.tweak.expose(), shared.expose()).map_err(|_| DAMAGED)?;
                wrap_key(&shared, &share, &ours.point, SSH_INFO)
            }
            _ => return Ok(None),
        };
        // 16 bytes and a tag: another length would let one file open under several keys.
        if stanza.body.len() != 32 {
            return Err(DAMAGED);
        }
        let mut body = SecretBytes::new(stanza.body.clone());
        let opened =
            cipher(&wrapping)?.open_in_place(zero_nonce(), Aad::empty(), body.expose_mut());
        let Ok(opened) = opened else {
            return Ok(None);
        };
        let key: [u8; 16] = (&*opened).try_into().map_err(|_| DAMAGED)?;
        Ok(Some(Secret::new(key)))
    }
}

fn point(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}
