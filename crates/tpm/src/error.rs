//! What a TPM did not do.

use procura_crypto::{KeyError, LockError};
use procura_types::EntropyError;

/// A TPM did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// It is not there, or does not answer; later it may.
    #[error("{0}")]
    Unavailable(String),
    /// A password is asked for that nobody brought.
    #[error("{0}")]
    Denied(String),
    /// These registers are not as they were; all of those that were named, when none is.
    #[error("the platform configuration registers are not as they were")]
    PcrsChanged(Vec<u8>),
    /// It is another one than the one that was expected.
    #[error("{0}")]
    Another(String),
    /// What it was given is not of its own making.
    #[error("what was given to the TPM was changed, or is another TPM's")]
    Refused,
    /// It cannot do what is needed of it.
    #[error("{0}")]
    Unfit(String),
    /// Ourselves.
    #[error("{0}")]
    Own(String),
}

impl From<LockError> for TpmError {
    fn from(error: LockError) -> Self {
        Self::Own(error.to_string())
    }
}

impl From<KeyError> for TpmError {
    fn from(error: KeyError) -> Self {
        Self::Own(error.to_string())
    }
}

impl From<EntropyError> for TpmError {
    fn from(error: EntropyError) -> Self {
        Self::Own(error.to_string())
    }
}
