//! Why a server cannot be the shared guard, now or at all.

/// Why the shared guard is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedFault {
    /// Nobody answers there, or not in time.
    #[error("the shared guard at {at} cannot be used now: {cause}")]
    Unreachable {
        /// Its address.
        at: String,
        /// What happened.
        cause: String,
    },
    /// It does not let us in.
    #[error(
        "the shared guard at {at} lets nobody in so: {cause}; its password belongs into a file that guard_password_file (--guard-password-file) names"
    )]
    NotLetIn {
        /// Its address.
        at: String,
        /// What it said.
        cause: String,
    },
    /// It may throw claims away when it has no more room.
    #[error(
        "the shared guard at {at} throws away what is old when it is full (maxmemory-policy {policy}), and what it forgot is let in again; type: redis-cli -u {at} config set maxmemory-policy noeviction, and put the same into its configuration file"
    )]
    Evicts {
        /// Its address.
        at: String,
        /// Its policy.
        policy: String,
    },
    /// It is no master.
    #[error("the shared guard at {at} is a replica (role {role}); name the master")]
    Replica {
        /// Its address.
        at: String,
        /// What it is.
        role: String,
    },
    /// Its keys are spread over several servers.
    #[error(
        "the shared guard at {at} is a cluster; a guard has to be one server, with replicas if need be"
    )]
    Cluster {
        /// Its address.
        at: String,
    },
    /// Its clock and ours do not agree.
    #[error(
        "the clocks of the shared guard at {at} and of this machine are {seconds} s apart; set both by NTP"
    )]
    Clock {
        /// Its address.
        at: String,
        /// How far.
        seconds: u64,
    },
    /// This process has no room for the key, or no randomness.
    #[error("the shared guard cannot be used: {0}")]
    Own(String),
}

impl SharedFault {
    /// Whether it may be over in a moment, without anybody's doing.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
