//! The check of all rows after unsealing: one pass over keys and versions in the
//! background, held table by table against the digests in the head row. Reads
//! of a table wait until its rows have been seen.

use crate::engine::{Engine, Snapshot};
use crate::head::{Head, SetDigest};
use crate::head_sealer::HeadSealer;
use crate::key::KeyRange;
use crate::{Barrier, Damage, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const PAGE: usize = 4096;
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
    /// The table that the pass is in. It goes in the order of names: a table
    /// before it that was not told has no rows, rightly.
    at: Option<Arc<str>>,
    /// The pass is over; tables that it did not name have no rows, rightly.
    over: Option<Result<(), StoreError>>,
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
        loop {
            if let Some(outcome) = state.tables.get(table) {
                return outcome.clone();
            }
            if state.at.as_deref().is_some_and(|at| table < at) {
                return Ok(());
            }
            if let Some(outcome) = &state.over {
                return outcome.clone();
            }
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
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

    fn table(&self, table: &Arc<str>, outcome: Result<(), StoreError>) {
        self.lock().tables.insert(Arc::clone(table), outcome);
        self.moved.notify_all();
    }

    fn begun(&self, table: &Arc<str>) {
        self.lock().at = Some(Arc::clone(table));
        self.moved.notify_all();
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
            let stopped = || self.cancelled.load(Ordering::Acquire);
            let begun = |table: &Arc<str>| self.begun(table);
            check_sets(
                barrier,
                &head,
                &*snapshot,
                &stopped,
                begun,
                |table, damage| {
                    if let Some(what) = &damage {
                        tracing::error!(%what, "the store is damaged");
                    }
                    self.table(table, damage.map_or(Ok(()), |what| Err(what.into())));
                },
            )
        };
        self.finish(pass());
    }
}

/// The head row of a snapshot; that of an empty store when nothing was committed.
pub(crate) fn open_head(barrier: &Barrier, snapshot: &dyn Snapshot) -> Result<Head, StoreError> {
    let anchor = snapshot.anchor()?;
    match &anchor.head {
        Some(sealed) if barrier.is_behind(sealed) => Err(StoreError::behind()),
        Some(sealed) => Ok(barrier.open_head(anchor.seq, sealed).ok_or(Damage::Head)?),
        None => Ok(Head::default()),
    }
}

/// Tells for each table, in the order of keys, whether its rows are those that
/// the head vouches for. `begun` hears of a table when its first row is seen and
/// all tables before it were told.
pub(crate) fn check_sets(
    barrier: &Barrier,
    head: &Head,
    snapshot: &dyn Snapshot,
    stopped: &dyn Fn() -> bool,
    mut begun: impl FnMut(&Arc<str>),
    mut tell: impl FnMut(&Arc<str>, Option<Damage>),
) -> Result<(), StoreError> {
    // Tables that the head names and that no row was seen of yet.
    let mut missing: BTreeMap<Arc<str>, SetDigest> = head
        .tables
        .iter()
        .map(|(name, table)| (Arc::clone(name), table.digest))
        .collect();
    let gone = |name: &Arc<str>, expected: SetDigest| {
        (expected != SetDigest::default()).then(|| Damage::Table(Arc::clone(name)))
    };
    let mut current: Option<(Arc<str>, SetDigest)> = None;
    let mut range = KeyRange::everything();
    loop {
        let page = snapshot.versions(&range, PAGE)?;
        for (key, version) in &page {
            // No row can be newer than the head: an old head was put back.
            if *version > head.seq {
                return Err(Damage::Head.into());
            }
            match &mut current {
                Some((name, digest)) if **name == *key.table() => {
                    digest.add(barrier.element(head, key, *version));
                }
                _ => {
                    let name = key.table_name();
                    if let Some((before, found)) = current.take() {
                        let expected = missing.remove(&before).unwrap_or_default();
                        let damage =
                            (found != expected).then(|| Damage::Table(Arc::clone(&before)));
                        tell(&before, damage);
                    }
                    let later = missing.split_off(&name);
                    for (passed, expected) in std::mem::replace(&mut missing, later) {
                        tell(&passed, gone(&passed, expected));
                    }
                    begun(&name);
                    current = Some((name, barrier.element(head, key, *version)));
                }
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE && !stopped() => {
                range = KeyRange::everything().after(last);
            }
            _ => break,
        }
    }
    if stopped() {
        return Err(StoreError::Sealed);
    }
    if let Some((last, found)) = current {
        let expected = missing.remove(&last).unwrap_or_default();
        tell(
            &last,
            (found != expected).then(|| Damage::Table(Arc::clone(&last))),
        );
    }
    for (name, expected) in missing {
        tell(&name, gone(&name, expected));
    }
    Ok(())
}
