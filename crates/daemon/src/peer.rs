//! Who is on the other end of a connection: one process, and surely that one.
//!
//! A pid alone says little, for pids are used again. A [`Peer`] holds a pidfd,
//! which stands for one process for ever. It is opened right after the
//! connection, and the process then has to echo a challenge that was sent after
//! the pidfd was opened; the kernel stamps that message with its sender's pid
//! (`SCM_CREDENTIALS`). If the pidfd's process still lives when the message is
//! there, both are the same process: nobody else could have had its pid
//! meanwhile.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::UnixStream;

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The kernel would not say who it is, or has no pidfds (before Linux 5.3).
    #[error("the kernel does not tell who is connecting: {0}")]
    Unknown(#[source] io::Error),
    /// The process is in a pid namespace that ours cannot see into.
    #[error("the connecting process is not visible from the daemon's pid namespace")]
    OtherNamespace,
    /// The process that connected is not the one that speaks, or has ended.
    #[error("the process that connected is not the one that answers")]
    NotTheSame,
}

/// The process that made a connection.
#[derive(Debug)]
pub struct Peer {
    uid: u32,
    pid: Pid,
    pidfd: OwnedFd,
    started: Option<u64>,
}

impl Peer {
    /// Asks the kernel who connected (unix(7) `SO_PEERCRED`) and takes hold of
    /// that process.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn of(stream: &UnixStream) -> Result<Self, PeerError> {
        let credentials = stream.peer_cred().map_err(PeerError::Unknown)?;
        let pid = credentials
            .pid()
            .and_then(Pid::from_raw)
            .ok_or(PeerError::OtherNamespace)?;
        Self::hold(credentials.uid(), pid)
    }

    /// Takes hold of the process that has this pid now.
    ///
    /// # Errors
    /// [`PeerError::Unknown`] when there is none.
    pub fn hold(uid: u32, pid: Pid) -> Result<Self, PeerError> {
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| PeerError::Unknown(error.into()))?;
        Ok(Self {
            uid,
            pid,
            pidfd,
            started: start_time(pid),
        })
    }

    /// The user of the process when it connected.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// Its pid, as the daemon sees it.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether the process has not ended. A zombie has.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut fds, Some(&now)), Ok(0))
    }

    /// Checks the sender that the kernel stamped on a message that answers a
    /// challenge which was sent after this peer was taken hold of.
    ///
    /// # Errors
    /// [`PeerError::NotTheSame`].
    pub fn confirm(&self, sender_uid: u32, sender_pid: i32) -> Result<(), PeerError> {
        if sender_uid == self.uid && sender_pid == self.pid.as_raw_pid() && self.is_alive() {
            Ok(())
        } else {
            Err(PeerError::NotTheSame)
        }
    }

    /// Whether `later`, which has been confirmed, is this same process, though
    /// it may have become another program by exec.
    ///
    /// While this process lives nobody else has its pid; so of two peers with
    /// one pid, the earlier one still alive, both are the same. The start time
    /// says it once more, where `/proc` can be read.
    #[must_use]
    pub fn is_same_process(&self, later: &Self) -> bool {
        let started_together = match (self.started, later.started) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        self.uid == later.uid && self.pid == later.pid && started_together && self.is_alive()
    }

    /// The pidfd, readable when the process has ended.
    #[must_use]
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)): clock ticks from boot to the start
/// of the process.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name, field 2, is in parentheses and may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_ended_is_no_peer_any_more() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let peer = Peer::hold(0, pid).unwrap();
        assert!(peer.is_alive());
        assert!(peer.started.is_some());
        assert!(peer.is_same_process(&Peer::hold(0, pid).unwrap()));
        assert!(peer.confirm(0, pid.as_raw_pid()).is_ok());
        assert!(matches!(
            peer.confirm(1, pid.as_raw_pid()),
            Err(PeerError::NotTheSame)
        ));
        assert!(matches!(
            peer.confirm(0, pid.as_raw_pid() + 1),
            Err(PeerError::NotTheSame)
        ));
        let before = Peer::hold(0, pid).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!peer.is_alive());
        assert!(matches!(
            peer.confirm(0, pid.as_raw_pid()),
            Err(PeerError::NotTheSame)
        ));
        // Whoever gets the pid next is not this process.
        assert!(!peer.is_same_process(&before));
        assert!(matches!(Peer::hold(0, pid), Err(PeerError::Unknown(_))));
    }
}
