//! The listeners as `curl` and `openssl` meet them: both versions of HTTP, a
//! certificate that is renewed, and a client that takes its time.

use crate::scene::PATIENCE;
use procura_acceptance::{Installation, Outcome, until};
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What curl says of `/v1/status`: its own code, and version and status of the answer.
fn curl(base: &str, words: &[&str]) -> (i32, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--output", "/dev/null"])
        .args(["--max-time", "20", "--noproxy", "*"])
        .args(["--write-out", "%{http_version} %{response_code}"])
        .args(words)
        .arg(format!("{base}/v1/status"))
        .output()
        .unwrap();
    let outcome = Outcome::from(output);
    (outcome.code, outcome.text())
}

/// A certificate for loopback and its key, as `openssl` makes them.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn made(folder: &Path, name: &str) -> Self {
        let pair = Self {
            cert: folder.join(format!("{name}.cert.pem")),
            key: folder.join(format!("{name}.key.pem")),
        };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
            .args([
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&pair.key)
            .arg("-out")
            .arg(&pair.cert)
            .output()
            .unwrap();
        Outcome::from(made).ok();
        std::fs::set_permissions(&pair.key, Permissions::from_mode(0o600)).unwrap();
        pair
    }

    /// Puts it in the place of another, as the runbook says.
    fn replaces(&self, other: &Self) {
        for (from, to) in [(&self.cert, &other.cert), (&self.key, &other.key)] {
            let beside = to.with_extension("new");
            std::fs::copy(from, &beside).unwrap();
            std::fs::rename(&beside, to).unwrap();
        }
    }

    fn trusted(&self) -> [&str; 2] {
        ["--cacert", self.cert.to_str().unwrap()]
    }
}

/// A server with the lines in its `procura.toml`.
fn configured(mut server: Installation, lines: &str) -> Installation {
    server.stop();
    std::fs::write(server.home().join("procura.toml"), lines).unwrap();
    server.start_again();
    server
}

fn over_tls(pair: &Pair, server: Installation) -> Installation {
    let (cert, key) = (pair.cert.display(), pair.key.display());
    configured(
        server,
        &format!("tls_cert = \"{cert}\"\ntls_key = \"{key}\"\n"),
    )
}

fn hang_up(server: &Installation) {
    let pid = server.pid().to_string();
    let told = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(told.success());
}

#[test]
fn curl_speaks_both_versions() {
    let server = Installation::empty();
    let plain = server.url();
    assert_eq!(curl(plain, &["--http1.1"]), (0, "1.1 200".to_owned()));
    let known = ["--http2-prior-knowledge"];
    assert_eq!(curl(plain, &known), (0, "2 200".to_owned()));
    // It asks for an upgrade, which there is none of, and goes on as it was.
    assert_eq!(curl(plain, &["--http2"]), (0, "1.1 200".to_owned()));
    // Another name than the server's, in either version.
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let other = ["--header", "Host: vault.example", version];
        let (code, answer) = curl(plain, &other);
        assert!(code == 0 && answer.ends_with(" 400"), "{version}: {answer}");
    }
    let health = server.health().to_owned();
    assert_ne!(curl(&health, &known).0, 0, "health speaks HTTP/1 alone");

    let pair = Pair::made(server.folder(), "one");
    let server = over_tls(&pair, server);
    assert!(server.url().starts_with("https://"), "{}", server.url());
    for (word, answer) in [
        ("--http2", "2 200"),
        ("--http1.1", "1.1 200"),
        ("--no-alpn", "1.1 200"),
    ] {
        let words = [&pair.trusted()[..], &[word]].concat();
        assert_eq!(curl(server.url(), &words), (0, answer.to_owned()), "{word}");
    }
}

#[test]
fn a_renewed_certificate_is_used_without_a_failed_request() {
    let server = Installation::empty();
    let [at, next] = ["one", "two"].map(|name| Pair::made(server.folder(), name));
    let both = server.folder().join("both.pem");
    let text = [&at, &next].map(|pair| std::fs::read_to_string(&pair.cert).unwrap());
    std::fs::write(&both, text.concat()).unwrap();
    let old = Pair {
        cert: server.folder().join("old.pem"),
        key: at.key.clone(),
    };
    std::fs::copy(&at.cert, &old.cert).unwrap();
    let server = over_tls(&at, server);
    let (url, pid) = (server.url().to_owned(), server.pid());
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for version in ["--http1.1", "--http2"] {
            let words = ["--cacert", both.to_str().unwrap(), version].map(str::to_owned);
            let (url, over, asked) = (&url, &over, &asked);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let (code, answer) = curl(url, &words.each_ref().map(String::as_str));
                    assert!(code == 0 && answer.ends_with(" 200"), "{code} {answer}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let enough = |before: usize| {
            until("requests", PATIENCE, || {
                (asked.load(Ordering::Relaxed) > before + 5).then_some(())
            });
        };
        enough(0);
        // A key that does not fit changes nothing, and the log says so.
        std::fs::copy(&next.key, &at.key).unwrap();
        hang_up(&server);
        until("the warning", PATIENCE, || {
            let said = server.server_said();
            said.contains("the certificate from before stays in use")
                .then_some(())
        });
        assert_eq!(curl(&url, &old.trusted()).0, 0);
        next.replaces(&at);
        hang_up(&server);
        until("the new certificate", PATIENCE, || {
            (curl(&url, &next.trusted()).0 == 0).then_some(())
        });
        enough(asked.load(Ordering::Relaxed));
        over.store(true, Ordering::Relaxed);
    });
    // 60 is what curl says of a certificate that it does not trust.
    assert_eq!(curl(&url, &old.trusted()).0, 60);
    assert_eq!(server.pid(), pid);
    let said = server.server_said();
    assert!(said.contains("the new certificate is in use"), "{said}");
}

#[test]
fn a_client_that_takes_its_time_loses_its_place() {
    let server = configured(
        Installation::empty(),
        "head_seconds = 1\nidle_seconds = 1\nmax_connections_per_address = 2\n",
    );
    let address = server.url().trim_start_matches("http://").to_owned();
    // Half a head, and a request that no other follows: both places.
    let ask = format!("GET /v1/status HTTP/1.1\r\nHost: {address}\r\n");
    let slow: Vec<TcpStream> = ["", "\r\n"]
        .into_iter()
        .map(|end| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(format!("{ask}{end}").as_bytes()).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    for mut stream in slow {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    until("a place", PATIENCE, || {
        (curl(server.url(), &[]).0 == 0).then_some(())
    });
    let metrics = Command::new("curl")
        .args(["--silent", &format!("{}/metrics", server.health())])
        .output()
        .unwrap();
    let metrics = Outcome::from(metrics).text();
    let line = "procura_connections_turned_away_total";
    assert!(metrics.contains(line), "{metrics}");
}
