//! The one descriptor that the stub inherits: its ticket.
//!
//! This is the only `unsafe` code of the crate. A descriptor that came through
//! exec is a bare number; to own it, that is to close it so that the command
//! does not inherit it as well, Rust needs to be told that nobody else does.

use crate::DaemonError;
use procura_types::SecretBytes;
use rustix::fs::fcntl_get_seals;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// A ticket is 32 bytes.
pub(crate) const TICKET_LEN: usize = 32;

/// Reads the ticket from the descriptor `number` and closes it.
///
/// Must be called once, before the process opens anything: then whatever has
/// this number came from the exec that started it.
///
/// # Errors
/// [`DaemonError::Usage`] when the descriptor is none, is a standard stream,
/// or does not hold a ticket: the stub was not started by `procura run`.
pub(crate) fn take_ticket(number: RawFd) -> Result<SecretBytes, DaemonError> {
    let wrong = || {
        DaemonError::Usage(
            "no ticket was handed over; `procurad exec` is started by `procura run`".to_owned(),
        )
    };
    if number <= 2 || !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return Err(wrong());
    }
    #[expect(
        unsafe_code,
        reason = "the descriptor is open (checked above), is no standard stream, came through exec, and is taken once, before anything else in this process is opened, so that nothing else owns it"
    )]
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    // Only a memory file has seals; anything else was not made by `procura run`.
    fcntl_get_seals(&owned).map_err(|_| wrong())?;
    let mut ticket = SecretBytes::new(Vec::with_capacity(TICKET_LEN + 1));
    File::from(owned)
        .take(u64::try_from(TICKET_LEN).unwrap_or(u64::MAX) + 1)
        .read_to_end(ticket.expose_mut())
        .map_err(|_| wrong())?;
    if ticket.expose().len() == TICKET_LEN {
        Ok(ticket)
    } else {
        Err(wrong())
    }
}
