//! The vault: the seal and everything encrypted behind it.
//!
//! [`Installation`] is what stands on disk beside the database and opens by an
//! unseal source; [`Vault`] is the open vault. Secrets are sealed once under a key
//! of their own, which is wrapped by the key of their namespace; the barrier in
//! `store` never sees a value.

mod about;
mod as_of;
mod due;
mod error;
mod export;
mod first_format;
mod honey;
mod honey_missed;
mod honey_shape;
mod honey_touch;
mod import;
mod import_part;
mod installation;
mod keyring;
mod kind;
mod namespace;
mod namespace_end;
mod namespace_keys;
mod namespace_rotation;
mod origin;
mod quota;
mod recovery;
mod release;
mod rewrap;
mod rollback;
mod root;
mod rotation;
mod rotation_state;
mod rotation_step;
mod secret;
mod secret_rows;
mod server_list;
mod servers;
mod set;
mod transit;
mod undelete;
mod unseal_source;
mod vault;
mod whole;
mod write;

pub use about::SecretAbout;
pub use due::ACTION as DUE_ACTION;
pub use error::{SealError, VaultError};
pub use export::{Leaving, MAX_EXPORT, SecretExport};
pub use honey::{
    HoneyBait, HoneyListing, HoneyPlant, HoneyRemove, HoneyWhich, Planted, knows_honey,
};
pub use honey_missed::{
    KeptMissed, MissedAsk, MissedKey, MissedRow, forget_missed, keep_missed, kept_missed,
};
pub use honey_touch::{
    ACTION as TOUCH_ACTION, DAMAGED as TOUCH_DAMAGED, MAX_TOUCHES, Touch, Untold, commit_touches,
    commit_unread, commit_untold,
};
pub use import::{Found, Incoming, MAX_AT_ONCE, SecretImport};
pub use import_part::ImportPart;
pub use installation::Installation;
pub use keyring::{Keyring, SessionRoots};
pub use namespace::{NamespaceCreate, NamespaceListing, NewNamespaces};
pub use namespace_end::{NamespaceDisplayName, sweep_namespace};
pub use namespace_rotation::NamespaceRotate;
pub use origin::NextOrigin;
pub use quota::{Bound, NamespaceQuota, arrives, nothing_arrives};
pub use recovery::RecoverySeen;
pub use release::{Readable, Released, Releases, SecretRead, Wanted};
pub use rollback::{RollbackScope, SecretRollback};
pub use rotation::{NextRoot, PassphraseChange, RootRotate, SourceChange};
pub use rotation_state::RotationQuery;
pub use rotation_step::RotationStep;
pub use secret::{
    DeletedListing, ListingAt, Newest, SecretHistoryQuery, SecretListing, candidates_for_env,
    newest_version,
};
pub use server_list::{LEFT_OUT as LEFT_OUT_ACTION, ServerListing, ServerRemove};
pub use set::SecretSet;
pub use transit::{
    MAX_TRANSIT, TransitListing, TransitRemove, TransitUnwrapping, TransitUse, TransitWrapping,
    TransitWrite,
};
pub use undelete::SecretUndelete;
pub use unseal_source::{
    Brought, Credentials, Keeper, MAX_SOURCES, NewSource, NextSources, Payload, PinTries,
    Pkcs11Tokens, Place, Share, Source, Tpms, UnsealSourceAdd, UnsealSourceRemove,
    UnsealSourceTest, WRAPPED_BYTES, WrapError, Wrapped, Wraps,
};
pub use vault::{Founding, OpenedBy, Vault};
pub use whole::{EveryValue, SecretEnded, end_secret};
pub use write::{SecretDelete, SecretDestroy, SecretWrite};

/// Longest value in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;
/// Longest description in characters.
pub const MAX_DESCRIPTION: usize = 1000;
