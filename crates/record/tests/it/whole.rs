//! Files of the ledger that are not whole, at a start and while they are served.

use crate::world::{World, clock, parts, store, tiles};
use procura_ledger::{Checkpoint, Hash, TilePath, layout, leaf_hash, verify_inclusion};
use procura_record::tables::{LEDGER, PUBLISHED, PUBLISHED_KEY};
use procura_record::{Publisher, PublisherError, PublisherParts, RecordReader};
use procura_store::{FakeDisk, Store};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Appends small entries up to this size.
async fn grow(store: &Store, size: u64) {
    let mut next = store.log_len(LEDGER).unwrap();
    while next < size {
        let mut batch = store.batch().unwrap();
        for index in next..size.min(next + 4096) {
            batch.append(LEDGER, format!("entry {index}").into_bytes());
        }
        store.commit(batch).await.unwrap();
        next = store.log_len(LEDGER).unwrap();
    }
}

fn reader(store: &Store, publisher: &Publisher) -> RecordReader {
    RecordReader::new(store.clone(), publisher.tiles().clone())
}

/// All published files, plain.
async fn exported(reader: &RecordReader, size: u64) -> Vec<(TilePath, Vec<u8>)> {
    let mut files = Vec::new();
    for path in layout(size) {
        files.push((path, reader.tile(path).await.unwrap().unwrap()));
    }
    files
}

/// That these entries are proven to be in the published tree.
async fn proves(store: &Store, publisher: &Publisher, reader: &RecordReader, indexes: &[u64]) {
    let size = store.log_len(LEDGER).unwrap();
    let note = publisher.covering(size).await.unwrap();
    let signed = Checkpoint::open(&note.note, &publisher.vkey()).unwrap();
    for index in indexes {
        let path = reader.inclusion(*index, signed.size).await.unwrap();
        let path: Vec<Hash> = path.iter().map(|hash| hash.parse().unwrap()).collect();
        let entry = &store.log_read(LEDGER, *index, 1).unwrap()[0];
        let leaf = leaf_hash(entry.bytes.expose());
        verify_inclusion(&leaf, *index, signed.size, &path, &signed.root).unwrap();
    }
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Gone,
    Emptied,
    Cut,
    Flipped,
}

fn damage(ledger: &Path, name: &str, how: Damage) {
    let path = ledger.join(name);
    let mut bytes = fs::read(&path).unwrap();
    match how {
        Damage::Gone => return fs::remove_file(&path).unwrap(),
        Damage::Emptied => bytes.clear(),
        Damage::Cut => bytes.truncate(bytes.len() / 2),
        Damage::Flipped => bytes[100] ^= 1,
    }
    fs::write(&path, bytes).unwrap();
}

const DAMAGES: [(&str, Damage); 7] = [
    ("tile/entries/000", Damage::Gone),
    ("tile/entries/000", Damage::Emptied),
    ("tile/entries/001", Damage::Cut),
    ("tile/entries/001", Damage::Flipped),
    ("tile/0/000", Damage::Gone),
    ("tile/0/000", Damage::Emptied),
    ("tile/0/001", Damage::Cut),
];

#[tokio::test]
async fn full_files_are_made_again_while_they_are_served_and_at_a_start() {
    let (disk, home) = (FakeDisk::default(), tempfile::tempdir().unwrap());
    let ledger = home.path().join("ledger");
    let indexes = [0, 255, 256, 511, 599];
    let mut over = store(&disk);
    grow(&over, 600).await;
    let mut publisher = Publisher::start(parts(&over, home.path())).await.unwrap();
    let whole = exported(&reader(&over, &publisher), 600).await;
    for restart in [false, true] {
        for (name, how) in DAMAGES {
            let case = format!("{name} {how:?} restart {restart}");
            let plain = tiles(home.path());
            let path: TilePath = name.parse().unwrap();
            let before = plain.read(&path).unwrap();
            if restart {
                publisher.stop().await;
                drop((publisher, over));
                damage(&ledger, name, how);
                over = store(&disk);
                publisher = Publisher::start(parts(&over, home.path())).await.unwrap();
            } else {
                damage(&ledger, name, how);
            }
            let reader = reader(&over, &publisher);
            assert!(exported(&reader, 600).await == whole, "{case}");
            proves(&over, &publisher, &reader, &indexes).await;
            assert!(plain.read(&path).unwrap() == before, "{case}");
        }
    }
}

#[tokio::test]
async fn a_bundle_that_is_made_again_puts_its_hash_tile_right() {
    let (over, home) = (store(&FakeDisk::default()), tempfile::tempdir().unwrap());
    grow(&over, 300).await;
    let publisher = Publisher::start(parts(&over, home.path())).await.unwrap();
    let reader = reader(&over, &publisher);
    let whole = exported(&reader, 300).await;
    let ledger = home.path().join("ledger");
    // Its length is right, so this alone is not noticed by the server, and its
    // proofs do not verify for those who ask.
    damage(&ledger, "tile/0/000", Damage::Flipped);
    assert!(exported(&reader, 300).await != whole);
    damage(&ledger, "tile/entries/000", Damage::Emptied);
    assert!(exported(&reader, 300).await == whole);
    proves(&over, &publisher, &reader, &[0, 3, 299]).await;
}

#[tokio::test]
async fn a_tile_above_the_leaves_is_made_again_from_those_below() {
    const SIZE: u64 = 65_536 + 300;
    let (over, home) = (store(&FakeDisk::default()), tempfile::tempdir().unwrap());
    grow(&over, SIZE).await;
    let publisher = Publisher::start(parts(&over, home.path())).await.unwrap();
    let reader = reader(&over, &publisher);
    let ledger = home.path().join("ledger");
    let upper = fs::read(ledger.join("tile/1/000")).unwrap();
    damage(&ledger, "tile/1/000", Damage::Gone);
    damage(&ledger, "tile/0/017", Damage::Cut);
    proves(&over, &publisher, &reader, &[0, 17 * 256, SIZE - 1]).await;
    assert!(fs::read(ledger.join("tile/1/000")).unwrap() == upper);
}

#[tokio::test]
async fn a_checkpoint_that_a_power_cut_tore_is_signed_anew() {
    let (mut world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    world.put("a", 1).await.unwrap();
    publisher.stop().await;
    let path = home.path().join("ledger/checkpoint");
    let note = fs::read(&path).unwrap();
    let dash = note.iter().position(|byte| *byte == 0xe2).unwrap();
    let torn = [
        Vec::new(),
        note[..20].to_vec(),
        note[..dash].to_vec(),
        note[..=dash].to_vec(),
        note[..note.len() - 1].to_vec(),
        vec![0; note.len()],
    ];
    for torn in torn {
        world = world.reopen();
        fs::write(&path, &torn).unwrap();
        let publisher = world.publisher(home.path()).await.unwrap();
        publisher.stop().await;
        assert_eq!(fs::read(&path).unwrap(), note, "{} bytes", torn.len());
    }
}

#[tokio::test]
async fn a_torn_checkpoint_says_nothing_only_beside_a_stored_row() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    fs::create_dir(home.path().join("ledger")).unwrap();
    fs::write(home.path().join("ledger/checkpoint"), "").unwrap();
    let error = world.publisher(home.path()).await.err().unwrap();
    assert!(matches!(error, PublisherError::Ledger(_)), "{error}");
    // A whole one that is ahead is believed, whatever the row says.
    let (newer, other) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = newer.publisher(other.path()).await.unwrap();
    let backup = newer.disk.copy();
    newer.put("a", 1).await.unwrap();
    publisher.stop().await;
    let error = World::open(&backup).publisher(other.path()).await.err();
    let refused = matches!(error, Some(PublisherError::RolledBack { size: 2, .. }));
    assert!(refused, "{error:?}");
}

#[tokio::test]
async fn entries_that_are_not_those_of_the_stored_row_are_never_signed() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    world.put("a", 1).await.unwrap();
    world.publisher(home.path()).await.unwrap().stop().await;
    let key = PUBLISHED_KEY.to_owned();
    let mut row = PUBLISHED.get(world.store(), &key).unwrap().unwrap().value;
    let last = row.frontier.len() - 1;
    row.frontier[last] ^= 1;
    let mut batch = world.store().batch().unwrap();
    PUBLISHED.put(&mut batch, &key, &row);
    world.store().commit(batch).await.unwrap();
    let world = world.reopen();
    fs::remove_dir_all(home.path().join("ledger")).unwrap();
    let error = world.publisher(home.path()).await.err().unwrap();
    let what = error.to_string();
    assert!(what.contains("do not hash to the stored root"), "{what}");
    assert!(!home.path().join("ledger/checkpoint").exists());
}

#[tokio::test]
async fn files_that_could_not_be_written_are_made_again() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    let (tile, aside) = (home.path().join("ledger/tile"), home.path().join("aside"));
    grow(world.store(), 100).await;
    publisher.covering(100).await.unwrap();
    // A file in the place of the directory: nothing can be written below it.
    while fs::rename(&tile, &aside).is_err() {
        tokio::task::yield_now().await;
    }
    fs::write(&tile, "").unwrap();
    grow(world.store(), 300).await;
    for _ in 0..10_000 {
        if publisher.problem().is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(publisher.problem().unwrap().contains("ledger/tile"));
    assert_eq!(publisher.latest().unwrap().size, 100);
    fs::remove_file(&tile).unwrap();
    publisher.covering(300).await.unwrap();
    let reader = reader(world.store(), &publisher);
    proves(world.store(), &publisher, &reader, &[0, 99, 100, 299]).await;
    publisher.stop().await;
    let names = layout(300).map(|path| path.to_string());
    let missing: Vec<String> = names
        .filter(|name| !home.path().join("ledger").join(name).exists())
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(publisher.problem(), None);
}

#[tokio::test]
async fn a_publisher_that_is_dropped_ends_and_lets_its_key_go() {
    for sealed in [false, true] {
        let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
        // Whoever holds the parts holds the clock.
        let clock = clock();
        let held = Arc::downgrade(&clock);
        let publisher = Publisher::start(PublisherParts {
            clock,
            ..parts(world.store(), home.path())
        })
        .await
        .unwrap();
        world.put("a", 1).await.unwrap();
        if sealed {
            world.store().seal();
        }
        drop(publisher);
        for _ in 0..10_000 {
            if held.strong_count() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(held.strong_count(), 0, "sealed {sealed}");
    }
}
