//! The host of agents: who reaches the daemon, and what the kernel does for the processes
//! that have values.

use super::{Checks, SETUP};
use crate::setup::GROUP;
use procura_daemon::Accounts;
use rustix::process::geteuid;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// The group that opens the socket, and whether this user is in it.
pub(super) fn group(checks: &mut Checks, root: &Path) {
    let Ok(accounts) = Accounts::of(root) else {
        return checks.note("group", "the users of this machine cannot be read");
    };
    let Some(group) = accounts.group(GROUP) else {
        return checks.advise(
            "group",
            format!("there is no group {GROUP}"),
            "without it the daemon serves its own user alone",
            SETUP,
        );
    };
    let me = geteuid().as_raw();
    let name = accounts.user_name(me);
    let is_member = name.is_some_and(|name| group.members.iter().any(|member| member == name));
    match name {
        _ if me == 0 => checks.ok("group", format!("{GROUP}; root needs none")),
        Some(name) if is_member => checks.ok("group", format!("{name} is in {GROUP}")),
        name => checks.advise(
            "group",
            format!("this user is not in {GROUP}"),
            "the daemon's socket is closed to them",
            format!(
                "{SETUP} --user {}, and sign in anew",
                name.unwrap_or("NAME")
            ),
        ),
    }
}

/// The file of the daemon's socket: whoever may write it may ask.
pub(super) fn socket(checks: &mut Checks, path: &Path) {
    let Ok(found) = path.symlink_metadata() else {
        return;
    };
    let mode = found.mode() & 0o777;
    if !found.file_type().is_socket() {
        checks.problem(
            "socket",
            format!("{} is no socket", path.display()),
            "somebody put something else in the daemon's place",
            format!("rm {}, and start the daemon", path.display()),
        );
    } else if mode & 0o007 != 0 {
        checks.problem(
            "socket",
            format!("{} is open to everybody (mode {mode:04o})", path.display()),
            "every user of this machine can ask the daemon, which then decides by its list alone",
            "systemctl restart procurad, which makes it anew",
        );
    } else {
        checks.ok(
            "socket",
            format!(
                "{} is for uid {} and group {} (mode {mode:04o})",
                path.display(),
                found.uid(),
                found.gid()
            ),
        );
    }
}

/// Whether commands can be kept from a daemon whose user they share.
pub(super) fn landlock(checks: &mut Checks, same_uid: bool) {
    match (procura_daemon::landlock_available(), same_uid) {
        (Ok(()), _) => checks.ok("landlock", "the kernel can confine commands"),
        (Err(_), true) => checks.problem(
            "landlock",
            "this kernel cannot confine commands",
            "commands of procura run can read the keys of the daemon, whose user they share",
            SETUP,
        ),
        (Err(_), false) => checks.advise(
            "landlock",
            "this kernel cannot confine commands",
            "only a daemon with a user of its own is safe from them",
            "Linux 5.19 or newer, with landlock in lsm= of the boot line",
        ),
    }
}

/// Whether programs can type into the terminal that they were started from. Commands
/// that share the daemon's user cannot; what is started beside them can.
pub(super) fn terminal(checks: &mut Checks, root: &Path, same_uid: bool) {
    const MEANS: &str = "what an agent starts beside procura run could type commands into your shell, which can read the keys of a daemon of this user";
    let told = std::fs::read_to_string(root.join("proc/sys/dev/tty/legacy_tiocsti"));
    let (found, next) = match told.as_deref().map(str::trim) {
        Ok("0") => {
            return checks.ok(
                "terminal",
                "programs cannot type into it (dev.tty.legacy_tiocsti is 0)",
            );
        }
        Ok(_) => (
            "programs can type into it (dev.tty.legacy_tiocsti is 1)",
            "sudo sysctl -w dev.tty.legacy_tiocsti=0, and a line in /etc/sysctl.d",
        ),
        // Linux 6.2 brought the switch.
        Err(_) => (
            "programs can type into it: this kernel has no dev.tty.legacy_tiocsti",
            "Linux 6.2 or newer, or sudo procura setup agent-host",
        ),
    };
    if same_uid {
        checks.advise("terminal", found, MEANS, next);
    } else {
        checks.note("terminal", found);
    }
}

/// What the kernel does for processes with values in them.
pub(super) fn kernel(checks: &mut Checks, root: &Path) {
    let word = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(text.trim().to_owned())
    };
    match word("proc/sys/kernel/yama/ptrace_scope").as_deref() {
        Some("1" | "2" | "3") => checks.ok("ptrace", "processes look into their children alone"),
        Some(_) => checks.advise(
            "ptrace",
            "processes of one user may look into each other",
            "so into those that have values",
            "sudo sysctl -w kernel.yama.ptrace_scope=1, and a line in /etc/sysctl.d",
        ),
        None => checks.advise(
            "ptrace",
            "this kernel has no Yama: processes of one user may look into each other",
            "so into those that have values",
            "one user for each agent, or a kernel with yama in lsm= of the boot line",
        ),
    }
    let pattern = word("proc/sys/kernel/core_pattern").unwrap_or_default();
    match pattern.strip_prefix('|') {
        Some(handler) if !handler.contains("systemd-coredump") => checks.advise(
            "core files",
            format!("they go to {handler}"),
            "which gets them whatever a process's limit says: it has to heed that (%c) itself",
            "ask its documentation, or sudo sysctl -w kernel.core_pattern=core",
        ),
        _ => checks.ok(
            "core files",
            "server, daemon and commands of procura run write none",
        ),
    }
    swap(checks, &word("proc/swaps").unwrap_or_default());
}

fn swap(checks: &mut Checks, swaps: &str) {
    // The first line is a heading. Compressed memory (zram) is no disk.
    let disks: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !name.starts_with("/dev/zram"))
        .collect();
    if disks.is_empty() {
        return checks.ok("swap", "none on a disk");
    }
    checks.advise(
        "swap",
        disks.join(", "),
        "the daemon's memory is locked, but what commands hold of their values may reach the disk",
        "encrypt it (crypttab(5), with a key from /dev/urandom), or sudo swapoff -a",
    );
}

/// Whether something keeps the clock of this machine right. The kernel knows; systemd
/// asks it for us.
pub(super) fn clock(checks: &mut Checks) {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let said = asked.ok().filter(|output| output.status.success());
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    synchronised(checks, said.as_deref());
}

fn synchronised(checks: &mut Checks, said: Option<&str>) {
    const WHY: &str = "proofs made by a clock that is off are refused";
    match said {
        Some("yes") => checks.ok("clock sync", "the clock is kept right by the network's"),
        Some("no") => checks.advise(
            "clock sync",
            "nothing keeps this machine's clock right",
            WHY,
            "sudo timedatectl set-ntp true; docs/runbooks/clock-drift.md",
        ),
        _ => checks.advise(
            "clock sync",
            "it cannot be told whether something keeps the clock right",
            WHY,
            "timedatectl, or chronyc tracking",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn said(look: impl FnOnce(&mut Checks)) -> Vec<(Verdict, String, Option<String>)> {
        let mut checks = Checks(Vec::new());
        look(&mut checks);
        let said = checks.0.into_iter();
        said.map(|check| (check.verdict, check.found, check.next))
            .collect()
    }

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn who_is_in_the_group() {
        let me = geteuid().as_raw();
        let passwd = format!("somebody:x:{me}:{me}::/:/bin/sh\n");
        let look = |group: &str| {
            let root = root(&[("etc/passwd", &passwd), ("etc/group", group)]);
            said(|checks| super::group(checks, root.path())).remove(0)
        };
        let none = look("root:x:0:\n");
        assert_eq!(none.1, format!("there is no group {GROUP}"));
        assert_eq!(none.2.as_deref(), Some(SETUP));
        let member = look(&format!("{GROUP}:x:7:procurad,somebody\n"));
        assert_eq!(member.0, Verdict::Ok);
        let stranger = look(&format!("{GROUP}:x:7:procurad\n"));
        if me == 0 {
            assert_eq!(stranger.1, format!("{GROUP}; root needs none"));
        } else {
            assert_eq!(
                stranger.2,
                Some(format!("{SETUP} --user somebody, and sign in anew"))
            );
        }
    }

    #[test]
    fn what_the_kernel_does_is_told() {
        let yama = "proc/sys/kernel/yama/ptrace_scope";
        let core = "proc/sys/kernel/core_pattern";
        let heading = "Filename Type Size Used Priority\n";
        for (files, verdicts) in [
            (
                vec![(yama, "1\n"), (core, "core\n"), ("proc/swaps", heading)],
                [Verdict::Ok, Verdict::Ok, Verdict::Ok],
            ),
            (
                vec![
                    (yama, "0\n"),
                    (core, "|/usr/share/apport/apport %p\n"),
                    ("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n"),
                ],
                [Verdict::Note, Verdict::Note, Verdict::Note],
            ),
            (
                vec![
                    (core, "|/lib/systemd/systemd-coredump %P %c\n"),
                    ("proc/swaps", "Filename\n/dev/zram0 partition 1 0 100\n"),
                ],
                [Verdict::Note, Verdict::Ok, Verdict::Ok],
            ),
        ] {
            let root = root(&files);
            let found = said(|checks| kernel(checks, root.path()));
            let seen: Vec<Verdict> = found.iter().map(|(verdict, ..)| *verdict).collect();
            assert_eq!(seen, verdicts, "{found:?}");
            for (verdict, _, next) in found {
                assert_eq!(verdict == Verdict::Ok, next.is_none());
            }
        }
    }

    #[test]
    fn a_terminal_that_programs_type_into_is_told() {
        let file = "proc/sys/dev/tty/legacy_tiocsti";
        for (files, same_uid, verdict, advised) in [
            (vec![(file, "0\n")], true, Verdict::Ok, false),
            (vec![(file, "0\n")], false, Verdict::Ok, false),
            (vec![(file, "1\n")], true, Verdict::Note, true),
            (vec![(file, "1\n")], false, Verdict::Note, false),
            (vec![], true, Verdict::Note, true),
            (vec![], false, Verdict::Note, false),
        ] {
            let root = root(&files);
            let found = said(|checks| terminal(checks, root.path(), same_uid)).remove(0);
            assert_eq!(found.0, verdict, "{found:?}");
            assert_eq!(found.2.is_some(), advised, "{found:?}");
        }
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_told() {
        for (answer, verdict) in [
            (Some("yes"), Verdict::Ok),
            (Some("no"), Verdict::Note),
            (Some(""), Verdict::Note),
            (None, Verdict::Note),
        ] {
            let found = said(|checks| synchronised(checks, answer));
            assert_eq!(found[0].0, verdict, "{answer:?}");
            assert_eq!(found[0].2.is_none(), verdict == Verdict::Ok);
        }
    }

    #[test]
    fn a_socket_that_everybody_can_write_is_a_problem() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        assert!(said(|checks| socket(checks, &path)).is_empty());
        std::fs::write(&path, "").unwrap();
        let no_socket = said(|checks| socket(checks, &path));
        assert_eq!(no_socket[0].0, Verdict::Problem);
        std::fs::remove_file(&path).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for (mode, verdict) in [
            (0o660, Verdict::Ok),
            (0o600, Verdict::Ok),
            (0o666, Verdict::Problem),
            (0o662, Verdict::Problem),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = said(|checks| socket(checks, &path));
            assert_eq!(found[0].0, verdict, "{mode:o}");
        }
    }
}
