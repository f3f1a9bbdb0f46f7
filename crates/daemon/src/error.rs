//! What the daemon, the stub and the client of the socket report.

use procura_client::ClientError;
use procura_types::{Malformed, exit};
use std::io;

/// Something did not happen. The text is for the person at the terminal and
/// says what to do; [`DaemonError::exit`] is the program's exit code.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What was asked for cannot be understood here.
    #[error("{0}")]
    Usage(String),
    /// The host is not set up as it must be.
    #[error("{0}")]
    Config(String),
    /// A check of ours said no.
    #[error("{message}")]
    Refused {
        /// One word for programs.
        code: &'static str,
        /// What was refused, why, and what to do.
        message: String,
    },
    /// There is no place for one more; later there may be.
    #[error("{0}")]
    Busy(String),
    /// A file or a system call failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried: "write /x/y".
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon does not answer on its socket.
    #[error("cannot reach the daemon at {socket}: {source}; start it with `procurad`")]
    NoDaemon {
        /// Where it was looked for.
        socket: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The server did not do what it was asked.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The daemon reported a failure; these are its words.
    #[error("{message}")]
    Reported {
        /// The exit code.
        exit: u8,
        /// One word for programs.
        code: String,
        /// What happened.
        message: String,
    },
}

impl DaemonError {
    /// A refusal of ours.
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }

    /// Names what was being done when the kernel said no.
    pub(crate) fn io(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            doing: doing.into(),
            source: source.into(),
        }
    }

    /// The exit code of the program that ends with this.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Config(_) => exit::CONFIG,
            Self::Refused { .. } => exit::REFUSED,
            Self::Io { .. } => exit::STORAGE,
            Self::NoDaemon { .. } | Self::Busy(_) => exit::UNREACHABLE,
            Self::Server(error) => server_exit(error),
            Self::Reported { exit, .. } => *exit,
        }
    }

    /// One word for programs: ours, or the code of the server's refusal.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::Config(_) => "config",
            Self::Refused { code, .. } => code,
            Self::Busy(_) => "busy",
            Self::Io { .. } => "io",
            Self::NoDaemon { .. } => "no_daemon",
            Self::Server(ClientError::Impostor { .. }) => "impostor",
            Self::Server(ClientError::Refused(problem, _)) => {
                problem.reason.as_deref().unwrap_or(&problem.code)
            }
            Self::Server(_) => "unreachable",
            Self::Reported { code, .. } => code,
        }
    }
}

impl From<Malformed> for DaemonError {
    fn from(error: Malformed) -> Self {
        Self::Usage(error.to_string())
    }
}

fn server_exit(error: &ClientError) -> u8 {
    match error {
        // As the command line does it.
        ClientError::Refused(problem, _) => match (problem.code.as_str(), problem.status) {
            ("sealed", _) => exit::REFUSED,
            ("not_initialised", _) => exit::CONFIG,
            (_, 400 | 413) => exit::USAGE,
            (_, 500 | 507) => exit::STORAGE,
            (_, 429 | 502..=504) => exit::UNREACHABLE,
            _ => exit::REFUSED,
        },
        ClientError::Impostor { .. } => exit::REFUSED,
        ClientError::Address(_) | ClientError::Certificates(_) => exit::CONFIG,
        _ => exit::UNREACHABLE,
    }
}
