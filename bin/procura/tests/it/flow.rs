//! The command line with a real server of its own.

use crate::{procura, ran};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PASSPHRASE: &[u8] = b"correct horse battery\n";

/// A server on a home, killed when the test ends.
struct Running {
    child: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(home: &Path) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_procura"))
        .args([
            "server",
            "--listen",
            "127.0.0.1:0",
            "--health-listen",
            "127.0.0.1:0",
        ])
        .env_clear()
        .env("PROCURA_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["event"], "ready");
    let url = ready["api"].as_str().unwrap().to_owned();
    Running { child, url }
}

struct Cli {
    home: PathBuf,
    url: Option<String>,
}

impl Cli {
    fn run(&self, args: &[&str], input: &[u8]) -> crate::Ran {
        let mut command = procura(&self.home);
        if let Some(url) = &self.url {
            command.env("PROCURA_SERVER", url);
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input);
        ran(child.wait_with_output().unwrap())
    }

    fn ok(&self, args: &[&str], input: &[u8]) -> String {
        let ran = self.run(args, input);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    }
}

/// An installation with a server that is unsealed and an operator logged in.
fn installed(home: &Path) -> (Running, Cli) {
    let cli = Cli {
        home: home.to_owned(),
        url: None,
    };
    cli.ok(
        &["init", "--owner", "alice", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    let server = serve(home);
    let cli = Cli {
        url: Some(server.url.clone()),
        ..cli
    };
    cli.ok(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
    cli.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
    (server, cli)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&source, &target);
        } else if kind.is_file() {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}

#[test]
fn init_over_the_socket_of_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let server = serve(&home);
    let told = Cli {
        home: home.clone(),
        url: Some(server.url.clone()),
    };
    assert!(
        told.ok(&["status"], b"")
            .contains("no installation yet; next: procura init")
    );
    // Not told where the server is: the server says so itself.
    let cli = Cli {
        home: home.clone(),
        url: None,
    };
    let answer = cli.ok(
        &["init", "--owner", "alice", "--json", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert!(
        answer["ledger_vkey"]
            .as_str()
            .unwrap()
            .starts_with("procura/")
    );
    // The home remembers where its server is.
    let known = std::fs::read(home.join("operator/server.json")).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
    assert_eq!(known["url"], server.url);
    cli.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
    assert!(cli.ok(&["namespace", "list"], b"").contains("default"));
    cli.ok(&["logout"], b"");
    // Where it listens is nobody's business who cannot reach the socket.
    let told = told.ok(&["status", "--json"], b"");
    assert!(!told.contains("\"api\""), "{told}");

    let key = std::fs::read(home.join("operator/key.json")).unwrap();
    let again = cli.run(&["init", "--passphrase-fd", "0"], PASSPHRASE);
    assert_eq!(again.code, 78);
    assert!(
        again.err.contains("belongs to an installation already"),
        "{}",
        again.err
    );
    assert_eq!(std::fs::read(home.join("operator/key.json")).unwrap(), key);
}

#[test]
fn values_are_exact_bytes_in_and_out() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (_server, cli) = installed(&home);
    let every_byte: Vec<u8> = (0..=255).collect();
    let file = dir.path().join("value");
    std::fs::write(&file, &every_byte).unwrap();
    cli.ok(
        &["secret", "put", "a/file", "--file", file.to_str().unwrap()],
        b"",
    );
    cli.ok(&["secret", "put", "a/pipe"], b"line\n");
    cli.ok(&["secret", "put", "a/empty"], b"");
    let got = procura(&home)
        .env("PROCURA_SERVER", cli.url.as_deref().unwrap())
        .args(["secret", "get", "a/file"])
        .output()
        .unwrap();
    assert_eq!(got.stdout, every_byte);
    assert_eq!(cli.ok(&["secret", "get", "a/pipe"], b""), "line\n");
    assert_eq!(cli.ok(&["secret", "get", "a/empty"], b""), "");

    let conflict = cli.run(
        &["secret", "put", "a/pipe", "--expect-version", "0"],
        b"other",
    );
    assert_eq!(conflict.code, 77);
    assert!(
        conflict.err.contains("version_mismatch"),
        "{}",
        conflict.err
    );
    let absent = cli.run(&["secret", "get", "a/none"], b"");
    assert_eq!((absent.code, absent.out.as_str()), (77, ""));
    cli.ok(&["logout"], b"");
}

#[test]
fn another_server_at_the_address_is_refused_before_it_learns_anything() {
    let dir = tempfile::tempdir().unwrap();
    let (home, other) = (dir.path().join("home"), dir.path().join("other"));
    let (_server, cli) = installed(&home);
    let (_impostor, stranger) = installed(&other);
    let misled = Cli {
        home,
        url: stranger.url.clone(),
    };
    let refused = misled.run(&["secret", "put", "a/b"], b"canary");
    assert_eq!(refused.code, 77);
    assert!(
        refused.err.starts_with(
            "procura: another installation answers at this address: this home belongs to "
        ),
        "{}",
        refused.err
    );
    cli.ok(&["logout"], b"");
    stranger.ok(&["logout"], b"");
}

#[test]
fn an_installation_put_back_from_a_copy_is_refused_until_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let (home, backup) = (dir.path().join("home"), dir.path().join("backup"));
    let (mut server, cli) = installed(&home);
    cli.ok(&["secret", "put", "a/b"], b"one");
    // The server stops in order, and everything but the operator's side is
    // copied.
    let stopped = Command::new("kill")
        .arg(server.child.id().to_string())
        .status()
        .unwrap();
    assert!(stopped.success() && server.child.wait().unwrap().success());
    copy(&home, &backup);
    std::fs::remove_dir_all(backup.join("operator")).unwrap();

    let server = serve(&home);
    let cli = Cli {
        url: Some(server.url.clone()),
        ..cli
    };
    cli.ok(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
    for value in [&b"two"[..], b"three", b"four"] {
        cli.ok(&["secret", "put", "a/b"], value);
    }
    // An export waits for the checkpoint that covers all of it, and it is remembered.
    let record = tempfile::tempdir().unwrap();
    cli.ok(&["audit", "export", record.path().to_str().unwrap()], b"");
    drop(server);

    for entry in std::fs::read_dir(&home).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("operator") {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    copy(&backup, &home);
    let server = serve(&home);
    let cli = Cli {
        url: Some(server.url.clone()),
        ..cli
    };
    cli.ok(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
    let refused = cli.run(&["secret", "get", "a/b"], b"");
    assert_eq!((refused.code, refused.out.as_str()), (77, ""));
    assert!(
        refused
            .err
            .starts_with("procura: the server is older than it was, or its record was rewritten: "),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("--danger-accept-rollback"),
        "{}",
        refused.err
    );

    let accepted = cli.ok(&["--danger-accept-rollback", "secret", "get", "a/b"], b"");
    assert_eq!(accepted, "one");
    assert_eq!(cli.ok(&["secret", "get", "a/b"], b""), "one");
    cli.ok(&["logout"], b"");
}

#[test]
fn an_export_verifies_offline_and_one_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (_server, cli) = installed(&home);
    cli.ok(&["secret", "put", "a/b"], b"one");
    let record = dir.path().join("record");
    let path = record.to_str().unwrap();
    let done = cli.ok(&["audit", "export", path, "--json"], b"");
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["fetched"], &done["kept"]), (&2.into(), &0.into()));
    cli.ok(&["audit", "verify", path], b"");
    cli.ok(&["logout"], b"");

    // Offline from here on, with the key that init printed.
    let known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.join("operator/server.json")).unwrap()).unwrap();
    let key = known["ledger_vkey"].as_str().unwrap();
    let stranger = Cli {
        home: dir.path().join("elsewhere"),
        url: None,
    };
    let bundles = record.join("tile/entries");
    let find = |from: &Path| {
        std::fs::read_dir(from)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    let bundle = find(&find(&bundles));
    let whole = std::fs::read(&bundle).unwrap();
    // One byte in the middle of each of the first two entries.
    let first = usize::from(u16::from_be_bytes([whole[0], whole[1]]));
    for (entry, byte) in [(0, 2 + first / 2), (1, 2 + first + 2 + 20)] {
        let mut bent = whole.clone();
        bent[byte] ^= 1;
        std::fs::write(&bundle, bent).unwrap();
        let found = stranger.run(&["audit", "verify", path, "--key", key], b"");
        assert_eq!(found.code, 77, "{}", found.err);
        let words = format!(
            "procura: the record does not verify: entry {entry}: the entry is not as it was recorded"
        );
        assert!(found.err.starts_with(&words), "{}", found.err);
    }
    std::fs::write(&bundle, &whole).unwrap();
    let report = stranger.ok(&["audit", "verify", path, "--key", key], b"");
    assert!(
        report.contains("removal of the newest entries cannot be excluded"),
        "{report}"
    );
    let after = record.join("checkpoint");
    let args = [
        "audit",
        "verify",
        path,
        "--key",
        key,
        "--after",
        after.to_str().unwrap(),
    ];
    assert!(
        stranger
            .ok(&args, b"")
            .contains("the log continues the checkpoint")
    );
}

#[test]
fn the_key_agent_inherits_no_descriptor_of_whoever_logs_in() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (_server, cli) = installed(&home);
    let file = dir.path().join("passphrase");
    std::fs::write(&file, PASSPHRASE).unwrap();
    // 5 is the passphrase; 7 is a pipe whose end is seen only when nobody holds
    // it any more.
    let mut child = Command::new("sh")
        .args([
            "-c",
            "exec 5<\"$1\" 7>&1 >/dev/null; exec \"$2\" login --passphrase-fd 5",
            "sh",
        ])
        .arg(&file)
        .arg(env!("CARGO_BIN_EXE_procura"))
        .env_clear()
        .env("PROCURA_HOME", &home)
        .env("PROCURA_SERVER", cli.url.as_deref().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let pipe = child.stdout.take().unwrap();
    let mut waiting = [PollFd::new(&pipe, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    assert_eq!(
        poll(&mut waiting, Some(&limit)).unwrap(),
        1,
        "somebody holds the pipe"
    );
    assert!(waiting[0].revents().contains(PollFlags::HUP));

    let agent = key_agent(&home);
    // Readable for root only, since it is not dumpable.
    if let Ok(open) = std::fs::read_dir(format!("/proc/{agent}/fd")) {
        for entry in open {
            let target = std::fs::read_link(entry.unwrap().path()).unwrap();
            assert_ne!(target, file);
        }
    }
    cli.ok(&["logout"], b"");
}

/// The process that holds the key of a home.
fn key_agent(home: &Path) -> u32 {
    let socket = home.join("operator/agent.sock");
    let words = format!("__key-agent\0{}\0", socket.display());
    let is_it = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&words)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .find(is_it)
        .expect("a key agent")
}

#[test]
fn an_entry_is_shown_and_proven_with_its_fields_as_stored() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (_server, cli) = installed(&home);
    cli.ok(&["secret", "put", "a/b"], b"one");
    let list = cli.ok(
        &["audit", "list", "--action", "secret.write", "--json"],
        b"",
    );
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let row = &list["entries"][0];
    let stored = row["entry"].as_str().unwrap();
    let parsed: serde_json::Value = serde_json::from_str(stored).unwrap();
    let id = parsed["id"].as_str().unwrap();

    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    for command in ["show", "prove"] {
        let shown = cli.ok(&["audit", command, id], b"");
        assert!(shown.starts_with("{\n  \""), "{shown}");
        assert_eq!(squeezed(&shown), squeezed(stored));
    }
    let shown = cli.ok(&["audit", "show", id, "--json"], b"");
    assert_eq!(
        &serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
        row
    );
    let proof = cli.ok(&["audit", "prove", id, "--json"], b"");
    let proof: procura_types::wire::ProofAnswer = serde_json::from_str(&proof).unwrap();
    assert_eq!(
        (proof.id.to_string().as_str(), proof.entry.as_str()),
        (id, stored)
    );
    cli.ok(&["logout"], b"");
}

#[test]
fn refusals_say_why_and_what_to_type_next() {
    let dir = tempfile::tempdir().unwrap();
    let (home, second) = (dir.path().join("home"), dir.path().join("second"));
    let (_server, cli) = installed(&home);
    let refused = |cli: &Cli, args: &[&str], input: &[u8], words: &str, next: &str| {
        let ran = cli.run(args, input);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (77, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains(&format!("\n  next: {next}")),
            "{args:?}: {}",
            ran.err
        );
    };
    let place = "check the name, and the namespace with -n NS";
    refused(
        &cli,
        &["secret", "get", "a/none"],
        b"",
        "(not_found, ",
        place,
    );
    refused(
        &cli,
        &["-n", "elsewhere", "secret", "list"],
        b"",
        "(not_found, ",
        place,
    );
    let wrong = b"wrong horse battery\n";
    refused(
        &cli,
        &["login", "--passphrase-fd", "0"],
        wrong,
        "the passphrase does not open the operator's key",
        "the command again",
    );

    let code = cli.ok(
        &["operator", "invite", "bob", "--role", "auditor@default"],
        b"",
    );
    let bob = Cli {
        home: second,
        url: cli.url.clone(),
    };
    let join = ["operator", "join", code.trim(), "--passphrase-fd", "0"];
    bob.ok(&join, PASSPHRASE);
    let third = Cli {
        home: dir.path().join("third"),
        url: cli.url.clone(),
    };
    refused(
        &third,
        &join,
        PASSPHRASE,
        "was used already",
        "ask for a new link code",
    );
    bob.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
    let role = "procura operator roles NAME --role ROLE@NS, typed by a steward";
    refused(&bob, &["operator", "list"], b"", "(forbidden, ", role);
    bob.ok(&["logout"], b"");

    cli.ok(&["seal"], b"");
    refused(
        &cli,
        &["secret", "list"],
        b"",
        "(sealed, ",
        "procura unseal",
    );
    refused(
        &cli,
        &["unseal", "--passphrase-fd", "0"],
        wrong,
        "(wrong_passphrase, ",
        "the command again, in a moment",
    );
    cli.ok(&["logout"], b"");
}

#[test]
fn the_doctor_finds_a_server_well_and_a_file_open_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (server, cli) = installed(&home);
    let port = server.url.rsplit_once(':').unwrap().1.to_owned();
    let checks = |code: i32| -> Vec<serde_json::Value> {
        let ran = cli.run(&["doctor", "--json"], b"");
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
        serde_json::from_str(&ran.out).unwrap()
    };
    let verdict = |checks: &[serde_json::Value], what: &str| {
        let found = checks
            .iter()
            .find(|check| check["what"] == what)
            .expect(what);
        (
            found["verdict"].as_str().unwrap().to_owned(),
            found["found"].as_str().unwrap().to_owned(),
        )
    };
    let well = checks(0);
    for what in [
        "modes",
        "key",
        "login",
        "server",
        "vault",
        "clock",
        "listener",
        "admin socket",
    ] {
        assert_eq!(verdict(&well, what).0, "ok", "{well:?}");
    }
    assert_eq!(verdict(&well, "clock").1, "agrees with the server's");
    assert!(
        verdict(&well, "listener")
            .1
            .contains(&format!("127.0.0.1 port {port}"))
    );

    let key = home.join("operator/key.json");
    let mode =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let ill = checks(78);
    let (found, words) = verdict(&ill, "modes");
    assert_eq!(
        (found.as_str(), words),
        ("problem", format!("{} is open to others", key.display()))
    );
    mode(0o600);
    checks(0);
    cli.ok(&["logout"], b"");
}
