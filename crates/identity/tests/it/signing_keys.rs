//! The keys that sign tokens, as they are stored.

use crate::world::{Failure, World, role};
use procura_identity::{
    IdentityError, SigningKeyListing, SigningKeyRetire, SigningKeyRoll, SigningKeys,
};
use procura_ledger::Entry;
use procura_policy::DenyReason;
use procura_record::tables::LEDGER;
use procura_store::{Blob, KeyPrefix, Kind, Store, Table};
use procura_types::wire::{SigningKeyList, TokenType};
use procura_types::{Duration, Role, Thumbprint};

/// The same rows as the crate's own.
const PRIVATE: Table<Thumbprint, Blob> = Table::new("signing-key", Kind::Ordinary);

async fn open(world: &World) -> SigningKeys {
    let recorder = &world.recorder;
    let (clock, entropy) = (recorder.clock(), recorder.entropy());
    for tokens in [TokenType::Project, TokenType::Agent] {
        SigningKeys::open(recorder.store(), tokens, clock, entropy)
            .await
            .unwrap();
    }
    SigningKeys::open(recorder.store(), TokenType::Agent, clock, entropy)
        .await
        .unwrap()
}

fn entries(store: &Store) -> Vec<Entry> {
    let entries = store.log_read(LEDGER, 0, 1000).unwrap();
    entries
        .iter()
        .map(|entry| Entry::parse(entry.bytes.expose()).unwrap())
        .collect()
}

/// Of which keys the private half is stored.
fn stored(world: &World) -> Vec<Thumbprint> {
    let snapshot = world.recorder.store().snapshot().unwrap();
    let rows = PRIVATE
        .scan(&snapshot, &KeyPrefix::all(), None, 100)
        .unwrap();
    for (_, row) in &rows {
        assert_eq!(row.value.as_bytes().len(), 33);
    }
    rows.into_iter().map(|(kid, _)| kid).collect()
}

async fn roll(world: &World) -> Result<SigningKeyList, Failure> {
    let tokens = TokenType::Agent;
    world
        .act(&world.alice, SigningKeyRoll { tokens }, |batch| {
            SigningKeyRoll::run(batch, world.now(), world.recorder.entropy())
        })
        .await
}

async fn retire(world: &World, kid: Thumbprint) -> Result<SigningKeyList, Failure> {
    world
        .act(&world.alice, SigningKeyRetire { kid }, |batch| {
            SigningKeyRetire::run(batch, world.now(), world.recorder.entropy())
        })
        .await
}

#[tokio::test]
async fn the_first_keys_are_made_once_and_that_is_recorded() {
    let world = World::new().await;
    let keys = open(&world).await;
    let first = keys.current().unwrap();
    let active = first.ring().active().thumbprint();
    assert_eq!(first.active().public(), first.ring().active());
    let made: Vec<Entry> = entries(world.recorder.store())
        .into_iter()
        .filter(|entry| entry.action == "signing_key.make")
        // Those of projects say so.
        .filter(|entry| {
            !entry
                .resource
                .as_deref()
                .unwrap()
                .ends_with("tokens:project")
        })
        .collect();
    let [made] = made.as_slice() else {
        panic!("{} entries", made.len());
    };
    assert_eq!((made.actor, made.profile.as_ref()), (None, "none"));
    let next = first.ring().next().thumbprint();
    assert_eq!(
        made.resource.as_deref().unwrap(),
        format!("installation active:{active} next:{next}")
    );
    let again = open(&world).await.current().unwrap();
    assert_eq!(again.ring(), first.ring());
    assert_eq!(stored(&world).len(), 2);
}

#[tokio::test]
async fn a_key_that_signs_no_more_cannot_sign_any_more() {
    let world = World::new().await;
    let keys = open(&world).await;
    let before = keys.current().unwrap();
    let (first, second) = (
        before.ring().active().thumbprint(),
        before.ring().next().thumbprint(),
    );
    roll(&world).await.unwrap();
    let after = keys.current().unwrap();
    assert_eq!(after.active().public().thumbprint(), second);
    let third = after.ring().next().thumbprint();
    let mut kept = stored(&world);
    kept.sort();
    let mut expected = vec![second, third];
    expected.sort();
    assert_eq!(kept, expected);
    assert!(!kept.contains(&first));
    // Suspected: gone at once, and the next one signs.
    retire(&world, second).await.unwrap();
    let now = keys.current().unwrap();
    assert_eq!(now.active().public().thumbprint(), third);
    assert!(!stored(&world).contains(&second));
    // A key that is next is as much in other hands.
    let fourth = now.ring().next().thumbprint();
    retire(&world, fourth).await.unwrap();
    assert!(!stored(&world).contains(&fourth));
    assert_eq!(
        keys.current().unwrap().active().public().thumbprint(),
        third
    );
}

#[tokio::test]
async fn a_roll_waits_until_the_next_key_is_known() {
    let world = World::new().await;
    let keys = open(&world).await;
    roll(&world).await.unwrap();
    let soon = roll(&world).await.unwrap_err().domain();
    assert!(matches!(soon, IdentityError::NotReady(_)), "{soon}");
    world.pass(Duration::from_secs(360));
    roll(&world).await.unwrap();
    let unknown = retire(&world, Thumbprint::from_bytes([9; 32])).await;
    let unknown = unknown.unwrap_err().domain();
    assert!(
        matches!(unknown, IdentityError::NoSigningKey(_)),
        "{unknown}"
    );
    let permit = world
        .permit(
            &world.alice,
            SigningKeyListing {
                tokens: TokenType::Agent,
            },
        )
        .unwrap();
    let list = SigningKeyListing::run(&permit, &keys, world.now()).unwrap();
    assert_eq!(list.keys.len(), 4);
}

#[tokio::test]
async fn only_a_steward_may() {
    let world = World::new().await;
    open(&world).await;
    let every = [Role::Admin, Role::Approver, Role::Auditor].map(|held| role(held, Some("shop")));
    let bob = world.operator("bob", &every).await;
    let scribe = world.agent_with_device("scribe", None).await;
    for actor in [&bob, &scribe] {
        let tokens = TokenType::Agent;
        let refused = world.permit(actor, SigningKeyListing { tokens }).err();
        assert_eq!(refused, Some(DenyReason::NoRole));
        assert_eq!(
            world.permit(actor, SigningKeyRoll { tokens }).err(),
            Some(DenyReason::NoRole)
        );
        let kid = Thumbprint::from_bytes([9; 32]);
        assert_eq!(
            world.permit(actor, SigningKeyRetire { kid }).err(),
            Some(DenyReason::NoRole)
        );
    }
}
