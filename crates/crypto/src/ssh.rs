//! Ed25519 keys as OpenSSH writes them: the one-line public key
//! (`authorized_keys` in sshd(8), RFC 8709 §4) and the private key file
//! (`PROTOCOL.key` of OpenSSH), so that an agent's key can come from plain
//! `ssh-keygen -t ed25519`. Private keys of other types are never used here, and are
//! told from what is none, for whoever keeps them.

mod kept;
mod private;
mod public;

pub use kept::check_private;
pub use private::read_private;
pub use public::SshPublicKey;

use crate::KeyError;
use crate::certificate::CertificateError;

/// The one type of key that is read (RFC 8709 §3).
const ED25519: &[u8] = b"ssh-ed25519";

/// A key of OpenSSH could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SshKeyError {
    /// It is something else.
    #[error("not an OpenSSH key")]
    NotAKey,
    /// A public key is one line, of 4 KiB at most; a private key file has 16 KiB at
    /// most.
    #[error("longer than one OpenSSH key")]
    TooLong,
    /// A key of OpenSSH, but RSA, ECDSA, a security key's or a certificate.
    #[error("an OpenSSH key of another type than Ed25519")]
    OtherType,
    /// A key of OpenSSH, but DSA or a security key's.
    #[error("an OpenSSH key of another type than Ed25519, ECDSA and RSA")]
    UnknownType,
    /// What `authorized_keys` lets stand before a key says what the key may do.
    /// Nobody would heed it here.
    #[error("options stand before the OpenSSH key")]
    Options,
    /// The private key is encrypted, and no passphrase was given.
    #[error("the private key is encrypted with a passphrase")]
    PassphraseNeeded,
    /// It does not open with this passphrase.
    #[error("the passphrase does not open the private key")]
    WrongPassphrase,
    /// Encrypted otherwise than `ssh-keygen` does it unless told to.
    #[error("the private key is encrypted otherwise than with aes256-ctr and bcrypt")]
    Cipher,
    /// To try a passphrase would take minutes.
    #[error("the private key takes more than 4096 rounds of bcrypt")]
    TooCostly,
    /// It begins as a key does, and is not whole, or has parts that contradict
    /// each other.
    #[error("the OpenSSH key is damaged")]
    Damaged,
    /// It is in PEM, and not one whole private key.
    #[error(transparent)]
    Pem(#[from] CertificateError),
    /// It is a key that is not accepted, or that has no safe place to live.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What is left to read of the binary form: strings with their length before them
/// (RFC 4251 §5). Whatever is missing is damage.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], SshKeyError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(SshKeyError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, SshKeyError> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }

    fn string(&mut self) -> Result<&'a [u8], SshKeyError> {
        let length = usize::try_from(self.u32()?).map_err(|_| SshKeyError::Damaged)?;
        self.take(length)
    }

    /// Nothing may follow.
    const fn end(&self) -> Result<(), SshKeyError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(SshKeyError::Damaged)
        }
    }
}

/// The key in a public key's binary form: its type and 32 bytes (RFC 8709 §4).
fn read_blob(blob: &[u8]) -> Result<&[u8; 32], SshKeyError> {
    let mut wire = Wire(blob);
    if wire.string()? != ED25519 {
        return Err(SshKeyError::OtherType);
    }
    let key = wire.string()?;
    wire.end()?;
    key.try_into().map_err(|_| SshKeyError::Damaged)
}
