//! The environment of the command.

use crate::EnvValues;
use crate::values::is_loader_variable;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The command with `inherited` but for loader variables, and `values` over it.
pub(super) fn command(
    program: &OsStr,
    arguments: &[OsString],
    inherited: impl Iterator<Item = (OsString, OsString)>,
    values: &EnvValues,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(inherited.filter(|(name, _)| !is_loader_variable(name.as_bytes())));
    for (name, value) in values {
        command.env(name.as_str(), OsStr::from_bytes(value.expose()));
    }
    command
}

/// Replaces this process by the command, looked up as a shell would in the
/// `PATH` that the command gets (exec(3)). Returns why it did not.
pub(super) fn become_command(command: &mut Command) -> io::Error {
    command.exec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::SecretBytes;

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
        let command = command(
            OsStr::new("x"),
            &[OsString::from("y")],
            inherited.into_iter(),
            &values,
        );
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
