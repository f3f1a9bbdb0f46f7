//! The two ways on from a permit.

use crate::batch::RecordedBatch;
use crate::directory::Directory;
use crate::entry::{self, Details, Origin};
use crate::refusal::{Refusal, RefusalQueue};
use crate::tables::{DIRECTORY_GUARD, GUARD, LEDGER};
use procura_ledger::{Decision, Entry, Phase};
use procura_policy::{Claim, Decider, Denied, Op, Permit, PolicyNames};
use procura_store::{Batch, CommitError, Expected, Seq, Store, StoreError};
use procura_types::{BatchId, Clock, Entropy, EntropyError, EntryId};
use std::sync::Arc;

/// How often a change is built anew when others were faster.
const ATTEMPTS: usize = 5;

/// Why an operation could not be recorded; then it did not happen either.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not allowed any more: the directory moved, or another use was the last. This
    /// stands in the record.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Others changed the same rows five times in a row.
    #[error("others changed the same records at the same time; try again")]
    Contended,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The entry could not be written.
    #[error(transparent)]
    Entry(#[from] procura_ledger::LedgerError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Why a change failed: in its own words, or because it could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The domain refused; nothing was changed.
    #[error("{0}")]
    Domain(E),
    /// It could not be recorded; nothing was changed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A permit whose intent is durable in the ledger. Values are released and
/// outside effects run only against one of these.
pub struct Recorded<O: Op> {
    permit: Permit<O>,
    entry: EntryId,
    /// What the outcome, if there is one, says like the intent.
    run: Option<procura_types::RunId>,
    with: Option<String>,
    /// The same of the entries behind the first.
    further: Vec<String>,
    origin: Origin,
}

impl<O: Op> Recorded<O> {
    /// The operation; the only source of targets.
    #[must_use]
    pub const fn op(&self) -> &O {
        self.permit.op()
    }

    /// The permit.
    #[must_use]
    pub const fn permit(&self) -> &Permit<O> {
        &self.permit
    }

    /// The intent's entry.
    #[must_use]
    pub const fn entry(&self) -> EntryId {
        self.entry
    }
}

/// Records, and so lets happen.
pub struct Recorder {
    store: Store,
    directory: Arc<Directory>,
    decider: Arc<dyn Decider>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    refusals: RefusalQueue,
}

impl Recorder {
    /// A recorder over an unsealed store. Starts the queue of refusals, so it
    /// must be called inside a Tokio runtime.
    #[must_use]
    pub fn new(
        store: Store,
        directory: Arc<Directory>,
        decider: Arc<dyn Decider>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let refusals = RefusalQueue::start(store.clone(), Arc::clone(&clock), Arc::clone(&entropy));
        Self {
            store,
            directory,
            decider,
            clock,
            entropy,
            refusals,
        }
    }

    /// The directory that decisions are made on.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The store behind.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The decider.
    #[must_use]
    pub fn decider(&self) -> &dyn Decider {
        self.decider.as_ref()
    }

    /// The decider, for decisions that outlive a request.
    #[must_use]
    pub fn shared_decider(&self) -> Arc<dyn Decider> {
        Arc::clone(&self.decider)
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The source of random bytes.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// Queues a refusal for the record; never waits.
    pub fn refuse(&self, refusal: Refusal) {
        self.refusals.push(refusal, None);
    }

    /// As [`Self::refuse`], of what policies forbid: the entry names them.
    pub fn refuse_by(&self, refusal: Refusal, policies: Option<PolicyNames>) {
        self.refusals.push(refusal, policies);
    }

    /// Waits until every refusal so far is in the ledger.
    pub async fn drain_refusals(&self) {
        self.refusals.drain().await;
    }

    fn batch_at(&self, directory_seq: u64) -> Result<Batch, RecordError> {
        let id = BatchId::generate(self.clock.now(), self.entropy.as_ref())?;
        let mut batch = Batch::new(id);
        let expected = if directory_seq == 0 {
            Expected::Absent
        } else {
            Expected::At(Seq::new(directory_seq))
        };
        DIRECTORY_GUARD.expect(&mut batch, &GUARD.to_owned(), expected);
        self.store.fence(&mut batch);
        Ok(batch)
    }

    /// Brings the permit to the directory of now, and claims the use that is recorded
    /// next. What was withdrawn meanwhile is denied here, and so is a use beyond those that
    /// are allowed; whoever decided before has said yes, so that the no is recorded here.
    fn renew<O: Op>(
        &self,
        permit: &mut Permit<O>,
        origin: &Origin,
    ) -> Result<(Arc<procura_directory::Snapshot>, Claim), Denied> {
        let (decider, now) = (self.decider.as_ref(), self.clock.now());
        let snapshot = self.directory.snapshot();
        let stands = match snapshot.seq() == permit.directory_seq() {
            true => Ok(()),
            false => permit.renew(decider, &snapshot, now),
        };
        match stands.and_then(|()| permit.claim(decider, &snapshot, now)) {
            Ok(claim) => Ok((snapshot, claim)),
            Err(denied) => {
                let refusal = Refusal::of_permit(permit, &denied, origin.trace, now);
                self.refuse_by(refusal, denied.policies.clone());
                Err(denied)
            }
        }
    }

    /// Makes the intent durable: the door to a release of values or an outside
    /// effect. On return the entry is on disk.
    pub fn record<O: Op>(
        &self,
        permit: Permit<O>,
        origin: Origin,
        details: Details,
    ) -> impl Future<Output = Result<Recorded<O>, RecordError>> + Send {
        self.record_all(permit, origin, details, Vec::new(), |_, _| Ok(()))
    }

    /// As [`Self::record`], with as many entries as the words of it take, all of them in
    /// one commit: the parts that [`in_parts`](crate::in_parts) made.
    pub fn record_in_parts<O: Op>(
        &self,
        permit: Permit<O>,
        origin: Origin,
        parts: Vec<String>,
    ) -> impl Future<Output = Result<Recorded<O>, RecordError>> + Send {
        let mut parts = parts.into_iter();
        let details = Details {
            with: parts.next(),
            ..Details::default()
        };
        self.record_all(permit, origin, details, parts.collect(), |_, _| Ok(()))
    }

    /// As [`Self::record`], with rows of the operation's own in the same commit.
    pub fn record_with<O: Op, E: Send>(
        &self,
        permit: Permit<O>,
        origin: Origin,
        details: Details,
        rows: impl Fn(&Permit<O>, &mut Batch) -> Result<(), E> + Send,
    ) -> impl Future<Output = Result<Recorded<O>, ChangeError<E>>> + Send {
        let rows = move |permit: &Permit<O>, batch: &mut Batch| {
            rows(permit, batch).map_err(ChangeError::Domain)
        };
        self.record_all(permit, origin, details, Vec::new(), rows)
    }

    async fn record_all<O: Op, X: From<RecordError>>(
        &self,
        mut permit: Permit<O>,
        origin: Origin,
        details: Details,
        further: Vec<String>,
        rows: impl Fn(&Permit<O>, &mut Batch) -> Result<(), X>,
    ) -> Result<Recorded<O>, X> {
        for _ in 0..ATTEMPTS {
            // What it is built of is not kept in the state of whoever waits.
            let (mut batch, entry, claim) =
                self.intents(&mut permit, &origin, &details, &further)?;
            rows(&permit, &mut batch)?;
            match self.store.commit(batch).await {
                Ok(_) => {
                    claim.recorded();
                    return Ok(Recorded {
                        permit,
                        entry,
                        run: details.run,
                        with: details.with,
                        further,
                        origin,
                    });
                }
                Err(CommitError::Conflict { .. }) => self.directory.settle(&self.store).await,
                Err(error) => {
                    // It may be recorded, so it counts.
                    if matches!(error, CommitError::Unknown) {
                        claim.recorded();
                    }
                    return Err(RecordError::from(error).into());
                }
            }
        }
        Err(RecordError::Contended.into())
    }

    /// The intents of a permit, decided at the directory of now: a batch that appends
    /// them, the id of the first, and the claim on the use that they record.
    fn intents<O: Op>(
        &self,
        permit: &mut Permit<O>,
        origin: &Origin,
        details: &Details,
        further: &[String],
    ) -> Result<(Batch, EntryId, Claim), RecordError> {
        let (snapshot, claim) = self.renew(permit, origin)?;
        let intent = |details: Details| {
            let (clock, entropy) = (self.clock.as_ref(), self.entropy.as_ref());
            entry::intent(permit, &snapshot, origin, details, clock, entropy)
        };
        let entry = intent(details.clone())?;
        let mut batch = self.batch_at(snapshot.seq())?;
        batch.append(LEDGER, entry.to_bytes()?);
        for words in further {
            let next = intent(Details {
                with: Some(words.clone()),
                ..details.clone()
            })?;
            batch.append(LEDGER, next.to_bytes()?);
        }
        Ok((batch, entry.id, claim))
    }

    /// Records that an effect whose intent stands in the ledger failed. A release
    /// that succeeded needs no outcome (`protocol.md` §6).
    pub async fn failed<O: Op>(
        &self,
        recorded: &Recorded<O>,
        reason: &str,
    ) -> Result<(), RecordError> {
        let snapshot = self.directory.snapshot();
        let id = BatchId::generate(self.clock.now(), self.entropy.as_ref())?;
        let mut batch = Batch::new(id);
        let first = recorded.with.clone();
        for with in std::iter::once(first).chain(recorded.further.iter().cloned().map(Some)) {
            let details = Details {
                reason: Some(reason.to_owned()),
                run: recorded.run,
                with,
                ..Details::default()
            };
            let mut entry = entry::intent(
                &recorded.permit,
                &snapshot,
                &recorded.origin,
                details,
                self.clock.as_ref(),
                self.entropy.as_ref(),
            )?;
            entry.phase = Phase::Outcome;
            entry.decision = Decision::Failed;
            batch.append(LEDGER, entry.to_bytes()?);
        }
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Appends the entry that says that the vault was opened; it stands for no
    /// permit. It may use the space held back: on a full disk the vault has to be
    /// opened before anything can be revoked or deleted.
    ///
    /// `rows` puts what else is to be known of it into the same commit.
    pub async fn opened(
        &self,
        entry: &Entry,
        rows: impl FnOnce(&mut Batch),
    ) -> Result<(), RecordError> {
        let id = BatchId::generate(self.clock.now(), self.entropy.as_ref())?;
        let mut batch = Batch::new(id).reserved();
        rows(&mut batch);
        self.append(batch, entry).await
    }

    async fn append(&self, mut batch: Batch, entry: &Entry) -> Result<(), RecordError> {
        batch.append(LEDGER, entry.to_bytes()?);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Runs a change of state: `build` reads what it needs and puts rows, and the
    /// rows commit together with the entry. When others were faster it is built
    /// anew, decided anew, at most five times.
    pub async fn change<O: Op, T, E>(
        &self,
        mut permit: Permit<O>,
        origin: &Origin,
        build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
    ) -> Result<T, ChangeError<E>> {
        for _ in 0..ATTEMPTS {
            let renewed = self.renew(&mut permit, origin);
            let (snapshot, claim) = renewed.map_err(RecordError::from)?;
            let rows = self.batch_at(snapshot.seq())?;
            let mut batch = RecordedBatch::new(&permit, Arc::clone(&snapshot), &self.store, rows);
            let value = build(&mut batch).map_err(ChangeError::Domain)?;
            let (mut rows, entries) = batch.into_parts();
            for details in entries {
                let entry = entry::intent(
                    &permit,
                    &snapshot,
                    origin,
                    details,
                    self.clock.as_ref(),
                    self.entropy.as_ref(),
                )
                .map_err(RecordError::from)?;
                rows.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
            }
            match self.store.commit(rows).await {
                Ok(_) => {
                    claim.recorded();
                    return Ok(value);
                }
                Err(CommitError::Conflict { .. }) => self.directory.settle(&self.store).await,
                Err(error) => {
                    // It may be recorded, so it counts.
                    if matches!(error, CommitError::Unknown) {
                        claim.recorded();
                    }
                    return Err(RecordError::from(error).into());
                }
            }
        }
        Err(RecordError::Contended.into())
    }
}
