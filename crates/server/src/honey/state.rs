//! What was touched and what follows: at once in memory, a moment later in the record.

use super::asked::{Asked, Missed, Who};
use crate::input::Input;
use arc_swap::ArcSwap;
use procura_directory::{HoneyRecord, Snapshot, Suspect};
use procura_record::{Directory, Stopping};
use procura_types::{CanaryId, Clock, Entropy, ForeignId, Thumbprint};
use procura_vault::{MAX_TOUCHES, Touch, Vault, commit_touches, knows_honey};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What was missed and not looked at yet. More is looked at by whoever misses it.
const QUEUE: usize = 4096;
/// How long a first touch waits to be committed: from this to twice as long, at random.
const SOON: Duration = Duration::from_millis(25);
/// How long the count of further touches waits.
const LATER: Duration = Duration::from_secs(5);
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
    /// What touched one and is not in quarantine by the directory yet.
    suspects: ArcSwap<HashSet<Suspect>>,
    wake: Notify,
}

impl State {
    pub(super) fn new(parts: HoneyParts) -> Self {
        Self {
            parts,
            missed: Mutex::default(),
            unseen: AtomicUsize::new(0),
            waiting: Mutex::default(),
            suspects: ArcSwap::default(),
            wake: Notify::new(),
        }
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

    /// Whether this touched a decoy and is not in quarantine by the directory yet.
    pub(super) fn suspects(&self, device: Option<&Thumbprint>, id: Option<&ForeignId>) -> bool {
        if self.unseen.load(Ordering::Acquire) > 0 {
            self.sift();
        }
        let suspects = self.suspects.load();
        !suspects.is_empty()
            && Suspect::of(device, id).is_some_and(|suspect| suspects.contains(&suspect))
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
        while let Some(missed) = queue.pop_front() {
            match self.decoys(&snapshot, &missed) {
                Ok(decoys) => {
                    for honey in decoys {
                        self.touch(&snapshot, &missed, &honey);
                    }
                    self.unseen.fetch_sub(1, Ordering::AcqRel);
                }
                Err(error) => {
                    // Nobody can tell: it is kept, and looked at again.
                    tracing::error!(%error, "it cannot be told whether a honey secret was touched");
                    queue.push_front(missed);
                    return;
                }
            }
        }
    }

    /// The decoys that a request asked for.
    fn decoys(
        &self,
        snapshot: &Snapshot,
        missed: &Missed,
    ) -> Result<Vec<Arc<HoneyRecord>>, procura_authority::AuthorityError> {
        match &missed.asked {
            Asked::Path(namespace, path) => Ok(snapshot
                .honey_at(namespace, path)
                .cloned()
                .into_iter()
                .collect()),
            Asked::Names(query) => {
                let vault = &self.parts.vault;
                let found = query.find(vault, snapshot, &missed.who.actor, missed.time)?;
                Ok(found.into_iter().map(|(_, honey)| honey).collect())
            }
        }
    }

    /// This decoy was touched by the request.
    pub(super) fn touched(
        &self,
        snapshot: &Snapshot,
        who: &Who,
        how: &'static str,
        honey: &HoneyRecord,
        input: &Input,
    ) {
        let missed = Missed {
            who: who.clone(),
            how,
            asked: Asked::Path(honey.namespace.clone(), honey.path.clone()),
            time: input.now,
            ip: input.peer,
            trace: input.trace,
        };
        self.touch(snapshot, &missed, honey);
        self.wake.notify_one();
    }

    fn touch(&self, snapshot: &Snapshot, missed: &Missed, honey: &HoneyRecord) {
        let Missed { who, how, time, .. } = missed;
        // Who may know of decoys touches none.
        if knows_honey(snapshot, &who.actor) {
            return;
        }
        let told = snapshot.is_held(&who.suspect);
        let key = (who.suspect.clone(), honey.canary, told);
        let mut waiting = self.waiting();
        waiting
            .entry(key)
            .and_modify(|known| {
                known.count = known.count.saturating_add(1);
                known.last = (*time).max(known.last);
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
                told,
            });
        // Under the lock, so that a commit that ends just now does not take it out.
        if !told && !self.suspects.load().contains(&who.suspect) {
            let mut suspects = HashSet::clone(&self.suspects.load());
            suspects.insert(who.suspect.clone());
            self.suspects.store(Arc::new(suspects));
        }
    }

    /// Records what is touched, until it is to end.
    pub(super) async fn run(self: Arc<Self>, mut stopping: Stopping) {
        loop {
            tokio::select! {
                biased;
                () = stopping.told() => break,
                () = self.wake.notified() => {}
            }
            self.sift();
            let mut wait = match self.urgency() {
                None => continue,
                Some(true) => SOON + self.at_random(SOON),
                Some(false) => LATER,
            };
            // Until all is recorded; what comes meanwhile is looked at at once.
            loop {
                tokio::select! {
                    biased;
                    () = stopping.told() => break,
                    () = self.wake.notified() => {
                        self.sift();
                        if wait >= LATER && self.urgency() == Some(true) {
                            wait = SOON + self.at_random(SOON);
                        }
                        continue;
                    }
                    () = tokio::time::sleep(wait) => {}
                }
                self.sift();
                match self.commit().await {
                    true if self.urgency().is_none() => break,
                    true => wait = SOON,
                    false => wait = AGAIN,
                }
            }
            if stopping.is_told() {
                break;
            }
        }
        self.sift();
        // If the store was sealed already, the record has the refusals.
        self.commit().await;
    }

    /// Whether something waits that nobody was told of yet, if anything does.
    fn urgency(&self) -> Option<bool> {
        let waiting = self.waiting();
        let urgent = waiting.values().any(|one| !one.told);
        (!waiting.is_empty()).then_some(urgent)
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
        loop {
            let touches: Vec<Touch> = {
                let waiting = self.waiting();
                let all = waiting.values().take(MAX_TOUCHES);
                all.cloned().collect()
            };
            if touches.is_empty() {
                return true;
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
                // Somebody changed the directory meanwhile.
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "a touch of a honey secret could not be recorded; what touched it is refused all the same");
                    return false;
                }
            }
        }
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
                if known.count == 0 {
                    waiting.remove(&place);
                }
            }
        }
        let left = waiting.keys().filter(|(_, _, told)| !told);
        let suspects: HashSet<Suspect> = left.map(|(suspect, _, _)| suspect.clone()).collect();
        self.suspects.store(Arc::new(suspects));
    }
}
