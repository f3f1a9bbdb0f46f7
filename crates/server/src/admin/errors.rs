//! What a ceremony is told that failed.

use crate::opening::OpeningError;
use crate::problem::{Code, Failure};
use procura_crypto::shamir::ShareError;
use procura_crypto::slip39::Slip39Error;
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
            SealError::Shares(error) => {
                return malformed(malformed_text(*error), error.to_string());
            }
            SealError::Mnemonics(error) => match error {
                Slip39Error::OtherIdentifier => Code::ShareOtherSet,
                Slip39Error::Repeated { .. } => Code::ShareRepeated,
                Slip39Error::TooFewGroups { .. } | Slip39Error::TooFewMembers { .. } => {
                    Code::SharesTooFew
                }
                Slip39Error::Digest
                | Slip39Error::FlagsDisagree
                | Slip39Error::ExponentsDisagree
                | Slip39Error::GroupThresholdsDisagree
                | Slip39Error::GroupCountsDisagree
                | Slip39Error::LengthsDisagree
                | Slip39Error::MemberThresholdsDisagree { .. }
                | Slip39Error::TooManyGroups { .. }
                | Slip39Error::TooManyMembers { .. } => Code::ShareForged,
                Slip39Error::Entropy(_) => return Self::internal(*error),
                Slip39Error::Threshold
                | Slip39Error::Count
                | Slip39Error::Passphrase
                | Slip39Error::UnknownWord { .. }
                | Slip39Error::Length { .. }
                | Slip39Error::Checksum
                | Slip39Error::Padding
                | Slip39Error::GroupThreshold
                | Slip39Error::GroupIndex => {
                    return malformed(malformed_words(*error), error.to_string());
                }
            },
            SealError::LastSource | SealError::TooManySources => Code::Conflict,
            SealError::WrappersAlone => return conflict("wrappers_alone", &error),
            SealError::BroughtLeaves(_) => return conflict("brought_leaves", &error),
            SealError::NoSource(_) => Code::NotFound,
            SealError::SourceExists(_) => Code::AlreadyExists,
            SealError::Damaged(_)
            | SealError::KeyringMismatch
            | SealError::OlderInstallation { .. }
            | SealError::Unseal(
                procura_store::UnsealError::WrongKey | procura_store::UnsealError::Corrupt { .. },
            ) => Code::Damaged,
            SealError::NotHandedOver => Code::Sealed,
            SealError::ServerRemoved(_) => Code::ServerRemoved,
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

/// A change of the unseal sources that would be regretted.
fn conflict(reason: &'static str, error: &SealError) -> Failure {
    let mut failure = Failure::new(Code::Conflict, error.to_string());
    failure.reason = Some(reason);
    failure
}

/// A share that was not read, or not made.
fn malformed(reason: Option<&'static str>, detail: String) -> Failure {
    let mut failure = Failure::new(Code::ShareMalformed, detail);
    failure.reason = reason;
    failure
}

/// Why a share in text form was not read; nothing when it was not to be made.
const fn malformed_text(error: ShareError) -> Option<&'static str> {
    match error {
        ShareError::Checksum => Some("checksum"),
        ShareError::Malformed | ShareError::Index => Some("no_share"),
        _ => None,
    }
}

/// Why words were not read; nothing when they were not to be made.
const fn malformed_words(error: Slip39Error) -> Option<&'static str> {
    match error {
        Slip39Error::UnknownWord { .. } => Some("unknown_word"),
        Slip39Error::Checksum => Some("checksum"),
        Slip39Error::Length { .. }
        | Slip39Error::Padding
        | Slip39Error::GroupThreshold
        | Slip39Error::GroupIndex => Some("no_share"),
        _ => None,
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
