//! Every cryptographic primitive that Procura uses, on byte arrays.
//!
//! No other crate names a cryptographic library (TLS aside). One provider,
//! aws-lc, does everything but Argon2id. What is here:
//!
//! - [`LockedKey`]: 32-byte keys in memory that is locked, left out of core
//!   dumps and wiped on drop; all long-lived keys below live in it.
//! - [`seal`] and [`open`]: envelopes, the form of everything at rest
//!   (`protocol.md` §5). A [`Binding`] says what and where a value is; an
//!   envelope opens only under the binding that it was sealed under.
//! - [`SealingKey`] and [`OpeningKey`]: values sealed to somebody who is away (HPKE).
//! - [`PublicKey`] and [`SigningKey`]: Ed25519 and ECDSA P-256, with strict
//!   parsing, so that no key has two spellings; [`RsaPublicKey`], which verifies what
//!   identity providers sign.
//! - [`MacKey`], [`hkdf_sha256`], [`derive_passphrase_key`], [`sha256`].
//! - [`PasswordHash`], [`TotpSecret`] and [`RecoveryCode`]: what people sign in with.
//! - [`age`]: files for the holders of keys of age or OpenSSH.
//! - [`certificate`]: whether a certificate and a private key belong together.
//! - [`shamir`] and [`slip39`]: a secret in shares, of which some give it back, as
//!   text of ours and as words.
//! - [`tpm_salt`] and its neighbours: what a session with a TPM is protected with.
//! - [`ssh`]: Ed25519 keys as `ssh-keygen` writes them.
//! - [`webauthn`]: what passkeys answer, read and checked.
//! - [`owner_id`] and [`agent_id`]: the ids of actors (`protocol.md` §2).
//!
//! This crate does no I/O. Randomness is passed in as
//! [`procura_types::Entropy`], with [`SystemEntropy`] for the programs; the
//! exceptions are the blinding of ECDSA and the ephemeral keys of HPKE, which the
//! library draws itself.

mod actor;
mod aead;
pub mod age;
mod base32;
mod binding;
pub mod certificate;
mod curve25519;
mod entropy;
mod envelope;
mod error;
mod gf256;
mod hash;
mod hpke;
mod locked;
mod mac;
mod passphrase;
mod password;
mod public_key;
mod recovery_code;
mod rsa;
pub mod shamir;
mod signing_key;
pub mod slip39;
pub mod ssh;
mod totp;
mod tpm;
pub mod webauthn;
mod xaes;

pub use actor::{agent_id, owner_id};
pub use aead::{Dek, open_once, seal_once};
pub use binding::{Binding, Holder, Purpose};
pub use entropy::SystemEntropy;
pub use envelope::{envelope_epoch, open, open_with_dek, seal, seal_with_dek};
pub use error::{KdfError, KeyError, LockError, OpenError, SealError};
pub use hash::{Sha256, sha256, sha512};
pub use hpke::{OpeningKey, SealingKey};
pub use locked::{LockedKey, lock_policy};
pub use mac::{MacKey, hkdf_sha256};
pub use passphrase::{Argon2Params, derive_foreign_key, derive_passphrase_key};
pub use password::{PasswordError, PasswordHash};
pub use public_key::{PublicKey, SignatureAlgorithm};
pub use recovery_code::{RecoveryCode, find_hash};
pub use rsa::RsaPublicKey;
pub use signing_key::SigningKey;
pub use totp::{TotpHash, TotpSecret, totp_code, totp_matches, totp_step};
pub use tpm::{TpmPoint, tpm_decrypt, tpm_encrypt, tpm_kdfa, tpm_salt, tpm_seed, tpm_storage_key};
pub use xaes::XaesKey;
