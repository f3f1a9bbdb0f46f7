//! The tables that this crate owns: the directory, and where the publisher stands.

use crate::block::BlockRow;
use procura_directory::{
    ActorRecord, ApiKeyRecord, ApprovalRuleRecord, AttestationRecord, BaselineRecord,
    BreakGlassRecord, DeviceRecord, ForeignRecord, GrantRecord, GrantsEndedRecord, HoneyRecord,
    NamespaceRecord, PasskeyRecord, PolicyRecord, QuarantineRecord, ReleaseKeyRecord,
    ReleaseRecord, RolesRecord, TokenRecord, TokensEndedRecord,
};
use procura_store::{Blob, Kind, LogId, Table};
use procura_types::{ActorId, EntryId, InstanceId, Timestamp};
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
/// Grants that ended together, by the first of them.
pub const GRANTS_ENDED: Table<String, GrantsEndedRecord> = Table::new("grant-end", Kind::Directory);
/// Ids of other systems, by id.
pub const FOREIGN: Table<String, ForeignRecord> = Table::new("foreign-id", Kind::Directory);
/// Project tokens, by id. Those that are over go.
pub const TOKENS: Table<String, TokenRecord> = Table::new("project-token", Kind::Directory);
/// That all tokens of a project were revoked, by namespace and project.
pub const TOKENS_ENDED: Table<String, TokensEndedRecord> =
    Table::new("project-token-end", Kind::Directory);
/// Decoys, by canary.
pub const HONEY: Table<String, HoneyRecord> = Table::new("honey", Kind::Directory);
/// What was put into quarantine, by itself.
pub const QUARANTINES: Table<String, QuarantineRecord> = Table::new("quarantine", Kind::Directory);
/// Passkeys of operators, by thumbprint.
pub const PASSKEYS: Table<String, PasskeyRecord> = Table::new("passkey", Kind::Directory);
/// Attestations, by id. Those that count no more go.
pub const ATTESTATIONS: Table<String, AttestationRecord> =
    Table::new("attestation", Kind::Directory);
/// Keys that sign releases, by thumbprint.
pub const RELEASE_KEYS: Table<String, ReleaseKeyRecord> =
    Table::new("release-key", Kind::Directory);
/// Programs that a release key vouches for, by digest.
pub const RELEASES: Table<String, ReleaseRecord> = Table::new("release", Kind::Directory);
/// How hosts have to have started, by device.
pub const BASELINES: Table<String, BaselineRecord> = Table::new("baseline", Kind::Directory);
/// API keys, by the device that each is bound to. No row of them goes: without it the device
/// would be a whole operator's.
pub const API_KEYS: Table<String, ApiKeyRecord> = Table::new("api-key", Kind::Directory);
/// Break-glass accounts, by actor.
pub const BREAK_GLASS: Table<String, BreakGlassRecord> = Table::new("break-glass", Kind::Directory);
/// How many stewards acts take, by act.
pub const APPROVAL_RULES: Table<String, ApprovalRuleRecord> =
    Table::new("approval-rule", Kind::Directory);
/// Which policies count, by namespace; those of the installation under
/// [`INSTALLATION_POLICIES`].
pub const POLICIES: Table<String, PolicyRecord> = Table::new("policy", Kind::Directory);
/// The key of the policies of the installation, which is no name of a namespace.
pub const INSTALLATION_POLICIES: &str = "/";
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
/// The newest signed checkpoint, for servers that do not sign themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRow {
    /// Entries in the tree.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub time: Timestamp,
}

/// The signer's one row, under [`PUBLISHED_KEY`], where several servers share a store.
pub const SIGNED: Table<String, SignedRow> = Table::new("published-note", Kind::Ordinary);

/// Who has a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The run of a server that has it.
    pub holder: InstanceId,
    /// How often it was taken.
    pub term: u64,
}

/// Leases by name. A row is written when its lease is taken and not again until it
/// goes, so that what is done under a lease can expect its version.
pub const LEASES: Table<String, LeaseRow> = Table::new("lease", Kind::Ordinary);
/// Leases by name → rewritten by the holder for as long as it lives.
pub const BEATS: Table<String, u64> = Table::new("lease-beat", Kind::Ordinary);

/// A checkpoint that the key which signs them turned with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverRow {
    /// The key that signed before (C2SP vkey).
    pub before: String,
    /// The one that signs from here on.
    pub key: String,
    /// The note, signed by both.
    pub note: String,
}

/// The checkpoints that the key turned with, counted from 0.
pub const HANDOVERS: Table<u64, HandoverRow> = Table::new("ledger-handover", Kind::Ordinary);
/// Which spool is in the ledger already.
pub const SPOOLED: Table<String, String> = Table::new("ledger-spool", Kind::Ordinary);
/// How long entries of the ledger are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRow {
    /// In seconds; for ever without.
    pub keep: Option<u64>,
    /// When that was said.
    pub since: Timestamp,
    /// By whom.
    pub by: ActorId,
    /// What was in force until then, in seconds; for ever without.
    pub before: Option<u64>,
}

/// The rule of now, under [`PUBLISHED_KEY`]; without one entries are kept for ever.
pub const RETENTION: Table<String, RetentionRow> = Table::new("ledger-retention", Kind::Ordinary);

/// Up to which time entries may be too old, under [`PUBLISHED_KEY`]: it goes on only with
/// time that this installation was open for.
pub(crate) const REACHED: Table<String, Timestamp> = Table::new("ledger-reached", Kind::Ordinary);

/// The beginning of the ledger that is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgottenRow {
    /// The entries before this one.
    pub until: u64,
    /// The tree over them, as [`procura_ledger::Frontier`] writes it.
    #[serde(with = "procura_types::encoding::serde_b64url")]
    pub frontier: Vec<u8>,
    /// The entry that says so.
    pub entry: EntryId,
    /// As of when they were too old.
    pub time: Timestamp,
}

/// The one row of it, under [`PUBLISHED_KEY`].
pub const FORGOTTEN: Table<String, ForgottenRow> = Table::new("ledger-forgotten", Kind::Ordinary);
/// What it leaves behind, as [`procura_ledger::Carried`] writes it, under
/// [`PUBLISHED_KEY`].
pub const CARRIED: Table<String, Blob> = Table::new("ledger-carried", Kind::Ordinary);
/// The leaf hashes of each bundle that is gone, by its number.
pub(crate) const LEAVES: Table<u64, Blob> = Table::new("ledger-leaves", Kind::Ordinary);
/// What each whole block of the ledger holds, by the block's number. Derived: it may
/// be deleted at any time.
pub(crate) const BLOCKS: Table<u64, BlockRow> = Table::new("ledger-block", Kind::Ordinary);
