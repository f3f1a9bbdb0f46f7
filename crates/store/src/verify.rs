//! The check of all rows after unsealing: one pass over keys and versions in the
//! background, held table by table against the digests in the head row. Reads
//! of a table wait until its rows have been seen; a table that somebody waits for
//! goes before the others, so that what is small does not wait for what is large.

use crate::engine::{Anchor, Engine, Snapshot};
use crate::head::{Head, SetDigest};
use crate::head_sealer::HeadSealer;
use crate::key::KeyRange;
use crate::{Barrier, Damage, RowKey, Seq, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After so many rows it is looked whether somebody waits for another table.
const PAGE: usize = 1024;
/// Far beyond what the largest store takes.
const LIFE: Duration = Duration::from_secs(3600);

/// How far the pass has come.
pub(crate) struct Verification {
    /// All tables are as committed: what every read asks first.
    sound: AtomicBool,
    cancelled: AtomicBool,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    tables: HashMap<Arc<str>, Result<(), StoreError>>,
    /// The table that the pass is in. It goes in the order of names, but for those that
    /// are waited for: a table before it that was not told has no rows, rightly.
    at: Option<Arc<str>>,
    /// What somebody began to wait for since the pass looked.
    wanted: Vec<Arc<str>>,
    /// The pass is over; tables that it did not name have no rows, rightly.
    over: Option<Result<(), StoreError>>,
}

impl State {
    /// What is known of a table.
    fn of(&self, table: &str) -> Option<Result<(), StoreError>> {
        if let Some(outcome) = self.tables.get(table) {
            return Some(outcome.clone());
        }
        if self.at.as_deref().is_some_and(|at| table < at) {
            return Some(Ok(()));
        }
        self.over.clone()
    }
}

impl Verification {
    pub(crate) fn new() -> Self {
        Self {
            sound: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            state: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a table.
    pub(crate) fn wait(&self, table: &str) -> Result<(), StoreError> {
        if self.sound.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.lock();
        if let Some(outcome) = state.of(table) {
            return outcome;
        }
        state.wanted.push(table.into());
        loop {
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = state.of(table) {
                return outcome;
            }
        }
    }

    /// Waits for the end of the pass.
    pub(crate) fn wait_all(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        loop {
            if let Some(over) = &state.over {
                over.clone()?;
                return state.tables.values().cloned().collect();
            }
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is known to be wrong by now; waits for nothing.
    pub(crate) fn findings(&self) -> Vec<StoreError> {
        let state = self.lock();
        let tables = state
            .tables
            .values()
            .filter_map(|outcome| outcome.clone().err());
        tables
            .chain(state.over.clone().and_then(Result::err))
            .collect()
    }

    /// Stops the pass; who waits learns that the store is sealed.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.finish(Err(StoreError::Sealed));
    }

    fn finish(&self, outcome: Result<(), StoreError>) {
        let mut state = self.lock();
        if state.over.is_none() {
            let sound = outcome.is_ok() && state.tables.values().all(Result::is_ok);
            self.sound.store(sound, Ordering::Release);
            state.over = Some(outcome);
        }
        drop(state);
        self.moved.notify_all();
    }

    /// Runs the pass over the engine as it is now.
    pub(crate) fn run(&self, engine: &dyn Engine, sealer: &HeadSealer) {
        let pass = || -> Result<(), StoreError> {
            let snapshot = engine.snapshot(LIFE)?;
            // After the snapshot, so that it has the epoch of the head in it.
            let barrier = &sealer.barrier_arc();
            let head = open_head(barrier, &*snapshot)?;
            check_sets(barrier, &head, &*snapshot, &mut &*self)
        };
        self.finish(pass());
    }
}

impl Audience for &Verification {
    fn has_left(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn wanted(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.lock().wanted)
    }

    fn begun(&mut self, table: &Arc<str>) {
        self.lock().at = Some(Arc::clone(table));
        self.moved.notify_all();
    }

    fn tell(&mut self, table: &Arc<str>, damage: Option<Damage>) {
        if let Some(what) = &damage {
            tracing::error!(%what, "the store is damaged");
        }
        let outcome = damage.map_or(Ok(()), |what| Err(what.into()));
        self.lock().tables.insert(Arc::clone(table), outcome);
        self.moved.notify_all();
    }
}

/// The head row of a snapshot; that of an empty store when nothing was committed.
pub(crate) fn open_head(barrier: &Barrier, snapshot: &dyn Snapshot) -> Result<Head, StoreError> {
    head_of(barrier, &snapshot.anchor()?)
}

/// The head that an anchor has.
pub(crate) fn head_of(barrier: &Barrier, anchor: &Anchor) -> Result<Head, StoreError> {
    match &anchor.head {
        Some(sealed) if barrier.is_behind(sealed) => Err(StoreError::behind()),
        Some(sealed) => Ok(barrier.open_head(anchor.seq, sealed).ok_or(Damage::Head)?),
        None => Ok(Head::default()),
    }
}

/// Who hears of a pass over all tables.
pub(crate) trait Audience {
    /// Whether nobody wants to hear any more.
    fn has_left(&self) -> bool {
        false
    }

    /// Tables that go before those whose turn it is, of those that were not told yet.
    fn wanted(&mut self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// The turn of a table has come: all tables before it, by name, were told.
    fn begun(&mut self, _table: &Arc<str>) {}

    /// What is wrong with the rows of a table, each told once.
    fn tell(&mut self, table: &Arc<str>, damage: Option<Damage>);
}

/// Tells for each table whether its rows are those that the head vouches for: in the
/// order of names, but for those that are wanted sooner.
pub(crate) fn check_sets(
    barrier: &Barrier,
    head: &Head,
    snapshot: &dyn Snapshot,
    audience: &mut dyn Audience,
) -> Result<(), StoreError> {
    let mut pass = Pass {
        barrier,
        head,
        snapshot,
        audience,
        told: HashSet::new(),
        open: Vec::new(),
    };
    let mut behind = KeyRange::everything();
    let mut before: Option<Arc<str>> = None;
    // What lies behind the tables so far tells which is the next, so no row is passed over.
    while let Some((key, _)) = snapshot.versions(&behind, 1)?.first() {
        let table = key.table_name();
        pass.tell_empty(before.as_ref(), Some(&table));
        pass.audience.begun(&table);
        pass.check(&table)?;
        behind = whole(&table).behind();
        before = Some(table);
    }
    pass.tell_empty(before.as_ref(), None);
    Ok(())
}

/// What all keys of a table begin with.
fn whole(table: &str) -> KeyRange {
    KeyRange::prefix(RowKey::new(table, b"").as_bytes())
}

/// A table some of whose rows were seen.
struct Open {
    table: Arc<str>,
    /// The rows that were not.
    rest: KeyRange,
    digest: SetDigest,
}

struct Pass<'a> {
    barrier: &'a Barrier,
    head: &'a Head,
    snapshot: &'a dyn Snapshot,
    audience: &'a mut dyn Audience,
    told: HashSet<Arc<str>>,
    /// What is being looked at: the last of them, then that before it.
    open: Vec<Open>,
}

impl Pass<'_> {
    /// Looks at a table, and before it at whatever is wanted meanwhile.
    fn check(&mut self, table: &Arc<str>) -> Result<(), StoreError> {
        self.begin(table);
        loop {
            for wanted in self.audience.wanted() {
                self.begin(&wanted);
            }
            let Some(mut open) = self.open.pop() else {
                return Ok(());
            };
            if self.audience.has_left() {
                return Err(StoreError::Sealed);
            }
            if self.look(&mut open)? {
                self.open.push(open);
            } else {
                self.tell(&open.table, open.digest);
            }
        }
    }

    fn begin(&mut self, table: &Arc<str>) {
        let is_known = self.told.contains(table) || self.open.iter().any(|o| o.table == *table);
        if !is_known {
            self.open.push(Open {
                table: Arc::clone(table),
                rest: whole(table),
                digest: SetDigest::default(),
            });
        }
    }

    /// Looks at the next rows; false when there are no more.
    fn look(&self, open: &mut Open) -> Result<bool, StoreError> {
        let page = self.snapshot.versions(&open.rest, PAGE)?;
        for (key, version) in &page {
            // No row can be newer than the head: an old head was put back.
            if *version > self.head.seq {
                return Err(Damage::Head.into());
            }
            self.count(open, key, *version);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => {
                open.rest = open.rest.clone().after(last);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn count(&self, open: &mut Open, key: &RowKey, version: Seq) {
        let element = self.barrier.element(self.head, key, version);
        open.digest.add(element);
    }

    fn tell(&mut self, table: &Arc<str>, found: SetDigest) {
        let damage = (found != self.head.table(table)).then(|| Damage::Table(Arc::clone(table)));
        self.audience.tell(table, damage);
        self.told.insert(Arc::clone(table));
    }

    /// Tells those tables that the head names, between two that were seen, of which no
    /// row was.
    fn tell_empty(&mut self, after: Option<&Arc<str>>, until: Option<&Arc<str>>) {
        let head = self.head;
        for table in head.tables.keys() {
            let is_between =
                after.is_none_or(|after| after < table) && until.is_none_or(|until| table < until);
            if is_between && !self.told.contains(table) {
                self.tell(table, SetDigest::default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BarrierKeys, Kind, SqliteEngine, SqliteOptions, Store, Table};
    use procura_crypto::SystemEntropy;
    use procura_types::{Clock, InstallationId, Secret, Timestamp};

    const LARGE: Table<u64, String> = Table::new("a-large", Kind::Ordinary);
    const SMALL: Table<u64, String> = Table::new("z-small", Kind::Directory);
    const GONE: Table<u64, String> = Table::new("m-gone", Kind::Ordinary);

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_800_000_000)
        }
    }

    /// Hears what is told, and wants these once the first table has begun.
    #[derive(Default)]
    struct Listener {
        wants: Vec<Arc<str>>,
        begun: Vec<String>,
        told: Vec<(String, Option<Damage>)>,
    }

    impl Audience for Listener {
        fn wanted(&mut self) -> Vec<Arc<str>> {
            match self.begun.is_empty() {
                true => Vec::new(),
                false => std::mem::take(&mut self.wants),
            }
        }

        fn begun(&mut self, table: &Arc<str>) {
            self.begun.push(table.to_string());
        }

        fn tell(&mut self, table: &Arc<str>, damage: Option<Damage>) {
            self.told.push((table.to_string(), damage));
        }
    }

    fn barrier(id: InstallationId) -> Barrier {
        let key = |byte| Secret::new([byte; 32]);
        let keys = BarrierKeys {
            installation: id,
            epochs: vec![(1, key(4))],
            set_key: key(1),
            chain_key: key(2),
            index_key: key(3),
        };
        Barrier::new(keys, Arc::new(SystemEntropy)).unwrap()
    }

    /// Three pages of one table, a row of another, and one that has lost its row.
    async fn filled() -> (tempfile::TempDir, Store, InstallationId) {
        let folder = tempfile::tempdir().unwrap();
        let id = InstallationId::from_bytes([1; 16]);
        let path = folder.path().join("store.db");
        let engine = SqliteEngine::create(&path, &id, &SqliteOptions::default()).unwrap();
        let store = Store::over(Arc::new(engine), Arc::new(Noon), Arc::new(SystemEntropy));
        store.install_barrier(barrier(id)).unwrap();
        let mut batch = store.batch().unwrap();
        for number in 0..3 * 1024 {
            LARGE.put(&mut batch, &number, &"x".to_owned());
        }
        SMALL.put(&mut batch, &1, &"y".to_owned());
        GONE.put(&mut batch, &1, &"z".to_owned());
        store.commit(batch).await.unwrap();
        let mut batch = store.batch().unwrap();
        GONE.delete(&mut batch, &1);
        store.commit(batch).await.unwrap();
        (folder, store, id)
    }

    fn heard(store: &Store, head: &Head, barrier: &Barrier, wants: &[&str]) -> Listener {
        let snapshot = store.engine().snapshot(LIFE).unwrap();
        let mut listener = Listener {
            wants: wants.iter().map(|table| Arc::from(*table)).collect(),
            ..Listener::default()
        };
        check_sets(barrier, head, &*snapshot, &mut listener).unwrap();
        listener
    }

    #[tokio::test]
    async fn what_is_waited_for_goes_first_and_each_table_is_told_once() {
        let (_folder, store, id) = filled().await;
        let barrier = barrier(id);
        let head = store.head().unwrap();
        let told = |listener: &Listener| -> Vec<String> {
            assert!(listener.told.iter().all(|(_, damage)| damage.is_none()));
            listener
                .told
                .iter()
                .map(|(table, _)| table.clone())
                .collect()
        };
        let in_order = heard(&store, &head, &barrier, &[]);
        assert_eq!(told(&in_order), ["a-large", "m-gone", "z-small"]);
        assert_eq!(in_order.begun, ["a-large", "z-small"]);
        // One that never was is asked for as well, and one twice.
        let wants = ["a-large", "never", "z-small", "z-small"];
        let wanted = heard(&store, &head, &barrier, &wants);
        assert_eq!(told(&wanted), ["z-small", "never", "a-large", "m-gone"]);
        assert_eq!(wanted.begun, in_order.begun);
    }

    #[tokio::test]
    async fn what_is_waited_for_is_held_against_the_head_all_the_same() {
        let (_folder, store, id) = filled().await;
        let barrier = barrier(id);
        let mut head = store.head().unwrap().as_ref().clone();
        // The set of one table in place of the other's, and a row that nobody vouches for.
        let large = head.tables.get("a-large").cloned().unwrap();
        head.tables.insert("z-small".into(), large);
        let gone = head.tables.get("z-small").cloned().unwrap();
        head.tables.insert("m-gone".into(), gone);
        let damaged = |table: &str| (table.to_owned(), Some(Damage::Table(table.into())));
        let mut told = heard(&store, &head, &barrier, &["z-small", "m-gone"]).told;
        assert_eq!(told.remove(2), ("a-large".to_owned(), None));
        assert_eq!(told, [damaged("m-gone"), damaged("z-small")]);
        head.seq = Seq::ZERO;
        let snapshot = store.engine().snapshot(LIFE).unwrap();
        let old = check_sets(&barrier, &head, &*snapshot, &mut Listener::default());
        assert_eq!(old, Err(Damage::Head.into()));
    }

    #[test]
    fn whoever_waits_is_told_of_the_table_or_of_the_end() {
        let verification = Arc::new(Verification::new());
        let wait = |table: &'static str| {
            let verification = Arc::clone(&verification);
            std::thread::spawn(move || verification.wait(table))
        };
        let waiting = [wait("b"), wait("c"), wait("y")];
        let mut wanted = HashSet::new();
        for _ in 0..2000 {
            wanted.extend((&*verification).wanted());
            if wanted.len() == waiting.len() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(wanted, HashSet::from(["b", "c", "y"].map(Arc::from)));
        let [b, c, y] = waiting;
        (&*verification).tell(&"y".into(), None);
        assert_eq!(y.join().unwrap(), Ok(()));
        (&*verification).tell(&"b".into(), Some(Damage::Head));
        assert_eq!(b.join().unwrap(), Err(Damage::Head.into()));
        assert!(!c.is_finished());
        // It is passed over: it has no rows, rightly.
        (&*verification).begun(&"d".into());
        assert_eq!(c.join().unwrap(), Ok(()));
        assert_eq!(verification.wait("c"), Ok(()));
        verification.cancel();
        assert_eq!(verification.wait("e"), Err(StoreError::Sealed));
        assert_eq!(verification.wait("b"), Err(Damage::Head.into()));
    }
}
