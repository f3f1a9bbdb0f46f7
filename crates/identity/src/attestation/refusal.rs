//! Why an attestation is not taken. The word stands in the answer and in the record.

/// Why an attestation is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AttestationRefusal {
    /// The challenge was never given to this device, or was used before.
    #[error("the challenge was used already, or is not this device's; ask for another")]
    Replayed,
    /// The challenge is older than five minutes.
    #[error("the challenge is older than five minutes; ask for another")]
    ChallengeExpired,
    /// The statement is in the name of another installation.
    #[error("the statement is for another installation")]
    WrongInstallation,
    /// The statement is in the name of another agent or device than the one that sends it.
    #[error("a daemon attests for its own agent and device, and for no other")]
    WrongAgent,
    /// The clock of the host is wrong.
    #[error("the host's clock is more than five minutes from the server's")]
    Clock,
    /// The key of the process is none.
    #[error("the key of the process is not an Ed25519 key")]
    BadKey,
    /// The statement is not signed by the key in it.
    #[error("the statement is not signed by the key of the process")]
    BadSignature,
    /// This process was revoked.
    #[error("this process was revoked; if it is as it should be, start the daemon again")]
    Revoked,
    /// The program was withdrawn.
    #[error("this program was withdrawn; install another version")]
    DigestWithdrawn,
    /// The program says that it is a release, and is another program.
    #[error(
        "a release of this version and target is known, and this is another program than it; install the release, or add this one"
    )]
    WrongDigest,
    /// What the TPM signed has no known form, or is not signed by the key that was shown.
    #[error("the quote of the TPM cannot be read, or is not signed by its key")]
    BadQuote,
    /// The TPM signed another statement than this one, or was put back.
    #[error("the TPM's quote is not for this statement, or is from before an earlier one")]
    StaleQuote,
    /// The host did not start as was accepted.
    #[error(
        "the host has not started as was accepted; find out what changed, and accept it with procura device baseline if the change is yours"
    )]
    WrongPcr,
    /// Another key signed than the one that was accepted.
    #[error(
        "this is not the TPM, or not the key of it, that was accepted; if it is the new one, remove the baseline and accept it anew"
    )]
    WrongAk,
    /// It was not shown that both keys are in one TPM.
    #[error("it was not shown that the key that signs is in the TPM that it names")]
    NotActivated,
}

impl AttestationRefusal {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Replayed,
        Self::ChallengeExpired,
        Self::WrongInstallation,
        Self::WrongAgent,
        Self::Clock,
        Self::BadKey,
        Self::BadSignature,
        Self::Revoked,
        Self::DigestWithdrawn,
        Self::WrongDigest,
        Self::BadQuote,
        Self::StaleQuote,
        Self::WrongPcr,
        Self::WrongAk,
        Self::NotActivated,
    ];

    /// One word for the ledger and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::ChallengeExpired => "challenge_expired",
            Self::WrongInstallation => "wrong_installation",
            Self::WrongAgent => "wrong_agent",
            Self::Clock => "timestamp_out_of_window",
            Self::BadKey => "bad_key",
            Self::BadSignature => "bad_signature",
            Self::Revoked => "attestation_revoked",
            Self::DigestWithdrawn => "digest_withdrawn",
            Self::WrongDigest => "wrong_digest",
            Self::BadQuote => "bad_quote",
            Self::StaleQuote => "stale_quote",
            Self::WrongPcr => "wrong_pcr",
            Self::WrongAk => "wrong_ak",
            Self::NotActivated => "not_activated",
        }
    }
}
