//! Whatever is applied in whatever portions, a snapshot is the plain maps of the
//! last record of each key.

use crate::records::{
    actor_id, agent, device, foreign, grant, grant_id, item, namespace, owner, revoked, roles,
    thumbprint, time, token, tokens_ended,
};
use procura_directory::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, GrantRecord, GrantsEndedRecord,
    NamespaceRecord, RolesRecord, Snapshot, TokenRecord,
};
use procura_types::{
    ActorId, Delivery, ForeignId, GrantId, Label, Namespace, ProjectName, Role, Thumbprint, TokenId,
};
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
        (1u8..8).prop_map(|number| Change::GrantsEnded(GrantsEndedRecord {
            time: time(11),
            grants: vec![grant_id(number)],
        })),
        (0usize..3, 3u8..7, any::<bool>()).prop_map(|(id, actor, ended)| {
            let mut record = foreign(LABELS[id], actor);
            record.released = ended.then(|| time(9));
            Change::Foreign(record)
        }),
        (1u8..8, any::<bool>()).prop_map(|(number, ended)| {
            let mut record = token(number);
            record.revoked = ended.then(|| time(12));
            Change::Token(record)
        }),
        (1u8..8).prop_map(|number| Change::TokenGone(token(number).id)),
        (1u64..4).prop_map(|generation| Change::TokensEnded(tokens_ended(generation))),
    ]
}

#[derive(Default)]
struct Model {
    actors: BTreeMap<ActorId, ActorRecord>,
    devices: BTreeMap<Thumbprint, DeviceRecord>,
    roles: BTreeMap<ActorId, RolesRecord>,
    namespaces: BTreeMap<Namespace, NamespaceRecord>,
    grants: BTreeMap<GrantId, GrantRecord>,
    grants_ended: BTreeSet<GrantId>,
    foreign: BTreeMap<ForeignId, ForeignRecord>,
    tokens: BTreeMap<TokenId, TokenRecord>,
    generations: BTreeMap<(Namespace, ProjectName), u64>,
}

impl Model {
    fn put(&mut self, change: Change) {
        match change {
            Change::Actor(record) => drop(self.actors.insert(record.id, record)),
            Change::Device(record) => drop(self.devices.insert(record.thumbprint, record)),
            Change::Roles(record) => drop(self.roles.insert(record.actor, record)),
            Change::Namespace(record) => drop(self.namespaces.insert(record.name.clone(), record)),
            Change::Grant(record) => drop(self.grants.insert(record.id, record)),
            Change::GrantsEnded(record) => self.grants_ended.extend(record.grants),
            Change::Foreign(record) => drop(self.foreign.insert(record.id.clone(), record)),
            Change::Token(record) => drop(self.tokens.insert(record.id, record)),
            Change::TokenGone(id) => drop(self.tokens.remove(&id)),
            Change::TokensEnded(record) => {
                let key = (record.namespace, record.project);
                self.generations.insert(key, record.generation);
            }
            other => panic!("no strategy makes {other:?}"),
        }
    }

    /// As it shows: with what ended by the record of something else.
    fn shown(mut self) -> Self {
        for record in self.grants.values_mut() {
            let ended = self.grants_ended.contains(&record.id).then(|| time(11));
            let of = self.namespaces.get(&record.namespace);
            let ended = ended.or_else(|| of?.ended);
            record.withdrawn = record.withdrawn.or(ended);
        }
        let gone = |actor: &ActorRecord| self.namespaces.get(actor.namespace()?)?.ended;
        let ends: BTreeMap<ActorId, _> = self
            .actors
            .values()
            .filter_map(|actor| Some((actor.id, gone(actor)?)))
            .collect();
        for (id, ended) in ends {
            let actor = self.actors.get_mut(&id).unwrap();
            actor.revoked = actor.revoked.or(Some(ended));
            for device in self
                .devices
                .values_mut()
                .filter(|device| device.actor == id)
            {
                device.revoked = device.revoked.or(Some(ended));
            }
            for bound in self.foreign.values_mut().filter(|bound| bound.actor == id) {
                bound.released = bound.released.or(Some(ended));
            }
        }
        self.namespaces
            .retain(|_, namespace| namespace.ended.is_none());
        self
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
    fn a_snapshot_is_its_records(
        portions in prop::collection::vec(prop::collection::vec(change(), 0..6), 0..12),
        end in prop::option::of(0usize..12),
    ) {
        let mut model = Model::default();
        let mut snapshot = Snapshot::default();
        let mut seq = 0;
        for (at, mut portion) in portions.into_iter().enumerate() {
            seq += 3;
            // Once the namespace of the agents ended, it stays so.
            if end.is_some_and(|end| end <= at) {
                portion.push(Change::Namespace(namespace("shop")));
                for change in &mut portion {
                    if let Change::Namespace(record) = change && record.name.as_str() == "shop" {
                        record.ended = Some(time(13));
                    }
                }
            }
            snapshot = snapshot.apply(seq, portion.clone());
            portion.into_iter().for_each(|change| model.put(change));
        }
        let model = model.shown();
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
            let tokens: BTreeSet<_> = snapshot.tokens_of(&id).map(|token| token.id).collect();
            let expected: BTreeSet<_> = model.tokens.values().filter(|token| token.agent == id).map(|token| token.id).collect();
            prop_assert_eq!(tokens, expected);
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
        for number in 1..8 {
            let token = token(number);
            let expected = model.tokens.get(&token.id);
            prop_assert_eq!(snapshot.token(&token.id).map(AsRef::as_ref), expected);
            // An opaque one is found by its hash for as long as it is there.
            let hashed = token.hash.and_then(|hash| snapshot.token_hashed(&hash));
            prop_assert_eq!(hashed.map(AsRef::as_ref), expected.filter(|token| token.hash.is_some()));
        }
        prop_assert_eq!(snapshot.tokens().count(), model.tokens.len());
        let web = (namespace("shop").name, "web".parse::<ProjectName>().unwrap());
        let generation = model.generations.get(&web).copied().unwrap_or_default();
        prop_assert_eq!(snapshot.token_generation(&web.0, &web.1), generation);
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
