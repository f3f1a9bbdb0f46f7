//! The database of a `CortexAuth` vault, as it lies in its file: what is brought in from
//! there. It is opened for reading only, and nothing in it is decrypted here.
//!
//! Whoever can write to the file decides what is in it, so names, sizes and numbers are
//! bounded, and a view or a trigger in it runs no function that touches anything else.

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most rows of one table.
const MOST_ROWS: usize = 10_000;
/// Longest text of one column, in bytes: a value of 1 MiB, sealed and in base64.
const LONGEST: usize = 2 * 1024 * 1024;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum CortexAuthError {
    /// It cannot be opened, or is no such database.
    #[error("it cannot be read as a CortexAuth database: {0}")]
    NotOne(String),
    /// A column of a row is not what it should be.
    #[error("row {row} of {table} has no {column} that can be read")]
    Column {
        /// Of which table.
        table: &'static str,
        /// Which row, from 1.
        row: usize,
        /// Which column.
        column: &'static str,
    },
    /// There is no key of a password.
    #[error("its kek_metadata has no row, so that no password opens it")]
    NoKey,
    /// It cannot be copied.
    #[error("it cannot be copied to {place} to be read: {error}")]
    Copy {
        /// Where to.
        place: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// More than is read.
    #[error("{0} has more than {MOST_ROWS} rows")]
    TooMany(&'static str),
}

/// All that is read of the file.
#[derive(Debug, Default)]
pub struct CortexAuth {
    /// Base64.
    pub salt: String,
    /// What the key of the password has to open, sealed.
    pub sentinel: String,
    /// Which key of a password it is, counted from the first one.
    pub kek_version: i64,
    /// All secrets.
    pub secrets: Vec<CortexAuthSecret>,
    /// All agents.
    pub agents: Vec<CortexAuthAgent>,
    /// Which project has which secret under which name.
    pub grants: Vec<CortexAuthGrant>,
}

/// A row of `secrets`.
#[derive(Debug)]
pub struct CortexAuthSecret {
    /// What `project_secret_grants` names it by.
    pub id: String,
    /// Where it lies there.
    pub key_path: String,
    /// `KEY_VALUE`, `JSON_CONFIG` or `TEMPLATE_CONFIG`.
    pub secret_type: String,
    /// The value, sealed.
    pub encrypted_value: String,
    /// The key of the value, sealed.
    pub wrapped_dek: String,
    /// Empty when the database says none.
    pub namespace: String,
    /// Whether it is a decoy.
    pub is_honey: bool,
    /// For people.
    pub description: Option<String>,
    /// By which key of a password its key is sealed, if the database says it.
    pub kek_version: Option<i64>,
}

/// A row of `agents`.
#[derive(Debug)]
pub struct CortexAuthAgent {
    /// Its name there.
    pub id: String,
    /// An Ed25519 public key in base64url; none for an agent that has none there.
    pub public_key: Option<String>,
}

/// A row of `project_secret_grants`.
#[derive(Debug)]
pub struct CortexAuthGrant {
    /// Which project.
    pub project: String,
    /// Which secret.
    pub secret: String,
    /// Under which environment name.
    pub env: String,
}

impl CortexAuth {
    /// Reads the file as it is at one moment, with what its write-ahead log has in front of
    /// it. Nothing is written to it, nor beside it.
    ///
    /// # Errors
    /// [`CortexAuthError`].
    pub fn read(path: &Path) -> Result<Self, CortexAuthError> {
        let place = Place::of(path)?;
        let mut connection = open(&place.file)?;
        // One transaction: what is written meanwhile is seen in none of the tables.
        let connection = connection.transaction().map_err(|error| not_one(&error))?;
        let mut found = Self::default();
        let mut keys = BTreeMap::new();
        rows(&connection, "kek_metadata", |row| {
            let version = row.number("kek_version")?.unwrap_or_default();
            let key = (row.text("salt")?, row.text("sentinel_ciphertext")?);
            if version < 0 || keys.insert(version, key).is_some() {
                return Err(row.wrong("kek_version"));
            }
            Ok(())
        })?;
        // The newest, where there is more than one.
        let (version, (salt, sentinel)) = keys.pop_last().ok_or(CortexAuthError::NoKey)?;
        (found.kek_version, found.salt, found.sentinel) = (version, salt, sentinel);
        rows(&connection, "secrets", |row| {
            let key_path = row.text("key_path")?;
            found.secrets.push(CortexAuthSecret {
                id: row.optional("id")?.unwrap_or_else(|| key_path.clone()),
                secret_type: row.text("secret_type")?,
                encrypted_value: row.text("encrypted_value")?,
                wrapped_dek: row.text("wrapped_dek")?,
                namespace: row.optional("namespace")?.unwrap_or_default(),
                is_honey: row.flag("is_honey_token")?,
                kek_version: row.number("kek_version")?,
                description: row.optional("description")?.filter(|text| !text.is_empty()),
                key_path,
            });
            Ok(())
        })?;
        rows(&connection, "agents", |row| {
            found.agents.push(CortexAuthAgent {
                id: row.text("agent_id")?,
                public_key: row.nullable("agent_pub")?.filter(|text| !text.is_empty()),
            });
            Ok(())
        })?;
        rows(&connection, "project_secret_grants", |row| {
            found.grants.push(CortexAuthGrant {
                project: row.text("project_name")?,
                secret: row.text("secret_id")?,
                env: row.text("env_var_name")?,
            });
            Ok(())
        })?;
        Ok(found)
    }
}

fn not_one(error: &dyn std::fmt::Display) -> CortexAuthError {
    CortexAuthError::NotOne(error.to_string())
}

/// Where the file is opened.
struct Place {
    file: PathBuf,
    /// A folder of our own, which goes with this.
    own: Option<PathBuf>,
}

impl Place {
    /// The file itself, or a copy of it and its log. `SQLite` needs an index beside a log,
    /// and makes one where there is none; it is not for us to leave one there, nor to take
    /// one away that somebody else may use by then. Where there is one already the database
    /// is in use, and is read in place.
    fn of(path: &Path) -> Result<Self, CortexAuthError> {
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let (log, index) = (beside("-wal"), beside("-shm"));
        if !log.exists() || index.exists() {
            return Ok(Self {
                file: path.to_owned(),
                own: None,
            });
        }
        let own = std::env::temp_dir().join(format!("procura-cortexauth-{}", std::process::id()));
        let failed = |error| CortexAuthError::Copy {
            place: own.clone(),
            error,
        };
        // Not one that somebody else made: whatever is there already is an error.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&own)
            .map_err(failed)?;
        let place = Self {
            file: own.join("database"),
            own: Some(own.clone()),
        };
        std::fs::copy(path, &place.file).map_err(failed)?;
        std::fs::copy(&log, own.join("database-wal")).map_err(failed)?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            // What is sealed in it stays sealed, should it stay.
            let _ = std::fs::remove_dir_all(own);
        }
    }
}

fn open(path: &Path) -> Result<Connection, CortexAuthError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| not_one(&error))?;
    let prepare = || -> rusqlite::Result<()> {
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cell_size_check", true)
    };
    prepare().map_err(|error| not_one(&error))?;
    Ok(connection)
}

/// A row with the names of its columns.
struct Named<'a, 'b> {
    table: &'static str,
    number: usize,
    row: &'a Row<'b>,
}

impl Named<'_, '_> {
    fn wrong(&self, column: &'static str) -> CortexAuthError {
        CortexAuthError::Column {
            table: self.table,
            row: self.number,
            column,
        }
    }

    /// A text, or a number as text; none for NULL and for a column that is not there. A
    /// text that a program put there as bytes is one as well.
    fn optional(&self, column: &'static str) -> Result<Option<String>, CortexAuthError> {
        let value = match self.row.get_ref(column) {
            Ok(value) => value,
            Err(rusqlite::Error::InvalidColumnName(_)) => return Ok(None),
            Err(error) => return Err(not_one(&error)),
        };
        match value {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => Ok(Some(number.to_string())),
            ValueRef::Text(text) | ValueRef::Blob(text) if text.len() <= LONGEST => {
                std::str::from_utf8(text)
                    .map(|text| Some(text.to_owned()))
                    .map_err(|_| self.wrong(column))
            }
            ValueRef::Text(_) | ValueRef::Blob(_) | ValueRef::Real(_) => Err(self.wrong(column)),
        }
    }

    /// As [`Self::optional`] of a column that has to be there.
    fn nullable(&self, column: &'static str) -> Result<Option<String>, CortexAuthError> {
        match self.row.get_ref(column) {
            Err(rusqlite::Error::InvalidColumnName(_)) => Err(self.wrong(column)),
            _ => self.optional(column),
        }
    }

    fn text(&self, column: &'static str) -> Result<String, CortexAuthError> {
        self.optional(column)?.ok_or_else(|| self.wrong(column))
    }

    /// None for NULL and for a column that is not there.
    fn number(&self, column: &'static str) -> Result<Option<i64>, CortexAuthError> {
        self.optional(column)?
            .map(|text| text.parse().map_err(|_| self.wrong(column)))
            .transpose()
    }

    /// 0 or 1; NULL, and a column that is not there, is 0. A decoy that were taken for a
    /// secret would be handed out, so nothing else is guessed at.
    fn flag(&self, column: &'static str) -> Result<bool, CortexAuthError> {
        match self.number(column)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => Err(self.wrong(column)),
        }
    }
}

fn rows(
    connection: &Connection,
    table: &'static str,
    mut each: impl FnMut(&Named<'_, '_>) -> Result<(), CortexAuthError>,
) -> Result<(), CortexAuthError> {
    // A vault of secrets alone has neither of these.
    let optional = matches!(table, "agents" | "project_secret_grants");
    let there = connection.table_exists(None, table);
    if optional && !there.map_err(|error| not_one(&error))? {
        return Ok(());
    }
    let mut statement = connection
        .prepare(&format!("SELECT * FROM {table}"))
        .map_err(|error| not_one(&error))?;
    let mut rows = statement.query([]).map_err(|error| not_one(&error))?;
    let mut number = 0;
    while let Some(row) = rows.next().map_err(|error| not_one(&error))? {
        number += 1;
        if number > MOST_ROWS {
            return Err(CortexAuthError::TooMany(table));
        }
        each(&Named { table, number, row })?;
    }
    Ok(())
}
