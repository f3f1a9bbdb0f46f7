//! A gate in front of a service, with the server that it follows.

use crate::http::read_request;
use crate::scene::{PATIENCE, agent, shop};
use procura_acceptance::{GateHost, Installation, promised, until};
use procura_crypto::{MacKey, SigningKey, SystemEntropy, sha256};
use procura_proof::sign::{Signer, sign_request};
use procura_proof::{RequestView, join_message};
use procura_types::{Joins, LinkCodeText, Timestamp, encoding};
use serde_json::{Value, json};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A service that answers with the head that it got, and counts.
pub(crate) struct Upstream {
    pub(crate) url: String,
    served: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || serve(stream.unwrap(), &count));
            }
        });
        Self { url, served }
    }

    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, count: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((head, _)) = read_request(&mut reader) {
        count.fetch_add(1, Ordering::SeqCst);
        let size = head.len();
        if write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{head}"
        )
        .is_err()
        {
            return;
        }
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
}

/// A request, ready to be sent any number of times.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// That it is this refusal.
    pub(crate) fn refuses(&self, status: u16, reason: &str) {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        assert_eq!(
            (self.status, body["reason"].as_str()),
            (status, Some(reason)),
            "{}{}",
            self.head,
            self.body
        );
    }

    pub(crate) fn passes(&self) -> &str {
        assert_eq!(self.status, 200, "{}{}", self.head, self.body);
        &self.body
    }
}

impl Call {
    pub(crate) fn new(method: &'static str, path: &str, body: &[u8]) -> Self {
        let mut headers = Vec::new();
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Self {
            method,
            path: path.to_owned(),
            headers,
            body: body.to_vec(),
        }
    }

    pub(crate) fn signed(mut self, host: &str, signer: Signer<'_>) -> Self {
        let view = RequestView {
            method: self.method,
            authority: host,
            scheme: None,
            path: &self.path,
            query: None,
            headers: &self.headers,
            body: &self.body,
        };
        let signed = sign_request(&view, signer, now(), &SystemEntropy).unwrap();
        let more = signed.headers.into_iter();
        self.headers
            .extend(more.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    pub(crate) fn send(&self, host: &str) -> Answer {
        self.send_to(host, host)
    }

    /// Sends it to another address than that of the name that it is for.
    pub(crate) fn send_to(&self, address: &str, host: &str) -> Answer {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        stream.write_all(text.as_bytes()).unwrap();
        stream.write_all(&self.body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: format!("{head}\r\n"),
            body: body.to_owned(),
        }
    }
}

/// A device of an agent, whose key the test has.
pub(crate) struct Holder {
    pub(crate) key: SigningKey,
    actor: String,
}

/// A session of it, as the server gave it.
pub(crate) struct Session {
    id: String,
    key: MacKey,
}

impl Holder {
    pub(crate) fn join(server: &Installation, code: &str) -> Self {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        let code = LinkCodeText::parse(code).unwrap();
        let Joins::Agent(actor) = code.joins else {
            panic!("not an agent's code");
        };
        let hash = sha256(code.code.expose());
        let signed = join_message(&code.server, &hash, &actor, &key.public().thumbprint());
        let body = json!({
            "code_sha256": encoding::b64url(&hash),
            "actor_id": actor,
            "device_key": key.public().to_jwk(),
            "signature": encoding::b64url(&key.sign(&signed).unwrap()),
        });
        let call = Call::new("POST", "/v1/join", body.to_string().as_bytes());
        call.send(host(server)).passes();
        Self {
            key,
            actor: actor.to_string(),
        }
    }

    pub(crate) fn get(&self, host: &str, path: &str) -> Call {
        Call::new("GET", path, b"").signed(host, Signer::Device(&self.key))
    }

    pub(crate) fn session(&self, server: &Installation, audience: &str) -> Session {
        let answer = self.ask_session(server, audience);
        let answer: Value = serde_json::from_str(answer.passes()).unwrap();
        let key = encoding::from_b64url("mac_key", answer["mac_key"].as_str().unwrap()).unwrap();
        Session {
            id: answer["session_id"].as_str().unwrap().to_owned(),
            key: MacKey::from_bytes(&key).unwrap(),
        }
    }

    fn ask_session(&self, server: &Installation, audience: &str) -> Answer {
        let body = json!({"audience": audience}).to_string();
        let call = Call::new("POST", "/v1/sessions", body.as_bytes());
        call.signed(host(server), Signer::Device(&self.key))
            .send(host(server))
    }
}

impl Session {
    pub(crate) fn post(&self, host: &str, counter: u64) -> Call {
        Call::new("POST", "/orders", b"{\"n\":1}").signed(
            host,
            Signer::Session {
                id: &self.id,
                mac_key: &self.key,
                counter,
            },
        )
    }
}

pub(crate) fn host(server: &Installation) -> &str {
    server.url().strip_prefix("http://").unwrap()
}

/// The installation with the service `web`, which enforces, and a gate of it.
pub(crate) fn web(upstream: &Upstream, words: &[&str]) -> (Installation, GateHost) {
    let server = shop();
    let code = service(&server);
    let gate = gate(&server, &code, &upstream.url, words);
    (server, gate)
}

/// The service `web` in the namespace `shop`, which enforces; the code of its gate.
pub(crate) fn service(server: &Installation) -> String {
    let code = agent(server, "shop", "door");
    let add = ["-n", "shop", "service", "add", "web", "--mode", "enforce"];
    server.cli(&[&add[..], &["--gate", "door"]].concat()).ok();
    code
}

/// The gate of that service, in front of this URL. Who is known to the server when it
/// starts is known to it.
pub(crate) fn gate(server: &Installation, code: &str, url: &str, words: &[&str]) -> GateHost {
    let base = ["--service", "web", "--upstream", url];
    GateHost::start(server, "gate", code, &[&base[..], words].concat())
}

#[test]
fn a_gate_lets_in_who_is_known_by_itself_and_tells_the_service_who() {
    let upstream = Upstream::start();
    let (server, mut gate) = web(&upstream, &[]);
    let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
    let at = gate.address().to_owned();

    // Who joined after the gate began is known to it within a second.
    let joined = Instant::now();
    until("the agent is known", PATIENCE, || {
        (scribe.get(&at, "/").send(&at).status == 200).then_some(())
    });
    assert!(joined.elapsed() < promised(5));

    // The service learns who it is, and nothing that the caller says of that.
    let mut spoofed = scribe.get(&at, "/orders");
    for name in [
        "Procura-Agent",
        "procura_actor",
        "PROCURA-OWNER",
        "Procura_Profile",
    ] {
        spoofed
            .headers
            .push((name.to_owned(), "mallory".to_owned()));
    }
    let answer = spoofed.send(&at);
    let head = answer.passes().to_ascii_lowercase();
    assert!(!head.contains("mallory"), "{head}");
    let line = |name: &str, value: &str| {
        let lines: Vec<_> = head
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{name}: ")))
            .collect();
        assert_eq!(lines, [value.to_ascii_lowercase()], "{head}");
    };
    line("procura-agent", "alice//scribe");
    line("procura-profile", "native");
    line("procura-actor", &scribe.actor);
    assert!(head.contains("procura-owner: "), "{head}");

    // A proof is good once, also when the gate died in between and came back at once.
    let once = scribe.get(&at, "/once");
    once.send(&at).passes();
    let served = upstream.served();
    once.send(&at).refuses(401, "nonce_replayed");
    gate.kill();
    gate.start_again();
    once.send(&at).refuses(401, "nonce_replayed");
    assert_eq!(upstream.served(), served);
    scribe.get(&at, "/").send(&at).passes();

    // Sessions for this gate, and for nobody else.
    let session = scribe.session(&server, "gate:shop/web");
    let first = session.post(&at, 1);
    let head = first.send(&at).passes().to_ascii_lowercase();
    assert!(head.contains("procura-profile: session"), "{head}");
    first.send(&at).refuses(401, "nonce_replayed");
    let served = upstream.served();
    let with_server = scribe.session(&server, "procura");
    with_server
        .post(&at, 1)
        .send(&at)
        .refuses(401, "session_unknown");
    let mut changed = session.post(&at, 2);
    changed.body = b"{\"n\":2}".to_vec();
    changed.send(&at).refuses(401, "digest_mismatch");
    let nowhere = scribe.ask_session(&server, "gate:shop/nothing");
    assert_eq!(nowhere.status, 404, "{}", nowhere.body);

    // Nobody, strangers, profiles of others (more of them in `gate_foreign`).
    Call::new("GET", "/", b"")
        .send(&at)
        .refuses(401, "missing_headers");
    let stranger = Holder {
        key: SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
        actor: String::new(),
    };
    stranger
        .get(&at, "/")
        .send(&at)
        .refuses(401, "unknown_agent");
    let mut foreign = Call::new("GET", "/", b"");
    for (name, value) in [
        ("X-Agent-Id", "legacy"),
        ("X-Timestamp", "2026-11-21T00:00:00Z"),
        ("X-Nonce", "00112233445566778899aabbccddeeff"),
        ("X-Signature", "AAAA"),
    ] {
        foreign.headers.push((name.to_owned(), value.to_owned()));
    }
    foreign.send(&at).refuses(401, "timestamp_out_of_window");
    assert_eq!(upstream.served(), served);

    // Another home is not let in beside this one.
    let code = server
        .cli(&["-n", "shop", "agent", "code", "door"])
        .ok()
        .text();
    let words = ["--service", "web", "--upstream", &upstream.url];
    GateHost::refused(&server, "second", &code, &words, None)
        .code(77)
        .says("another gate of web runs");
    // Nor a mode that nobody knows, nor an agent that the service does not name.
    GateHost::refused(&server, "gate", "", &words, Some("enfroce"))
        .code(78)
        .says("AUTH_MODE must be off, observe or enforce");
    let code = agent(&server, "shop", "other");
    GateHost::refused(&server, "third", &code, &words, None)
        .code(77)
        .says("there is no service web that this gate's agent may run a gate of");

    // Revoked at the server is revoked at the gate within a second.
    session.post(&at, 3).send(&at).passes();
    server
        .cli(&["-n", "shop", "agent", "revoke", "scribe"])
        .ok();
    let revoked = Instant::now();
    until("the agent is revoked at the gate", PATIENCE, || {
        (scribe.get(&at, "/").send(&at).status == 401).then_some(())
    });
    assert!(revoked.elapsed() < promised(1));
    scribe.get(&at, "/").send(&at).refuses(401, "revoked");
    session.post(&at, 4).send(&at).refuses(401, "revoked");

    assert_eq!(gate.stop(), Some(0));
    let seen = std::fs::read_to_string(gate.home().join("gate/directory-seen")).unwrap();
    assert!(seen.parse::<u64>().unwrap() > 0);
}

#[test]
fn a_gate_goes_by_the_dial_as_it_is_turned_and_closes_when_it_knows_too_little() {
    let upstream = Upstream::start();
    let (mut server, mut gate) = web(
        &upstream,
        &["--max-stale", "3", "--health-listen", "127.0.0.1:0"],
    );
    let health = || Call::new("GET", "/health", b"").send(gate.health());
    let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
    let at = gate.address().to_owned();
    until("the agent is known", PATIENCE, || {
        (scribe.get(&at, "/").send(&at).status == 200).then_some(())
    });

    let unsigned = Call::new("GET", "/", b"");
    unsigned.send(&at).refuses(401, "missing_headers");
    for (mode, status) in [("observe", 200), ("off", 200), ("enforce", 401)] {
        server
            .cli(&["-n", "shop", "auth", "mode", "web", mode])
            .ok();
        until(mode, PATIENCE, || {
            (unsigned.send(&at).status == status).then_some(())
        });
    }
    let log = gate.home().join("logs/observe.jsonl");
    let line: Value = until("what was observed is in the log", PATIENCE, || {
        let text = std::fs::read_to_string(&log).ok()?;
        serde_json::from_str(text.lines().next()?).ok()
    });
    let word = |key: &str| line[key].as_str().unwrap_or_default();
    assert_eq!(
        [word("event"), word("service"), word("reason"), word("path")],
        ["would_reject", "web", "missing_headers", "/"]
    );

    assert_eq!(health().passes(), r#"{"status":"ok"}"#);

    // Nobody can be checked once what is known is too old; no service is lost for good.
    assert_eq!(server.stop(), Some(0));
    scribe.get(&at, "/").send(&at).passes();
    until("the gate closes", PATIENCE, || {
        (scribe.get(&at, "/").send(&at).status == 503).then_some(())
    });
    let served = upstream.served();
    let closed = scribe.get(&at, "/").send(&at);
    closed.refuses(503, "verifier_unavailable");
    assert!(
        closed.head.to_ascii_lowercase().contains("retry-after: "),
        "{}",
        closed.head
    );
    assert_eq!(upstream.served(), served);
    let stale = health();
    assert_eq!((stale.status, &*stale.body), (503, r#"{"status":"stale"}"#));
    // It does not begin so either, unless a mode of the environment says what to do.
    assert_eq!(gate.stop(), Some(0));
    let words = ["--service", "web", "--upstream", &upstream.url];
    let begun = GateHost::refused(&server, "gate", "", &words, None);
    begun.code(69).says("cannot reach");
    gate.start_again_as("off");
    unsigned.send(&at).passes();
    assert_eq!(gate.stop(), Some(0));
    gate.start_again_as("enforce");
    server.start_again();
    // Sealed is not enough.
    scribe
        .get(&at, "/")
        .send(&at)
        .refuses(503, "verifier_unavailable");
    server.unseal().ok();
    until("the gate opens", PATIENCE, || {
        (scribe.get(&at, "/").send(&at).status == 200).then_some(())
    });

    // The environment is over the dial.
    assert_eq!(gate.stop(), Some(0));
    gate.start_again_as("off");
    unsigned.send(&at).passes();
    assert_eq!(gate.stop(), Some(0));
    gate.start_again();
    unsigned.send(&at).refuses(401, "missing_headers");

    // A gate that is taken off the service lets nobody in until it is put back; one
    // whose agent is revoked never again.
    let answers = |status: u16| {
        until("the gate hears of it", PATIENCE, || {
            (scribe.get(&at, "/").send(&at).status == status).then_some(())
        });
    };
    answers(200);
    let service = ["-n", "shop", "service", "gate", "web", "door"];
    server.cli(&[&service[..], &["--remove"]].concat()).ok();
    answers(503);
    server.cli(&service).ok();
    answers(200);
    // Nor does a service stay open that was open last.
    let unsigned_gets = |status: u16| {
        until("the gate hears of it", PATIENCE, || {
            (unsigned.send(&at).status == status).then_some(())
        });
    };
    let turn = |mode: &str| {
        let mode = ["-n", "shop", "auth", "mode", "web", mode];
        server.cli(&mode).ok();
    };
    turn("off");
    unsigned_gets(200);
    server.cli(&[&service[..], &["--remove"]].concat()).ok();
    unsigned_gets(401);
    server.cli(&service).ok();
    unsigned_gets(200);
    turn("enforce");
    unsigned_gets(401);
    server.cli(&["-n", "shop", "agent", "revoke", "door"]).ok();
    answers(503);
    assert_eq!(gate.stop(), Some(0));
}

#[test]
fn a_gate_goes_by_the_rate_of_a_route_and_by_where_an_agent_may_be() {
    let upstream = Upstream::start();
    let (server, gate) = web(&upstream, &[]);
    let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
    let at = gate.address().to_owned();
    let asks = |path: &str| scribe.get(&at, path).send(&at);
    let becomes = |what: &str, path: &str, status: u16| {
        until(what, PATIENCE, || {
            Some(asks(path)).filter(|answer| answer.status == status)
        })
    };
    becomes("the agent is known", "/", 200);

    let cli = |words: &[&str]| server.cli(&[&["-n", "shop"][..], words].concat());
    let _ = cli(&["service", "route", "web", "/search", "--rate", "often"]).code(64);
    let rated = cli(&[
        "service",
        "route",
        "web",
        "/search",
        "--rate",
        "1/h burst 2",
    ])
    .ok();
    assert!(rated.text().contains("1/h burst 2"), "{}", rated.text());
    let limited = becomes("the rate counts", "/search", 429);
    limited.refuses(429, "rate_limited");
    let head = limited.head.to_ascii_lowercase();
    let policy = "ratelimit-policy: \"route\";q=2;w=7200\r\n";
    assert!(head.contains(policy), "{head}");
    // But for the seconds that went by since the first was counted.
    for (words, seconds) in [
        ("retry-after: ", 3600),
        ("ratelimit: \"route\";r=0;t=", 10800),
    ] {
        let (_, said) = head.split_once(words).unwrap();
        let said = said.split_once("\r\n").unwrap().0.parse::<u64>().unwrap();
        assert!((seconds - 60..=seconds).contains(&said), "{head}");
    }
    asks("//search").refuses(429, "rate_limited");
    asks("/elsewhere").passes();

    let _ = cli(&["agent", "sources", "scribe", "--allow", "10.0.0.0/33"]).code(64);
    let allow = ["agent", "sources", "scribe", "--allow", "10.0.0.0/8"];
    assert_eq!(cli(&allow).ok().text(), "10.0.0.0/8");
    let refused = becomes("the gate knows where it may be", "/", 403);
    refused.refuses(403, "source_not_allowed");
    // What it says of its way is nothing.
    let mut spoofed = scribe.get(&at, "/");
    for (name, value) in [
        ("X-Forwarded-For", "10.0.0.5"),
        ("Forwarded", "for=10.0.0.5"),
    ] {
        spoofed.headers.push((name.to_owned(), value.to_owned()));
    }
    spoofed.send(&at).refuses(403, "source_not_allowed");
    let api = || {
        scribe
            .get(host(&server), "/v1/namespaces")
            .send(host(&server))
    };
    api().refuses(403, "source_not_allowed");
    cli(&["agent", "sources", "scribe", "--any"]).ok();
    becomes("it may be anywhere", "/", 200);
    api().passes();
    let shown = cli(&["--json", "agent", "sources", "scribe"]).ok().json();
    assert!(shown.get("sources").is_none(), "{shown}");
}
