use crate::world::{World, label, namespace, role};
use procura_identity::{
    AgentCreate, AgentLink, AgentListing, AgentRevoke, IdentityError, MAX_DEPTH,
};
use procura_policy::DenyReason;
use procura_types::Role;

#[tokio::test]
async fn agents_stand_below_their_maker_or_below_an_agent() {
    let world = World::new().await;
    let scribe = world.agent("scribe", None).await.unwrap();
    assert_eq!(scribe.parent, world.alice.id);
    assert_eq!(scribe.owner, world.alice.id);
    assert_eq!(scribe.incarnation, 1);
    let task = world.agent("task-1", Some("scribe")).await.unwrap();
    assert_eq!(task.parent, scribe.actor_id);
    assert_eq!(task.owner, world.alice.id);
    assert_eq!(task.lineage, "alice//scribe//task-1");
    let permit = world
        .permit(
            &world.alice,
            AgentListing {
                namespace: namespace("shop"),
            },
        )
        .ok()
        .unwrap();
    let list = AgentListing::run(&permit, &world.snapshot());
    let lineages: Vec<_> = list
        .agents
        .iter()
        .map(|agent| agent.lineage.as_str())
        .collect();
    assert_eq!(lineages, ["alice//scribe", "alice//scribe//task-1"]);
}

#[tokio::test]
async fn labels_are_unique_in_their_namespace_only() {
    let world = World::new().await;
    world.make_namespace("bank").await;
    world.agent("scribe", None).await.unwrap();
    let error = world.agent("scribe", None).await.unwrap_err().domain();
    assert!(matches!(error, IdentityError::LabelTaken(name) if name == label("scribe")));
    let elsewhere = AgentCreate {
        namespace: namespace("bank"),
        label: label("scribe"),
        parent: None,
    };
    let other = world
        .act(&world.alice, elsewhere, |batch| {
            AgentCreate::run(batch, world.now())
        })
        .await
        .unwrap();
    // A parent of another namespace is none.
    let below = AgentCreate {
        namespace: namespace("shop"),
        label: label("task"),
        parent: Some(label("nobody")),
    };
    let error = world
        .act(&world.alice, below, |batch| {
            AgentCreate::run(batch, world.now())
        })
        .await;
    assert!(
        matches!(error.unwrap_err().domain(), IdentityError::NoAgent(name) if name == label("nobody"))
    );
    assert_eq!(other.namespace, namespace("bank"));
}

#[tokio::test]
async fn the_tree_has_a_depth() {
    let world = World::new().await;
    let mut parent = None;
    for depth in 1..=MAX_DEPTH {
        let name = format!("a{depth}");
        world.agent(&name, parent.as_deref()).await.unwrap();
        parent = Some(name);
    }
    let error = world
        .agent("a9", parent.as_deref())
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, IdentityError::TooDeep));
}

#[tokio::test]
async fn a_revoked_label_comes_back_as_another_actor() {
    let world = World::new().await;
    let first = world.agent_with_device("scribe", None).await;
    let task = world.agent("task", Some("scribe")).await.unwrap();
    let revoked = world.revoke("scribe").await.unwrap();
    assert_eq!(revoked.revoked, [first.id, task.actor_id]);
    let again = world.revoke("scribe").await.unwrap_err().domain();
    assert!(matches!(again, IdentityError::NoAgent(name) if name == label("scribe")));
    assert!(matches!(
        world
            .agent("other", Some("task"))
            .await
            .unwrap_err()
            .domain(),
        IdentityError::NoAgent(_)
    ));
    let second = world.agent("scribe", None).await.unwrap();
    assert_eq!(second.incarnation, 2);
    assert_ne!(second.actor_id, first.id);
    assert!(second.devices.is_empty());
    let snapshot = world.snapshot();
    assert!(!snapshot.is_active(&first.id));
    assert!(snapshot.device(&first.device()).unwrap().revoked.is_some());
    assert!(!snapshot.is_active(&task.actor_id));
}

#[tokio::test]
async fn agents_are_the_admins_of_their_namespace() {
    let world = World::new().await;
    world.make_namespace("bank").await;
    let bob = world
        .operator(
            "bob",
            &[
                role(Role::Admin, Some("bank")),
                role(Role::Auditor, Some("shop")),
            ],
        )
        .await;
    let create = AgentCreate {
        namespace: namespace("shop"),
        label: label("a"),
        parent: None,
    };
    assert_eq!(world.permit(&bob, create).err(), Some(DenyReason::NoRole));
    let link = AgentLink {
        namespace: namespace("shop"),
        label: label("a"),
    };
    assert_eq!(world.permit(&bob, link).err(), Some(DenyReason::NoRole));
    let revoke = AgentRevoke {
        namespace: namespace("shop"),
        label: label("a"),
    };
    assert_eq!(world.permit(&bob, revoke).err(), Some(DenyReason::NoRole));
    assert!(
        world
            .permit(
                &bob,
                AgentListing {
                    namespace: namespace("shop")
                }
            )
            .is_ok()
    );
    assert!(matches!(
        world.agent_code("nobody").await.err().unwrap().domain(),
        IdentityError::NoAgent(name) if name == label("nobody")
    ));
}
