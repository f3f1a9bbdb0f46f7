//! Why an identity provider cannot be used.

use crate::problem::{Code, Failure};
use procura_client::OutwardError;

/// Why a provider cannot be used now. For the log: nothing of it is told to a browser, and
/// nothing of what a provider sent is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is at an address that the configuration does not name.
    #[error("its {0} is at {1} address, which `networks` of the provider does not name")]
    Inward(&'static str, &'static str),
    /// It was not reached, or did not answer.
    #[error("its {0}: {1}")]
    Outward(&'static str, OutwardError),
    /// It answered with another status than it should.
    #[error("its {0} answered with status {1}")]
    Status(&'static str, u16),
    /// What it sent is not what it should be.
    #[error("its {0} {1}")]
    Unfit(&'static str, &'static str),
    /// A file of this server.
    #[error("{0}")]
    File(String),
    /// A moment ago it could not be used, and is left alone for a few seconds.
    #[error("{0} (a moment ago)")]
    Before(Box<Fault>),
    /// As many wait for it as may.
    #[error("as many wait for it as may")]
    Busy,
    /// As many sign-ins of one address came to nothing as may.
    #[error("as many sign-ins of one address came to nothing as may")]
    Spent,
}

impl Fault {
    /// Of a question that got no answer.
    pub(super) fn of(what: &'static str, error: OutwardError) -> Self {
        match error {
            OutwardError::Inward(where_) => Self::Inward(what, where_),
            other => Self::Outward(what, other),
        }
    }

    /// The same, told once more.
    pub(super) fn before(&self) -> Self {
        match self {
            Self::Before(_) => self.clone(),
            other => Self::Before(Box::new(other.clone())),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let waits = |seconds, detail: &str| Self {
            retry_after: Some(seconds),
            ..Self::new(Code::RateLimited, detail)
        };
        match fault {
            Fault::Busy => {
                return waits(
                    2,
                    "Many sign in by this provider now; wait a little before you try again.",
                );
            }
            Fault::Spent => {
                return waits(
                    60,
                    "Too many sign-ins by this provider from this address came to nothing; wait some minutes before you try again.",
                );
            }
            _ => {}
        }
        Self::new(
            Code::ProviderUnavailable,
            "The identity provider cannot be used now, so nobody was signed in.",
        )
        .because(fault)
    }
}
