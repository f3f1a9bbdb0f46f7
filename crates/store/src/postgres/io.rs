//! The thread that does the input and output of all connections to the database.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime of its own: callers of an engine may have none, and those that have one
/// may wait for the engine on each of its threads. Dropping it ends the connections.
pub(super) struct IoThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl IoThread {
    pub(super) fn start() -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-postgres".into())
            .spawn(
                move || match Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => {
                        // Nobody listening means that the start was given up.
                        let _ = started.send(Ok(runtime.handle().clone()));
                        // Either way the answer means the end.
                        let _ = runtime.block_on(stopped);
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                },
            )?;
        let handle = start.recv().map_err(std::io::Error::other)??;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the runtime when it happened.
            let _ = thread.join();
        }
    }
}
