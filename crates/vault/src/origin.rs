//! Another origin of the record (`protocol.md` §6): a restored store that does not reach
//! what was signed goes on under another name, so that no two records of one name differ.

use crate::error::SealError;
use crate::installation::Installation;
use crate::keyring::Keyring;
use crate::namespace::Vault;
use crate::root::Root;
use crate::unseal_source::Brought;
use procura_policy::Op;
use procura_record::RecordedBatch;
use std::path::Path;

/// A record that is to go on under another origin.
pub struct NextOrigin {
    root: Root,
    keyring: Keyring,
    installation: Installation,
    origin: String,
}

impl Vault {
    /// The origin of the record, which its checkpoints are of.
    #[must_use]
    pub fn origin(&self) -> String {
        self.keys.load().origin.clone()
    }

    /// Makes ready for another origin. `brought` is what opened the vault; takes as long
    /// as an unseal.
    ///
    /// # Errors
    /// As [`Vault::unseal`].
    pub fn next_origin(&self, brought: &Brought) -> Result<NextOrigin, SealError> {
        let mut installation = self.installation();
        let (root, _) = installation.open_root(brought)?;
        let mut keyring = installation.load_keyring(self.store(), &root)?;
        let first = procura_ledger::origin(&installation.id);
        let number = keyring
            .origin(&installation.id)
            .strip_prefix(&first)
            .and_then(|rest| rest.strip_prefix('/')?.parse::<u64>().ok())
            .unwrap_or(1);
        let origin = format!("{first}/{}", number.saturating_add(1));
        keyring.origin = Some(origin.clone());
        installation.rename_log(&keyring)?;
        Ok(NextOrigin {
            root,
            keyring,
            installation,
            origin,
        })
    }
}

impl NextOrigin {
    /// Its name: `procura/<installation id>/<number>`, from 2 on.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

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
