//! Operators look at who asks.

use super::row::{Answer, DUE, Found, GRANTS, by_user_code};
use crate::error::IdentityError;
use procura_crypto::{MacKey, PublicKey};
use procura_policy::{Action, Op, Permit, Resource};
use procura_proof::fingerprint;
use procura_store::{KeyPrefix, Store};
use procura_types::wire::{DeviceGrant, DeviceGrantList};
use procura_types::{Namespace, Thumbprint, Timestamp, UserCode};

/// Most that are looked at for a list, and most that it has.
const LOOKED_AT: usize = 4096;
const LISTED: usize = 256;

/// Lists the devices that wait for an answer. They are of no namespace yet: who may let
/// devices into this one sees all of them, by what they say of themselves and without what
/// only their hosts show.
pub struct DeviceGrantListing {
    /// Where the caller may let devices in.
    pub namespace: Namespace,
}

impl Op for DeviceGrantListing {
    const ACTION: Action = Action::DeviceGrantList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl DeviceGrantListing {
    /// Those that nobody answered, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub fn run(
        _permit: &Permit<Self>,
        store: &Store,
        now: Timestamp,
    ) -> Result<DeviceGrantList, IdentityError> {
        let snapshot = store.snapshot()?;
        let from = (now.as_millis(), [u8::MAX; 32]);
        let due = DUE.scan(&snapshot, &KeyPrefix::all(), Some(&from), LOOKED_AT)?;
        let mut grants = Vec::new();
        for ((_, tag), _) in due.iter().rev() {
            if grants.len() == LISTED {
                break;
            }
            let row = GRANTS.get_at(&snapshot, tag)?;
            grants.extend(
                row.filter(|row| row.value.answer == Answer::Pending)
                    .map(|row| row.value.shown(tag, None)),
            );
        }
        Ok(DeviceGrantList { grants })
    }
}

/// Shows the device of a user code.
pub struct DeviceGrantShow {
    /// Where the caller may let devices in.
    pub namespace: Namespace,
    /// What the host shows.
    pub code: UserCode,
}

impl Op for DeviceGrantShow {
    const ACTION: Action = Action::DeviceGrantRead;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl DeviceGrantShow {
    /// The device of the permit's code, with what its host has to show too.
    ///
    /// # Errors
    /// [`super::DeviceGrantRefusal`]: `Unknown`, `Expired`.
    pub fn run(
        permit: &Permit<Self>,
        store: &Store,
        key: &MacKey,
        server: &Thumbprint,
        now: Timestamp,
    ) -> Result<DeviceGrant, IdentityError> {
        let code = &permit.op().code;
        let Found { tag, row } = by_user_code(store, key, code, now)?;
        // Without a key there is nothing that the host could show as well.
        let device = row.value.key.as_ref().map(PublicKey::thumbprint);
        let fingerprint = device.map(|device| fingerprint(server, &device, code));
        Ok(row.value.shown(&tag, fingerprint))
    }
}
