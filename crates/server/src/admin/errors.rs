//! What a ceremony is told that failed.

use crate::opening::OpeningError;
use crate::problem::{Code, Failure};
use procura_crypto::shamir::ShareError;
use procura_vault::SealError;

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        let code = match &error {
            SealError::WrongPassphrase => Code::WrongPassphrase,
            SealError::WeakPassphrase => Code::WeakPassphrase,
            SealError::Initialised => Code::AlreadyInitialised,
            SealError::NotInitialised => Code::NotInitialised,
            SealError::OtherShare | SealError::Shares(ShareError::OtherSet) => Code::ShareOtherSet,
            SealError::ForgedShare { .. }
            | SealError::Shares(ShareError::Disagree | ShareError::Inconsistent) => {
                Code::ShareForged
            }
            SealError::Shares(ShareError::Repeated { .. }) => Code::ShareRepeated,
            SealError::Shares(ShareError::TooFew { .. }) => Code::SharesTooFew,
            SealError::Shares(ShareError::Entropy(_)) => return Self::internal(error),
            SealError::Shares(_) => Code::ShareMalformed,
            SealError::LastSource | SealError::TooManySources => Code::Conflict,
            SealError::NoSource(_) => Code::NotFound,
            SealError::SourceExists(_) => Code::AlreadyExists,
            SealError::Damaged(_) | SealError::KeyringMismatch | SealError::Unseal(_) => {
                Code::Damaged
            }
            _ => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<OpeningError> for Failure {
    fn from(error: OpeningError) -> Self {
        match error {
            OpeningError::Seal(error) => error.into(),
            OpeningError::Publisher(procura_record::PublisherError::RolledBack { .. })
            | OpeningError::Store(procura_store::StoreError::Corrupt { .. }) => {
                Self::new(Code::Damaged, error.to_string()).because(error)
            }
            other => Self::internal(other),
        }
    }
}
