//! The bounded queue before the writer, and the future that a caller holds.

use crate::engine::{CommitFuture, Lane, RawBatch};
use crate::{CommitError, Committed, MAX_BATCH};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};

/// A group holds at most so many batches …
pub(crate) const GROUP_BATCHES: usize = 256;
/// … and so many bytes, unless a single batch is larger.
pub(crate) const GROUP_BYTES: usize = 1024 * 1024;
/// Bulk work gets at most this part of a group.
const BULK_SHARE: usize = 4;

/// Under load a group is gathered for at most this long: the more share one sync,
/// the less each costs. A lone caller waits once, after load, and then no more.
const GATHER: Duration = Duration::from_micros(400);

/// Room in a lane is counted in units: one per batch and one per so many bytes.
const UNIT: usize = 4096;
/// Room of a lane: at most so many batches, and 16 MiB.
const ROOM: usize = 4096;
const _: () = assert!(ROOM > MAX_BATCH / UNIT, "the largest batch fits");

type Outcome = Result<Committed, CommitError>;

/// A queued batch and who waits for it.
pub(crate) struct Job {
    pub(crate) batch: RawBatch,
    weight: usize,
    done: oneshot::Sender<Outcome>,
    /// Given back when the job is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// Tells the caller, if it is still there.
    pub(crate) fn finish(self, outcome: Outcome) {
        // A caller that went away cancels nothing and misses nothing.
        let _ = self.done.send(outcome);
    }
}

#[derive(Default)]
struct Lanes {
    ordinary: VecDeque<Job>,
    bulk: VecDeque<Job>,
    /// The writer sleeps until so many batches are queued; only then does a wake-up cost a system call. 0 while it is awake.
    wanted: usize,
    closed: bool,
    /// Ordinary batches of the group before.
    before: usize,
}

/// The two lanes of batches before the writer.
pub(crate) struct Queue {
    lanes: Mutex<Lanes>,
    wake: Condvar,
    ordinary_room: Arc<Semaphore>,
    bulk_room: Arc<Semaphore>,
    gather: Duration,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self::gathering(GATHER)
    }

    fn gathering(gather: Duration) -> Self {
        Self {
            gather,
            lanes: Mutex::default(),
            wake: Condvar::new(),
            ordinary_room: Arc::new(Semaphore::new(ROOM)),
            bulk_room: Arc::new(Semaphore::new(ROOM)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Nothing under this lock can panic half-way.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the batch now if there is room, else when the future is polled to
    /// it or dropped.
    pub(crate) fn submit(self: &Arc<Self>, batch: RawBatch) -> CommitFuture {
        let Some(weight) = batch.weight().filter(|weight| *weight <= MAX_BATCH) else {
            return Box::pin(std::future::ready(Err(CommitError::TooLarge)));
        };
        let room = match batch.lane {
            Lane::Ordinary => &self.ordinary_room,
            Lane::Bulk => &self.bulk_room,
        };
        let units = u32::try_from(1 + weight / UNIT).unwrap_or(u32::MAX);
        let (done, outcome) = oneshot::channel();
        let mut job = Job {
            batch,
            weight,
            done,
            _room: None,
        };
        let waiting = match Arc::clone(room).try_acquire_many_owned(units) {
            Ok(permit) => {
                job._room = Some(permit);
                self.push(job);
                None
            }
            Err(_) => Some(Waiting {
                job,
                room: Box::pin(Arc::clone(room).acquire_many_owned(units)),
                queue: Arc::clone(self),
            }),
        };
        Box::pin(Submitted { waiting, outcome })
    }

    fn push(&self, job: Job) {
        let mut lanes = self.lock();
        if lanes.closed {
            // Only when the writer has died: a living engine outlives its callers.
            drop(lanes);
            job.finish(Err(CommitError::Poisoned));
            return;
        }
        match job.batch.lane {
            Lane::Ordinary => lanes.ordinary.push_back(job),
            Lane::Bulk => lanes.bulk.push_back(job),
        }
        let queued = lanes.ordinary.len() + lanes.bulk.len();
        let wake = lanes.wanted > 0 && queued >= lanes.wanted;
        if wake {
            lanes.wanted = 0;
        }
        drop(lanes);
        if wake {
            self.wake.notify_one();
        }
    }

    /// No more batches come; the writer ends when it has written what is queued.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// The writer is gone: what is queued was not applied.
    pub(crate) fn abandon(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        let jobs: Vec<Job> = lanes.ordinary.drain(..).collect();
        let bulk: Vec<Job> = lanes.bulk.drain(..).collect();
        drop(lanes);
        for job in jobs.into_iter().chain(bulk) {
            job.finish(Err(CommitError::Poisoned));
        }
    }

    /// Waits for a moment until two thirds of the callers are queued that the last two
    /// groups show: the requests of the others are worked on while theirs are synced.
    fn gather<'a>(&'a self, mut lanes: MutexGuard<'a, Lanes>) -> MutexGuard<'a, Lanes> {
        let queued = lanes.ordinary.len();
        let most = (lanes.before + queued) * 2 / 3;
        if queued == 0 || queued >= most || lanes.closed {
            return lanes;
        }
        lanes.wanted = most;
        self.wake
            .wait_timeout_while(lanes, self.gather, |lanes| {
                lanes.wanted > 0 && !lanes.closed
            })
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Waits for work. `None` when the queue is closed and empty. At most
    /// `batches` in a group.
    pub(crate) fn next_group(&self, batches: usize) -> Option<Vec<Job>> {
        let mut lanes = self.lock();
        while lanes.ordinary.is_empty() && lanes.bulk.is_empty() {
            if lanes.closed {
                return None;
            }
            lanes.wanted = 1;
            lanes = self
                .wake
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
        lanes = self.gather(lanes);
        lanes.wanted = 0;
        let mut group = Vec::with_capacity(lanes.ordinary.len().min(batches) + 1);
        let share = (batches / BULK_SHARE).max(1);
        let bulk_bytes = take(&mut lanes.bulk, &mut group, share, GROUP_BYTES / BULK_SHARE);
        let rest = batches.saturating_sub(group.len());
        // Ordinary work goes first in the group: someone waits for it.
        let bulk = std::mem::take(&mut group);
        lanes.before = lanes.ordinary.len().min(rest);
        take(
            &mut lanes.ordinary,
            &mut group,
            rest,
            GROUP_BYTES.saturating_sub(bulk_bytes),
        );
        group.extend(bulk);
        Some(group)
    }
}

impl Queue {
    /// Who came since the group was taken: at most `batches` further ordinary batches and
    /// so many bytes, from the first on for as long as `fits` says yes.
    pub(crate) fn more(
        &self,
        batches: usize,
        bytes: usize,
        fits: impl Fn(&RawBatch) -> bool,
    ) -> Vec<Job> {
        let mut lanes = self.lock();
        let (mut more, mut used) = (Vec::new(), 0usize);
        while let Some(job) = lanes.ordinary.front() {
            used = used.saturating_add(job.weight);
            if more.len() >= batches || used > bytes || !fits(&job.batch) {
                break;
            }
            more.extend(lanes.ordinary.pop_front());
        }
        lanes.before = lanes.before.saturating_add(more.len());
        more
    }
}

/// Moves jobs while they fit, at least one where any is allowed.
fn take(lane: &mut VecDeque<Job>, group: &mut Vec<Job>, batches: usize, bytes: usize) -> usize {
    let (mut count, mut used) = (0, 0usize);
    while let Some(job) = lane.front() {
        if count == batches || (count > 0 && used.saturating_add(job.weight) > bytes) {
            break;
        }
        used = used.saturating_add(job.weight);
        count += 1;
        group.extend(lane.pop_front());
    }
    used
}

type Acquire = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

struct Waiting {
    job: Job,
    room: Acquire,
    queue: Arc<Queue>,
}

struct Submitted {
    waiting: Option<Waiting>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Future for Submitted {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(waiting) = &mut self.waiting {
            // The semaphore is never closed.
            let permit = ready!(waiting.room.as_mut().poll(cx)).ok();
            if let Some(mut waiting) = self.waiting.take() {
                waiting.job._room = permit;
                waiting.queue.push(waiting.job);
            }
        }
        // The writer answers every job; one that is dropped unanswered died with
        // the writer's thread, and its fate is not known.
        Pin::new(&mut self.outcome)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or(Err(CommitError::Unknown)))
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        // Dropping cancels nothing: what had to wait for room is queued beyond
        // the bound, once.
        if let Some(waiting) = self.waiting.take() {
            waiting.queue.push(waiting.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogId, engine::RawAppend};
    use procura_types::{BatchId, SecretBytes};

    fn batch(lane: Lane, size: usize) -> RawBatch {
        RawBatch {
            id: BatchId::from_bytes([0; 16]),
            lane,
            reserved: false,
            expect: Vec::new(),
            writes: Vec::new(),
            appends: vec![RawAppend {
                log: LogId::new("l"),
                bytes: SecretBytes::new(vec![0; size]),
            }],
            trims: Vec::new(),
        }
    }

    fn lanes(group: &[Job]) -> (usize, usize) {
        let bulk = group.iter().filter(|job| job.batch.lane == Lane::Bulk);
        let bulk = bulk.count();
        (group.len() - bulk, bulk)
    }

    #[test]
    fn a_group_is_bounded_and_bulk_gets_a_quarter() {
        let queue = Arc::new(Queue::new());
        for _ in 0..300 {
            drop(queue.submit(batch(Lane::Ordinary, 1)));
            drop(queue.submit(batch(Lane::Bulk, 1)));
        }
        assert_eq!(lanes(&queue.next_group(256).unwrap()), (192, 64));
        assert_eq!(lanes(&queue.next_group(256).unwrap()), (108, 64));
        assert_eq!(lanes(&queue.next_group(256).unwrap()), (0, 64));
    }

    #[test]
    fn a_group_is_bounded_in_bytes_but_takes_a_large_batch_alone() {
        let queue = Arc::new(Queue::new());
        for _ in 0..40 {
            drop(queue.submit(batch(Lane::Ordinary, 60_000)));
            drop(queue.submit(batch(Lane::Bulk, 60_000)));
        }
        assert_eq!(lanes(&queue.next_group(256).unwrap()), (13, 4));
    }

    #[test]
    fn who_comes_late_goes_along_in_order_and_within_the_bounds() {
        let queue = Arc::new(Queue::new());
        let submit = |size, reserved| {
            let batch = RawBatch {
                reserved,
                ..batch(Lane::Ordinary, size)
            };
            drop(queue.submit(batch));
        };
        submit(1, false);
        assert_eq!(queue.next_group(256).unwrap().len(), 1);
        assert!(queue.more(9, GROUP_BYTES, |_| true).is_empty());
        for reserved in [false, false, true, false] {
            submit(100, reserved);
        }
        drop(queue.submit(batch(Lane::Bulk, 1)));
        let taken = |batches, bytes| queue.more(batches, bytes, |batch| !batch.reserved).len();
        assert_eq!(taken(0, GROUP_BYTES), 0);
        assert_eq!(taken(9, 50), 0);
        assert_eq!(taken(1, GROUP_BYTES), 1);
        // Nobody goes before one that has to wait.
        assert_eq!(taken(9, GROUP_BYTES), 1);
        assert_eq!(taken(9, GROUP_BYTES), 0);
        assert_eq!(lanes(&queue.next_group(256).unwrap()), (2, 1));
    }

    const FOR_EVER: Duration = Duration::from_secs(600);

    /// A queue whose last group had eight batches, and that holds `count` more.
    fn after_load(gather: Duration, count: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::gathering(gather));
        for _ in 0..8 {
            drop(queue.submit(batch(Lane::Ordinary, 1)));
        }
        assert_eq!(queue.next_group(256).unwrap().len(), 8);
        for _ in 0..count {
            drop(queue.submit(batch(Lane::Ordinary, 1)));
        }
        queue
    }

    #[test]
    fn under_load_two_thirds_of_the_callers_make_a_group() {
        let queue = after_load(FOR_EVER, 2);
        std::thread::scope(|scope| {
            let group = scope.spawn(|| queue.next_group(256).unwrap().len());
            // What it waits for is decided by what is queued when it begins.
            while queue.lock().wanted != 6 {
                std::thread::yield_now();
            }
            for _ in 0..4 {
                assert!(!group.is_finished());
                drop(queue.submit(batch(Lane::Ordinary, 1)));
            }
            assert_eq!(group.join().unwrap(), 6);
        });
    }

    #[test]
    fn closing_ends_the_gathering() {
        let queue = after_load(FOR_EVER, 2);
        std::thread::scope(|scope| {
            let group = scope.spawn(|| queue.next_group(256).unwrap().len());
            queue.close();
            assert_eq!(group.join().unwrap(), 2);
        });
    }

    #[test]
    fn a_lone_caller_waits_once_after_load() {
        let queue = after_load(Duration::from_millis(1), 1);
        assert_eq!(queue.next_group(256).unwrap().len(), 1);
        assert_eq!(queue.lock().before, 1);
        let queue = after_load(FOR_EVER, 0);
        queue.lock().before = 1;
        drop(queue.submit(batch(Lane::Ordinary, 1)));
        assert_eq!(queue.next_group(256).unwrap().len(), 1);
    }

    #[test]
    fn what_waits_for_room_is_queued_when_polled_or_dropped() {
        let queue = Arc::new(Queue::new());
        let mut held: Vec<_> = (0..ROOM)
            .map(|_| queue.submit(batch(Lane::Ordinary, 1)))
            .collect();
        let waiting = queue.submit(batch(Lane::Ordinary, 1));
        let dropped = queue.submit(batch(Lane::Ordinary, 1));
        assert_eq!(queue.lock().ordinary.len(), ROOM);
        drop(dropped);
        assert_eq!(queue.lock().ordinary.len(), ROOM + 1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let waiting = tokio::spawn(waiting);
            tokio::task::yield_now().await;
            assert_eq!(queue.lock().ordinary.len(), ROOM + 1);
            for job in queue.next_group(256).unwrap() {
                job.finish(Err(CommitError::Full));
            }
            tokio::task::yield_now().await;
            assert_eq!(queue.lock().ordinary.len(), ROOM + 2 - 256);
            assert_eq!(held.remove(0).await, Err(CommitError::Full));
            queue.abandon();
            assert_eq!(waiting.await.unwrap(), Err(CommitError::Poisoned));
        });
    }
}
