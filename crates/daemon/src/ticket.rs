//! One-use tickets: what `procura run` carries over its own exec.

use crate::Peer;
use procura_crypto::sha256;
use procura_types::{Entropy, EntropyError, SecretBytes};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a ticket is good for.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How many may be open at once; one process after another gets in.
const OPEN_LIMIT: usize = 1024;
const TICKET_LEN: usize = crate::inherited::TICKET_LEN;

/// Why a ticket is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// There is none like it: never given, or shown before.
    #[error("the ticket is unknown or was used before")]
    Unknown,
    /// It was given more than 30 seconds ago.
    #[error("the ticket has expired")]
    Expired,
    /// It was given to another process.
    #[error("the ticket was given to another process")]
    OtherProcess,
    /// Too many are open.
    #[error("too many processes are waiting for their values; try again in 30 seconds")]
    TooMany,
    /// No random bytes.
    #[error("no random bytes to be had from the operating system")]
    Entropy,
}

impl From<EntropyError> for TicketError {
    fn from(_: EntropyError) -> Self {
        Self::Entropy
    }
}

struct Open {
    holder: Peer,
    expires: Instant,
}

/// The tickets that are open.
#[derive(Default)]
pub struct Tickets {
    // Kept by hash: how long a look-up takes says nothing about a ticket.
    open: HashMap<[u8; 32], Open>,
}

impl Tickets {
    /// Gives `holder` a ticket of 32 random bytes.
    ///
    /// # Errors
    /// [`TicketError::TooMany`] or [`TicketError::Entropy`].
    pub fn issue(
        &mut self,
        holder: Peer,
        now: Instant,
        entropy: &dyn Entropy,
    ) -> Result<SecretBytes, TicketError> {
        self.open
            .retain(|_, open| open.expires > now && open.holder.is_alive());
        if self.open.len() >= OPEN_LIMIT {
            return Err(TicketError::TooMany);
        }
        let mut ticket = SecretBytes::new(vec![0; TICKET_LEN]);
        entropy.fill_secret(ticket.expose_mut())?;
        let open = Open {
            holder,
            expires: now + TICKET_LIFE,
        };
        self.open.insert(sha256(ticket.expose()), open);
        Ok(ticket)
    }

    /// Takes a ticket back. Whatever the answer, it is used up.
    ///
    /// # Errors
    /// [`TicketError::Unknown`], [`TicketError::Expired`] or
    /// [`TicketError::OtherProcess`].
    pub fn redeem(
        &mut self,
        ticket: &[u8],
        bearer: &Peer,
        now: Instant,
    ) -> Result<(), TicketError> {
        let open = self
            .open
            .remove(&sha256(ticket))
            .ok_or(TicketError::Unknown)?;
        if open.expires <= now {
            return Err(TicketError::Expired);
        }
        if open.holder.is_same_process(bearer) {
            Ok(())
        } else {
            Err(TicketError::OtherProcess)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;
    use rustix::process::{Pid, getpid};
    use std::process::{Child, Command, Stdio};

    fn me() -> Peer {
        Peer::hold(7, getpid()).unwrap()
    }

    fn child() -> (Child, Pid) {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_ticket_is_good_once() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        let ticket = tickets.issue(me(), now, &SystemEntropy).unwrap();
        assert_eq!(tickets.redeem(ticket.expose(), &me(), now), Ok(()));
        assert_eq!(
            tickets.redeem(ticket.expose(), &me(), now),
            Err(TicketError::Unknown)
        );
        assert_eq!(
            tickets.redeem(&[0; 32], &me(), now),
            Err(TicketError::Unknown)
        );
    }

    #[test]
    fn a_ticket_expires() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        let ticket = tickets.issue(me(), now, &SystemEntropy).unwrap();
        let late = now + TICKET_LIFE;
        assert_eq!(
            tickets.redeem(ticket.expose(), &me(), late),
            Err(TicketError::Expired)
        );
    }

    #[test]
    fn a_ticket_is_for_one_process_and_one_user() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        let (child, pid) = child();
        let ticket = tickets.issue(me(), now, &SystemEntropy).unwrap();
        let other = Peer::hold(7, pid).unwrap();
        assert_eq!(
            tickets.redeem(ticket.expose(), &other, now),
            Err(TicketError::OtherProcess)
        );
        // Showing it elsewhere used it up.
        assert_eq!(
            tickets.redeem(ticket.expose(), &me(), now),
            Err(TicketError::Unknown)
        );
        let ticket = tickets.issue(me(), now, &SystemEntropy).unwrap();
        let other = Peer::hold(8, getpid()).unwrap();
        assert_eq!(
            tickets.redeem(ticket.expose(), &other, now),
            Err(TicketError::OtherProcess)
        );
        end(child);
    }

    #[test]
    fn a_process_that_got_the_pid_later_is_another() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        let (child, pid) = child();
        let ticket = tickets
            .issue(Peer::hold(7, pid).unwrap(), now, &SystemEntropy)
            .unwrap();
        // What stands for the pid's next owner: equal in all but the process.
        let next = Peer::hold(7, pid).unwrap();
        end(child);
        assert_eq!(
            tickets.redeem(ticket.expose(), &next, now),
            Err(TicketError::OtherProcess)
        );
    }

    #[test]
    fn tickets_do_not_pile_up() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        for _ in 0..OPEN_LIMIT {
            tickets.issue(me(), now, &SystemEntropy).unwrap();
        }
        assert_eq!(
            tickets.issue(me(), now, &SystemEntropy).err(),
            Some(TicketError::TooMany)
        );
        tickets
            .issue(me(), now + TICKET_LIFE, &SystemEntropy)
            .unwrap();
        assert_eq!(tickets.open.len(), 1);
    }
}
