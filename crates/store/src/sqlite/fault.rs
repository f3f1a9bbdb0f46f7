//! What SQLite reports, in the words of the engine.

use crate::writer::Fault;
use crate::{Damage, IoCause, StoreError};
use rusqlite::{Error, ErrorCode};

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt(Damage::File(error.to_string().into()))
            }
            Some(_) => Self::Io(IoCause::new(&error)),
            // Not from the database: a column that is not of its type.
            None => Self::Corrupt(Damage::File(error.to_string().into())),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Io(IoCause::new(&"no space is left")),
            Fault::Corrupt(what) => Self::Corrupt { what },
            Fault::Away(cause) => Self::Unavailable(cause),
            Fault::Io(cause) => Self::Io(cause),
        }
    }
}

/// A number that is out of the range of what we store there.
pub(super) fn out_of_range(what: &str) -> Fault {
    Fault::Corrupt(Damage::File(format!("{what} is out of range").into()))
}
