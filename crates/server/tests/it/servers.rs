//! Several servers of one installation: on one real PostgreSQL server, with one real
//! replay guard.

use crate::actors::join_body;
use crate::sessions::{list, started, unauthorized};
use crate::world::{Answer, CANARY, PASSPHRASE, Sent, World};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::sign::Signer;
use procura_server::StartError;
use procura_store::LocalPostgres;
use procura_store::guard::LocalRedis;
use procura_types::LinkCodeText;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How soon every server has to know of a revocation.
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// How long it may take until all is in order again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const LIST: (&str, &str) = ("GET", "/v1/namespaces");
pub(crate) const SECRET: &str = "/v1/namespaces/default/secrets/db/password";

/// The database and the guard.
pub(crate) struct Shared {
    pub(crate) postgres: LocalPostgres,
    pub(crate) redis: LocalRedis,
    _dirs: [TempDir; 2],
}

impl Shared {
    pub(crate) fn new() -> Self {
        let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let postgres = LocalPostgres::start(dirs[0].path(), &[]);
        postgres.database("procura");
        Self {
            postgres,
            redis: LocalRedis::start(dirs[1].path(), &[]),
            _dirs: dirs,
        }
    }

    /// A server with a home of its own.
    pub(crate) fn server(&self) -> World {
        self.server_with(15)
    }

    fn server_with(&self, max_stale_seconds: u64) -> World {
        World::on_the_machine(|config| {
            config.database_url = Some(self.postgres.socket_url("procura"));
            config.guard_url = Some(self.redis.url());
            config.max_stale_seconds = max_stale_seconds;
        })
    }

    /// Two that are open, and the owner's key.
    pub(crate) async fn two(&self) -> (World, World, SigningKey) {
        let (one, two) = (self.server(), self.server());
        let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
        one.init(&root).await;
        two.unseal().await;
        (one, two, root)
    }
}

/// Asks until the answer is as it should be.
pub(crate) async fn soon<T>(
    what: &str,
    limit: Duration,
    mut question: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(begun.elapsed() < limit, "in {limit:?} not seen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn put(value: &str) -> Value {
    json!({"value_b64": procura_types::encoding::b64url(value.as_bytes())})
}

pub(crate) async fn value(world: &World, root: &SigningKey) -> String {
    let read = world.ok(root, "GET", SECRET, Value::Null).await;
    let bytes =
        procura_types::encoding::from_b64url("value_b64", read["value_b64"].as_str().unwrap());
    String::from_utf8(bytes.unwrap()).unwrap()
}

/// Waits for the second within which a server sees what another wrote (ADR 24).
pub(crate) async fn sees(world: &World, root: &SigningKey, wanted: &str) {
    soon(wanted, SECOND, async || {
        (value(world, root).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_joins_and_both_are_one_installation() {
    let shared = Shared::new();
    let (one, two) = (shared.server(), shared.server());
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    // Before there is an installation there is none to join.
    let unseal = json!({"passphrase": PASSPHRASE});
    let early = two.admin("POST", "/admin/unseal", &unseal).await;
    early.expect("not_initialised", None, None, "before init");
    let made = one.init(&root).await;
    let wrong = json!({"passphrase": "another passphrase 7"});
    let refused = two.admin("POST", "/admin/unseal", &wrong).await;
    refused.expect("wrong_passphrase", None, None, "a wrong one");
    two.unseal().await;
    // It has no other installation to make.
    let other = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let again = crate::world::init_body(&other, PASSPHRASE);
    let again = two.admin("POST", "/admin/init", &again).await;
    again.expect("already_initialised", None, None, "a second init");

    let file = |world: &World| {
        let text = std::fs::read(world.home.path().join("installation.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    assert_eq!(file(&one), file(&two));
    assert_eq!(file(&two)["id"], made.installation.to_string());
    let ids = [&one, &two]
        .map(|world| std::fs::read_to_string(world.home.path().join("server.id")).unwrap());
    assert_ne!(ids[0], ids[1]);

    // What one writes the other reads within a second (ADR 24).
    for (number, (writer, reader)) in [(&one, &two), (&two, &one)].into_iter().enumerate() {
        let wanted = format!("{CANARY} {number}");
        writer.ok(&root, "PUT", SECRET, put(&wanted)).await;
        soon("the value", SECOND, async || {
            (value(reader, &root).await == wanted).then_some(())
        })
        .await;
    }
    // What one makes in the directory the other goes by.
    one.ok(&root, "POST", "/v1/namespaces", json!({"name": "shop"}))
        .await;
    soon("the namespace", SECOND, async || {
        let agents = two
            .call(&root, "GET", "/v1/namespaces/shop/agents", None)
            .await;
        (agents.status == 200).then_some(())
    })
    .await;
}

/// An agent that joined through one of the servers.
async fn agent(world: &World, root: &SigningKey, label: &str) -> SigningKey {
    let agents = "/v1/namespaces/default/agents";
    world
        .ok(root, "POST", agents, json!({"label": label}))
        .await;
    let code = format!("{agents}/{label}/link-code");
    let code = world.ok(root, "POST", &code, Value::Null).await;
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &key)).unwrap();
    let joined = world
        .send(&Sent::new("POST", "/v1/join", Some(&body)))
        .await;
    assert_eq!(joined.status, 200, "{}", joined.text());
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_in_force_at_every_server_within_a_second() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    for round in 0..5 {
        let label = format!("scribe-{round}");
        let key = agent(&one, &root, &label).await;
        let asked = async || two.call(&key, LIST.0, LIST.1, None).await;
        soon("the agent", SECOND, async || {
            (asked().await.status == 200).then_some(())
        })
        .await;
        let device = format!("/v1/devices/{}/revoke", key.public().thumbprint());
        one.ok(&root, "POST", &device, Value::Null).await;
        soon("the revocation", SECOND, async || {
            let answer = asked().await;
            (answer.status == 401).then(|| unauthorized(&answer, "revoked"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_let_in_no_other_lets_in_again() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    for (first, second) in [(&one, &two), (&two, &one)] {
        let sent = first.signed(&root, LIST.0, LIST.1, None);
        assert_eq!(first.send(&sent).await.status, 200);
        unauthorized(&second.send(&sent).await, "nonce_replayed");
    }
    // A session is one at both, and so are its counters.
    let (session, _) = started(&one, &root, None).await;
    assert_eq!(list(&two, &session, 1).await.status, 200);
    unauthorized(&list(&one, &session, 1).await, "nonce_replayed");
    assert_eq!(list(&one, &session, 2).await.status, 200);
    // A link code as well.
    let agents = "/v1/namespaces/default/agents";
    one.ok(&root, "POST", agents, json!({"label": "scribe"}))
        .await;
    let code = format!("{agents}/scribe/link-code");
    let code = one.ok(&root, "POST", &code, Value::Null).await;
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let join = |key: &SigningKey| {
        let body = serde_json::to_vec(&join_body(&code, key)).unwrap();
        Sent::new("POST", "/v1/join", Some(&body))
    };
    let keys = [0, 1].map(|_| SigningKey::generate_ed25519(&SystemEntropy).unwrap());
    let (joins, there) = (join(&keys[0]), join(&keys[1]));
    let (first, second) = tokio::join!(one.send(&joins), two.send(&there));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403], "{} {}", first.text(), second.text());
}

fn checkpoint(world: &World) -> Option<(u64, String)> {
    let note = std::fs::read_to_string(world.home.path().join("ledger/checkpoint")).ok()?;
    let size = note.lines().nth(1)?.parse().ok()?;
    Some((size, note))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signs_and_all_publish_the_same_record() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let mut writes = 0;
    let mut write = async |world: &World| {
        writes += 1;
        world
            .ok(&root, "PUT", SECRET, put(&format!("{CANARY} {writes}")))
            .await;
    };
    let same = async |least: u64| {
        soon("the same checkpoint", PATIENCE, async || {
            let (here, there) = (checkpoint(&one)?, checkpoint(&two)?);
            (here == there && here.0 >= least).then_some(here.0)
        })
        .await
    };
    for _ in 0..20 {
        write(&one).await;
        write(&two).await;
    }
    let size = same(40).await;
    // Either answers for the record, and for the same.
    let listed = format!("/v1/ledger/entries?limit={size}");
    let here = one.call(&root, "GET", &listed, None).await;
    let there = two.call(&root, "GET", &listed, None).await;
    assert_eq!((here.status, &here.body), (there.status, &there.body));
    let holder = || {
        let held = |world: &World| {
            let open = world.app.open().unwrap();
            open.lease.as_ref().unwrap().is_held()
        };
        (held(&one), held(&two))
    };
    // Who is late to renew it on a busy machine loses it to the other.
    let one_holds = async || {
        soon("one holder", PATIENCE, async || {
            let (here, there) = holder();
            (here != there).then_some(())
        })
        .await;
    };
    one_holds().await;
    // It gives the lease back when it goes, and the other goes on from there.
    one.seal().await;
    for _ in 0..5 {
        write(&two).await;
    }
    soon("a checkpoint of the other", PATIENCE, async || {
        (checkpoint(&two)?.0 > size).then_some(())
    })
    .await;
    one.unseal().await;
    write(&one).await;
    same(size + 6).await;
    one_holds().await;
}

pub(crate) async fn change_passphrase(world: &World, from: &str, to: &str) {
    let body = json!({"current": from, "new": to});
    let answer = world.admin("POST", "/admin/passphrase", &body).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_one_server_turns_is_turned_at_all() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let (session, _) = started(&two, &root, None).await;
    let epoch = |world: &World| world.app.open().unwrap().vault.installation().root_epoch;
    for (round, turns) in [&one, &two, &one].into_iter().enumerate() {
        let words = [
            PASSPHRASE,
            "second passphrase 2",
            "third passphrase 33",
            "fourth passphrase 4",
        ];
        change_passphrase(turns, words[round], words[round + 1]).await;
        // Both write and read on, whoever is asked first.
        for world in [&two, &one] {
            let wanted = format!("{CANARY} {round}");
            // For a moment a server may not have the new keys yet, and says so.
            soon("the write", SECOND, async || {
                let body = put(&wanted);
                let wrote = world.call(&root, "PUT", SECRET, Some(&body)).await;
                let code = wrote.json()["code"].as_str().map(str::to_owned);
                let later = matches!(code.as_deref(), Some("contended" | "store_unavailable"));
                assert!(later || wrote.status == 200, "{}", wrote.text());
                (wrote.status == 200).then_some(())
            })
            .await;
            for reader in [&one, &two] {
                soon("the value", SECOND, async || {
                    let read = reader.call(&root, "GET", SECRET, None).await;
                    let now = read.status == 200 && value(reader, &root).await == wanted;
                    now.then_some(())
                })
                .await;
            }
            let name = format!("made-{round}-{}", epoch(world));
            let body = json!({"name": name});
            let made = world
                .call(&root, "POST", "/v1/namespaces", Some(&body))
                .await;
            assert!(
                made.status == 200 || made.status == 201 || made.status == 409,
                "{}",
                made.text()
            );
        }
        assert_eq!(
            (epoch(&one), epoch(&two)),
            (round as u32 + 2, round as u32 + 2)
        );
    }
    // Sessions of before ended at both.
    soon("the end of the session", SECOND, async || {
        (list(&two, &session, 9).await.status == 401).then_some(())
    })
    .await;
    // Nothing is left under a root of before, and only the newest passphrase opens.
    two.seal().await;
    let refused = two
        .admin("POST", "/admin/unseal", &json!({"passphrase": PASSPHRASE}))
        .await;
    refused.expect("wrong_passphrase", None, None, "the first passphrase");
    let opened = json!({"passphrase": "fourth passphrase 4"});
    let opened = two.admin("POST", "/admin/unseal", &opened).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_eq!(value(&two, &root).await, format!("{CANARY} 2"));
    let file = |world: &World| std::fs::read(world.home.path().join("installation.json")).unwrap();
    assert_eq!(file(&one), file(&two));
    for world in [&one, &two] {
        let store = world.app.open().unwrap().vault.store().clone();
        tokio::task::spawn_blocking(move || store.wait_verified())
            .await
            .unwrap()
            .unwrap();
    }
}

/// As one that is opened in the very moment in which another turns the root.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_not_told_of_a_new_root_writes_nothing_and_is_unsealed_again() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let open = two.app.open().unwrap();
    open.vault.leave_servers(two.clock.as_ref()).await.unwrap();
    drop(open);
    change_passphrase(&one, PASSPHRASE, "second passphrase 2").await;
    let refused = two.call(&root, "PUT", SECRET, Some(&put("old keys"))).await;
    unavailable(&refused, None, "a write with the keys of before");
    assert_eq!(value(&one, &root).await, CANARY);
    two.seal().await;
    let old = json!({"passphrase": PASSPHRASE});
    let refused = two.admin("POST", "/admin/unseal", &old).await;
    refused.expect("wrong_passphrase", None, None, "the passphrase of before");
    let opened = json!({"passphrase": "second passphrase 2"});
    let opened = two.admin("POST", "/admin/unseal", &opened).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    two.ok(&root, "PUT", SECRET, put("new keys")).await;
    sees(&one, &root, "new keys").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unseal_source_of_one_server_opens_the_other() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let add = json!({
        "name": "second",
        "open": {"passphrase": PASSPHRASE},
        "source": {"passphrase": "another passphrase 22"},
    });
    let added = one.admin("POST", "/admin/unseal-sources", &add).await;
    assert_eq!(added.status, 200, "{}", added.text());
    soon("the source at the other", SECOND, async || {
        let listed = two.app.open().unwrap().vault.installation().sources.len();
        (listed == 2).then_some(())
    })
    .await;
    two.ok(&root, "PUT", SECRET, put(CANARY)).await;
    two.seal().await;
    let open = json!({"passphrase": "another passphrase 22"});
    let opened = two.admin("POST", "/admin/unseal", &open).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_eq!(value(&two, &root).await, CANARY);
}

pub(crate) fn unavailable(answer: &Answer, reason: Option<&str>, what: &str) {
    answer.expect("store_unavailable", reason, None, what);
    assert_eq!(answer.status, 503, "{what}");
    assert!(answer.headers.contains_key("retry-after"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_while_the_database_is_away_and_all_is_after_it_came_back() {
    let mut shared = Shared::new();
    let one = shared.server_with(2);
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    one.init(&root).await;
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    shared.postgres.kill();
    // A release needs its intent, whatever is in memory.
    let read = one.call(&root, "GET", SECRET, None).await;
    unavailable(&read, None, "a read at once");
    // And what is merely looked up is not for longer than may be.
    soon("that it is stale", PATIENCE, async || {
        let answer = one.call(&root, LIST.0, LIST.1, None).await;
        let refused = answer.status == 503;
        refused.then(|| unavailable(&answer, Some("stale"), "a list"))
    })
    .await;
    let status = one.send(&Sent::new("GET", "/v1/status", None)).await.json();
    let degraded = status["degraded"].to_string();
    assert!(degraded.contains("is not heard of here"), "{degraded}");
    shared.postgres.start_again();
    soon("that it goes on", PATIENCE, async || {
        let answer = one.call(&root, LIST.0, LIST.1, None).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(value(&one, &root).await, CANARY);
    let mut wrong = Value::Null;
    let begun = Instant::now();
    while wrong != json!([]) {
        assert!(begun.elapsed() < PATIENCE, "{wrong}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let status = one.send(&Sent::new("GET", "/v1/status", None)).await;
        wrong = status.json()["degraded"].take();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_on_a_directory_that_another_moved_is_decided_again() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    // Each of these moves the directory; made at both at once, none is lost.
    let name = |server: &str, round: u32| json!({"name": format!("{server}-{round}")});
    for round in 0..10 {
        let (here, there) = (name("one", round), name("two", round));
        let made = tokio::join!(
            one.call(&root, "POST", "/v1/namespaces", Some(&here)),
            two.call(&root, "POST", "/v1/namespaces", Some(&there)),
        );
        for made in [made.0, made.1] {
            assert!(made.status.is_success(), "{}", made.text());
        }
    }
    for world in [&one, &two] {
        soon("all of them", SECOND, async || {
            let listed = world.ok(&root, LIST.0, LIST.1, Value::Null).await;
            (listed["namespaces"].as_array().unwrap().len() == 21).then_some(())
        })
        .await;
    }
}

/// A proof that is signed for another server of the same name is one proof.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_both_servers_at_once_has_one_effect() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    for _ in 0..20 {
        let body = serde_json::to_vec(&put(CANARY)).unwrap();
        let sent = Sent::new("PUT", SECRET, Some(&body)).signed(Signer::Device(&root), one.now());
        let (here, there) = tokio::join!(one.send(&sent), two.send(&sent));
        let answers = [&here, &there];
        let good = answers.iter().filter(|answer| answer.status.is_success());
        assert_eq!(good.count(), 1, "{} {}", here.text(), there.text());
        let refused = answers.iter().find(|answer| !answer.status.is_success());
        unauthorized(refused.unwrap(), "nonce_replayed");
    }
}

/// What does not start says why, with the exit code of its kind.
#[test]
fn a_server_that_the_database_is_not_for_does_not_start() {
    let mut shared = Shared::new();
    let configured = |home: &Path, shared: &Shared| {
        let mut config = crate::process::config(home);
        config.database_url = Some(shared.postgres.socket_url("procura"));
        config.guard_url = Some(shared.redis.url());
        config
    };
    // A home that has a database of its own.
    let own = crate::process::Home::new();
    let refused = crate::process::refused(configured(own.path(), &shared));
    assert!(matches!(refused, StartError::Home { .. }), "{refused}");
    assert!(
        refused.to_string().contains("database_url is not for it"),
        "{refused}"
    );
    // One of an installation that was in the database, and is not.
    std::fs::remove_file(own.path().join("procura.db")).unwrap();
    let refused = crate::process::refused(configured(own.path(), &shared));
    assert_eq!(refused.exit_code(), 85, "{refused}");
    // One of another installation than the one that is there.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = shared.server();
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    runtime.block_on(world.init(&root));
    let refused = crate::process::refused(configured(own.path(), &shared));
    assert_eq!(refused.exit_code(), 83, "{refused}");
    // One whose copy names a later root: the database is an older one.
    let late = crate::process::private_directory();
    let copy = std::fs::read_to_string(world.home.path().join("installation.json")).unwrap();
    let later = copy.replacen("\"root_epoch\": 1", "\"root_epoch\": 2", 1);
    assert_ne!(copy, later);
    std::fs::write(late.path().join("installation.json"), later).unwrap();
    let refused = crate::process::refused(configured(late.path(), &shared));
    assert_eq!(refused.exit_code(), 85, "{refused}");
    // And a database that is not there at all.
    shared.postgres.kill();
    let away = crate::process::private_directory();
    let refused = crate::process::refused(configured(away.path(), &shared));
    assert_eq!(refused.exit_code(), 69, "{refused}");
    runtime.block_on(world.seal());
}
