//! The limit of open files, and how many connections it leaves room for.

use crate::config::ConfigError;
use crate::listen::HEALTH_CONNECTIONS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are no connection's: database, record, journal, listeners, and
/// what requests open for a moment.
const RESERVE: usize = 256;
/// With fewer places than this nobody is served.
const FEWEST: usize = 16;

/// Raises the limit of open files as far as it may be raised, and says how many may
/// be open now.
pub(crate) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let now = if raised.is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    // No limit is as good as a large one.
    now.and_then(|files| usize::try_from(files).ok())
        .unwrap_or(usize::MAX)
}

/// How many of the connections that are `wanted` fit into so many open files.
///
/// # Errors
/// [`ConfigError::OpenFiles`] when that is too few to serve anybody.
pub(crate) fn fitting(wanted: usize, files: usize) -> Result<usize, ConfigError> {
    let taken = RESERVE + HEALTH_CONNECTIONS;
    let free = files.saturating_sub(taken);
    if free < FEWEST {
        return Err(ConfigError::OpenFiles {
            files,
            needed: taken + FEWEST,
        });
    }
    Ok(wanted.min(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        let error = fitting(4096, 335).unwrap_err();
        assert_eq!(
            error.to_string(),
            "only 335 files may be open at once and at least 336 are needed; raise the limit (`ulimit -n`, LimitNOFILE=)"
        );
        for (wanted, files, expected) in [
            (4096, 336, 16),
            (4096, 1024, 704),
            (4096, 4416, 4096),
            (4096, usize::MAX, 4096),
            (2, 336, 2),
            // Zero is refused elsewhere, and not made into something else here.
            (0, 336, 0),
        ] {
            assert_eq!(
                fitting(wanted, files).unwrap(),
                expected,
                "{wanted} {files}"
            );
        }
    }
}
