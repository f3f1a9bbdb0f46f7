//! A live service taken from off over observe to enforce and back: what its gate
//! writes down is what the report reads.

use crate::installed::{Cli, Installed};
use crate::service_seen::Service;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A gate in a home of its own, ended when the test ends.
pub(crate) struct Gate {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// The same of health, if it is asked for.
    pub(crate) health: Option<String>,
}

impl Gate {
    pub(crate) fn start(home: &Path, cli: &Cli, upstream: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_procura"))
            .args(["gate", "--service", "web", "--listen", "127.0.0.1:0"])
            .args(["--upstream", upstream])
            .args(more)
            .env_clear()
            .env("PROCURA_HOME", home)
            .env("PROCURA_SERVER", cli.url.as_ref().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let url = ready["listen"].as_str().unwrap();
        let (_, address) = url.split_once("://").unwrap();
        let address = address.to_owned();
        let health = ready["health"].as_str();
        let health = health.map(|url| url.trim_start_matches("http://").to_owned());
        Self {
            child,
            address,
            health,
        }
    }

    /// The status of a request without any proof.
    pub(crate) fn unsigned(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].parse().unwrap()
    }

    /// The exit code of a request with the operator's proof.
    fn signed(&self, cli: &Cli) -> i32 {
        let url = format!("http://{}/orders", self.address);
        cli.run(&["request", "GET", &url], b"").code
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM; it ends in order.
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for what comes within a second or so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn from_off_over_observe_to_enforce_and_back_no_signed_request_fails() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "door", "--no-code"], b"");
    cli.ok(&["service", "add", "web", "--gate", "door"], b"");
    let code = cli.ok(&["agent", "code", "door"], b"");
    let upstream =
        Service::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let home = installed.dir().join("gate");
    let gate = Gate::start(&home, cli, &upstream.url(""), &["--join", code.trim()]);
    let log = home.join("logs/observe.jsonl");

    assert_eq!((gate.unsigned("/probe"), gate.signed(cli)), (200, 0));
    assert!(!log.exists());

    cli.ok(&["auth", "mode", "web", "observe"], b"");
    until("the gate observes", || {
        assert_eq!(gate.unsigned("/probe"), 200);
        log.exists()
    });
    for _ in 0..3 {
        assert_eq!(gate.signed(cli), 0);
    }
    gate.stop();
    let report = ["--json", "auth", "report", "web", "--log"];
    let report = [&report[..], &[log.to_str().unwrap()]].concat();
    let unsafe_yet = cli.run(&report, b"");
    assert_eq!(unsafe_yet.code, 77, "{}", unsafe_yet.err);
    let found: Value = serde_json::from_str(&unsafe_yet.out).unwrap();
    assert_eq!(
        (&found["passed"], &found["lost"], &found["damaged"]),
        (&json!(3), &json!(0), &json!([]))
    );
    let left = &found["left"];
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert_eq!(
        (&left[0]["reason"], &left[0]["agent"], &left[0]["from"]),
        (
            &json!("missing_headers"),
            &json!(null),
            &json!(["127.0.0.1"])
        )
    );
    assert_eq!(left[0]["count"], found["would_reject"]);
    let except = ["auth", "except", "web", "--route", "/probe"];
    cli.ok(&[&except[..], &["--because", "a scanner"]].concat(), b"");
    let found: Value = serde_json::from_str(&cli.ok(&report, b"")).unwrap();
    assert_eq!(found["safe"], true, "{found}");
    assert_eq!(found["excepted"][0]["count"], found["would_reject"]);

    let gate = Gate::start(&home, cli, &upstream.url(""), &[]);
    cli.ok(&["auth", "mode", "web", "enforce"], b"");
    until("the gate enforces", || {
        assert_eq!(gate.signed(cli), 0);
        gate.unsigned("/probe") == 401
    });
    assert_eq!(gate.signed(cli), 0);
    cli.ok(&["auth", "mode", "web", "observe", "--yes"], b"");
    until("the gate observes again", || {
        assert_eq!(gate.signed(cli), 0);
        gate.unsigned("/probe") == 200
    });
    gate.stop();
}
