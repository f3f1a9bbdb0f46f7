//! Backups: taken of a working server, looked at, restored to a sandbox, refused with
//! their own reason when they are not what they should be.

use crate::installed::{Installed, PASSPHRASE};
use crate::{Ran, fed, ran, run_with_input};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A value to look for where none may be.
const CANARY: &[u8] = b"canary-7f3a91c05b";

pub(crate) struct Backed {
    pub(crate) installed: Installed,
    pub(crate) file: PathBuf,
}

impl Backed {
    /// An installation with secrets of which a backup was taken.
    pub(crate) fn new() -> Self {
        let installed = Installed::new();
        let cli = &installed.cli;
        cli.ok(&["secret", "put", "app/key"], CANARY);
        cli.ok(&["secret", "put", "app/key"], b"the second");
        cli.ok(&["secret", "put", "app/large"], &vec![b'x'; 300_000]);
        cli.ok(&["secret", "put", "app/gone"], b"to be destroyed");
        let file = installed.dir().join("monday.procura");
        cli.ok(&["backup", path(&file)], b"");
        Self { installed, file }
    }

    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.installed.dir().join(name)
    }

    /// Restores to a home and looks through it.
    pub(crate) fn restored(&self, name: &str) -> (PathBuf, Value) {
        let home = self.place(name);
        let said = self.run(&restoring(&self.file, &home), PASSPHRASE);
        assert_eq!(said.code, 0, "{}", said.err);
        (home, serde_json::from_str(&said.out).unwrap())
    }

    /// As somebody without a home of their own.
    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Ran {
        run_with_input(&self.place("nobody"), args, input)
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn restoring<'a>(file: &'a Path, home: &'a Path) -> [&'a str; 8] {
    [
        "--json",
        "--passphrase-fd",
        "0",
        "restore",
        path(file),
        "--to",
        path(home),
        "--verify",
    ]
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_private_whole_and_replaces_nothing() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    let found = backed.file.metadata().unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert!(!backed.place("monday.procura.partial").exists());
    let bytes = std::fs::read(&backed.file).unwrap();
    assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY));
    let checked = backed.run(&["--json", "backup", "check", path(&backed.file)], b"");
    let checked: Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!(checked["kind"], "full");
    assert_eq!(checked["bytes"], bytes.len());

    let again = cli.run(&["backup", path(&backed.file)], b"");
    assert_eq!(again.code, 64, "{}", again.err);
    assert!(again.err.contains("exists already"), "{}", again.err);
    assert_eq!(std::fs::read(&backed.file).unwrap(), bytes);
    // What a backup that was killed left is no hindrance, and a link is not followed.
    let next = backed.place("next.procura");
    std::os::unix::fs::symlink(&backed.file, backed.place("next.procura.partial")).unwrap();
    cli.ok(&["backup", path(&next)], b"");
    assert_eq!(std::fs::read(&backed.file).unwrap(), bytes);
    // It is in the record who took it.
    let list = cli.json(&[
        "audit",
        "list",
        "--everywhere",
        "--action",
        "installation.backup",
    ]);
    assert_eq!(list["entries"].as_array().unwrap().len(), 2, "{list}");
}

#[test]
fn everything_in_a_restored_home_opens_and_no_server_starts_on_it() {
    let backed = Backed::new();
    let (home, report) = backed.restored("restored");
    assert_eq!(report["secrets"], 3, "{report}");
    assert_eq!(report["values"], 4, "{report}");
    assert_eq!(report["opened_by"], "passphrase");
    assert!(report["checkpoint"].as_u64().unwrap() > 0, "{report}");
    let mode = home.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let server = run_with_input(
        &home,
        &[
            "server",
            "--listen",
            "127.0.0.1:0",
            "--health-listen",
            "127.0.0.1:0",
        ],
        b"",
    );
    assert_eq!(server.code, 80, "{}", server.err);
    assert!(server.err.contains("is not activated"), "{}", server.err);
    assert!(
        server.err.contains("procura restore --activate --to"),
        "{}",
        server.err
    );
    let init = run_with_input(
        &home,
        &["init", "--owner", "mallory", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    assert_ne!(init.code, 0);
    // The installation that it is a copy of has lost nothing and nobody.
    let cli = &backed.installed.cli;
    assert_eq!(cli.ok(&["secret", "get", "app/key"], b""), "the second");
    let checked = cli.json(&["status", "--deep"]);
    assert_eq!(checked["deep"].as_array().unwrap().len(), 0, "{checked}");
}

#[test]
fn a_restored_home_connects_to_nobody() {
    let backed = Backed::new();
    let home = backed.place("restored");
    let trace = backed.place("trace");
    let traced = |args: &[&str], input: &[u8]| {
        let mut strace = Command::new("strace");
        strace
            .args([
                "-f",
                "-qq",
                "-e",
                "trace=connect,sendto,sendmsg,sendmmsg",
                "-o",
            ])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_procura"))
            .args(args)
            .env_clear()
            .env("PROCURA_HOME", backed.place("nobody"));
        let said = fed(&mut strace, input);
        let calls = std::fs::read_to_string(&trace).unwrap();
        std::fs::remove_file(&trace).unwrap();
        (said, calls)
    };
    let outgoing = |calls: &str| {
        calls
            .lines()
            .filter(|line| line.contains("connect(") || line.contains("send"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // The tracer sees connections where there are some.
    let url = backed.installed.cli.url.clone().unwrap();
    let (_, calls) = traced(&["--server", &url, "status"], b"");
    assert_ne!(outgoing(&calls), [""; 0]);

    let (said, calls) = traced(&restoring(&backed.file, &home), PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(outgoing(&calls), [""; 0]);
    let home = path(&home);
    let server = ["--home", home, "server", "--listen", "127.0.0.1:0"];
    let (said, calls) = traced(&server, b"");
    assert_eq!(said.code, 80, "{}", said.err);
    assert_eq!(outgoing(&calls), [""; 0]);
    let activate = [
        "--yes",
        "--passphrase-fd",
        "0",
        "restore",
        "--activate",
        "--to",
        home,
        "--nothing-after-backup",
    ];
    let (said, calls) = traced(&activate, PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(outgoing(&calls), [""; 0]);
    let file = path(&backed.file);
    let drill = ["--passphrase-fd", "0", "backup", "drill", file];
    let (said, calls) = traced(&drill, PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("everything in it opens"), "{}", said.err);
    assert_eq!(outgoing(&calls), [""; 0]);
    assert!(
        !names(backed.installed.dir())
            .iter()
            .any(|name| name.starts_with("procura-drill")),
    );
}

#[test]
fn what_is_no_good_backup_is_refused_with_its_reason_and_leaves_nothing() {
    let backed = Backed::new();
    let bytes = std::fs::read(&backed.file).unwrap();
    let other = Installed::new();
    let foreign = backed.place("foreign.procura");
    other.cli.ok(&["backup", path(&foreign)], b"");
    let theirs = std::fs::read(&foreign).unwrap();
    let copy = backed.place("copy.procura");
    let since = ["backup", path(&copy), "--ledger-since", path(&backed.file)];
    backed.installed.cli.ok(&since, b"");

    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        bytes
    };
    let middle = bytes.len() / 2;
    let last = bytes.len() - 1;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "is cut off after 0 bytes"),
        (
            "cut at the start",
            with(&|b| b.truncate(18)),
            "is cut off after 18 bytes",
        ),
        (
            "cut in the middle",
            with(&|b| b.truncate(middle)),
            "is cut off after",
        ),
        (
            "cut by one",
            with(&|b| b.truncate(last)),
            "is cut off after",
        ),
        ("appended", with(&|b| b.push(0)), "follow behind the end"),
        ("flipped early", with(&|b| b[40] ^= 1), "is damaged"),
        (
            "flipped in the middle",
            with(&|b| b[middle] ^= 4),
            "is damaged",
        ),
        (
            "flipped in the tag",
            with(&|b| b[last - 40] ^= 1),
            "is damaged",
        ),
        (
            "flipped in the digest",
            with(&|b| b[last] ^= 1),
            "is damaged",
        ),
        (
            "of a newer format",
            with(&|b| b[19] = 9),
            "has format 9, this program reads up to format 1",
        ),
        ("of no format", with(&|b| b[19] = 0), "there is no format 0"),
        (
            "something else",
            b"PRCA and more of it".to_vec(),
            "is no backup of Procura",
        ),
        (
            "the beginning of one of another installation, and the rest of ours",
            [&theirs[..theirs.len() / 2], &bytes[theirs.len() / 2..]].concat(),
            "is damaged",
        ),
        (
            "ours twice",
            [&bytes[..], &bytes[..]].concat(),
            "follow behind the end",
        ),
        (
            "a copy of the ledger",
            std::fs::read(&copy).unwrap(),
            "a copy of the ledger alone",
        ),
    ];
    let before = names(backed.installed.dir());
    for (what, bytes, reason) in cases {
        let file = backed.place("case.procura");
        std::fs::write(&file, bytes).unwrap();
        let home = backed.place("case");
        let said = backed.run(&restoring(&file, &home), PASSPHRASE);
        assert_ne!(said.code, 0, "{what}");
        assert!(said.err.contains(reason), "{what}: {}", said.err);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(names(backed.installed.dir()), before, "{what}");
    }
}

/// Two machines, and somebody types the name of the wrong file.
#[test]
fn a_backup_of_another_installation_is_none_for_who_belongs_to_one() {
    let backed = Backed::new();
    let other = Installed::new();
    let theirs = backed.place("theirs.procura");
    other.cli.ok(&["backup", path(&theirs)], b"");
    let id = |cli: &crate::installed::Cli| {
        let text = std::fs::read(cli.home.join("installation.json")).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        file["id"].as_str().unwrap().to_owned()
    };
    let cli = &backed.installed.cli;
    let reason = format!("is of installation {}, not of {}", id(&other.cli), id(cli));
    let home = backed.place("restored");
    let load = ["restore", path(&theirs), "--to", path(&home)];
    let drill = ["--passphrase-fd", "0", "backup", "drill", path(&theirs)];
    let before = names(backed.installed.dir());
    for args in [&restoring(&theirs, &home)[..], &load, &drill] {
        let said = run_with_input(&cli.home, args, PASSPHRASE);
        assert_eq!(said.code, 64, "{args:?}: {}", said.err);
        assert!(said.err.contains(&reason), "{args:?}: {}", said.err);
        assert_eq!(names(backed.installed.dir()), before, "{args:?}");
    }
    // Who belongs to it, or to none, restores it.
    let said = run_with_input(&other.cli.home, &restoring(&theirs, &home), PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = backed.run(&drill, PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
}

/// What somebody can make who has no key: other bytes, with the digest that belongs to them.
fn resealed(bytes: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let (before, digest) = bytes.split_at(bytes.len() - 32);
    assert_eq!(digest.len(), 32);
    let (rest, tag) = before.split_at(before.len() - 32);
    let inner = procura_crypto::sha256(rest);
    let digest = procura_crypto::sha256(&[&inner[..], tag].concat());
    [before, &digest[..]].concat()
}

#[test]
fn what_the_vault_did_not_make_is_not_its_backup() {
    let backed = Backed::new();
    let bytes = std::fs::read(&backed.file).unwrap();
    let last = bytes.len() - 1;
    assert_eq!(resealed(&bytes, |_| {}), bytes);
    // The clock of the head, which no row vouches for, and the tag itself.
    let created = b"\"created\":\"";
    let created = bytes
        .windows(created.len())
        .position(|part| part == created)
        .unwrap()
        + created.len();
    let cases = [
        ("the head", resealed(&bytes, |b| b[created + 3] ^= 1)),
        ("the tag", resealed(&bytes, |b| b[last - 40] ^= 1)),
    ];
    for (what, bytes) in cases {
        let file = backed.place("edited.procura");
        std::fs::write(&file, bytes).unwrap();
        let home = backed.place("edited");
        let checked = backed.run(&["backup", "check", path(&file)], b"");
        assert_eq!(checked.code, 0, "{what}: {}", checked.err);
        let said = backed.run(&restoring(&file, &home), PASSPHRASE);
        assert_eq!(said.code, 74, "{what}: {}", said.err);
        assert!(
            said.err
                .contains("was not made by the vault that it claims to be of"),
            "{what}: {}",
            said.err
        );
        let activate = [
            "--yes",
            "--passphrase-fd",
            "0",
            "restore",
            "--activate",
            "--to",
            path(&home),
            "--nothing-after-backup",
        ];
        let said = backed.run(&activate, PASSPHRASE);
        assert_eq!(said.code, 74, "{what}: {}", said.err);
        std::fs::remove_dir_all(home).unwrap();
    }
}

#[test]
fn the_place_of_a_restored_home_is_empty_before() {
    let backed = Backed::new();
    let own = backed.installed.cli.home.clone();
    let said = backed.run(&restoring(&backed.file, &own), PASSPHRASE);
    assert_eq!(said.code, 78, "{}", said.err);
    assert!(said.err.contains("is there already"), "{}", said.err);

    let taken = backed.place("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("notes"), "mine").unwrap();
    let said = backed.run(&restoring(&backed.file, &taken), PASSPHRASE);
    assert!(said.err.contains("is not empty"), "{}", said.err);
    assert_eq!(names(&taken), ["notes"]);
    let file = taken.join("notes");
    let said = backed.run(&restoring(&backed.file, &file), PASSPHRASE);
    assert!(said.err.contains("is no directory"), "{}", said.err);

    let empty = backed.place("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = backed.run(&restoring(&backed.file, &empty), PASSPHRASE);
    assert_eq!(said.code, 0, "{}", said.err);
    // What a restore that was killed left behind is no hindrance.
    let aside = backed.place("killed.restoring");
    std::fs::rename(&empty, &aside).unwrap();
    let (killed, _) = backed.restored("killed");
    assert!(killed.join("restored.json").exists() && !aside.exists());
}

#[test]
fn a_backup_opens_with_what_opened_the_vault_then() {
    let backed = Backed::new();
    let cli = &backed.installed.cli;
    let change = [PASSPHRASE, b"another passphrase 77\n".as_slice()].concat();
    cli.ok(&["passphrase", "--passphrase-fd", "0"], &change);
    let later = backed.place("tuesday.procura");
    cli.ok(&["backup", path(&later)], b"");

    let (_, report) = backed.restored("old");
    assert_eq!(report["values"], 4);
    let home = backed.place("new");
    let said = backed.run(&restoring(&later, &home), PASSPHRASE);
    assert_eq!(said.code, 77, "{}", said.err);
    assert!(said.err.contains("the passphrase is wrong"), "{}", said.err);
    let other = backed.place("newer");
    let said = backed.run(&restoring(&later, &other), b"another passphrase 77\n");
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn a_row_that_was_changed_in_a_restored_home_is_found() {
    let backed = Backed::new();
    let home = backed.place("edited");
    let load = ["restore", path(&backed.file), "--to", path(&home)];
    let said = backed.run(&load, b"");
    assert_eq!(said.code, 0, "{}", said.err);
    let sql = "DELETE FROM row WHERE key IN (SELECT key FROM row WHERE key > CAST('secret-body' AS BLOB) ORDER BY key LIMIT 1)";
    let changed = Command::new("sqlite3")
        .arg(home.join("procura.db"))
        .arg(sql)
        .status()
        .unwrap();
    assert!(changed.success());
    let activate = [
        "--passphrase-fd",
        "0",
        "--yes",
        "restore",
        "--activate",
        "--to",
        path(&home),
        "--new-origin",
        "--device",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    let said = backed.run(&activate, PASSPHRASE);
    assert_ne!(said.code, 0);
    assert!(
        said.err
            .contains("rows of table secret-body were removed, added or rolled back"),
        "{}",
        said.err
    );
}

#[test]
fn a_disk_that_is_full_in_the_middle_leaves_nothing_that_could_be_used() {
    let backed = Backed::new();
    // Files may not grow beyond so many kB: the database of the restored home, then the
    // backup itself.
    let limited = |home: &Path, args: &str| {
        let program = env!("CARGO_BIN_EXE_procura");
        Command::new("setsid")
            .args(["--wait", "bash", "-c"])
            .arg(format!(
                "trap '' XFSZ; ulimit -f 100; exec {program} {args}"
            ))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PROCURA_HOME", home)
            .env("PROCURA_SERVER", backed.installed.cli.url.as_ref().unwrap())
            .stdin(Stdio::null())
            .output()
            .map(ran)
            .unwrap()
    };
    let home = backed.place("restored");
    let before = names(backed.installed.dir());
    let args = format!("restore {} --to {}", path(&backed.file), path(&home));
    let said = limited(&backed.place("nobody"), &args);
    assert_eq!(said.code, 74, "{}", said.err);
    let next = backed.place("next.procura");
    let said = limited(
        &backed.installed.cli.home,
        &format!("backup {}", path(&next)),
    );
    assert_eq!(said.code, 74, "{}", said.err);
    assert!(said.err.contains("cannot write"), "{}", said.err);
    assert_eq!(names(backed.installed.dir()), before);
    backed.restored("restored");
}
