//! Slow clients, absent upstreams, and how much there may be of anything.

use crate::client::{Raw, http2, proven, proven_post, read, refusal, request2, tell};
use crate::upstream::{App, Counter};
use crate::world::{PROOF, World, within};
use procura_types::Duration;
use tokio::net::TcpListener;

const SHORT: Duration = Duration::from_millis(60);
/// Long enough for a request in between, on a machine that is busy.
const PAUSE: Duration = Duration::from_millis(2_000);

#[tokio::test]
async fn a_slow_head_is_answered_and_cut() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.limits.head_time = SHORT).await;
    let answer = tell(&world, "GET / HTTP/1.1\r\nHost: app").await;
    assert_eq!(refusal(&answer), (408, "head_too_slow".to_owned()));
    // Also when something comes all the time.
    let mut raw = Raw::connect(world.address).await;
    let (mut reader, mut writer) = raw.stream.split();
    let drip = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut writer, b"x")
                .await
                .is_err()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut answer = Vec::new();
    within(async {
        tokio::select! {
            _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer) => {}
            () = drip => {}
        }
    })
    .await;
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(refusal(&answer), (408, "head_too_slow".to_owned()));
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn an_empty_line_begins_no_head() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.head_time = SHORT).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send("\r\n").await;
    tokio::time::sleep(SHORT * 3).await;
    raw.send(proven("GET /x", "")).await;
    let answer = raw.all_of_it().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_answered_and_cut() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.limits.body_time = SHORT).await;
    let answer = tell(
        &world,
        format!(
            "POST / HTTP/1.1\r\nHost: app.example\r\n{PROOF}: x\r\nContent-Length: 10\r\n\r\nhalf"
        ),
    )
    .await;
    assert_eq!(refusal(&answer), (408, "body_too_slow".to_owned()));
    assert_eq!(world.heard.all(), ["did POST / body_too_slow - -"]);
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.idle_time = PAUSE).await;
    // Without a word.
    assert_eq!(Raw::connect(world.address).await.all_of_it().await, "");
    // After a request.
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /x", "").replace("Connection: close\r\n", ""))
        .await;
    let answer = raw.all_of_it().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Over HTTP/2, and not while an answer is under way.
    let mut client = http2(world.address).await;
    let answer = client
        .send_request(request2("GET", "/x", ""))
        .await
        .unwrap();
    assert_eq!(read(answer).await.unwrap().status, 200);
    within(async {
        while client.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn idle_is_not_who_waits_for_an_event() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| {
        setup.limits.idle_time = PAUSE;
        setup.limits.answer_time = PAUSE;
        setup.limits.body_time = PAUSE;
    })
    .await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(proven("GET /events", "")).await;
    raw.until("data: 1").await;
    let mut client = http2(world.address).await;
    let answer = client
        .send_request(request2("GET", "/events", ""))
        .await
        .unwrap();
    tokio::time::sleep(PAUSE * 2).await;
    app.go_on.notify_waiters();
    let all = raw.all_of_it().await;
    assert!(all.contains("data: 2"), "{all}");
    assert!(read(answer).await.unwrap().text.contains("data: 2"));
}

#[tokio::test]
async fn large_heads_are_refused() {
    let counter = Counter::answering("", false).await;
    let world = World::enforcing(counter.address).await;
    let long = format!("X-Long: {}\r\n", "a".repeat(33 * 1024));
    let answer = tell(&world, proven("GET /", &long)).await;
    assert_eq!(refusal(&answer), (431, "head_too_large".to_owned()));
    let many = "X-Many: a\r\n".repeat(101);
    let answer = tell(&world, proven("GET /", &many)).await;
    assert_eq!(refusal(&answer), (431, "head_too_large".to_owned()));
    let endless = "a".repeat(40 * 1024);
    let answer = tell(&world, endless).await;
    assert_eq!(refusal(&answer), (431, "head_too_large".to_owned()));
    let mut client = http2(world.address).await;
    let mut request = request2("GET", "/", "");
    request
        .headers_mut()
        .insert("x-long", "a".repeat(33 * 1024).parse().unwrap());
    match client.send_request(request).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(error) => assert!(!error.is_timeout()),
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let world = World::enforcing(nowhere).await;
    let answer = tell(&world, proven("GET /", "")).await;
    assert_eq!(refusal(&answer), (502, "upstream_unreachable".to_owned()));
    assert!(answer.contains("{\"error\":\"bad_gateway\","), "{answer}");
    // Who is not proven does not learn it.
    let answer = tell(&world, proven("GET /", "").replace(PROOF, "x-none")).await;
    assert_eq!(refusal(&answer), (401, "missing_headers".to_owned()));
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_not_waited_for() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.answer_time = SHORT).await;
    for request in [proven("GET /never", ""), proven_post("/never", "body", "")] {
        let answer = tell(&world, request).await;
        assert_eq!(refusal(&answer), (504, "upstream_too_slow".to_owned()));
    }
}

#[tokio::test]
async fn an_upstream_that_says_nothing_or_nonsense_has_failed() {
    for answer in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = World::enforcing(listener.local_addr().unwrap()).await;
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await;
            }
        });
        let got = tell(&world, proven("GET /", "")).await;
        assert_eq!(
            refusal(&got),
            (502, "upstream_failed".to_owned()),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_accepts_nothing_is_not_waited_for() {
    // Its queue is full: nothing more is accepted, and nothing refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(SHORT, tokio::net::TcpStream::connect(address)).await
    {
        filling.push(stream.unwrap());
    }
    let world = World::with(address, |setup| setup.limits.connect_time = SHORT).await;
    let answer = tell(&world, proven("GET /", "")).await;
    assert_eq!(refusal(&answer), (504, "upstream_too_slow".to_owned()));
}

#[tokio::test]
async fn a_verifier_that_hangs_lets_nobody_in() {
    let counter = Counter::answering("", false).await;
    let world = World::with(counter.address, |setup| setup.limits.judge_time = SHORT).await;
    let request = proven("GET /", "").replace(&crate::world::proof_of(b""), "hang");
    let answer = tell(&world, request).await;
    assert_eq!(refusal(&answer), (503, "verifier_unavailable".to_owned()));
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.stall_time = SHORT).await;
    let mut raw = Raw::connect(world.address).await;
    // More than the buffers on the way hold.
    let request = proven("GET /large", "").replace("Connection: close\r\n", "");
    for _ in 0..6 {
        raw.send(&request).await;
    }
    // A client that does nothing learns of it when it wants to go on.
    within(async {
        loop {
            tokio::time::sleep(SHORT).await;
            if tokio::io::AsyncWriteExt::write_all(&mut raw.stream, b"\r\n")
                .await
                .is_err()
            {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn beyond_the_limit_connections_wait() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.connections = 2).await;
    let keeping = proven("GET /x", "").replace("Connection: close\r\n", "");
    let mut first = Raw::connect(world.address).await;
    first.send(&keeping).await;
    first.until("HTTP/1.1 200").await;
    let mut second = Raw::connect(world.address).await;
    second.send(&keeping).await;
    second.until("HTTP/1.1 200").await;
    let mut third = Raw::connect(world.address).await;
    third.send(&keeping).await;
    let early = tokio::time::timeout(SHORT, third.until("HTTP/1.1")).await;
    assert!(early.is_err());
    drop(first);
    third.until("HTTP/1.1 200").await;
}

#[tokio::test]
async fn who_takes_requests_back_all_the_time_is_sent_away() {
    let app = App::http1().await;
    let world = World::enforcing(app.address).await;
    let mut client = http2(world.address).await;
    let mut taken_back = 0;
    within(async {
        while client.ready().await.is_ok() {
            let Ok(mut answer) = client.send_request(request2("GET", "/events", "")).await else {
                break;
            };
            // It has begun, and nobody wants the rest.
            let _ = http_body_util::BodyExt::frame(answer.body_mut()).await;
            drop(answer);
            taken_back += 1;
            assert!(taken_back < 1000, "nobody minds");
        }
    })
    .await;
    assert!(taken_back > 100, "{taken_back}");
    // Who waits for answers may take some back: it is the balance that counts.
    let mut client = http2(world.address).await;
    for _ in 0..150 {
        let answer = client
            .send_request(request2("GET", "/x", ""))
            .await
            .unwrap();
        read(answer).await.unwrap();
        let answer = client
            .send_request(request2("GET", "/events", ""))
            .await
            .unwrap();
        drop(answer);
    }
}

#[tokio::test]
async fn an_http2_client_that_grants_no_window_is_cut() {
    let app = App::http1().await;
    let world = World::with(app.address, |setup| setup.limits.stall_time = PAUSE).await;
    let stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .initial_stream_window_size(1000)
            .handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let stuck = sender
        .send_request(request2("GET", "/large", ""))
        .await
        .unwrap();
    // It takes what comes to others, and answers pings.
    for _ in 0..3 {
        let answer = sender
            .send_request(request2("GET", "/x", ""))
            .await
            .unwrap();
        read(answer).await.unwrap();
    }
    within(async {
        while sender.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(read(stuck).await.is_err());
}
