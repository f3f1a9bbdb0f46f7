//! Where passwords are hashed. Each hash takes 64 MiB and a large part of a second, so few
//! are made at once, some wait, and the rest is told to come again: a crowd at the sign-in
//! takes neither the memory nor the threads of the server.

use procura_crypto::{PasswordHash, SystemEntropy};
use procura_types::{ActorId, EntropyError};
use prometheus_client::metrics::counter::Counter;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Semaphore;

/// Hashes of one lane that are made at once.
const AT_ONCE: usize = 1;
/// Those of one lane that are made or wait.
const WAITING: usize = 16;

/// Too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// Why a password is not hashed to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// Too many others are being set.
    Busy,
    /// One of the same actor is being set.
    Own,
}

/// Who shares a place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Who signed in from there before. A crowd elsewhere takes nothing from them.
    Known,
    /// Anybody.
    Strangers,
}

/// Who is setting a password now.
type Setting = Arc<Mutex<HashSet<ActorId>>>;

/// That an actor sets one.
struct Turn {
    setting: Setting,
    actor: ActorId,
}

impl Turn {
    /// None while another of the actor's is under way.
    fn of(setting: &Setting, actor: ActorId) -> Option<Self> {
        let mut now = setting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = now.insert(actor);
        drop(now);
        is_first.then(|| Self {
            setting: Arc::clone(setting),
            actor,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut now = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        now.remove(&self.actor);
    }
}

struct Places {
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

/// The queues.
pub(crate) struct Hashing {
    known: Places,
    strangers: Places,
    /// Passwords that are set: whoever has a device key keeps nobody from signing in.
    set: Places,
    setting: Setting,
    /// What is tried for names that nobody has.
    nobodys: OnceLock<Arc<PasswordHash>>,
    /// How many hashes were made.
    made: Counter,
}

impl Hashing {
    /// Nobody waits. Each hash counts in `made`.
    pub(crate) fn new(made: Counter) -> Self {
        Self {
            known: Places::default(),
            strangers: Places::default(),
            set: Places::default(),
            setting: Setting::default(),
            nobodys: OnceLock::new(),
            made,
        }
    }

    /// What is tried for names that nobody has.
    ///
    /// # Errors
    /// Without random bytes.
    pub(super) fn nobodys(&self) -> Result<Arc<PasswordHash>, EntropyError> {
        if let Some(made) = self.nobodys.get() {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(PasswordHash::of_nobody(&SystemEntropy)?);
        Ok(Arc::clone(self.nobodys.get_or_init(|| made)))
    }

    /// Does work that hashes one password, apart from the async threads, once it is its
    /// turn. The place is kept until the work has ended, also when nobody waits for it any
    /// more: whoever hangs up frees no memory by it.
    ///
    /// # Errors
    /// [`Busy`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let places = match lane {
            Lane::Known => &self.known,
            Lane::Strangers => &self.strangers,
        };
        self.run_in(places, work).await
    }

    /// As [`Self::run`], for a password that an actor sets: in a queue apart from all
    /// sign-ins, where each actor has one place, so that nobody takes them all.
    ///
    /// # Errors
    /// [`NotSet`].
    pub(crate) async fn set<T: Send + 'static>(
        &self,
        actor: ActorId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotSet> {
        let turn = Turn::of(&self.setting, actor).ok_or(NotSet::Own)?;
        // It goes with the work, which may go on when nobody waits for it any more.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        self.run_in(&self.set, work)
            .await
            .map_err(|Busy| NotSet::Busy)
    }

    async fn run_in<T: Send + 'static>(
        &self,
        places: &Places,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let queued = Arc::clone(&places.waiting).try_acquire_owned();
        let queued = queued.map_err(|_| Busy)?;
        let place = Arc::clone(&places.at_once).acquire_owned().await;
        // Neither is ever closed.
        let place = place.map_err(|_| Busy)?;
        self.made.inc();
        let done = tokio::task::spawn_blocking(move || {
            let held = (queued, place);
            let done = work();
            drop(held);
            done
        });
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_crowd_waits_for_few_and_the_rest_is_sent_away() {
        let hashing = Arc::new(Hashing::new(Counter::default()));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let (hashing, held) = (Arc::clone(&hashing), Arc::clone(&held));
            waiting.push(tokio::spawn(async move {
                let work = move || held.lock().unwrap().recv().is_ok();
                hashing.run(Lane::Strangers, work).await
            }));
        }
        // All have a place in the queue, and one of them works.
        while hashing.strangers.waiting.available_permits() > 0
            || hashing.strangers.at_once.available_permits() > 0
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.run(Lane::Strangers, || ()).await, Err(Busy));
        // They take nothing from those who were here before.
        assert_eq!(hashing.run(Lane::Known, || 7).await, Ok(7));
        // Whoever hangs up does not free the place of work that goes on.
        for task in &waiting {
            task.abort();
        }
        tokio::task::yield_now().await;
        assert_eq!(hashing.strangers.at_once.available_permits(), 0);
        drop(release);
        for task in waiting {
            let _ = task.await;
        }
        while hashing.strangers.at_once.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.run(Lane::Strangers, || 8).await, Ok(8));
    }

    fn actor(number: u8) -> ActorId {
        ActorId::from_bytes([number; 32])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_sets_passwords_takes_one_place_and_none_of_a_sign_in() {
        let hashing = Arc::new(Hashing::new(Counter::default()));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let mut waiting = Vec::new();
        for number in (0..).take(WAITING) {
            let (hashing, held) = (Arc::clone(&hashing), Arc::clone(&held));
            waiting.push(tokio::spawn(async move {
                let work = move || held.lock().unwrap().recv().is_ok();
                hashing.set(actor(number), work).await
            }));
        }
        while hashing.set.waiting.available_permits() > 0
            || hashing.set.at_once.available_permits() > 0
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.set(actor(0), || ()).await, Err(NotSet::Own));
        assert_eq!(hashing.set(actor(99), || ()).await, Err(NotSet::Busy));
        // Nobody who signs in waits for them.
        assert_eq!(hashing.run(Lane::Known, || 7).await, Ok(7));
        assert_eq!(hashing.run(Lane::Strangers, || 8).await, Ok(8));
        // Who was sent away, or hung up in the queue, may come again.
        for task in &waiting {
            task.abort();
        }
        drop(release);
        for task in waiting {
            let _ = task.await;
        }
        while hashing.set.at_once.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(hashing.setting.lock().unwrap().is_empty());
        for number in [0, 1, 99] {
            assert_eq!(hashing.set(actor(number), move || number).await, Ok(number));
        }
    }
}
