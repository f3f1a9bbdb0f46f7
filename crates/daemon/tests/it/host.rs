//! A host: a home, and a daemon that serves its socket from a thread.

use crate::fake::Fake;
use procura_crypto::SystemEntropy;
use procura_daemon::socket::client::{DaemonClient, JoinOptions};
use procura_daemon::{
    DaemonError, DeviceStore, DeviceSummary, Limits, Listener, Service, ServiceOptions,
    SocketOptions,
};
use procura_types::{Clock, Timestamp};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) struct FixedClock;
impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub(crate) struct Host {
    pub(crate) home: tempfile::TempDir,
    pub(crate) fake: Fake,
    daemon: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A daemon of this user, for this user, within the usual limits.
pub(crate) fn usual() -> ServiceOptions {
    ServiceOptions {
        own_uid: own_uid(),
        users: Vec::new(),
        socket_group: false,
        hidden: Vec::new(),
        danger_no_landlock: false,
        limits: Limits::default(),
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let mut host = Self {
            home: tempfile::tempdir().unwrap(),
            fake: Fake::new(),
            daemon: None,
        };
        host.start(usual());
        host
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("daemon")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("agent.sock")
    }

    fn start(&mut self, options: ServiceOptions) {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let (dir, path, fake) = (self.dir(), self.socket(), self.fake.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let store = DeviceStore::open(&dir).unwrap();
                let service = Service::new(
                    store,
                    Arc::new(fake),
                    Arc::new(FixedClock),
                    Arc::new(SystemEntropy),
                    options,
                )
                .unwrap();
                let listener = Listener::bind(&SocketOptions { path, group: None }).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    () = Arc::new(service).serve(&listener) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("the daemon starts");
        self.daemon = Some((stop, thread));
    }

    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.daemon.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    pub(crate) fn restart(&mut self) {
        self.restart_with(usual());
    }

    pub(crate) fn restart_with(&mut self, options: ServiceOptions) {
        self.stop();
        self.start(options);
    }

    pub(crate) fn connect(&self) -> DaemonClient {
        DaemonClient::connect(&self.socket()).unwrap()
    }

    pub(crate) fn join(&self, actor: u8) -> Result<DeviceSummary, DaemonError> {
        self.connect()
            .join(&Fake::code(actor), JoinOptions::default())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks until it is so, for at most a minute.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within a minute: {what}");
}
