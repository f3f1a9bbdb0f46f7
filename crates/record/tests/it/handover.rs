//! The key that signs checkpoints turns while the record goes on.

use crate::world::{World, entropy, parts};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_ledger::{Checkpoint, CheckpointSigners, NoteSigner, Succession, Vkey};
use procura_record::{LedgerKeys, Publisher, PublisherParts, handovers};
use procura_types::{Clock, Duration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that is set.
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

const NOW: u64 = 1_795_000_000_000;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// The keys of one log, oldest first.
struct Keys {
    name: String,
    keys: Vec<Vec<u8>>,
}

impl Keys {
    fn signer(&self, number: usize) -> NoteSigner {
        let key = SigningKey::from_secret_bytes(&self.keys[number]).unwrap();
        NoteSigner::new(&self.name, key).unwrap()
    }

    fn vkey(&self, number: usize) -> Vkey {
        self.signer(number).vkey().clone()
    }

    /// The key of this number signs, and the one before it until a day from now.
    fn signers(&self, number: usize) -> CheckpointSigners {
        let until = Timestamp::from_millis(NOW + DAY);
        let former = (number.saturating_sub(1)..number)
            .map(|before| (self.signer(before), until))
            .collect();
        CheckpointSigners::new(self.signer(number), former)
    }
}

fn keys(name: &str) -> Keys {
    let key = || {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        key.to_secret_bytes().expose().clone()
    };
    Keys {
        name: name.to_owned(),
        keys: vec![key(), key(), key()],
    }
}

#[tokio::test]
async fn what_a_key_turned_with_is_kept_before_it_is_shown() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let clock = Arc::new(Set(AtomicU64::new(NOW)));
    let given = parts(world.store(), home.path());
    let keys = keys(given.keys.current().vkey().name());
    let signing = Arc::new(LedgerKeys::new(keys.signers(0)));
    let with = || PublisherParts {
        keys: Arc::clone(&signing),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        entropy: entropy(),
        ..parts(world.store(), home.path())
    };
    let publisher = Publisher::start(with()).await.unwrap();
    world.put("a", 1).await.unwrap();
    let first = publisher.covering(1).await.unwrap();
    assert_eq!(publisher.vkey(), keys.vkey(0));
    Checkpoint::open(&first.note, &keys.vkey(0)).unwrap();
    assert_eq!(handovers(world.store()).unwrap(), Vec::<String>::new());

    // It turns, and the next entry is signed by both.
    signing.replace(keys.signers(1));
    world.put("b", 1).await.unwrap();
    let size = world
        .store()
        .log_len(procura_record::tables::LEDGER)
        .unwrap();
    let second = publisher.covering(size).await.unwrap();
    assert_eq!(publisher.vkey(), keys.vkey(1));
    let opened = Checkpoint::open_following(&second.note, &keys.vkey(0)).unwrap();
    assert_eq!(opened.successor, Some(keys.vkey(1)));
    // The first that it signed is kept, which may be one before this.
    let kept = handovers(world.store()).unwrap();
    assert_eq!(kept.len(), 1);
    let opened = Checkpoint::open_following(&kept[0], &keys.vkey(0)).unwrap();
    assert_eq!(opened.successor, Some(keys.vkey(1)));
    assert!(opened.checkpoint.size <= second.size);
    let first_kept = kept[0].clone();
    publisher.stop().await;
    drop(publisher);

    // It turns again while nothing is published, for longer than the key of before signs:
    // what that one signed is accepted here, and it signs once more, that another follows.
    signing.replace(keys.signers(2));
    clock.0.store(NOW + 2 * DAY, Ordering::Relaxed);
    let publisher = Publisher::start(with()).await.unwrap();
    let third = publisher.latest().unwrap();
    let opened = Checkpoint::open_following(&third.note, &keys.vkey(1)).unwrap();
    assert_eq!(opened.successor, Some(keys.vkey(2)));
    // Then no more, and who knows the first is led to the last.
    world.put("c", 1).await.unwrap();
    let newest = publisher.covering(third.size + 1).await.unwrap();
    assert!(Checkpoint::open(&newest.note, &keys.vkey(1)).is_err());
    Checkpoint::open(&newest.note, &keys.vkey(2)).unwrap();
    let kept = handovers(world.store()).unwrap();
    assert_eq!(kept, [first_kept, third.note.clone()]);
    let followed = Succession::of(keys.vkey(0)).follow(kept.iter().map(String::as_str));
    assert_eq!(*followed.newest(), keys.vkey(2));
    publisher.stop().await;
    drop(publisher);

    // A checkpoint by a key of which only the kept ones tell does not stop a start.
    std::fs::write(home.path().join("ledger/checkpoint"), &first.note).unwrap();
    let publisher = Publisher::start(with()).await.unwrap();
    let again = publisher.latest().unwrap();
    assert_eq!(again.size, newest.size);
    let late = tokio::time::timeout(Duration::from_secs(60), publisher.stop());
    late.await.unwrap();
}
