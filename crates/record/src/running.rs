//! Work that goes on behind the requests until its owner stops it or goes.

use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A task that runs for as long as its owner wants it: it is told to end by
/// [`Self::stop`], and by the drop of this.
pub struct Running(Mutex<Option<Task>>);

/// The task, and what tells it to end when it is dropped.
struct Task {
    going: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts the work, which looks at what it is given and ends when that says so.
    /// Must be called inside a Tokio runtime.
    #[must_use]
    pub fn start<F>(work: impl FnOnce(Stopping) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (going, stopping) = watch::channel(());
        Self(Mutex::new(Some(Task {
            going,
            task: tokio::spawn(work(Stopping(stopping))),
        })))
    }

    /// Tells the work to end and waits until it has: on return it holds nothing of
    /// what it worked on any longer. Whoever comes second does not wait.
    pub async fn stop(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Task { going, task }) = running {
            drop(going);
            // If it panicked it has ended as well.
            let _ = task.await;
        }
    }
}

/// How work learns that it is to end.
#[derive(Clone)]
pub struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// Waits until the work is to end.
    pub async fn told(&mut self) {
        // Nothing is ever sent: the only change is the end of the channel.
        while self.0.changed().await.is_ok() {}
    }

    /// Whether the work is to end.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.has_changed().is_err()
    }
}
