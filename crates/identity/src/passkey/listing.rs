//! The passkeys of an operator: listed, named otherwise, removed.

use super::{Ceremony, ShownPasskey, USES, signed_by};
use crate::error::IdentityError;
use crate::operator::of_operator;
use crate::web_login::end_made_with;
use procura_directory::{PasskeyRecord, Snapshot};
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::{Passkey, PasskeyList};
use procura_types::{ActorId, DisplayName, Thumbprint, Timestamp};
use std::sync::Arc;

of_operator! {
    /// Lists the passkeys of an operator.
    PasskeyListing = OperatorPasskeyList;
}

impl PasskeyListing {
    /// The passkeys by the time at which they were enrolled, removed ones too.
    ///
    /// # Errors
    /// [`IdentityError::Store`].
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<PasskeyList, IdentityError> {
        let mut passkeys = Vec::new();
        for found in directory.passkeys_of(&permit.op().actor) {
            let row = USES.get(store, found.id.as_bytes())?;
            passkeys.push(render(found, row.and_then(|row| row.value.used)));
        }
        passkeys.sort_by_key(|passkey| (passkey.created, passkey.id));
        Ok(PasskeyList { passkeys })
    }
}

/// Says what its owner calls a passkey. Made by [`PasskeyRename::resolve`].
pub struct PasskeyRename {
    id: Thumbprint,
    actor: ActorId,
    name: DisplayName,
}

impl Op for PasskeyRename {
    const ACTION: Action = Action::OperatorPasskeyRename;
    fn resource(&self) -> Resource {
        Resource::Passkey(self.id)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl PasskeyRename {
    /// The operation for this passkey; none when there is no such, or it was removed.
    #[must_use]
    pub fn resolve(directory: &Snapshot, id: &Thumbprint, name: DisplayName) -> Option<Self> {
        let found = standing(directory, id)?;
        Some(Self {
            id: found.id,
            actor: found.actor,
            name,
        })
    }

    /// Gives the passkey of the permit its name.
    ///
    /// # Errors
    /// [`IdentityError::NoPasskey`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<Passkey, IdentityError> {
        let op = batch.op();
        let found = standing(batch.directory(), &op.id).ok_or(IdentityError::NoPasskey)?;
        let record = PasskeyRecord {
            name: op.name.clone(),
            ..found.clone()
        };
        batch.put_passkey(&record);
        Ok(render(&record, None))
    }
}

/// Removes a passkey. Made by [`PasskeyRemove::resolve`].
pub struct PasskeyRemove {
    id: Thumbprint,
    actor: ActorId,
    shown: Option<ShownPasskey>,
}

impl Op for PasskeyRemove {
    const ACTION: Action = Action::OperatorPasskeyRemove;
    fn resource(&self) -> Resource {
        Resource::Passkey(self.id)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl PasskeyRemove {
    /// The operation for this passkey; none when there is no such.
    #[must_use]
    pub fn resolve(directory: &Snapshot, id: &Thumbprint) -> Option<Self> {
        let found = directory.passkey(id)?;
        Some(Self {
            id: found.id,
            actor: found.actor,
            shown: None,
        })
    }

    /// The same with the passkey that was shown for it, without which a browser removes none:
    /// whoever has no passkey at hand does it with a device key.
    #[must_use]
    pub fn showing(self, shown: ShownPasskey) -> Self {
        Self {
            shown: Some(shown),
            ..self
        }
    }

    /// Removes the passkey of the permit; doing it again changes nothing. Web logins that
    /// were made with it, and codes, end with that commit. Whoever shows one is held against
    /// the directory as well, on each server.
    ///
    /// # Errors
    /// [`IdentityError::NoPasskey`]; in a web login [`super::PasskeyRefusal::NotShown`] and
    /// what else a passkey is refused for.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let (id, actor) = (batch.op().id, batch.op().actor);
        let found = batch.directory().passkey(&id).cloned();
        let found = found.ok_or(IdentityError::NoPasskey)?;
        let shown = batch.op().shown.as_ref();
        let by = signed_by(batch, shown, |login| Ceremony::Remove(login, id), now)?;
        if batch.permit().caller().device().is_none() {
            batch.details().with = Some(format!("by:{}", Resource::Passkey(by)));
        }
        end_made_with(batch, &actor, &[id])?;
        if found.removed.is_none() {
            batch.put_passkey(&PasskeyRecord {
                removed: Some(now),
                ..found.as_ref().clone()
            });
        }
        Ok(())
    }
}

/// Removes, in the batch, the passkeys of an operator for which this device vouches, which is
/// revoked: what whoever stole it let in must not outlive it. Says which those were.
pub(crate) fn remove_vouched<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    device: &Thumbprint,
    now: Timestamp,
) -> Vec<Thumbprint> {
    let passkeys = batch.directory().passkeys_of(actor);
    let gone: Vec<Arc<PasskeyRecord>> = passkeys
        .filter(|found| found.removed.is_none() && found.vouched_by == *device)
        .map(Arc::clone)
        .collect();
    for found in &gone {
        batch.put_passkey(&PasskeyRecord {
            removed: Some(now),
            ..found.as_ref().clone()
        });
    }
    gone.iter().map(|found| found.id).collect()
}

fn standing<'a>(directory: &'a Snapshot, id: &Thumbprint) -> Option<&'a PasskeyRecord> {
    let found = directory.passkey(id)?;
    found.removed.is_none().then_some(found.as_ref())
}

/// A passkey as the API shows it.
pub(super) fn render(record: &PasskeyRecord, used: Option<Timestamp>) -> Passkey {
    Passkey {
        id: record.id,
        actor: record.actor,
        name: record.name.clone(),
        key: record.key.to_jwk(),
        relying_party: record.relying_party.clone(),
        transports: record.transports.clone(),
        backup_eligible: record.backup_eligible,
        vouched_by: record.vouched_by,
        created: record.created,
        used,
        removed: record.removed,
    }
}
