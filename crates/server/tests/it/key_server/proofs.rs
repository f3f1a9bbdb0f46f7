//! Which proofs are good, and the reason of each that is not.

use super::agent::{Agent, ask, enrol, line, question, served_by, serving};
use crate::world::World;
use procura_store::guard::LocalRedis;
use procura_types::Duration;
use procura_types::encoding::{b64_standard, b64url, b64url_padded, hex};
use serde_json::{Value, json};

#[tokio::test]
async fn a_good_proof_is_good_once() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let asked = scribe.asks_now(&world);
    ask(&world, &asked).await.valid("scribe", "at first");
    ask(&world, &asked)
        .await
        .invalid("nonce_replayed", "at once");
    world.clock.turn(Duration::from_secs(300));
    ask(&world, &asked)
        .await
        .invalid("nonce_replayed", "at the end of the window");
    world.clock.turn(Duration::from_secs(1));
    ask(&world, &asked)
        .await
        .invalid("timestamp_out_of_window", "after 301 s");
    // Signed anew it is another proof, of the same nonce.
    let mut again = scribe.proof(world.now());
    again.nonce = asked["nonce"].as_str().unwrap().to_owned();
    ask(&world, &scribe.asks(&again))
        .await
        .invalid("nonce_replayed", "signed anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_guard_knows_what_was_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = LocalRedis::start(dir.path(), &[]);
    let scribe = Agent::new("scribe");
    let world = World::on_the_machine(|config| config.guard_url = Some(redis.url()));
    let world = served_by(world, &[&scribe]).await;
    let asked = scribe.asks_now(&world);
    ask(&world, &asked).await.valid("scribe", "at first");
    ask(&world, &asked)
        .await
        .invalid("nonce_replayed", "at once");
    world.seal().await;
    world.unseal().await;
    ask(&world, &asked)
        .await
        .invalid("nonce_replayed", "after a seal");
    redis.stop();
    for asked in [&asked, &scribe.asks_now(&world)] {
        ask(&world, asked)
            .await
            .unavailable("verifier_unavailable", "without the guard");
    }
    redis.start_again();
    // It is another memory: what was used is never let in, and nothing is for a while.
    for _ in 0..50 {
        for asked in [&asked, &scribe.asks_now(&world)] {
            ask(&world, asked)
                .await
                .unavailable("verifier_unavailable", "after its restart");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn replays_are_known_after_a_seal() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let asked = scribe.asks_now(&world);
    ask(&world, &asked).await.valid("scribe", "before");
    world.seal().await;
    ask(&world, &asked).await.unavailable("sealed", "sealed");
    ask(&world, &scribe.asks_now(&world))
        .await
        .unavailable("sealed", "another, sealed");
    world.unseal().await;
    ask(&world, &asked).await.invalid("nonce_replayed", "after");
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "another");
}

#[tokio::test]
async fn a_nonce_belongs_to_its_agent() {
    let (scribe, clerk) = (Agent::new("scribe"), Agent::new("clerk"));
    let world = serving(&[&scribe, &clerk]).await;
    let proof = scribe.proof(world.now());
    let mut other = clerk.proof(world.now());
    other.nonce.clone_from(&proof.nonce);
    ask(&world, &scribe.asks(&proof))
        .await
        .valid("scribe", "one");
    ask(&world, &clerk.asks(&other))
        .await
        .valid("clerk", "other");
    ask(&world, &clerk.asks(&other))
        .await
        .invalid("nonce_replayed", "other again");
}

#[tokio::test]
async fn who_cannot_sign_uses_up_no_nonce() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let proof = scribe.proof(world.now());
    let garbage = b64_standard(&[7; 64]);
    for _ in 0..3 {
        ask(&world, &proof.asked(&garbage))
            .await
            .invalid("bad_signature", "garbage");
    }
    ask(&world, &scribe.asks(&proof))
        .await
        .valid("scribe", "the agent");
}

#[tokio::test]
async fn every_part_is_signed() {
    let (scribe, clerk) = (Agent::new("scribe"), Agent::new("clerk"));
    let world = serving(&[&scribe, &clerk]).await;
    let good = scribe.asks_now(&world);
    let later = world.now().plus(Duration::from_secs(1)).to_string();
    for (field, other) in [
        ("agent_id", "clerk"),
        ("timestamp", later.as_str()),
        ("nonce", "ffffffffffffffffffffffffffffffff"),
        ("method", "PUT"),
        ("path", "/api/notes/"),
        ("path", "/API/notes"),
        ("path", "/api/%6eotes"),
        ("path", "/api/%2e/notes"),
        ("path", "/api/%2E/notes"),
        ("path", "/api/x/%2e%2e/notes"),
        ("path", "/api%2Fnotes"),
        ("path", "/api%2fnotes"),
        ("path", "/api/notes%2F"),
        ("path", "/api//notes"),
        ("path", "/api/../api/notes"),
        (
            "body_sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ] {
        let mut asked = good.clone();
        asked[field] = other.into();
        ask(&world, &asked)
            .await
            .invalid("bad_signature", &format!("{field} {other}"));
    }
    let stolen = scribe.proof(world.now());
    let signature = clerk.key.sign(&stolen.message()).unwrap();
    ask(&world, &stolen.asked(&b64_standard(&signature)))
        .await
        .invalid("bad_signature", "another agent's key");
    ask(&world, &good).await.valid("scribe", "as it was");
}

#[tokio::test]
async fn unknown_agents_are_unknown_whatever_they_send() {
    let (scribe, stranger) = (Agent::new("scribe"), Agent::new("stranger"));
    let world = serving(&[&scribe]).await;
    let proof = stranger.proof(world.now());
    ask(&world, &stranger.asks(&proof))
        .await
        .invalid("unknown_agent", "signed");
    for signature in ["x", &b64_standard(&[0; 66]), &"é".repeat(256)] {
        ask(&world, &proof.asked(signature))
            .await
            .invalid("unknown_agent", signature);
    }
    // The name of a file is not the name of an agent.
    let mut proof = stranger.proof(world.now());
    proof.agent = "scribe.pub".to_owned();
    ask(&world, &stranger.asks(&proof))
        .await
        .invalid("unknown_agent", "the file's name");
}

#[tokio::test]
async fn the_window_is_five_minutes_back_and_one_ahead() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let now = world.now();
    for (made, good) in [
        (now.minus(Duration::from_secs(301)), false),
        (now.minus(Duration::from_secs(300)), true),
        (now.plus(Duration::from_secs(60)), true),
        (now.plus(Duration::from_secs(61)), false),
        (now.minus(Duration::from_secs(86_400 * 365)), false),
        (now.plus(Duration::from_secs(86_400 * 365)), false),
    ] {
        let answer = ask(&world, &scribe.asks(&scribe.proof(made))).await;
        if good {
            answer.valid("scribe", &made.to_string());
        } else {
            answer.invalid("timestamp_out_of_window", &made.to_string());
        }
    }
    // The clock is looked at before the key, and both before the signature.
    let stranger = Agent::new("stranger");
    let old = stranger.proof(now.minus(Duration::from_secs(301)));
    ask(&world, &stranger.asks(&old))
        .await
        .invalid("timestamp_out_of_window", "a stranger's");
}

#[tokio::test]
async fn spellings_that_mean_the_same_are_taken() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let now = world.now();
    let second = now.to_string().split('.').next().unwrap().to_owned();
    let spelled: [(&str, String); 9] = [
        ("method", "post".into()),
        ("method", "PoSt".into()),
        ("timestamp", format!("{second}Z")),
        ("timestamp", format!("{second}.1Z")),
        ("timestamp", format!("{second}.123456789Z")),
        ("path", "/".into()),
        ("path", "/a b/é?".replace('?', "%3F")),
        // An escape is signed as it was sent, and so is what it could stand for.
        ("path", "/api/%2e/notes".into()),
        ("path", "/api%2Fnotes".into()),
    ];
    for (field, value) in spelled {
        let mut proof = scribe.proof(now);
        match field {
            "method" => proof.method.clone_from(&value),
            "timestamp" => proof.timestamp.clone_from(&value),
            _ => proof.path.clone_from(&value),
        }
        ask(&world, &scribe.asks(&proof))
            .await
            .valid("scribe", &value);
    }
    // The nonce is signed as it was sent.
    let mut upper = scribe.proof(now);
    upper.nonce = "ABCDEF0123456789".to_owned();
    ask(&world, &scribe.asks(&upper))
        .await
        .valid("scribe", "upper");
    let long = "a".repeat(128);
    upper.nonce.clone_from(&long);
    ask(&world, &scribe.asks(&upper))
        .await
        .valid("scribe", "long");
    for spell in [b64url_padded as fn(&[u8]) -> String, b64url, |bytes| {
        b64_standard(bytes).trim_end_matches('=').to_owned()
    }] {
        let proof = scribe.proof(now);
        let signature = spell(&scribe.key.sign(&proof.message()).unwrap());
        ask(&world, &proof.asked(&signature))
            .await
            .valid("scribe", &signature);
    }
    // What is beside the fields is nobody's business.
    let mut asked = scribe.asks_now(&world);
    asked["service"] = json!({"name": "notes"});
    ask(&world, &asked).await.valid("scribe", "another field");
}

#[tokio::test]
async fn signatures_of_another_length_are_bad_ones() {
    let (scribe, world) = {
        let scribe = Agent::new("scribe");
        let world = serving(&[&scribe]).await;
        (scribe, world)
    };
    let proof = scribe.proof(world.now());
    let sixty_six = b64_standard(&[1; 66]);
    assert_eq!(sixty_six.len(), 88);
    let right = scribe.key.sign(&proof.message()).unwrap();
    let longer = b64_standard(&[&right[..], &[0, 0]].concat());
    let twice = b64_standard(&[&right[..], &right[..]].concat());
    for signature in [
        sixty_six.as_str(),
        &longer,
        &twice,
        &b64_standard(&right[..63]),
        &hex(&right),
        "x",
        " ",
        "====",
        &"A".repeat(256),
        &"é".repeat(256),
    ] {
        ask(&world, &proof.asked(signature))
            .await
            .invalid("bad_signature", signature);
    }
    ask(&world, &scribe.asks(&proof))
        .await
        .valid("scribe", "the right one");
}

#[tokio::test]
async fn a_key_of_small_order_signs_for_nobody() {
    // With such a key anybody can make a signature that some verifiers take.
    let world = serving(&[]).await;
    let weak = Agent::new("weak");
    for key in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        enrol(world.home.path(), "weak", &line(&key));
        let proof = weak.proof(world.now());
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&key);
        ask(&world, &proof.asked(&b64_standard(&signature)))
            .await
            .invalid("unknown_agent", "small order");
    }
}

#[tokio::test]
async fn without_an_installation_nobody_is_told_anything() {
    let scribe = Agent::new("scribe");
    let world = World::empty();
    enrol(world.home.path(), "scribe", &scribe.line());
    ask(&world, &scribe.asks_now(&world))
        .await
        .unavailable("not_initialised", "a good proof");
    let nonsense = world.send(&question(b"{")).await;
    nonsense.unavailable("not_initialised", "nonsense");
}

#[tokio::test]
async fn proofs_that_failed_are_in_the_record() {
    let scribe = Agent::new("scribe");
    let world = World::empty();
    let root = procura_crypto::SigningKey::generate_p256(&procura_crypto::SystemEntropy).unwrap();
    world.init(&root).await;
    enrol(world.home.path(), "scribe", &scribe.line());
    let good = scribe.asks_now(&world);
    ask(&world, &good).await.valid("scribe", "good");
    ask(&world, &good).await.invalid("nonce_replayed", "again");
    let stranger = Agent::new("stranger");
    ask(&world, &stranger.asks_now(&world))
        .await
        .invalid("unknown_agent", "a stranger");
    world
        .send_from(&question(b"{}"), "192.0.2.7".parse().unwrap())
        .await;
    let list = world
        .ok(&root, "GET", "/v1/ledger/entries?limit=1000", Value::Null)
        .await;
    let mut found: Vec<Value> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| serde_json::from_str::<Value>(row["entry"].as_str().unwrap()).unwrap())
        .filter(|entry| entry["action"] == "verify")
        .map(|entry| {
            json!([
                entry["reason"],
                entry["resource"],
                entry["profile"],
                entry["decision"],
                entry["ip"]
            ])
        })
        .collect();
    found.sort_by_key(Value::to_string);
    assert_eq!(
        found,
        [
            json!([
                "nonce_replayed",
                "foreign/scribe",
                "key-server-v1",
                "deny",
                "127.0.0.1"
            ]),
            json!([
                "source_not_allowed",
                "http//api/verify",
                "none",
                "deny",
                "192.0.2.7"
            ]),
            json!([
                "unknown_agent",
                "foreign/stranger",
                "key-server-v1",
                "deny",
                "127.0.0.1"
            ]),
        ]
    );
    // An auditor asks for them by this word.
    let some = world
        .ok(
            &root,
            "GET",
            "/v1/ledger/entries?action=verify",
            Value::Null,
        )
        .await;
    assert_eq!(some["entries"].as_array().unwrap().len(), 3);
}
