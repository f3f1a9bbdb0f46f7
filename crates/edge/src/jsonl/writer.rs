//! The task that writes a log, and the queue before it.

use super::{Limits, Line, Rolling};
use procura_types::Clock;
use prometheus_client::metrics::counter::Counter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Lines that wait to be written; what comes beyond is lost and counted.
const QUEUE: usize = 16_384;
/// Bytes that are written at once, a line more at most.
const PIECE: usize = 64 * 1024;
/// How long lines are collected after some were written: a file system call for
/// each would cost more than the requests that they tell of.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the server's own log tells of lines that were lost.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A log. Its task begins with the first line, and ends with it at the latest.
pub struct JsonlLog {
    queue: mpsc::Sender<Vec<u8>>,
    begun: Once,
    task: Mutex<Task>,
    lost: Counter,
    trouble: Arc<Mutex<Option<String>>>,
}

/// Where the task is.
enum Task {
    Waiting(Box<Writer>),
    Running {
        /// Its drop tells the task to end.
        going: watch::Sender<()>,
        handle: JoinHandle<()>,
    },
    Over,
}

impl JsonlLog {
    /// `name` in `folder`. Lines that could not be written are counted in `lost`.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        name: &'static str,
        limits: Limits,
        clock: Arc<dyn Clock>,
        lost: Counter,
    ) -> Self {
        let (queue, lines) = mpsc::channel(QUEUE);
        let trouble = Arc::default();
        let writer = Writer {
            folder,
            name,
            limits,
            lines,
            rolling: None,
            clock,
            lost: lost.clone(),
            told: lost.get(),
            warned: None,
            trouble: Arc::clone(&trouble),
        };
        Self {
            queue,
            begun: Once::new(),
            task: Mutex::new(Task::Waiting(Box::new(writer))),
            lost,
            trouble,
        }
    }

    /// Queues a line; never waits. Must be called inside a Tokio runtime.
    pub fn push(&self, line: Vec<u8>) {
        self.begun.call_once(|| self.begin());
        if self.queue.try_send(line).is_err() {
            self.lost.inc();
        }
    }

    fn begin(&self) {
        let mut task = self.task();
        *task = match std::mem::replace(&mut *task, Task::Over) {
            Task::Waiting(writer) => {
                let (going, stopping) = watch::channel(());
                Task::Running {
                    going,
                    handle: tokio::spawn(writer.run(stopping)),
                }
            }
            other => other,
        };
    }

    /// Writes what is queued and ends. What comes later is lost and counted. Whoever
    /// stops it a second time does not wait.
    pub async fn stop(&self) {
        // One that had not begun goes here, and with it the other end of the queue.
        let task = std::mem::replace(&mut *self.task(), Task::Over);
        if let Task::Running { going, handle } = task {
            drop(going);
            // If it panicked it has ended as well.
            let _ = handle.await;
        }
    }

    fn task(&self) -> MutexGuard<'_, Task> {
        // It is one or the other between any two lines.
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last lines could not be written, if they could not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

struct Writer {
    folder: PathBuf,
    name: &'static str,
    limits: Limits,
    lines: mpsc::Receiver<Vec<u8>>,
    /// Away while a piece is being written, and made anew if it does not come back.
    rolling: Option<Rolling>,
    clock: Arc<dyn Clock>,
    lost: Counter,
    /// Of the lost ones, how many the log tells of.
    told: u64,
    warned: Option<Instant>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Writer {
    async fn run(mut self, mut stopping: watch::Receiver<()>) {
        let mut batch = Vec::new();
        // Nothing is ever sent: what changes is that the log is stopped, or gone.
        loop {
            tokio::select! {
                _ = self.lines.recv_many(&mut batch, QUEUE) => {}
                _ = stopping.changed() => break,
            }
            self.write(&mut batch).await;
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stopping.changed() => break,
            }
        }
        self.lines.close();
        while self.lines.recv_many(&mut batch, QUEUE).await > 0 {
            self.write(&mut batch).await;
        }
        // What was lost last is told as well.
        self.write(&mut batch).await;
    }

    async fn write(&mut self, batch: &mut Vec<Vec<u8>>) {
        let lost = self.lost.get();
        let missing = lost.saturating_sub(self.told);
        let mut piece = Vec::new();
        if missing > 0 {
            self.warn(missing);
            let line = Line::new(self.clock.now(), "lines_lost").field("count", missing);
            piece = line.end();
        }
        let mut tells = missing > 0;
        let mut count = 0;
        for line in batch.drain(..) {
            piece.extend_from_slice(&line);
            count += 1;
            if piece.len() >= PIECE {
                if self.piece(std::mem::take(&mut piece), count).await && tells {
                    self.told = lost;
                    tells = false;
                }
                count = 0;
            }
        }
        if !piece.is_empty() && self.piece(piece, count).await && tells {
            self.told = lost;
        }
        let missing = self.lost.get().saturating_sub(self.told);
        if missing > 0 {
            self.warn(missing);
        }
    }

    /// Writes whole lines, so many of them of others; whether it could.
    async fn piece(&mut self, piece: Vec<u8>, lines: u64) -> bool {
        let mut rolling = self
            .rolling
            .take()
            .unwrap_or_else(|| Rolling::new(self.folder.clone(), self.name, self.limits));
        let now = self.clock.now();
        // A disk may take its time; the async threads go on.
        let written = tokio::task::spawn_blocking(move || {
            let written = rolling.append(&piece, now);
            (rolling, written)
        })
        .await;
        let trouble = match written {
            Ok((rolling, written)) => {
                self.rolling = Some(rolling);
                written.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        let fine = trouble.is_none();
        if !fine {
            self.lost.inc_by(lines);
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        fine
    }

    fn warn(&mut self, lines: u64) {
        let steady = self.clock.steady();
        let recently = |warned| steady.saturating_duration_since(warned) < WARN_EVERY;
        if self.warned.is_some_and(recently) {
            return;
        }
        self.warned = Some(steady);
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = trouble
            .as_deref()
            .unwrap_or("more came than can be written");
        tracing::warn!(log = self.name, lines, cause, "lines of a log are lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::Timestamp;
    use serde_json::Value;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_795_000_000_000)
        }
    }

    fn log(folder: PathBuf) -> (JsonlLog, Counter) {
        let lost = Counter::default();
        let limits = Limits {
            bytes: 1 << 30,
            age: Duration::from_secs(60),
            older: 1,
        };
        let log = JsonlLog::new(folder, "test.jsonl", limits, Arc::new(Noon), lost.clone());
        (log, lost)
    }

    fn line(number: usize) -> Vec<u8> {
        Line::new(Noon.now(), "test").field("n", number).end()
    }

    fn lines(path: &std::path::Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn lines_are_written_in_order_and_at_the_latest_when_it_stops() {
        let home = tempfile::tempdir().unwrap();
        let (log, lost) = log(home.path().join("logs"));
        // Several pieces in one batch.
        for number in 0..5000 {
            log.push(line(number));
        }
        log.stop().await;
        let written = lines(&home.path().join("logs/test.jsonl"));
        let numbers: Vec<_> = written
            .iter()
            .map(|line| line["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..5000).collect::<Vec<u64>>());
        assert_eq!((lost.get(), log.trouble()), (0, None));
        // What comes afterwards is not lost unseen.
        log.push(line(0));
        assert_eq!(lost.get(), 1);
    }

    #[tokio::test]
    async fn a_log_that_nothing_came_to_makes_no_file() {
        let home = tempfile::tempdir().unwrap();
        let (log, lost) = log(home.path().join("logs"));
        log.stop().await;
        assert!(!home.path().join("logs").exists());
        log.push(line(0));
        assert_eq!(lost.get(), 1);
    }

    #[tokio::test]
    async fn more_than_can_wait_is_counted_and_the_log_says_so() {
        let home = tempfile::tempdir().unwrap();
        let (log, lost) = log(home.path().join("logs"));
        // The writer runs on this thread, hence not before it is waited for.
        for number in 0..QUEUE + 7 {
            log.push(line(number));
        }
        assert_eq!(lost.get(), 7);
        log.stop().await;
        let written = lines(&home.path().join("logs/test.jsonl"));
        assert_eq!(written.len(), QUEUE + 1);
        assert_eq!(written[0]["event"], "lines_lost");
        assert_eq!(written[0]["count"], 7);
        assert_eq!(lost.get(), 7);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_counted_and_told_when_it_can_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("logs/test.jsonl");
        std::fs::create_dir_all(&path).unwrap();
        let (log, lost) = log(home.path().join("logs"));
        for number in 0..3 {
            log.push(line(number));
        }
        for _ in 0..2000 {
            if lost.get() == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(lost.get(), 3);
        assert!(log.trouble().is_some());
        std::fs::remove_dir(&path).unwrap();
        log.push(line(3));
        log.stop().await;
        let written = lines(&path);
        assert_eq!(written.len(), 2, "{written:?}");
        assert_eq!(written[0]["event"], "lines_lost");
        assert_eq!(written[0]["count"], 3);
        assert_eq!(written[1]["n"], 3);
        assert_eq!((lost.get(), log.trouble()), (3, None));
    }
}
