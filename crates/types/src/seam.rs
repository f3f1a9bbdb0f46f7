//! Time and randomness are passed in, so that tests own them.

use crate::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
}

/// The operating system would not give random bytes. Nothing that needs them
/// goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes to be had from the operating system")]
pub struct EntropyError;

/// Gives random bytes fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills all of `out`.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;
}
