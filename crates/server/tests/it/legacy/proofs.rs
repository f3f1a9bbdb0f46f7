//! What is signed counts, each part of it, and once.

use super::{
    BAKER, CONFIG, DISCOVER, Daemon, Proof, SECRETS, Scene, TILL, bearing, hash_of, new_key,
};
use crate::world::{Answer, Sent};
use procura_types::encoding::b64url;
use serde_json::{Value, json};

/// One change of a request that was good.
struct Broken {
    what: &'static str,
    sent: Sent,
    status: u16,
    code: &'static str,
}

async fn each_is_refused(scene: &Scene, broken: Vec<Broken>) {
    for Broken {
        what,
        sent,
        status,
        code,
    } in broken
    {
        let answer = scene.world().send(&sent).await;
        answer.is_refused(status, code, what);
        let details = &answer.json()["details"];
        if details["reason"].is_string() {
            assert_eq!(details["reason"], code, "{what}");
            // It stands in the record, as these clients'.
            assert_eq!(scene.refusal("authenticate").await, code, "{what}");
        }
    }
}

/// What goes wrong with the header of any request.
fn broken(
    scene: &Scene,
    daemon: &Daemon,
    other: &Daemon,
    good: &Proof,
    bearer: &str,
) -> Vec<Broken> {
    let now = scene.secs();
    let of = |what, code, sent: Sent| Broken {
        what,
        sent: bearing(sent, bearer),
        status: 401,
        code,
    };
    // What is signed is another than what is sent.
    let signed = |change: &dyn Fn(&mut Proof)| {
        let mut proof = good.clone();
        proof.jti = scene.once();
        change(&mut proof);
        daemon.signed(&proof)
    };
    let sent_as = |change: &dyn Fn(&mut Sent)| {
        let mut sent = signed(&|_| ());
        change(&mut sent);
        sent
    };
    let header =
        |from: &dyn Fn(&str) -> String| sent_as(&|sent| sent.set("x-daemon-attestation", from));
    let foreign = {
        let mut proof = good.clone();
        proof.jti = scene.once();
        let line = other.header(&proof);
        let mut sent = daemon.signed(&proof);
        sent.set("x-daemon-attestation", |_| line.clone());
        sent
    };
    vec![
        of(
            "stale",
            "timestamp_out_of_window",
            signed(&|proof| proof.ts = now - 301),
        ),
        of(
            "ahead",
            "timestamp_out_of_window",
            signed(&|proof| proof.ts = now + 301),
        ),
        of("another method", "bad_signature", {
            let mut proof = good.clone();
            (proof.jti, proof.method) = (scene.once(), "PUT".to_owned());
            let line = daemon.header(&proof);
            sent_as(&|sent| sent.set("x-daemon-attestation", |_| line.clone()))
        }),
        of("another path", "bad_signature", {
            let mut proof = good.clone();
            (proof.jti, proof.path) = (scene.once(), "/agent/discovers".to_owned());
            let line = daemon.header(&proof);
            sent_as(&|sent| sent.set("x-daemon-attestation", |_| line.clone()))
        }),
        of("another body's hash", "digest_mismatch", {
            let mut proof = good.clone();
            (proof.jti, proof.body) = (scene.once(), b"{}".to_vec());
            let line = daemon.header(&proof);
            sent_as(&|sent| sent.set("x-daemon-attestation", |_| line.clone()))
        }),
        of(
            "another token's id",
            "digest_mismatch",
            signed(&|proof| proof.token = hash_of("x")),
        ),
        of(
            "another time than signed",
            "bad_signature",
            header(&|line| line.replacen(&good.ts.to_string(), &format!("{}", good.ts + 1), 1)),
        ),
        of("another process of the agent", "bad_signature", {
            let mut proof = good.clone();
            proof.jti = scene.once();
            let line = daemon.header(&proof);
            let process = new_key();
            let message = line.rsplit_once('.').unwrap().0.to_owned();
            let forged = b64url(&process.sign(message.as_bytes()).unwrap());
            sent_as(&|sent| sent.set("x-daemon-attestation", |_| format!("{message}.{forged}")))
        }),
        of("another agent's session", "bad_signature", {
            let session = other.session.clone();
            header(&|line| line.replacen(&daemon.session, &session, 1))
        }),
        of("no session of ours", "session_unknown", {
            header(&|line| line.replacen(&daemon.session, "AAAA", 1))
        }),
        of(
            "five parts",
            "malformed",
            header(&|line| line.replacen('.', "", 4)),
        ),
        of("two lines", "malformed", {
            let mut sent = signed(&|_| ());
            let again = sent
                .headers
                .iter()
                .find(|(name, _)| name == "x-daemon-attestation");
            let again = again.unwrap().clone();
            sent.headers.push(again);
            sent
        }),
        Broken {
            what: "another agent altogether",
            ..of("", other_agent(good), foreign)
        },
    ]
}

/// What somebody is told who shows what another agent was given: in a discovery that the
/// session is not theirs, else that the token is not.
fn other_agent(good: &Proof) -> &'static str {
    match good.path.as_str() {
        DISCOVER => "session_unknown",
        _ => "token_device",
    }
}

#[tokio::test]
async fn of_a_discovery_each_part_counts() {
    let scene = Scene::set().await;
    let (baker, till) = (scene.daemon(BAKER).await, scene.daemon(TILL).await);
    let question = scene.question(BAKER, "site", "DB=\n");
    let body = serde_json::to_vec(&question).unwrap();
    let good = scene.proof("POST", DISCOVER, &body, "agent:baker-1");
    each_is_refused(&scene, broken(&scene, &baker, &till, &good, &baker.login)).await;

    // What the agent's own key signs.
    let now = scene.secs();
    let signed = |ts: u64, nonce: &str, id: &str, path: &str| {
        let message = format!("{ts}|{nonce}|{id}|{path}");
        json!(b64url(&scene.key.sign(message.as_bytes()).unwrap()))
    };
    let with = |changes: &[(&str, Value)]| {
        let mut changed = scene.question(BAKER, "site", "DB=\n");
        for (name, value) in changes {
            changed[*name] = value.clone();
        }
        changed
    };
    let other = b64url(&new_key().sign(b"x").unwrap());
    let nonce = question["nonce"].as_str().unwrap();
    for (what, code, question) in [
        (
            "stale",
            "timestamp_out_of_window",
            with(&[
                ("ts", json!(now - 301)),
                ("nonce", json!("fresh-0001")),
                (
                    "auth_proof",
                    signed(now - 301, "fresh-0001", BAKER, DISCOVER),
                ),
            ]),
        ),
        (
            "for another path",
            "bad_signature",
            with(&[
                ("nonce", json!("fresh-0002")),
                (
                    "auth_proof",
                    signed(now, "fresh-0002", BAKER, "/agent/other"),
                ),
            ]),
        ),
        (
            "of another agent",
            "bad_signature",
            with(&[
                ("nonce", json!("fresh-0003")),
                ("auth_proof", signed(now, "fresh-0003", TILL, DISCOVER)),
            ]),
        ),
        (
            "for another nonce",
            "bad_signature",
            with(&[("nonce", json!(nonce))]),
        ),
        (
            "by another key",
            "bad_signature",
            with(&[("auth_proof", json!(other))]),
        ),
        ("none", "malformed", with(&[("auth_proof", json!(""))])),
        (
            "a nonce that is none",
            "malformed",
            with(&[("nonce", json!("1|2"))]),
        ),
    ] {
        let answer = scene.asks_with(&baker, &question).await;
        answer.is_refused(401, code, what);
        assert_eq!(scene.refusal("authenticate").await, code, "{what}");
    }
    // A daemon discovers for the agent that attested it, with a good proof of another too.
    let theirs = scene.question(TILL, "site", "DB=\n");
    let body = serde_json::to_vec(&theirs).unwrap();
    let proof = scene.proof("POST", DISCOVER, &body, "agent:till.7");
    let sent = bearing(baker.signed(&proof), &baker.login);
    let answer = scene.world().send(&sent).await;
    answer.is_refused(401, "session_unknown", "for another agent");

    // Nothing of all that used the good ones up; they are good once.
    let sent = bearing(baker.signed(&good), &baker.login);
    let first = scene.world().send(&sent).await;
    first.waits("at first");
    let again = scene.world().send(&sent).await;
    again.is_refused(401, "nonce_replayed", "the same jti");
    let proof = scene.proof("POST", DISCOVER, &good.body, "agent:baker-1");
    let sent = bearing(baker.signed(&proof), &baker.login);
    let nonce = scene.world().send(&sent).await;
    nonce.is_refused(401, "nonce_replayed", "the same nonce");
}

#[tokio::test]
async fn of_what_a_token_is_shown_with_each_part_counts() {
    let scene = Scene::set().await;
    let (baker, till) = (scene.daemon(BAKER).await, scene.daemon(TILL).await);
    let (token, _) = scene.opened(&baker, "DB=\n").await;
    for target in [SECRETS, CONFIG] {
        let good = scene.proof("GET", target, b"", &hash_of(&token));
        let mut all = broken(&scene, &baker, &till, &good, &token);
        // That one is proven, and refused for what it shows.
        let theirs = all.pop().unwrap();
        each_is_refused(&scene, all).await;
        let answer = scene.world().send(&theirs.sent).await;
        answer.is_refused(401, theirs.code, target);
        // What is signed for is what is shown.
        let sent = bearing(baker.signed(&good), "another");
        let answer = scene.world().send(&sent).await;
        answer.is_refused(401, "digest_mismatch", target);
        let bare = baker.signed(&good);
        let answer = scene.world().send(&bare).await;
        answer.is_refused(401, "token_missing", target);
        let first = shown(&scene, &baker, &good, &token).await;
        assert_ne!(first.status, 401, "{target}: {}", first.text());
        let again = shown(&scene, &baker, &good, &token).await;
        again.is_refused(401, "nonce_replayed", target);
    }
}

async fn shown(scene: &Scene, daemon: &Daemon, proof: &Proof, token: &str) -> Answer {
    let sent = bearing(daemon.signed(proof), token);
    scene.world().send(&sent).await
}
