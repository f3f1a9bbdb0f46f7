//! What happens to the unseal sources of an open vault. One more beside those that there
//! are leaves the root as it is: whoever could open it can still. Any other change makes
//! a new root (`rotation.rs`).

use crate::error::SealError;
use crate::installation::Installation;
use crate::rotation_step::RotationStep;
use crate::unseal_source::{Brought, NewSource};
use crate::vault::{Keys, OpenedBy, Vault};
use procura_policy::{Action, Op, Resource};
use procura_types::{Clock, Label};
use std::sync::Arc;

/// Adds an unseal source.
pub struct UnsealSourceAdd {
    /// Its name.
    pub name: Label,
}

impl Op for UnsealSourceAdd {
    const ACTION: Action = Action::UnsealSourceAdd;
    fn resource(&self) -> Resource {
        Resource::UnsealSource(self.name.clone())
    }
}

/// Removes one, which rotates the root.
pub struct UnsealSourceRemove {
    /// Its name.
    pub name: Label,
}

impl Op for UnsealSourceRemove {
    const ACTION: Action = Action::UnsealSourceRemove;
    fn resource(&self) -> Resource {
        Resource::UnsealSource(self.name.clone())
    }
}

/// Opens the root by one, and changes nothing.
pub struct UnsealSourceTest {
    /// Its name.
    pub name: Label,
}

impl Op for UnsealSourceTest {
    const ACTION: Action = Action::UnsealSourceTest;
    fn resource(&self) -> Resource {
        Resource::UnsealSource(self.name.clone())
    }
}

/// Sources with one more, made and not yet in force.
pub struct NextSources {
    pub(crate) keys: Keys,
    /// For the other servers of the store, and this one.
    pub(crate) handovers: Vec<(String, Vec<u8>)>,
}

impl Vault {
    /// Seals the root to another source as well. Takes as long as Argon2id takes: call
    /// it on a thread that may block.
    ///
    /// # Errors
    /// What [`Vault::unseal`] says of what was brought; [`SealError::SourceExists`];
    /// [`SealError::TooManySources`].
    pub fn next_sources(
        &self,
        brought: &Brought,
        new: NewSource,
        clock: &dyn Clock,
    ) -> Result<NextSources, SealError> {
        let keys = self.keys.load();
        let before = &keys.installation;
        let (root, _) = before.open_root(brought)?;
        let mut sources = before.sources.clone();
        if sources.iter().any(|source| source.name == new.name) {
            return Err(SealError::SourceExists(new.name));
        }
        sources.push(new.seal(&before.id, &root, clock.now())?);
        let keyring = before.load_keyring(&self.store, &root)?;
        let installation = Installation::describe(
            before.id,
            before.created,
            &root,
            sources,
            &keyring,
            self.entropy.as_ref(),
        )?;
        self.reached(RotationStep::SourceMade);
        Ok(NextSources {
            keys: Keys::new(installation, &root, &keyring)?,
            handovers: self.handovers(&root)?,
        })
    }

    /// Puts them in force: whole or not at all, and on disk when this returns. No
    /// other change of sources may be under way meanwhile.
    ///
    /// # Errors
    /// `installation.json` could not be replaced; the sources are those of before.
    pub fn put_sources(&self, next: NextSources) -> Result<(), SealError> {
        self.reached(RotationStep::SourceRecorded);
        if let Err(error) = next.keys.installation.write(&self.home) {
            // The file may be there and only its sync have failed: then the one that
            // counts is put back, or a source would open that the record calls failed.
            self.installation().confirm(&self.home)?;
            return Err(error);
        }
        self.keys.store(Arc::new(next.keys));
        self.reached(RotationStep::SourceAdded);
        Ok(())
    }

    /// Whether what was brought opens the vault, and by which source; nothing is
    /// changed.
    ///
    /// # Errors
    /// What [`Vault::unseal`] says of what was brought.
    pub fn try_source(&self, brought: &Brought) -> Result<OpenedBy, SealError> {
        let keys = self.keys.load();
        let (_, source) = keys.installation.open_root(brought)?;
        Ok(OpenedBy {
            source: source.name.clone(),
            kind: source.keeper.kind(),
        })
    }
}
