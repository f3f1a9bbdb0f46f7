//! What keeps a confined command from typing into its own terminal.
//!
//! Landlock decides about files, and the terminal is open already: `TIOCSTI` (before
//! Linux 6.2, or where `dev.tty.legacy_tiocsti` is 1) and `TIOCLINUX` would have the
//! shell behind it read what the command wrote, and the shell is not confined. So
//! seccomp(2) refuses both, for this process, what it becomes and what that starts.
//!
//! Another architecture has other numbers, so its calls end the process, as
//! `SystemCallArchitectures=native` does in a unit; those of x32 are not there, as on
//! most kernels.

use crate::DaemonError;
use seccompiler::{apply_filter, sock_filter};

/// The architecture as the kernel names it (linux/audit.h), and the number that ioctl(2)
/// has there, for each that is built for.
const NATIVE: Option<(u32, u32)> = if cfg!(target_arch = "x86_64") {
    Some((0xC000_003E, 16))
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some((0xC000_00B7, 29))
} else {
    None
};
/// Numbers from here on are those of x32.
const X32: u32 = 0x4000_0000;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;

// Where they are in `struct seccomp_data` (seccomp(2)). The kernel takes the lower half
// of a request alone, so the upper one is not looked at: it could make two of one.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const REQUEST: u32 = 24;

// What a filter says of a call (linux/seccomp.h).
const KILL: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7FFF_0000;
const NOT_PERMITTED: u32 = 0x0005_0000 + 1;
const NOT_THERE: u32 = 0x0005_0000 + 38;

/// Puts it on this thread, without a way back.
///
/// # Errors
/// [`DaemonError::Config`]; the command must then not be started.
pub(super) fn keep_from_typing() -> Result<(), DaemonError> {
    let Some((architecture, ioctl)) = NATIVE else {
        return Err(DaemonError::Config(
            "cannot keep the command from typing into its terminal: the calls of this processor are not known here. Give the daemon a user of its own: sudo procura setup agent-host".to_owned(),
        ));
    };
    apply_filter(&filter(architecture, ioctl)).map_err(|error| {
        DaemonError::Config(format!(
            "cannot keep the command from typing into its terminal: {error}; the kernel needs seccomp filters (CONFIG_SECCOMP_FILTER), and a sandbox must allow seccomp(2)"
        ))
    })
}

const fn load(offset: u32) -> sock_filter {
    instruction(0x20, offset, 0, 0)
}

const fn equal(value: u32, then: u8, otherwise: u8) -> sock_filter {
    instruction(0x15, value, then, otherwise)
}

const fn at_least(value: u32, then: u8, otherwise: u8) -> sock_filter {
    instruction(0x35, value, then, otherwise)
}

const fn answer(value: u32) -> sock_filter {
    instruction(0x06, value, 0, 0)
}

const fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Jumps say how many instructions are left out.
const fn filter(architecture: u32, ioctl: u32) -> [sock_filter; 12] {
    [
        load(ARCHITECTURE),
        equal(architecture, 1, 0),
        answer(KILL),
        load(NUMBER),
        at_least(X32, 6, 0),
        equal(ioctl, 0, 3),
        load(REQUEST),
        equal(TIOCSTI, 2, 0),
        equal(TIOCLINUX, 1, 0),
        answer(ALLOW),
        answer(NOT_PERMITTED),
        answer(NOT_THERE),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    use rustix::termios::tcgetwinsize;

    const X86_64: u32 = 0xC000_003E;
    const AARCH64: u32 = 0xC000_00B7;

    /// What the filter says, by the rules of the kernel's machine (bpf(4)).
    fn said((architecture, ioctl): (u32, u32), of: u32, number: u32, request: u64) -> u32 {
        let low = u32::try_from(request & 0xFFFF_FFFF).unwrap();
        let program = filter(architecture, ioctl);
        let (mut at, mut held) = (0_usize, 0_u32);
        loop {
            let step = &program[at];
            let is_so = match step.code {
                0x06 => return step.k,
                0x20 => {
                    held = match step.k {
                        0 => number,
                        4 => of,
                        24 => low,
                        other => panic!("nothing is at {other}"),
                    };
                    at += 1;
                    continue;
                }
                0x15 => held == step.k,
                0x35 => held >= step.k,
                other => panic!("no instruction is {other:#x}"),
            };
            at += 1 + usize::from(if is_so { step.jt } else { step.jf });
        }
    }

    #[test]
    fn typing_is_refused_and_nothing_else_of_the_machine() {
        for (machine, other) in [((X86_64, 16), AARCH64), ((AARCH64, 29), X86_64)] {
            let (own, ioctl) = machine;
            let sti = u64::from(TIOCSTI);
            for (what, of, number, request, expected) in [
                ("type", own, ioctl, sti, NOT_PERMITTED),
                ("select", own, ioctl, 0x541C, NOT_PERMITTED),
                // The kernel cuts this to the same request.
                ("upper half", own, ioctl, sti | 0x7_0000_0000, NOT_PERMITTED),
                ("ask for the size", own, ioctl, 0x5413, ALLOW),
                ("another call", own, ioctl + 1, sti, ALLOW),
                ("the first", own, 0, sti, ALLOW),
                ("x32", own, X32 + ioctl, sti, NOT_THERE),
                ("x32's own number", own, X32 + 514, sti, NOT_THERE),
                ("x32, another", own, X32, 0, NOT_THERE),
                ("another machine", other, ioctl, 0x5413, KILL),
                ("32 bits", 0x4000_0003, 54, sti, KILL),
            ] {
                assert_eq!(said(machine, of, number, request), expected, "{what}");
            }
        }
    }

    #[test]
    fn the_kernel_takes_it() {
        // On a thread, so that the tests beside it stay as they are.
        let asked = std::thread::spawn(|| {
            keep_from_typing().unwrap();
            let file = open("/dev/null", OFlags::RDONLY, Mode::empty()).unwrap();
            tcgetwinsize(file).unwrap_err()
        });
        assert_eq!(asked.join().unwrap(), Errno::NOTTY);
    }
}
