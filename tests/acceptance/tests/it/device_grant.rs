//! `procura join --device` on a host, `procura device pending|approve|deny` at an
//! operator's, and a server and a daemon that are killed in between.

use crate::scene::{CANARY, PATIENCE, orders, requests, shop};
use procura_acceptance::{Daemon, Installation, Terminal, program, read_qr, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Stdio};

/// A host that waits for an operator.
struct Waiting {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Its first line.
    said: Value,
}

impl Waiting {
    fn begin(server: &Installation, daemon: &Daemon) -> Self {
        Self::called(server, daemon, "build-7")
    }

    /// One that says that it is called so.
    fn called(server: &Installation, daemon: &Daemon, host: &str) -> Self {
        let words = [
            "--json",
            "--server",
            server.url(),
            "join",
            "--device",
            "--host",
            host,
        ];
        let mut child = daemon
            .procura(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut stderr = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut stderr)
                .unwrap();
            panic!("{error}: {line:?} {stderr}")
        });
        Self {
            child,
            stdout,
            said,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap()
    }

    /// What it says at its end, on stdout and on stderr, and its exit code.
    fn end(mut self) -> (String, String, Option<i32>) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        (out, err, self.child.wait().unwrap().code())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An installation with an agent that has no device, and a host.
fn scene() -> (Installation, Daemon) {
    let server = shop();
    let add = ["-n", "shop", "agent", "add", "scribe", "--no-code"];
    server.cli(&add).ok();
    let daemon = Daemon::start(server.folder(), "host");
    (server, daemon)
}

fn devices(server: &Installation) -> usize {
    let list = ["-n", "shop", "--json", "agent", "list"];
    let list = server.cli(&list).ok().json();
    list["agents"][0]["devices"].as_array().unwrap().len()
}

fn here(daemon: &Daemon) -> Value {
    let list = ["--json", "device", "list", "--here"];
    let outcome: procura_acceptance::Outcome = daemon.procura(&list).output().unwrap().into();
    outcome.json()
}

#[test]
fn a_host_joins_by_an_operators_yes_and_runs() {
    let (server, daemon) = scene();
    server.put("shop", "api/key", CANARY.as_bytes());
    orders(&server, "shop", "scribe");
    let waiting = Waiting::begin(&server, &daemon);
    let (code, fingerprint) = (waiting.text("user_code"), waiting.text("fingerprint"));
    assert_eq!(waiting.text("state"), "pending");
    let complete = format!("{}?user_code={code}", waiting.text("verification_uri"));
    assert_eq!(waiting.text("verification_uri_complete"), complete);

    let pending = ["-n", "shop", "--json", "device", "pending"];
    let list = server.cli(&pending).ok().json();
    assert_eq!(list["grants"][0]["host"], "build-7");
    assert!(!list.to_string().contains(code));
    let approve = ["-n", "shop", "device", "approve", code, "--agent", "scribe"];
    server
        .cli(&approve)
        .says(fingerprint)
        .says("build-7 (as it says itself)")
        .ok();
    let _ = server.cli(&approve).code(77).says("answered");
    let (out, err, exit) = waiting.end();
    assert_eq!(exit, Some(0), "{err}");
    let joined: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&joined["state"], &joined["lineage"]),
        (&"joined".into(), &"alice//scribe".into())
    );
    assert_eq!(devices(&server), 1);
    assert_eq!(here(&daemon)["devices"][0]["device"], joined["device"]);

    // It is a device as any other.
    let run = |code| {
        let show = ["sh", "-c", "printf %s \"$API_KEY\""];
        let ran = daemon.run_for(server.folder(), "orders", &["API_KEY"], &show);
        ran.code(code).text()
    };
    let _ = run(75);
    let id = requests(&server, "shop")[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    server.cli(&["-n", "shop", "request", "approve", &id]).ok();
    assert_eq!(run(0), CANARY);
}

/// A host says itself what it is called: that stands in the terminal of whoever answers as
/// the host says it, in its own place, and what steers a terminal is no name.
#[test]
fn what_a_host_calls_itself_is_text() {
    const NAME: &str = "<b>x</b> & \"7\" $(id)";
    let (server, daemon) = scene();
    let waiting = Waiting::called(&server, &daemon, NAME);
    let code = waiting.text("user_code");
    let list = server.cli(&["-n", "shop", "device", "pending"]).ok().text();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    let device = waiting.text("device");
    let shown = format!("{device}  {NAME}  127.0.0.1  ");
    assert!(lines[1].starts_with(&shown), "{list}");
    let approve = ["-n", "shop", "device", "approve", code, "--agent", "scribe"];
    let host = format!("  host         {NAME} (as it says itself)\n");
    server.cli(&approve).says(&host).ok();
    let (_, err, exit) = waiting.end();
    assert_eq!(exit, Some(0), "{err}");
    for steering in ["a\u{1b}[2Jb", "a\nb", "x\u{202e}gpj"] {
        let join = ["join", "--device", "--host", steering];
        let join = [&["--server", server.url()][..], &join].concat();
        let outcome: procura_acceptance::Outcome = daemon.procura(&join).output().unwrap().into();
        let outcome = outcome.code(64).says("display_name");
        assert!(!outcome.stderr.contains(steering), "{outcome:?}");
    }
}

#[test]
fn a_no_is_said_and_leaves_nothing() {
    let (server, daemon) = scene();
    let waiting = Waiting::begin(&server, &daemon);
    let code = waiting.text("user_code").to_lowercase();
    server.cli(&["-n", "shop", "device", "deny", &code]).ok();
    let (out, err, exit) = waiting.end();
    assert_eq!((out.as_str(), exit), ("", Some(77)), "{err}");
    assert!(
        err.contains("access_denied") || err.contains("said no"),
        "{err}"
    );
    assert_eq!(devices(&server), 0);
    assert_eq!(here(&daemon)["devices"], serde_json::json!([]));
}

#[test]
fn ctrl_c_ends_it_and_the_next_one_begins_anew() {
    let (server, daemon) = scene();
    let mut first = Waiting::begin(&server, &daemon);
    kill_process(Pid::from_child(&first.child), Signal::INT).unwrap();
    let status = first.child.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
    // The code that nobody waits for can still be answered, and lets nobody in.
    let approve = |code: &str| {
        let words = ["-n", "shop", "device", "approve", code, "--agent", "scribe"];
        server.cli(&words).ok();
    };
    approve(first.text("user_code"));
    let second = Waiting::begin(&server, &daemon);
    assert_ne!(first.text("device"), second.text("device"));
    approve(second.text("user_code"));
    let (_, err, exit) = second.end();
    assert_eq!(exit, Some(0), "{err}");
    assert_eq!(devices(&server), 1);
}

#[test]
fn a_server_that_is_killed_while_a_host_waits_is_asked_again() {
    let (mut server, daemon) = scene();
    let waiting = Waiting::begin(&server, &daemon);
    let code = waiting.text("user_code").to_owned();
    let words = [
        "-n", "shop", "device", "approve", &code, "--agent", "scribe",
    ];
    server.cli(&words).ok();
    server.kill();
    server.start_again();
    server.unseal().ok();
    let (_, err, exit) = waiting.end();
    assert_eq!(exit, Some(0), "{err}");
    until("the device is the agent's", PATIENCE, || {
        (devices(&server) == 1).then_some(())
    });
}

#[test]
fn for_people_there_is_where_to_go_what_to_type_and_what_to_compare() {
    let (server, daemon) = scene();
    let words = ["--server", server.url(), "join", "--device"];
    let mut child = daemon
        .procura(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = Vec::new();
    for line in stderr.lines().map_while(Result::ok) {
        let last = line.contains("Ctrl-C stops");
        said.push(line);
        if last {
            break;
        }
    }
    let said = said.join("\n");
    let _ = child.kill();
    let _ = child.wait();
    for word in [
        "/device",
        "procura device approve",
        "--agent NAME",
        "fingerprint",
        "10 minutes",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// At a terminal the address is a picture too. It leads where the words lead, and what is
/// shown to be compared is what the operator sees.
#[test]
fn a_terminal_shows_the_address_as_a_picture_and_what_to_compare() {
    let (server, daemon) = scene();
    let terminal = Terminal::open(server.folder());
    terminal.line(&format!(
        "PROCURA_HOME={} PROCURA_SOCKET={} {} --server {} join --device --host build-7",
        daemon.home().display(),
        daemon.socket().display(),
        program("procura").display(),
        server.url(),
    ));
    let screen = until("what an operator needs", PATIENCE, || {
        let screen = terminal.screen();
        screen.contains("Ctrl-C stops.").then_some(screen)
    });
    let said = |name: &str| {
        let lines = screen.lines().map(str::trim);
        let mut named = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
        let said = named.next().map(|said| said.trim().to_owned());
        said.unwrap_or_else(|| panic!("{name}: {screen}"))
    };
    let (code, fingerprint) = (said("code"), said("fingerprint"));
    // The pages of a server on this machine go by a name.
    let pages = server.url().replace("127.0.0.1", "localhost");
    assert_eq!(said("open"), format!("{pages}/device"));
    let typed = format!("procura device approve {code} --agent NAME");
    assert_eq!(said("or type"), typed);
    let complete = format!("{pages}/device?user_code={code}");
    assert_eq!(read_qr(&screen), complete);
    // Of a fingerprint of 80 bits no part is left out.
    let groups: Vec<usize> = fingerprint.split('-').map(str::len).collect();
    assert_eq!(groups, [4, 4, 4, 4], "{fingerprint}");
    let approve = [
        "-n", "shop", "device", "approve", &code, "--agent", "scribe",
    ];
    server.cli(&approve).says(&fingerprint).ok();
    terminal.shows("this machine is alice//scribe now");
    assert_eq!(devices(&server), 1);
}

#[test]
fn where_nobody_answers_it_says_so() {
    let server = shop();
    let daemon = Daemon::start(server.folder(), "host");
    let words = ["--server", "http://127.0.0.1:9", "join", "--device"];
    let outcome: procura_acceptance::Outcome = daemon.procura(&words).output().unwrap().into();
    let _ = outcome.code(69).says("cannot reach");
    let typed = ["join", "--device", "pcj1_x"];
    let outcome: procura_acceptance::Outcome = daemon.procura(&typed).output().unwrap().into();
    let _ = outcome.code(64);
}
