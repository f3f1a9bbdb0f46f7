//! What a ceremony is told that failed.

use crate::opening::OpeningError;
use crate::problem::{Code, Failure};
use procura_crypto::shamir::ShareError;
use procura_vault::SealError;

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        let code = match &error {
            SealError::WrongPassphrase => Code::WrongPassphrase,
            SealError::WrongKey(_) => Code::WrappedKeyRefused,
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
            SealError::Damaged(_)
            | SealError::KeyringMismatch
            | SealError::OlderInstallation { .. }
            | SealError::Unseal(
                procura_store::UnsealError::WrongKey | procura_store::UnsealError::Corrupt { .. },
            ) => Code::Damaged,
            SealError::NotHandedOver => Code::Sealed,
            // What happened to the store is said as it is elsewhere.
            SealError::Store(error) => return error.clone().into(),
            SealError::Unseal(procura_store::UnsealError::Store(error)) => {
                return error.clone().into();
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
            OpeningError::Store(error @ procura_store::StoreError::Unavailable(_)) => error.into(),
            OpeningError::Database(detail) => Self::new(Code::StoreUnavailable, detail),
            OpeningError::Publisher(procura_record::PublisherError::RolledBack { .. })
            | OpeningError::Store(procura_store::StoreError::Corrupt { .. }) => {
                Self::new(Code::Damaged, error.to_string()).because(error)
            }
            other => Self::internal(other),
        }
    }
}
