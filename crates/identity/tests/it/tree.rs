//! Whatever is done to the tree, what was revoked never comes back, and what
//! stands below it goes with it.

use crate::world::{World, label, namespace};
use procura_identity::AgentRevoke;
use procura_types::{ActorId, Thumbprint};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    Create { label: u8, parent: Option<u8> },
    Join { label: u8 },
    Revoke { label: u8 },
    RevokeDevice { pick: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6, proptest::option::weighted(0.7, 0u8..6))
            .prop_map(|(label, parent)| Step::Create { label, parent }),
        2 => (0u8..6).prop_map(|label| Step::Join { label }),
        2 => (0u8..6).prop_map(|label| Step::Revoke { label }),
        1 => any::<usize>().prop_map(|pick| Step::RevokeDevice { pick }),
    ]
}

fn name(label: u8) -> String {
    format!("a{label}")
}

/// What must be so.
#[derive(Default)]
struct Model {
    /// Actor → its parent, when that is an agent.
    parents: BTreeMap<ActorId, Option<ActorId>>,
    /// Label → the actor that lives under it.
    live: BTreeMap<u8, ActorId>,
    /// Device → its actor and whether it is active.
    devices: BTreeMap<Thumbprint, (ActorId, bool)>,
    incarnations: BTreeMap<u8, u32>,
}

impl Model {
    fn depth(&self, actor: ActorId) -> usize {
        std::iter::successors(Some(actor), |at| self.parents[at]).count()
    }

    fn below(&self, actor: ActorId, root: ActorId) -> bool {
        std::iter::successors(Some(actor), |at| self.parents[at]).any(|at| at == root)
    }

    fn revoke(&mut self, root: ActorId) {
        let gone: Vec<ActorId> = self
            .parents
            .keys()
            .copied()
            .filter(|id| self.below(*id, root))
            .collect();
        self.live.retain(|_, id| !gone.contains(id));
        for (actor, active) in self.devices.values_mut() {
            *active &= !gone.contains(actor);
        }
    }
}

async fn play(steps: Vec<Step>) {
    let world = World::new().await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Create { label, parent } => {
                let parent_name = parent.map(name);
                let made = world.agent(&name(label), parent_name.as_deref()).await;
                let parent_id = parent.map(|parent| model.live.get(&parent).copied());
                let fits = !model.live.contains_key(&label)
                    && parent_id.is_none_or(|id| id.is_some_and(|id| model.depth(id) < 8));
                assert_eq!(made.is_ok(), fits, "{made:?}");
                if let Ok(agent) = made {
                    let incarnation = model.incarnations.entry(label).or_default();
                    *incarnation += 1;
                    assert_eq!(agent.incarnation, *incarnation);
                    let before = model.parents.insert(agent.actor_id, parent_id.flatten());
                    assert!(before.is_none(), "an actor was made twice");
                    model.live.insert(label, agent.actor_id);
                }
            }
            Step::Join { label } => {
                let Some(actor) = model.live.get(&label).copied() else {
                    continue;
                };
                let key = crate::world::ed25519();
                let code = world.agent_code(&name(label)).await.unwrap();
                world.join(&code, &key).await.unwrap();
                model
                    .devices
                    .insert(key.public().thumbprint(), (actor, true));
            }
            Step::Revoke { label: which } => {
                let op = AgentRevoke {
                    namespace: namespace("shop"),
                    label: label(&name(which)),
                };
                let revoked = world
                    .act(&world.alice, op, |batch| {
                        AgentRevoke::run(batch, world.now())
                    })
                    .await;
                let root = model.live.get(&which).copied();
                assert_eq!(revoked.is_ok(), root.is_some());
                if let Some(root) = root {
                    model.revoke(root);
                }
            }
            Step::RevokeDevice { pick } => {
                let Some(device) = model
                    .devices
                    .keys()
                    .nth(pick % model.devices.len().max(1))
                    .copied()
                else {
                    continue;
                };
                world.revoke_device(&world.alice, &device).await.unwrap();
                model.devices.get_mut(&device).unwrap().1 = false;
            }
        }
        let snapshot = world.snapshot();
        for actor in model.parents.keys() {
            let lives = model.live.values().any(|id| id == actor);
            assert_eq!(snapshot.is_active(actor), lives);
            assert_eq!(snapshot.actor(actor).unwrap().revoked.is_none(), lives);
        }
        for (device, (_, active)) in &model.devices {
            assert_eq!(snapshot.device(device).unwrap().revoked.is_none(), *active);
        }
    }
    // The same is true of what a restart reads back.
    let loaded = procura_record::Directory::load(world.recorder.store())
        .unwrap()
        .snapshot();
    assert_eq!(loaded.seq(), world.snapshot().seq());
    for actor in model.parents.keys() {
        assert_eq!(loaded.is_active(actor), world.snapshot().is_active(actor));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn what_is_revoked_never_revives(steps in proptest::collection::vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}
