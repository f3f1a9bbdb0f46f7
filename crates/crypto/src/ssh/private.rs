//! A private key file, `openssh-key-v1`: encrypted with a passphrase or not.

use super::{ED25519, SshKeyError, Wire, read_blob};
use crate::{SignatureAlgorithm, SigningKey};
use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_types::{Secret, SecretBytes};

/// Bytes of the longest file. Those of `ssh-keygen` have about 500, and a comment.
const LONGEST: usize = 16 * 1024;
pub(super) const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &[u8] = b"-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// `ssh-keygen` takes 16 to 24 unless told; nobody chose more than this on purpose.
const MOST_ROUNDS: u32 = 4096;
const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 16;

/// Reads the private key file of `ssh-keygen -t ed25519`. A passphrase for a key
/// that is not encrypted is not looked at.
///
/// With a passphrase it takes a tenth of a second and more; not for an async
/// thread that serves others.
///
/// # Errors
///
/// [`SshKeyError::PassphraseNeeded`] when the key is encrypted and `passphrase` is
/// `None`: ask, and call again. [`SshKeyError::WrongPassphrase`], and the others by
/// what is wrong with the file.
pub fn read_private(
    bytes: &[u8],
    passphrase: Option<&Secret<String>>,
) -> Result<SigningKey, SshKeyError> {
    let file = unarmoured(bytes)?;
    let mut wire = Wire(file.expose());
    let Encryption {
        cipher,
        kdf,
        options,
    } = encryption(&mut wire)?;
    let public = read_blob(wire.string()?)?;
    let sealed = wire.string()?;
    match (cipher, kdf) {
        (b"none", b"none") if options.is_empty() => {
            wire.end()?;
            private(sealed, public, 8, SshKeyError::Damaged)
        }
        (b"none", b"none") => Err(SshKeyError::Damaged),
        (b"aes256-ctr", b"bcrypt") => {
            wire.end()?;
            let passphrase = passphrase.ok_or(SshKeyError::PassphraseNeeded)?;
            let opened = opened(sealed, options, passphrase)?;
            private(opened.expose(), public, 16, SshKeyError::WrongPassphrase)
        }
        _ => Err(SshKeyError::Cipher),
    }
}

/// How the private half of a file is encrypted.
pub(super) struct Encryption<'a> {
    pub(super) cipher: &'a [u8],
    pub(super) kdf: &'a [u8],
    pub(super) options: &'a [u8],
}

/// Reads what a file begins with, up to the public half of its one key.
pub(super) fn encryption<'a>(wire: &mut Wire<'a>) -> Result<Encryption<'a>, SshKeyError> {
    if wire.take(MAGIC.len())? != MAGIC {
        return Err(SshKeyError::NotAKey);
    }
    let said = Encryption {
        cipher: wire.string()?,
        kdf: wire.string()?,
        options: wire.string()?,
    };
    match wire.u32()? {
        1 => Ok(said),
        _ => Err(SshKeyError::Damaged),
    }
}

/// The bytes between the two lines (RFC 7468, with lines of any length).
pub(super) fn unarmoured(file: &[u8]) -> Result<SecretBytes, SshKeyError> {
    if file.len() > LONGEST {
        return Err(SshKeyError::TooLong);
    }
    let rest = file
        .trim_ascii()
        .strip_prefix(BEGIN)
        .ok_or(SshKeyError::NotAKey)?;
    let text = rest.strip_suffix(END).ok_or(SshKeyError::Damaged)?;
    // Room for all of it at once: nothing is left behind in memory that was grown
    // out of.
    let mut joined = Secret::new(Vec::with_capacity(text.len()));
    let letters = text.iter().filter(|byte| !matches!(byte, b'\n' | b'\r'));
    joined.expose_mut().extend(letters);
    let mut bytes = Secret::new(vec![0; text.len()]);
    let length = STANDARD
        .decode_slice(joined.expose(), bytes.expose_mut())
        .map_err(|_| SshKeyError::Damaged)?;
    bytes.expose_mut().truncate(length);
    Ok(bytes)
}

/// Decrypts with the key that bcrypt_pbkdf makes of the passphrase.
fn opened(
    sealed: &[u8],
    options: &[u8],
    passphrase: &Secret<String>,
) -> Result<SecretBytes, SshKeyError> {
    let mut wire = Wire(options);
    let (salt, rounds) = (wire.string()?, wire.u32()?);
    wire.end()?;
    if rounds > MOST_ROUNDS {
        return Err(SshKeyError::TooCostly);
    }
    if rounds == 0 || salt.is_empty() {
        return Err(SshKeyError::Damaged);
    }
    // `ssh-keygen` takes an empty passphrase for none, so it opens nothing.
    if passphrase.expose().is_empty() {
        return Err(SshKeyError::WrongPassphrase);
    }
    let mut derived = Secret::new([0; KEY_BYTES + IV_BYTES]);
    // Whole outputs of its hash, 32 bytes each; ours, so that they are wiped.
    let mut memory = Secret::new([0; 64]);
    bcrypt_pbkdf::bcrypt_pbkdf_with_memory(
        passphrase.expose(),
        salt,
        rounds,
        derived.expose_mut(),
        memory.expose_mut(),
    )
    .map_err(|_| SshKeyError::Damaged)?;

    let (key, iv) = derived.expose().split_at(KEY_BYTES);
    let iv: &[u8; IV_BYTES] = iv.try_into().map_err(|_| SshKeyError::Damaged)?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let mut opened = Secret::new(sealed.to_vec());
    UnboundCipherKey::new(&AES_256, key)
        .and_then(DecryptingKey::ctr)
        .and_then(|key| {
            key.decrypt(opened.expose_mut(), context)?;
            Ok(())
        })
        .map_err(|_| SshKeyError::Key(crate::KeyError::Library))?;
    Ok(opened)
}

/// The key in the private part, which has to be that of the public part. Two equal
/// numbers stand first; when they differ, `unequal` is why.
pub(super) fn private(
    bytes: &[u8],
    public: &[u8; 32],
    block: usize,
    unequal: SshKeyError,
) -> Result<SigningKey, SshKeyError> {
    if !bytes.len().is_multiple_of(block) {
        return Err(SshKeyError::Damaged);
    }
    let mut wire = Wire(bytes);
    if wire.u32()? != wire.u32()? {
        return Err(unequal);
    }
    if wire.string()? != ED25519 || wire.string()? != public {
        return Err(SshKeyError::Damaged);
    }
    let pair: &[u8; 64] = wire
        .string()?
        .try_into()
        .map_err(|_| SshKeyError::Damaged)?;
    let _comment = wire.string()?;
    if !is_filling(wire.0, block) {
        return Err(SshKeyError::Damaged);
    }
    let (seed, beside) = pair.split_at(32);
    let mut private = Secret::new([0; 32]);
    private.expose_mut().copy_from_slice(seed);
    let key = SigningKey::from_private(SignatureAlgorithm::Ed25519, private)?;
    if beside != public || key.public().as_bytes() != public {
        return Err(SshKeyError::Damaged);
    }
    Ok(key)
}

/// Whether these are the bytes that fill up to whole blocks: 1, 2, 3 …
pub(super) fn is_filling(bytes: &[u8], block: usize) -> bool {
    bytes.len() < block && bytes.iter().copied().eq((1..).take(bytes.len()))
}
