//! Where the keys stand that the root leads to.

use crate::error::SealError;
use crate::installation::KEYRINGS;
use crate::vault::Vault;
use procura_policy::{Action, Op, Permit, Resource};
use procura_store::KeyPrefix;
use procura_types::wire::{
    LedgerKeyState, NamespaceKeyState, Rotation, SessionRootState, SigningKeyState,
};
use procura_types::{Namespace, Timestamp};
use std::collections::BTreeMap;

/// Says where the keys stand that the root leads to.
pub struct RotationQuery;

impl Op for RotationQuery {
    const ACTION: Action = Action::InstallationKeys;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl RotationQuery {
    /// All of them; those that sign tokens are rows of their own.
    ///
    /// # Errors
    /// The store's.
    pub fn run(
        _permit: &Permit<Self>,
        vault: &Vault,
        now: Timestamp,
    ) -> Result<Rotation, SealError> {
        let installation = vault.installation();
        let epoch = u64::from(installation.root_epoch);
        let mut keys: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for ((_, name, key_epoch), _) in vault.namespace_rows(&KeyPrefix::all().part(&epoch))? {
            keys.entry(name).or_default().push(key_epoch);
        }
        let namespaces = keys.into_iter().filter_map(|(name, epochs)| {
            Some(NamespaceKeyState {
                name: name.parse::<Namespace>().ok()?,
                key_epochs: epochs,
            })
        });
        let roots = vault.session_roots();
        let sessions = roots.iter().map(|(epoch, _)| SessionRootState {
            epoch,
            until: roots.until(epoch),
        });
        let signers = std::sync::Arc::clone(&vault.ledger_keys.current());
        let former = signers.former().map(|(vkey, until)| LedgerKeyState {
            vkey: vkey.to_string(),
            state: match now < until {
                true => SigningKeyState::Retiring,
                false => SigningKeyState::Retired,
            },
            until: Some(until),
        });
        let active = LedgerKeyState {
            vkey: signers.vkey().to_string(),
            state: SigningKeyState::Active,
            until: None,
        };
        let before = KEYRINGS.get(&vault.store, &epoch.saturating_sub(1))?;
        let next = KEYRINGS.get(&vault.store, &epoch.saturating_add(1))?;
        Ok(Rotation {
            root_epoch: installation.root_epoch,
            root_settled: before.is_none() && next.is_none(),
            sessions: sessions.collect(),
            ledger_keys: former.chain([active]).collect(),
            namespaces: namespaces.collect(),
            rewrapping: vault.rewrap_state()?,
        })
    }
}
