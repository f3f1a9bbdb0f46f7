//! What happens while sealed is in the ledger after the next unseal, once.

use crate::world::{World, store};
use procura_crypto::SystemEntropy;
use procura_ledger::{Decision, Entry};
use procura_record::{RecordError, Spool, SpoolError};
use procura_store::{CommitError, FakeDisk, FakeFault, Store};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A refusal, which is all that a spool can hold.
fn entry(action: &'static str) -> Entry {
    Entry {
        decision: Decision::Deny,
        reason: Some("wrong_passphrase".into()),
        ..crate::world::entry(action)
    }
}

struct Place {
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("spool.jsonl")
    }

    fn spool(&self) -> Spool {
        Spool::open(&self.path()).unwrap()
    }

    fn tear(&self, bytes: &[u8]) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(self.path())
            .unwrap();
        file.write_all(bytes).unwrap();
    }
}

async fn flush(spool: &Spool, store: &Store) -> Result<usize, RecordError> {
    spool
        .flush(store, None, &crate::world::Still, &SystemEntropy)
        .await
}

fn actions(store: &Store) -> Vec<String> {
    crate::world::entries(store)
        .iter()
        .map(|entry| entry.action.to_string())
        .collect()
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn lines_are_on_disk_and_move_in_their_order() {
    let place = Place::new();
    let spool = place.spool();
    let mode = std::fs::metadata(place.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let written: Vec<Entry> = ["one", "two", "three"].map(entry).into();
    for entry in &written {
        spool.push(entry).unwrap();
    }
    drop(spool);
    // Another process, after a crash.
    let (spool, disk) = (place.spool(), FakeDisk::default());
    let store = store(&disk);
    assert_eq!(flush(&spool, &store).await.unwrap(), 3);
    let ids: Vec<_> = crate::world::entries(&store)
        .iter()
        .map(|entry| entry.id)
        .collect();
    assert_eq!(
        ids,
        written.iter().map(|entry| entry.id).collect::<Vec<_>>()
    );
    assert_eq!(length(&place.path()), 0);
    assert_eq!(flush(&spool, &store).await.unwrap(), 0);
    spool.push(&entry("four")).unwrap();
    assert_eq!(flush(&spool, &store).await.unwrap(), 1);
    assert_eq!(actions(&store), ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_torn_last_line_goes_and_the_next_is_whole() {
    for torn in [
        &b"{\"v\":1,\"id"[..],
        b"\0\0\0\0",
        b"\xc3",
        b"{\"reason\":\"\xe2\x82",
    ] {
        let place = Place::new();
        place.spool().push(&entry("one")).unwrap();
        place.tear(torn);
        let spool = place.spool();
        spool.push(&entry("two")).unwrap();
        let store = store(&FakeDisk::default());
        assert_eq!(flush(&spool, &store).await.unwrap(), 2);
        assert_eq!(actions(&store), ["one", "two"]);
    }
}

#[tokio::test]
async fn a_line_torn_under_an_open_spool_is_not_moved() {
    let place = Place::new();
    let spool = place.spool();
    spool.push(&entry("one")).unwrap();
    place.tear(b"{\"v\":1,\"id\xff");
    let store = store(&FakeDisk::default());
    assert_eq!(flush(&spool, &store).await.unwrap(), 1);
    assert_eq!(actions(&store), ["one"]);
}

#[tokio::test]
async fn a_crash_between_commit_and_truncation_repeats_nothing() {
    let place = Place::new();
    let spool = place.spool();
    spool.push(&entry("one")).unwrap();
    spool.push(&entry("two")).unwrap();
    let before = std::fs::read(place.path()).unwrap();
    let disk = FakeDisk::default();
    let store = store(&disk);
    assert_eq!(flush(&spool, &store).await.unwrap(), 2);
    // The truncation did not reach the disk.
    std::fs::write(place.path(), &before).unwrap();
    let spool = place.spool();
    assert_eq!(flush(&spool, &store).await.unwrap(), 0);
    assert_eq!(actions(&store), ["one", "two"]);
    // Nor did it, and more happened before the next unseal.
    std::fs::write(place.path(), &before).unwrap();
    let spool = place.spool();
    spool.push(&entry("three")).unwrap();
    assert_eq!(flush(&spool, &store).await.unwrap(), 1);
    assert_eq!(actions(&store), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_commit_that_fails_moves_all_or_nothing() {
    for (fault, kept) in [(FakeFault::Lost, false), (FakeFault::KeptButFailed, true)] {
        let (place, world) = (Place::new(), World::new().await);
        let spool = place.spool();
        spool.push(&entry("one")).unwrap();
        spool.push(&entry("two")).unwrap();
        world.disk.fail(world.disk.steps() + 1, fault);
        let error = flush(&spool, world.store()).await.unwrap_err();
        assert!(
            matches!(error, RecordError::Commit(CommitError::Unknown)),
            "{error}"
        );
        assert!(
            length(&place.path()) > 0,
            "nothing is thrown away before it is known"
        );
        let world = world.reopen();
        assert_eq!(
            flush(&place.spool(), world.store()).await.unwrap(),
            if kept { 0 } else { 2 }
        );
        assert_eq!(actions(world.store()), ["installation.init", "one", "two"]);
        assert_eq!(length(&place.path()), 0);
    }
}

#[tokio::test]
async fn a_sealed_store_keeps_the_spool() {
    let (place, world) = (Place::new(), World::new().await);
    let spool = place.spool();
    spool.push(&entry("one")).unwrap();
    world.store().seal();
    flush(&spool, world.store()).await.unwrap_err();
    assert!(length(&place.path()) > 0);
}

#[test]
fn the_spool_is_bounded() {
    let place = Place::new();
    let spool = place.spool();
    let mut long = entry("authenticate");
    long.reason = Some("x".repeat(60_000).into());
    let mut taken = 0;
    let error = loop {
        match spool.push(&long) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "there is no bound");
    };
    assert!(matches!(error, SpoolError::Full), "{error}");
    assert!(length(&place.path()) < 1_200_000);
}

#[tokio::test]
async fn lines_that_somebody_else_wrote_do_not_reach_the_record() {
    let place = Place::new();
    place.spool().push(&entry("one")).unwrap();
    let allowed = crate::world::entry("secret.read");
    let of_a_namespace = Entry {
        namespace: Some(crate::world::shop()),
        ..entry("secret.read")
    };
    let spaced = String::from_utf8(entry("spaced").to_bytes().unwrap())
        .unwrap()
        .replace(":", ": ");
    for line in [
        allowed.to_bytes().unwrap(),
        of_a_namespace.to_bytes().unwrap(),
        spaced.into_bytes(),
        b"junk".to_vec(),
        vec![0xff; 100_000],
    ] {
        place.tear(&[line, b"\n".to_vec()].concat());
    }
    let (spool, store) = (place.spool(), store(&FakeDisk::default()));
    spool.push(&entry("two")).unwrap();
    flush(&spool, &store).await.unwrap();
    // That they were there stands in it, once.
    assert_eq!(actions(&store), ["one", "two", "installation.spool"]);
    let found = crate::world::entries(&store).pop().unwrap();
    assert_eq!(
        (found.decision, found.reason.as_deref()),
        (Decision::Failed, Some("foreign_lines"))
    );
    assert_eq!(length(&place.path()), 0);
}

#[test]
fn a_spool_takes_nothing_that_it_cannot_vouch_for() {
    let place = Place::new();
    let error = place
        .spool()
        .push(&crate::world::entry("secret.read"))
        .unwrap_err();
    assert!(matches!(error, SpoolError::NotARefusal), "{error}");
    assert_eq!(length(&place.path()), 0);
}
