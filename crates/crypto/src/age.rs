//! Files for the holders of certain keys: age (`age-encryption.org/v1`, C2SP `age.md`),
//! with recipients of the types X25519, `ssh-ed25519` and, to be written to alone,
//! `ssh-rsa`. Other programs read what is written here, and the other way round.
//!
//! It is written here on the one provider because the library for it brings a second set
//! of primitives, private keys of RSA among them. Bytes are checked against the program `age` by
//! tests.

mod bech32;
mod edwards;
mod header;
mod identity;
mod payload;
mod recipient;
mod rsa;

pub use identity::Identity;
pub use recipient::Recipient;

use crate::{KeyError, hkdf_sha256};
use aws_lc_rs::agreement;
use procura_types::{Entropy, EntropyError, Secret, SecretBytes};

/// Most recipients of one file.
pub const MAX_RECIPIENTS: usize = 16;

/// Why something is no recipient, no identity, or cannot be encrypted or opened.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// Not a recipient that is known here.
    #[error("a recipient is age1…, or an ssh-ed25519 or ssh-rsa public key")]
    NotARecipient,
    /// A key of RSA that is not taken.
    #[error("an RSA key has 2,048 to 8,192 bits, and this is none, or one that is not safe")]
    Rsa,
    /// Not an identity that is known here.
    #[error("an identity is AGE-SECRET-KEY-1… or a private key file of OpenSSH (Ed25519)")]
    NotAnIdentity,
    /// A file has 1 to 16 recipients.
    #[error("a file has 1 to {MAX_RECIPIENTS} recipients")]
    Recipients,
    /// It is no age file, or a damaged one.
    #[error("it is no age file, or a damaged one: {0}")]
    NotAFile(&'static str),
    /// It is for somebody else.
    #[error("the identity is none of those that the file is encrypted to")]
    NotForThis,
    /// A key of OpenSSH that cannot be used.
    #[error(transparent)]
    Ssh(#[from] crate::ssh::SshKeyError),
    /// A key that cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// The key of one file: 16 bytes.
type FileKey = Secret<[u8; 16]>;

/// Encrypts `plain` to all of the recipients; any of them opens it.
///
/// # Errors
/// [`AgeError::Recipients`], and what fails of entropy and library.
pub fn encrypt(
    recipients: &[Recipient],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, AgeError> {
    if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
        return Err(AgeError::Recipients);
    }
    let mut key: FileKey = Secret::new([0; 16]);
    entropy.fill_secret(key.expose_mut())?;
    let mut stanzas = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        stanzas.push(recipient.wrap(&key, entropy)?);
    }
    let mut file = header::write(&stanzas, &key)?;
    let mut nonce = [0; payload::NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    file.extend_from_slice(&nonce);
    payload::seal(&mut file, &key, &nonce, plain)?;
    Ok(file)
}

/// Opens a file with the first of `identities` that it is for.
///
/// # Errors
/// [`AgeError::NotAFile`], [`AgeError::NotForThis`].
pub fn decrypt(identities: &[Identity], file: &[u8]) -> Result<SecretBytes, AgeError> {
    let (header, rest) = header::read(file)?;
    for identity in identities {
        for stanza in &header.stanzas {
            let Some(key) = identity.unwrap(stanza)? else {
                continue;
            };
            if !header.is_by(&key) {
                return Err(AgeError::NotAFile("the header was changed"));
            }
            let (nonce, sealed) = rest
                .split_first_chunk::<{ payload::NONCE_BYTES }>()
                .ok_or(AgeError::NotAFile("it ends early"))?;
            return payload::open(&key, nonce, sealed);
        }
    }
    Err(AgeError::NotForThis)
}

/// X25519 (RFC 7748 §6.1); refuses a result of zeros.
fn x25519(secret: &[u8; 32], public: &[u8; 32]) -> Result<Secret<[u8; 32]>, AgeError> {
    let mine = agreement::PrivateKey::from_private_key(&agreement::X25519, secret)
        .map_err(|_| AgeError::Library)?;
    let theirs = agreement::UnparsedPublicKey::new(&agreement::X25519, public);
    agreement::agree(&mine, theirs, AgeError::Library, |shared| {
        let mut out = Secret::new([0; 32]);
        let bytes: &[u8; 32] = shared.try_into().map_err(|_| AgeError::Library)?;
        out.expose_mut().copy_from_slice(bytes);
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(AgeError::Library);
        }
        Ok(out)
    })
}

/// The public half of an X25519 key.
fn x25519_public(secret: &[u8; 32]) -> Result<[u8; 32], AgeError> {
    let mine = agreement::PrivateKey::from_private_key(&agreement::X25519, secret)
        .map_err(|_| AgeError::Library)?;
    let public = mine.compute_public_key().map_err(|_| AgeError::Library)?;
    public.as_ref().try_into().map_err(|_| AgeError::Library)
}

/// The key that wraps the key of a file, from what both sides know.
fn wrap_key(
    shared: &Secret<[u8; 32]>,
    share: &[u8; 32],
    public: &[u8; 32],
    info: &str,
) -> Secret<[u8; 32]> {
    let salt = [share.as_slice(), public.as_slice()].concat();
    hkdf_sha256(shared.expose(), &salt, info.as_bytes())
}
