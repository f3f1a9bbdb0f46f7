//! `setup agent-host`: what it would do, what it does below another root, and that it
//! does nothing twice.

use crate::{Ran, ran};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The root of a host with two people on it.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let keep =
        |name: &str, text: &str| fs::write(root.path().join("etc").join(name), text).unwrap();
    keep(
        "passwd",
        "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n",
    );
    keep("group", "root:x:0:\nalice:x:1000:\nbob:x:1001:\n");
    root
}

/// A release that was unpacked where nobody else can write, whatever the checkout allows.
fn release() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_procura")).parent().unwrap();
    for name in ["procura", "procurad"] {
        let program = folder.path().join(name);
        fs::copy(built.join(name), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// `setup agent-host` from a folder, below a root.
fn from(programs: &Path, root: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(programs.join("procura"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PROCURA_HOME", programs.join("home"))
        .args(["setup", "agent-host", "--root"])
        .arg(root)
        .args(words);
    ran(command.output().unwrap())
}

/// The same from a release of its own, and what it says with the places that differ from run
/// to run named.
fn setup(root: &Path, words: &[&str]) -> Ran {
    let release = release();
    let mut ran = from(release.path(), root, words);
    let programs = release.path().canonicalize().unwrap();
    ran.out = ran
        .out
        .replace(root.to_str().unwrap(), "ROOT")
        .replace(programs.to_str().unwrap(), "PROGRAMS");
    ran
}

/// The steps, each with the word before it.
fn steps(word: &str) -> String {
    [
        "/usr/bin/systemd-sysusers --root=ROOT --inline 'u procurad - \"Procura daemon\" /var/lib/procurad' 'g procura-agents -' 'm procurad procura-agents' 'm alice procura-agents'",
        "install -m 0755 PROGRAMS/procura ROOT/usr/bin/procura",
        "install -m 0755 PROGRAMS/procurad ROOT/usr/bin/procurad",
        "install -d -o procurad -g procurad -m 0700 ROOT/var/lib/procurad",
        "install -m 0644 deploy/systemd/procurad.service ROOT/etc/systemd/system/procurad.service",
        "/usr/bin/systemctl --root=ROOT --quiet enable procurad.service",
    ]
    .map(|step| format!("{word}: {step}\n"))
    .concat()
}

/// Everything below a root: place, kind and mode.
fn tree(root: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        found.push((path, metadata.mode()));
    }
    found.sort();
    found
}

#[test]
fn a_dry_run_says_each_step_and_does_none() {
    let root = host();
    let before = tree(root.path());
    let planned = setup(root.path(), &["--dry-run", "--user", "alice"]);
    assert_eq!((planned.code, planned.err.as_str()), (0, ""));
    assert_eq!(planned.out, steps("to do"));
    assert_eq!(tree(root.path()), before);
}

#[test]
fn a_root_is_set_up_once_and_mended() {
    let root = host();
    let at = |path: &str| root.path().join(path);
    let mode = |path: &str| at(path).symlink_metadata().unwrap().mode() & 0o7777;
    let made = setup(root.path(), &["--user", "alice"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(made.out, steps("done"));
    let next = "next: start the host; then each user of group procura-agents, after their next sign-in: procura join; then procura doctor\n";
    assert!(made.err.ends_with(next), "{}", made.err);
    assert_eq!(made.err == next, is_root(), "{}", made.err);
    for (path, expected) in [
        ("usr/bin/procura", 0o755),
        ("usr/bin/procurad", 0o755),
        ("var/lib/procurad", 0o700),
        ("etc/systemd/system/procurad.service", 0o644),
    ] {
        assert_eq!(mode(path), expected, "{path}");
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/procurad.service");
    assert_eq!(
        fs::read(at("etc/systemd/system/procurad.service")).unwrap(),
        fs::read(unit).unwrap()
    );
    let link = at("etc/systemd/system/multi-user.target.wants/procurad.service");
    assert_eq!(
        fs::read_link(link).unwrap(),
        Path::new("/etc/systemd/system/procurad.service")
    );
    // The daemon has a user of its own that nobody signs in as.
    let passwd = fs::read_to_string(at("etc/passwd")).unwrap();
    let daemon = passwd
        .lines()
        .find(|line| line.starts_with("procurad:"))
        .unwrap();
    let fields: Vec<&str> = daemon.split(':').collect();
    assert_eq!(fields[5..], ["/var/lib/procurad", "/usr/sbin/nologin"]);
    let group = fs::read_to_string(at("etc/group")).unwrap();
    let agents = group
        .lines()
        .find(|line| line.starts_with("procura-agents:"))
        .unwrap();
    assert!(agents.ends_with(":alice,procurad"), "{agents}");
    assert!(
        !group.contains("bob,") && !group.contains(",bob"),
        "{group}"
    );
    // Only root can give what it made to the daemon.
    let owner = at("var/lib/procurad").metadata().unwrap().uid();
    let expected: u32 = if is_root() {
        fields[2].parse().unwrap()
    } else {
        rustix::process::geteuid().as_raw()
    };
    assert_eq!(owner, expected);

    let before = tree(root.path());
    let again = setup(root.path(), &["--user", "alice"]);
    assert_eq!(again.out, steps("there already"));
    assert_eq!(tree(root.path()), before);

    // What somebody opened is closed again; the rest is left.
    fs::set_permissions(at("var/lib/procurad"), fs::Permissions::from_mode(0o777)).unwrap();
    let mended = setup(root.path(), &["--user", "alice"]);
    let done: Vec<&str> = mended
        .out
        .lines()
        .filter(|line| line.starts_with("done: "))
        .collect();
    assert_eq!(done.len(), 1, "{}", mended.out);
    assert!(done[0].contains("-m 0700"), "{done:?}");
    assert_eq!(mode("var/lib/procurad"), 0o700);

    // One more user, who is there.
    let more = setup(root.path(), &["--user", "bob"]);
    assert_eq!(more.code, 0, "{}", more.err);
    let group = fs::read_to_string(at("etc/group")).unwrap();
    let agents = group
        .lines()
        .find(|line| line.starts_with("procura-agents:"))
        .unwrap();
    for user in ["alice", "bob", "procurad"] {
        let members = agents.rsplit(':').next().unwrap();
        assert!(members.split(',').any(|member| member == user), "{agents}");
    }
}

#[test]
fn a_user_who_is_not_there_is_not_made() {
    let root = host();
    let before = tree(root.path());
    let refused = setup(root.path(), &["--user", "mallory"]);
    assert_eq!(refused.code, 64);
    let passwd = root.path().join("etc/passwd");
    assert_eq!(
        refused.err,
        format!(
            "procura: there is no user mallory in {}\n  next: one of a directory service is added by hand: usermod -a -G procura-agents NAME\n",
            passwd.display()
        )
    );
    assert_eq!(tree(root.path()), before);
}

#[test]
fn what_stands_in_the_daemons_place_is_not_followed() {
    let root = host();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("var/lib")).unwrap();
    let place = root.path().join("var/lib/procurad");
    std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap();
    let refused = setup(root.path(), &[]);
    assert_eq!(refused.code, 78);
    assert_eq!(
        refused.err,
        format!(
            "procura: {0} is there and is no directory\n  next: look at it, and move it away: mv {0} {0}.old\n",
            place.display()
        )
    );
}

#[test]
fn a_link_in_an_image_leads_to_nothing_outside_of_it() {
    let root = host();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join("usr")).unwrap();
    let refused = setup(root.path(), &[]);
    assert_eq!(refused.code, 78);
    assert!(
        refused.err.starts_with("procura: a symbolic link leads"),
        "{}",
        refused.err
    );
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_installed_from_where_others_write() {
    let root = host();
    let before = tree(root.path());
    let folder = release();
    let programs = folder.path().canonicalize().unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = programs.join("procura");
    // What lies in a sticky directory itself may be anybody's, too.
    for (path, open) in [
        (&programs, 0o777),
        (&programs, 0o1777),
        (&programs, 0o770),
        (&program, 0o775),
    ] {
        mode(&program, 0o755);
        mode(&programs, 0o755);
        mode(path, open);
        let refused = from(&programs, root.path(), &[]);
        assert_eq!(refused.code, 78, "{}", refused.err);
        assert_eq!(
            refused.err,
            format!(
                "procura: others than root and you can write {}, so {} may be theirs\n  next: unpack the release where only you or root can write, in each directory above it too, and run it from there\n",
                path.display(),
                program.display()
            )
        );
        assert_eq!(tree(root.path()), before);
    }
}

#[test]
fn who_is_not_root_is_told_what_to_type() {
    // Root becomes another user, with a copy of the program where that one can go.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("procura");
    fs::copy(env!("CARGO_BIN_EXE_procura"), &copy).unwrap();
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=64102", "--regid=64102", "--clear-groups"]);
        command.arg(&copy);
        command
    } else {
        Command::new(&copy)
    };
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PROCURA_HOME", folder.path().join("home"))
        .args(["setup", "agent-host", "--user", "alice"]);
    let refused = ran(command.output().unwrap());
    assert_eq!(refused.code, 77);
    assert_eq!(
        refused.err,
        "procura: only root can make users and install services\n  next: sudo procura setup agent-host --user alice\n"
    );
}
