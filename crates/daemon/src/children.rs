//! Processes that hold values: when one ends, the server is told, so that
//! withdrawing a grant can list those that still run.

use crate::Server;
use procura_client::ClientError;
use procura_types::{Namespace, ProjectName, RunId};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// About a day of trying.
const TRIES: u32 = 1440;

/// The processes that are watched. They are forgotten when the daemon stops:
/// the server then shows them as running until an operator knows better.
pub(crate) struct Children {
    places: Arc<Semaphore>,
}

/// One hand-over, to be reported when its process ends.
pub(crate) struct Run {
    pub(crate) server: Arc<dyn Server>,
    pub(crate) namespace: Namespace,
    pub(crate) project: ProjectName,
    pub(crate) run: RunId,
}

impl Children {
    /// Watches at most so many processes at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limit)),
        }
    }

    /// Reports the end of `run` when the process behind `pidfd` has ended, or
    /// right away when there is none.
    pub(crate) fn watch(&self, pidfd: Option<OwnedFd>, run: Run) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(run = %run.run, "too many processes; the end of this one will not be reported");
            return;
        };
        tokio::task::spawn_local(async move {
            if let Some(pidfd) = pidfd {
                ended(pidfd).await;
            }
            report(&run).await;
            drop(place);
        });
    }
}

async fn ended(pidfd: OwnedFd) {
    // A pidfd is readable when its process has ended (pidfd_open(2)).
    #[expect(
        deprecated,
        reason = "deprecated for types whose descriptor may change or close under it; an OwnedFd names one open descriptor for as long as it lives"
    )]
    let pidfd = AsyncFd::new(pidfd);
    match pidfd {
        Ok(pidfd) => {
            if let Err(error) = pidfd.readable().await {
                tracing::warn!(%error, "cannot watch a process; it is reported as ended");
            }
        }
        Err(error) => tracing::warn!(%error, "cannot watch a process; it is reported as ended"),
    }
}

async fn report(run: &Run) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..TRIES {
        match run
            .server
            .end_run(&run.namespace, &run.project, run.run)
            .await
        {
            Ok(()) => return,
            Err(ClientError::Refused(problem, _))
                if problem.status < 500 && problem.status != 429 =>
            {
                tracing::warn!(run = %run.run, code = %problem.code, "the server does not take the end of a run");
                return;
            }
            Err(error) => tracing::debug!(run = %run.run, %error, "the end of a run waits"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::warn!(run = %run.run, "gave up reporting the end of a run");
}
