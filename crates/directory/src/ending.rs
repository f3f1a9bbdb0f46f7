//! The end of a namespace, as it shows in everything that was in it, and of grants that
//! ended together. One small record says it; the records of what ended are seen through
//! that, in whichever order they come, so that an end fits into one commit however much
//! there was, and nothing is left out.

use crate::record::{ActorRecord, Change, RolesRecord};
use crate::snapshot::Snapshot;
use procura_types::{ActorId, Namespace, Timestamp};

/// A change, as it shows in this directory: what is in a namespace that ended has ended.
pub(crate) fn ended(directory: &Snapshot, change: Change) -> Change {
    match change {
        Change::Actor(mut actor) => {
            if let Some(ended) = end_of(directory, &actor) {
                actor.revoked.get_or_insert(ended);
            }
            Change::Actor(actor)
        }
        Change::Device(mut device) => {
            if let Some(ended) = end_by_actor(directory, &device.actor) {
                device.revoked.get_or_insert(ended);
            }
            Change::Device(device)
        }
        Change::Grant(mut grant) => {
            let ended = directory
                .grant_ended(&grant.id)
                .or_else(|| directory.namespace_ended(&grant.namespace));
            if let Some(ended) = ended {
                grant.withdrawn.get_or_insert(ended);
            }
            Change::Grant(grant)
        }
        Change::Foreign(mut foreign) => {
            if let Some(ended) = end_by_actor(directory, &foreign.actor) {
                foreign.released.get_or_insert(ended);
            }
            Change::Foreign(foreign)
        }
        Change::Roles(mut roles) => {
            roles.roles.retain(|held| {
                let namespace = held.namespace.as_ref();
                namespace.is_none_or(|name| directory.namespace_ended(name).is_none())
            });
            Change::Roles(roles)
        }
        other => other,
    }
}

fn end_of(directory: &Snapshot, actor: &ActorRecord) -> Option<Timestamp> {
    directory.namespace_ended(actor.namespace()?)
}

fn end_by_actor(directory: &Snapshot, actor: &ActorId) -> Option<Timestamp> {
    end_of(directory, directory.actor(actor)?)
}

/// What an actor of a namespace that ended has, to be put once more behind the actor.
pub(crate) fn held_by(directory: &Snapshot, actor: &ActorRecord) -> Vec<Change> {
    if end_of(directory, actor).is_none() {
        return Vec::new();
    }
    let devices = directory.devices_of(&actor.id);
    let bound = directory.foreign_of(&actor.id);
    devices
        .map(|device| Change::Device(device.as_ref().clone()))
        .chain(bound.map(|bound| Change::Foreign(bound.as_ref().clone())))
        .collect()
}

/// Everything in a namespace that shows its end, to be put once more.
pub(crate) fn held(directory: &Snapshot, namespace: &Namespace) -> Vec<Change> {
    let mut held = Vec::new();
    for actor in directory.actors() {
        if actor.namespace() == Some(namespace) {
            held.push(Change::Actor(actor.as_ref().clone()));
        } else if let Some(roles) = directory
            .roles(&actor.id)
            .filter(|held| is_in(held, namespace))
        {
            held.push(Change::Roles(roles.as_ref().clone()));
        }
    }
    let grants = directory
        .grants()
        .filter(|grant| grant.namespace == *namespace);
    held.extend(grants.map(|grant| Change::Grant(grant.as_ref().clone())));
    held
}

fn is_in(roles: &RolesRecord, namespace: &Namespace) -> bool {
    let mut held = roles.roles.iter();
    held.any(|role| role.namespace.as_ref() == Some(namespace))
}
