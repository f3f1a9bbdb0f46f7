//! Why a passkey is not accepted.

use procura_crypto::webauthn::Flaw;
use procura_types::{ActorId, Thumbprint};

/// Why a passkey, or the making of one, is not accepted. The word stands in the record and
/// in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyRefusal {
    /// What the authenticator answered is not right in itself.
    #[error("{0}")]
    Flaw(#[from] Flaw),
    /// The challenge was never made here, or for something or somebody else.
    #[error("this answers no challenge of ours for this; begin again")]
    ChallengeUnknown,
    /// The challenge is older than five minutes.
    #[error("the challenge is older than five minutes; begin again")]
    ChallengeExpired,
    /// The challenge was answered before.
    #[error("the challenge was answered already; begin again")]
    ChallengeUsed,
    /// No such passkey is enrolled.
    #[error("this passkey is not enrolled here")]
    Unknown,
    /// It was removed, or its owner is revoked, or it is held.
    #[error("this passkey was removed, or is held")]
    Removed,
    /// It is the passkey of somebody else.
    #[error("this is the passkey of another person")]
    OtherUser,
    /// It counts less than it did before: there is a copy of it.
    #[error(
        "the passkey counts back, as a copy of it would; it was not accepted, and somebody has to look"
    )]
    CounterBack,
    /// A browser does what gives or takes a passkey, and shows none for just that.
    #[error("in a browser this takes a passkey of yours, shown for just this; load the page anew")]
    NotShown,
    /// The passkey, or its key, is enrolled already, here or for somebody else, or was.
    #[error("this passkey is or was enrolled already")]
    EnrolledAlready,
    /// An operator has as many as there may be.
    #[error("an operator has at most 16 passkeys; remove one first")]
    TooMany,
    /// The kind of the credential is not that of passkeys.
    #[error("this credential is not a public key")]
    Kind,
}

impl PasskeyRefusal {
    /// One word for the record and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flaw(flaw) => flaw.as_str(),
            Self::ChallengeUnknown => "challenge_unknown",
            Self::ChallengeExpired => "challenge_expired",
            Self::ChallengeUsed => "challenge_used",
            Self::Unknown => "unknown_passkey",
            Self::Removed => "removed",
            Self::OtherUser => "other_user",
            Self::CounterBack => "counter_back",
            Self::NotShown => "not_shown",
            Self::EnrolledAlready => "enrolled_already",
            Self::TooMany => "too_many",
            Self::Kind => "malformed",
        }
    }
}

/// A refusal with what is known of who was refused, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct PasskeyRefused {
    /// Why.
    pub refusal: PasskeyRefusal,
    /// The passkey, once it is known to be one of ours, and whose it is.
    pub of: Option<(Thumbprint, ActorId)>,
}

impl From<PasskeyRefusal> for PasskeyRefused {
    fn from(refusal: PasskeyRefusal) -> Self {
        Self { refusal, of: None }
    }
}
