//! The vault: the seal and everything encrypted behind it.
//!
//! [`Installation`] is what stands on disk beside the database and opens by an
//! unseal source; [`Vault`] is the open vault. Secrets are sealed once under a key
//! of their own, which is wrapped by the key of their namespace; the barrier in
//! `store` never sees a value.

mod about;
mod due;
mod error;
mod first_format;
mod installation;
mod keyring;
mod kind;
mod namespace;
mod recovery;
mod release;
mod rewrap;
mod root;
mod rotation;
mod secret;
mod secret_rows;
mod set;
mod undelete;
mod unseal_source;
mod write;

pub use about::SecretAbout;
pub use due::ACTION as DUE_ACTION;
pub use error::{SealError, VaultError};
pub use installation::Installation;
pub use keyring::{Keyring, SessionRoots};
pub use namespace::{Founding, NamespaceCreate, NamespaceListing, OpenedBy, Vault};
pub use recovery::RecoverySeen;
pub use release::{Readable, Released, Releases, SecretRead, Wanted};
pub use rotation::{NextRoot, PassphraseChange, SourceChange};
pub use secret::{
    DeletedListing, Newest, SecretHistoryQuery, SecretListing, candidates_for_env, newest_version,
};
pub use set::SecretSet;
pub use undelete::SecretUndelete;
pub use unseal_source::{
    Brought, Keeper, MAX_SOURCES, NewSource, NextSources, SHARES, Source, UnsealSourceAdd,
    UnsealSourceRemove, UnsealSourceTest,
};
pub use write::{SecretDelete, SecretDestroy, SecretWrite};

/// Longest value in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;
/// Longest description in characters.
pub const MAX_DESCRIPTION: usize = 1000;
