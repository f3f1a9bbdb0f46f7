//! Time and randomness are passed in, so that tests own them.

use crate::Timestamp;
use std::time::Instant;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, UTC. It can be set, by whoever may and by mistake.
    fn now(&self) -> Timestamp;

    /// A reading that nobody sets and that never goes back, for how long something
    /// has been going on.
    fn steady(&self) -> Instant {
        Instant::now()
    }
}

/// The operating system would not give random bytes. Nothing that needs them
/// goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes to be had from the operating system")]
pub struct EntropyError;

/// Gives random bytes, all of them fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills all of `out` with bytes that need not stay secret: nonces, salts, ids.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;

    /// Fills all of `out` with bytes that must stay secret, whatever their number:
    /// keys, seeds, codes, tickets. They have been nowhere before.
    fn fill_secret(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.fill(out)
    }
}
