//! Off, observe, enforce (`protocol.md` §3.5).

use crate::client::{Raw, http2, proven, proven_post, read, refusal, request2, tell};
use crate::upstream::{App, Counter};
use crate::world::{PROOF, World, dial, route};
use procura_gate::Authorities;
use procura_types::dial::Mode;
use std::sync::atomic::Ordering;

/// A request that proves nothing.
fn bare(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn each_reason_has_its_status() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    for (reason, status, error) in [
        ("missing_headers", 401, "unauthorized"),
        ("malformed", 401, "unauthorized"),
        ("timestamp_out_of_window", 401, "unauthorized"),
        ("unknown_agent", 401, "unauthorized"),
        ("revoked", 401, "unauthorized"),
        ("bad_signature", 401, "unauthorized"),
        ("digest_mismatch", 401, "unauthorized"),
        ("nonce_replayed", 401, "unauthorized"),
        ("session_unknown", 401, "unauthorized"),
        ("session_expired", 401, "unauthorized"),
        ("source_not_allowed", 403, "forbidden"),
        ("rate_limited", 429, "too_many_requests"),
        ("verifier_unavailable", 503, "service_unavailable"),
    ] {
        let request =
            bare("GET /x?q").replace("\r\n\r\n", &format!("\r\n{PROOF}: {reason}\r\n\r\n"));
        let answer = tell(&world, request).await;
        assert!(
            answer.ends_with(&format!(
                "\r\n\r\n{{\"error\":\"{error}\",\"reason\":\"{reason}\"}}\n"
            )),
            "{answer}"
        );
        assert_eq!(refusal(&answer).0, status);
        assert_eq!(
            answer.contains("retry-after: 1\r\n"),
            matches!(status, 429 | 503)
        );
        assert!(answer.contains("content-type: application/json\r\n"));
        let heard = world.heard.all();
        assert_eq!(
            heard.last().unwrap(),
            &format!("did GET /x {reason} scribe-7 native")
        );
    }
    let answer = tell(&world, bare("GET /x")).await;
    assert_eq!(refusal(&answer), (401, "missing_headers".to_owned()));
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn off_asks_nobody() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.mode = Mode::Off).await;
    let answer = tell(&world, bare("GET /a/../b//c%2F")).await;
    assert!(
        answer.contains("\nGET /a/../b//c%2F HTTP/1.1\n"),
        "{answer}"
    );
    let other = bare("GET /").replace("app.example", "other.example");
    assert!(tell(&world, other).await.starts_with("HTTP/1.1 200"));
    assert!(world.asked().is_empty() && world.heard.all().is_empty());
}

#[tokio::test]
async fn observe_lets_all_pass_and_tells() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.mode = Mode::Observe;
        setup.limits.body_bytes = 1000;
    })
    .await;
    let large = "x".repeat(5000);
    let chunked = format!(
        "POST /chunked HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{large}\r\n0\r\n\r\n"
    );
    for (request, told) in [
        (bare("GET /none"), "would GET /none missing_headers - -"),
        (
            bare("GET /bad").replace("\r\n\r\n", &format!("\r\n{PROOF}: revoked\r\n\r\n")),
            "would GET /bad revoked scribe-7 native",
        ),
        (
            bare("GET /down").replace(
                "\r\n\r\n",
                &format!("\r\n{PROOF}: verifier_unavailable\r\n\r\n"),
            ),
            "would GET /down verifier_unavailable scribe-7 native",
        ),
        (
            proven_post("/big", &large, ""),
            "would POST /big body_too_large - -",
        ),
        (chunked, "would POST /chunked body_too_large - -"),
        (bare("GET /a%2Fb"), "would GET /a%2Fb missing_headers - -"),
        (
            proven("GET /host", "").replace("app.example", "other.example"),
            "would GET /host host_unknown - -",
        ),
    ] {
        let answer = tell(&world, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!answer.contains("procura-agent"), "{answer}");
        assert!(!answer.contains("\nbroken"), "{answer}");
        assert_eq!(world.heard.all().last().unwrap(), told);
    }
    let bodies = app.whole.lock().unwrap().clone();
    for (target, body) in &bodies[3..5] {
        assert_eq!(body.len(), 5000, "{target}");
    }
    let count = world.heard.all().len();
    assert_eq!(count, 7);
    assert_eq!(world.heard.1.load(Ordering::SeqCst), 0);
    // Who is proven passes as who they are, and there is nothing to tell.
    let answer = tell(&world, proven_post("/good", "abc", "")).await;
    assert!(
        answer.contains("\nprocura-agent: alice//scribe\n"),
        "{answer}"
    );
    assert_eq!(world.heard.all().len(), count);
    assert_eq!(world.heard.1.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn observing_waits_for_no_endless_body() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.mode = Mode::Observe;
        setup.limits.body_time = procura_types::Duration::from_millis(50);
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("POST /chat HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
        .await;
    // The answer to the first part, before there is a second.
    raw.until("ping").await;
    raw.send("4\r\npong\r\n0\r\n\r\n").await;
    raw.until("pong").await;
    assert_eq!(world.heard.all(), ["would POST /chat body_too_slow - -"]);
}

#[tokio::test]
async fn some_requests_are_never_gated() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let preflight = "OPTIONS /x HTTP/1.1\r\nHost: app.example\r\nOrigin: https://a\r\nAccess-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n";
    for request in [
        bare("GET /health"),
        bare("GET /metrics?x"),
        preflight.to_owned(),
    ] {
        let answer = tell(&world, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{request}: {answer}");
    }
    assert!(world.asked().is_empty());
    for request in [
        bare("POST /health"),
        bare("GET /health/"),
        bare("GET /healthz"),
        bare("OPTIONS /x"),
        preflight.replace("Origin: https://a\r\n", ""),
        bare("GET /health").replace("\r\n\r\n", "\r\nUpgrade: websocket\r\n\r\n"),
        bare("GET /health").replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
    ] {
        let answer = tell(&world, &request).await;
        assert_eq!(
            refusal(&answer),
            (401, "missing_headers".to_owned()),
            "{request}"
        );
    }
}

#[tokio::test]
async fn routes_have_their_own_dials_and_no_spelling_leads_out() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.mode = Mode::Off;
        setup.routes = vec![
            route("/admin", Mode::Enforce),
            route("/admin/open", Mode::Off),
        ];
    })
    .await;
    for path in ["/", "/x", "/administrator", "/admin/open", "/admin/open/x"] {
        let answer = tell(&world, bare(&format!("GET {path}"))).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/admin/opened",
        "/admin?x=/health",
    ] {
        let answer = tell(&world, bare(&format!("GET {path}"))).await;
        assert_eq!(
            refusal(&answer),
            (401, "missing_headers".to_owned()),
            "{path}"
        );
    }
    // A path that could be one below /admin has to be proven like those, and then
    // goes on as it was sent.
    app.whole.lock().unwrap().clear();
    for path in UNCLEAR {
        let answer = tell(&world, bare(&format!("GET {path}"))).await;
        assert_eq!(
            refusal(&answer),
            (401, "missing_headers".to_owned()),
            "{path}"
        );
    }
    assert!(app.whole.lock().unwrap().is_empty());
    for path in UNCLEAR {
        let answer = tell(&world, proven(&format!("GET {path}"), "")).await;
        assert!(
            answer.contains(&format!("\nGET {path} HTTP/1.1\n")),
            "{answer}"
        );
    }
    let mut client = http2(world.address).await;
    for path in UNCLEAR {
        let mut request = request2("GET", path, "");
        request.headers_mut().remove(PROOF);
        let answer = read(client.send_request(request).await.unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status, 401, "{path}");
    }
}

/// Paths that are below `/admin` in the eyes of some program.
const UNCLEAR: [&str; 13] = [
    "/%61dmin",
    "/ADMIN",
    "//admin",
    "/x/../admin",
    "/x/%2e%2e/admin",
    "/x%2f..%2fadmin",
    "/admin/open/../x",
    "/admin/open/..;/x",
    "/admin;v",
    "/./admin",
    "/x/%252e%252e/admin",
    "/admin%00",
    "/a%zz",
];

#[tokio::test]
async fn the_environment_is_over_the_dial() {
    let app = App::http1().await;
    for (environment, status) in [(Mode::Off, 200), (Mode::Observe, 200), (Mode::Enforce, 401)] {
        let world = World::with(app.address, |setup| {
            setup.environment = Some(environment);
            setup.routes = vec![route("/admin", Mode::Enforce), route("/open", Mode::Off)];
        })
        .await;
        for path in ["/", "/admin", "/open", "/open/%2e%2e/x"] {
            let answer = tell(&world, bare(&format!("GET {path}"))).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{path}: {answer}"
            );
        }
        let told = world.heard.all().len();
        assert_eq!(told, if environment == Mode::Off { 0 } else { 4 });
    }
}

#[tokio::test]
async fn the_dial_turns_while_connections_stay() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.mode = Mode::Off).await;
    let mut raw = Raw::connect(world.address).await;
    let mut client = http2(world.address).await;
    for (mode, status) in [
        (Mode::Off, 200),
        (Mode::Observe, 200),
        (Mode::Enforce, 401),
        (Mode::Off, 200),
    ] {
        world.gate.set_dial(dial(mode, vec![]));
        raw.send(bare("GET /x").replace("Connection: close\r\n", ""))
            .await;
        let answer = raw.until(&format!("HTTP/1.1 {status}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        raw.until(if status == 200 {
            "x-forwarded-proto: http\n\n"
        } else {
            "}\n"
        })
        .await;
        raw.forget();
        let mut request = request2("GET", "/x", "");
        request.headers_mut().remove(PROOF);
        let answer = read(client.send_request(request).await.unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_request_for_another_service_is_not_for_this_one() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    for host in [
        "other.example",
        "app.example:8080",
        "app.example.evil.example",
    ] {
        let request = proven("GET /", "").replace("Host: app.example", &format!("Host: {host}"));
        let answer = tell(&world, request).await;
        assert_eq!(refusal(&answer), (421, "host_unknown".to_owned()), "{host}");
    }
    assert!(world.asked().is_empty());
    assert_eq!(counter.connections(), 0);
    let app = App::http1().await;
    let any = World::with(app.address, |setup| {
        setup.authorities = Authorities::DangerAny;
    })
    .await;
    let request = proven("GET /", "").replace("app.example", "other.example");
    assert!(tell(&any, request).await.starts_with("HTTP/1.1 200"));
}
