//! How often somebody may ask, who is counted for what, and what they are told.

use crate::actors::Actors;
use crate::world::{Answer, Sent, World};
use http::StatusCode;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_server::Config;
use procura_types::{Duration, RateLimit};
use serde_json::{Value, json};
use std::net::IpAddr;

const LIST: &str = "/v1/namespaces";
const HERE: &str = "127.0.0.1";
const FAR: &str = "192.0.2.1";

fn limit(text: &str) -> RateLimit {
    text.parse().unwrap()
}

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn told<'a>(answer: &'a Answer, field: &str) -> &'a str {
    answer.headers[field].to_str().unwrap()
}

/// An installation with one operator.
struct Alone {
    world: World,
    root: SigningKey,
}

impl Alone {
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::standing(change);
        let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
        world.init(&root).await;
        Self { world, root }
    }

    async fn list(&self, from: &str, fields: &[(&str, &str)]) -> Answer {
        let mut sent = self.world.signed(&self.root, "GET", LIST, None);
        let fields = fields.iter();
        sent.headers
            .extend(fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.world.send_from(&sent, at(from)).await
    }

    /// How many of ten are let in.
    async fn passed(&self, from: &str, fields: &[(&str, &str)]) -> usize {
        let mut passed = 0;
        for _ in 0..10 {
            let answer = self.list(from, fields).await;
            if answer.status == StatusCode::OK {
                passed += 1;
            } else {
                limited(&answer, from);
            }
        }
        passed
    }
}

fn limited(answer: &Answer, what: &str) {
    answer.expect("rate_limited", Some("rate_limited"), None, what);
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers.contains_key("retry-after"), "{what}");
}

#[tokio::test]
async fn an_address_over_its_rate_is_told_when_and_others_are_not_slowed() {
    let alone = Alone::with(|config| config.rate_address = Some(limit("1/h burst 5"))).await;
    for _ in 0..5 {
        assert_eq!(alone.list(FAR, &[]).await.status, StatusCode::OK);
    }
    let answer = alone.list(FAR, &[]).await;
    limited(&answer, "the sixth");
    assert_eq!(told(&answer, "retry-after"), "3600");
    assert_eq!(told(&answer, "ratelimit-policy"), "\"address\";q=5;w=18000");
    assert_eq!(told(&answer, "ratelimit"), "\"address\";r=0;t=21600");
    // What proves nothing is not even looked at.
    let bare = Sent::new("GET", LIST, None);
    limited(&alone.world.send_from(&bare, at(FAR)).await, "unproven");
    // The same address in another form, another one, and the network of an IPv6 host.
    limited(&alone.list("::ffff:192.0.2.1", &[]).await, "mapped");
    assert_eq!(alone.passed("192.0.2.2", &[]).await, 5);
    assert_eq!(alone.passed("2001:db8::1", &[]).await, 5);
    limited(&alone.list("2001:db8::9:2", &[]).await, "its network");
    // A rate that is set is for this machine too.
    assert_eq!(alone.passed(HERE, &[]).await, 5);
    alone.world.clock.turn(Duration::from_secs(3600));
    assert_eq!(alone.passed(FAR, &[]).await, 1);
}

#[tokio::test]
async fn this_machine_is_let_be_and_a_rate_can_be_off() {
    for configured in [None, Some(RateLimit::Off)] {
        let alone = Alone::with(|config| config.rate_address = configured).await;
        let bare = Sent::new("GET", LIST, None);
        let from = if configured.is_some() { FAR } else { HERE };
        for _ in 0..100 {
            let answer = alone.world.send_from(&bare, at(from)).await;
            answer.expect("unauthorized", Some("missing_headers"), None, from);
        }
        assert_eq!(alone.list(from, &[]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_a_stranger_says_of_its_way_changes_nothing() {
    let alone = Alone::with(|config| config.rate_address = Some(limit("1/h burst 5"))).await;
    for (from, field) in [(FAR, "x-forwarded-for"), ("192.0.2.2", "forwarded")] {
        let mut passed = 0;
        for number in 0..10 {
            let hop = format!("203.0.113.{number}");
            let value = if field == "forwarded" {
                format!("for={hop}")
            } else {
                hop
            };
            let answer = alone.list(from, &[(field, &value)]).await;
            passed += usize::from(answer.status == StatusCode::OK);
        }
        assert_eq!(passed, 5, "{field}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_stands_for() {
    let alone = Alone::with(|config| {
        config.rate_address = Some(limit("1/h burst 5"));
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let proxy = "10.0.0.1";
    let plain = |value| [("x-forwarded-for", value)];
    assert_eq!(alone.passed(proxy, &plain("203.0.113.1")).await, 5);
    assert_eq!(alone.passed(proxy, &plain("203.0.113.2")).await, 5);
    // What the client wrote stands before what the proxy adds.
    let written = plain("198.51.100.9, 203.0.113.1");
    assert_eq!(alone.passed(proxy, &written).await, 0);
    // Through two of them, and directly.
    assert_eq!(
        alone.passed(proxy, &plain("203.0.113.1, 10.0.0.2")).await,
        0
    );
    assert_eq!(alone.passed("203.0.113.1", &[]).await, 0);
    let forwarded = [("forwarded", "for=203.0.113.3;proto=https")];
    assert_eq!(alone.passed(proxy, &forwarded).await, 5);
    // Its own requests.
    assert_eq!(alone.passed(proxy, &[]).await, 5);
    for fields in [
        &[("x-forwarded-for", "unknown")][..],
        &[
            ("x-forwarded-for", "203.0.113.4"),
            ("forwarded", "for=203.0.113.5"),
        ],
    ] {
        let answer = alone.list(proxy, fields).await;
        answer.expect("malformed", None, Some("forwarded"), "unclear");
    }
}

/// Without a list of those who may ask, this machine may; a proxy on it that is named
/// does not lend its address to strangers.
#[tokio::test]
async fn the_verification_service_knows_the_client_of_a_trusted_proxy() {
    for (trusted, status) in [(true, 403), (false, 200)] {
        let alone = Alone::with(|config| {
            let proxies = trusted.then(|| HERE.parse().unwrap());
            config.trusted_proxies = proxies.into_iter().collect();
        })
        .await;
        let mut sent = Sent::new("GET", "/api/agents/identity", None);
        assert_eq!(alone.world.send(&sent).await.status, StatusCode::OK);
        let field = ("x-forwarded-for".to_owned(), "203.0.113.1".to_owned());
        sent.headers.push(field);
        let answer = alone.world.send(&sent).await;
        assert_eq!(answer.status.as_u16(), status, "{trusted}");
    }
}

#[tokio::test]
async fn the_verification_service_and_other_surfaces_keep_their_words() {
    for (method, path, status, body) in [
        (
            "POST",
            "/api/verify",
            503,
            json!({"error": "service_unavailable", "reason": "rate_limited"}),
        ),
        ("GET", "/keys/list", 429, json!({"error": "rate_limited"})),
        ("GET", "/audit", 429, json!({"error": "rate_limited"})),
        (
            "POST",
            "/agent/enroll/start",
            429,
            json!({"error": "rate_limited"}),
        ),
    ] {
        let world = World::standing(|config| config.rate_address = Some(limit("1/m burst 1")));
        let sent = Sent::new(method, path, Some(b"{}"));
        let first = world.send(&sent).await;
        assert_ne!(first.json()["reason"], "rate_limited", "{path}");
        let answer = world.send(&sent).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.json(), body, "{path}");
        assert_eq!(told(&answer, "content-type"), "application/json");
        assert_eq!(told(&answer, "retry-after"), "60");
        assert_eq!(told(&answer, "ratelimit"), "\"address\";r=0;t=120");
    }
}

/// A request with the victim's name and a signature that is none.
fn forged(actors: &Actors, victim: &str) -> Sent {
    let mut sent = actors.world.signed(actors.key(victim), "GET", LIST, None);
    sent.set("signature-input", |input| {
        input.replacen("nonce=\"", "nonce=\"AAAA", 1)
    });
    sent
}

/// Sends forged requests until the address has to wait, and says for how long.
async fn provoke(actors: &Actors, victim: &str, from: &str) -> String {
    for _ in 0..100 {
        let answer = actors
            .world
            .send_from(&forged(actors, victim), at(from))
            .await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            limited(&answer, "it has to wait");
            assert!(!answer.headers.contains_key("ratelimit"));
            return told(&answer, "retry-after").to_owned();
        }
        answer.expect("unauthorized", Some("bad_signature"), None, "forged");
    }
    panic!("it never has to wait");
}

async fn lists(actors: &Actors, who: &str, from: &str) -> StatusCode {
    let sent = actors.world.signed(actors.key(who), "GET", LIST, None);
    actors.world.send_from(&sent, at(from)).await.status
}

#[tokio::test]
async fn who_forges_waits_twice_as_long_each_time_and_the_victim_not_at_all() {
    let actors = Actors::within(World::standing(|_| {})).await;
    for seconds in [1, 2, 4, 8] {
        assert_eq!(provoke(&actors, "scribe", FAR).await, seconds.to_string());
        // Whoever is at that address; the agent that it named from anywhere else.
        assert_eq!(lists(&actors, "baker", FAR).await, 429);
        for from in ["192.0.2.2", HERE] {
            assert_eq!(lists(&actors, "scribe", from).await, 200, "{from}");
        }
        actors.world.clock.turn(Duration::from_secs(seconds));
        assert_eq!(lists(&actors, "baker", FAR).await, 200);
    }
    actors.world.clock.turn(Duration::from_secs(600));
    assert_eq!(provoke(&actors, "scribe", FAR).await, "1");
}

/// What a page can have a browser send without asking first, and what it says by it.
const BY_A_PAGE: [(&str, &str); 5] = [
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-site", "none"),
];

fn by_a_page(mut sent: Sent, (name, value): (&str, &str)) -> Sent {
    sent.headers.push((name.to_owned(), value.to_owned()));
    sent
}

#[tokio::test]
async fn a_page_of_another_site_makes_no_address_wait() {
    let actors = Actors::within(World::standing(|_| {})).await;
    let world = &actors.world;
    for field in BY_A_PAGE {
        for (method, target) in [
            ("GET", LIST),
            ("POST", "/v1/sessions"),
            ("POST", "/v1/join"),
            ("POST", "/agent/enroll/start"),
            ("POST", "/agent/enroll/complete"),
        ] {
            let body = (method == "POST").then_some(b"{}".as_slice());
            let sent = by_a_page(Sent::new(method, target, body), field);
            for _ in 0..30 {
                let answer = world.send_from(&sent, at(FAR)).await;
                let what = format!("{target} {field:?}: {}", answer.text());
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
                if target.starts_with("/agent") {
                    assert_eq!(answer.json(), json!({"error": "from_browser"}), "{what}");
                } else {
                    answer.expect("forbidden", Some("from_browser"), None, &what);
                }
            }
        }
        let sent = by_a_page(Sent::new("GET", "/keys/list", None), field);
        let answer = world.send(&sent).await;
        let refused = json!({"error": "Forbidden", "reason": "from_browser"});
        assert_eq!((answer.status.as_u16(), answer.json()), (403, refused));
    }
    assert_eq!(lists(&actors, "baker", FAR).await, 200);
    let text = world.app.metrics.render(&world.app);
    assert!(text.contains("procura_limited_total{kind=\"violations\"} 0\n"));
    let entries = actors.recorded("authenticate").await;
    assert!(
        entries
            .iter()
            .any(|entry| entry["reason"] == "from_browser")
    );
    // A good proof is one, whatever sent it.
    let sent = by_a_page(
        world.signed(actors.key("baker"), "GET", LIST, None),
        BY_A_PAGE[0],
    );
    assert_eq!(world.send_from(&sent, at(FAR)).await.status, 200);
}

#[tokio::test]
async fn nobody_forges_unseen_by_saying_that_they_are_a_page() {
    for field in BY_A_PAGE {
        let actors = Actors::within(World::standing(|_| {})).await;
        let mut refused = 0;
        for _ in 0..100 {
            let sent = by_a_page(forged(&actors, "scribe"), field);
            let answer = actors.world.send_from(&sent, at(FAR)).await;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                break;
            }
            answer.expect("unauthorized", Some("bad_signature"), None, "forged");
            refused += 1;
        }
        assert!((20..60).contains(&refused), "{field:?} {refused}");
        assert_eq!(lists(&actors, "baker", FAR).await, 429, "{field:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_now_and_then_has_no_consequence() {
    let actors = Actors::within(World::standing(|_| {})).await;
    for _ in 0..100 {
        let sent = forged(&actors, "scribe");
        let answer = actors.world.send_from(&sent, at(FAR)).await;
        answer.expect("unauthorized", Some("bad_signature"), None, "one a second");
        actors.world.clock.turn(Duration::from_secs(1));
    }
    // Sessions end by themselves, many at once when the server's roots turn.
    let (session, _) = crate::sessions::started(&actors.world, actors.key("scribe"), None).await;
    actors.world.clock.turn(Duration::from_secs(601));
    for counter in 0..100 {
        let signer = procura_proof::sign::Signer::Session {
            id: &session.id,
            mac_key: &session.key,
            counter,
        };
        let sent = Sent::new("GET", LIST, None).signed(signer, actors.world.now());
        let answer = actors.world.send_from(&sent, at(FAR)).await;
        answer.expect("unauthorized", Some("session_expired"), None, "over");
    }
}

#[tokio::test]
async fn who_takes_power_away_does_not_wait() {
    let actors = Actors::within(World::standing(|_| {})).await;
    provoke(&actors, "scribe", FAR).await;
    assert_eq!(lists(&actors, "adam", FAR).await, 429);
    let target = "/v1/namespaces/shop/agents/baker";
    let sent = actors
        .world
        .signed(actors.key("adam"), "DELETE", target, None);
    let answer = actors.world.send_from(&sent, at(FAR)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(lists(&actors, "baker", HERE).await, 401);
    // Also those calls are counted, apart from all others.
    let bare = Sent::new("DELETE", target, None);
    let mut refused = 0;
    for _ in 0..100 {
        let answer = actors.world.send_from(&bare, at(FAR)).await;
        refused += usize::from(answer.status == StatusCode::UNAUTHORIZED);
    }
    assert!((19..60).contains(&refused), "{refused}");
}

#[tokio::test]
async fn what_keeps_a_gate_informed_does_not_wait_for_its_address() {
    let alone = Alone::with(|config| config.rate_address = Some(limit("1/h burst 5"))).await;
    assert_eq!(alone.passed(FAR, &[]).await, 5);
    let feed = "/v1/namespaces/shop/services/till/feed";
    for (method, target, status) in [
        ("GET", "/v1/status", 200),
        ("GET", "/v1/ledger/checkpoint", 401),
        ("GET", "/v1/ledger/consistency", 401),
        ("GET", feed, 401),
        ("POST", "/v1/sessions", 401),
        ("GET", "/v1/ledger/entries", 429),
        ("POST", feed, 429),
    ] {
        let bare = Sent::new(method, target, None);
        let answer = alone.world.send_from(&bare, at(FAR)).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {target}");
    }
    // It is counted too, apart from what takes power away.
    let bare = Sent::new("GET", "/v1/status", None);
    let mut passed = 0;
    for _ in 0..60 {
        let answer = alone.world.send_from(&bare, at(FAR)).await;
        if answer.status == StatusCode::OK {
            passed += 1;
        } else {
            limited(&answer, "status");
        }
    }
    // Forty at once, of which four are gone, and those that come while this asks.
    assert!((36..60).contains(&passed), "{passed}");
    let bare = Sent::new("DELETE", "/v1/operators/anna", None);
    let answer = alone.world.send_from(&bare, at(FAR)).await;
    answer.expect("unauthorized", Some("missing_headers"), None, "urgent");
}

/// The fields of what is left are lists, a line for each bucket.
fn left<'a>(answer: &'a Answer, field: &str) -> Vec<&'a str> {
    let lines = answer.headers.get_all(field).iter();
    lines
        .map(|line| line.to_str().unwrap().split(';').next().unwrap())
        .collect()
}

/// An agent that is refused something learns how it stands, as one that is answered
/// does, on every surface.
#[tokio::test]
async fn refusals_tell_how_the_agent_stands_as_well() {
    let world = World::standing(|config| config.rate_agent = limit("1/h burst 4"));
    let actors = Actors::within(world).await;
    for (who, method, target, status) in [
        ("baker", "GET", "/v1/namespaces/shop/secrets/nothing", 403),
        ("robber", "GET", "/keys/ssh/nothing", 404),
        ("baker", "POST", "/agent/session/start", 404),
    ] {
        actors.world.clock.turn(Duration::from_secs(4 * 3600));
        for place in 0..4 {
            let body = (method == "POST").then(|| json!({}));
            let answer = actors
                .world
                .call(actors.key(who), method, target, body.as_ref())
                .await;
            assert_eq!(answer.status.as_u16(), status, "{target}");
            let told: &[&str] = if place < 2 { &[] } else { &["\"agent\""] };
            assert_eq!(left(&answer, "ratelimit"), told, "{target} {place}");
            assert_eq!(left(&answer, "ratelimit-policy"), told, "{target} {place}");
        }
    }
}

/// The bucket that is empty is told of, and beside it the one that is nearly so.
#[tokio::test]
async fn a_refusal_for_one_rate_tells_of_the_other() {
    let world = World::standing(|config| {
        config.rate_agent = limit("1/h burst 13");
        config.rate_route = limit("1/h burst 6");
    });
    let actors = Actors::within(world).await;
    let call = || actors.world.call(actors.key("baker"), "GET", LIST, None);
    for _ in 0..6 {
        assert_eq!(call().await.status, StatusCode::OK);
    }
    let answer = call().await;
    limited(&answer, "the route");
    let both = ["\"route\"", "\"agent\""];
    assert_eq!(left(&answer, "ratelimit"), both);
    assert_eq!(left(&answer, "ratelimit-policy"), both);
}

#[tokio::test]
async fn codes_cannot_be_tried_for_ever() {
    let actors = Actors::within(World::standing(|_| {})).await;
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let code = actors
        .ok(
            "adam",
            "POST",
            "/v1/namespaces/shop/agents/baker/link-code",
            Value::Null,
        )
        .await;
    let mut code = procura_types::LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    code.code = procura_types::Secret::new([7; 16]);
    let body = serde_json::to_vec(&crate::actors::join_body(&code, &key)).unwrap();
    let sent = Sent::new("POST", "/v1/join", Some(&body));
    for number in 0..100 {
        let answer = actors.world.send_from(&sent, at(FAR)).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(number >= 20);
            return;
        }
        answer.expect("code_refused", Some("unknown_code"), None, "tried");
    }
    panic!("it never has to wait");
}

#[tokio::test]
async fn an_agent_over_its_rate_is_told_and_nobody_else_waits_for_it() {
    let world = World::standing(|config| config.rate_agent = limit("1/h burst 4"));
    let actors = Actors::within(world).await;
    let call = |who: &'static str| actors.world.call(actors.key(who), "GET", LIST, None);
    for left in [3, 2, 1, 0] {
        let answer = call("baker").await;
        assert_eq!(answer.status, StatusCode::OK);
        // Who has half or more of it left is not told.
        let said = answer
            .headers
            .get("ratelimit")
            .map(|said| said.to_str().unwrap());
        let t = 3600 * (4 - left);
        let expected = format!("\"agent\";r={left};t={t}");
        assert_eq!(said, (left < 2).then_some(expected.as_str()));
    }
    let answer = call("baker").await;
    limited(&answer, "the fifth");
    assert_eq!(told(&answer, "ratelimit-policy"), "\"agent\";q=4;w=14400");
    assert_eq!(told(&answer, "retry-after"), "3600");
    for _ in 0..10 {
        assert_eq!(call("adam").await.status, StatusCode::OK);
    }
    assert_eq!(call("robber").await.status, StatusCode::OK);
    // Forged requests take nothing from whom they name.
    for _ in 0..10 {
        actors.world.send(&forged(&actors, "robber")).await;
    }
    for _ in 0..3 {
        assert_eq!(call("robber").await.status, StatusCode::OK);
    }
    limited(&call("robber").await, "its own fifth");
    let text = actors.world.app.metrics.render(&actors.world.app);
    for (kind, count) in [
        ("agent", 2),
        ("address", 0),
        ("route", 0),
        ("violations", 0),
    ] {
        let line = format!("procura_limited_total{{kind=\"{kind}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[tokio::test]
async fn a_kind_of_call_is_counted_for_all_agents_together() {
    let world = World::standing(|config| config.rate_route = limit("1/h burst 6"));
    let actors = Actors::within(world).await;
    let call = |who: &'static str, target| actors.world.call(actors.key(who), "GET", target, None);
    for who in ["baker", "robber", "scribe", "baker", "robber", "scribe"] {
        assert_eq!(call(who, LIST).await.status, StatusCode::OK, "{who}");
    }
    for who in ["baker", "scribe"] {
        let answer = call(who, LIST).await;
        limited(&answer, who);
        assert_eq!(told(&answer, "ratelimit-policy"), "\"route\";q=6;w=21600");
    }
    assert_eq!(call("adam", LIST).await.status, StatusCode::OK);
    assert_eq!(
        call("baker", "/v1/ledger/checkpoint").await.status,
        StatusCode::OK
    );
}
