//! The database file: its lock, its format, and whose it is.

use super::{FORMAT, reserve};
use crate::writer::Fault;
use crate::{Damage, IoCause, OpenError};
use procura_types::InstallationId;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// "PRCA": marks the file as ours in the header of the database.
const APPLICATION_ID: i64 = 0x5052_4341;

const SCHEMA: &str = "
    CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK (id = 1),
                      installation BLOB NOT NULL, sentinel BLOB) STRICT;
    CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1),
                      seq INTEGER NOT NULL, sealed BLOB) STRICT;
    -- not WITHOUT ROWID: values of 1 KiB in the tree of keys make it deep
    CREATE TABLE row(key BLOB PRIMARY KEY NOT NULL, version INTEGER NOT NULL,
                     value BLOB NOT NULL) STRICT;
    CREATE TABLE log(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    -- id = number of the log << 48 | index
    CREATE TABLE entry(id INTEGER PRIMARY KEY, version INTEGER NOT NULL,
                       value BLOB NOT NULL) STRICT;
    -- one row per group: its last and first commit, see journal.rs
    CREATE TABLE journal(last INTEGER PRIMARY KEY, first INTEGER NOT NULL,
                         batches BLOB NOT NULL) STRICT;
    INSERT INTO head(id, seq) VALUES (1, 0);
";

/// The writer's connection and the lock that keeps others out.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) lock: File,
}

fn io(error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Io(IoCause::new(error))
}

/// What a failed statement means for opening the file at `path`.
pub(super) fn refuse(path: &Path, fault: Fault) -> OpenError {
    match fault {
        Fault::Corrupt(Damage::File(_)) if !is_database(path) => {
            OpenError::NotAStore(path.to_owned())
        }
        Fault::Corrupt(what) => OpenError::Corrupt(what),
        Fault::Full => io(&"no space is left"),
        Fault::Away(cause) | Fault::Io(cause) => OpenError::Io(cause),
    }
}

/// Whether the file begins as database files do (SQLite file format §1.3.1).
fn is_database(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0u8; 16];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == *b"SQLite format 3\0")
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// A lock of its own beside the database: it is held for the life of the
/// process whatever SQLite does with its locks.
fn take_lock(path: &Path) -> Result<File, OpenError> {
    let file = private()
        .create(true)
        .truncate(false)
        .open(path.with_added_extension("lock"))
        .map_err(|error| io(&error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(OpenError::InUse(path.to_owned())),
        Err(error) => Err(io(&error)),
    }
}

/// Makes the database and its tables in one transaction.
pub(super) fn create(path: &Path, installation: &InstallationId) -> Result<Opened, OpenError> {
    let lock = take_lock(path)?;
    // An empty file is what a creation that was cut off leaves; WAL and shared
    // memory get its mode.
    private()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| io(&error))?;
    let connection = connect(path).map_err(|error| refuse(path, error.into()))?;
    let tables: i64 = read_pragma(path, &connection, "schema_version")?;
    if tables != 0 || read_pragma::<i64>(path, &connection, "application_id")? != 0 {
        return Err(OpenError::AlreadyExists(path.to_owned()));
    }
    let make = || -> rusqlite::Result<()> {
        configure(&connection)?;
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.execute(
            "INSERT INTO meta(id, installation) VALUES (1, ?1)",
            [installation.as_bytes().as_slice()],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::from(FORMAT))?;
        transaction.commit()
    };
    make().map_err(|error| refuse(path, error.into()))?;
    // The names of the new files are durable too.
    let folder = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io(&error))?;
    Ok(Opened { connection, lock })
}

/// Opens the database after everything about it was found to be ours; a file
/// that is refused is not written to.
pub(super) fn open(path: &Path, installation: &InstallationId) -> Result<Opened, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let lock = take_lock(path)?;
    let connection = match open_checked(path, installation) {
        // Even opening needs a little room, for the memory that is shared with
        // readers.
        Err(OpenError::Io(_)) if reserve::give_up(path) => open_checked(path, installation)?,
        other => other?,
    };
    Ok(Opened { connection, lock })
}

fn open_checked(path: &Path, installation: &InstallationId) -> Result<Connection, OpenError> {
    let connection = connect(path).map_err(|error| refuse(path, error.into()))?;
    if read_pragma::<i64>(path, &connection, "application_id")? != APPLICATION_ID {
        return Err(OpenError::NotAStore(path.to_owned()));
    }
    let found: u32 = read_pragma(path, &connection, "user_version")?;
    if found > FORMAT {
        return Err(OpenError::NewerFormat {
            found,
            supported: FORMAT,
        });
    }
    let id: [u8; 16] = connection
        .query_row("SELECT installation FROM meta", [], |row| row.get(0))
        .map_err(|error| refuse(path, error.into()))?;
    let found = InstallationId::from_bytes(id);
    if found != *installation {
        return Err(OpenError::OtherInstallation {
            expected: *installation,
            found,
        });
    }
    configure(&connection).map_err(|error| refuse(path, error.into()))?;
    Ok(connection)
}

fn read_pragma<T: rusqlite::types::FromSql>(
    path: &Path,
    connection: &Connection,
    name: &str,
) -> Result<T, OpenError> {
    connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map_err(|error| refuse(path, error.into()))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // No URI names, no creation, and no lock of its own: a connection is used by
    // one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// What the writer needs: durable at commit, nothing left of what was deleted.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -4096)
}

/// A connection that only reads.
pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    /// The flags stand in `.cargo/config.toml`, where nothing else would miss them.
    #[test]
    fn sqlite_is_built_as_decided() {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare("PRAGMA compile_options").unwrap();
        let options: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for wanted in ["DEFAULT_MEMSTATUS=0", "DQS=0", "OMIT_LOAD_EXTENSION"] {
            assert!(
                options.iter().any(|option| option == wanted),
                "{wanted}: {options:?}"
            );
        }
        for unwanted in [
            "ENABLE_FTS",
            "ENABLE_RTREE",
            "ENABLE_DBSTAT",
            "USE_URI",
            "SOUNDEX",
        ] {
            let found = options.iter().find(|option| option.starts_with(unwanted));
            assert_eq!(found, None);
        }
    }
}
