//! Bodies that are no question.

use super::agent::{Agent, ask, question, serving};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_no_json_is_told_from_what_lacks_a_field() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let good = scribe.asks_now(&world).to_string();
    let doubled = good.replacen('{', "{\"agent_id\":\"clerk\",", 1);
    let cut = &good[..good.len() - 1];
    for (body, reason) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("agent_id=scribe&nonce=00", "invalid_json"),
        (cut, "invalid_json"),
        ("{\"agent_id\":7,}", "invalid_json"),
        ("\u{feff}{}", "invalid_json"),
        ("{}{}", "invalid_json"),
        ("[]", "missing_or_invalid_fields"),
        ("null", "missing_or_invalid_fields"),
        ("\"scribe\"", "missing_or_invalid_fields"),
        ("{}", "missing_or_invalid_fields"),
        // The grammar of JSON has it, and no text is meant by it.
        ("{\"agent_id\":\"\\ud800\"}", "missing_or_invalid_fields"),
        (doubled.as_str(), "missing_or_invalid_fields"),
    ] {
        world
            .send(&question(body.as_bytes()))
            .await
            .bad_request(reason, body);
    }
    let broken = [&good.as_bytes()[..20], b"\xff", &good.as_bytes()[20..]].concat();
    world
        .send(&question(&broken))
        .await
        .bad_request("invalid_json", "no UTF-8");
    // An array would pass for the fields in their order.
    let fields: Value = serde_json::from_str(&good).unwrap();
    let order = [
        "agent_id",
        "timestamp",
        "nonce",
        "method",
        "path",
        "body_sha256",
        "signature",
    ];
    let array: Vec<&Value> = order.iter().map(|field| &fields[*field]).collect();
    ask(&world, &json!(array))
        .await
        .bad_request("missing_or_invalid_fields", "an array");
    ask(&world, &fields).await.valid("scribe", "as it was");
}

#[tokio::test]
async fn each_field_is_there_and_in_form() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let good = scribe.asks_now(&world);
    let fields = [
        "agent_id",
        "timestamp",
        "nonce",
        "method",
        "path",
        "body_sha256",
        "signature",
    ];
    for field in fields {
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove(field);
        ask(&world, &missing)
            .await
            .bad_request("missing_or_invalid_fields", field);
        for value in [
            json!(null),
            json!(7),
            json!(true),
            json!(["x"]),
            json!({}),
            json!(""),
        ] {
            let mut wrong = good.clone();
            wrong[field] = value.clone();
            ask(&world, &wrong)
                .await
                .bad_request("missing_or_invalid_fields", &format!("{field} {value}"));
        }
    }
    let (long_id, long_nonce, long_signature) = ("a".repeat(65), "a".repeat(129), "A".repeat(257));
    for (field, value) in [
        ("agent_id", long_id.as_str()),
        ("agent_id", "a/b"),
        ("agent_id", "../scribe"),
        ("agent_id", "a..b"),
        ("agent_id", ".."),
        ("agent_id", "scribe\0"),
        ("agent_id", "scribe\n"),
        ("agent_id", "scribé"),
        ("timestamp", "now"),
        ("timestamp", "1795000000"),
        ("timestamp", "2026-11-18T17:06:40"),
        ("timestamp", "2026-11-18T17:06:40+00:00"),
        ("timestamp", "2026-11-18 17:06:40Z"),
        ("timestamp", "2026-13-18T17:06:40Z"),
        ("nonce", "0123456789abcde"),
        ("nonce", long_nonce.as_str()),
        ("nonce", "0123456789abcdeg"),
        ("nonce", " 0123456789abcdef"),
        ("body_sha256", "e3b0"),
        (
            "body_sha256",
            "zz b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("signature", long_signature.as_str()),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value.into();
        ask(&world, &wrong)
            .await
            .bad_request("missing_or_invalid_fields", &format!("{field} {value}"));
    }
    ask(&world, &good).await.valid("scribe", "as it was");
}

#[tokio::test]
async fn a_signed_line_feed_moves_no_part_into_another() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    // Signed for this path, and then shown with a part of it as the timestamp's line.
    let proof = scribe.proof(world.now());
    let good = scribe.asks(&proof);
    for (field, value) in [
        ("method", format!("POST\n{}", proof.path)),
        ("path", format!("{}\n{}", proof.path, proof.timestamp)),
        ("nonce", format!("{}\n00", proof.nonce)),
    ] {
        let mut moved = good.clone();
        moved[field] = value.as_str().into();
        ask(&world, &moved)
            .await
            .bad_request("missing_or_invalid_fields", field);
    }
    ask(&world, &good).await.valid("scribe", "as it was");
}

#[tokio::test]
async fn ids_of_up_to_64_characters_are_ids() {
    const THIRTY_FOUR: &str = "agent-0123456789-0123456789-012345";
    const LONGEST: &str = "x123456789x123456789x123456789x123456789x123456789x123456789x123";
    assert_eq!((THIRTY_FOUR.len(), LONGEST.len()), (34, 64));
    let agents = ["a", "A.b_c-9", THIRTY_FOUR, LONGEST].map(Agent::new);
    let world = serving(&agents.each_ref()).await;
    for agent in &agents {
        ask(&world, &agent.asks_now(&world))
            .await
            .valid(agent.id, agent.id);
    }
}

#[tokio::test]
async fn a_body_has_16_kib_at_most() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let padded = |length: usize| {
        let mut asked = scribe.asks_now(&world);
        asked["padding"] = "".into();
        let rest = length - asked.to_string().len();
        asked["padding"] = "x".repeat(rest).into();
        let body = asked.to_string().into_bytes();
        assert_eq!(body.len(), length);
        body
    };
    for announced in [false, true] {
        let send = async |length: usize| {
            let body = padded(length);
            let mut sent = question(&body);
            if announced {
                sent.headers
                    .push(("content-length".to_owned(), length.to_string()));
            }
            world.send(&sent).await
        };
        let what = format!("announced: {announced}");
        send(16 * 1024).await.valid("scribe", &what);
        send(16 * 1024 + 1)
            .await
            .bad_request("body too large", &what);
        send(17 * 1024).await.bad_request("body too large", &what);
        send(4 << 20).await.bad_request("body too large", &what);
    }
}
