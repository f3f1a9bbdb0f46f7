//! Snapshots: a read transaction of its own, ended when its life is over.

use super::link::{self, Link};
use super::queries;
use super::session::Session;
use crate::engine::{Anchor, RawRow, Snapshot};
use crate::key::KeyRange;
use crate::writer::Fault;
use crate::{IoCause, RowKey, Seq, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a single query of a snapshot may take.
const SCANNING: Duration = Duration::from_secs(30);
/// Connections that are kept for the next snapshots.
const IDLE: usize = 4;
/// Each open snapshot has a connection of the server, which has not many.
const MOST: usize = 32;
/// What a server does with a snapshot whose process does not end it in time.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

struct Cell {
    link: Arc<Link>,
    ends: Instant,
    /// Taken out when the snapshot has expired.
    session: Mutex<Option<Session>>,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for the end of the transaction.
    fn end(&self, mut slot: MutexGuard<'_, Option<Session>>) {
        if let Some(session) = slot.take() {
            let link = Arc::clone(&self.link);
            self.link.io().spawn(async move {
                // One whose transaction cannot be ended is closed instead.
                let ended = session.run("ROLLBACK").await.is_ok();
                link.snapshots().give_back(session, ended);
            });
        }
    }

    fn with<T>(
        &self,
        query: impl AsyncFnOnce(&Session) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let slot = self.lock();
        if Instant::now() >= self.ends {
            self.end(slot);
            return Err(StoreError::SnapshotExpired);
        }
        match &*slot {
            Some(session) => link::ask(SCANNING, session, query(session)),
            None => Err(StoreError::SnapshotExpired),
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.end(self.lock());
    }
}

/// The snapshots that are alive, so that forgotten ones can be ended: what an open
/// transaction can see is not cleared out anywhere. And connections for the next ones.
#[derive(Default)]
pub(super) struct Snapshots {
    alive: Mutex<Vec<Weak<Cell>>>,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    used: usize,
}

impl Snapshots {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> MutexGuard<'_, Vec<Weak<Cell>>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection, or none but the right to make one.
    fn take(&self) -> Result<Option<Session>, StoreError> {
        let mut pool = self.pool();
        if pool.used >= MOST {
            let cause = IoCause::new(&format!("{MOST} snapshots are open"));
            return Err(StoreError::Unavailable(cause));
        }
        pool.used += 1;
        pool.idle.retain(|session| !session.is_closed());
        Ok(pool.idle.pop())
    }

    /// Those that are kept are of no use: the server is another, or was away.
    pub(super) fn forget(&self) {
        for session in self.pool().idle.drain(..) {
            session.close();
        }
    }

    /// A connection is not made after all.
    fn give_up(&self) {
        let mut pool = self.pool();
        pool.used = pool.used.saturating_sub(1);
    }

    fn give_back(&self, session: Session, ended: bool) {
        let mut pool = self.pool();
        pool.used = pool.used.saturating_sub(1);
        if !ended {
            session.close();
        } else if pool.idle.len() < IDLE {
            pool.idle.push(session);
        }
    }

    /// Ends those whose life is over and that nobody is reading from.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        self.alive().retain(|cell| {
            let Some(cell) = cell.upgrade() else {
                return false;
            };
            if now < cell.ends {
                return true;
            }
            match cell.session.try_lock() {
                Ok(slot) => {
                    cell.end(slot);
                    false
                }
                Err(_) => true,
            }
        });
    }
}

/// Why a moment is not shown.
const OLDER: &str = "it lacks what was acknowledged";

/// The store at one moment.
pub(super) struct PostgresSnapshot {
    cell: Arc<Cell>,
    seq: Seq,
}

impl PostgresSnapshot {
    pub(super) fn take(link: &Arc<Link>, life: Duration) -> Result<Self, StoreError> {
        let snapshots = link.snapshots();
        let known = link.feed().position();
        let (session, seq) = loop {
            let kept = snapshots.take()?;
            let was_kept = kept.is_some();
            let session = match kept {
                Some(session) => session,
                None => link.another().inspect_err(|_| snapshots.give_up())?,
            };
            let seq = begin(&session, life).inspect_err(|_| {
                session.close();
                snapshots.give_up();
            })?;
            if seq >= known {
                break (session, seq);
            }
            // What is known to be committed is not there: it is a server that another took
            // over from, which was stopped meanwhile and goes on.
            session.close();
            snapshots.give_up();
            if !was_kept {
                return Err(StoreError::Unavailable(IoCause::new(&OLDER)));
            }
        };
        let now = Instant::now();
        let cell = Arc::new(Cell {
            link: Arc::clone(link),
            ends: now.checked_add(life).unwrap_or(now),
            session: Mutex::new(Some(session)),
        });
        snapshots.alive().push(Arc::downgrade(&cell));
        Ok(Self { cell, seq })
    }
}

/// Begins the transaction; gives the last commit that is in it.
fn begin(session: &Session, life: Duration) -> Result<Seq, StoreError> {
    let kept = life
        .min(LONGEST)
        .saturating_add(Duration::from_secs(5))
        .as_millis();
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
         SET LOCAL idle_in_transaction_session_timeout = {kept}"
    );
    link::ask(SCANNING, session, async {
        // The first read fixes the moment.
        let (begun, seq) = tokio::join!(
            biased;
            session.run(&begin),
            queries::head_seq(session)
        );
        begun.and(seq)
    })
}

impl Snapshot for PostgresSnapshot {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        self.cell
            .with(async |session: &Session| queries::get(session, key).await)
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, RawRow)>, StoreError> {
        self.cell
            .with(async |session: &Session| queries::scan(session, range, limit).await)
    }

    fn versions(&self, range: &KeyRange, limit: usize) -> Result<Vec<(RowKey, Seq)>, StoreError> {
        self.cell
            .with(async |session: &Session| queries::versions(session, range, limit).await)
    }

    fn anchor(&self) -> Result<Anchor, StoreError> {
        self.cell
            .with(async |session: &Session| queries::anchor(session).await)
    }
}
