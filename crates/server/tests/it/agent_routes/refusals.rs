//! Every way in which a proof of another system's profile is not good, each with its
//! exact reason and status.

use super::agent::{Enrolled, Maker, START, ask, ed25519, enrol};
use crate::actors::Actors;
use crate::key_server::{line_of, put_file};
use crate::world::Sent;
use procura_proof::foreign::Foreign;
use procura_types::{Duration, Timestamp};
use serde_json::json;

const STRONG: [Foreign; 3] = [Foreign::KeyServerV1, Foreign::GuideV1, Foreign::HmacV2];

/// Changes one thing of a good request.
type Change = Box<dyn Fn(&mut Sent)>;

fn set(name: &'static str, value: impl Into<String>) -> Change {
    let value = value.into();
    Box::new(move |sent| sent.set(name, |_| value.clone()))
}

fn without(name: &'static str) -> Change {
    Box::new(move |sent| sent.headers.retain(|(found, _)| found != name))
}

fn with(name: &'static str, value: &'static str) -> Change {
    Box::new(move |sent| sent.headers.push((name.to_owned(), value.to_owned())))
}

const fn id_field(profile: Foreign) -> &'static str {
    match profile {
        Foreign::GuideV1 => "x-agent",
        _ => "x-agent-id",
    }
}

/// What is wrong in any profile, by the table of `spec/reasons.md`.
fn table(profile: Foreign) -> Vec<(String, Change, u16, &'static str)> {
    let id = id_field(profile);
    let mut table: Vec<(String, Change, u16, &'static str)> = Vec::new();
    let mut add = |what: &str, change: Change, reason| {
        table.push((what.to_owned(), change, 401, reason));
    };
    // Missing each, and twice each.
    for name in ["x-timestamp", "x-signature", id] {
        add(&format!("no {name}"), without(name), "missing_headers");
    }
    if profile != Foreign::HmacV2 {
        add("no x-nonce", without("x-nonce"), "missing_headers");
    }
    for name in [id, "x-timestamp", "x-nonce", "x-signature"] {
        add(
            &format!("{name} twice"),
            Box::new(move |sent| {
                let again = sent.headers.iter().find(|(found, _)| found == name);
                let again = again.unwrap().clone();
                sent.headers.push(again);
            }),
            "malformed",
        );
    }
    // Malformed each.
    for bad in ["a b", "a..b", "../x", "a/b", ""] {
        add(&format!("{id}: {bad}"), set(id, bad), "malformed");
    }
    add("65 characters", set(id, "n".repeat(65)), "malformed");
    for bad in ["", "now", "-1", "2027-02-30T08:00:00Z"] {
        add(
            &format!("x-timestamp: {bad}"),
            set("x-timestamp", bad),
            "malformed",
        );
    }
    let long = "A".repeat(129);
    for bad in ["", &long] {
        add(&format!("x-nonce: {bad}"), set("x-nonce", bad), "malformed");
    }
    add("no signature", set("x-signature", ""), "malformed");
    add(
        "257 characters",
        set("x-signature", "A".repeat(257)),
        "malformed",
    );
    // Of two profiles.
    let other = if id == "x-agent" {
        "x-agent-id"
    } else {
        "x-agent"
    };
    add("two ids", with(other, "x"), "malformed");
    match profile {
        Foreign::HmacV2 => add("a version", set("x-signature-version", "3"), "malformed"),
        _ => {
            add("a session", with("x-session-id", "s"), "malformed");
            add("a version", with("x-signature-version", "2"), "malformed");
        }
    }
    // An id of 34 characters is one, and of nobody.
    add("34 characters", set(id, "n".repeat(34)), "unknown_agent");
    // 88 characters that are 66 bytes, of somebody and of nobody.
    add(
        "66 bytes",
        set("x-signature", "A".repeat(88)),
        "bad_signature",
    );
    add(
        "66 bytes of nobody",
        Box::new(move |sent| {
            sent.set(id, |_| "nobody".to_owned());
            sent.set("x-signature", |_| "A".repeat(88));
        }),
        "unknown_agent",
    );
    // Altered.
    add(
        "the method",
        Box::new(|sent| sent.method = "PUT".to_owned()),
        "",
    );
    add(
        "the body",
        Box::new(|sent| sent.body = b"{ }".to_vec()),
        "bad_signature",
    );
    add(
        "the path",
        Box::new(|sent| sent.target = format!("/functions/v1{START}")),
        "bad_signature",
    );
    if profile == Foreign::HmacV2 {
        add(
            "the query",
            Box::new(|sent| sent.target = format!("{START}?x=1")),
            "bad_signature",
        );
    }
    add(
        "the nonce",
        set("x-nonce", "0123456789abcdef0123456789abcdef"),
        "bad_signature",
    );
    table
}

#[tokio::test]
async fn each_is_refused_for_its_reason_and_uses_nothing_up() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    for profile in STRONG {
        for (what, change, status, reason) in table(profile) {
            let good = agent
                .maker()
                .sent(profile, START, b"{}", actors.world.now());
            let mut bad = good.clone();
            change(&mut bad);
            let what = format!("{profile} {what}");
            let answer = actors.world.send(&bad).await;
            if reason.is_empty() {
                // No route takes it, before anybody is looked at.
                answer.error(405, "method_not_allowed", &what);
            } else {
                answer.error(status, reason, &what);
            }
            // The victim's nonce is its own still.
            actors.world.send(&good).await.good(&what);
            actors
                .world
                .send(&good)
                .await
                .error(401, "nonce_replayed", &what);
        }
        let mut bare = agent
            .maker()
            .sent(profile, START, b"{}", actors.world.now());
        bare.headers.retain(|(name, _)| !name.starts_with("x-"));
        actors
            .world
            .send(&bare)
            .await
            .error(401, "missing_headers", "nothing at all");
    }
}

#[tokio::test]
async fn the_clock_is_looked_at_with_both_ends() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let now = actors.world.now();
    let second = Duration::from_secs(1);
    for (profile, back) in [
        (Foreign::KeyServerV1, 300),
        (Foreign::GuideV1, 60),
        (Foreign::HmacV2, 60),
    ] {
        let back = Duration::from_secs(back);
        let forward = Duration::from_secs(60);
        let send = async |made: Timestamp| {
            let sent = agent.maker().sent(profile, START, b"{}", made);
            actors.world.send(&sent).await
        };
        let late = "timestamp_out_of_window";
        send(now.minus(back + second)).await.error(401, late, "old");
        send(now.minus(back)).await.good("the oldest");
        send(now.plus(forward)).await.good("the newest");
        send(now.plus(forward + second))
            .await
            .error(401, late, "new");
    }
}

#[tokio::test]
async fn a_nonce_is_used_up_for_its_whole_window_and_through_a_seal() {
    let actors = Actors::new().await;
    let (one, two) = (enrol(&actors, "x").await, enrol(&actors, "y").await);
    let sent = one
        .maker()
        .sent(Foreign::KeyServerV1, START, b"{}", actors.world.now());
    actors.world.send(&sent).await.good("once");
    actors
        .world
        .send(&sent)
        .await
        .error(401, "nonce_replayed", "at once");
    actors.world.seal().await;
    actors
        .world
        .send(&sent)
        .await
        .error(503, "sealed", "sealed");
    actors.world.unseal().await;
    actors
        .world
        .send(&sent)
        .await
        .error(401, "nonce_replayed", "unsealed");
    actors.world.clock.turn(Duration::from_secs(300));
    actors
        .world
        .send(&sent)
        .await
        .error(401, "nonce_replayed", "300 s");
    actors.world.clock.turn(Duration::from_secs(1));
    actors
        .world
        .send(&sent)
        .await
        .error(401, "timestamp_out_of_window", "301 s");

    // Two agents may have the same nonce: it belongs to the key.
    for profile in STRONG {
        let now = actors.world.now();
        let first = one.maker().sent(profile, START, b"{}", now);
        let nonce = first.headers.iter().find(|(name, _)| name == "x-nonce");
        let nonce = nonce.unwrap().1.clone();
        let second = with_nonce(&two, profile, &nonce, now);
        actors.world.send(&first).await.good("one");
        actors.world.send(&second).await.good("other");
        actors
            .world
            .send(&second)
            .await
            .error(401, "nonce_replayed", "other again");
    }
}

/// The same request of another agent, signed with this nonce: by trying, as the
/// client's side draws its own, and then signing what the protocol says.
fn with_nonce(agent: &Enrolled, profile: Foreign, nonce: &str, now: Timestamp) -> Sent {
    use procura_crypto::sha256;
    use procura_types::encoding::{b64_standard, b64url_padded, hex};
    let mut sent = agent.maker().sent(profile, START, b"{}", now);
    let moment = sent.headers.iter().find(|(name, _)| name == "x-timestamp");
    let moment = moment.unwrap().1.clone();
    let hash = hex(&sha256(b"{}"));
    let signature = match profile {
        Foreign::KeyServerV1 => {
            let message = format!("POST\n{START}\n{moment}\n{nonce}\n{hash}");
            b64_standard(&agent.key.sign(message.as_bytes()).unwrap())
        }
        Foreign::GuideV1 => {
            let message = format!("POST\n{START}\n{moment}\n{nonce}\n{{}}");
            b64url_padded(&agent.key.sign(message.as_bytes()).unwrap())
        }
        Foreign::HmacV1 | Foreign::HmacV2 => {
            let authority = crate::world::AUTHORITY;
            let message = format!("v2\nPOST\n{START}\n{authority}\n{moment}\n{nonce}\n\n{hash}");
            let key =
                procura_crypto::hkdf_sha256::<32>(agent.secret.as_bytes(), b"", b"procura.hmac-v2");
            let mac = procura_crypto::MacKey::from_bytes(key.expose()).unwrap();
            hex(&mac.sign(&[message.as_bytes()]))
        }
    };
    sent.set("x-nonce", |_| nonce.to_owned());
    sent.set("x-signature", |_| signature.clone());
    sent
}

#[tokio::test]
async fn a_key_that_goes_between_two_requests_is_not_known_at_the_second() {
    let actors = Actors::new().await;
    let key = ed25519();
    let home = actors.world.home.path();
    put_file(home, "filed", &line_of(key.public().as_bytes()));
    let filed = Maker {
        id: "filed",
        key: &key,
        secret: "",
        session: None,
    };
    for profile in [Foreign::KeyServerV1, Foreign::GuideV1] {
        ask(&actors, &filed, profile, START, &json!({}))
            .await
            .good("there");
        let file = home.join("keys/agents/filed.pub");
        std::fs::remove_file(&file).unwrap();
        let answer = ask(&actors, &filed, profile, START, &json!({})).await;
        answer.error(401, "unknown_agent", "gone");
        put_file(home, "filed", &line_of(key.public().as_bytes()));
        let stranger = ed25519();
        let wrong = Maker {
            key: &stranger,
            ..Maker {
                ..filed_again(&key)
            }
        };
        let answer = ask(&actors, &wrong, profile, START, &json!({})).await;
        answer.error(401, "bad_signature", "another key");
        ask(&actors, &filed, profile, START, &json!({}))
            .await
            .good("back");
    }
    let keys = home.join("keys");
    std::fs::rename(&keys, home.join("aside")).unwrap();
    std::fs::write(&keys, "").unwrap();
    let answer = ask(&actors, &filed, Foreign::GuideV1, START, &json!({})).await;
    answer.error(503, "verifier_unavailable", "nobody can tell");
}

fn filed_again(key: &procura_crypto::SigningKey) -> Maker<'_> {
    Maker {
        id: "filed",
        key,
        secret: "",
        session: None,
    }
}

#[tokio::test]
async fn sealed_nobody_is_looked_at() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    actors.world.seal().await;
    for target in [
        START,
        "/agent/session/extend",
        "/agent/token/refresh",
        "/agent/secret/rotate",
        "/agent/enroll/start",
        "/agent/enroll/complete",
    ] {
        let answer = ask(
            &actors,
            &agent.maker(),
            Foreign::KeyServerV1,
            target,
            &json!({}),
        )
        .await;
        answer.error(503, "sealed", target);
    }
    let sent = Sent::new("GET", "/agent/metrics", None);
    actors
        .world
        .send(&sent)
        .await
        .error(503, "sealed", "numbers");
}

#[tokio::test]
async fn what_is_not_there_and_who_is_not_here_are_refused_in_the_same_shape() {
    let actors = Actors::new().await;
    for target in [
        "/agent",
        "/agent/",
        "/agent/x",
        "/functions/v1/agent/enroll",
        "/agent/session/start/",
        "/agent//session/start",
        "/agent/%73ession/start",
    ] {
        let answer = actors
            .world
            .send(&Sent::new("POST", target, Some(b"{}")))
            .await;
        answer.error(404, "not_found", target);
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = actors.world.send(&Sent::new(method, START, None)).await;
        answer.error(405, "method_not_allowed", method);
        assert_eq!(answer.headers["allow"], "POST");
    }
    let agent = enrol(&actors, "x").await;
    let mut sent = agent
        .maker()
        .sent(Foreign::KeyServerV1, START, b"{}", actors.world.now());
    sent.set("host", |_| "vault.example:7310".to_owned());
    actors
        .world
        .send(&sent)
        .await
        .error(400, "malformed", "another server");
}

#[tokio::test]
async fn an_agent_is_let_in_from_its_addresses_alone() {
    let actors = Actors::new().await;
    let agent = enrol(&actors, "x").await;
    let hold = async |sources: serde_json::Value| {
        let target = "/v1/namespaces/shop/agents/scribe/sources";
        actors
            .ok("adam", "PUT", target, json!({"sources": sources}))
            .await;
    };
    hold(json!(["10.0.0.0/8"])).await;
    for profile in STRONG {
        for target in [
            START,
            "/functions/v1/agent/session/start",
            "/agent/session/extend",
            "/agent/token/refresh",
            "/agent/secret/rotate",
        ] {
            let answer = ask(&actors, &agent.maker(), profile, target, &json!({})).await;
            answer.error(403, "source_not_allowed", &format!("{profile} {target}"));
        }
        let now = actors.world.now();
        let sent = agent.maker().sent(profile, START, b"{}", now);
        let answer = actors.world.send_from(&sent, [10, 1, 2, 3].into()).await;
        answer.good(profile.as_str());
        // What a proof is worth is said before where it comes from.
        let mut forged = agent.maker().sent(profile, START, b"{}", now);
        forged.set("x-signature", |_| "A".repeat(88));
        let answer = actors.world.send(&forged).await;
        answer.error(401, "bad_signature", profile.as_str());
    }
    let answer = actors
        .world
        .call(&agent.key, "POST", START, Some(&json!({})))
        .await;
    answer.error(403, "source_not_allowed", "native");
    hold(json!([])).await;
    for profile in STRONG {
        let answer = ask(&actors, &agent.maker(), profile, START, &json!({})).await;
        answer.good(profile.as_str());
    }
}
