//! The vault: the seal and everything encrypted behind it.
//!
//! [`Installation`] is what stands on disk beside the database and opens with a
//! passphrase; [`Vault`] is the open vault. Secrets are sealed once under a key
//! of their own, which is wrapped by the key of their namespace; the barrier in
//! `store` never sees a value.

mod error;
mod installation;
mod keyring;
mod namespace;
mod release;
mod rewrap;
mod rotation;
mod secret;
mod secret_rows;
mod write;

pub use error::{SealError, VaultError};
pub use installation::{Installation, PassphraseSource};
pub use keyring::{Keyring, SessionRoots};
pub use namespace::{Founding, NamespaceCreate, NamespaceListing, Vault};
pub use release::{Readable, Released, Releases, SecretRead, Wanted};
pub use rotation::{NextRoot, PassphraseChange};
pub use secret::{SecretHistoryQuery, SecretListing, candidates_for_env, newest_version};
pub use write::{SecretDelete, SecretDestroy, SecretWrite};

/// Longest value in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;
/// Longest description in characters.
pub const MAX_DESCRIPTION: usize = 1000;
