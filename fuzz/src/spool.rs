//! The spool of a sealed server: whatever a file holds, the record gains nothing
//! but refusals of nobody in particular.

use crate::Verdict;
use crate::world::{Counting, INSTALLATION, Still, scratch};
use procura_ledger::{Decision, Entry, Phase};
use procura_record::Spool;
use procura_record::tables::LEDGER;
use procura_store::{Barrier, BarrierKeys, FakeDisk, FakeEngine, Store};
use procura_types::Secret;
use std::sync::Arc;

/// An empty store in memory, unsealed.
pub(crate) fn store() -> Store {
    let engine = FakeEngine::open(&FakeDisk::default()).unwrap();
    let entropy = Arc::new(Counting::new());
    let store = Store::over(Arc::new(engine), Arc::new(Still), Arc::clone(&entropy) as _);
    let key = |byte| Secret::new([byte; 32]);
    let keys = BarrierKeys {
        installation: INSTALLATION,
        epochs: vec![(1, key(1))],
        set_key: key(2),
        chain_key: key(3),
        index_key: key(4),
    };
    let barrier = Barrier::new(keys, entropy).unwrap();
    store.install_barrier(barrier).unwrap();
    store
}

fn entries(store: &Store) -> Vec<Vec<u8>> {
    let length = usize::try_from(store.log_len(LEDGER).unwrap()).unwrap();
    let read = store.log_read(LEDGER, 0, length).unwrap();
    assert_eq!(read.len(), length);
    read.iter()
        .map(|entry| entry.bytes.expose().clone())
        .collect()
}

pub(crate) fn spool(data: &[u8]) -> Verdict {
    let home = scratch();
    let path = home.path().join("spool.jsonl");
    std::fs::write(&path, data).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store = store();
    let flush = || {
        let spool = Spool::open(&path).unwrap();
        runtime.block_on(spool.flush(&store, None, &Still, &Counting::new()))
    };
    flush().expect("no line makes the record unreadable");
    let end = data.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines: Vec<&[u8]> = data[..end]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let recorded = entries(&store);
    let mut accepted = 0;
    for bytes in &recorded {
        let entry = Entry::parse(bytes).expect("a readable entry");
        if entry.action == "installation.spool" && !lines.contains(&bytes.as_slice()) {
            assert_eq!(entry.reason.as_deref(), Some("foreign_lines"));
            continue;
        }
        accepted += 1;
        assert!(lines.contains(&bytes.as_slice()), "an entry of no line");
        assert_eq!(
            (entry.decision, entry.phase),
            (Decision::Deny, Phase::Intent)
        );
        assert!(entry.actor.is_none() && entry.owner.is_none() && entry.device.is_none());
        assert!(entry.session.is_none() && entry.grant.is_none() && entry.run.is_none());
        assert!(entry.approval.is_none() && entry.namespace.is_none());
        assert!(entry.resource.is_none() && entry.caller.is_none());
    }
    let foreign = recorded.len() - accepted;
    assert_eq!(foreign, usize::from(accepted < lines.len()));
    // All of it is in the record now, and once.
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    std::fs::write(&path, data).unwrap();
    flush().unwrap();
    assert_eq!(entries(&store).len(), recorded.len(), "recorded twice");
    Verdict::of(accepted > 0)
}
