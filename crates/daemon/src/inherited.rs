//! Descriptors that came through exec: the stub's ticket, and those that go no
//! further.
//!
//! This is the only `unsafe` code of the crate. A descriptor that came through
//! exec is a bare number. To own it, that is to close it so that the command
//! does not inherit it as well, Rust needs to be told that nobody else does; to
//! borrow it, that it is open.

use crate::DaemonError;
use procura_types::SecretBytes;
use rustix::fs::fcntl_get_seals;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

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

/// Lets no program that this one starts inherit a descriptor but the standard
/// streams: each is closed on exec (fcntl(2), `FD_CLOEXEC`).
///
/// For a program that starts a longer-lived one, such as the key agent: what
/// its caller handed over, such as a file with a passphrase, goes no further.
///
/// # Errors
/// When `/proc/self/fd` cannot be read or a descriptor cannot be marked.
pub fn close_all_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number <= 2 {
            continue;
        }
        #[expect(
            unsafe_code,
            reason = "the number is not -1, the borrow ends with this turn of the loop, and the two calls only mark what has the number: they read, write and close nothing, and fail with EBADF when it was closed meanwhile"
        )]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let marked = fcntl_getfd(descriptor)
            .and_then(|flags| fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC));
        match marked {
            Ok(()) | Err(rustix::io::Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
