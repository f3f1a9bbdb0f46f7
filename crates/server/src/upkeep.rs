//! Work that nobody waits for, done while the vault is open: what a change of
//! passphrase left is put right, keys are wrapped anew after one, and requests and
//! runs whose time is over are taken away. All of it goes through the queue for
//! bulk work and can break off anywhere.

use procura_authority::Pruning;
use procura_record::Directory;
use procura_types::{Clock, Duration, Entropy, Timestamp};
use procura_vault::Vault;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often it is looked whether there is something to do.
const EVERY: Duration = Duration::from_secs(60);
/// How often requests and runs are gone over.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Batches of a pass between one look and the next.
const BATCHES: usize = 100;

/// What the upkeep works on.
pub(crate) struct UpkeepParts {
    pub(crate) vault: Arc<Vault>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Held by ceremonies.
    pub(crate) ceremony: Arc<tokio::sync::Mutex<()>>,
}

/// The task; it ends when this is dropped.
pub struct Upkeep {
    wake: Mutex<Option<watch::Sender<()>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Begins at once. Must be called inside a Tokio runtime.
    pub(crate) fn start(parts: UpkeepParts) -> Self {
        let (wake, woken) = watch::channel(());
        let work = Work {
            parts,
            pass: None,
            next_pass: Timestamp::from_millis(0),
        };
        Self {
            wake: Mutex::new(Some(wake)),
            task: Mutex::new(Some(tokio::spawn(work.run(woken)))),
        }
    }

    /// There is something to do now.
    pub(crate) fn wake(&self) {
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = wake.as_ref() {
            wake.send_replace(());
        }
    }

    /// Stops, in the middle of whatever it does; on return it holds the vault no
    /// longer.
    pub(crate) async fn stop(&self) {
        drop(
            self.wake
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // If it panicked it has stopped as well.
            let _ = task.await;
        }
    }
}

struct Work {
    parts: UpkeepParts,
    pass: Option<Pruning>,
    next_pass: Timestamp,
}

impl Work {
    async fn run(mut self, mut woken: watch::Receiver<()>) {
        loop {
            // Every batch is whole or not at all, so it may stop between any two.
            tokio::select! {
                biased;
                () = stopped(woken.clone()) => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                changed = woken.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    async fn look(&mut self) {
        let UpkeepParts {
            vault,
            clock,
            ceremony,
            ..
        } = &self.parts;
        // During a change of passphrase two roots are as it should be.
        if let Ok(_no_other) = ceremony.try_lock()
            && let Err(error) = vault.settle_root(clock.as_ref()).await
        {
            tracing::warn!(%error, "what a change of passphrase left could not be put right");
        }
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
        self.prune().await;
    }

    async fn prune(&mut self) {
        let now = self.parts.clock.now();
        if self.pass.is_none() && now >= self.next_pass {
            let snapshot = self.parts.directory.snapshot();
            let namespaces = snapshot.namespaces().map(|found| found.name.clone());
            self.pass = Some(Pruning::new(namespaces));
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
                    self.next_pass = now.plus(PRUNE_EVERY);
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

/// Resolves when the sender is gone.
async fn stopped(mut woken: watch::Receiver<()>) {
    while woken.changed().await.is_ok() {}
}
