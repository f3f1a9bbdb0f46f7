//! What a restored home is marked by. It is the first file of the home, and the first
//! that a server looks for.

use super::error::RestoreError;
use procura_edge::private_file;
use procura_types::wire::PublicJwk;
use procura_types::{InstallationId, Label, Thumbprint, Timestamp, encoding};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Its name in the home.
const FILE: &str = "restored.json";

/// What is known of a home that was restored and is not activated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Of which installation.
    pub installation: InstallationId,
    /// When it was restored.
    pub restored: Timestamp,
    /// When its backup was taken.
    pub taken: Timestamp,
    /// The last commit that is in it.
    pub seq: u64,
    /// Entries of the ledger that are in it: what was recorded later comes from copies.
    pub length: u64,
    /// Rows and entries that the backup told.
    pub rows: u64,
    /// Entries of all logs.
    pub entries: u64,
    /// The newest checkpoint of that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The digest of the backup before its tag.
    #[serde(with = "encoding::serde_b64url")]
    pub digest: Vec<u8>,
    /// Its tag.
    #[serde(with = "encoding::serde_b64url")]
    pub tag: Vec<u8>,
    /// Whether all of it was opened since.
    #[serde(default)]
    pub verified: bool,
    /// What an activation that has begun is to do. It was broken off if it is still here,
    /// and goes on by this when it is run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
}

/// What an activation is to do, decided before it changed anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// Entries of the record of before, with those of the copies.
    pub reached: u64,
    /// The root over them.
    pub root: String,
    /// The sequence of the store goes on behind this one.
    pub seq: u64,
    /// The words of the first entry that it makes.
    pub words: String,
    /// The other origin that it goes on under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The one device that is not held: under another origin always, else where it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Thumbprint>,
    /// The key that becomes a device of a steward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
}

/// A key that is to be a device of a steward from the activation on, because whoever can
/// open the vault says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Which steward of what was restored.
    pub steward: Label,
    /// The key.
    pub key: PublicJwk,
}

impl Marker {
    /// Puts it in place, on disk when this returns.
    pub(super) fn write(&self, home: &Path) -> Result<(), RestoreError> {
        let text = serde_json::to_vec_pretty(self).map_err(RestoreError::internal)?;
        private_file::replace(&home.join(FILE), &text)
            .map_err(RestoreError::io("writing restored.json"))
    }

    /// Takes it away: from here on a server starts.
    pub(super) fn remove(home: &Path) -> Result<(), RestoreError> {
        fs::remove_file(home.join(FILE))
            .and_then(|()| fs::File::open(home))
            .and_then(|home| home.sync_all())
            .map_err(RestoreError::io("removing restored.json"))
    }
}

/// The marker of a home, if it was restored and is not activated. One that cannot be read
/// is an error, and no home without one.
///
/// # Errors
/// `Io`, `Home`.
pub fn find(home: &Path) -> Result<Option<Marker>, RestoreError> {
    let path = home.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RestoreError::io("reading restored.json")(error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| RestoreError::Home {
            path,
            problem: format!("is damaged: {error}; restore the backup once more"),
        })
}
