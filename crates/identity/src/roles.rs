//! Which roles can be given, and that somebody keeps the keys of the house.

use crate::error::IdentityError;
use procura_directory::Snapshot;
use procura_types::wire::RoleAssignment;
use procura_types::{ActorId, Role, Thumbprint};

/// The roles sorted and without duplicates, if each fits its place.
pub(crate) fn checked(
    snapshot: &Snapshot,
    roles: &[RoleAssignment],
) -> Result<Vec<RoleAssignment>, IdentityError> {
    for assigned in roles {
        match (assigned.role, &assigned.namespace) {
            (Role::Steward, None) => {}
            (Role::Steward, Some(_)) | (_, None) => return Err(IdentityError::BadRole),
            (_, Some(namespace)) if snapshot.namespace(namespace).is_none() => {
                return Err(IdentityError::NoNamespace(namespace.clone()));
            }
            (_, Some(_)) => {}
        }
    }
    let mut roles = roles.to_vec();
    roles.sort();
    roles.dedup();
    Ok(roles)
}

/// The roles as an entry of the ledger names them: `steward admin@shop`, or `none`.
pub(crate) fn recorded(roles: &[RoleAssignment]) -> String {
    if roles.is_empty() {
        return "none".to_owned();
    }
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    roles.join(" ")
}

/// Refuses a change after which no steward could sign in. Callers hold the
/// directory's guard, so two such changes cannot pass each other.
pub(crate) fn keeps_a_steward(
    snapshot: &Snapshot,
    without: Loses<'_>,
) -> Result<(), IdentityError> {
    // What somebody put on hold goes on when they go.
    let stays_quarantined = |device: &Thumbprint| {
        let goes_on = |holder: ActorId| without == Loses::Actor(&holder);
        snapshot.is_quarantined(Some(device), None)
            && !snapshot.on_hold(device).is_some_and(goes_on)
    };
    let can_act = |actor: &ActorId| {
        without != Loses::Actor(actor)
            && snapshot
                .roles(actor)
                .is_some_and(|held| held.has(Role::Steward, None))
            && snapshot.is_active(actor)
            && snapshot.break_glass(actor).is_none()
            && snapshot.devices_of(actor).any(|device| {
                device.revoked.is_none()
                    && snapshot.api_key(&device.thumbprint).is_none()
                    && without != Loses::Device(&device.thumbprint)
                    && !stays_quarantined(&device.thumbprint)
            })
    };
    if snapshot.actors().any(|actor| can_act(&actor.id)) {
        Ok(())
    } else {
        Err(IdentityError::LastSteward)
    }
}

/// What the installation is about to lose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loses<'a> {
    /// An actor, or its role of steward.
    Actor(&'a ActorId),
    /// A device.
    Device(&'a Thumbprint),
}
