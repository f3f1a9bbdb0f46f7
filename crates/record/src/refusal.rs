//! Refusals and failed authentications: recorded without making anyone wait. A
//! flood becomes summaries that keep the counts (`protocol.md` §6).

use crate::tables::LEDGER;
use procura_ledger::{Decision, Entry, SUMMARY, Summary};
use procura_policy::{Denied, Op, Permit, PolicyNames};
use procura_proof::foreign::Foreign;
use procura_store::{Batch, Store};
use procura_types::{
    ActorId, BatchId, Clock, Duration, Entropy, Namespace, Thumbprint, Timestamp, TokenId, TraceId,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot};

/// Refusals that wait to be written. Beyond that they are counted.
const QUEUE: usize = 4096;
/// Entries in one batch.
const BATCH: usize = 64;
/// Refusals of one action and reason that are written one by one at a stretch, and
/// how many more each second allows. Beyond that they are counted: strangers must
/// not be able to fill the disk, not in weeks either.
const BURST: u64 = 100;
const EACH_SECOND: u64 = 1;
/// How long counts wait for their summary.
const SUMMARY_AFTER: Duration = Duration::from_secs(1);

/// A request that was refused, or that failed to authenticate.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What was attempted: `secret.read`, or `authenticate`.
    pub action: String,
    /// The reason, as the caller saw it.
    pub reason: String,
    /// When.
    pub time: Timestamp,
    /// Who, when it is known.
    pub actor: Option<ActorId>,
    /// The owner of the actor.
    pub owner: Option<ActorId>,
    /// Which device.
    pub device: Option<Thumbprint>,
    /// By which project token, when it is known: its id.
    pub token: Option<TokenId>,
    /// Where.
    pub namespace: Option<Namespace>,
    /// On what.
    pub resource: Option<String>,
    /// The profile of the proof, or `none`.
    pub profile: &'static str,
    /// The peer's address.
    pub ip: Option<IpAddr>,
    /// The HTTP request.
    pub trace: TraceId,
}

impl Refusal {
    /// One of which nothing else is known; what is known is said over it.
    #[must_use]
    pub fn of_nobody(
        action: impl Into<String>,
        reason: impl Into<String>,
        time: Timestamp,
        profile: &'static str,
        trace: TraceId,
    ) -> Self {
        Self {
            action: action.into(),
            reason: reason.into(),
            time,
            actor: None,
            owner: None,
            device: None,
            token: None,
            namespace: None,
            resource: None,
            profile,
            ip: None,
            trace,
        }
    }

    /// Of what was permitted and is not any more.
    pub(crate) fn of_permit<O: Op>(
        permit: &Permit<O>,
        denied: &Denied,
        trace: TraceId,
        time: Timestamp,
    ) -> Self {
        let (caller, resource) = (permit.caller(), permit.resource());
        Self {
            actor: Some(*caller.actor()),
            owner: Some(*caller.owner()),
            device: caller.device().copied(),
            token: permit.op().concerned().token.map(|need| *need.token),
            namespace: resource.namespace().cloned(),
            resource: Some(resource.to_string()),
            ip: caller.peer(),
            ..Self::of_nobody(
                O::ACTION.as_str(),
                denied.reason.to_string(),
                time,
                caller.profile().as_str(),
                trace,
            )
        }
    }
}

enum Message {
    Refusal(Box<(Refusal, Option<PolicyNames>)>),
    Drain(oneshot::Sender<()>),
}

/// What is alike of refusals: action, reason, and the profile where it is a weak one,
/// which whoever saw one proof can flood with in its agent's name. Such a flood takes
/// no place of others, and its summary says what it is of.
type Kind = (String, String, &'static str);

fn kind(refusal: &Refusal) -> Kind {
    let profile = match refusal.profile {
        weak if weak == Foreign::HmacV1.as_str() => weak,
        _ => "none",
    };
    (refusal.action.clone(), refusal.reason.clone(), profile)
}

/// How many of each kind, and when the first and the last of them were.
type Counts = BTreeMap<Kind, (u64, Timestamp, Timestamp)>;

/// How many were not written one by one.
#[derive(Default)]
struct Overflow {
    counts: Counts,
    /// How many may be written one by one, and the second that this was true in.
    allowed: BTreeMap<Kind, (u64, u64)>,
}

impl Overflow {
    /// Whether this one may be written by itself.
    fn passes(&mut self, refusal: &Refusal) -> bool {
        let key = kind(refusal);
        let second = refusal.time.as_secs();
        let (left, since) = self.allowed.entry(key).or_insert((BURST, second));
        let more = second.saturating_sub(*since).saturating_mul(EACH_SECOND);
        *left = left.saturating_add(more).min(BURST);
        *since = second.max(*since);
        let passes = *left > 0;
        *left = left.saturating_sub(1);
        passes
    }

    fn count(&mut self, refusal: &Refusal) {
        let key = kind(refusal);
        self.add(key, (1, refusal.time, refusal.time));
    }

    fn add(&mut self, key: Kind, more: (u64, Timestamp, Timestamp)) {
        let slot = self.counts.entry(key).or_insert((0, more.1, more.2));
        *slot = (slot.0 + more.0, slot.1.min(more.1), slot.2.max(more.2));
    }
}

/// Hands refusals to the ledger behind the requests.
pub struct RefusalQueue {
    queue: mpsc::Sender<Message>,
    overflow: Arc<Mutex<Overflow>>,
    wake: Arc<Notify>,
}

impl RefusalQueue {
    /// Starts the writer; ends when the queue is dropped.
    #[must_use]
    pub fn start(store: Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let overflow = Arc::new(Mutex::new(Overflow::default()));
        let wake = Arc::new(Notify::new());
        let writer = Writer {
            store,
            clock,
            entropy,
            overflow: Arc::clone(&overflow),
        };
        tokio::spawn(writer.run(receiver, Arc::clone(&wake)));
        Self {
            queue,
            overflow,
            wake,
        }
    }

    /// Queues one, with the policies that it is by, if it is by any; when the queue is
    /// full it is counted.
    pub fn push(&self, refusal: Refusal, policies: Option<PolicyNames>) {
        let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        if !overflow.passes(&refusal) {
            overflow.count(&refusal);
            return;
        }
        drop(overflow);
        let message = Message::Refusal(Box::new((refusal, policies)));
        if let Err(error) = self.queue.try_send(message) {
            if let mpsc::error::TrySendError::Full(Message::Refusal(refusal)) = error {
                let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
                overflow.count(&refusal.0);
            }
            self.wake.notify_one();
        }
    }

    /// Waits until everything queued so far is durable.
    pub async fn drain(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.send(Message::Drain(done)).await.is_ok() {
            // A writer that ended answers with an error; then nothing is left to wait for.
            let _ = wait.await;
        }
    }
}

struct Writer {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    overflow: Arc<Mutex<Overflow>>,
}

impl Writer {
    async fn run(self, mut receiver: mpsc::Receiver<Message>, wake: Arc<Notify>) {
        let mut messages = Vec::with_capacity(BATCH);
        let mut ticks = tokio::time::interval(SUMMARY_AFTER);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                count = receiver.recv_many(&mut messages, BATCH) => if count == 0 { break },
                () = wake.notified() => {}
                _ = ticks.tick() => {}
            }
            let mut waiters = Vec::new();
            let mut refusals = Vec::new();
            for message in messages.drain(..) {
                match message {
                    Message::Refusal(refusal) => refusals.push(*refusal),
                    Message::Drain(done) => waiters.push(done),
                }
            }
            let counts = std::mem::take(
                &mut self
                    .overflow
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .counts,
            );
            let entries: Vec<Entry> = refusals
                .iter()
                .filter_map(|(refusal, policies)| self.entry(refusal, policies.as_ref()))
                .chain(self.summaries(&counts))
                .collect();
            if let Err(error) = self.write(&entries).await {
                tracing::error!(%error, "refusals could not be recorded; they stay counted");
                let mut kept = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
                refusals.iter().for_each(|(refusal, _)| kept.count(refusal));
                for (key, more) in counts {
                    kept.add(key, more);
                }
            }
            for done in waiters {
                let _ = done.send(());
            }
        }
    }

    fn entry(&self, refusal: &Refusal, policies: Option<&PolicyNames>) -> Option<Entry> {
        let Refusal {
            action,
            reason,
            time,
            actor,
            owner,
            device,
            token,
            namespace,
            resource,
            profile,
            ip,
            trace,
        } = refusal.clone();
        let entry = Entry::new(time, self.entropy.as_ref(), action, trace).ok()?;
        Some(Entry {
            decision: Decision::Deny,
            reason: Some(Cow::Owned(reason)),
            actor,
            owner,
            device,
            token,
            namespace,
            resource,
            policies: policies.map(|names| Cow::Owned(names.to_string())),
            profile: Cow::Borrowed(profile),
            ip,
            ..entry
        })
    }

    /// A flood, by its kind; the reason stands in `resource`, as the
    /// entry's own says that it is a summary.
    fn summaries(&self, counts: &Counts) -> Vec<Entry> {
        counts
            .iter()
            .filter_map(|((action, reason, profile), (count, from, until))| {
                let now = self.clock.now();
                let trace = TraceId::generate(now, self.entropy.as_ref()).ok()?;
                Some(Entry {
                    decision: Decision::Deny,
                    reason: Some(Cow::Borrowed(SUMMARY)),
                    resource: Some(format!("reason/{reason}")),
                    profile: Cow::Borrowed(profile),
                    summary: Some(Summary {
                        count: *count,
                        from: *from,
                        until: *until,
                    }),
                    ..Entry::new(now, self.entropy.as_ref(), action.clone(), trace).ok()?
                })
            })
            .collect()
    }

    async fn write(
        &self,
        entries: &[Entry],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(BatchId::generate(self.clock.now(), self.entropy.as_ref())?);
        for entry in entries {
            batch.append(LEDGER, entry.to_bytes()?);
        }
        self.store.commit(batch).await?;
        Ok(())
    }
}
