//! The environment of the command, and how it gets its values.

use crate::values::{is_loader_variable, memory_file};
use crate::{EnvValues, ValuesError};
use procura_types::{Delivery, SecretBytes};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Scripts redirect the descriptors below this one by number.
const FIRST_FILE: i32 = 10;

/// The command with `inherited` but for loader variables.
pub(super) fn command(
    program: &OsStr,
    arguments: &[OsString],
    inherited: impl Iterator<Item = (OsString, OsString)>,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(inherited.filter(|(name, _)| !is_loader_variable(name.as_bytes())));
    command
}

/// Gives the command its values, over what it inherited: in variables; in sealed
/// memory files, by the paths that its variables then hold; or one as its standard
/// input. The files stay open over exec, and have to be open until then.
pub(super) fn hand_over(
    command: &mut Command,
    values: &EnvValues,
    delivery: Delivery,
) -> Result<Vec<OwnedFd>, ValuesError> {
    let mut files = Vec::new();
    match (delivery, values.as_slice()) {
        (Delivery::Env, values) => {
            for (name, value) in values {
                command.env(name.as_str(), OsStr::from_bytes(value.expose()));
            }
        }
        (Delivery::File, values) => {
            for (name, value) in values {
                let file = inheritable(value)?;
                command.env(name.as_str(), format!("/proc/self/fd/{}", file.as_raw_fd()));
                files.push(file);
            }
        }
        (Delivery::Stdin, [(_, value)]) => {
            command.stdin(Stdio::from(memory_file(value.expose())?));
        }
        (Delivery::Stdin, _) => return Err(ValuesError::NotOne),
        (Delivery::Http, _) => return Err(ValuesError::NoWay(delivery)),
    }
    Ok(files)
}

/// Each of the command's own children can open it as well, by the same path, as they
/// could read a variable.
fn inheritable(value: &SecretBytes) -> Result<OwnedFd, ValuesError> {
    let file = fcntl_dupfd_cloexec(memory_file(value.expose())?, FIRST_FILE)?;
    fcntl_setfd(&file, FdFlags::empty())?;
    Ok(file)
}

/// Replaces this process by the command, looked up as a shell would in the
/// `PATH` that the command gets (exec(3)). Returns why it did not.
pub(super) fn become_command(command: &mut Command) -> io::Error {
    command.exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loader_variables_are_dropped_and_values_win() {
        let inherited = [
            ("PATH", "/bin"),
            ("LD_PRELOAD", "/tmp/x.so"),
            ("LD_LIBRARY_PATH", "/tmp"),
            ("LD_AUDIT", "/tmp/x.so"),
            ("GLIBC_TUNABLES", "x"),
            ("GCONV_PATH", "/tmp"),
            ("LOCPATH", "/tmp"),
            ("MALLOC_TRACE", "/tmp/t"),
            ("RES_OPTIONS", "x"),
            ("HOSTALIASES", "/tmp/h"),
            ("OLD_LD_X", "kept"),
            ("A", "old"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let values = vec![("A".parse().unwrap(), SecretBytes::new(vec![0xff]))];
        let mut command = command(
            OsStr::new("x"),
            &[OsString::from("y")],
            inherited.into_iter(),
        );
        hand_over(&mut command, &values, Delivery::Env).unwrap();
        let mut environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.unwrap().to_owned()))
            .collect();
        environment.sort();
        let expected = [
            (OsString::from("A"), OsStr::from_bytes(&[0xff]).to_owned()),
            (OsString::from("OLD_LD_X"), OsString::from("kept")),
            (OsString::from("PATH"), OsString::from("/bin")),
        ];
        assert_eq!(environment, expected);
    }
}
