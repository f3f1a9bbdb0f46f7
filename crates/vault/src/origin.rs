//! Another origin of the record (`protocol.md` §6): a restored store that does not reach
//! what was signed goes on under another name, so that no two records of one name differ.

use crate::error::SealError;
use crate::installation::Installation;
use crate::keyring::Keyring;
use crate::root::Root;
use crate::unseal_source::Brought;
use crate::vault::Vault;
use procura_ledger::{later_origin, origin_number};
use procura_policy::Op;
use procura_record::RecordedBatch;
use procura_store::Store;
use std::path::Path;

/// A record that is to go on under another origin.
pub struct NextOrigin {
    root: Root,
    keyring: Keyring,
    installation: Installation,
}

impl Vault {
    /// The origin of the record, which its checkpoints are of.
    #[must_use]
    pub fn origin(&self) -> String {
        self.keys.load().origin.clone()
    }

    /// A name for another origin that no other restored store has.
    ///
    /// # Errors
    /// `Entropy`.
    pub fn another_origin(&self) -> Result<String, SealError> {
        let id = self.installation().id;
        let number = origin_number(&self.origin(), &id).unwrap_or(1);
        let mut apart = [0u8; 8];
        self.entropy().fill(&mut apart)?;
        Ok(later_origin(&id, number.saturating_add(1), &apart))
    }

    /// Makes ready for `origin`, with a fresh key for its checkpoints: those of before sign
    /// nothing under it, and whoever has one of them signs nothing of it. `brought` is what
    /// opened the vault; takes as long as an unseal.
    ///
    /// # Errors
    /// As [`Vault::unseal`].
    pub fn next_origin(&self, brought: &Brought, origin: &str) -> Result<NextOrigin, SealError> {
        let mut installation = self.installation();
        let (root, _) = installation.open_root(brought)?;
        let mut keyring = installation.load_keyring(self.store(), &root)?;
        keyring.rename_log(origin, self.entropy())?;
        installation.rename_log(&keyring)?;
        Ok(NextOrigin {
            root,
            keyring,
            installation,
        })
    }
}

impl Installation {
    /// Whether checkpoints are signed under `origin`, as far as this file says.
    #[must_use]
    pub fn is_under(&self, origin: &str) -> bool {
        let rest = self.ledger_vkey.strip_prefix(origin);
        rest.is_some_and(|rest| rest.starts_with('+'))
    }

    /// Brings the file of a home up to its keyring, where a change of the origin to
    /// `origin` broke off between the two. Takes as long as an unseal.
    ///
    /// # Errors
    /// As [`Vault::unseal`]; `Io`.
    pub fn settle_origin(
        mut self,
        home: &Path,
        store: &Store,
        brought: &Brought,
        origin: &str,
    ) -> Result<Self, SealError> {
        let (root, _) = self.open_root(brought)?;
        let keyring = self.load_keyring(store, &root)?;
        if keyring.origin.as_deref() == Some(origin) {
            self.rename_log(&keyring)?;
            self.write(home)?;
        }
        Ok(self)
    }
}

impl NextOrigin {
    /// What its checkpoints verify with.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.installation.ledger_vkey
    }

    /// Puts it into a batch.
    ///
    /// # Errors
    /// What sealing says.
    pub fn put<O: Op>(
        &self,
        vault: &Vault,
        batch: &mut RecordedBatch<'_, O>,
    ) -> Result<(), SealError> {
        Installation::put_keyring(
            batch.rows(),
            &self.installation.id,
            &self.root,
            &self.keyring,
            vault.entropy(),
        )
    }

    /// Writes `installation.json`, behind the commit.
    ///
    /// # Errors
    /// `Io`.
    pub fn establish(&self, home: &Path) -> Result<(), SealError> {
        self.installation.write(home)
    }
}
