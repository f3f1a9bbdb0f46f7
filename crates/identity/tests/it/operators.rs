use crate::world::{World, label, namespace, p256, role};
use procura_crypto::SystemEntropy;
use procura_identity::{
    IdentityError, JoinRefusal, OperatorInvite, OperatorLink, OperatorListing, OperatorRevoke,
    OperatorRoles,
};
use procura_policy::DenyReason;
use procura_types::Role;
use procura_types::wire::RoleAssignment;

async fn set_roles(
    world: &World,
    name: &str,
    roles: &[RoleAssignment],
) -> Result<procura_types::wire::Operator, crate::world::Failure> {
    world.set_roles(&world.alice, name, roles).await
}

/// Nobody but a quorum makes another steward, or one less.
fn takes_a_quorum<T>(tried: Result<T, crate::world::Failure>) {
    let error = tried.err().unwrap().domain();
    assert!(matches!(error, IdentityError::TakesQuorum), "{error}");
}

async fn revoke(
    world: &World,
    name: &str,
) -> Result<procura_types::wire::RevokedActors, crate::world::Failure> {
    world.revoke_operator(&world.alice, name).await
}

#[tokio::test]
async fn an_invited_operator_joins_with_their_own_root_key_and_has_the_roles() {
    let world = World::new().await;
    let approver = role(Role::Approver, Some("shop"));
    let auditor = role(Role::Auditor, Some("shop"));
    let bob = world
        .operator("bob", &[auditor.clone(), approver.clone(), auditor.clone()])
        .await;
    let list = OperatorListing::run(
        &world.permit(&world.alice, OperatorListing).ok().unwrap(),
        &world.snapshot(),
    );
    let names: Vec<_> = list
        .operators
        .iter()
        .map(|operator| operator.name.as_str())
        .collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(list.operators[1].actor_id, bob.id);
    assert_eq!(list.operators[1].roles, [approver, auditor]);
    assert_eq!(list.operators[1].devices[0].thumbprint, bob.device());
}

#[tokio::test]
async fn the_ledger_says_which_roles_were_given() {
    let world = World::new().await;
    let roles = [
        role(Role::Approver, Some("shop")),
        role(Role::Admin, Some("shop")),
    ];
    let bob = world.operator("bob", &roles).await;
    set_roles(&world, "bob", &[role(Role::Steward, None)])
        .await
        .unwrap();
    let none = OperatorRoles {
        name: label("bob"),
        roles: Vec::new(),
        by: None,
    };
    world
        .act(&bob, none, |batch| OperatorRoles::run(batch, world.now()))
        .await
        .unwrap();
    revoke(&world, "bob").await.unwrap();
    let store = world.recorder.store();
    let log = procura_record::tables::LEDGER;
    let length = usize::try_from(store.log_len(log).unwrap()).unwrap();
    let said: Vec<(String, String)> = store
        .log_read(log, 0, length)
        .unwrap()
        .iter()
        .map(|entry| procura_ledger::Entry::parse(entry.bytes.expose()).unwrap())
        .filter(|entry| {
            entry.action.starts_with("operator.") || entry.action == "installation.init"
        })
        .map(|entry| (entry.action.into_owned(), entry.resource.unwrap()))
        .collect();
    let said: Vec<(&str, &str)> = said
        .iter()
        .map(|(action, resource)| (action.as_str(), resource.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("installation.init", "operator/alice steward"),
            ("operator.invite", "operator/bob admin@shop approver@shop"),
            ("operator.join", "operator/bob admin@shop approver@shop"),
            ("operator.roles", "operator/bob steward"),
            ("operator.roles", "operator/bob none"),
            ("operator.revoke", "operator/bob"),
        ]
    );
}

#[tokio::test]
async fn only_stewards_touch_operators() {
    let world = World::new().await;
    let bob = world
        .operator("bob", &[role(Role::Admin, Some("shop"))])
        .await;
    assert_eq!(
        world.permit(&bob, OperatorListing).err(),
        Some(DenyReason::NoRole)
    );
    let invite = OperatorInvite {
        name: label("eve"),
        roles: vec![],
    };
    assert_eq!(world.permit(&bob, invite).err(), Some(DenyReason::NoRole));
    let roles = OperatorRoles {
        name: label("bob"),
        roles: vec![role(Role::Steward, None)],
        by: None,
    };
    assert_eq!(world.permit(&bob, roles).err(), Some(DenyReason::NoRole));
    let revoke = OperatorRevoke {
        name: label("alice"),
        by: None,
    };
    assert_eq!(world.permit(&bob, revoke).err(), Some(DenyReason::NoRole));
    let link = OperatorLink::resolve(&world.snapshot(), &label("alice")).unwrap();
    // Not by a steward either: whoever holds a device signs as that person.
    assert_eq!(world.permit(&bob, link).err(), Some(DenyReason::NotOwn));
}

#[tokio::test]
async fn roles_fit_their_place() {
    let world = World::new().await;
    for wrong in [role(Role::Steward, Some("shop")), role(Role::Admin, None)] {
        let error = world.invite("bob", &[wrong]).await.err().unwrap().domain();
        assert!(matches!(error, IdentityError::BadRole));
    }
    let error = world
        .invite("bob", &[role(Role::Admin, Some("nowhere"))])
        .await
        .err()
        .unwrap()
        .domain();
    assert!(matches!(error, IdentityError::NoNamespace(name) if name == namespace("nowhere")));
}

#[tokio::test]
async fn names_of_operators_are_unique_when_invited_and_when_they_join() {
    let world = World::new().await;
    let error = world.invite("alice", &[]).await.err().unwrap().domain();
    assert!(matches!(error, IdentityError::NameTaken(name) if name == label("alice")));
    let first = world.invite("bob", &[]).await.unwrap();
    let second = world.invite("bob", &[]).await.unwrap();
    world.join(&first, &p256()).await.unwrap();
    let error = world.join(&second, &p256()).await.unwrap_err().domain();
    assert!(matches!(error, IdentityError::NameTaken(name) if name == label("bob")));
}

#[tokio::test]
async fn roles_are_replaced_and_count_at_once() {
    let world = World::new().await;
    let bob = world.operator("bob", &[role(Role::Steward, None)]).await;
    assert!(world.permit(&bob, OperatorListing).is_ok());
    let auditor = [role(Role::Auditor, Some("shop"))];
    takes_a_quorum(set_roles(&world, "bob", &auditor).await);
    let op = OperatorRoles {
        name: label("bob"),
        roles: auditor.to_vec(),
        by: None,
    };
    let changed = world
        .act(&bob, op, |batch| OperatorRoles::run(batch, world.now()))
        .await
        .unwrap();
    assert_eq!(changed.roles, [role(Role::Auditor, Some("shop"))]);
    assert_eq!(
        world.permit(&bob, OperatorListing).err(),
        Some(DenyReason::NoRole)
    );
    let error = set_roles(&world, "carol", &[]).await.unwrap_err().domain();
    assert!(matches!(error, IdentityError::NoOperator(name) if name == label("carol")));
}

#[tokio::test]
async fn the_last_steward_stays() {
    let world = World::new().await;
    let error = set_roles(&world, "alice", &[role(Role::Admin, Some("shop"))])
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, IdentityError::LastSteward));
    assert!(matches!(
        revoke(&world, "alice").await.unwrap_err().domain(),
        IdentityError::LastSteward
    ));
    let device = world.alice.device();
    let error = world
        .revoke_device(&world.alice, &device)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, IdentityError::LastSteward));

    // A second steward without a device is none.
    let [bob, carol] = world.stewards(["bob", "carol"]).await;
    for other in [&bob, &carol] {
        world.revoke_device(other, &other.device()).await.unwrap();
    }
    assert!(matches!(
        revoke(&world, "alice").await.unwrap_err().domain(),
        IdentityError::LastSteward
    ));
    let world = World::new().await;
    let [carol] = world.stewards(["carol"]).await;
    revoke(&world, "alice").await.unwrap();
    assert!(world.permit(&carol, OperatorListing).is_ok());
    assert_eq!(
        world.permit(&world.alice, OperatorListing).err(),
        Some(DenyReason::Revoked)
    );
}

#[tokio::test]
async fn revoking_an_operator_ends_everything_below() {
    let world = World::new().await;
    let bob = world
        .operator("bob", &[role(Role::Admin, Some("shop"))])
        .await;
    let create = procura_identity::AgentCreate {
        namespace: namespace("shop"),
        label: label("scribe"),
        parent: None,
    };
    let agent = world
        .act(&bob, create, |batch| {
            procura_identity::AgentCreate::run(batch, world.now())
        })
        .await
        .unwrap();
    assert_eq!(
        (agent.owner, agent.lineage.as_str()),
        (bob.id, "bob//scribe")
    );
    let revoked = revoke(&world, "bob").await.unwrap();
    assert_eq!(revoked.revoked, [bob.id, agent.actor_id]);
    let snapshot = world.snapshot();
    assert!(!snapshot.is_active(&agent.actor_id));
    assert!(snapshot.roles(&bob.id).unwrap().roles.is_empty());
    assert!(snapshot.device(&bob.device()).unwrap().revoked.is_some());
    let again = revoke(&world, "bob").await.unwrap_err().domain();
    assert!(matches!(again, IdentityError::NoOperator(name) if name == label("bob")));
    // The name is free; the key is not.
    let code = world.invite("bob", &[]).await.unwrap();
    let error = world.join(&code, &bob.key).await.unwrap_err().domain();
    assert!(matches!(
        error,
        IdentityError::Join(JoinRefusal::DeviceBound)
    ));
    world.join(&code, &p256()).await.unwrap();
    assert!(!world.snapshot().is_active(&bob.id));
}

#[tokio::test]
async fn an_operator_links_their_own_further_device() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    assert!(OperatorLink::resolve(&world.snapshot(), &label("nobody")).is_none());
    let link = OperatorLink::resolve(&world.snapshot(), &label("bob")).unwrap();
    let code = world
        .act(&bob, link, |batch| {
            OperatorLink::run(batch, world.now(), &SystemEntropy)
        })
        .await
        .unwrap();
    let joined = world.join(&code, &crate::world::ed25519()).await.unwrap();
    assert_eq!(
        (joined.actor, joined.name.as_str(), joined.namespace),
        (bob.id, "bob", None)
    );
}
