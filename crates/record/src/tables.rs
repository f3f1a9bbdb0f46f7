//! The tables that this crate owns: the directory, and where the publisher stands.

use crate::block::BlockRow;
use procura_directory::{
    ActorRecord, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord, RolesRecord,
};
use procura_store::{Kind, LogId, Table};
use serde::{Deserialize, Serialize};

/// The ledger's log.
pub const LEDGER: LogId = LogId::new("ledger");

/// Owners and agents, by id.
pub const ACTORS: Table<String, ActorRecord> = Table::new("actor", Kind::Directory);
/// Devices, by thumbprint.
pub const DEVICES: Table<String, DeviceRecord> = Table::new("device", Kind::Directory);
/// Roles, by owner.
pub const ROLES: Table<String, RolesRecord> = Table::new("role", Kind::Directory);
/// Namespaces, by name.
pub const NAMESPACES: Table<String, NamespaceRecord> = Table::new("namespace", Kind::Directory);
/// Grants, by id.
pub const GRANTS: Table<String, GrantRecord> = Table::new("grant", Kind::Directory);
/// Ids of other systems, by id.
pub const FOREIGN: Table<String, ForeignRecord> = Table::new("foreign-id", Kind::Directory);
/// One row that every change of the directory rewrites: a decision holds as long
/// as its version stands.
pub const DIRECTORY_GUARD: Table<String, ()> = Table::new("directory", Kind::Directory);
/// The key of that one row.
pub const GUARD: &str = "guard";

/// What the publisher has stored, and only then signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRow {
    /// Entries in the tree.
    pub size: u64,
    /// Right edge of the tree at that size, as [`procura_ledger::Frontier`] writes it.
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub frontier: Vec<u8>,
    /// Commit sequence at that size.
    pub seq: u64,
    /// Set digest of the directory at that sequence.
    pub set_digest: [u8; 32],
}

/// The publisher's one row.
pub const PUBLISHED: Table<String, PublishedRow> = Table::new("published", Kind::Ordinary);
/// The key of that one row.
pub const PUBLISHED_KEY: &str = "published";
/// Which spool is in the ledger already.
pub const SPOOLED: Table<String, String> = Table::new("ledger-spool", Kind::Ordinary);
/// What each whole block of the ledger holds, by the block's number. Derived: it may
/// be deleted at any time.
pub(crate) const BLOCKS: Table<u64, BlockRow> = Table::new("ledger-block", Kind::Ordinary);
