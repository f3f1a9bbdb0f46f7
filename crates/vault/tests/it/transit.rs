//! Transit keys are used for those who may use them at that moment, whatever was decided
//! before.

use crate::world::{NOW, World, origin, shop};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::DeviceRecord;
use procura_identity::{AgentCreate, AgentRevoke};
use procura_policy::{Action, Op, Resource};
use procura_proof::{Caller, Profile};
use procura_record::{Details, RecordError, Recorded};
use procura_types::wire::Agent;
use procura_types::{Label, Thumbprint};
use procura_vault::{TransitUnwrapping, TransitWrapping, TransitWrite, VaultError};
use std::convert::Infallible;

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// What joining does to the directory.
struct PutDevice(DeviceRecord);

impl Op for PutDevice {
    const ACTION: Action = Action::AgentCreate;
    fn resource(&self) -> Resource {
        Resource::Agent(shop(), label("baker"))
    }
}

/// An agent and its device.
struct Baker {
    agent: Agent,
    device: Thumbprint,
}

async fn baker(world: &World) -> Baker {
    let op = AgentCreate {
        namespace: shop(),
        label: label("baker"),
        parent: None,
    };
    let agent = world
        .act(op, |batch| AgentCreate::run(batch, NOW))
        .await
        .unwrap();
    let baker = Baker {
        device: join(world, &agent).await,
        agent,
    };
    name(world, &["baker"]).await;
    baker
}

async fn join(world: &World, agent: &Agent) -> Thumbprint {
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let record = DeviceRecord {
        thumbprint: key.public().thumbprint(),
        actor: agent.actor_id,
        key: key.public().clone(),
        created: NOW,
        revoked: None,
    };
    put(world, record.clone()).await;
    record.thumbprint
}

async fn put(world: &World, record: DeviceRecord) {
    world
        .act(PutDevice(record), |batch| {
            let record = batch.op().0.clone();
            batch.put_device(&record);
            Ok::<(), Infallible>(())
        })
        .await
        .unwrap();
}

/// Says who may use the key.
async fn name(world: &World, agents: &[&str]) {
    let op = TransitWrite {
        namespace: shop(),
        name: label("unseal"),
        agents: agents.iter().map(|agent| label(agent)).collect(),
    };
    world
        .act(op, |batch| TransitWrite::run(&world.vault, batch, NOW))
        .await
        .unwrap();
}

/// Decides and records, as the server does before the act.
async fn recorded<O: Op>(world: &World, baker: &Baker, op: O) -> Result<Recorded<O>, RecordError> {
    let seq = world.recorder.directory().snapshot().seq();
    let agent = &baker.agent;
    let caller = Caller::fake(
        Profile::Native,
        agent.actor_id,
        agent.owner,
        Some(baker.device),
        seq,
    );
    let permit = world.permit_of(caller, op);
    world
        .recorder
        .record(permit, origin(), Details::default())
        .await
}

fn wrapping(world: &World) -> TransitWrapping {
    let directory = world.recorder.directory().snapshot();
    let with = world.vault.transit_use(&directory, shop(), label("unseal"));
    TransitWrapping {
        with: with.unwrap(),
        value: procura_types::Secret::new(b"canary".to_vec()),
        context: Vec::new(),
    }
}

fn unwrapping(world: &World, wrapped: &[u8]) -> TransitUnwrapping {
    TransitUnwrapping {
        with: wrapping(world).with,
        wrapped: wrapped.to_vec(),
        context: Vec::new(),
    }
}

/// What may happen between the decision and the act.
enum Between {
    NamedNoMore,
    AgentRevoked,
    DeviceRevoked,
}

#[tokio::test]
async fn who_may_not_use_a_key_at_the_act_does_not() {
    for (what, between) in [
        ("named no more", Between::NamedNoMore),
        ("agent revoked", Between::AgentRevoked),
        ("device revoked", Between::DeviceRevoked),
    ] {
        let world = World::new().await;
        let baker = baker(&world).await;
        let wrap = recorded(&world, &baker, wrapping(&world)).await.unwrap();
        let snapshot = world.recorder.directory().snapshot();
        let wrapped = world.vault.transit_wrap(&snapshot, &wrap).unwrap();
        let unwrap = recorded(&world, &baker, unwrapping(&world, &wrapped))
            .await
            .unwrap();
        let value = world.vault.transit_unwrap(&snapshot, &unwrap).unwrap();
        assert_eq!(value.expose(), b"canary");

        match between {
            Between::NamedNoMore => name(&world, &[]).await,
            Between::AgentRevoked => {
                let op = AgentRevoke {
                    namespace: shop(),
                    label: label("baker"),
                };
                world
                    .act(op, |batch| AgentRevoke::run(batch, NOW))
                    .await
                    .unwrap();
            }
            Between::DeviceRevoked => {
                let device = snapshot.device(&baker.device).unwrap().as_ref().clone();
                let record = DeviceRecord {
                    revoked: Some(NOW),
                    ..device
                };
                put(&world, record).await;
            }
        }
        let snapshot = world.recorder.directory().snapshot();
        let is_refused = |error: &VaultError| matches!(error, VaultError::NoTransitKey(name) if *name == label("unseal"));
        let error = world.vault.transit_wrap(&snapshot, &wrap).unwrap_err();
        assert!(is_refused(&error), "{what}: {error}");
        let error = world.vault.transit_unwrap(&snapshot, &unwrap).err();
        assert!(error.as_ref().is_some_and(is_refused), "{what}: {error:?}");
    }
}
