//! Keys that turn while everything goes on: what is left of the old ones afterwards is
//! nothing, and what is there is as it was.

use crate::world::{NOW, PASSPHRASE, World, bank, path, shop, typed, writing};
use procura_crypto::envelope_epoch;
use procura_ledger::{Checkpoint, Hash};
use procura_proof::Caller;
use procura_record::{ChangeError, Recorder};
use procura_store::{Blob, FakeDisk, KeyPrefix, Kind, Table};
use procura_types::wire::{NamespaceRotated, SigningKeyState, VersionState};
use procura_types::{Duration, Namespace, encoding};
use procura_vault::{
    NamespaceRotate, RootRotate, RotationQuery, RotationStep, SecretWrite, SourceChange, VaultError,
};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What lies in a row of a version, as far as it matters here.
#[derive(Clone, Serialize, Deserialize)]
struct Version {
    state: VersionState,
    dek: String,
}

/// The same of the newest version.
#[derive(Clone, Serialize, Deserialize)]
struct Head {
    latest: Version,
}

const KEYRINGS: Table<u64, Blob> = Table::new("keyring", Kind::Clear);
const NAMESPACE_KEYS: Table<(u64, String, u64), Blob> = Table::new("namespace-key", Kind::Clear);
const HEADS: Table<(String, String), Head> = Table::new("secret", Kind::Ordinary);
const VERSIONS: Table<(String, String, u64), Version> =
    Table::new("secret-version", Kind::Ordinary);
const BODIES: Table<(String, String, u64), Blob> = Table::new("secret-body", Kind::Clear);

/// Everything in the store that is wrapped by something.
struct Walk {
    roots: Vec<u64>,
    /// (root epoch, namespace, key epoch), and the root epoch that its envelope names.
    keys: Vec<((u64, String, u64), u32)>,
    /// The key epoch that the DEK of each version is wrapped by.
    deks: BTreeMap<(String, String, u64), u32>,
    bodies: BTreeMap<(String, String, u64), Vec<u8>>,
}

fn walk(world: &World) -> Walk {
    let snapshot = world.vault.store().snapshot().unwrap();
    let all = KeyPrefix::all();
    let mut deks = BTreeMap::new();
    let epoch = |version: &Version| {
        let dek = encoding::from_b64url("dek", &version.dek).unwrap();
        (version.state != VersionState::Destroyed).then(|| envelope_epoch(&dek).unwrap())
    };
    // The newest version has its number in the body's key alone, so 0 stands for it.
    for ((namespace, at), row) in HEADS.scan(&snapshot, &all, None, 10_000).unwrap() {
        if let Some(epoch) = epoch(&row.value.latest) {
            deks.insert((namespace, at, 0), epoch);
        }
    }
    for (key, row) in VERSIONS.scan(&snapshot, &all, None, 10_000).unwrap() {
        if let Some(epoch) = epoch(&row.value) {
            deks.insert(key, epoch);
        }
    }
    let rings = KEYRINGS.scan(&snapshot, &all, None, 100).unwrap();
    let keys = NAMESPACE_KEYS.scan(&snapshot, &all, None, 1000).unwrap();
    let bodies = BODIES.scan(&snapshot, &all, None, 10_000).unwrap();
    Walk {
        roots: rings.into_iter().map(|(epoch, _)| epoch).collect(),
        keys: keys
            .into_iter()
            .map(|(key, row)| (key, envelope_epoch(row.value.as_bytes()).unwrap()))
            .collect(),
        deks,
        bodies: bodies
            .into_iter()
            .map(|(key, row)| (key, row.value.as_bytes().to_vec()))
            .collect(),
    }
}

/// Nothing is wrapped by a root or by a namespace key of before.
fn nothing_is_left(walk: &Walk, root: u32, keys: &[(&str, u64)]) {
    assert_eq!(walk.roots, [u64::from(root)]);
    let expected: Vec<_> = keys
        .iter()
        .map(|(name, key)| ((u64::from(root), (*name).to_owned(), *key), root))
        .collect();
    assert_eq!(walk.keys, expected);
    for ((namespace, at, version), epoch) in &walk.deks {
        let (_, newest) = keys.iter().find(|(name, _)| name == namespace).unwrap();
        assert_eq!(u64::from(*epoch), *newest, "{namespace}/{at} {version}");
    }
}

async fn fill(world: &World) {
    for number in 0..300 {
        let at = format!("key/{number:03}");
        world.put(&shop(), &at, at.as_bytes()).await;
    }
    for value in [b"one", b"two"] {
        world.put(&bank(), "a/key", value).await;
    }
    for at in ["deleted", "destroyed"] {
        world.put(&shop(), at, b"gone").await;
    }
    world.delete("deleted", None).await.unwrap();
    world.destroy("destroyed", None).await.unwrap();
}

/// Turns the root, with the sources as they are.
async fn rotate(world: &World, sessions_go_on: bool) {
    let change = SourceChange::None { sessions_go_on };
    let clock = world.recorder.clock();
    let next = world
        .vault
        .next_root(&typed(PASSPHRASE), change, clock)
        .unwrap();
    let caller = Caller::admin_socket(1000, 1000, NOW).unwrap();
    let permit = world.permit_of(caller, RootRotate);
    world
        .recorder
        .change(permit, &crate::world::origin(), |batch| next.put(batch))
        .await
        .unwrap();
    world.vault.turn_root(next).unwrap();
    world.vault.settle_root(clock).await.unwrap();
}

async fn rotate_namespace(world: &World, name: Namespace) -> Result<NamespaceRotated, VaultError> {
    let done = world
        .act(NamespaceRotate { name: name.clone() }, |batch| {
            NamespaceRotate::run(&world.vault, batch)
        })
        .await?;
    world.vault.namespace_rotated(&name);
    Ok(done)
}

async fn finish(world: &World) {
    let clock = world.recorder.clock();
    for _ in 0..1000 {
        if !world.vault.rewrap_step(clock).await.unwrap() {
            return;
        }
    }
    panic!("the pass has no end");
}

#[tokio::test]
async fn after_a_root_turned_nothing_is_left_under_it_and_no_body_has_changed() {
    let world = World::new().await;
    fill(&world).await;
    let before = walk(&world);
    nothing_is_left(&before, 1, &[("bank", 1), ("shop", 1)]);
    rotate(&world, false).await;
    finish(&world).await;
    let after = walk(&world);
    nothing_is_left(&after, 2, &[("bank", 2), ("shop", 2)]);
    assert_eq!(after.deks.len(), before.deks.len());
    assert_eq!(after.bodies, before.bodies);
    // The source opens as before, and everything is there.
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(world.vault.installation().root_epoch, 2);
    for number in [0, 128, 299] {
        let at = format!("key/{number:03}");
        let found = world.read(&shop(), &at, None).await.unwrap();
        assert_eq!(found, at.as_bytes());
    }
    let old = world.read(&bank(), "a/key", Some(1)).await.unwrap();
    assert_eq!(old, b"one");
    let findings = world.vault.store().deep_check().unwrap();
    assert_eq!(findings, Vec::<String>::new());
    let said = |action: &str| {
        let entries = world.entries();
        let found = entries.iter().filter(|entry| entry.action == action);
        found
            .map(|entry| entry.resource.clone().unwrap())
            .collect::<Vec<_>>()
    };
    let vkey = world.vault.installation().ledger_vkey;
    assert_eq!(
        said("installation.rotate"),
        [format!("installation ledger_key:{vkey}")]
    );
    assert_eq!(said("installation.rotated"), ["installation"]);
}

#[tokio::test]
async fn a_namespace_gets_another_key_alone() {
    let world = World::new().await;
    fill(&world).await;
    let before = walk(&world);
    let rotated = rotate_namespace(&world, shop()).await.unwrap();
    assert_eq!(rotated.key_epoch, 2);
    assert!(world.vault.is_rewrapping().unwrap());
    // What is written from now on is wrapped by it, and what is there can be read.
    world.put(&shop(), "key/new", b"new").await;
    let newest = walk(&world).deks[&("shop".into(), "key/new".into(), 0)];
    assert_eq!(newest, 2);
    let found = world.read(&shop(), "key/007", None).await.unwrap();
    assert_eq!(found, b"key/007");
    finish(&world).await;
    let mut after = walk(&world);
    nothing_is_left(&after, 1, &[("bank", 1), ("shop", 2)]);
    after.bodies.remove(&("shop".into(), "key/new".into(), 1));
    assert_eq!(after.bodies, before.bodies);
    // And once more, and then the root: each key has a number of its own.
    rotate_namespace(&world, shop()).await.unwrap();
    rotate(&world, false).await;
    finish(&world).await;
    nothing_is_left(&walk(&world), 2, &[("bank", 2), ("shop", 4)]);
    let world = world.close().open(PASSPHRASE).await.unwrap();
    let found = world.read(&shop(), "key/007", None).await.unwrap();
    assert_eq!(found, b"key/007");
}

/// One wrapped object left behind by a rotation can never be opened again.
#[tokio::test]
async fn what_is_being_written_while_a_key_turns_is_wrapped_by_the_new_one() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"one").await;
    let built = Cell::new(0);
    let write: SecretWrite = writing(&shop(), "a/key", b"two");
    world
        .act(write, |batch| {
            let done = SecretWrite::run(&world.vault, batch, NOW);
            built.set(built.get() + 1);
            if built.get() == 1 {
                // Between the wrapping and the commit the key turns, all that is there
                // is wrapped anew, and the key of before goes.
                std::thread::scope(|scope| {
                    let meanwhile = || {
                        let mut runtime = tokio::runtime::Builder::new_current_thread();
                        let runtime = runtime.build().unwrap();
                        runtime.block_on(async {
                            rotate_namespace(&world, shop()).await.unwrap();
                            finish(&world).await;
                        });
                    };
                    scope.spawn(meanwhile).join().unwrap();
                });
            }
            done
        })
        .await
        .unwrap();
    assert_eq!(built.get(), 2, "the first attempt met a conflict");
    nothing_is_left(&walk(&world), 1, &[("bank", 1), ("shop", 2)]);
    let world = world.close().open(PASSPHRASE).await.unwrap();
    let found = world.read(&shop(), "a/key", None).await.unwrap();
    assert_eq!(found, b"two");
}

#[tokio::test]
async fn a_key_that_something_may_need_stays() {
    let world = World::new().await;
    for at in ["a/key", "b/key"] {
        world.put(&shop(), at, b"value").await;
    }
    // A DEK that opens nowhere, as one that was moved there.
    let snapshot = world.vault.store().snapshot().unwrap();
    let all: Table<(String, String), serde_json::Value> = Table::new("secret", Kind::Ordinary);
    let row = |at: &str| ("shop".to_owned(), at.to_owned());
    let mut moved = all.get_at(&snapshot, &row("a/key")).unwrap().unwrap().value;
    let other = all.get_at(&snapshot, &row("b/key")).unwrap().unwrap().value;
    drop(snapshot);
    moved["latest"]["dek"] = other["latest"]["dek"].clone();
    let mut batch = world.vault.store().batch().unwrap();
    all.put(&mut batch, &row("a/key"), &moved);
    world.vault.store().commit(batch).await.unwrap();
    rotate_namespace(&world, shop()).await.unwrap();
    finish(&world).await;
    let walk = walk(&world);
    let left: Vec<u64> = walk
        .keys
        .iter()
        .filter(|((_, name, _), _)| name == "shop")
        .map(|((_, _, epoch), _)| *epoch)
        .collect();
    assert_eq!(left, [1, 2]);
    assert_eq!(walk.deks[&("shop".into(), "b/key".into(), 0)], 2);
    let error = world.read(&shop(), "a/key", None).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged { path: at, .. } if at == path("a/key")));
}

#[tokio::test]
async fn a_namespace_key_that_is_made_beside_a_new_root_is_not_left_behind() {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let change = SourceChange::None {
        sessions_go_on: false,
    };
    let clock = world.recorder.clock();
    let next = world
        .vault
        .next_root(&typed(PASSPHRASE), change, clock)
        .unwrap();
    rotate_namespace(&world, shop()).await.unwrap();
    let commit = async |recorder: &Recorder| {
        let caller = Caller::admin_socket(1000, 1000, NOW).unwrap();
        let permit = world.permit_of(caller, RootRotate);
        recorder
            .change(permit, &crate::world::origin(), |batch| next.put(batch))
            .await
    };
    let error = commit(&world.recorder).await.unwrap_err();
    assert!(
        matches!(error, ChangeError::Domain(VaultError::NamespacesChanged)),
        "{error}"
    );
    // The other way round: the root is prepared, and the namespace waits for it.
    finish(&world).await;
    let change = SourceChange::None {
        sessions_go_on: false,
    };
    let next = world
        .vault
        .next_root(&typed(PASSPHRASE), change, clock)
        .unwrap();
    world
        .recorder
        .change(
            world.permit_of(Caller::admin_socket(1000, 1000, NOW).unwrap(), RootRotate),
            &crate::world::origin(),
            |batch| next.put(batch),
        )
        .await
        .unwrap();
    let op = NamespaceRotate { name: shop() };
    let refused = world
        .recorder
        .change(world.permit(op), &crate::world::origin(), |batch| {
            NamespaceRotate::run(&world.vault, batch)
        })
        .await;
    assert!(matches!(refused, Err(ChangeError::Record(_))));
    world.vault.turn_root(next).unwrap();
    world.vault.settle_root(clock).await.unwrap();
    finish(&world).await;
    nothing_is_left(&walk(&world), 2, &[("bank", 2), ("shop", 3)]);
    let found = world.read(&shop(), "a/key", None).await.unwrap();
    assert_eq!(found, b"value");
}

#[tokio::test]
async fn sessions_of_before_go_on_for_twelve_hours_where_they_may() {
    let world = World::new().await;
    let epochs = |world: &World| -> Vec<u32> {
        let roots = world.vault.session_roots();
        roots.iter().map(|(epoch, _)| epoch).collect()
    };
    rotate(&world, true).await;
    assert_eq!(epochs(&world), [1, 2]);
    let roots = world.vault.session_roots();
    let end = NOW.plus(Duration::from_secs(12 * 60 * 60));
    assert_eq!((roots.until(1), roots.until(2)), (Some(end), None));
    assert_eq!(roots.newest().map(|(epoch, _)| epoch), Some(2));
    world
        .vault
        .end_sessions(end.minus(Duration::from_millis(1)));
    assert_eq!(epochs(&world), [1, 2]);
    // Also of a vault that was opened again.
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(epochs(&world), [1, 2]);
    world.vault.end_sessions(end);
    assert_eq!(epochs(&world), [2]);
    rotate(&world, false).await;
    assert_eq!(epochs(&world), [3]);
}

#[tokio::test]
async fn the_record_is_signed_by_both_keys_and_the_state_says_so() {
    let world = World::new().await;
    let first = world.vault.installation().ledger_vkey;
    rotate(&world, false).await;
    let second = world.vault.installation().ledger_vkey;
    assert_ne!(first, second);
    let keys = world.vault.ledger_keys();
    let head = Checkpoint {
        origin: procura_ledger::origin(&world.place.id),
        size: 0,
        root: Hash::from_bytes([0; 32]),
        seq: None,
        set: None,
        extensions: Vec::new(),
    };
    let sign = |now| keys.current().sign(head.clone(), now, false).unwrap();
    let note = sign(NOW);
    let opened = Checkpoint::open_following(&note, &first.parse().unwrap()).unwrap();
    assert_eq!(opened.successor.unwrap().to_string(), second);
    Checkpoint::open(&note, &second.parse().unwrap()).unwrap();
    let month = NOW.plus(Duration::from_secs(30 * 24 * 60 * 60));
    let note = sign(month);
    assert!(Checkpoint::open(&note, &first.parse().unwrap()).is_err());
    Checkpoint::open(&note, &second.parse().unwrap()).unwrap();
    let state = |now| {
        let permit = world.permit(RotationQuery);
        let state = RotationQuery::run(&permit, &world.vault, now).unwrap();
        let keys = state.ledger_keys.into_iter();
        keys.map(|key| (key.vkey, key.state)).collect::<Vec<_>>()
    };
    assert_eq!(
        state(NOW),
        [
            (first.clone(), SigningKeyState::Retiring),
            (second.clone(), SigningKeyState::Active)
        ]
    );
    assert_eq!(state(month)[0], (first, SigningKeyState::Retired));
}

#[tokio::test]
async fn each_step_is_told_once_it_is_durable() {
    let disk = FakeDisk::default();
    let world = World::on(Some(disk.clone())).await;
    world.put(&shop(), "a/key", b"value").await;
    let told: Arc<Mutex<Vec<RotationStep>>> = Arc::default();
    let heard = Arc::clone(&told);
    world
        .vault
        .watch_steps(move |step| heard.lock().unwrap().push(step));
    rotate(&world, false).await;
    finish(&world).await;
    rotate_namespace(&world, shop()).await.unwrap();
    finish(&world).await;
    use RotationStep as Step;
    let namespace = [Step::NamespaceWrapped, Step::OldNamespaceKeysGone];
    let expected = [
        [Step::RootPrepared, Step::FileReplaced],
        [Step::KeysInUse, Step::OldRootGone],
        namespace,
        namespace,
    ];
    let mut expected = expected.concat();
    expected.push(Step::NamespaceKeyMade);
    expected.extend(namespace);
    assert_eq!(*told.lock().unwrap(), expected);
}
