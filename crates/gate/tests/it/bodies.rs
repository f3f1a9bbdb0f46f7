//! Bodies: read whole and proven before the upstream sees a byte, held against
//! their digest on the way, or unseen where a route says so.

use crate::client::{Raw, http2, proven_post, read, refusal, request2, tell};
use crate::upstream::{App, Counter, Parts, part, parts};
use crate::world::{PROOF, World, proof_of, route, within};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use procura_types::Duration;
use procura_types::dial::{Mode, Route};

const TEN_MIB: usize = 10 * 1024 * 1024;

fn streaming(prefix: &str) -> Route {
    Route {
        stream: Some(true),
        ..route(prefix, Mode::Enforce)
    }
}

fn unsigned(prefix: &str) -> Route {
    Route {
        danger_unsigned_body: Some(true),
        ..route(prefix, Mode::Enforce)
    }
}

/// Bytes that are not all alike.
fn large() -> Vec<u8> {
    (0..TEN_MIB).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn the_upstream_sees_no_byte_before_the_whole_body_is_proven() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!(
        "POST /x HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nContent-Length: 10\r\n\r\n01234",
        proof_of(b"0123456789")
    ))
    .await;
    // A request of somebody else goes through meanwhile, so the first half has been
    // there for long enough.
    let mut other = Raw::connect(world.address).await;
    other
        .send(proven_post("/other", "abc", "").replace("Connection: close", "X: y"))
        .await;
    let mut received = counter.received.clone();
    within(received.wait_for(|all| all.ends_with(b"abc")))
        .await
        .unwrap();
    assert!(!counter.text().contains("/x"));
    raw.send("56789").await;
    within(received.wait_for(|all| all.ends_with(b"0123456789")))
        .await
        .unwrap();
    assert!(counter.text().contains("POST /x HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_body_that_was_changed_goes_nowhere() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    let request = proven_post("/x", "right", "").replace("right", "wrong");
    let answer = tell(&world, request).await;
    assert_eq!(refusal(&answer), (401, "digest_mismatch".to_owned()));
    let mut client = http2(world.address).await;
    let mut request = request2("POST", "/x", "right");
    *request.body_mut() = Full::new(Bytes::from_static(b"wrong"));
    let answer = read(client.send_request(request).await.unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn the_limit_is_exact_and_found_early() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.body_bytes = 1000).await;
    let exactly = "x".repeat(1000);
    let answer = tell(&world, proven_post("/x", &exactly, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // By its length alone: not one byte of it has been sent.
    let announced = "POST /x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1001\r\n\r\n";
    let answer = tell(&world, announced).await;
    assert_eq!(refusal(&answer), (413, "body_too_large".to_owned()));
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // And while it comes.
    let chunked = format!(
        "POST /x HTTP/1.1\r\nHost: app.example\r\n{PROOF}: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{exactly}\r\n1\r\nx\r\n"
    );
    let answer = tell(&world, chunked).await;
    assert_eq!(refusal(&answer), (413, "body_too_large".to_owned()));
    let mut client = http2(world.address).await;
    let answer = client
        .send_request(request2("POST", "/x", &"x".repeat(1001)))
        .await
        .unwrap();
    assert_eq!(read(answer).await.unwrap().status, 413);
    // Over HTTP/2 the others on the connection do not suffer.
    let answer = client
        .send_request(request2("POST", "/x", &exactly))
        .await
        .unwrap();
    assert_eq!(read(answer).await.unwrap().status, 200);
    assert_eq!(world.heard.all(), ["did POST /x body_too_large - -"; 3]);
}

#[tokio::test]
async fn the_default_limit_is_one_mebibyte() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut client = http2(world.address).await;
    for (length, status) in [(1024 * 1024, 200), (1024 * 1024 + 1, 413)] {
        let request = request2("POST", "/x", &"x".repeat(length));
        let answer = within(client.send_request(request)).await.unwrap();
        assert_eq!(read(answer).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn all_bodies_together_have_a_limit() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.limits.held_bytes = 100).await;
    let mut half = Raw::connect(world.address).await;
    half.send(format!(
        "POST /x HTTP/1.1\r\nHost: app.example\r\n{PROOF}: x\r\nTransfer-Encoding: chunked\r\n\r\n3C\r\n"
    ))
    .await;
    half.send("x".repeat(60)).await;
    // When the sixty are counted is not to be seen; then another sixty are too many.
    let answer = loop {
        let answer = tell(&world, proven_post("/y", &"y".repeat(60), "")).await;
        if refusal(&answer).0 != 502 {
            break answer;
        }
    };
    assert_eq!(refusal(&answer), (503, "too_many_bodies".to_owned()));
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(half);
}

#[tokio::test]
async fn expectations_are_answered_when_the_body_is_wanted() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.body_bytes = 10).await;
    let request = proven_post("/x", "0123456789", "Expect: 100-continue\r\n");
    let (head, body) = request.split_at(request.len() - 10);
    let mut raw = Raw::connect(world.address).await;
    raw.send(head).await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send(body).await;
    let answer = raw.all_of_it().await;
    assert!(answer.contains("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("expect"), "{answer}");
    let unwanted =
        "POST /x HTTP/1.1\r\nHost: app.example\r\nExpect: 100-continue\r\nContent-Length: 11\r\n";
    let answer = tell(&world, format!("{unwanted}{PROOF}: x\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Who is not let in is not asked for a body either.
    let answer = tell(&world, format!("{unwanted}\r\n").replace(": 11", ": 10")).await;
    assert_eq!(refusal(&answer), (401, "missing_headers".to_owned()));
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn a_body_whose_head_proves_nothing_is_not_waited_for() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    for (proof, reason) in [
        (String::new(), "missing_headers"),
        (format!("{PROOF}: bad_signature\r\n"), "bad_signature"),
    ] {
        for framing in [
            "Content-Length: 1000\r\n\r\nx",
            "Transfer-Encoding: chunked\r\n\r\n3e8\r\nx",
        ] {
            let head = format!("POST /x HTTP/1.1\r\nHost: app.example\r\n{proof}");
            let answer = tell(&world, format!("{head}{framing}")).await;
            assert_eq!(refusal(&answer), (401, reason.to_owned()), "{framing}");
        }
    }
    // Over HTTP/2 the same.
    let mut client = http2::<Parts>(world.address).await;
    let (giver, body) = parts();
    giver.send(part("x")).await.unwrap();
    let request = Request::post("http://app.example/x").body(body).unwrap();
    let answer = within(client.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 401);
    drop(giver);
    // It was told of each once, and nothing was used up.
    let heard = world.heard.all();
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert_eq!(heard[0], "did POST /x missing_headers - -");
    assert!(world.asked().is_empty());
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn where_nothing_is_enforced_a_body_is_waited_for() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.mode = Mode::Observe).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(
        "POST /x HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\nContent-Length: 4\r\n\r\nha",
    )
    .await;
    raw.send("lf").await;
    let answer = raw.all_of_it().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.heard.all(), ["would POST /x missing_headers - -"]);
    assert_eq!(world.asked()[0].body, "half");
}

#[tokio::test]
async fn a_streamed_upload_with_its_digest_arrives() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.routes = vec![streaming("/up")]).await;
    let body = large();
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!(
        "PUT /up/1 HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nConnection: close\r\nContent-Length: {TEN_MIB}\r\n\r\n",
        proof_of(&body)
    ))
    .await;
    raw.send(&body).await;
    let answer = raw.all_of_it().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&format!("\ncontent-length: {TEN_MIB}\n")));
    let mut client = http2(world.address).await;
    let request = Request::builder()
        .method("PUT")
        .uri("http://app.example/up/2")
        .header(PROOF, proof_of(&body))
        .body(Full::new(Bytes::from(body.clone())))
        .unwrap();
    let answer = within(client.send_request(request)).await.unwrap();
    assert_eq!(read(answer).await.unwrap().status, 200);
    let whole = app.whole.lock().unwrap().clone();
    assert_eq!(whole.len(), 2);
    assert!(whole.iter().all(|(_, got)| *got == body));
    assert_eq!(world.asked()[0].body, "(streamed)");
}

#[tokio::test]
async fn a_streamed_upload_with_another_digest_breaks_off() {
    let body = large();
    for length in [None, Some(TEN_MIB)] {
        let app = App::http1().await;
        let world = World::with(app.address, |setup| setup.routes = vec![streaming("/up")]).await;
        let framing = length.map_or("Transfer-Encoding: chunked".to_owned(), |length| {
            format!("Content-Length: {length}")
        });
        let mut raw = Raw::connect(world.address).await;
        raw.send(format!(
            "PUT /up HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\n{framing}\r\n\r\n",
            proof_of(b"something else")
        ))
        .await;
        if length.is_none() {
            raw.send(format!("{TEN_MIB:x}\r\n")).await;
        }
        raw.send(&body).await;
        if length.is_none() {
            raw.send("\r\n0\r\n\r\n").await;
        }
        let answer = raw.until("digest_mismatch").await;
        assert_eq!(refusal(&answer), (401, "digest_mismatch".to_owned()));
        assert_eq!(
            world.heard.all(),
            ["did PUT /up digest_mismatch AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI -"]
        );
        // The upstream never had all of it.
        within(async {
            while app.broken.load(std::sync::atomic::Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(app.whole.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_last_part_is_kept_back_until_the_digest_matches() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.routes = vec![streaming("/")]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!(
        "PUT /up HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nContent-Length: 8\r\n\r\nfirs",
        proof_of(b"something else")
    ))
    .await;
    // The route streams: the head is there, the body not yet over.
    let mut received = counter.received.clone();
    within(received.wait_for(|all| all.ends_with(b"\r\n\r\n")))
        .await
        .unwrap();
    raw.send("last").await;
    let answer = raw.until("digest_mismatch").await;
    assert_eq!(refusal(&answer), (401, "digest_mismatch".to_owned()));
    let seen = counter.text();
    assert!(seen.contains("content-length: 8\r\n"), "{seen}");
    assert!(!seen.contains("last"), "{seen}");
}

#[tokio::test]
async fn a_streamed_upload_is_refused_before_its_first_byte() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.routes = vec![streaming("/")]).await;
    for (proof, reason) in [
        ("nonce_replayed", "nonce_replayed"),
        ("no digest", "malformed"),
    ] {
        let answer = tell(
            &world,
            format!(
                "PUT /up HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {proof}\r\nContent-Length: 5\r\n\r\nhello"
            ),
        )
        .await;
        assert_eq!(refusal(&answer), (401, reason.to_owned()));
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn observing_a_stream_breaks_nothing_off() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.routes = vec![Route {
            mode: Some(Mode::Observe),
            ..streaming("/up")
        }];
    })
    .await;
    let request = proven_post("/up", "right", "").replace("right", "wrong");
    let answer = tell(&world, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("wrong\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(
        world.heard.all(),
        ["would POST /up digest_mismatch AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI -"]
    );
}

#[tokio::test]
async fn a_streamed_body_without_a_digest_to_it_is_empty() {
    // There is nothing to stream, so it is judged like any other.
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.routes = vec![streaming("/")]).await;
    let answer = tell(&world, proven_post("/x", "", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.asked()[0].body, "");
}

#[tokio::test]
async fn an_unsigned_body_goes_on_as_it_comes() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.routes = vec![unsigned("/chat")]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!(
        "POST /chat HTTP/1.1\r\nHost: app.example\r\n{PROOF}: anything\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n"
    ))
    .await;
    raw.until("ping").await;
    raw.send("4\r\npong\r\n").await;
    raw.until("pong").await;
    raw.send("0\r\n\r\n").await;
    raw.until("0\r\n").await;
    assert_eq!(world.asked()[0].body, "(unsigned)");
    // The head has to be proven all the same.
    let answer = tell(
        &world,
        "POST /chat HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    )
    .await;
    assert_eq!(refusal(&answer), (401, "missing_headers".to_owned()));
}

#[tokio::test]
async fn a_flaw_in_a_body_under_way_breaks_it_off() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.routes = vec![unsigned("/")]).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!(
        "POST /x HTTP/1.1\r\nHost: app.example\r\n{PROOF}: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n"
    ))
    .await;
    raw.send("zz\r\nGET /hidden HTTP/1.1\r\n\r\n").await;
    let answer = raw.all_of_it().await;
    assert_eq!(refusal(&answer), (400, "chunk".to_owned()));
    assert!(app.whole.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_gives_up_leaves_no_whole_request() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.routes = vec![unsigned("/"), streaming("/up")];
    })
    .await;
    for path in ["/x", "/up"] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(format!(
            "POST {path} HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nContent-Length: 100\r\n\r\nhalf",
            proof_of(b"half")
        ))
        .await;
        drop(raw);
    }
    within(async {
        while app.broken.load(std::sync::atomic::Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(app.whole.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stalled_upload_is_cut() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.routes = vec![streaming("/up")];
        setup.limits.stall_time = Duration::from_millis(50);
    })
    .await;
    let answer = tell(
        &world,
        format!(
            "POST /up HTTP/1.1\r\nHost: app.example\r\n{PROOF}: {}\r\nContent-Length: 100\r\n\r\nhalf",
            proof_of(b"half")
        ),
    )
    .await;
    assert_eq!(refusal(&answer), (408, "body_too_slow".to_owned()));
    assert!(app.whole.lock().unwrap().is_empty());
}
