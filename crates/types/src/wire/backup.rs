//! What a backup says of itself (`spec/backup.md`).

use crate::{InstallationId, Timestamp};
use serde::{Deserialize, Serialize};

/// The media type of a backup on its way.
pub const BACKUP_STREAM: &str = "application/vnd.procura.backup";

/// How much a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// The whole store.
    Full,
    /// Entries of the ledger alone, from an index on.
    Ledger,
}

/// The first thing in a backup. Nothing in it is secret, and nothing of it is believed
/// that does not hold once the vault is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupHead {
    /// How much it holds.
    pub kind: BackupKind,
    /// Of which installation.
    pub id: InstallationId,
    /// When it was begun.
    pub created: Timestamp,
    /// The version of the program that took it.
    pub version: String,
    /// The newest signed checkpoint of that moment (C2SP signed note).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The first entry of the ledger that is in it.
    pub from: u64,
    /// It has the entries before this one at least; a copy of the ledger, no others.
    pub until: u64,
    /// The text of `installation.json` of that moment.
    pub installation: String,
}
