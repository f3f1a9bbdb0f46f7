//! Decoy against what is not there, by the clock of somebody outside: a real server on
//! loopback, both in an order that a coin says, and the rank test of `honey_timing`. Few
//! pairs by default, or as many as `HONEY_PAIRS` says.
//!
//! What the test can find is looked at beside it: the same requests for nothing but what
//! is not there, half of them with a delay that is planted where the answer is awaited.
//! That delay is 20 µs, or what this many pairs can tell at all from how much the answers
//! of this run differ by themselves, if that is more.

use crate::actors::{join_body, value_b64};
use crate::honey_timing::{difference, findable};
use crate::process::{Home, NOW, Server, connect, start};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::sign::{Signer, sign_request};
use procura_server::Config;
use procura_types::{Entropy as _, LinkCodeText, RateLimit};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const NS: &str = "/v1/namespaces/shop";
/// From how many standard deviations on two samples are not of one distribution.
const APART: f64 = 5.0;
/// The delay that enough pairs find.
const PLANTED: Duration = Duration::from_micros(20);

/// Says a figure to whoever runs the tests.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stderr();
    writeln!(out, "{text}").unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no configuration"
)]
fn pairs() -> usize {
    let wanted = std::env::var("HONEY_PAIRS").ok();
    wanted.map_or(60, |text| text.parse().unwrap())
}

/// One connection, kept open.
struct Line {
    stream: TcpStream,
    authority: String,
}

impl Line {
    fn to(server: &Server) -> Self {
        let authority = server.api().to_owned();
        let stream = connect(&authority);
        stream.set_nodelay(true).unwrap();
        Self { stream, authority }
    }

    /// A request as its bytes go out, proven.
    fn signed(&self, key: &SigningKey, method: &str, target: &str, body: &Value) -> Vec<u8> {
        let bytes = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body).unwrap(),
        };
        let mut headers = vec![("host".to_owned(), self.authority.clone())];
        if !bytes.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let view = RequestView {
            method,
            authority: &self.authority,
            scheme: None,
            path: target,
            query: None,
            headers: &headers,
            body: &bytes,
        };
        let signed = sign_request(&view, Signer::Device(key), NOW, &SystemEntropy).unwrap();
        let more = signed.headers.into_iter();
        headers.extend(more.map(|(name, value)| (name.to_owned(), value)));
        headers.push(("content-length".to_owned(), bytes.len().to_string()));
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        [text.into_bytes(), bytes].concat()
    }

    /// Sends it and reads the answer to its end: status and body.
    fn ask(&mut self, bytes: &[u8]) -> (u16, String) {
        self.stream.write_all(bytes).unwrap();
        let mut found = Vec::with_capacity(2048);
        let mut part = [0; 4096];
        loop {
            let count = self.stream.read(&mut part).unwrap();
            assert!(count > 0, "closed: {}", String::from_utf8_lossy(&found));
            found.extend_from_slice(&part[..count]);
            let Some(head) = found.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&found[..head]).unwrap().to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |length| length.trim().parse::<usize>().unwrap());
            if found.len() >= head + 4 + length {
                let status = text.split(' ').nth(1).unwrap().parse().unwrap();
                let body = String::from_utf8_lossy(&found[head + 4..]).into_owned();
                return (status, body);
            }
        }
    }

    fn ok(&mut self, key: &SigningKey, method: &str, target: &str, body: &Value) -> Value {
        let sent = self.signed(key, method, target, body);
        let (status, text) = self.ask(&sent);
        assert!((200..300).contains(&status), "{method} {target}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A server with a decoy at `prod/aws` that declares `DECOY`, the operator `adam`, who may
/// not know of it, and the agent `scribe` of the project `web`.
struct Scene {
    server: Server,
    home: Home,
    adam: SigningKey,
    scribe: SigningKey,
}

impl Scene {
    fn set() -> Self {
        let home = Home::new();
        let server = start(Config {
            rate_address: Some(RateLimit::Off),
            // One connection has nothing to ask, or not yet, while many pairs go over another.
            head_seconds: 3600,
            idle_seconds: 3600,
            ..home.unsealed()
        })
        .unwrap();
        let mut line = Line::to(&server);
        let ok = |line: &mut Line, method: &str, target: &str, body: Value| {
            line.ok(&home.root, method, target, &body)
        };
        ok(&mut line, "POST", "/v1/namespaces", json!({"name": "shop"}));
        let roles = json!([{"role": "admin", "namespace": "shop"}]);
        let invitation = json!({"name": "adam", "roles": roles});
        let code = ok(&mut line, "POST", "/v1/operators", invitation);
        let adam = joined(
            &mut line,
            &code,
            SigningKey::generate_p256(&SystemEntropy).unwrap(),
        );
        let agents = format!("{NS}/agents");
        ok(&mut line, "POST", &agents, json!({"label": "scribe"}));
        let target = format!("{agents}/scribe/link-code");
        let code = ok(&mut line, "POST", &target, Value::Null);
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let scribe = joined(&mut line, &code, key);
        let put = json!({"value_b64": value_b64()});
        ok(&mut line, "PUT", &format!("{NS}/secrets/prod/real"), put);
        let project = json!({"agents": ["scribe"], "env": {"REAL": "prod/real"}});
        ok(&mut line, "PUT", &format!("{NS}/projects/web"), project);
        let decoy = json!({"shape": "aws", "env": "DECOY"});
        ok(&mut line, "PUT", "/v1/honey/shop/prod/aws", decoy);
        Self {
            server,
            home,
            adam,
            scribe,
        }
    }
}

fn joined(line: &mut Line, code: &Value, key: SigningKey) -> SigningKey {
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &key)).unwrap();
    let head = format!(
        "POST /v1/join HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        line.authority,
        body.len()
    );
    let (status, text) = line.ask(&[head.into_bytes(), body].concat());
    assert_eq!(status, 200, "{text}");
    key
}

/// Whoever asks for one thing after the other by its name, and is let out again whenever
/// that was a decoy.
struct Asker<'a> {
    line: Line,
    steward: Line,
    alice: &'a SigningKey,
    key: &'a SigningKey,
    /// Method, target and body for a name.
    request: fn(&str) -> (&'static str, String, Value),
    expected: (u16, &'static str),
}

impl Asker<'_> {
    /// How long the answer takes, behind another request for what is not there.
    fn timed(&mut self, name: &str, delay: Duration) -> Duration {
        let bytes = |asker: &Self, name: &str| {
            let (method, target, body) = (asker.request)(name);
            asker.line.signed(asker.key, method, &target, &body)
        };
        let (before, sent) = (bytes(self, "another"), bytes(self, name));
        self.line.ask(&before);
        let begin = Instant::now();
        let (status, text) = self.line.ask(&sent);
        let until = Instant::now() + delay;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let time = begin.elapsed();
        let code: Value = serde_json::from_str(&text).unwrap();
        let found = (status, code["code"].as_str().unwrap());
        assert_eq!(found, self.expected, "{name}: {text}");
        time
    }

    /// Lets the device out, once its quarantine is in the record.
    fn reinstate(&mut self) {
        let device = self.key.public().thumbprint();
        let target = format!("/v1/devices/{device}/reinstate");
        for _ in 0..10_000 {
            let sent = self
                .steward
                .signed(self.alice, "POST", &target, &Value::Null);
            if self.steward.ask(&sent).0 == 204 {
                return;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        panic!("the touch was not noticed");
    }

    /// By how many standard deviations the times of a decoy differ from those of what is
    /// not there, each asked for once behind a touch: what that sets off goes on for a
    /// moment, and what is asked for again is at hand. A coin says which comes next, so
    /// nothing that was before tells the two apart.
    fn decoy_against_missing(&mut self, (decoy, missing): (&str, &str), pairs: usize) -> f64 {
        let mut coins = vec![0; pairs * 2];
        SystemEntropy.fill(&mut coins).unwrap();
        let (mut decoys, mut others) = (Vec::new(), Vec::new());
        for coin in coins {
            if coin % 2 == 0 {
                decoys.push(self.timed(decoy, Duration::ZERO));
            } else {
                others.push(self.timed(missing, Duration::ZERO));
                self.timed(decoy, Duration::ZERO);
            }
            self.reinstate();
        }
        difference(&decoys, &others)
    }

    /// That as many pairs, one of each delayed, are told apart by the same test: in one of
    /// some tries, as how much the machine does beside it may change within one.
    fn finds_what_is_planted(&mut self, missing: &str, pairs: usize) {
        let mut found = (Duration::ZERO, 0.0);
        for _ in 0..5 {
            found = self.planted(missing, pairs);
            if found.1 > APART {
                return;
            }
        }
        panic!("{:?} was at {} deviations", found.0, found.1);
    }

    /// What was planted, and at how many deviations it was found.
    fn planted(&mut self, missing: &str, pairs: usize) -> (Duration, f64) {
        let plain: Vec<Duration> = (0..pairs.max(100))
            .map(|_| self.timed(missing, Duration::ZERO))
            .collect();
        let (spread, least) = findable(&plain, pairs, APART);
        let planted = PLANTED.max(least * 2);
        let (mut delayed, mut others) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            if pair % 2 == 1 {
                others.push(self.timed(missing, Duration::ZERO));
            }
            delayed.push(self.timed(missing, planted));
            if pair % 2 == 0 {
                others.push(self.timed(missing, Duration::ZERO));
            }
        }
        let found = difference(&delayed, &others);
        say(&format!(
            "{pairs} pairs, answers differ by {spread:?} themselves: {least:?} can be found, {planted:?} was at {found:.1} deviations"
        ));
        (planted, found)
    }
}

#[test]
fn from_outside_a_decoy_takes_as_long_as_what_is_not_there() {
    let scene = Scene::set();
    let asker = |key, request, expected| Asker {
        line: Line::to(&scene.server),
        steward: Line::to(&scene.server),
        alice: &scene.home.root,
        key,
        request,
        expected,
    };
    let read = asker(
        &scene.adam,
        |name| ("GET", format!("{NS}/secrets/prod/{name}"), Value::Null),
        (404, "not_found"),
    );
    let run = asker(
        &scene.scribe,
        |name| {
            let body = json!({"names": [name], "delivery": "env"});
            ("POST", format!("{NS}/projects/web/runs"), body)
        },
        (422, "nothing_to_deliver"),
    );
    let pairs = pairs();
    for (mut asker, what, names) in [
        (read, "a read", ("aws", "gcp")),
        (run, "a run", ("DECOY", "OTHER")),
    ] {
        asker.finds_what_is_planted(names.1, pairs);
        let found = asker.decoy_against_missing(names, pairs);
        say(&format!("{what}: {pairs} pairs, {found:.2} deviations"));
        assert!(found.abs() < APART, "{what}: {found} standard deviations");
    }
}
