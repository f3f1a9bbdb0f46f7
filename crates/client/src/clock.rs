//! The machine's clock, for the programs: the one place of the product that
//! reads it.

use procura_types::{Clock, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// The clock of this machine, in whole milliseconds of Unix time.
///
/// It stands here, and not beside the other seams, for whoever talks to a
/// server must say when, and no crate below may read a clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is handed"
    )]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: whatever is signed then is refused.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
