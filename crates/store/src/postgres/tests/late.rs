//! Who comes while a group waits for the head goes along with it.

use super::world::{World, commit, row, until};
use crate::conformance::{Build as _, batch, key, wait};
use crate::engine::{CommitFuture, CommitObserver, CommitView, Engine, Expected, LogId};
use crate::{CommitError, Seq};
use std::sync::{Arc, Mutex};

const LOG: LogId = LogId::new("l");
/// Holds the head for long enough to queue some batches meanwhile, also where that takes
/// its time, and not for so long that whoever waits for it gives up.
const HOLD: &str = "BEGIN; SELECT FROM procura.meta FOR UPDATE; SELECT pg_sleep(6); COMMIT";
const SLEEPS: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
const WAITS: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";

/// How many commits each group had.
#[derive(Default)]
struct Groups(Mutex<Vec<usize>>);

impl CommitObserver for Groups {
    fn committed(&self, commits: &[CommitView<'_>]) {
        self.0.lock().unwrap().push(commits.len());
    }
}

#[test]
fn batches_that_come_while_the_head_is_waited_for_go_along_when_nothing_has_to_be_asked() {
    let world = World::new();
    let store = world.store();
    let engine = store.engine();
    let guard = commit(&engine, batch().put("guard", b"1")).unwrap().seq;
    let groups = Arc::new(Groups::default());
    engine.observe(groups.clone());
    let waiting = |name: &str| world.server.tell(&store.name, name) == "1";
    // As the intents of reads: each expects the same row and appends.
    let intent = |number: u8, at: Seq| {
        batch()
            .expect_row("guard", Expected::At(at))
            .append(LOG, &[number])
    };
    std::thread::scope(|scope| {
        let holding = scope.spawn(|| world.server.tell(&store.name, HOLD));
        until("the head is held", || waiting(SLEEPS));
        let first = engine.commit(intent(0, guard));
        until("the group waits for the head", || waiting(WAITS));
        let mut late: Vec<_> = (1..20).map(|n| engine.commit(intent(n, guard))).collect();
        // One that does not apply goes along too, and keeps nobody.
        let refused = engine.commit(intent(99, Seq::new(999)));
        late.extend((20..30).map(|n| engine.commit(intent(n, guard))));
        // Of this row nothing is known: it is for the next group, with all behind it.
        let other = engine.commit(batch().put("other", b"x"));
        let behind = engine.commit(intent(30, guard));
        assert!(!holding.is_finished());
        holding.join().unwrap();
        let done = |future: CommitFuture| wait(future).unwrap();
        let all = std::iter::once(first).chain(late).map(done);
        let indexes: Vec<u64> = all.flat_map(|done| done.indexes).collect();
        assert!(indexes.into_iter().eq(0..30));
        let key = key("guard");
        assert_eq!(wait(refused), Err(CommitError::Conflict { key }));
        let other = wait(other).unwrap();
        assert_eq!(wait(behind).unwrap().indexes, [30]);
        assert_eq!(row(&engine, "other").unwrap().unwrap().0, other.seq);
    });
    assert_eq!(*groups.0.lock().unwrap(), [30, 2]);
    let entries = engine.log_read("l", 0, 99).unwrap();
    let values = entries.iter().map(|entry| entry.value[8..].to_vec());
    assert!(values.eq((0..31u8).map(|number| vec![number])));
    assert_eq!(engine.integrity().unwrap(), [""; 0]);
}
