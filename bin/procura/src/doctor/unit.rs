//! How the daemon of this machine is installed as a service, and how far it is closed.
//!
//! systemd is asked where it runs: drop-ins change what the unit's file says, and what
//! counts is what was loaded.

use super::{Checks, SETUP};
use crate::setup::UNIT;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

const SERVICE: &str = "procurad.service";
/// Where systemd looks for units, the first one counts.
const UNITS: [&str; 3] = [
    "etc/systemd/system/procurad.service",
    "usr/lib/systemd/system/procurad.service",
    "lib/systemd/system/procurad.service",
];
/// Settings of the unit that are about this host, not about how far it is closed.
const OF_THE_HOST: [&str; 9] = [
    "ExecStart",
    "Restart",
    "RestartPreventExitStatus",
    "User",
    "Group",
    "SupplementaryGroups",
    "IPAddressDeny",
    "LimitMEMLOCK",
    "SystemCallErrorNumber",
];
/// What is asked beside the settings of our unit.
const ABOUT_IT: [&str; 5] = [
    "LoadState",
    "FragmentPath",
    "DropInPaths",
    "NeedDaemonReload",
    "DeviceAllow",
];
const FILTER: &str = "SystemCallFilter";
/// Calls that our filter leaves out; systemd says a filter call by call.
const LEFT_OUT: [&str; 10] = [
    "bpf",
    "chroot",
    "clock_settime",
    "init_module",
    "mount",
    "open_by_handle_at",
    "ptrace",
    "reboot",
    "setuid",
    "swapon",
];
const MEANS: &str = "the daemon could do more than it has to, for whoever breaks into it";

/// What systemd has loaded, as `NAME=value` lines; nothing where it does not run.
pub(super) fn shown() -> Option<String> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let ours = settings(UNIT).filter_map(|line| Some(line.split_once('=')?.0));
    let names: BTreeSet<&str> = ours.chain(ABOUT_IT).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let asked = Command::new("systemctl")
        .args(["show", "--no-pager", "--property", &names.join(",")])
        .arg(SERVICE)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let said = asked.status.success().then_some(asked.stdout)?;
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// How the daemon is installed, if it is: by what systemd says, or else by the unit's
/// file below `root`.
pub(super) fn installed(checks: &mut Checks, root: &Path, shown: Option<&str>) {
    if let Some(shown) = shown {
        return loaded(checks, shown);
    }
    let found = UNITS
        .iter()
        .find_map(|unit| Some((unit, std::fs::read_to_string(root.join(unit)).ok()?)));
    let Some((unit, text)) = found else {
        return absent(checks);
    };
    match weaker(&text).as_slice() {
        [] => checks.note(
            "unit",
            format!(
                "/{unit} is closed as far as it can be; drop-ins were not looked at, because systemd does not run here"
            ),
        ),
        settings => lacking(checks, &format!("/{unit}"), settings),
    }
}

fn absent(checks: &mut Checks) {
    checks.advise(
        "unit",
        "procurad is not installed as a service here",
        "started by hand it ends with whoever started it, and runs as them",
        SETUP,
    );
}

fn lacking(checks: &mut Checks, unit: &str, settings: &[String]) {
    checks.problem(
        "unit",
        format!("{unit} lacks {}", settings.join(", ")),
        MEANS,
        SETUP,
    );
}

fn loaded(checks: &mut Checks, shown: &str) {
    match said(shown, "LoadState").as_str() {
        "loaded" => {}
        "not-found" | "" => return absent(checks),
        state => {
            return checks.advise(
                "unit",
                format!("systemd has {SERVICE} as {state}"),
                "so it does not start the daemon",
                format!("systemctl status {SERVICE}"),
            );
        }
    }
    let file = said(shown, "FragmentPath");
    let drop_ins = said(shown, "DropInPaths");
    let with = if drop_ins.is_empty() {
        String::new()
    } else {
        format!(" with {drop_ins}")
    };
    match weaker_than_ours(shown).as_slice() {
        [] => checks.ok(
            "unit",
            format!("{file}{with} is closed as far as it can be"),
        ),
        settings if drop_ins.is_empty() => lacking(checks, &file, settings),
        settings => checks.problem(
            "unit",
            format!("{file}{with} lacks {}", settings.join(", ")),
            MEANS,
            format!("systemctl edit {SERVICE}, and take out what opens it"),
        ),
    }
    if said(shown, "NeedDaemonReload") == "yes" {
        checks.advise(
            "unit",
            "its files were changed since systemd read them",
            "what they say now does not count yet",
            "sudo systemctl daemon-reload && sudo systemctl restart procurad",
        );
    }
}

/// The value of a property; of one with several lines, all of them.
fn said(shown: &str, name: &str) -> String {
    let lines = shown.lines().filter_map(|line| line.split_once('='));
    let values: Vec<&str> = lines
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .collect();
    values.join(" ")
}

/// The settings of our unit that the loaded one lacks.
fn weaker_than_ours(shown: &str) -> Vec<String> {
    let words = |text: &str| -> BTreeSet<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    let mut weaker: Vec<String> = settings(UNIT)
        .filter_map(|line| Some((line, line.split_once('=')?)))
        .filter(|(_, (name, _))| !OF_THE_HOST.contains(name) && *name != FILTER)
        .filter(|(_, (name, value))| words(&said(shown, name)) != words(value))
        .filter(|(_, (name, _))| *name != "PrivateDevices" || !only_the_chip(shown))
        .map(|(line, _)| line.to_owned())
        .collect();
    let filter = words(&said(shown, FILTER));
    // A list of what is refused begins with a tilde.
    let is_list_of_allowed = !filter.is_empty() && !filter.iter().any(|call| call.starts_with('~'));
    let open: Vec<&str> = LEFT_OUT
        .into_iter()
        .filter(|call| filter.contains(*call))
        .collect();
    if !is_list_of_allowed {
        weaker.push(format!("{FILTER}=@system-service"));
    } else if !open.is_empty() {
        weaker.push(format!("{FILTER}=~{}", open.join(" ")));
    }
    weaker
}

/// Whether the only devices that it may use are the TPM, for which our unit says to take
/// `PrivateDevices=` back.
fn only_the_chip(shown: &str) -> bool {
    let devices: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("DeviceAllow="))
        .filter(|device| !device.is_empty())
        .collect();
    !devices.is_empty() && devices.iter().all(|device| device.starts_with("/dev/tpm"))
}

/// The lines of a unit's `[Service]`.
fn settings(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .skip_while(|line| *line != "[Service]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// The settings of our unit that another's text lacks.
fn weaker(text: &str) -> Vec<String> {
    settings(UNIT)
        .filter(|ours| {
            let name = ours.split('=').next().unwrap_or_default();
            !OF_THE_HOST.contains(&name) && !settings(text).any(|line| line == *ours)
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn look(files: &[(&str, &str)], shown: Option<&str>) -> Vec<(Verdict, String, Option<String>)> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut checks = Checks(Vec::new());
        installed(&mut checks, root.path(), shown);
        let said = checks.0.into_iter();
        said.map(|check| (check.verdict, check.found, check.next))
            .collect()
    }

    /// What `systemctl show` says of our unit, with these lines instead of its own.
    fn shown(changed: &[&str]) -> String {
        let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        let own = [
            "LoadState=loaded",
            "FragmentPath=/etc/systemd/system/procurad.service",
            "DropInPaths=",
            "NeedDaemonReload=no",
            "SystemCallFilter=accept4 chown openat read write",
        ];
        let ours = settings(UNIT).filter(|line| !line.starts_with(FILTER));
        let lines = own.into_iter().chain(ours);
        let lines = lines.filter(|line| !changed.iter().any(|other| name(other) == name(line)));
        let lines: Vec<&str> = lines.chain(changed.iter().copied()).collect();
        lines.join("\n")
    }

    #[test]
    fn without_systemd_the_file_is_read_and_that_is_said() {
        let none = look(&[], None).remove(0);
        assert_eq!((none.0, none.2.as_deref()), (Verdict::Note, Some(SETUP)));
        let ours = look(&[(UNITS[1], UNIT)], None).remove(0);
        assert_eq!(ours.0, Verdict::Note, "{ours:?}");
        assert!(ours.1.ends_with("systemd does not run here"), "{ours:?}");
        // What an administrator sets for their host is theirs.
        let moved = UNIT.replace("/usr/bin/procurad", "/opt/procura/procurad");
        assert_eq!(look(&[(UNITS[0], &moved)], None)[0].0, Verdict::Note);
        let open = UNIT
            .replace("NoNewPrivileges=yes", "#NoNewPrivileges=yes")
            .replace("UMask=0077", "UMask=0022");
        let weak = look(&[(UNITS[0], &open), (UNITS[1], UNIT)], None).remove(0);
        assert_eq!(weak.0, Verdict::Problem);
        assert_eq!(
            weak.1,
            "/etc/systemd/system/procurad.service lacks UMask=0077, NoNewPrivileges=yes"
        );
    }

    #[test]
    fn what_systemd_loaded_counts_and_not_the_file() {
        const FILE: &str = "/etc/systemd/system/procurad.service";
        const DROP_IN: &str = "/etc/systemd/system/procurad.service.d/override.conf";
        let with = format!("DropInPaths={DROP_IN}");
        let found = |changed: &[&str]| look(&[(UNITS[0], UNIT)], Some(&shown(changed)));
        assert_eq!(
            found(&[]),
            [(
                Verdict::Ok,
                format!("{FILE} is closed as far as it can be"),
                None
            )]
        );
        for (changed, lacks) in [
            (vec!["ProtectSystem=no"], "ProtectSystem=strict"),
            (
                vec!["CapabilityBoundingSet=cap_sys_admin"],
                "CapabilityBoundingSet=",
            ),
            (vec!["PrivateDevices=no"], "PrivateDevices=yes"),
            (
                vec!["PrivateDevices=no", "DeviceAllow=/dev/mem rw"],
                "PrivateDevices=yes",
            ),
            (
                vec!["SystemCallFilter=~mount"],
                "SystemCallFilter=@system-service",
            ),
            (
                vec!["SystemCallFilter="],
                "SystemCallFilter=@system-service",
            ),
            (
                vec!["SystemCallFilter=ptrace read write"],
                "SystemCallFilter=~ptrace",
            ),
        ] {
            let found = found(&[&changed[..], &[with.as_str()]].concat());
            assert_eq!(
                (found[0].0, found[0].1.as_str()),
                (
                    Verdict::Problem,
                    format!("{FILE} with {DROP_IN} lacks {lacks}").as_str()
                )
            );
        }
        // What is the host's, the same in another order, and what our unit says itself.
        for changed in [
            vec!["User=agents"],
            vec!["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"],
            vec!["PrivateDevices=no", "DeviceAllow=/dev/tpmrm0 rw"],
        ] {
            assert_eq!(
                found(&[&changed[..], &[with.as_str()]].concat())[0].0,
                Verdict::Ok
            );
        }
        let stale = found(&["NeedDaemonReload=yes"]);
        assert_eq!((stale[0].0, stale[1].0), (Verdict::Ok, Verdict::Note));
        assert_eq!(found(&["LoadState=not-found"])[0].2.as_deref(), Some(SETUP));
        let masked = found(&["LoadState=masked"]);
        assert_eq!(masked[0].1, "systemd has procurad.service as masked");
    }
}
