//! What goes wrong with a PostgreSQL server: why it is not used at all, and what a
//! failed statement means.

use crate::writer::Fault;
use crate::{Damage, IoCause, Seq};
use procura_types::InstallationId;
use std::error::Error as _;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{WasNull, WrongType};

/// Why a store in PostgreSQL is not opened, or not used for the time being.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresFault {
    /// Nobody answers there, or not in time.
    #[error("the database {at} cannot be used now: {cause}")]
    Unreachable {
        /// Its address.
        at: String,
        /// What happened.
        cause: String,
    },
    /// It does not let us in, or not do what a store needs.
    #[error("the database {at} does not let this user in: {cause}")]
    NotLetIn {
        /// Its address.
        at: String,
        /// What it said.
        cause: String,
    },
    /// It is on another machine and no TLS is set up.
    #[error(
        "the database {at} is on another machine, and what is sent there has to be encrypted: \
         give the certificate of the authority that signed the server's"
    )]
    NoTls {
        /// Its address.
        at: String,
    },
    /// An older release of PostgreSQL than this program is tested with.
    #[error("the database {at} is PostgreSQL {found}; 15 or newer is needed")]
    TooOld {
        /// Its address.
        at: String,
        /// Its major release.
        found: i32,
    },
    /// It only repeats what another server writes.
    #[error("the database {at} is a standby; name the primary, or all of its servers")]
    Standby {
        /// Its address.
        at: String,
    },
    /// A commit there may be lost with the power.
    #[error(
        "the database {at} has {setting} = off, so that an acknowledged change may be lost; \
         type: ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()"
    )]
    NotDurable {
        /// Its address.
        at: String,
        /// The setting that has to be on.
        setting: &'static str,
    },
    /// It has standbys that a commit does not wait for.
    #[error(
        "the database {at} has standbys and waits for none of them (synchronous_standby_names is \
         empty): what was acknowledged would be lost when one takes over. Set it, or accept the \
         loss by danger_async_standby"
    )]
    AsyncStandby {
        /// Its address.
        at: String,
    },
    /// There is no store in it.
    #[error("there is no store in the database {at}")]
    Missing {
        /// Its address.
        at: String,
    },
    /// There already is a store in it.
    #[error("there already is a store in the database {at}")]
    AlreadyExists {
        /// Its address.
        at: String,
    },
    /// The store was written by a newer release.
    #[error("the store has format {found}, this program reads up to format {supported}")]
    NewerFormat {
        /// In the database.
        found: i32,
        /// The newest that this program reads.
        supported: i32,
    },
    /// The store belongs to another installation.
    #[error("the store belongs to installation {found}, not to {expected}")]
    OtherInstallation {
        /// As named by the home.
        expected: InstallationId,
        /// As named in the database.
        found: InstallationId,
    },
    /// It lacks what was acknowledged before: a standby without the last commits took
    /// over, or an older copy was put in its place.
    #[error(
        "the database {at} ends at commit {found}, and commit {known} was seen before: it lacks \
         what was acknowledged"
    )]
    RolledBack {
        /// Its address.
        at: String,
        /// The last commit that is known.
        known: Seq,
        /// The last commit that is there.
        found: Seq,
    },
    /// It is damaged where opening touches it.
    #[error("the store is damaged: {0}")]
    Corrupt(Damage),
    /// This process lacks what it takes.
    #[error("the database cannot be used: {0}")]
    Own(String),
}

impl PostgresFault {
    /// What became of a statement that was part of opening.
    pub(super) fn of(at: &str, fault: Fault) -> Self {
        let at = at.to_owned();
        match fault {
            Fault::Corrupt(what) => Self::Corrupt(what),
            Fault::Full => Self::Unreachable {
                at,
                cause: "no space is left there".to_owned(),
            },
            Fault::Away(cause) | Fault::Io(cause) => Self::Unreachable {
                at,
                cause: cause.to_string(),
            },
        }
    }

    /// What a failed connection means, or the first statements on it.
    pub(super) fn connecting(at: &str, error: &Error) -> Self {
        let (at, cause) = (at.to_owned(), said(error));
        let Some(code) = error.code() else {
            return Self::Unreachable { at, cause };
        };
        if *code == SqlState::INVALID_CATALOG_NAME {
            Self::Missing { at }
        } else if code.code().starts_with("28") || *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::NotLetIn { at, cause }
        } else {
            Self::Unreachable { at, cause }
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let cause = || IoCause::new(&said(&error));
        let Some(code) = error.code() else {
            let of_column = error
                .source()
                .is_some_and(|source| source.is::<WasNull>() || source.is::<WrongType>());
            return match of_column {
                true => Self::Corrupt(Damage::File(said(&error).into())),
                false => Self::Away(cause()),
            };
        };
        match code.code() {
            "53100" => Self::Full,
            // Data and indexes that the server itself finds damaged.
            "XX001" | "XX002" => Self::Corrupt(Damage::File(said(&error).into())),
            // Someone else held the head for too long; another server took over.
            "55P03" | "25006" => Self::Away(cause()),
            // The connection, want of resources, and a server that goes or comes.
            code if ["08", "53", "57", "25P03"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Self::Away(cause())
            }
            _ => Self::Io(cause()),
        }
    }
}

/// What happened, without details: those may name what is stored.
pub(super) fn said(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!(
            "{}: {} ({})",
            said.severity(),
            said.message(),
            said.code().code()
        ),
        (None, Some(source)) => {
            let (own, cause) = (error.to_string(), source.to_string());
            match own.contains(&cause) {
                true => own,
                false => format!("{own}: {cause}"),
            }
        }
        (None, None) => error.to_string(),
    }
}

/// A number that is out of the range of what we store there.
pub(super) fn out_of_range(what: &str) -> Fault {
    Fault::Corrupt(Damage::File(format!("{what} is out of range").into()))
}
