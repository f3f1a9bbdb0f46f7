//! How much the daemon holds at once, and the open files that this takes.

use crate::DaemonError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are no connection's: socket, signals, logs, device files.
const RESERVE: u64 = 64;
/// What one connection takes: itself, its process, a memory file, and the way to
/// the server.
const FILES_EACH: u64 = 4;
/// With fewer places than this a host is not served.
const FEWEST: u64 = 16;

/// How much is held at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are served; others wait to be accepted.
    pub connections: usize,
    /// Processes with values whose end is watched. More run, and are not reported.
    pub watched: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            watched: 4096,
        }
    }
}

impl Limits {
    /// What fits into so many open files: connections may take half of them, and
    /// the rest is for processes that are watched.
    ///
    /// # Errors
    /// [`DaemonError::Config`] when that is too little to serve a host.
    pub fn fitting(files: u64) -> Result<Self, DaemonError> {
        let most = Self::default();
        let free = files.saturating_sub(RESERVE);
        let connections = free / (2 * FILES_EACH);
        if connections < FEWEST {
            return Err(DaemonError::Config(format!(
                "only {files} files may be open at once and at least {} are needed; raise the limit (`ulimit -n`, LimitNOFILE=)",
                RESERVE + FEWEST * 2 * FILES_EACH
            )));
        }
        let connections = most
            .connections
            .min(usize::try_from(connections).unwrap_or(usize::MAX));
        let taken = u64::try_from(connections)
            .unwrap_or(u64::MAX)
            .saturating_mul(FILES_EACH);
        let watched = usize::try_from(free.saturating_sub(taken)).unwrap_or(usize::MAX);
        Ok(Self {
            connections,
            watched: most.watched.min(watched),
        })
    }

    /// How many connections one user may hold. `procura run --wait` holds one for
    /// as long as a person needs, and nobody may take them all.
    pub(crate) const fn connections_each(self) -> usize {
        let quarter = self.connections / 4;
        if quarter == 0 { 1 } else { quarter }
    }
}

/// Raises the limit of open files as far as it may be raised, and says how many
/// may be open now.
///
/// The limit that a shell sets for its own programs is for those that use
/// select(2), which this one does not.
pub(crate) fn raise_open_files() -> u64 {
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
    now.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::exit;

    #[test]
    fn what_fits_into_the_open_files_is_served() {
        let error = Limits::fitting(191).unwrap_err();
        assert_eq!(error.exit(), exit::CONFIG);
        assert_eq!(
            error.to_string(),
            "only 191 files may be open at once and at least 192 are needed; raise the limit (`ulimit -n`, LimitNOFILE=)"
        );
        for (files, connections, watched) in [
            (0, None, 0),
            (192, Some(16), 64),
            (1024, Some(120), 480),
            (4096, Some(256), 3008),
            (u64::MAX, Some(256), 4096),
        ] {
            let fitting = Limits::fitting(files).ok();
            let expected = connections.map(|connections| Limits {
                connections,
                watched,
            });
            assert_eq!(fitting, expected, "{files}");
        }
    }

    #[test]
    fn one_user_has_a_quarter() {
        let each = |connections| {
            let limits = Limits {
                connections,
                ..Limits::default()
            };
            limits.connections_each()
        };
        assert_eq!([each(256), each(16), each(3)], [64, 4, 1]);
    }
}
