//! The first owner of an installation.

use crate::device;
use crate::error::IdentityError;
use crate::roles::recorded;
use procura_crypto::{PublicKey, SignatureAlgorithm, owner_id};
use procura_directory::{ActorKind, ActorRecord, DeviceRecord, RolesRecord};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{Operator, RoleAssignment};
use procura_types::{ActorId, Alg, Label, Role, Timestamp};

/// Makes the installation and its first owner.
pub struct InstallationInit {
    /// The owner's name.
    pub owner: Label,
    /// The owner's root key, P-256; whoever asks has proven that they hold it.
    pub root_key: PublicKey,
}

impl Op for InstallationInit {
    const ACTION: Action = Action::InstallationInit;
    fn resource(&self) -> Resource {
        Resource::Operator(self.owner.clone())
    }
}

impl InstallationInit {
    /// Puts the owner of the permit: a steward, whose root key is the first device.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<Operator, IdentityError> {
        let op = batch.op();
        if op.root_key.algorithm() != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(IdentityError::RootKeyAlgorithm);
        }
        if batch.directory().actors().next().is_some() {
            return Err(IdentityError::Founded);
        }
        // The request came over the admin socket; what made it is the root key.
        batch.details().subject = Some((id_of(&op.root_key).0, op.root_key.thumbprint()));
        let roles = vec![RoleAssignment {
            role: Role::Steward,
            namespace: None,
        }];
        Ok(put_owner(batch, &op.owner, &op.root_key, roles, now))
    }
}

/// The id that a root key gives its owner.
pub(crate) fn id_of(root_key: &PublicKey) -> (ActorId, Alg) {
    let alg = match root_key.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => Alg::P256,
        SignatureAlgorithm::Ed25519 => Alg::Ed25519,
    };
    (owner_id(alg, root_key.as_bytes()), alg)
}

/// Puts an owner with its roles and its root key as its first device.
pub(crate) fn put_owner<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    name: &Label,
    root_key: &PublicKey,
    roles: Vec<RoleAssignment>,
    now: Timestamp,
) -> Operator {
    let (id, alg) = id_of(root_key);
    let kind = ActorKind::Owner {
        name: name.clone(),
        alg,
        root_key: root_key.clone(),
    };
    batch.put_actor(&ActorRecord {
        id,
        kind,
        owner: id,
        created: now,
        revoked: None,
        sources: Vec::new(),
        display_name: None,
    });
    let bound = DeviceRecord {
        thumbprint: root_key.thumbprint(),
        actor: id,
        key: root_key.clone(),
        created: now,
        revoked: None,
    };
    batch.put_device(&bound);
    batch.details().with = Some(recorded(&roles));
    batch.put_roles(&RolesRecord {
        actor: id,
        roles: roles.clone(),
    });
    Operator {
        actor_id: id,
        name: name.clone(),
        roles,
        devices: vec![device::render(&bound)],
        created: now,
        revoked: None,
    }
}
