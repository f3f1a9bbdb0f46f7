//! What can go wrong with a call, by who is to blame.

use crate::SignerError;
use procura_crypto::LockError;
use procura_types::wire::Problem;
use procura_types::{Duration, EntropyError, Malformed};

/// A call did not bring its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server understood and said no, in its own words; and how long it says to
    /// wait before the call is made again, if it does.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>, Option<Duration>),
    /// No answer: nothing listens, the name does not resolve, TLS failed, the
    /// connection broke, or the time ran out. Whether the server acted on the
    /// request is not known.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// Whom we called.
        address: String,
        /// What the connection said.
        cause: String,
        /// What to do about it, where the cause is one that is known.
        advice: Option<&'static str>,
    },
    /// Somebody else answers in the server's place: the answer does not bear
    /// the signature of the key that we pinned, or the tag of the session.
    #[error("{address} is not the server that was joined: {evidence}")]
    Impostor {
        /// Whom we called.
        address: String,
        /// What was wrong with the answer.
        evidence: &'static str,
    },
    /// The server's address cannot be used.
    #[error("server address: {0}")]
    Address(&'static str),
    /// The certificates given to trust cannot be used.
    #[error("certificates: {0}")]
    Certificates(String),
    /// The answer is not one that this API gives.
    #[error("{address} gave an answer that this program does not understand: {cause}")]
    NotUnderstood {
        /// Whom we called.
        address: String,
        /// What was wrong with it; never any part of a body.
        cause: String,
    },
    /// The request could not be signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A value of ours does not have the form that the API requires.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No locked memory for the key of a session.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// No randomness for a nonce.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl ClientError {
    /// The server's problem, when it refused.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem, _) => Some(problem),
            _ => None,
        }
    }

    /// How long the server says to wait before the call is made again (`Retry-After`,
    /// RFC 9110 §10.2.3), if it does.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(_, retry_after) => *retry_after,
            _ => None,
        }
    }

    /// Whether the server refused with this code (`spec/errors.md`) or, of a
    /// failed proof, this reason (`spec/reasons.md`).
    #[must_use]
    pub fn is_refusal(&self, word: &str) -> bool {
        self.problem()
            .is_some_and(|problem| problem.code == word || problem.reason.as_deref() == Some(word))
    }
}
