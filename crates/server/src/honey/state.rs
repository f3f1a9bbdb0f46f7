//! What was touched and what follows: at once in memory, a moment later in the record.

use super::asked::{Asked, Missed, Who};
use super::damaged::Damaged;
use crate::problem::Failure;
use arc_swap::ArcSwap;
use procura_authority::Led;
use procura_directory::{HoneyRecord, Snapshot, Suspect};
use procura_policy::Action;
use procura_proof::Profile;
use procura_record::{Directory, Stopping};
use procura_store::StoreError;
use procura_types::{CanaryId, Clock, Entropy, ForeignId, Thumbprint};
use procura_vault::{
    MAX_TOUCHES, MissedKey, MissedRow, Touch, Vault, commit_touches, commit_unread, commit_untold,
    forget_missed, keep_missed, kept_missed, knows_honey,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What was missed and not looked at yet. More is looked at by whoever misses it.
const QUEUE: usize = 4096;
/// How long what was missed waits to be looked at, if nobody comes before: its answer is
/// out by then, and is not held up by what a decoy takes longer.
const BEHIND: Duration = Duration::from_millis(2);
/// How long a first touch waits to be committed: from this to twice as long, at random.
const SOON: Duration = Duration::from_millis(25);
/// How long the count of further touches waits.
const LATER: Duration = Duration::from_secs(5);
/// How often it is looked whether another server left something behind.
const ABANDONED: Duration = Duration::from_secs(60);
/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whose touches of what are counted together, and whether they are counted alone, since
/// what touched it was in quarantine already.
type Place = (Suspect, CanaryId, bool);

/// What it works on.
pub(crate) struct HoneyParts {
    pub(crate) vault: Arc<Vault>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// What is known and not in the record yet.
pub(super) struct State {
    pub(super) parts: HoneyParts,
    missed: Mutex<VecDeque<Missed>>,
    /// How many are in `missed` or being looked at.
    unseen: AtomicUsize,
    waiting: Mutex<BTreeMap<Place, Touch>>,
    /// What touched one and is not in quarantine by the directory yet, and the sequence of
    /// the directory at which it did so last. A commit is in the directory before it is
    /// taken out here, and whoever is let out between the two is not held.
    suspects: ArcSwap<HashMap<Suspect, u64>>,
    damaged: Damaged,
    /// What is kept of requests that touched nothing.
    over: Mutex<Vec<MissedKey>>,
    wake: Notify,
}

/// A decoy that a request asked for, and on whose account, where that is not who made it.
type Asking = (Option<Who>, Arc<HoneyRecord>);

impl State {
    /// With what was asked for before the process ended, and was never looked at. Of what
    /// is damaged people are told, and the vault opens.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn new(parts: HoneyParts) -> Result<Self, StoreError> {
        let mut over = Vec::new();
        let mut missed = VecDeque::new();
        let damaged = Damaged::default();
        let found = kept_missed(parts.vault.store(), parts.clock.now())?;
        damaged.add_kept(found.damaged.as_ref());
        for (kept, row) in found.rows {
            over.push(kept.clone());
            if let Some(known) = Missed::of(kept, row) {
                over.pop();
                missed.push_back(known);
            }
        }
        let wake = Notify::new();
        if !missed.is_empty() || !over.is_empty() || damaged.waits() {
            wake.notify_one();
        }
        Ok(Self {
            parts,
            unseen: AtomicUsize::new(missed.len()),
            missed: Mutex::new(missed),
            waiting: Mutex::default(),
            suspects: ArcSwap::default(),
            damaged,
            over: Mutex::new(over),
            wake,
        })
    }

    /// Makes durable what was asked for, whatever it was.
    ///
    /// # Errors
    /// What kept it from being stored.
    pub(super) async fn keep(&self, missed: Vec<Missed>) -> Result<Vec<Missed>, Failure> {
        let HoneyParts {
            vault,
            clock,
            entropy,
            ..
        } = &self.parts;
        let rows: Vec<MissedRow> = missed.iter().map(Missed::row).collect();
        let keys = keep_missed(vault.store(), &rows, clock.now(), entropy.as_ref()).await?;
        let kept = missed.into_iter().zip(keys);
        Ok(kept
            .map(|(missed, key)| Missed {
                kept: Some(key),
                ..missed
            })
            .collect())
    }

    fn over(&self) -> MutexGuard<'_, Vec<MissedKey>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was asked for and not found.
    pub(super) fn push(&self, missed: Missed) {
        let full = {
            let mut queue = self.missed();
            self.unseen.fetch_add(1, Ordering::AcqRel);
            queue.push_back(missed);
            queue.len() >= QUEUE
        };
        if full {
            // Nothing is lost: who comes now looks itself.
            self.sift();
        }
        self.wake.notify_one();
    }

    /// Whether this touched a decoy, is not in quarantine by the directory yet, and was not
    /// let out of it since either.
    pub(super) fn suspects(
        &self,
        snapshot: &Snapshot,
        device: Option<&Thumbprint>,
        id: Option<&ForeignId>,
    ) -> bool {
        if self.unseen.load(Ordering::Acquire) > 0 {
            self.sift();
        }
        let suspects = self.suspects.load();
        if suspects.is_empty() {
            return false;
        }
        Suspect::of(device, id).is_some_and(|suspect| {
            let touched = suspects.get(&suspect);
            touched.is_some_and(|seq| !snapshot.was_let_out_since(&suspect, *seq))
        })
    }

    fn missed(&self) -> MutexGuard<'_, VecDeque<Missed>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Place, Touch>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all that was missed: what was a decoy makes its suspect refused from
    /// here on. Whoever comes meanwhile waits, so that nobody is let in behind a touch
    /// of its own.
    pub(super) fn sift(&self) {
        let mut queue = self.missed();
        let snapshot = self.parts.directory.snapshot();
        let mut kept = VecDeque::new();
        while let Some(missed) = queue.pop_front() {
            match self.decoys(&snapshot, &missed) {
                Ok(decoys) => {
                    let mut touched = false;
                    for (who, honey) in decoys {
                        touched |= match who {
                            None => self.touch(&snapshot, &missed, &honey),
                            Some(who) => self.mapped(&snapshot, &missed, who, &honey),
                        };
                    }
                    if !touched {
                        self.over().extend(missed.kept);
                    }
                }
                // Nobody can tell now: it is kept, and looked at again.
                Err(error) if error.may_pass() => {
                    tracing::error!(%error, "it cannot be told yet whether a honey secret was touched");
                    kept.push_back(missed);
                    continue;
                }
                // Nobody ever can: people are told, and the others are looked at.
                Err(error) => {
                    tracing::error!(%error, "it cannot be told whether a honey secret was touched");
                    self.damaged.add(&snapshot, &missed);
                    self.over().extend(missed.kept);
                }
            }
            self.unseen.fetch_sub(1, Ordering::AcqRel);
        }
        *queue = kept;
    }

    /// The decoys that a request asked for.
    fn decoys(
        &self,
        snapshot: &Snapshot,
        missed: &Missed,
    ) -> Result<Vec<Asking>, procura_authority::AuthorityError> {
        match &missed.asked {
            Asked::Path(namespace, path) => {
                let found = snapshot.honey_at(namespace, path).cloned();
                Ok(found.into_iter().map(|honey| (None, honey)).collect())
            }
            // Removed or not: what touched it may have removed it by that.
            Asked::Decoy(canary) => {
                let found = snapshot.honey(canary).cloned();
                Ok(found.into_iter().map(|honey| (None, honey)).collect())
            }
            Asked::Names(query) => {
                let vault = &self.parts.vault;
                let found = query.find(vault, snapshot, &missed.who.actor, missed.time)?;
                let whose = |led: Led| match led.mapper {
                    None => Some((None, led.honey)),
                    Some(device) => Some((Some(mapper(snapshot, device)?), led.honey)),
                };
                Ok(found.into_iter().filter_map(whose).collect())
            }
        }
    }

    /// A run without names led to this decoy, which somebody mapped: it is their touch.
    fn mapped(&self, snapshot: &Snapshot, missed: &Missed, who: Who, honey: &HoneyRecord) -> bool {
        let missed = Missed {
            who,
            how: Action::ProjectWrite.as_str(),
            ip: None,
            ..missed.clone()
        };
        self.touch(snapshot, &missed, honey)
    }

    /// This decoy was touched by the request.
    pub(super) fn touched(&self, snapshot: &Snapshot, missed: &Missed, honey: &HoneyRecord) {
        if !self.touch(snapshot, missed, honey) {
            self.over().extend(missed.kept.clone());
        }
        self.wake.notify_one();
    }

    /// Whether that is a touch.
    fn touch(&self, snapshot: &Snapshot, missed: &Missed, honey: &HoneyRecord) -> bool {
        let Missed { who, how, time, .. } = missed;
        // Who may know of decoys touches none.
        if knows_honey(snapshot, &who.actor) {
            return false;
        }
        let seq = missed.seq.unwrap_or_else(|| snapshot.seq());
        let told = snapshot.is_held(&who.suspect) || snapshot.was_let_out_since(&who.suspect, seq);
        let key = (who.suspect.clone(), honey.canary, told);
        let mut waiting = self.waiting();
        waiting
            .entry(key)
            .and_modify(|known| {
                known.count = known.count.saturating_add(1);
                known.last = (*time).max(known.last);
                known.seq = seq.max(known.seq);
                known.kept.extend(missed.kept.clone());
            })
            .or_insert_with(|| Touch {
                suspect: who.suspect.clone(),
                canary: honey.canary,
                actor: who.actor,
                owner: snapshot
                    .actor(&who.actor)
                    .map_or(who.actor, |actor| actor.owner),
                how,
                profile: who.profile,
                session: who.session,
                ip: missed.ip,
                trace: missed.trace,
                first: *time,
                last: *time,
                count: 1,
                seq,
                told,
                kept: missed.kept.iter().cloned().collect(),
            });
        // Under the lock, so that a commit that ends just now does not take it out.
        let known = self.suspects.load().get(&who.suspect).copied();
        if !told && known.is_none_or(|known| known < seq) {
            let mut suspects = HashMap::clone(&self.suspects.load());
            suspects.insert(who.suspect.clone(), seq);
            self.suspects.store(Arc::new(suspects));
        }
        true
    }

    /// Records what is touched, until it is to end.
    pub(super) async fn run(self: Arc<Self>, mut stopping: Stopping) {
        loop {
            tokio::select! {
                biased;
                () = stopping.told() => break,
                () = self.wake.notified() => tokio::time::sleep(BEHIND).await,
                () = tokio::time::sleep(ABANDONED) => self.take_over(),
            }
            self.sift();
            let mut until = match self.urgency() {
                None => continue,
                Some(urgent) => Instant::now() + self.wait(urgent),
            };
            let mut looked = Instant::now();
            // Until all is recorded; what comes meanwhile is looked at at once, and puts
            // nothing off that waits already.
            loop {
                tokio::select! {
                    biased;
                    () = stopping.told() => break,
                    () = tokio::time::sleep_until(until) => {}
                    () = self.wake.notified() => {
                        tokio::time::sleep(BEHIND).await;
                        self.sift();
                        if self.urgency() == Some(true) {
                            until = until.min(Instant::now() + self.wait(true));
                        }
                        continue;
                    }
                }
                if looked.elapsed() >= ABANDONED {
                    looked = Instant::now();
                    self.take_over();
                }
                self.sift();
                until = Instant::now()
                    + match (self.commit().await, self.urgency()) {
                        (true, None) => break,
                        (true, Some(urgent)) => self.wait(urgent),
                        (false, _) => AGAIN,
                    };
            }
            if stopping.is_told() {
                break;
            }
        }
        self.sift();
        // If the store was sealed already, what is kept is looked at when it opens.
        self.commit().await;
    }

    /// How long what waits is put off: a first touch, or a count.
    fn wait(&self, urgent: bool) -> Duration {
        match urgent {
            true => SOON + self.at_random(SOON),
            false => LATER,
        }
    }

    /// Looks at what another server kept that shared the database, and is gone.
    fn take_over(&self) {
        let HoneyParts { vault, clock, .. } = &self.parts;
        if !vault.store().is_shared() {
            return;
        }
        let rows = match kept_missed(vault.store(), clock.now()) {
            Ok(found) => {
                self.damaged.add_kept(found.damaged.as_ref());
                found.rows
            }
            Err(error) => {
                tracing::warn!(%error, "it cannot be read what other servers kept");
                return;
            }
        };
        // What this one could not record for so long is in its memory.
        let mut known: Vec<MissedKey> = self.over().clone();
        known.extend(
            self.missed()
                .iter()
                .filter_map(|missed| missed.kept.clone()),
        );
        for touch in self.waiting().values() {
            known.extend(touch.kept.iter().cloned());
        }
        for (kept, row) in rows {
            if known.contains(&kept) {
                continue;
            }
            match Missed::of(kept.clone(), row) {
                Some(missed) => self.push(missed),
                None => self.over().push(kept),
            }
        }
    }

    /// Whether something waits that nobody was told of yet, if anything does.
    fn urgency(&self) -> Option<bool> {
        if self.damaged.waits() {
            return Some(true);
        }
        let waiting = self.waiting();
        let urgent = waiting.values().any(|one| !one.told);
        (!waiting.is_empty() || !self.over().is_empty()).then_some(urgent)
    }

    /// A part of `span`.
    fn at_random(&self, span: Duration) -> Duration {
        let mut byte = [0; 1];
        // Without randomness nothing else works either.
        let _ = self.parts.entropy.fill(&mut byte);
        let [byte] = byte;
        span.saturating_mul(u32::from(byte)) / 255
    }

    /// Records what waits, whatever waits; false when that failed.
    async fn commit(&self) -> bool {
        let (store, entropy) = (self.parts.vault.store(), self.parts.entropy.as_ref());
        let now = self.parts.clock.now();
        if self.damaged.kept_waits() {
            if let Err(error) = commit_unread(store, now, entropy).await {
                tracing::error!(%error, "the alarm about what was kept could not be recorded");
                return false;
            }
            self.damaged.kept_told();
        }
        let untold = self.damaged.take();
        if !untold.is_empty()
            && let Err(error) = commit_untold(store, &untold, now, entropy).await
        {
            tracing::error!(%error, "the alarm about damaged rows could not be recorded");
            self.damaged.put_back(untold);
            return false;
        }
        loop {
            let touches: Vec<Touch> = {
                let waiting = self.waiting();
                // Those of before the quarantine and those in it share a row: the second
                // of them comes with the next batch.
                let mut all: Vec<Touch> = waiting.values().cloned().collect();
                all.dedup_by(|one, before| {
                    (&one.suspect, one.canary) == (&before.suspect, before.canary)
                });
                all.truncate(MAX_TOUCHES);
                all
            };
            if touches.is_empty() {
                break;
            }
            let HoneyParts {
                vault,
                directory,
                clock,
                entropy,
            } = &self.parts;
            let (clock, entropy) = (clock.as_ref(), entropy.as_ref());
            match commit_touches(vault.store(), directory, &touches, clock, entropy).await {
                Ok(true) => self.committed(&touches),
                // Somebody changed the directory meanwhile, or counted the same.
                Ok(false) => directory.settle(vault.store()).await,
                Err(error) => {
                    tracing::error!(%error, "a touch of a honey secret could not be recorded; what touched it is refused all the same");
                    return false;
                }
            }
        }
        let over = std::mem::take(&mut *self.over());
        if let Err(error) = forget_missed(store, &over, now, entropy).await {
            tracing::error!(%error, "what was looked for and is no honey secret stays kept");
            self.over().extend(over);
            return false;
        }
        true
    }

    /// Takes out what is recorded: what came meanwhile stays, and keeps its suspect
    /// refused. Who has nothing left is in quarantine by the directory, or was let out
    /// already.
    fn committed(&self, touches: &[Touch]) {
        let mut waiting = self.waiting();
        for touch in touches {
            let place = (touch.suspect.clone(), touch.canary, touch.told);
            if let Some(known) = waiting.get_mut(&place) {
                known.count = known.count.saturating_sub(touch.count);
                known.kept.retain(|kept| !touch.kept.contains(kept));
                if known.count == 0 {
                    waiting.remove(&place);
                }
            }
        }
        let mut suspects = HashMap::new();
        for touch in waiting.values().filter(|touch| !touch.told) {
            let seq: &mut u64 = suspects.entry(touch.suspect.clone()).or_default();
            *seq = touch.seq.max(*seq);
        }
        self.suspects.store(Arc::new(suspects));
    }
}

/// Who a device is that mapped a name.
fn mapper(snapshot: &Snapshot, device: Thumbprint) -> Option<Who> {
    Some(Who {
        suspect: Suspect::Device(device),
        actor: snapshot.device(&device)?.actor,
        // Projects are written by native proofs alone.
        profile: Profile::Native.as_str(),
        session: None,
    })
}
