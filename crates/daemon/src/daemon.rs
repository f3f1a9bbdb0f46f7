//! The daemon as a program: started, serving, stopped.

use crate::{
    Connect, DaemonError, DeviceStore, Limits, Listener, Places, Service, ServiceOptions,
    SocketOptions, landlock_available, limits,
};
use procura_types::{Clock, Entropy};
use rustix::fs::Mode;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// How the daemon is started.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    /// Where its files and its socket are.
    pub places: Places,
    /// A group whose members may connect (a number, see [`crate::group_id`]).
    pub group: Option<u32>,
    /// Members of the group who may connect, beside the daemon's own user and
    /// root; all of them when none is named.
    pub users: Vec<u32>,
    /// Goes on where the kernel cannot keep commands of the daemon's own user from
    /// its keys.
    pub danger_no_landlock: bool,
    /// The TPM that signs, for each attestation, what this host started with: its device
    /// or a socket.
    pub tpm: Option<PathBuf>,
}

/// Runs the daemon until SIGTERM or SIGINT. The process must be protected
/// ([`crate::protect_daemon`]) before this.
///
/// `out` gets one JSON line when it listens, `err` warnings for people.
///
/// # Errors
/// Why it cannot start. Once it listens it ends well.
pub fn run(
    options: &DaemonOptions,
    connect: Arc<dyn Connect>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), DaemonError> {
    if options.group.is_none() && !options.users.is_empty() {
        return Err(DaemonError::Usage(
            "--user lets nobody in by itself: without a group the socket is the daemon's user's alone. Add --group NAME, a group with those users in it; then --user says which of its members may connect".to_owned(),
        ));
    }
    // Whatever is made from here on is nobody else's.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let limits = Limits::fitting(limits::raise_open_files())?;
    if limits != Limits::default() {
        tracing::warn!(
            connections = limits.connections,
            watched = limits.watched,
            "the limit of open files (`ulimit -n`, LimitNOFILE=) leaves room for fewer than usual"
        );
    }
    let own_uid = rustix::process::geteuid().as_raw();
    let confines = match landlock_available() {
        Ok(()) => true,
        // With users of their own, the file system keeps commands out.
        Err(_) if options.group.is_some() || options.danger_no_landlock => false,
        Err(error) => return Err(error),
    };
    let path = options.places.listen_socket()?;
    let store = DeviceStore::open(&options.places.daemon_dir()?)?;
    let service = Service::with_tpm(
        store,
        connect,
        clock,
        entropy,
        ServiceOptions {
            own_uid,
            users: options.users.clone(),
            socket_group: options.group.is_some(),
            hidden: options.places.hidden(&path)?,
            danger_no_landlock: options.danger_no_landlock,
            limits,
        },
        options.tpm.clone(),
    )?;
    let socket = SocketOptions {
        path,
        group: options.group,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| DaemonError::io("start the runtime", source))?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = Listener::bind(&socket)?;
        let stop = |source| DaemonError::io("listen for signals", source);
        let mut terminate = signal(SignalKind::terminate()).map_err(stop)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(stop)?;
        if options.group.is_none() {
            say(
                err,
                "warning: danger_same_uid: the daemon runs as the user whose agents it serves, so that what they start beside procura run can read its device keys; give it a user of its own: sudo procura setup agent-host",
            );
            if !confines {
                say(
                    err,
                    "warning: danger_no_landlock: this kernel cannot confine commands, so that they can read the device keys as well",
                );
            }
        }
        let ready = serde_json::json!({
            "event": "ready",
            "socket": listener.path(),
            "devices": service.device_count(),
        });
        say(out, &ready.to_string());
        tokio::select! {
            () = Arc::new(service).serve(&listener) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Nobody may be reading; that is no reason to stop.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}");
    let _ = to.flush();
}
