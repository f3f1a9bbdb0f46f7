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

/// How soon every server has to know of a revocation: within a second (ADR 24), as the
/// program is released. As it is built for other tests, on a machine that does other
/// things too, within ten; what is not told at all is not there then either.
pub(crate) const PROMISED: Duration =
    Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
/// How long it may take until all is in order again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
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
    soon_told(what, limit, async || question().await.ok_or("nothing")).await
}

/// Asks until the answer is as it should be; what it is instead is told when it is not
/// in time.
pub(crate) async fn soon_told<T, Seen: std::fmt::Display>(
    what: &str,
    limit: Duration,
    mut question: impl AsyncFnMut() -> Result<T, Seen>,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = match question().await {
            Ok(answer) => return answer,
            Err(seen) => seen,
        };
        let gone = begun.elapsed();
        assert!(gone < limit, "in {limit:?} not seen: {what}; last: {seen}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An answer for whoever waits for this status.
pub(crate) fn with_status(answer: Answer, status: u16) -> Result<Answer, String> {
    match answer.status.as_u16() == status {
        true => Ok(answer),
        false => Err(format!("{} {}", answer.status, answer.text())),
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

/// Waits for the second within which a server sees what another wrote (ADR 24). A no of
/// one that gave a slow connection up, as on a busy machine, is told and asked anew.
pub(crate) async fn sees(world: &World, root: &SigningKey, wanted: &str) {
    let bytes = wanted.as_bytes();
    soon_told(wanted, PROMISED, async || {
        let read = world.call(root, "GET", SECRET, None).await;
        match read.json()["value_b64"] == procura_types::encoding::b64url(bytes) {
            true => Ok(()),
            false => Err(read.text()),
        }
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
        sees(reader, &root, &wanted).await;
    }
    // What one makes in the directory the other goes by.
    one.ok(&root, "POST", "/v1/namespaces", json!({"name": "shop"}))
        .await;
    soon_told("the namespace", PROMISED, async || {
        let agents = "/v1/namespaces/shop/agents";
        with_status(two.call(&root, "GET", agents, None).await, 200)
    })
    .await;
}

/// What a server is asked before anything else is trusted of it.
async fn shown(world: &World) -> Value {
    let status = world.send(&Sent::new("GET", "/v1/status", None)).await;
    assert_eq!(status.status, 200, "{}", status.text());
    status.json()
}

/// Clients believe no open server that shows no checkpoint: whoever asks right behind the
/// answer to an init or an unseal is shown one.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_open_shows_a_checkpoint_from_its_first_answer_on() {
    let shared = Shared::new();
    let (one, two) = (shared.server(), shared.server());
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let asked = async |world: &World| {
        // It is sealed until it has one.
        let before = shown(world).await;
        assert_eq!(
            before["sealed"] == true,
            before["checkpoint"] == Value::Null
        );
        before["sealed"] == false
    };
    let (_, ()) = tokio::join!(one.init(&root), async {
        soon("that it is open", PATIENCE, async || {
            asked(&one).await.then_some(())
        })
        .await;
    });
    assert!(asked(&one).await);
    let ((), ()) = tokio::join!(two.unseal(), async {
        soon("that it is open", PATIENCE, async || {
            asked(&two).await.then_some(())
        })
        .await;
    });
    assert!(asked(&two).await);
    let first = shown(&one).await;
    assert!(
        first["checkpoint"]
            .as_str()
            .unwrap()
            .starts_with("procura/")
    );
}

/// An agent that joined through one of the servers.
pub(crate) async fn agent(world: &World, root: &SigningKey, label: &str) -> SigningKey {
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
        soon_told("the agent", PROMISED, async || {
            with_status(asked().await, 200)
        })
        .await;
        let device = format!("/v1/devices/{}/revoke", key.public().thumbprint());
        one.ok(&root, "POST", &device, Value::Null).await;
        let refused = soon_told("the revocation", PROMISED, async || {
            with_status(asked().await, 401)
        })
        .await;
        unauthorized(&refused, "revoked");
    }
}

/// Whether the guard did not answer in time, as on a busy machine: nobody was let in, and
/// nothing was said of the proof.
pub(crate) fn is_undecided(answer: &Answer) -> bool {
    answer.json()["code"] == "verifier_unavailable"
}

/// A list that `made` signed, by its clock, and that was let in at `world`.
pub(crate) async fn let_in(world: &World, made: &World, key: &SigningKey) -> Sent {
    for _ in 0..200 {
        let sent = made.signed(key, LIST.0, LIST.1, None);
        let answer = world.send(&sent).await;
        if !is_undecided(&answer) {
            assert_eq!(answer.status, 200, "{}", answer.text());
            return sent;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the guard does not answer");
}

/// What becomes of a request that was let in before.
pub(crate) async fn again(world: &World, sent: &Sent) -> Answer {
    for _ in 0..200 {
        let answer = world.send(sent).await;
        if !is_undecided(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the guard does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_let_in_no_other_lets_in_again() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    for (first, second) in [(&one, &two), (&two, &one)] {
        let sent = let_in(first, first, &root).await;
        unauthorized(&again(second, &sent).await, "nonce_replayed");
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
    // With so short a time, on a machine that is busy, it may be stale again in between.
    let read = soon_told("that it goes on", PATIENCE, async || {
        with_status(one.call(&root, LIST.0, LIST.1, None).await, 200)?;
        with_status(one.call(&root, "GET", SECRET, None).await, 200)
    })
    .await;
    let wanted = procura_types::encoding::b64url(CANARY.as_bytes());
    assert_eq!(read.json()["value_b64"], wanted);
    soon_told("that nothing is wrong", PATIENCE, async || {
        let status = one.send(&Sent::new("GET", "/v1/status", None)).await;
        let wrong = status.json()["degraded"].take();
        if wrong == json!([]) {
            Ok(())
        } else {
            Err(wrong)
        }
    })
    .await;
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
        soon_told("all of them", PROMISED, async || {
            let listed = world.ok(&root, LIST.0, LIST.1, Value::Null).await;
            let count = listed["namespaces"].as_array().unwrap().len();
            if count == 21 { Ok(()) } else { Err(listed) }
        })
        .await;
    }
}

/// A proof that is signed for another server of the same name is one proof.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_both_servers_at_once_has_one_effect() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let mut decided = 0;
    for _ in 0..200 {
        if decided == 20 {
            break;
        }
        let body = serde_json::to_vec(&put(CANARY)).unwrap();
        let sent = Sent::new("PUT", SECRET, Some(&body)).signed(Signer::Device(&root), one.now());
        let (here, there) = tokio::join!(one.send(&sent), two.send(&sent));
        let answers = [&here, &there];
        let good = answers.iter().filter(|answer| answer.status.is_success());
        let good = good.count();
        assert!(good < 2, "{} {}", here.text(), there.text());
        if answers.iter().any(|answer| is_undecided(answer)) {
            continue;
        }
        decided += 1;
        assert_eq!(good, 1, "{} {}", here.text(), there.text());
        let refused = answers.iter().find(|answer| !answer.status.is_success());
        unauthorized(refused.unwrap(), "nonce_replayed");
    }
    assert_eq!(decided, 20, "the guard does not answer");
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
    let path = late.path().join("installation.json");
    // With its mode: a home that others can read is refused for that.
    std::fs::copy(world.home.path().join("installation.json"), &path).unwrap();
    let copy = std::fs::read_to_string(&path).unwrap();
    let later = copy.replacen("\"root_epoch\": 1", "\"root_epoch\": 2", 1);
    assert_ne!(copy, later);
    std::fs::write(path, later).unwrap();
    let refused = crate::process::refused(configured(late.path(), &shared));
    assert_eq!(refused.exit_code(), 85, "{refused}");
    // And a database that is not there at all.
    shared.postgres.kill();
    let away = crate::process::private_directory();
    let refused = crate::process::refused(configured(away.path(), &shared));
    assert_eq!(refused.exit_code(), 69, "{refused}");
    runtime.block_on(world.seal());
}
