//! What a connection is at, and when it has taken too long about it.

use crate::config::Config;
use procura_edge::places::Place;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Requests that a connection may give up, beyond those that it waited for, before it
/// is closed: who asks and takes back without end makes work that nobody sees.
const ABANDONED: usize = 100;

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For its TLS handshake, and for one head.
    pub(crate) head: Duration,
    /// Without a request.
    pub(crate) idle: Duration,
    /// Without taking a byte of what is sent to it.
    pub(crate) stall: Duration,
}

impl Limits {
    pub(crate) const fn of(config: &Config) -> Self {
        Self {
            head: Duration::from_secs(config.head_seconds),
            idle: Duration::from_secs(config.idle_seconds),
            stall: Duration::from_secs(config.stall_seconds),
        }
    }
}

/// What is to be done about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing until then, counted from its beginning.
    Wait(Duration),
    /// No more requests are taken; it ends with those that run.
    Leave,
    /// It is closed at once, because of this.
    Cut(&'static str),
}

/// A moment, as milliseconds since the connection began; or none.
struct Since(AtomicU64);

impl Since {
    const NONE: u64 = u64::MAX;

    const fn none() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    const fn beginning() -> Self {
        Self(AtomicU64::new(0))
    }

    fn set(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(Self::NONE);
        self.0.store(now, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(Self::NONE, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        let since = self.0.load(Ordering::Relaxed);
        (since != Self::NONE).then(|| Duration::from_millis(since))
    }
}

/// Watches one connection. All who serve it tell what happens.
pub(crate) struct Watch {
    began: Instant,
    limits: Limits,
    /// Since when there is no request; meant only while there is none.
    quiet: Since,
    /// Since when no more requests are taken.
    leaving: Since,
    /// Requests that are not answered to the end.
    busy: AtomicUsize,
    abandoned: AtomicUsize,
    /// Told when there was something that cannot wait for the next look.
    at_once: Notify,
    /// Answers that the client takes when it grants a window for them.
    answers: Mutex<Vec<Weak<Answer>>>,
}

impl Watch {
    /// Watches from now on.
    pub(crate) fn new(began: Instant, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            began,
            limits,
            quiet: Since::beginning(),
            leaving: Since::none(),
            busy: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
            at_once: Notify::new(),
            answers: Mutex::default(),
        })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// When a moment comes.
    pub(crate) fn at(&self, moment: Duration) -> Instant {
        self.began + moment
    }

    /// No more requests are taken.
    pub(crate) fn leaving(&self) {
        if self.leaving.get().is_none() {
            self.leaving.set(self.now());
        }
    }

    /// A request came; it keeps its place until the answer is sent. An answer that is
    /// `windowed` is sent only as far as the client asks for it.
    pub(crate) fn request(self: &Arc<Self>, windowed: bool, place: Option<Place>) -> Arc<Answer> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        let answer = Arc::new(Answer {
            watch: Arc::clone(self),
            _place: place,
            answered: AtomicBool::new(false),
            windowed,
            waits: Since::none(),
            parts: AtomicUsize::new(0),
        });
        if windowed {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.len() == answers.capacity() {
                answers.retain(|answer| answer.strong_count() > 0);
            }
            answers.push(Arc::downgrade(&answer));
        }
        answer
    }

    /// Waits for what cannot wait for the next look.
    pub(crate) async fn at_once(&self) {
        self.at_once.notified().await;
    }

    /// What is to be done now.
    pub(crate) fn look(&self) -> Verdict {
        self.judge(self.now())
    }

    fn judge(&self, now: Duration) -> Verdict {
        let Limits { head, idle, stall } = self.limits;
        if self.abandoned.load(Ordering::Relaxed) > ABANDONED {
            return Verdict::Cut("too many requests were given up");
        }
        // What begins right after this look is over at the earliest then.
        let mut next = now + head.min(idle).min(stall);
        let mut over = |since: Option<Duration>, limit: Duration| {
            let Some(end) = since.map(|since| since + limit) else {
                return false;
            };
            if now < end {
                next = next.min(end);
            }
            now >= end
        };
        let leaving = self.leaving.get();
        let idles = self.busy.load(Ordering::Acquire) == 0;
        let quiet = self.quiet.get().unwrap_or_default();
        let stuck = self.stuck();
        // Other answers on the connection may move: they get as long again.
        if over(stuck, stall * 2) {
            return Verdict::Cut("nothing was taken of an answer");
        }
        let stalls = over(stuck, stall);
        let quiets = idles && over(Some(quiet), idle);
        if leaving.is_none() && (stalls || quiets) {
            return Verdict::Leave;
        }
        if idles && over(leaving.map(|since| since.max(quiet)), head) {
            return Verdict::Cut("it was not closed in time");
        }
        Verdict::Wait(next)
    }

    /// Since when the answer that waits longest has not moved.
    fn stuck(&self) -> Option<Duration> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| answer.strong_count() > 0);
        let answers = answers.iter().filter_map(Weak::upgrade);
        answers.filter_map(|answer| answer.waits.get()).min()
    }
}

/// One request and what is still to be sent in answer; over with its last holder.
pub(crate) struct Answer {
    watch: Arc<Watch>,
    _place: Option<Place>,
    answered: AtomicBool,
    /// Whether the client says how much of it is sent.
    windowed: bool,
    /// Since when the client has taken nothing of what waits to be sent.
    waits: Since,
    /// Parts that wait to be sent.
    parts: AtomicUsize,
}

impl Answer {
    /// An answer goes out. One to a request that was taken back comes too late, though
    /// there may be one: to a body that broke off, for instance.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// A part of it waits to be sent.
    pub(crate) fn waits(&self) {
        if self.windowed && self.parts.fetch_add(1, Ordering::AcqRel) == 0 {
            self.waits.set(self.watch.now());
        }
    }

    /// The client took something.
    pub(crate) fn moved(&self) {
        if self.windowed {
            self.waits.set(self.watch.now());
        }
    }

    /// A part is sent, or nobody waits for it any more.
    pub(crate) fn sent(&self) {
        if self.windowed && self.parts.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waits.clear();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let watch = &self.watch;
        if self.answered.load(Ordering::Relaxed) {
            let forgive = |count: usize| count.checked_sub(1);
            // None is left to be forgiven.
            let _ = watch
                .abandoned
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, forgive);
        } else if watch.abandoned.fetch_add(1, Ordering::Relaxed) >= ABANDONED {
            watch.at_once.notify_one();
        }
        watch.quiet.set(watch.now());
        watch.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn watch() -> Arc<Watch> {
        let limits = Limits {
            head: seconds(10),
            idle: seconds(75),
            stall: seconds(20),
        };
        Watch::new(Instant::now(), limits)
    }

    #[test]
    fn who_asks_nothing_is_left_and_then_cut() {
        let watch = watch();
        assert_eq!(watch.judge(seconds(74)), Verdict::Wait(seconds(75)));
        assert_eq!(watch.judge(seconds(75)), Verdict::Leave);
        watch.leaving.set(seconds(75));
        assert_eq!(watch.judge(seconds(84)), Verdict::Wait(seconds(85)));
        let cut = Verdict::Cut("it was not closed in time");
        assert_eq!(watch.judge(seconds(85)), cut);
        // With a request that runs it has as long as that takes.
        let _running = watch.request(false, None);
        assert_eq!(watch.judge(seconds(85)), Verdict::Wait(seconds(95)));
    }

    #[test]
    fn an_answer_without_a_window_is_left_and_then_cut() {
        let watch = watch();
        let (moving, stuck) = (watch.request(true, None), watch.request(true, None));
        moving.waits();
        stuck.waits();
        stuck.waits.set(seconds(0));
        moving.waits.set(seconds(19));
        assert_eq!(watch.judge(seconds(19)), Verdict::Wait(seconds(20)));
        assert_eq!(watch.judge(seconds(20)), Verdict::Leave);
        watch.leaving.set(seconds(20));
        moving.waits.set(seconds(39));
        assert_eq!(watch.judge(seconds(39)), Verdict::Wait(seconds(40)));
        let cut = Verdict::Cut("nothing was taken of an answer");
        assert_eq!(watch.judge(seconds(40)), cut);
        // One that waits for the server to have more is not stuck.
        stuck.sent();
        assert_eq!(watch.judge(seconds(40)), Verdict::Wait(seconds(50)));
        drop((moving, stuck));
        assert_eq!(watch.stuck(), None);
    }

    #[test]
    fn who_gives_up_too_many_requests_is_cut() {
        let watch = watch();
        for _ in 0..10 * ABANDONED {
            drop(watch.request(true, None));
            watch.request(true, None).answered();
        }
        assert!(matches!(watch.judge(seconds(1)), Verdict::Wait(_)));
        for _ in 0..=ABANDONED {
            drop(watch.request(true, None));
        }
        let cut = Verdict::Cut("too many requests were given up");
        assert_eq!(watch.judge(seconds(1)), cut);
        let answers = watch.answers.lock().unwrap().capacity();
        assert!(answers < 64, "room for {answers} answers that are over");
    }
}
