//! Checkpoints over the log: after restarts, with files gone or damaged, with a
//! store that is not the one that was signed.

use crate::world::{ID, World, admin_roles, tiles};
use procura_ledger::{Checkpoint, Hash, TileFile, leaf_hash, verify_inclusion};
use procura_record::tables::{LEDGER, ROLES};
use procura_record::{BundleKeys, Publisher, PublisherError, RecordReader, Tiles, TilesError};
use procura_store::{FakeDisk, FakeFault};
use procura_types::Role;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn checkpoint(publisher: &Publisher, note: &str) -> Checkpoint {
    Checkpoint::open(note, &publisher.vkey()).unwrap()
}

/// A checkpoint over all that the store holds, checked against every entry.
async fn published(world: &World, publisher: &Publisher) -> Checkpoint {
    let length = world.store().log_len(LEDGER).unwrap();
    let note = publisher.covering(length).await.unwrap().note.clone();
    let checkpoint = checkpoint(publisher, &note);
    assert_eq!(checkpoint.origin, procura_ledger::origin(&ID));
    assert_eq!(checkpoint.size, length);
    let log = world
        .store()
        .log_read(LEDGER, 0, usize::try_from(length).unwrap())
        .unwrap();
    let reader = RecordReader::new(world.store().clone(), publisher.tiles().clone());
    for entry in log {
        let path = reader.inclusion(entry.index, length).await.unwrap();
        let path: Vec<Hash> = path.iter().map(|hash| hash.parse().unwrap()).collect();
        let leaf = leaf_hash(entry.bytes.expose());
        verify_inclusion(&leaf, entry.index, length, &path, &checkpoint.root).unwrap();
    }
    checkpoint
}

async fn puts(world: &World, count: u64) {
    for value in 0..count {
        world.put("a", value).await.unwrap();
    }
}

/// Every file below `directory` with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(
                files(&path)
                    .into_iter()
                    .map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)),
            );
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_restart_goes_on_from_the_last_checkpoint() {
    let (mut world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let mut last = 0;
    for round in 0..4u64 {
        let publisher = world.publisher(home.path()).await.unwrap();
        assert_eq!(
            checkpoint(&publisher, &publisher.latest().unwrap().note)
                .size
                .max(last),
            publisher.latest().unwrap().size
        );
        puts(&world, 70 * round).await;
        let signed = published(&world, &publisher).await;
        assert!(signed.size >= last && signed.seq.is_some() && signed.set.is_some());
        last = signed.size;
        publisher.stop().await;
        let on_disk = std::fs::read_to_string(home.path().join("ledger/checkpoint")).unwrap();
        assert_eq!(checkpoint(&publisher, &on_disk).size, last);
        drop(publisher);
        world = world.reopen();
    }
    // More than one tile by now, and entries that came while nobody published.
    puts(&world, 30).await;
    let publisher = world.publisher(home.path()).await.unwrap();
    assert!(published(&world, &publisher).await.size > last);
}

#[tokio::test]
async fn files_that_are_gone_or_damaged_are_written_anew() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    puts(&world, 299).await;
    let before = published(&world, &publisher).await;
    publisher.stop().await;
    drop(publisher);
    let ledger = home.path().join("ledger");
    let whole = files(&ledger);
    let names: Vec<String> = whole
        .keys()
        .filter(|name| *name != "checkpoint")
        .cloned()
        .collect();
    assert!(names.len() >= 5, "{names:?}");
    let mut world = world.reopen();
    // All of it, or the files at the right edge one by one, gone or with one bit changed.
    std::fs::remove_dir_all(&ledger).unwrap();
    let publisher = world.publisher(home.path()).await.unwrap();
    assert_eq!(published(&world, &publisher).await.root, before.root);
    publisher.stop().await;
    drop(publisher);
    for name in names.iter().filter(|name| name.contains(".p/")) {
        for damage in [true, false] {
            world = world.reopen();
            let path = ledger.join(name);
            if damage {
                let mut bytes = std::fs::read(&path).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            let publisher = world.publisher(home.path()).await.unwrap();
            let again = published(&world, &publisher).await;
            assert_eq!(
                (again.size, again.root),
                (before.size, before.root),
                "{name}"
            );
            publisher.stop().await;
        }
    }
}

#[tokio::test]
async fn hashes_lie_as_they_are_and_entries_sealed() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    puts(&world, 5).await;
    published(&world, &publisher).await;
    // Partial files are written when nothing comes any more.
    publisher.stop().await;
    let files = files(&home.path().join("ledger"));
    let plain = |bytes: &[u8]| bytes.windows(12).any(|window| window == b"secret.write");
    assert!(files.iter().all(|(_, bytes)| !plain(bytes)));
    let path = "tile/entries/000.p/6".parse().unwrap();
    assert!(plain(&publisher.tiles().read(&path).unwrap().unwrap()));
    // A bundle in another's place does not open.
    let foreign = home.path().join("ledger/tile/entries/000.p/5");
    std::fs::copy(home.path().join("ledger/tile/entries/000.p/6"), foreign).unwrap();
    let path = "tile/entries/000.p/5".parse().unwrap();
    let error = publisher.tiles().read(&path).unwrap_err();
    assert!(
        matches!(error, procura_record::TilesError::Refused(_)),
        "{error}"
    );
    let reader = RecordReader::new(world.store().clone(), publisher.tiles().clone());
    let tile = async |name: &str| reader.tile(name.parse().unwrap()).await.unwrap();
    assert_eq!(tile("tile/0/000.p/6").await.unwrap().len(), 6 * 32);
    assert_eq!(tile("tile/0/000.p/7").await, None);
}

#[test]
fn bundles_follow_their_keys() {
    let home = tempfile::tempdir().unwrap();
    let key = |byte| procura_crypto::XaesKey::new(procura_types::Secret::new([byte; 32])).unwrap();
    let keys = Arc::new(BundleKeys::new([(1, key(1))].into()));
    let over = |keys: &Arc<BundleKeys>| {
        let entropy = Arc::new(procura_crypto::SystemEntropy);
        Tiles::new(home.path(), ID, Arc::clone(keys), entropy)
    };
    let tiles = over(&keys);
    let file = |name: &str| TileFile {
        path: name.parse().unwrap(),
        bytes: b"entries".to_vec(),
    };
    let (before, after) = (file("tile/entries/000"), file("tile/entries/001"));
    tiles.write(&before).unwrap();
    keys.replace([(1, key(1)), (2, key(2))].into());
    tiles.write(&after).unwrap();
    for file in [&before, &after] {
        let read = tiles.read(&file.path).unwrap().unwrap();
        assert_eq!(read, file.bytes);
    }
    // Whoever has the old key alone opens what was sealed with it and no more.
    let old = over(&Arc::new(BundleKeys::new([(1, key(1))].into())));
    assert!(old.read(&before.path).unwrap().is_some());
    let error = old.read(&after.path).unwrap_err();
    assert!(matches!(error, TilesError::Refused(_)), "{error}");
    let none = over(&Arc::new(BundleKeys::new([].into())));
    let error = none.write(&before).unwrap_err();
    assert!(matches!(error, TilesError::NoKey), "{error}");
}

fn rolled_back(error: PublisherError) -> u64 {
    match error {
        PublisherError::RolledBack { size, .. } => size,
        other => panic!("another failure: {other}"),
    }
}

#[tokio::test]
async fn an_older_store_beside_a_newer_checkpoint_is_refused() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    puts(&world, 3).await;
    published(&world, &publisher).await;
    publisher.stop().await;
    let backup = world.disk.copy();
    drop(publisher);
    let world = world.reopen();
    let publisher = world.publisher(home.path()).await.unwrap();
    puts(&world, 2).await;
    let newest = published(&world, &publisher).await.size;
    publisher.stop().await;
    drop((publisher, world));

    let old = World::open(&backup);
    assert_eq!(
        rolled_back(old.publisher(home.path()).await.err().unwrap()),
        newest
    );
    // Even when it has grown past the checkpoint on another way.
    puts(&old, 10).await;
    assert_eq!(
        rolled_back(old.publisher(home.path()).await.err().unwrap()),
        newest
    );
}

#[tokio::test]
async fn another_store_of_the_same_size_is_refused() {
    let (one, two) = (World::new().await, World::new().await);
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (world, home) in [(&one, &home), (&two, &other)] {
        let publisher = world.publisher(home.path()).await.unwrap();
        puts(world, 3).await;
        published(world, &publisher).await;
        publisher.stop().await;
    }
    let size = one.store().log_len(LEDGER).unwrap();
    assert_eq!(
        rolled_back(two.reopen().publisher(home.path()).await.err().unwrap()),
        size
    );
    one.reopen().publisher(home.path()).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_was_not_signed_is_refused() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    world.publisher(home.path()).await.unwrap().stop().await;
    // A right given by hand: the row is whole, and no entry tells of it.
    let roles = admin_roles(&[Role::Admin, Role::Approver]);
    let mut batch = world.store().batch().unwrap();
    ROLES.put(&mut batch, &roles.actor.to_string(), &roles);
    world.store().commit(batch).await.unwrap();
    let world = world.reopen();
    let error = world.publisher(home.path()).await.err().unwrap();
    assert!(
        matches!(&error, PublisherError::RolledBack { what, .. } if what.contains("directory")),
        "{error}"
    );
}

#[tokio::test]
async fn a_checkpoint_by_another_key_is_refused() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    world.publisher(home.path()).await.unwrap().stop().await;
    let path = home.path().join("ledger/checkpoint");
    let note = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, note.replacen("\n1\n", "\n2\n", 1)).unwrap();
    let error = world.publisher(home.path()).await.err().unwrap();
    assert!(matches!(error, PublisherError::Ledger(_)), "{error}");
}

/// Whatever crashes when: no size is ever signed twice with another content.
#[tokio::test]
async fn two_checkpoints_of_one_size_never_differ() {
    let home = tempfile::tempdir().unwrap();
    let mut signed: BTreeMap<u64, String> = BTreeMap::new();
    let mut keep = |home: &Path| {
        let note = std::fs::read_to_string(home.join("ledger/checkpoint")).unwrap();
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        let known = signed.entry(size).or_insert_with(|| note.clone());
        assert_eq!(*known, note, "two checkpoints of size {size}");
        size
    };
    let mut world = World::on(&FakeDisk::default()).await;
    for round in 0..12u64 {
        let fault = match round % 3 {
            0 => None,
            1 => Some(FakeFault::Lost),
            _ => Some(FakeFault::KeptButFailed),
        };
        puts(&world, 2).await;
        if let Some(fault) = fault {
            // The row of (size, root) is the next thing that is committed.
            world.disk.fail(world.disk.steps() + 1, fault);
            world.publisher(home.path()).await.err().unwrap();
            if round > 0 {
                keep(home.path());
            }
            world = world.reopen();
        }
        let publisher = world.publisher(home.path()).await.unwrap();
        let size = keep(home.path());
        assert_eq!(size, published(&world, &publisher).await.size);
        publisher.stop().await;
        drop(publisher);
        world = world.reopen();
    }
    assert_eq!(signed.len(), 12);
}

#[tokio::test]
async fn stopping_publishes_what_is_left() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    puts(&world, 5).await;
    publisher.stop().await;
    assert_eq!(
        publisher.latest().unwrap().size,
        world.store().log_len(LEDGER).unwrap()
    );
    assert_eq!(publisher.problem(), None);
    let size = tiles(home.path()).checkpoint().unwrap().unwrap();
    assert_eq!(checkpoint(&publisher, &size).size, 6);
}

#[tokio::test]
async fn a_publisher_that_cannot_store_says_why_and_recovers() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    // The put is one step, the row of the publisher the next.
    world.disk.fail(world.disk.steps() + 2, FakeFault::Full);
    puts(&world, 1).await;
    for _ in 0..10_000 {
        if publisher.problem().is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(
        publisher.problem().unwrap().contains("no space"),
        "{:?}",
        publisher.problem()
    );
    puts(&world, 1).await;
    published(&world, &publisher).await;
    assert_eq!(publisher.problem(), None);
}
