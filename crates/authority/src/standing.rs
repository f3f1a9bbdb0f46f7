//! Whether a secret that is there can be handed to an agent now: not when it has
//! expired, and not in a way that its rule does not name.

use crate::error::AuthorityError;
use procura_directory::Snapshot;
use procura_types::wire::GrantItem;
use procura_types::{ActorId, Delivery, Namespace, ProjectName, Timestamp};
use procura_vault::{Newest, Vault, newest_version};
use std::slice;

/// Who asks for secrets, through what, and when.
pub(crate) struct Asking<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) agent: &'a ActorId,
    pub(crate) namespace: &'a Namespace,
    pub(crate) project: &'a ProjectName,
    pub(crate) delivery: Delivery,
    pub(crate) now: Timestamp,
}

impl Asking<'_> {
    /// The newest version, when this agent can have it; none where there is nothing to
    /// read.
    ///
    /// # Errors
    /// [`AuthorityError::Expired`] for an agent that was granted the item; to others
    /// what has expired is not there. [`AuthorityError::DeliveryNotAllowed`].
    pub(crate) fn newest(&self, item: &GrantItem) -> Result<Option<Newest>, AuthorityError> {
        let found = newest_version(self.vault.store(), self.namespace, &item.path)?;
        let Some(newest) = found else {
            return Ok(None);
        };
        if newest.is_expired(self.now) {
            return if self.is_granted(item) {
                Err(AuthorityError::Expired(item.name.clone()))
            } else {
                Ok(None)
            };
        }
        self.allowed(item, &newest)?;
        Ok(Some(newest))
    }

    /// The same of a secret that is found by the name it declares: what the agent could
    /// not be handed in this way is not there either, unless it was granted.
    ///
    /// # Errors
    /// As [`Self::newest`], for what was granted.
    pub(crate) fn declared(&self, item: &GrantItem) -> Result<Option<Newest>, AuthorityError> {
        match self.newest(item) {
            Err(AuthorityError::DeliveryNotAllowed { .. }) if !self.is_granted(item) => Ok(None),
            found => found,
        }
    }

    /// Whether a secret that declares a name is there at all for this agent.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn is_there(&self, item: &GrantItem) -> Result<bool, AuthorityError> {
        let newest = newest_version(self.vault.store(), self.namespace, &item.path)?;
        Ok(newest.is_some_and(|newest| {
            (!newest.is_expired(self.now) && newest.allows(self.delivery)) || self.is_granted(item)
        }))
    }

    fn allowed(&self, item: &GrantItem, newest: &Newest) -> Result<(), AuthorityError> {
        if newest.allows(self.delivery) {
            return Ok(());
        }
        Err(AuthorityError::DeliveryNotAllowed {
            name: item.name.clone(),
            delivery: self.delivery,
        })
    }

    fn is_granted(&self, item: &GrantItem) -> bool {
        self.snapshot.grants_of(self.agent).any(|grant| {
            grant.namespace == *self.namespace
                && grant.project == *self.project
                && grant.delivery == self.delivery
                && grant.holds(self.now)
                && grant.covers(slice::from_ref(item))
        })
    }
}
