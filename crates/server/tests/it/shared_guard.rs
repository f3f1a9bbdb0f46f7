//! A replay guard that the server shares with others: a real server of it.

use crate::actors::Actors;
use crate::process::{Home, private_file, refused};
use crate::sessions::{list, started, unauthorized};
use crate::world::{Answer, World};
use procura_client::SystemClock;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::{By, Claim, Limits, Once, Outcome};
use procura_server::{Config, ConfigError, StartError};
use procura_store::guard::{GuardServer, LocalRedis, Of, SharedMemory, Sharing};
use procura_types::{Duration, GuardGeneration, InstallationId, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

const LIST: (&str, &str) = ("GET", "/v1/namespaces");
/// How long it may take until all is in order again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

fn redis(more: &[&str]) -> (LocalRedis, TempDir) {
    let dir = TempDir::new().unwrap();
    (LocalRedis::start(dir.path(), more), dir)
}

fn world(redis: &LocalRedis) -> World {
    World::on_the_machine(|config| config.guard_url = Some(redis.url()))
}

async fn initialised(redis: &LocalRedis) -> (World, SigningKey) {
    let world = world(redis);
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    world.init(&root).await;
    (world, root)
}

fn unavailable(answer: &Answer, what: &str) {
    answer.expect(
        "verifier_unavailable",
        Some("verifier_unavailable"),
        None,
        what,
    );
    assert_eq!(answer.status, 503, "{what}");
    assert!(answer.headers.contains_key("retry-after"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once() {
    let (redis, _dir) = redis(&[]);
    let (world, root) = initialised(&redis).await;
    let sent = world.signed(&root, LIST.0, LIST.1, None);
    assert_eq!(world.send(&sent).await.status, 200);
    unauthorized(&world.send(&sent).await, "nonce_replayed");
    let (session, _) = started(&world, &root, None).await;
    assert_eq!(list(&world, &session, 7).await.status, 200);
    unauthorized(&list(&world, &session, 7).await, "nonce_replayed");
    assert_eq!(list(&world, &session, 3).await.status, 200);

    world.seal().await;
    world.unseal().await;
    unauthorized(&world.send(&sent).await, "nonce_replayed");
    unauthorized(&list(&world, &session, 3).await, "nonce_replayed");
    assert_eq!(list(&world, &session, 8).await.status, 200);

    world.clock.turn(Duration::from_secs(301));
    unauthorized(&world.send(&sent).await, "timestamp_out_of_window");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_while_the_guard_is_away() {
    let (mut redis, _dir) = redis(&[]);
    let (world, root) = initialised(&redis).await;
    let sent = world.signed(&root, LIST.0, LIST.1, None);
    assert_eq!(world.send(&sent).await.status, 200);
    redis.stop();
    unavailable(&world.send(&sent).await, "a replay");
    let other = world.signed(&root, LIST.0, LIST.1, None);
    unavailable(&world.send(&other).await, "another");

    redis.start_again();
    // As far ahead as clocks let in, so that it takes a few seconds only until no proof
    // of that time can have been used before.
    let begin = Instant::now();
    loop {
        unavailable_or(&world.send(&sent).await, 401);
        let ahead = world.now().plus(Duration::from_secs(14));
        let signer = procura_proof::sign::Signer::Device(&root);
        let sent = crate::world::Sent::new(LIST.0, LIST.1, None).signed(signer, ahead);
        let answer = world.send(&sent).await;
        if answer.status == 200 {
            break;
        }
        unavailable(&answer, "not yet");
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unavailable_or(&world.send(&sent).await, 401);
}

fn unavailable_or(answer: &Answer, status: u16) {
    assert!(
        answer.status == 503 || answer.status == status,
        "{} {}",
        answer.status,
        answer.text()
    );
}

/// What a gate that hears nothing of the server is told by the guard.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_has_a_tombstone_in_every_generation() {
    let (redis, _dir) = redis(&[]);
    let actors = Actors::within(world(&redis)).await;
    let gate = memory(&redis, actors.installation).await;
    let guard = gate.guard(Of::Native, Limits::default());
    let agents = "/v1/namespaces/shop/agents";
    let shown = actors.ok("adam", "GET", agents, Value::Null).await;
    let actor = |label: &str| -> procura_types::ActorId {
        let all = shown["agents"].as_array().unwrap();
        let found = all.iter().find(|agent| agent["label"] == label).unwrap();
        found["actor_id"].as_str().unwrap().parse().unwrap()
    };
    let known = |label: &str| (actors.device(label).parse().unwrap(), actor(label));
    let claim = async |label: &str| {
        let (device, actor) = known(label);
        let ahead = world_ahead(&actors);
        let nonce = ahead.as_millis().to_be_bytes();
        let claim = Claim {
            device: &device,
            created: ahead,
            now: actors.world.now(),
            ahead: 15,
            once: Once::Nonce(&nonce),
            by: Some(By {
                actor: &actor,
                directory_seq: 1,
            }),
        };
        guard.claim(&claim).await
    };
    for label in ["scribe", "baker"] {
        assert_eq!(claim(label).await, Ok(Outcome::Fresh), "{label}");
    }
    // One by its device, one by itself.
    let device = format!("/v1/devices/{}/revoke", actors.device("scribe"));
    actors.ok("adam", "POST", &device, Value::Null).await;
    refused_soon("the device", &claim, "scribe").await;
    assert_eq!(claim("baker").await, Ok(Outcome::Fresh));
    let baker = format!("{agents}/baker");
    actors.ok("adam", "DELETE", &baker, Value::Null).await;
    refused_soon("the agent", &claim, "baker").await;

    // A memory that was lost is told again.
    redis.tell(&["FLUSHALL"]);
    for label in ["scribe", "baker"] {
        refused_soon("after a flush", &claim, label).await;
    }
}

/// A proof that no lost memory can have seen.
fn world_ahead(actors: &Actors) -> Timestamp {
    actors.world.now().plus(Duration::from_secs(120))
}

async fn refused_soon(
    what: &str,
    claim: &impl AsyncFn(&str) -> Result<Outcome, procura_proof::GuardUnavailable>,
    label: &str,
) {
    let begin = Instant::now();
    loop {
        let seen = claim(label).await;
        if seen == Ok(Outcome::Revoked) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} {label}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn memory(redis: &LocalRedis, installation: InstallationId) -> Arc<SharedMemory> {
    let sharing = Sharing {
        server: GuardServer {
            url: redis.url().parse().unwrap(),
            password: None,
        },
        installation,
        first: false,
        retires: Vec::new(),
    };
    let memory =
        SharedMemory::start(sharing, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
    memory.settled().await.unwrap();
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_name_one_guard_follow_beside_each_other() {
    let actors = Actors::new().await;
    let put = json!({"expect_version": 0, "gates": ["baker"]});
    let till = "/v1/namespaces/shop/services/till";
    actors.ok("adam", "PUT", till, put).await;
    let ask = async |instance: u8, guard: &str| {
        let instance = procura_types::InstanceId::from_bytes([instance; 16]);
        let nonce = procura_types::encoding::b64url(&[7; 16]);
        let target = format!("{till}/feed?instance={instance}&nonce={nonce}&wait=0{guard}");
        let key = actors.key("baker");
        actors.world.call(key, "GET", &target, None).await
    };
    let named = |id: u8, since| {
        let generation = GuardGeneration {
            id: [id; 16],
            since,
        };
        format!("&guard={generation}")
    };
    for instance in [1, 2, 1] {
        assert_eq!(ask(instance, &named(5, 100)).await.status, 200);
    }
    for guard in [String::new(), named(6, 200)] {
        let third = ask(3, &guard).await;
        third.expect("already_followed", None, None, &guard);
    }
    let malformed = ask(1, "&guard=05").await;
    malformed.expect("malformed", None, Some("guard"), "guard");
    // Each that begins is in the record.
    let entries = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1000", Value::Null)
        .await;
    let rows = entries["entries"].as_array().unwrap();
    let follows = rows
        .iter()
        .filter(|row| row["entry"].as_str().unwrap().contains("service.follow"));
    assert_eq!(follows.count(), 2);
}

#[test]
fn a_guard_that_is_not_fit_keeps_the_server_from_starting() {
    let (redis, _dir) = redis(&["--requirepass", "sesame-7"]);
    let home = Home::new();
    let config = || Config {
        guard_url: Some(redis.url()),
        ..home.config()
    };
    let fails = |config: Config, words: &[&str]| {
        let error = refused(config);
        assert_eq!(error.exit_code(), 78, "{error}");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{text}");
        }
        assert!(!text.contains("sesame"), "{text}");
    };
    let password = home.path().join("guard-password");
    let with = |text: &str| {
        private_file(&password, text);
        Config {
            guard_password_file: Some(password.clone()),
            ..config()
        }
    };
    fails(config(), &["lets nobody in", "guard_password_file"]);
    fails(with("sesame-8\n"), &["lets nobody in"]);
    redis.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let advice = format!(
        "redis-cli -u {} config set maxmemory-policy noeviction",
        redis.url()
    );
    fails(with("sesame-7\n"), &["allkeys-lru", &advice]);

    let open = with("sesame-7");
    std::fs::set_permissions(
        &password,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    fails(open, &["guard_password_file", "chmod 600"]);
}

#[test]
fn a_configuration_of_a_guard_that_means_nothing_is_refused() {
    let home = Home::new();
    for (url, file, word) in [
        (
            Some("redis://:sesame-7@127.0.0.1"),
            false,
            "has a password in it",
        ),
        (Some("rediss://127.0.0.1"), false, "TLS"),
        (Some("127.0.0.1:6379"), false, "neither redis://"),
        (Some("redis://192.0.2.1"), false, "danger_plain_guard"),
        (None, true, "without guard_url"),
    ] {
        let error = refused(Config {
            guard_url: url.map(str::to_owned),
            guard_password_file: file.then(|| home.path().join("password")),
            ..home.config()
        });
        let text = error.to_string();
        assert!(
            matches!(error, StartError::Config(ConfigError::Contradiction(_))),
            "{text}"
        );
        assert!(text.contains(word) && !text.contains("sesame"), "{text}");
    }
}

/// A machine that starts all at once: the guard comes later.
#[test]
fn a_guard_that_is_not_there_yet_keeps_nobody_from_starting() {
    let (mut redis, _dir) = redis(&[]);
    redis.stop();
    let home = Home::new();
    let server = crate::process::start(Config {
        guard_url: Some(redis.url()),
        ..home.unsealed()
    })
    .unwrap();
    assert_eq!(server.ready["sealed"], false);
    let health = crate::process::get(server.health(), "/health");
    assert_eq!(health.status(), 503);
    let degraded = health.json()["degraded"].to_string();
    assert!(degraded.contains("the shared guard"), "{degraded}");
}
