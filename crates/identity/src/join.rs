//! Joining: a device shows a link code and its own signature (`protocol.md` §2).
//! The signature was checked before anything here runs, so a code cannot be used
//! up by whoever only saw it fly by.

use crate::code::{self, Purpose};
use crate::error::{IdentityError, JoinRefusal};
use crate::founding::{id_of, put_owner};
use crate::operator;
use procura_crypto::PublicKey;
use procura_directory::{DeviceRecord, Snapshot};
use procura_policy::{Action, Op, Resource};
use procura_proof::Joining;
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::{ActorId, Label, Namespace, Thumbprint, Timestamp};

/// Binds a device to an actor. Made by [`Join::resolve`].
pub struct DeviceJoin {
    code_sha256: [u8; 32],
    actor: ActorId,
    namespace: Option<Namespace>,
    key: PublicKey,
}

impl Op for DeviceJoin {
    const ACTION: Action = Action::DeviceJoin;
    fn resource(&self) -> Resource {
        Resource::Device(self.namespace.clone(), self.key.thumbprint())
    }
}

/// Becomes an operator. Made by [`Join::resolve`].
pub struct OperatorJoin {
    code_sha256: [u8; 32],
    name: Label,
    root_key: PublicKey,
}

impl Op for OperatorJoin {
    const ACTION: Action = Action::OperatorJoin;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

/// The operation that a code opens.
pub enum Join {
    /// One more device of an actor.
    Device(DeviceJoin),
    /// A new operator.
    Operator(OperatorJoin),
}

/// What a device has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The actor that it speaks for.
    pub actor: ActorId,
    /// The actor's way from its owner; of an operator, the name.
    pub name: String,
    /// The last part of it.
    pub label: Label,
    /// The owner at the root.
    pub owner: ActorId,
    /// The device.
    pub device: Thumbprint,
    /// The agent's namespace; operators have none.
    pub namespace: Option<Namespace>,
}

impl Join {
    /// Looks the code up and says what it opens for a device whose signature was
    /// checked. The operation checks all of it again when it runs.
    pub fn resolve(
        store: &Store,
        snapshot: &Snapshot,
        joining: &Joining,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let (code_sha256, actor, key) = (
            *joining.code_sha256(),
            *joining.actor(),
            joining.key().clone(),
        );
        let row = code::look_up(store, snapshot, &code_sha256, &actor, &key, now)?;
        Ok(match row.value.purpose {
            Purpose::Device(_) => {
                let record = snapshot.actor(&actor);
                let namespace = record.and_then(|record| record.namespace().cloned());
                Self::Device(DeviceJoin {
                    code_sha256,
                    actor,
                    namespace,
                    key,
                })
            }
            Purpose::Operator { name, .. } => Self::Operator(OperatorJoin {
                code_sha256,
                name,
                root_key: key,
            }),
            // A code to enrol with is good for nothing else.
            Purpose::Enrol(_) | Purpose::Passkey(_) => return Err(JoinRefusal::UnknownCode.into()),
        })
    }
}

/// The caller signed with the key, and for the actor, that the operation names.
pub(crate) fn is_caller<O: Op>(
    batch: &RecordedBatch<'_, O>,
    actor: &ActorId,
    key: &PublicKey,
) -> Result<(), IdentityError> {
    let caller = batch.permit().caller();
    if caller.actor() == actor && caller.device() == Some(&key.thumbprint()) {
        Ok(())
    } else {
        Err(IdentityError::OtherCaller)
    }
}

impl DeviceJoin {
    /// Binds the device of the permit and uses the code up, in one commit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Joined, IdentityError> {
        let op = batch.op();
        is_caller(batch, &op.actor, &op.key)?;
        let directory = batch.directory();
        let row = code::look_up(
            batch.store(),
            directory,
            &op.code_sha256,
            &op.actor,
            &op.key,
            now,
        )?;
        let joined = bound(batch, &op.actor, &op.key, now)?;
        code::consume(batch, &op.code_sha256, &row);
        Ok(joined)
    }
}

/// Makes a key a device of an actor who may have one.
pub(crate) fn bound<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Joined, IdentityError> {
    let directory = batch.directory();
    let record = directory
        .actor(actor)
        .filter(|record| directory.is_active(&record.id))
        .cloned()
        .ok_or(JoinRefusal::ActorRevoked)?;
    let device = key.thumbprint();
    if directory.device(&device).is_some() {
        return Err(JoinRefusal::DeviceBound.into());
    }
    let joined = Joined {
        actor: record.id,
        name: directory.lineage(&record.id),
        label: record.label().clone(),
        owner: record.owner,
        device,
        namespace: record.namespace().cloned(),
    };
    batch.put_device(&DeviceRecord {
        thumbprint: device,
        actor: record.id,
        key: key.clone(),
        created: now,
        revoked: None,
    });
    Ok(joined)
}

impl OperatorJoin {
    /// Makes the operator of the permit, whose id derives from the key that they
    /// bring, and uses the code up, in one commit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Joined, IdentityError> {
        let op = batch.op();
        let (id, _) = id_of(&op.root_key);
        is_caller(batch, &id, &op.root_key)?;
        let row = code::look_up(
            batch.store(),
            batch.directory(),
            &op.code_sha256,
            &id,
            &op.root_key,
            now,
        )?;
        let Purpose::Operator { name, roles } = row.value.purpose.clone() else {
            return Err(JoinRefusal::UnknownCode.into());
        };
        let device = op.root_key.thumbprint();
        if batch.directory().device(&device).is_some() || batch.directory().actor(&id).is_some() {
            return Err(JoinRefusal::DeviceBound.into());
        }
        operator::is_free(batch.directory(), &name)?;
        code::consume(batch, &op.code_sha256, &row);
        put_owner(batch, &name, &op.root_key, roles, now);
        Ok(Joined {
            actor: id,
            name: name.to_string(),
            label: name,
            owner: id,
            device,
            namespace: None,
        })
    }
}
