//! How often somebody may ask, and where requests come from.

use crate::client::{proven, refusal, tell};
use crate::upstream::App;
use crate::world::{World, dial, route};
use procura_types::RateLimit;
use procura_types::dial::{Mode, Route};

const LIMITED: (u16, &str) = (429, "rate_limited");

/// The id of the actor that a proof is of here.
const SCRIBE: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";

fn limit(text: &str) -> RateLimit {
    text.parse().unwrap()
}

fn rated(prefix: &str, rate: &str) -> Route {
    Route {
        rate: Some(limit(rate)),
        ..route(prefix, Mode::Enforce)
    }
}

/// A request that proves nothing.
fn bare(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
}

/// A proven request that a proxy forwards.
fn forwarded(line: &str, hops: &str) -> String {
    proven(line, &format!("X-Forwarded-For: {hops}\r\n"))
}

async fn status(world: &World, request: String) -> u16 {
    refusal(&tell(world, request).await).0
}

/// That an answer says so many seconds behind these words, but for those that went by since
/// the first request was counted, which are few.
fn says_seconds(answer: &str, words: &str, seconds: u64) {
    let (_, said) = answer.split_once(words).unwrap_or_else(|| {
        panic!("{words}: {answer}");
    });
    let said = said.split_once("\r\n").unwrap().0.parse::<u64>().unwrap();
    assert!((seconds - 50..=seconds).contains(&said), "{answer}");
}

#[tokio::test]
async fn a_route_over_its_rate_is_told_when() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.routes = vec![rated("/search", "1/h burst 3"), rated("/free", "off")];
    })
    .await;
    // What is refused takes nothing from those who are let in.
    for _ in 0..5 {
        assert_eq!(status(&world, bare("GET /search")).await, 401);
    }
    let first = tell(&world, proven("GET /search/a", "")).await;
    assert!(
        first.starts_with("HTTP/1.1 200") && !first.contains("ratelimit"),
        "{first}"
    );
    let second = tell(&world, proven("GET /search?b", "")).await;
    assert!(
        second.contains("ratelimit-policy: \"route\";q=3;w=10800\r\n"),
        "{second}"
    );
    says_seconds(&second, "ratelimit: \"route\";r=1;t=", 7200);
    // No spelling goes around it, and each is counted with it.
    assert_eq!(status(&world, proven("GET //search", "")).await, 200);
    for line in [
        "GET /search",
        "GET /search/%2e",
        "GET /SEARCH",
        "POST /search",
    ] {
        let answer = tell(&world, proven(line, "")).await;
        let (status, reason) = refusal(&answer);
        assert_eq!((status, reason.as_str()), LIMITED, "{line}");
        assert!(
            answer.contains("{\"error\":\"too_many_requests\","),
            "{answer}"
        );
        says_seconds(&answer, "\r\nretry-after: ", 3600);
        says_seconds(&answer, "\r\nratelimit: \"route\";r=0;t=", 14400);
    }
    assert_eq!(
        world.heard.all().last().unwrap(),
        &format!("did POST /search rate_limited {SCRIBE} native")
    );
    for path in ["/searches", "/free", "/"] {
        for _ in 0..5 {
            assert_eq!(
                status(&world, proven(&format!("GET {path}"), "")).await,
                200,
                "{path}"
            );
        }
    }
    // The dial is turned, and counts from the next request on.
    world
        .gate
        .set_dial(dial(Mode::Enforce, vec![rated("/search", "off")]));
    assert_eq!(status(&world, proven("GET /search", "")).await, 200);
}

#[tokio::test]
async fn a_rate_holds_in_every_mode() {
    let app = App::http1().await;
    for mode in Mode::ALL {
        let world = World::with(app.address, |setup| {
            setup.mode = mode;
            setup.routes = vec![Route {
                mode: Some(mode),
                ..rated("/search", "1/h burst 2")
            }];
        })
        .await;
        for expected in [200, 200, 429, 429] {
            assert_eq!(
                status(&world, proven("GET /search", "")).await,
                expected,
                "{mode}"
            );
        }
    }
}

#[tokio::test]
async fn an_agent_over_its_rate_is_told_when() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.agent_rate = limit("1/m burst 2");
    })
    .await;
    for _ in 0..5 {
        assert_eq!(status(&world, bare("GET /")).await, 401);
    }
    assert_eq!(status(&world, proven("GET /a", "")).await, 200);
    let second = tell(&world, proven("GET /b", "")).await;
    says_seconds(&second, "ratelimit: \"agent\";r=0;t=", 120);
    let answer = tell(&world, proven("GET /c", "")).await;
    let (status, reason) = refusal(&answer);
    assert_eq!((status, reason.as_str()), LIMITED);
    assert!(
        answer.contains("ratelimit-policy: \"agent\";q=2;w=120\r\n"),
        "{answer}"
    );
    // Who it is has been proven by then.
    assert_eq!(
        world.heard.all().last().unwrap(),
        &format!("did GET /c rate_limited {SCRIBE} native")
    );
}

#[tokio::test]
async fn an_address_over_its_rate_reaches_nobody() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.address_rate = Some(limit("1/h burst 3"));
    })
    .await;
    for _ in 0..3 {
        assert_eq!(status(&world, bare("GET /x")).await, 401);
    }
    let answer = tell(&world, proven("GET /x", "")).await;
    let (status, reason) = refusal(&answer);
    assert_eq!((status, reason.as_str()), LIMITED);
    says_seconds(&answer, "ratelimit: \"address\";r=0;t=", 14400);
    // Nobody was asked who it is.
    assert_eq!(
        world.heard.all().last().unwrap(),
        "did GET /x rate_limited - -"
    );
    assert_eq!(world.asked().len(), 3);
    assert!(app.whole.lock().unwrap().is_empty());
    // Who watches the service is not to be told that it is ill.
    let watched = tell(&world, bare("GET /health")).await;
    assert!(watched.starts_with("HTTP/1.1 200"), "{watched}");
}

#[tokio::test]
async fn whose_requests_keep_proving_nothing_waits() {
    let app = App::http1().await;
    let generous = Some(limit("1000/s burst 1000"));
    for (mode, waits) in [(Mode::Enforce, true), (Mode::Observe, false)] {
        let world = World::with(app.address, |setup| {
            setup.mode = mode;
            setup.limits.address_rate = generous;
        })
        .await;
        let mut answer = String::new();
        for _ in 0..60 {
            answer = tell(&world, bare("GET /x")).await;
            if answer.starts_with("HTTP/1.1 429") {
                break;
            }
        }
        assert_eq!(answer.starts_with("HTTP/1.1 429"), waits, "{answer}");
        if waits {
            assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
            assert!(!answer.contains("ratelimit"), "{answer}");
            let heard = world.heard.all();
            assert_eq!(heard.last().unwrap(), "did GET /x rate_limited - -");
        }
    }
    // Unless it is said, this machine's own addresses are let be.
    let world = World::enforcing(app.address).await;
    for _ in 0..60 {
        assert_eq!(status(&world, bare("GET /x")).await, 401);
    }
}

#[tokio::test]
async fn a_page_of_another_site_makes_no_address_wait() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.address_rate = Some(limit("1000/s burst 1000"));
    })
    .await;
    let sent = |fields: &str| {
        format!("GET /x HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n{fields}\r\n")
    };
    for field in [
        "Origin: https://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: none",
    ] {
        let by_a_page = sent(&format!("{field}\r\n"));
        for _ in 0..60 {
            let answer = tell(&world, by_a_page.clone()).await;
            let expected = (401, "missing_headers".to_owned());
            assert_eq!(refusal(&answer), expected, "{field}");
        }
    }
    assert_eq!(status(&world, proven("GET /x", "")).await, 200);
    // A page cannot write the fields of a proof: who shows one is judged by it.
    for field in ["X-Agent-Id: a", "Signature: a=:AA==:"] {
        let world = World::with(app.address, |setup| {
            setup.limits.address_rate = Some(limit("1000/s burst 1000"));
        })
        .await;
        let forged = sent(&format!("Origin: null\r\n{field}\r\n"));
        let mut last = 0;
        for _ in 0..60 {
            last = status(&world, forged.clone()).await;
            if last == 429 {
                break;
            }
        }
        assert_eq!(last, 429, "{field}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_stands_for() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        setup.limits.address_rate = Some(limit("1/h burst 2"));
    })
    .await;
    let answer = tell(&world, forwarded("GET /echo", "198.51.100.9, 203.0.113.1")).await;
    assert!(
        answer.contains("\nx-forwarded-for: 203.0.113.1\n"),
        "{answer}"
    );
    assert_eq!(
        world.asked().last().unwrap().peer.to_string(),
        "203.0.113.1"
    );
    assert_eq!(status(&world, forwarded("GET /", "203.0.113.1")).await, 200);
    assert_eq!(
        status(&world, forwarded("GET /", "10.0.0.1, 203.0.113.1")).await,
        429
    );
    let reported = || world.heard.2.lock().unwrap().unwrap().to_string();
    assert_eq!(reported(), "203.0.113.1");
    assert_eq!(status(&world, forwarded("GET /", "203.0.113.2")).await, 200);
    // Two words for it, or none that is an address.
    for fields in [
        "X-Forwarded-For: unknown\r\n",
        "X-Forwarded-For: 203.0.113.3\r\nForwarded: for=203.0.113.4\r\n",
    ] {
        let answer = tell(&world, proven("GET /", fields)).await;
        assert_eq!(refusal(&answer), (400, "forwarded_unclear".to_owned()));
        assert_eq!(reported(), "127.0.0.1");
    }
}

#[tokio::test]
async fn the_word_of_strangers_about_their_way_is_nothing() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        setup.limits.address_rate = Some(limit("1/h burst 2"));
    })
    .await;
    for (hops, expected) in [
        ("203.0.113.1", 200),
        ("203.0.113.2", 200),
        ("203.0.113.3", 429),
    ] {
        assert_eq!(
            status(&world, forwarded("GET /", hops)).await,
            expected,
            "{hops}"
        );
    }
    assert!(world.asked().iter().all(|asked| asked.peer.is_loopback()));
}
