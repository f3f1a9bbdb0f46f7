//! Whatever is applied in whatever portions, a snapshot is the plain maps of the
//! last record of each key.

use crate::records::{
    actor_id, agent, device, foreign, grant, item, namespace, owner, revoked, roles, thumbprint,
    time,
};
use procura_directory::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, GrantRecord, NamespaceRecord,
    RolesRecord, Snapshot,
};
use procura_types::{ActorId, Delivery, ForeignId, GrantId, Label, Namespace, Role, Thumbprint};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const LABELS: [&str; 3] = ["scribe", "baker", "clerk"];
const NAMES: [&str; 2] = ["shop", "bank"];

/// Actors 1 and 2 are owners, 3..12 agents whose parent has a lower number.
fn actor(number: u8, choice: u8, ended: bool) -> ActorRecord {
    let record = if number <= 2 {
        owner(number, LABELS[usize::from(number) - 1])
    } else {
        // The kind of an actor never changes: all of it follows from its number.
        let label = LABELS[usize::from(number) % LABELS.len()];
        agent(
            number,
            1 + (number * 7) % (number - 1),
            label,
            u32::from(number),
        )
    };
    if ended || choice == 0 {
        revoked(record)
    } else {
        record
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1u8..12, 0u8..4, any::<bool>())
            .prop_map(|(number, choice, ended)| Change::Actor(actor(number, choice, ended))),
        (1u8..8, any::<bool>()).prop_map(|(number, ended)| {
            let mut record = device(number, 1 + number % 5);
            record.revoked = ended.then(|| time(5));
            Change::Device(record)
        }),
        (1u8..3, 0usize..4).prop_map(|(number, role)| {
            Change::Roles(roles(number, &[(Role::ALL[role], None)]))
        }),
        (0usize..2).prop_map(|name| Change::Namespace(namespace(NAMES[name]))),
        (1u8..8, any::<bool>()).prop_map(|(number, ended)| {
            let mut record = grant(number, 3 + number % 4, vec![item("KEY", "a/key")]);
            record.withdrawn = ended.then(|| time(12));
            Change::Grant(record)
        }),
        (0usize..3, 3u8..7, any::<bool>()).prop_map(|(id, actor, ended)| {
            let mut record = foreign(LABELS[id], actor);
            record.released = ended.then(|| time(9));
            Change::Foreign(record)
        }),
    ]
}

#[derive(Default)]
struct Model {
    actors: BTreeMap<ActorId, ActorRecord>,
    devices: BTreeMap<Thumbprint, DeviceRecord>,
    roles: BTreeMap<ActorId, RolesRecord>,
    namespaces: BTreeMap<Namespace, NamespaceRecord>,
    grants: BTreeMap<GrantId, GrantRecord>,
    foreign: BTreeMap<ForeignId, ForeignRecord>,
}

impl Model {
    fn put(&mut self, change: Change) {
        match change {
            Change::Actor(record) => drop(self.actors.insert(record.id, record)),
            Change::Device(record) => drop(self.devices.insert(record.thumbprint, record)),
            Change::Roles(record) => drop(self.roles.insert(record.actor, record)),
            Change::Namespace(record) => drop(self.namespaces.insert(record.name.clone(), record)),
            Change::Grant(record) => drop(self.grants.insert(record.id, record)),
            Change::Foreign(record) => drop(self.foreign.insert(record.id.clone(), record)),
        }
    }

    fn above(&self, id: &ActorId) -> Vec<&ActorRecord> {
        std::iter::successors(self.actors.get(id), |record| {
            self.actors.get(record.parent()?)
        })
        .collect()
    }

    fn is_active(&self, id: &ActorId) -> bool {
        let above = self.above(id);
        let whole = above.last().is_some_and(|root| root.parent().is_none());
        whole && above.iter().all(|record| record.revoked.is_none())
    }

    fn subtree(&self, id: &ActorId) -> BTreeSet<ActorId> {
        let below = self.actors.values().filter(|record| {
            std::iter::successors(Some(*record), |at| self.actors.get(at.parent()?))
                .any(|at| at.id == *id || at.parent() == Some(id))
        });
        below.map(|record| record.id).chain([*id]).collect()
    }
}

proptest! {
    #[test]
    fn a_snapshot_is_its_records(portions in prop::collection::vec(prop::collection::vec(change(), 0..6), 0..12)) {
        let mut model = Model::default();
        let mut snapshot = Snapshot::default();
        let mut seq = 0;
        for portion in portions {
            seq += 3;
            snapshot = snapshot.apply(seq, portion.clone());
            portion.into_iter().for_each(|change| model.put(change));
        }
        prop_assert_eq!(snapshot.seq(), seq);
        prop_assert_eq!(snapshot.actors().count(), model.actors.len());
        prop_assert_eq!(snapshot.grants().count(), model.grants.len());
        prop_assert_eq!(snapshot.namespaces().count(), model.namespaces.len());
        for number in 0..13 {
            let id = actor_id(number);
            prop_assert_eq!(snapshot.actor(&id).map(AsRef::as_ref), model.actors.get(&id));
            prop_assert_eq!(snapshot.is_active(&id), model.is_active(&id));
            prop_assert_eq!(snapshot.roles(&id).map(AsRef::as_ref), model.roles.get(&id));
            let subtree: BTreeSet<_> = snapshot.subtree(&id).into_iter().collect();
            prop_assert_eq!(subtree, model.subtree(&id));
            let devices: BTreeSet<_> = snapshot.devices_of(&id).map(|device| device.thumbprint).collect();
            let expected: BTreeSet<_> = model.devices.values().filter(|device| device.actor == id).map(|device| device.thumbprint).collect();
            prop_assert_eq!(devices, expected);
            let ids: BTreeSet<_> = snapshot.foreign_of(&id).map(|foreign| &foreign.id).collect();
            let expected: BTreeSet<_> = model.foreign.values().filter(|foreign| foreign.actor == id && foreign.released.is_none()).map(|foreign| &foreign.id).collect();
            prop_assert_eq!(ids, expected);
            let expected = model.grants.values().find(|grant| grant.agent == id && grant.withdrawn.is_none());
            let found = snapshot.covering_grant(&id, &"shop".parse().unwrap(), &"web".parse().unwrap(), Delivery::Env, &[item("KEY", "a/key")], time(15));
            prop_assert_eq!(found.is_some(), expected.is_some());
            prop_assert!(found.is_none_or(|grant| grant.agent == id && grant.withdrawn.is_none()));
        }
        let bound = model.foreign.values().filter(|foreign| foreign.released.is_none());
        prop_assert_eq!(snapshot.foreign_ids().count(), bound.count());
        for id in LABELS {
            let id: ForeignId = id.parse().unwrap();
            let expected = model.foreign.get(&id).filter(|foreign| foreign.released.is_none());
            prop_assert_eq!(snapshot.foreign(&id).map(AsRef::as_ref), expected);
        }
        for number in 0..9 {
            let id = thumbprint(number);
            prop_assert_eq!(snapshot.device(&id).map(AsRef::as_ref), model.devices.get(&id));
        }
        for text in LABELS {
            let (shop, label): (Namespace, Label) = ("shop".parse().unwrap(), text.parse().unwrap());
            let of_label: Vec<_> = model.actors.values().filter(|record| record.parent().is_some() && *record.label() == label).collect();
            let last = of_label.iter().map(|record| match record.kind {
                ActorKind::Agent { incarnation, .. } => incarnation,
                ActorKind::Owner { .. } => 0,
            }).max().unwrap_or(0);
            prop_assert_eq!(snapshot.last_incarnation(&shop, &label), last);
            let living = of_label.iter().any(|record| record.revoked.is_none());
            let found = snapshot.agent_named(&shop, &label);
            prop_assert_eq!(found.is_some(), living);
            prop_assert!(found.is_none_or(|record| record.revoked.is_none() && *record.label() == label));
            let owners = model.actors.values().any(|record| record.parent().is_none() && *record.label() == label && record.revoked.is_none());
            prop_assert_eq!(snapshot.owner_named(&label).is_some(), owners);
        }
    }
}
