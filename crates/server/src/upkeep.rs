//! Work that nobody waits for, done while the vault is open: what a change of
//! passphrase left is put right, keys are wrapped anew after one, secrets whose date is
//! over are recorded, what is left of namespaces that ended goes, and requests, runs and
//! entries of the record whose time is over are taken away. All of it goes through the
//! queue for bulk work and can break off anywhere.
//!
//! The clock can be wrong for a while, and what is taken away does not come back:
//! only what two readings an hour apart agree on is over (ADR 10). Entries of the record
//! are too old only as of a time that was lived through besides (ADR 34).

use procura_authority::{Pruning, sweep_namespaces};
use procura_record::{Directory, Lease, Retention, Running, Stopping};
use procura_types::{Clock, Duration, Entropy, Timestamp};
use procura_vault::Vault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::Notify;

/// How often it is looked whether there is something to do.
const EVERY: Duration = Duration::from_secs(60);
/// How soon it is tried again to forget what is too old where the database may have been
/// away for a moment only.
const AGAIN: Duration = Duration::from_secs(5);
/// How often requests and runs are gone over, in time that nobody sets.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Batches of a pass between one look and the next.
const BATCHES: usize = 100;

/// What the upkeep works on.
pub(crate) struct UpkeepParts {
    pub(crate) vault: Arc<Vault>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// What lets this server do it, where there are several.
    pub(crate) lease: Option<Arc<Lease>>,
    /// Forgets entries of the record that are too old.
    pub(crate) retention: Retention,
    /// Held by ceremonies.
    pub(crate) ceremony: Arc<tokio::sync::Mutex<()>>,
}

/// The task; it ends when this is dropped.
pub struct Upkeep {
    running: Running,
    kept: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

impl Upkeep {
    /// Begins at once. Must be called inside a Tokio runtime.
    pub(crate) fn start(parts: UpkeepParts) -> Self {
        let wake = Arc::new(Notify::new());
        let kept = Arc::new(AtomicBool::new(false));
        let work = Work {
            kept: Arc::clone(&kept),
            lasts: false,
            parts,
            pass: None,
            forgetting: None,
            readings: Readings::default(),
            silent: Silent::default(),
            wake: Arc::clone(&wake),
        };
        Self {
            running: Running::start(|stopping| work.run(stopping)),
            kept,
            wake,
        }
    }

    /// Whether entries of the record are kept that are too old, since the last try to forget
    /// them failed. Why is in the log: it may name what stands in the record.
    pub(crate) fn keeps_too_long(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// There is something to do now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops, in the middle of whatever it does; on return it holds the vault no
    /// longer.
    pub(crate) async fn stop(&self) {
        self.running.stop().await;
    }
}

struct Work {
    /// Whether entries are kept that are too old, until they are forgotten.
    kept: Arc<AtomicBool>,
    /// Whether the reason is none that goes away by itself.
    lasts: bool,
    parts: UpkeepParts,
    pass: Option<Pruning>,
    /// As of when entries may be too old, until none is any more.
    forgetting: Option<Timestamp>,
    readings: Readings,
    silent: Silent,
    wake: Arc<Notify>,
}

impl Work {
    async fn run(mut self, mut stopping: Stopping) {
        loop {
            // Every batch is whole or not at all, so it may stop between any two.
            tokio::select! {
                biased;
                () = stopping.told() => return,
                () = self.look() => {}
            }
            let soon = self.kept.load(Ordering::Relaxed) && !self.lasts;
            let pause = if soon { AGAIN } else { EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                () = stopping.told() => return,
            }
        }
    }

    async fn look(&mut self) {
        let UpkeepParts {
            vault,
            clock,
            ceremony,
            lease,
            directory,
            ..
        } = &self.parts;
        // Of a namespace that another server ended this one has the keys still.
        let snapshot = directory.snapshot();
        vault.keep_keys(|name| snapshot.namespace_ended(name).is_none());
        if let Err(error) = self.parts.retention.tidy() {
            tracing::warn!(%error, "files of forgotten entries could not be removed");
        }
        match vault.say_present(clock.as_ref()).await {
            Ok(present) => self.silent.look(present, vault.servers_counted()),
            Err(error) => {
                tracing::debug!(%error, "the other servers could not be told that this one is there");
            }
        }
        if lease.as_ref().is_some_and(|lease| !lease.is_held()) {
            // Another server tries, and says so.
            self.keeps(false);
            return;
        }
        // During a change of passphrase two roots are as it should be.
        if let Ok(_no_other) = ceremony.try_lock()
            && let Err(error) = vault.settle_root(clock.as_ref()).await
        {
            tracing::warn!(%error, "what a change of passphrase left could not be put right");
        }
        vault.end_sessions(clock.now());
        loop {
            match vault.rewrap_step(clock.as_ref()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "keys could not be wrapped anew");
                    break;
                }
            }
        }
        loop {
            match vault.remind_step(clock.as_ref()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "secrets whose date is over could not be recorded");
                    break;
                }
            }
        }
        self.sweep().await;
        self.prune().await;
        self.forget().await;
    }

    /// Goes on with what the record says is forgotten, and says so of what is too old.
    async fn forget(&mut self) {
        for _ in 0..BATCHES {
            match self.parts.retention.step(self.forgetting).await {
                Ok(true) => self.keeps(false),
                Ok(false) => {
                    // Without a time it was not looked at what is too old.
                    if self.forgetting.take().is_some() || !self.lasts {
                        self.keeps(false);
                    }
                    return;
                }
                Err(error) => {
                    if !self.kept.load(Ordering::Relaxed) {
                        tracing::error!(%error, "entries of the record that are too old are kept");
                    }
                    self.keeps(true);
                    // As of the same time it is tried again soon. What lasts is looked at
                    // with the next time only: it may take reading much of the record.
                    self.lasts = !error.may_pass();
                    if self.lasts {
                        self.forgetting = None;
                    }
                    return;
                }
            }
        }
        self.wake.notify_one();
    }

    fn keeps(&mut self, too_long: bool) {
        self.kept.store(too_long, Ordering::Relaxed);
        self.lasts &= too_long;
    }

    /// Takes away what is left of namespaces that ended.
    async fn sweep(&self) {
        let UpkeepParts {
            vault,
            clock,
            entropy,
            ..
        } = &self.parts;
        for _ in 0..BATCHES {
            match sweep_namespaces(vault.store(), clock.as_ref(), entropy.as_ref()).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "what is left of a deleted namespace could not be taken away");
                    return;
                }
            }
        }
        self.wake.notify_one();
    }

    async fn prune(&mut self) {
        let clock = &self.parts.clock;
        if self.pass.is_none()
            && let Some(due) = self.readings.agreed(clock.steady(), clock.now())
        {
            let snapshot = self.parts.directory.snapshot();
            let namespaces = snapshot.namespaces().map(|found| found.name.clone());
            self.pass = Some(Pruning::new(due, namespaces));
            let (latest, lived) = (self.readings.latest.unwrap_or(due), self.readings.lived);
            self.forgetting = match self.parts.retention.reached(due..=latest, lived).await {
                Ok(reached) => reached,
                Err(error) => {
                    tracing::warn!(%error, "it cannot be told which entries of the record are too old");
                    None
                }
            };
        }
        let Some(pass) = &mut self.pass else {
            return;
        };
        let (clock, entropy) = (self.parts.clock.as_ref(), self.parts.entropy.as_ref());
        for _ in 0..BATCHES {
            match pass.step(self.parts.vault.store(), clock, entropy).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.pass = None;
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "requests and runs that are over could not be taken away");
                    self.pass = None;
                    return;
                }
            }
        }
    }
}

/// What was last said of servers that are not heard of.
#[derive(Default)]
struct Silent {
    own: bool,
    others: usize,
}

impl Silent {
    /// Says what is new: nobody wants it once a minute.
    fn look(&mut self, present: bool, counted: Option<(usize, usize)>) {
        if !present && !self.own {
            tracing::warn!(
                "this server was not heard of for so long that no later root is handed over to it: seal and unseal it (procura seal, procura unseal)"
            );
        }
        let (_, others) = counted.unwrap_or_default();
        if others > self.others {
            tracing::warn!(
                servers = others,
                "servers are not heard of and did not say that they go: procura server list names them"
            );
        }
        (self.own, self.others) = (!present, others);
    }
}

/// What the clock said when it was last asked what is over.
#[derive(Default)]
struct Readings {
    before: Option<(Instant, Timestamp)>,
    /// The later of the two that were last compared; what was agreed on is the earlier.
    latest: Option<Timestamp>,
    /// How long before that the reading was that it agreed with.
    span: Duration,
    /// The same of the reading before, and no more than of this one: how long it took at
    /// least from what was agreed on last to what is agreed on now. So a long time without
    /// a reading, as another server kept this or the database was away, is none that a clock
    /// makes use of which is wrong for an hour behind it.
    lived: Duration,
}

impl Readings {
    /// The time that the clock had reached both now and at the reading before, if
    /// that was an hour ago or more. A clock that was set ahead and put right
    /// within the hour makes nothing due.
    fn agreed(&mut self, steady: Instant, now: Timestamp) -> Option<Timestamp> {
        let agreed = match self.before {
            Some((before, _)) if steady.saturating_duration_since(before) < PRUNE_EVERY => {
                return None;
            }
            Some((before, said)) => {
                let span = steady.saturating_duration_since(before);
                self.lived = self.span.min(span);
                self.span = span;
                self.latest = Some(said.max(now));
                Some(said.min(now))
            }
            None => None,
        };
        self.before = Some((steady, now));
        agreed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    #[test]
    fn a_clock_that_is_wrong_for_a_while_makes_nothing_due() {
        let begin = Instant::now();
        let noon = Timestamp::from_millis(1_795_000_000_000);
        let hour = |hours: u32| (begin + PRUNE_EVERY * hours, noon.plus(PRUNE_EVERY * hours));
        // Ahead at one reading, whichever it is: the first after unseal as well.
        for wrong in 0..4 {
            let mut readings = Readings::default();
            for at in 0..6 {
                let (steady, right) = hour(at);
                let said = if at == wrong { right.plus(YEAR) } else { right };
                let due = readings.agreed(steady, said);
                let expected = match at {
                    0 => None,
                    // The reading before was ahead, so the one of now is earlier.
                    _ if at == wrong + 1 => Some(right),
                    _ => Some(hour(at - 1).1),
                };
                assert_eq!(due, expected, "{at} with {wrong} ahead");
                assert!(due.is_none_or(|due| due <= right));
                assert!(due.is_none() || readings.latest >= Some(right));
            }
        }
    }

    #[test]
    fn what_was_lived_through_is_between_what_was_agreed_on() {
        let begin = Instant::now();
        let noon = Timestamp::from_millis(1_795_000_000_000);
        let mut readings = Readings::default();
        let mut found = Vec::new();
        for hour in [0, 1, 3, 4, 5] {
            // Whatever the clock says.
            let said = noon.plus(YEAR * hour);
            readings.agreed(begin + PRUNE_EVERY * hour, said);
            found.push(readings.lived);
        }
        assert_eq!(found, [0, 0, 1, 1, 1].map(|hours| PRUNE_EVERY * hours));
    }

    #[test]
    fn an_hour_of_a_wrong_clock_behind_a_long_pause_is_an_hour() {
        let begin = Instant::now();
        let noon = Timestamp::from_millis(1_795_000_000_000);
        let mut readings = Readings::default();
        let mut most = noon;
        // Another server forgot for six weeks, and this one goes on with a clock that is
        // wrong from then on.
        for (hour, wrong) in [(0, 0), (1, 0), (2, 0), (1000, 1), (1001, 1), (1002, 1)] {
            let now = noon.plus(PRUNE_EVERY * hour);
            let said = now.plus(YEAR * wrong);
            let agreed = readings.agreed(begin + PRUNE_EVERY * hour, said);
            // As `Retention::reached`, where the other was as far as the clock.
            if hour == 1000 {
                most = now;
            }
            if let Some(agreed) = agreed {
                most = most.max(agreed.min(most.plus(readings.lived * 2)));
            }
        }
        let right = noon.plus(PRUNE_EVERY * 1002);
        assert_eq!(most, right.plus(PRUNE_EVERY * 2));
    }

    #[test]
    fn readings_are_an_hour_of_steady_time_apart() {
        let begin = Instant::now();
        let noon = Timestamp::from_millis(1_795_000_000_000);
        let mut readings = Readings::default();
        assert_eq!(readings.agreed(begin, noon), None);
        // Whatever the clock says meanwhile, no pass begins.
        for minute in 1..60 {
            let said = noon.plus(YEAR * minute);
            assert_eq!(readings.agreed(begin + MINUTE * minute, said), None);
        }
        // It was put back: the next pass is an hour away all the same, not a year.
        let back = Timestamp::from_millis(0);
        assert_eq!(readings.agreed(begin + PRUNE_EVERY, back), Some(back));
        assert_eq!(
            readings.agreed(begin + PRUNE_EVERY * 2 - MINUTE, noon),
            None
        );
        assert_eq!(readings.agreed(begin + PRUNE_EVERY * 2, noon), Some(back));
        assert_eq!(readings.agreed(begin + PRUNE_EVERY * 3, noon), Some(noon));
    }
}
