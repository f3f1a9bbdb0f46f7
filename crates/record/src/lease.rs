//! A lease: what only one of several servers does at a time
//! ([ADR 32](../../../docs/adr/0032-several-servers.md)).
//!
//! The holder rewrites a row every second. Whoever sees that row unchanged for so long,
//! by a clock that nobody sets, takes the lease by compare-and-set. Nobody compares
//! clocks of two machines. A holder that was paused believes in its lease for at most
//! three seconds of that clock after its last beat; and whatever it does under the lease
//! expects the row of its term, so that it does not apply once another has taken it.

use crate::recorder::RecordError;
use crate::running::{Running, Stopping};
use crate::tables::{BEATS, LEASES, LeaseRow};
use procura_store::{Batch, CommitError, Expected, Seq, Store};
use procura_types::{BatchId, Clock, Entropy, InstanceId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the holder says that it lives, and the others look.
const BEAT: Duration = Duration::from_secs(1);
/// How long after the beginning of its last beat the holder believes in its lease.
const BELIEF: Duration = Duration::from_secs(3);
/// How long a beat has to stand unchanged before somebody else takes the lease.
const PATIENCE: Duration = Duration::from_secs(5);

/// A lease that this server has or would like to have. It goes on trying for as long as
/// this lives.
pub struct Lease {
    shared: Arc<Shared>,
    running: Running,
}

/// A lease that is held.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// The version of the row of this term.
    version: Seq,
    /// Until when it is believed.
    until: Instant,
}

struct Shared {
    name: String,
    holder: InstanceId,
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    held: Mutex<Option<Held>>,
}

/// What was last seen of a lease that another has.
struct Seen {
    row: Seq,
    beat: Option<Seq>,
    since: Instant,
}

impl Lease {
    /// Tries for the lease `name` from now on. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// No random bytes.
    pub fn start(
        store: &Store,
        name: &str,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, RecordError> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            holder: InstanceId::generate(clock.now(), entropy.as_ref())?,
            store: store.clone(),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            held: Mutex::default(),
        });
        let work = Arc::clone(&shared);
        Ok(Arc::new(Self {
            shared,
            running: Running::start(|stopping| run(work, stopping)),
        }))
    }

    /// Whether this server has it now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.term().is_some()
    }

    /// Which term this server has, if it has the lease now.
    pub(crate) fn term(&self) -> Option<Seq> {
        let held = self.shared.held()?;
        (self.shared.clock.steady() < held.until).then_some(held.version)
    }

    /// Lets a batch apply only while the lease is this server's; false when it is not.
    #[must_use]
    pub fn fence(&self, batch: &mut Batch) -> bool {
        let Some(version) = self.term() else {
            return false;
        };
        LEASES.expect(batch, &self.shared.name, Expected::At(version));
        true
    }

    /// Gives it back and stops trying, so that another has it at once.
    pub async fn stop(&self) {
        self.running.stop().await;
        if let Err(error) = self.shared.give_back().await {
            // It is taken when it has stood for a while.
            tracing::debug!(%error, lease = self.shared.name, "it could not be given back");
        }
    }
}

async fn run(shared: Arc<Shared>, mut stopping: Stopping) {
    let mut seen = None;
    loop {
        match shared.round(&mut seen).await {
            Ok(()) => {}
            Err(RecordError::Store(procura_store::StoreError::Sealed))
            | Err(RecordError::Commit(CommitError::Sealed)) => return,
            Err(error) => {
                tracing::debug!(%error, lease = shared.name, "a lease is not looked after now");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = stopping.told() => return,
        }
    }
}

impl Shared {
    fn held(&self) -> Option<Held> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, held: Option<Held>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn batch(&self) -> Result<Batch, RecordError> {
        let id = BatchId::generate(self.clock.now(), self.entropy.as_ref())?;
        // Without it nothing would be signed when there is no room any more.
        Ok(Batch::new(id).reserved())
    }

    /// Keeps the lease, or looks whether it can be had.
    async fn round(&self, seen: &mut Option<Seen>) -> Result<(), RecordError> {
        let begun = self.clock.steady();
        if let Some(held) = self.held() {
            *seen = None;
            return self.beat(held, begun).await;
        }
        let row = LEASES.get(&self.store, &self.name)?;
        let beat = BEATS.get(&self.store, &self.name)?;
        let beat = beat.map(|beat| beat.version);
        let Some(row) = row else {
            return self.take(None, beat, 1, begun).await;
        };
        match seen {
            Some(known) if known.row == row.version && known.beat == beat => {
                if begun.saturating_duration_since(known.since) >= PATIENCE {
                    let term = row.value.term.saturating_add(1);
                    *seen = None;
                    return self.take(Some(row.version), beat, term, begun).await;
                }
            }
            _ => {
                *seen = Some(Seen {
                    row: row.version,
                    beat,
                    since: begun,
                });
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        row: Option<Seq>,
        beat: Option<Seq>,
        term: u64,
        begun: Instant,
    ) -> Result<(), RecordError> {
        let expected = |version: Option<Seq>| version.map_or(Expected::Absent, Expected::At);
        let mut batch = self.batch()?;
        LEASES.expect(&mut batch, &self.name, expected(row));
        BEATS.expect(&mut batch, &self.name, expected(beat));
        let holder = self.holder;
        LEASES.put(&mut batch, &self.name, &LeaseRow { holder, term });
        BEATS.put(&mut batch, &self.name, &term);
        match self.store.commit(batch).await {
            Ok(committed) => {
                tracing::info!(lease = self.name, term, "this server has the lease");
                self.hold(Some(Held {
                    version: committed.seq,
                    until: begun + BELIEF,
                }));
                Ok(())
            }
            // Another was faster.
            Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn beat(&self, held: Held, begun: Instant) -> Result<(), RecordError> {
        let mut batch = self.batch()?;
        LEASES.expect(&mut batch, &self.name, Expected::At(held.version));
        BEATS.put(&mut batch, &self.name, &held.version.get());
        match self.store.commit(batch).await {
            Ok(_) => {
                self.hold(Some(Held {
                    until: begun + BELIEF,
                    ..held
                }));
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => {
                tracing::warn!(lease = self.name, "another server has taken the lease");
                self.hold(None);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn give_back(&self) -> Result<(), RecordError> {
        let Some(held) = self.held() else {
            return Ok(());
        };
        self.hold(None);
        let mut batch = self.batch()?;
        LEASES.expect(&mut batch, &self.name, Expected::At(held.version));
        LEASES.delete(&mut batch, &self.name);
        match self.store.commit(batch).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
