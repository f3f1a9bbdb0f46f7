//! What a process does first, so that its memory stays its own.

use crate::DaemonError;
use procura_crypto::lock_policy;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, PidfdFlags, Resource, Rlimit, dumpable_behavior, getpid, getrlimit,
    pidfd_open, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{CapabilitySet, capabilities};

/// Makes this process unreadable to others of its own user: not dumpable
/// (prctl(2) `PR_SET_DUMPABLE`: no ptrace, no `/proc/PID/mem`, no core file),
/// core files of size 0, key pages locked. Also makes sure that the kernel can
/// tell processes apart for good (pidfd_open(2)).
///
/// `danger_unlocked_memory` goes on without locked memory.
///
/// # Errors
/// [`DaemonError::Config`] with what to do; the process must then stop.
pub fn protect_daemon(danger_unlocked_memory: bool) -> Result<(), DaemonError> {
    not_dumpable()?;
    no_core_files()?;
    lock_policy(danger_unlocked_memory).map_err(|error| {
        DaemonError::Config(format!(
            "{error}; raise the limit on locked memory (`ulimit -l`, LimitMEMLOCK=), or accept that keys may reach swap with --danger-unlocked-memory"
        ))
    })?;
    lock_everything();
    // Without pidfds a ticket could not be held to one process.
    pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| {
        DaemonError::Config(format!(
            "the kernel gives no pidfds ({error}); this needs Linux 5.3 and a sandbox that allows pidfd_open"
        ))
    })?;
    Ok(())
}

/// Key pages are locked by now; the rest follows if the kernel lets us. Only
/// without a limit: under one, each later allocation could fail.
fn lock_everything() {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let exempt =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if unlimited || exempt {
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        if let Err(error) = mlockall(flags) {
            tracing::info!(%error, "only key pages are locked");
        }
    }
}

/// The stub's part of [`protect_daemon`]: it holds values for a moment and no
/// keys. What it becomes holds them as well, so the command writes no core file
/// either; not dumpable it is only until it begins (execve(2)).
pub(crate) fn protect_stub() -> Result<(), DaemonError> {
    not_dumpable()?;
    no_core_files()
}

/// Whatever this process becomes gains nothing by exec: no program of another
/// user's rights (`PR_SET_NO_NEW_PRIVS`), which could look where it may not.
pub(crate) fn no_new_privileges() -> Result<(), DaemonError> {
    rustix::thread::set_no_new_privs(true).map_err(|error| {
        DaemonError::Config(format!(
            "cannot keep the command from programs of other users' rights ({error}); a sandbox that forbids prctl must allow PR_SET_NO_NEW_PRIVS"
        ))
    })
}

fn no_core_files() -> Result<(), DaemonError> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|error| {
        DaemonError::Config(format!(
            "cannot set the size of core files to 0 ({error}); start it with `ulimit -c 0`"
        ))
    })
}

fn not_dumpable() -> Result<(), DaemonError> {
    let set =
        set_dumpable_behavior(DumpableBehavior::NotDumpable).and_then(|()| dumpable_behavior());
    match set {
        Ok(DumpableBehavior::NotDumpable) => Ok(()),
        Ok(_) => Err(DaemonError::Config(
            "the kernel ignored PR_SET_DUMPABLE; this needs Linux with prctl".to_owned(),
        )),
        Err(error) => Err(DaemonError::Config(format!(
            "cannot make this process unreadable to others ({error}); a sandbox that forbids prctl must allow PR_SET_DUMPABLE"
        ))),
    }
}
