//! Verifiers that share a replay guard: a real server of it, the real programs.

use crate::gate::{Answer, Call, Holder, Upstream, host};
use crate::scene::{PATIENCE, agent};
use procura_acceptance::{GateHost, Installation, promised, until};
use procura_store::guard::LocalRedis;
use procura_types::LinkCodeText;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The name that both gates go by.
const NAME: &str = "web.example";

/// Until proofs are let in again after the memory was lost: those that can have been
/// used before are not.
const LOST: Duration = Duration::from_secs(180);

/// A server and two gates of the service `web`, with one guard.
struct Scene {
    redis: LocalRedis,
    server: Installation,
    gates: [GateHost; 2],
    upstream: Upstream,
    scribe: Holder,
    _dir: TempDir,
}

/// A way to the server that can be cut.
struct Relay {
    address: String,
    server: Arc<OnceLock<String>>,
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Relay {
    /// One that leads nowhere yet.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let server: Arc<OnceLock<String>> = Arc::default();
        let (held, to) = (Arc::clone(&open), Arc::clone(&server));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut held = held.lock().unwrap();
                let Some(streams) = held.as_mut() else {
                    return;
                };
                let server = TcpStream::connect(to.get().unwrap()).unwrap();
                let client = client.unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    streams.extend([from.try_clone().unwrap(), to.try_clone().unwrap()]);
                    // It ends when either side does.
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
            }
        });
        Self {
            address,
            server,
            open,
        }
    }

    /// Nothing goes through from now on.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().take().unwrap() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Scene {
    fn set() -> Self {
        Self::with("")
    }

    /// As [`Self::set`], with more in the server's configuration.
    fn with(more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let redis = LocalRedis::start(dir.path(), &[]);
        let config = format!("guard_url = \"{}\"\n{more}", redis.url());
        let server = Installation::configured(&config);
        server.cli(&["namespace", "create", "shop"]).ok();
        let first = agent(&server, "shop", "door");
        let add = ["-n", "shop", "service", "add", "web", "--mode", "enforce"];
        server.cli(&[&add[..], &["--gate", "door"]].concat()).ok();
        let second = another(&server);
        let upstream = Upstream::start();
        let words = [
            "--service",
            "web",
            "--upstream",
            &upstream.url,
            "--host",
            NAME,
            "--guard-url",
            &redis.url(),
            "--health-listen",
            "127.0.0.1:0",
        ];
        let gates = [("one", first), ("two", second)].map(|(name, code)| {
            // These two ask the server itself, whatever way its public URL is.
            let mut code = LinkCodeText::parse(&code).unwrap();
            server.url().clone_into(&mut code.url);
            GateHost::start(&server, name, code.encode().expose(), &words)
        });
        let scribe = Holder::join(&server, &agent(&server, "shop", "scribe"));
        let scene = Self {
            redis,
            server,
            gates,
            upstream,
            scribe,
            _dir: dir,
        };
        for gate in [0, 1] {
            until("the agent is known", PATIENCE, || {
                (scene.asks(gate).status == 200).then_some(())
            });
        }
        scene
    }

    fn send(&self, gate: usize, call: &Call) -> Answer {
        call.send_to(self.gates[gate].address(), NAME)
    }

    /// What a new proof gets.
    fn asks(&self, gate: usize) -> Answer {
        self.send(gate, &self.scribe.get(NAME, "/orders"))
    }
}

/// A code for another device of the gates' agent.
fn another(server: &Installation) -> String {
    server
        .cli(&["-n", "shop", "agent", "code", "door"])
        .ok()
        .text()
}

#[test]
fn two_gates_with_one_guard_refuse_each_others_replays() {
    let mut scene = Scene::set();
    let call = scene.scribe.get(NAME, "/once");
    scene.send(0, &call).passes();
    let served = scene.upstream.served();
    for gate in [1, 0] {
        scene.send(gate, &call).refuses(401, "nonce_replayed");
    }
    assert_eq!(scene.upstream.served(), served);

    let session = scene.scribe.session(&scene.server, "gate:shop/web");
    let (first, second) = (session.post(NAME, 1), session.post(NAME, 2));
    scene.send(1, &first).passes();
    scene.send(0, &first).refuses(401, "nonce_replayed");
    scene.send(0, &second).passes();
    scene.send(1, &second).refuses(401, "nonce_replayed");

    // Also when all that is ours was started anew.
    let at = host(&scene.server).to_owned();
    let once = scene.scribe.get(&at, "/v1/namespaces");
    once.send(&at).passes();
    scene.server.kill();
    for gate in &mut scene.gates {
        gate.kill();
    }
    scene.server.start_again();
    scene.server.unseal().ok();
    once.send(&at).refuses(401, "nonce_replayed");
    scene.gates[1].start_again();
    scene.send(1, &call).refuses(401, "nonce_replayed");
    scene.send(1, &second).refuses(401, "nonce_replayed");
    scene.asks(1).passes();
    scene.gates[0].start_again();
    scene.asks(0).passes();
}

#[test]
fn a_gate_without_the_guard_or_with_another_is_not_let_in_beside() {
    let scene = Scene::set();
    let base = ["--service", "web", "--upstream", &scene.upstream.url];
    let refused = |name: &str, words: &[&str], code: u8, why: &str| {
        let words = [&base[..], words].concat();
        let joins = another(&scene.server);
        GateHost::refused(&scene.server, name, &joins, &words, None)
            .code(code.into())
            .says(why);
    };
    refused("third", &[], 77, "another gate of web runs");
    refused("third", &[], 77, "the same --guard-url");

    let dir = TempDir::new().unwrap();
    let other = LocalRedis::start(dir.path(), &[]);
    let with_other = ["--guard-url", &other.url()];
    refused("fourth", &with_other, 77, "another gate of web runs");

    // One that is not fit to be a guard, and none at all.
    other.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    let type_this = format!(
        "type: redis-cli -u {} config set maxmemory-policy noeviction",
        other.url()
    );
    refused("fifth", &with_other, 78, &type_this);
    other.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    other.tell(&["CONFIG", "SET", "requirepass", "sesame-7"]);
    refused("sixth", &with_other, 78, "--guard-password-file");
    let with_password = |name: &str| format!("redis://:{name}@127.0.0.1:{}", other.port());
    let password = ["--guard-url", &with_password("sesame-7")];
    refused("seventh", &password, 64, "--guard-password-file");
    drop(other);
    refused("eighth", &with_other, 78, "cannot be used now");
    let far = ["--guard-url", "redis://192.0.2.1"];
    refused("ninth", &far, 64, "--danger-plain-guard");
    // All that did no harm to those who run.
    for gate in [0, 1] {
        scene.asks(gate).passes();
    }
}

/// Requests come without a break, each a second time at the other gate, while the guard is
/// killed, started, flushed and held up.
#[test]
fn under_load_no_replay_is_let_in() {
    let mut scene = Scene::set();
    let stop = AtomicBool::new(false);
    let [passed, replayed, unavailable] = [const { AtomicUsize::new(0) }; 3];
    let at = scene.gates.each_ref().map(|gate| gate.address().to_owned());
    let scribe = &scene.scribe;
    let redis = &mut scene.redis;
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (at, stop) = (&at, &stop);
            let (passed, replayed, unavailable) = (&passed, &replayed, &unavailable);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let call = scribe.get(NAME, "/orders");
                    let first = call.send_to(&at[worker % 2], NAME);
                    let counted = match first.status {
                        200 => passed,
                        _ => {
                            first.refuses(503, "verifier_unavailable");
                            unavailable
                        }
                    };
                    counted.fetch_add(1, Ordering::Relaxed);
                    let second = call.send_to(&at[(worker + 1) % 2], NAME);
                    match (first.status, second.status) {
                        (200, 401) => {
                            second.refuses(401, "nonce_replayed");
                            replayed.fetch_add(1, Ordering::Relaxed);
                        }
                        // The first one may not have been claimed.
                        (503, 200) => {}
                        // Claimed, and slower than what is waited for.
                        (503, 401) => second.refuses(401, "nonce_replayed"),
                        _ => second.refuses(503, "verifier_unavailable"),
                    }
                }
            });
        }
        let enough = |count: &AtomicUsize, what: &str| {
            let from = count.load(Ordering::Relaxed);
            until(what, LOST, || {
                (count.load(Ordering::Relaxed) > from + 20).then_some(())
            });
        };
        let going = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            enough(&replayed, "replays refused");
            redis.tell(&["CLIENT", "PAUSE", "3000", "ALL"]);
            enough(&unavailable, "refused while it is slow");
            enough(&replayed, "replays refused after it");
            redis.stop();
            enough(&unavailable, "refused while it is away");
            redis.start_again();
            enough(&passed, "let in after its restart");
            redis.tell(&["FLUSHALL"]);
            enough(&unavailable, "refused after a flush");
            enough(&replayed, "replays refused in the end");
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = going {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A gate that hears nothing of the server goes by what it knew for a while; who was
/// revoked meanwhile it hears from the guard, at once.
#[test]
fn a_gate_without_news_refuses_who_is_revoked() {
    let relay = Relay::start();
    let url = format!("http://{}", relay.address);
    let scene = Scene::with(&format!("public_url = \"{url}\"\n"));
    relay.server.set(host(&scene.server).to_owned()).unwrap();
    let words = [
        "--service",
        "web",
        "--upstream",
        &scene.upstream.url,
        "--host",
        NAME,
        "--guard-url",
        &scene.redis.url(),
        "--max-stale",
        "600",
    ];
    let joins = another(&scene.server);
    let cut_off = GateHost::start_by(&scene.server, "three", &joins, &words, &url);
    let clerk = Holder::join(&scene.server, &agent(&scene.server, "shop", "clerk"));
    let send = |call: Call| call.send_to(cut_off.address(), NAME);
    until("the agents are known", PATIENCE, || {
        (send(clerk.get(NAME, "/")).status == 200).then_some(())
    });
    let session = scene.scribe.session(&scene.server, "gate:shop/web");
    let others = clerk.session(&scene.server, "gate:shop/web");
    send(session.post(NAME, 1)).passes();
    relay.cut();
    let revoke = ["-n", "shop", "agent", "revoke", "scribe"];
    scene.server.cli(&revoke).ok();
    let served = scene.upstream.served();
    until("the guard knows", promised(2), || {
        // One that was let in before is a replay until then.
        let answer = send(session.post(NAME, 2));
        answer.body.contains("revoked").then_some(())
    });
    assert!(scene.upstream.served() <= served + 2);
    send(session.post(NAME, 2)).refuses(401, "revoked");
    send(scene.scribe.get(NAME, "/")).refuses(401, "revoked");
    // All others it knows well enough.
    send(others.post(NAME, 1)).passes();
    send(clerk.get(NAME, "/")).passes();
}

/// The guard goes away, comes back without its memory, is flushed and is slow, while
/// requests come: they are refused, no replay is let in, and it goes on by itself.
#[test]
fn whatever_becomes_of_the_guard_no_replay_is_let_in_and_it_goes_on_by_itself() {
    let mut scene = Scene::set();
    let at = host(&scene.server).to_owned();
    let used = scene.scribe.get(NAME, "/used");
    scene.send(0, &used).passes();
    let used_at_server = scene.scribe.get(&at, "/v1/namespaces");
    used_at_server.send(&at).passes();
    let served = scene.upstream.served();

    // Away.
    scene.redis.stop();
    for gate in [0, 1] {
        let begin = Instant::now();
        let away = scene.asks(gate);
        away.refuses(503, "verifier_unavailable");
        assert!(begin.elapsed() < promised(2), "{:?}", begin.elapsed());
        let head = away.head.to_ascii_lowercase();
        assert!(head.contains("retry-after: "), "{head}");
        scene.send(gate, &used).refuses(503, "verifier_unavailable");
    }
    let away = scene.scribe.get(&at, "/v1/namespaces").send(&at);
    away.refuses(503, "verifier_unavailable");
    let health = Call::new("GET", "/health", b"").send(scene.gates[0].health());
    assert_eq!(
        (health.status, &*health.body),
        (503, r#"{"status":"no_guard"}"#)
    );
    let health =
        Call::new("GET", "/health", b"").send(scene.server.health().trim_start_matches("http://"));
    assert_eq!(health.status, 503);
    assert!(health.body.contains("shared guard"), "{}", health.body);

    // Back, without its memory: nothing that was used before is let in, and before long
    // what is made anew.
    scene.redis.start_again();
    let comes_back = |scene: &Scene, what: &str| {
        until(what, LOST, || {
            for gate in [0, 1] {
                let again = scene.send(gate, &used);
                assert!([401, 503].contains(&again.status), "{}", again.status);
            }
            let again = used_at_server.send(&at);
            assert!([401, 503].contains(&again.status), "{}", again.status);
            let all = [
                scene.asks(0),
                scene.asks(1),
                scene.scribe.get(&at, "/v1/namespaces").send(&at),
            ];
            for answer in &all {
                assert!([200, 503].contains(&answer.status), "{}", answer.status);
            }
            all.iter().all(|answer| answer.status == 200).then_some(())
        });
    };
    comes_back(&scene, "after a restart of the guard");

    // Slow: within a moment it is told that nobody can tell.
    let used_now = scene.scribe.get(NAME, "/used");
    scene.send(0, &used_now).passes();
    // Told long before it is over, which is when a gate would be told that waited for it.
    let moment = promised(1).min(Duration::from_secs(5));
    let pause = (moment + Duration::from_secs(1)).as_millis().to_string();
    scene.redis.tell(&["CLIENT", "PAUSE", &pause, "ALL"]);
    let begin = Instant::now();
    scene.asks(0).refuses(503, "verifier_unavailable");
    let took = begin.elapsed();
    assert!(took < moment, "{took:?}");
    until("the pause is over", PATIENCE, || {
        (scene.asks(0).status == 200).then_some(())
    });
    // It forgot nothing.
    scene.send(0, &used_now).refuses(401, "nonce_replayed");

    // Flushed.
    scene.redis.tell(&["FLUSHALL"]);
    let again = scene.send(1, &used_now);
    again.refuses(503, "verifier_unavailable");
    comes_back(&scene, "after a flush");
    assert!(scene.upstream.served() > served);
}
