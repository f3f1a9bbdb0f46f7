//! A gate that speaks TLS to its clients, and one that speaks it to its upstream.

use crate::installed::Installed;
use crate::observe::{Gate, until};
use crate::service_seen::Service;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A certificate that signs itself and its key, in files.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn new(dir: &Path, name: &str) -> Self {
        let pair = Self {
            cert: dir.join(format!("{name}.cert.pem")),
            key: dir.join(format!("{name}.key.pem")),
        };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args([
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-subj",
                "/CN=gate",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&pair.key)
            .arg("-out")
            .arg(&pair.cert)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::set_permissions(&pair.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        pair
    }

    fn args(&self) -> [&str; 4] {
        let (cert, key) = (self.cert.to_str().unwrap(), self.key.to_str().unwrap());
        ["--tls-cert", cert, "--tls-key", key]
    }
}

/// An installation with a service, and the code that its gate joins with.
fn with_a_service() -> (Installed, String) {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "door", "--no-code"], b"");
    cli.ok(&["service", "add", "web", "--gate", "door"], b"");
    let code = cli.ok(&["agent", "code", "door"], b"");
    (installed, code.trim().to_owned())
}

/// Status and HTTP version of an answer, or how curl ended.
fn curl(gate: &Gate, trusted: &Path, version: &str) -> Result<String, Option<i32>> {
    let curl = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "--max-time", "20", version])
        .args(["-o", "/dev/null", "-w", "%{http_code} %{http_version}"])
        .arg("--cacert")
        .arg(trusted)
        .arg(format!("https://{}/x", gate.address))
        .output()
        .unwrap();
    if curl.status.success() {
        Ok(String::from_utf8(curl.stdout).unwrap())
    } else {
        Err(curl.status.code())
    }
}

/// What the gate says of itself.
fn health(gate: &Gate) -> String {
    let address = gate.health.as_ref().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn clients_come_over_tls_and_a_new_certificate_is_used_at_once() {
    let (installed, code) = with_a_service();
    let pair = Pair::new(installed.dir(), "gate");
    let upstream = Service::answering(ANSWER);
    let home = installed.dir().join("gate");
    let mut args = vec!["--join", &code, "--health-listen", "127.0.0.1:0"];
    args.extend(pair.args());
    let gate = Gate::start(&home, &installed.cli, &upstream.url(""), &args);
    for (version, expected) in [("--http1.1", "200 1.1"), ("--http2", "200 2")] {
        assert_eq!(curl(&gate, &pair.cert, version), Ok(expected.to_owned()));
        let seen = upstream.next();
        assert_eq!(seen.line, "GET /x HTTP/1.1");
        assert_eq!(seen.header("x-forwarded-proto"), "https");
    }
    let other = Pair::new(installed.dir(), "other");
    // It is not of an authority that is trusted.
    assert_eq!(curl(&gate, &other.cert, "--http1.1"), Err(Some(60)));
    assert!(health(&gate).ends_with("{\"status\":\"ok\"}"));
    // One file after the other, as who renews it does: in between the old one is shown.
    std::fs::rename(&other.key, &pair.key).unwrap();
    gate.signal(rustix::process::Signal::HUP);
    until("the key alone is noticed", || {
        health(&gate).ends_with("{\"status\":\"ok\",\"degraded\":[\"tls\"]}")
    });
    assert!(curl(&gate, &pair.cert, "--http2").is_ok());
    let before = installed.dir().join("before.pem");
    std::fs::copy(&pair.cert, &before).unwrap();
    std::fs::copy(&other.cert, &pair.cert).unwrap();
    gate.signal(rustix::process::Signal::HUP);
    until("the new certificate is shown", || {
        curl(&gate, &other.cert, "--http2").is_ok()
    });
    assert_eq!(curl(&gate, &before, "--http2"), Err(Some(60)));
    assert!(health(&gate).ends_with("{\"status\":\"ok\"}"));
    gate.stop();
}

/// `openssl s_server`, ended when the test ends.
struct Secure(Child);

impl Drop for Secure {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A web server over TLS, and its port.
fn secure(pair: &Pair) -> (Secure, u16) {
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
        .arg(&pair.cert)
        .arg("-key")
        .arg(&pair.key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let port = out
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok());
    (Secure(child), port.unwrap())
}

#[test]
fn an_upstream_over_tls_has_to_be_who_it_should_be() {
    let (installed, code) = with_a_service();
    let pair = Pair::new(installed.dir(), "upstream");
    let (_upstream, port) = secure(&pair);
    let url = format!("https://localhost:{port}");
    let home = installed.dir().join("gate");
    // The authorities of this machine know nothing of it.
    let gate = Gate::start(&home, &installed.cli, &url, &["--join", &code]);
    assert_eq!(gate.unsigned("/"), 502);
    gate.stop();
    let ca = ["--upstream-ca", pair.cert.to_str().unwrap()];
    let gate = Gate::start(&home, &installed.cli, &url, &ca);
    assert_eq!(gate.unsigned("/"), 200);
    gate.stop();
}

#[test]
fn what_cannot_be_is_said_before_it_listens() {
    let (installed, code) = with_a_service();
    let cli = &installed.cli;
    let pair = Pair::new(installed.dir(), "gate");
    let [_, cert, _, key] = pair.args();
    let common = ["gate", "--service", "web", "--join", &code];
    let gate = |more: &[&str]| {
        let ran = cli.run(&[&common[..], more].concat(), b"");
        assert_eq!(ran.out, "");
        (ran.code, ran.err)
    };
    let http = [
        "--upstream",
        "http://127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
    ];
    let with = |more: &[&str]| gate(&[&http[..], more].concat());
    // Half of a pair; TLS and plain HTTP at once.
    for more in [
        &["--tls-cert", cert][..],
        &["--tls-key", key],
        &["--tls-cert", cert, "--tls-key", key, "--danger-plain-http"],
    ] {
        assert_eq!(with(more).0, 64, "{more:?}");
    }
    let open = ["--upstream", "http://127.0.0.1:1", "--listen", "0.0.0.0:0"];
    let (exit, error) = gate(&[&open[..], &["--host", "web.example"]].concat());
    assert_eq!(exit, 64);
    assert!(
        error.contains("next: --tls-cert FILE --tls-key FILE"),
        "{error}"
    );
    let (exit, error) = with(&["--upstream-ca", cert]);
    assert_eq!(exit, 64);
    assert!(error.contains("an https upstream is checked"), "{error}");
    // No certificate in the file; another's key; a key that others can read.
    let other = Pair::new(installed.dir(), "other");
    let other = other.args()[3].to_owned();
    for (args, what) in [
        (
            ["--tls-cert", key, "--tls-key", key],
            "holds no certificate",
        ),
        (
            ["--tls-cert", cert, "--tls-key", &other],
            "cannot be used together",
        ),
    ] {
        let (exit, error) = with(&args);
        assert_eq!(exit, 78, "{error}");
        assert!(error.contains(what), "{error}");
    }
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, error) = with(&pair.args());
    assert_eq!(exit, 78, "{error}");
    assert!(error.contains("chmod 600"), "{error}");
}
