//! Whether it is the daemon that answers, and not whoever put a socket in its place.
//!
//! The kernel says who listens (unix(7) `SO_PEERCRED`). A daemon with a user of its own
//! is root's or the owner of its socket, in a directory that is not everybody's. One of
//! this user says by what commands are confined; whoever does not would have them run
//! unconfined.

use crate::DaemonError;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Whether the one who answers on `socket`, found at `path`, is this user.
///
/// # Errors
/// [`DaemonError::Refused`] when it is another who is not the daemon there.
pub(super) fn is_own_user(socket: &OwnedFd, path: &Path) -> Result<bool, DaemonError> {
    let asked = listening_user(socket);
    let peer = asked.map_err(|source| DaemonError::io("see who answers as the daemon", source))?;
    let own = rustix::process::geteuid().as_raw();
    if peer == own {
        return Ok(true);
    }
    let look = |source| DaemonError::io(format!("look at {}", path.display()), source);
    let file = path.metadata().map_err(look)?;
    // The parent of a name alone is the directory that we are in.
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let directory = directory.metadata().map_err(look)?;
    let place = (directory.uid(), directory.mode());
    if may_answer(peer, own, file.uid(), place) {
        return Ok(false);
    }
    Err(DaemonError::refused(
        "false_daemon",
        format!(
            "at {} user {peer} answers, who is neither root nor the owner of that socket in a directory of its own: it may be a false daemon. See whose process it is (ss -xlp), and say where the daemon is: --socket PATH",
            path.display()
        ),
    ))
}

/// What is said of a daemon of this user that does not say how commands are confined.
pub(super) fn unconfining(path: &Path) -> DaemonError {
    DaemonError::refused(
        "false_daemon",
        format!(
            "the daemon at {} runs as this user and does not say what commands are to be kept from: it is an older procurad, or none. End it (ss -xlp shows the process), and start the procurad of this release",
            path.display()
        ),
    )
}

/// Whether another user than `own` may answer, by the owner of the socket and the owner
/// and mode of its directory.
const fn may_answer(peer: u32, own: u32, file: u32, (directory, mode): (u32, u32)) -> bool {
    let kept = directory == 0 || directory == own || directory == peer;
    peer == 0 || (peer == file && kept && mode & 0o002 == 0)
}

/// By Tokio's call, which wants a runtime around it: rustix takes the pid 0 of a daemon
/// outside of this container for a failure.
fn listening_user(socket: &OwnedFd) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let ask = || -> io::Result<u32> {
        let _inside = runtime.enter();
        let twin = UnixStream::from(socket.try_clone()?);
        twin.set_nonblocking(true)?;
        let twin = tokio::net::UnixStream::from_std(twin)?;
        let uid = twin.peer_cred()?.uid();
        // Both are one connection.
        twin.into_std()?.set_nonblocking(false)?;
        Ok(uid)
    };
    let asked = ask();
    // It may be within another one, where waiting for its end is not allowed.
    runtime.shutdown_background();
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_is_root_or_the_owner_of_the_place() {
        const OWN: u32 = 1000;
        const DAEMON: u32 = 64;
        for (what, peer, file, directory, mode, is_it) in [
            ("as installed", DAEMON, DAEMON, DAEMON, 0o755, true),
            ("in root's directory", DAEMON, DAEMON, 0, 0o755, true),
            ("with a group's", DAEMON, DAEMON, DAEMON, 0o770, true),
            ("of systemd's", 0, 0, 0, 0o755, true),
            ("root anywhere", 0, OWN, OWN, 0o777, true),
            ("the socket is another's", DAEMON, OWN, 0, 0o755, false),
            ("where everybody writes", DAEMON, DAEMON, 0, 0o1777, false),
            ("in a stranger's", DAEMON, DAEMON, 7, 0o755, false),
        ] {
            let said = may_answer(peer, OWN, file, (directory, mode));
            assert_eq!(said, is_it, "{what}");
        }
    }

    #[test]
    fn who_listens_is_known_and_the_connection_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let socket = OwnedFd::from(UnixStream::connect(&path).unwrap());
        assert!(is_own_user(&socket, &path).unwrap());
        let flags = rustix::fs::fcntl_getfl(&socket).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        drop(listener);
    }
}
