//! Versions: what is stored, what counts, and what happens when a stored text cannot be
//! used.

use crate::world::{Read, World, namespace, word};
use procura_cedar::{PolicyError, PolicyListing, PolicyReading, explain};
use procura_store::{Batch, Blob, Kind, Table};
use procura_types::wire::{PolicyAnswer, PolicyQuestion, PolicyState};
use procura_types::{BatchId, Clock as _, Scope};

const ALL: &str = "@id(\"all\") permit(principal, action, resource);\n";
const NONE: &str = "@id(\"none\") forbid(principal, action, resource);\n";
/// As the crate declares it.
const TEXTS: Table<(String, u32), Blob> = Table::new("policy-text", Kind::Ordinary);

fn listed(world: &World, of: Option<&str>) -> Vec<(u32, PolicyState, Option<u32>)> {
    let op = PolicyListing {
        namespace: of.map(namespace),
    };
    let permit = world.permit("alice", op).unwrap();
    let list = PolicyListing::run(&permit, &world.snapshot(), world.recorder.store()).unwrap();
    let versions = list.versions.into_iter();
    versions
        .map(|version| (version.version, version.state, version.text_of))
        .collect()
}

/// What is told of an operator who would read a secret of the shop.
fn told(world: &World) -> PolicyAnswer {
    let question = PolicyQuestion {
        principal: "operator/adam".to_owned(),
        lineage: Vec::new(),
        action: "secret.read".to_owned(),
        resource: "secret/a/key".to_owned(),
        context: Default::default(),
    };
    let (snapshot, now) = (world.snapshot(), world.clock.now());
    let told = explain(
        &world.decider,
        &snapshot,
        Some(&namespace("shop")),
        &question,
        now,
    );
    told.unwrap().answer
}

/// Puts another text in the place of the one that was stored.
async fn tamper(world: &World, version: u32, text: &str) {
    let id = BatchId::generate(world.clock.now(), &procura_crypto::SystemEntropy).unwrap();
    let mut batch = Batch::new(id);
    let key = ("shop".to_owned(), version);
    TEXTS.put(&mut batch, &key, &Blob::new(text.as_bytes().to_vec()));
    world.recorder.store().commit(batch).await.unwrap();
}

#[tokio::test]
async fn versions_are_kept_and_one_of_them_decides() {
    use PolicyState::{Draft, Enforce, Observe};
    let world = World::new().await;
    for text in [ALL, NONE, ALL] {
        world.put("adam", Some("shop"), text).await.unwrap();
    }
    world.set("adam", Some("shop"), 1, Enforce).await.unwrap();
    world.set("adam", Some("shop"), 2, Observe).await.unwrap();
    let expected = [(3, Draft, None), (2, Observe, None), (1, Enforce, None)];
    assert_eq!(listed(&world, Some("shop")), expected);
    assert!(listed(&world, Some("bank")).is_empty() && listed(&world, None).is_empty());
    // The one that decided before is a draft.
    world.set("adam", Some("shop"), 2, Enforce).await.unwrap();
    let expected = [(3, Draft, None), (2, Enforce, None), (1, Draft, None)];
    assert_eq!(listed(&world, Some("shop")), expected);
    assert_eq!(word(world.key("ci")), "policy_forbids");
    let made = world.roll_back("adam", Some("shop"), 1).await.unwrap();
    assert_eq!(
        (made.version, made.text_of, made.state),
        (4, Some(1), Draft)
    );
    world.set("adam", Some("shop"), 4, Enforce).await.unwrap();
    assert_eq!(word(world.key("ci")), "allowed");
    let op = PolicyReading {
        namespace: Some(namespace("shop")),
        version: 4,
    };
    let permit = world.permit("alice", op).unwrap();
    let store = world.recorder.store();
    let read = PolicyReading::run(&permit, &world.snapshot(), store).unwrap();
    assert_eq!(
        (read.text.as_str(), read.about.author.as_str()),
        (ALL, "adam")
    );
}

#[tokio::test]
async fn what_does_not_type_check_is_not_stored() {
    let world = World::new().await;
    for text in [
        "permit",
        "permit(principal, action, resource) when { context.hours > 1 };",
    ] {
        let refused = world.put("adam", Some("shop"), text).await.unwrap_err();
        assert!(matches!(refused, PolicyError::Flawed(_)), "{refused}");
    }
    assert!(listed(&world, Some("shop")).is_empty());
    let missing = world
        .set("adam", Some("shop"), 1, PolicyState::Enforce)
        .await;
    assert!(matches!(missing.unwrap_err(), PolicyError::NoVersion(1)));
    let missing = world.roll_back("adam", Some("shop"), 1).await;
    assert!(matches!(missing.unwrap_err(), PolicyError::NoVersion(1)));
}

#[tokio::test]
async fn a_stored_text_that_is_another_counts_for_nothing() {
    let world = World::new().await;
    world.put("adam", Some("shop"), ALL).await.unwrap();
    tamper(&world, 1, NONE).await;
    for state in [PolicyState::Enforce, PolicyState::Observe] {
        let refused = world.set("adam", Some("shop"), 1, state).await.unwrap_err();
        assert!(matches!(refused, PolicyError::Flawed(_)), "{refused}");
    }
    assert_eq!(word(world.key("ci")), "allowed");
}

#[tokio::test]
async fn a_broken_text_closes_its_namespace_to_agents_and_to_nobody_else() {
    for broken in ["permit(principal, action, resource);", "permit", ""] {
        let world = World::new().await;
        world.enforce(Some("shop"), ALL).await;
        tamper(&world, 1, broken).await;
        let world = world.reopen();
        let found = world.decider.unusable(&world.snapshot());
        assert_eq!(found.len(), 1, "{broken:?}");
        let expected = Scope::Namespace(namespace("shop"));
        assert_eq!((found[0].scope.clone(), found[0].version), (expected, 1));
        let denied = world.key("ci").err().unwrap();
        assert_eq!(denied.to_string(), "policies_unusable", "{broken:?}");
        assert_eq!(word(world.key("robber")), "allowed");
        // Who puts it right can.
        assert_eq!(
            word(world.permit("adam", Read(namespace("shop")))),
            "allowed"
        );
        assert_eq!(told(&world), PolicyAnswer::Allow);
        let state = PolicyState::Draft;
        world.set("adam", Some("shop"), 1, state).await.unwrap();
        assert_eq!(word(world.key("ci")), "allowed");
        assert!(world.decider.unusable(&world.snapshot()).is_empty());
    }
}

/// Nothing is out of order then that an operator would have to put right.
#[tokio::test]
async fn a_text_that_cannot_be_read_now_lets_nobody_pass() {
    let world = World::new().await;
    world.enforce(Some("shop"), NONE).await;
    let world = world.reopen();
    world.recorder.store().seal();
    for asked in [
        word(world.key("ci")),
        word(world.permit("adam", Read(namespace("shop")))),
    ] {
        assert_eq!(asked, "policies_unusable");
    }
    assert_eq!(told(&world), PolicyAnswer::Deny);
    assert_eq!(word(world.key("robber")), "allowed");
}

#[tokio::test]
async fn what_counts_still_counts_after_a_restart() {
    let world = World::new().await;
    world.enforce(Some("shop"), NONE).await;
    world.enforce(None, ALL).await;
    let world = world.reopen();
    assert_eq!(word(world.key("ci")), "policy_forbids");
    assert_eq!(word(world.key("robber")), "allowed");
    assert_eq!(listed(&world, None), [(1, PolicyState::Enforce, None)]);
}

#[tokio::test]
async fn changes_are_in_the_record() {
    let world = World::new().await;
    world.put("adam", Some("shop"), ALL).await.unwrap();
    let entry = world.entries().pop().unwrap();
    assert_eq!(entry.action, "policy.write");
    let resource = entry.resource.unwrap();
    assert!(
        resource.starts_with("policies version:1 sha256:"),
        "{resource}"
    );
    world
        .set("adam", Some("shop"), 1, PolicyState::Enforce)
        .await
        .unwrap();
    let entry = world.entries().pop().unwrap();
    assert_eq!(entry.namespace, Some(namespace("shop")));
    assert_eq!(
        entry.resource.as_deref(),
        Some("policies version:1 state:enforce enforce:1 observe:none")
    );
    world.roll_back("adam", Some("shop"), 1).await.unwrap();
    let resource = world.entries().pop().unwrap().resource.unwrap();
    assert!(resource.ends_with(" text_of:1"), "{resource}");
}
