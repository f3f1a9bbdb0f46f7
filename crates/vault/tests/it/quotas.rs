//! What a namespace may hold: counted in the commit of each change, and right whatever
//! came before.

use crate::world::{NOW, PASSPHRASE, World, bank, path, shop, writing};
use procura_policy::{Action, Op, Resource};
use procura_record::ChangeError;
use procura_store::{KeyPrefix, Kind, Table};
use procura_types::Namespace;
use procura_types::wire::{Quota, Used, VersionState};
use procura_vault::{
    Bound, NamespaceQuota, SecretDestroy, SecretWrite, VaultError, arrives, nothing_arrives,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const NONE: Quota = Quota {
    secrets: None,
    versions_per_secret: None,
    versions: None,
    bytes: None,
};

#[derive(Serialize, Deserialize)]
struct Head {
    latest: Version,
}

#[derive(Serialize, Deserialize)]
struct Version {
    size: u64,
    state: VersionState,
}

/// What is left in a namespace, by the rows themselves.
fn walked(world: &World, namespace: &Namespace) -> Used {
    const HEADS: Table<(String, String), Head> = Table::new("secret", Kind::Ordinary);
    const VERSIONS: Table<(String, String, u64), Version> =
        Table::new("secret-version", Kind::Ordinary);
    let snapshot = world.vault.store().snapshot().unwrap();
    let of = KeyPrefix::all().part(namespace);
    let mut left: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let heads = HEADS.scan(&snapshot, &of, None, 10_000).unwrap();
    let versions = VERSIONS.scan(&snapshot, &of, None, 10_000).unwrap();
    let heads = heads
        .into_iter()
        .map(|((_, path), row)| (path, row.value.latest));
    let versions = versions
        .into_iter()
        .map(|((_, path, _), row)| (path, row.value));
    for (path, version) in heads.chain(versions) {
        if version.state != VersionState::Destroyed {
            left.entry(path).or_default().push(version.size);
        }
    }
    Used {
        secrets: left.len() as u64,
        versions: left.values().map(|sizes| sizes.len() as u64).sum(),
        bytes: left.values().flatten().sum(),
    }
}

fn used(world: &World) -> Used {
    world
        .vault
        .quota(&world.recorder.directory().snapshot(), &shop())
        .unwrap()
        .1
}

async fn limit(world: &World, quota: Quota) {
    let op = NamespaceQuota {
        namespace: shop(),
        quota,
    };
    world.act(op, NamespaceQuota::run).await.unwrap();
    assert_eq!(
        world
            .vault
            .quota(&world.recorder.directory().snapshot(), &shop())
            .unwrap()
            .0,
        quota
    );
}

async fn write(world: &World, at: &str, bytes: usize) -> Result<u64, VaultError> {
    let written = world.write(writing(&shop(), at, &vec![b'x'; bytes])).await;
    written.map(|written| written.version)
}

/// Which bound a write would pass, and what there is of it.
fn refused(result: Result<u64, VaultError>) -> (Bound, u64, u64) {
    match result.unwrap_err() {
        VaultError::QuotaExceeded {
            namespace,
            bound,
            limit,
            used,
        } => {
            assert_eq!(namespace, shop());
            (bound, limit, used)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_bound_is_kept_exactly_and_nothing_is_written_beyond() {
    let world = World::new().await;
    write(&world, "a", 10).await.unwrap();
    write(&world, "a", 10).await.unwrap();
    write(&world, "b", 5).await.unwrap();
    let three = Used {
        secrets: 2,
        versions: 3,
        bytes: 25,
    };
    assert_eq!(used(&world), three);
    for (quota, at, bytes, expected) in [
        (
            Quota {
                secrets: Some(2),
                ..NONE
            },
            "c",
            1,
            (Bound::Secrets, 2, 2),
        ),
        (
            Quota {
                versions_per_secret: Some(2),
                ..NONE
            },
            "a",
            1,
            (Bound::VersionsPerSecret, 2, 2),
        ),
        (
            Quota {
                versions: Some(3),
                ..NONE
            },
            "b",
            1,
            (Bound::Versions, 3, 3),
        ),
        (
            Quota {
                bytes: Some(27),
                ..NONE
            },
            "b",
            3,
            (Bound::Bytes, 27, 25),
        ),
        (
            Quota {
                secrets: Some(0),
                ..NONE
            },
            "c",
            1,
            (Bound::Secrets, 0, 2),
        ),
    ] {
        limit(&world, quota).await;
        let entries = world.entries().len();
        assert_eq!(
            refused(write(&world, at, bytes).await),
            expected,
            "{quota:?}"
        );
        assert_eq!((used(&world), walked(&world, &shop())), (three, three));
        assert_eq!(world.entries().len(), entries, "nothing happened");
    }
    // What does not grow over a bound goes on.
    limit(
        &world,
        Quota {
            bytes: Some(27),
            ..NONE
        },
    )
    .await;
    write(&world, "b", 2).await.unwrap();
    limit(
        &world,
        Quota {
            secrets: Some(0),
            ..NONE
        },
    )
    .await;
    write(&world, "b", 2).await.unwrap();
    // Another namespace has none of it.
    world.write(writing(&bank(), "c", b"x")).await.unwrap();
    limit(&world, NONE).await;
    write(&world, "c", 1000).await.unwrap();
    assert_eq!(used(&world), walked(&world, &shop()));
    let words: Vec<String> = world
        .entries()
        .iter()
        .filter(|entry| entry.action == "namespace.quota")
        .filter_map(|entry| entry.resource.as_deref().map(str::to_owned))
        .collect();
    assert_eq!(words[0], "namespace/shop secrets:2");
    assert_eq!(words.last().unwrap(), "namespace/shop none");
}

#[tokio::test]
async fn what_is_deleted_counts_until_it_is_destroyed() {
    let world = World::new().await;
    limit(
        &world,
        Quota {
            secrets: Some(1),
            versions: Some(2),
            ..NONE
        },
    )
    .await;
    write(&world, "a", 1).await.unwrap();
    world.delete("a", None).await.unwrap();
    assert_eq!(refused(write(&world, "b", 1).await), (Bound::Secrets, 1, 1));
    // So bringing it back passes no bound.
    world.undelete("a", None).await.unwrap();
    write(&world, "a", 1).await.unwrap();
    world.delete("a", None).await.unwrap();
    world.undelete("a", None).await.unwrap();
    assert_eq!(
        refused(write(&world, "a", 1).await),
        (Bound::Versions, 2, 2)
    );
    world.destroy("a", Some(1)).await.unwrap();
    write(&world, "a", 1).await.unwrap();
    assert_eq!(refused(write(&world, "b", 1).await), (Bound::Secrets, 1, 1));
    world.destroy("a", None).await.unwrap();
    assert_eq!(used(&world), Used::default());
    write(&world, "b", 1).await.unwrap();
    // A path of which everything is destroyed is a secret again with its next version.
    assert_eq!(refused(write(&world, "a", 1).await), (Bound::Secrets, 1, 1));
    assert_eq!(used(&world), walked(&world, &shop()));
}

#[tokio::test]
async fn a_home_without_a_count_is_counted_when_it_is_needed() {
    let world = World::new().await;
    for (at, bytes) in [("a", 3), ("a", 4), ("b", 5), ("c", 6)] {
        write(&world, at, bytes).await.unwrap();
    }
    world.destroy("c", None).await.unwrap();
    world.destroy("a", Some(2)).await.unwrap();
    world.delete("b", None).await.unwrap();
    assert!(!world.vault.has_quota(&shop()).unwrap());
    // The quota comes later, and the process ends before anybody wrote under it.
    limit(
        &world,
        Quota {
            versions: Some(3),
            ..NONE
        },
    )
    .await;
    let world = world.close().open(PASSPHRASE).await.unwrap();
    let there = Used {
        secrets: 2,
        versions: 2,
        bytes: 8,
    };
    assert_eq!((used(&world), walked(&world, &shop())), (there, there));
    write(&world, "c", 1).await.unwrap();
    assert_eq!(
        refused(write(&world, "c", 1).await),
        (Bound::Versions, 3, 3)
    );
    let world = world.close().open(PASSPHRASE).await.unwrap();
    assert_eq!(
        refused(write(&world, "c", 1).await),
        (Bound::Versions, 3, 3)
    );
    assert_eq!(used(&world), walked(&world, &shop()));
}

/// Two writes that were both built while there was room for one.
#[tokio::test]
async fn two_at_once_never_pass_a_bound_together() {
    let world = World::new().await;
    limit(
        &world,
        Quota {
            secrets: Some(5),
            ..NONE
        },
    )
    .await;
    let writes = (0..20).map(|number| {
        let op = writing(&shop(), &format!("key/{number}"), b"x");
        let permit = world.permit(op);
        async {
            let origin = crate::world::origin();
            let recorder = &world.recorder;
            recorder
                .change(permit, &origin, |batch| {
                    SecretWrite::run(&world.vault, batch, NOW)
                })
                .await
        }
    });
    let (mut written, mut over, mut contended) = (0, 0, 0);
    for result in futures_in_turn(writes).await {
        match result {
            Ok(_) => written += 1,
            Err(ChangeError::Domain(VaultError::QuotaExceeded { .. })) => over += 1,
            Err(ChangeError::Record(procura_record::RecordError::Contended)) => contended += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(written + over + contended, 20);
    assert!((1..=5).contains(&written), "{written}");
    assert_eq!(used(&world).secrets, written);
    assert_eq!(used(&world), walked(&world, &shop()));
}

/// Has all of them run beside each other.
async fn futures_in_turn<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waits = false;
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => waits = true,
                }
            }
        }
        if waits {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}

/// Numbers that follow from a seed, which is in the message of what fails.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[tokio::test]
async fn the_count_is_what_a_walk_finds_whatever_happens() {
    for seed in 1..=6u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::new().await;
        for step in 0..60 {
            let at = format!("p{}", random.below(5));
            let some = |random: &mut Random| (random.below(2) == 0).then(|| 1 + random.below(4));
            match random.below(12) {
                0..=4 => drop(write(&world, &at, random.below(40) as usize).await),
                5 => drop(world.delete(&at, some(&mut random)).await),
                6 => drop(world.undelete(&at, some(&mut random)).await),
                7 | 8 => drop(world.destroy(&at, some(&mut random)).await),
                9 => {
                    let bound = |random: &mut Random, most| {
                        (random.below(3) > 0).then(|| random.below(most))
                    };
                    let quota = Quota {
                        secrets: bound(&mut random, 6),
                        versions_per_secret: bound(&mut random, 6),
                        versions: bound(&mut random, 20),
                        bytes: bound(&mut random, 500),
                    };
                    limit(&world, quota).await;
                }
                10 if step % 7 == 0 => {
                    world = world.close().open(PASSPHRASE).await.unwrap();
                }
                _ => {}
            }
            assert_eq!(
                used(&world),
                walked(&world, &shop()),
                "seed {seed}, step {step}"
            );
        }
    }
}

#[tokio::test]
async fn a_quota_that_is_set_meanwhile_counts() {
    let world = World::new().await;
    // Built without a quota, committed after there is one: it is built anew.
    let permit = world.permit(writing(&shop(), "late", b"x"));
    let tries = std::cell::Cell::new(0);
    let result = world
        .recorder
        .change(permit, &crate::world::origin(), |batch| {
            tries.set(tries.get() + 1);
            let built = SecretWrite::run(&world.vault, batch, NOW);
            if tries.get() == 1 {
                commit_quota(&world);
            }
            built
        })
        .await;
    assert!(
        matches!(
            result,
            Err(ChangeError::Domain(VaultError::QuotaExceeded {
                bound: Bound::Secrets,
                ..
            }))
        ),
        "{:?}",
        result.err()
    );
    assert_eq!(tries.get(), 2);
    assert_eq!(walked(&world, &shop()), Used::default());
}

/// Puts a quota of no secrets, from within a change that is being built.
fn commit_quota(world: &World) {
    let quota = Quota {
        secrets: Some(0),
        ..NONE
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(limit(world, quota));
        });
    });
}

/// Looks whether anything is in the namespace, and acts on that there is not.
struct Closing;

impl Op for Closing {
    const ACTION: Action = Action::NamespaceDelete;
    fn resource(&self) -> Resource {
        Resource::Namespace(shop())
    }
}

#[tokio::test]
async fn what_arrives_between_a_look_and_its_commit_is_not_overlooked() {
    let world = World::new().await;
    let tries = std::cell::Cell::new(0);
    let found = world
        .recorder
        .change(world.permit(Closing), &crate::world::origin(), |batch| {
            tries.set(tries.get() + 1);
            nothing_arrives(batch, &shop())?;
            let found = world.vault.live_secrets(&shop())?;
            if tries.get() == 1 {
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread()
                            .build()
                            .unwrap();
                        runtime.block_on(world.put(&shop(), "late", b"x"));
                    });
                });
            }
            Ok::<u64, VaultError>(found)
        })
        .await
        .unwrap();
    assert_eq!((tries.get(), found), (2, 1));
    // The mark itself is in the batch of whatever puts something there.
    let mut batch = world.vault.store().batch().unwrap();
    arrives(&mut batch, &shop());
    assert!(!batch.is_empty());
}

#[tokio::test]
async fn destroying_is_never_refused() {
    let world = World::new().await;
    write(&world, "a", 100).await.unwrap();
    write(&world, "a", 100).await.unwrap();
    limit(
        &world,
        Quota {
            secrets: Some(0),
            versions: Some(0),
            bytes: Some(0),
            ..NONE
        },
    )
    .await;
    let op = SecretDestroy {
        namespace: shop(),
        path: path("a"),
        version: Some(1),
    };
    world
        .act(op, |batch| SecretDestroy::run(batch, NOW))
        .await
        .unwrap();
    let left = Used {
        secrets: 1,
        versions: 1,
        bytes: 100,
    };
    assert_eq!((used(&world), walked(&world, &shop())), (left, left));
}
