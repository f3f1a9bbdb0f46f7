use super::*;
use crate::trace::{Kind, Ratio, TraceContext, Tracer, Value};
use http::HeaderMap;
use procura_types::{Clock, Entropy, EntropyError, Timestamp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000)
    }
}

/// Never the same twice, as far as 255 goes.
#[derive(Default)]
struct Counted(AtomicU8);

impl Entropy for Counted {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(self.0.fetch_add(1, Ordering::Relaxed).max(1));
        Ok(())
    }
}

struct World {
    tracer: Tracer,
    exported: Counter,
    lost: Counter,
}

fn world(collector: SocketAddr) -> World {
    let (exported, lost) = (Counter::default(), Counter::default());
    let tracing = Tracing {
        endpoint: format!("http://{collector}").parse().unwrap(),
        ratio: Ratio::ALL,
        resource: vec![("service.name", "test".to_owned())],
        exported: exported.clone(),
        lost: lost.clone(),
    };
    World {
        tracer: Tracer::new(tracing, Arc::new(Noon), Arc::new(Counted::default())),
        exported,
        lost,
    }
}

impl World {
    fn request(&self) {
        let span = self.tracer.begin("test", &HeaderMap::new(), None);
        span.unwrap().answered(200);
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Takes one request and gives this answer; the body that came.
async fn answer(listener: &TcpListener, answer: &str) -> serde_json::Value {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    loop {
        let mut part = [0; 64 * 1024];
        let count = stream.read(&mut part).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&part[..count]);
        let text = String::from_utf8(got.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            stream.write_all(answer.as_bytes()).await.unwrap();
            return serde_json::from_str(body).unwrap();
        }
    }
}

fn with_status(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn spans(request: &serde_json::Value) -> usize {
    let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
    spans.as_array().unwrap().len()
}

#[tokio::test]
async fn what_waits_is_sent_when_it_stops() {
    let (listener, address) = listener().await;
    let world = world(address);
    for _ in 0..3 {
        world.request();
    }
    let took = with_status("200 OK", r#"{"partialSuccess":{"rejectedSpans":"1"}}"#);
    let (request, ()) = tokio::join!(answer(&listener, &took), world.tracer.stop());
    assert_eq!(spans(&request), 3);
    assert_eq!((world.exported.get(), world.lost.get()), (2, 1));
    // What comes afterwards is not lost unseen.
    world.request();
    assert_eq!(world.lost.get(), 2);
}

#[tokio::test]
async fn a_collector_that_cannot_now_is_asked_again_and_one_that_will_not_is_not() {
    let (listener, address) = listener().await;
    let world = world(address);
    world.request();
    let later = with_status("503 Service Unavailable", "");
    assert_eq!(spans(&answer(&listener, &later).await), 1);
    let took = with_status("200 OK", "{}");
    assert_eq!(spans(&answer(&listener, &took).await), 1);
    world.request();
    let never = with_status("400 Bad Request", "");
    assert_eq!(spans(&answer(&listener, &never).await), 1);
    world.tracer.stop().await;
    assert_eq!((world.exported.get(), world.lost.get()), (1, 1));
}

#[tokio::test]
async fn a_collector_that_says_nothing_holds_nobody_up() {
    // It takes the connection, and that is all.
    let (_listener, address) = listener().await;
    let world = world(address);
    let began = Instant::now();
    let most = u64::try_from(QUEUE + 2 * BATCH).unwrap();
    for _ in 0..=most {
        world.request();
        tokio::task::yield_now().await;
    }
    assert!(world.lost.get() >= 1);
    let began = {
        assert!(began.elapsed() < Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 5 }));
        Instant::now()
    };
    world.tracer.stop().await;
    // Each bundle would be waited for five seconds, and there are more than four.
    assert!(
        began.elapsed() < STOP + Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 })
    );
}

#[tokio::test]
async fn only_what_is_sampled_is_sent() {
    let (listener, address) = listener().await;
    let world = world(address);
    let mut headers = HeaderMap::new();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", "a=1".parse().unwrap());
    let span = world.tracer.begin("unsampled", &headers, None).unwrap();
    let child = world.tracer.within(Some(&span), Kind::Client, "child");
    // It goes on as part of the same trace, unsampled.
    child.as_ref().unwrap().inject(&mut headers);
    let context = TraceContext::of(&headers).unwrap();
    assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(!context.is_sampled());
    assert_eq!(Some(context), child.as_ref().unwrap().context());
    assert_eq!(headers["tracestate"], "a=1");
    drop((child, span));
    let mut span = world
        .tracer
        .begin("sampled", &HeaderMap::new(), Some(&[9; 16]));
    // Another trace: what was said of the former one goes.
    let sampled = span.as_mut().unwrap();
    sampled.inject(&mut headers);
    assert!(!headers.contains_key("tracestate"));
    sampled.set("procura.request_id", Value::Text("7".to_owned()));
    sampled.failed("upstream_failed");
    drop(span);
    let took = with_status("200 OK", "");
    let (request, ()) = tokio::join!(answer(&listener, &took), world.tracer.stop());
    assert_eq!(spans(&request), 1);
    let told = request.to_string();
    assert!(told.contains("09090909090909090909090909090909") && told.contains(r#""code":2"#));
    assert!(told.contains("upstream_failed") && !told.contains("unsampled"));
}

#[test]
fn nothing_is_traced_unless_it_is_asked_for() {
    let tracer = Tracer::default();
    assert!(tracer.begin("test", &HeaderMap::new(), None).is_none());
    assert!(tracer.within(None, Kind::Client, "test").is_none());
}

#[test]
fn an_endpoint_is_a_url_of_http() {
    for (text, host, port, shown) in [
        (
            "http://127.0.0.1:4318",
            "127.0.0.1",
            4318,
            "http://127.0.0.1:4318/v1/traces",
        ),
        (
            "http://collector/",
            "collector",
            80,
            "http://collector/v1/traces",
        ),
        (
            "http://[::1]:1/otlp/",
            "::1",
            1,
            "http://[::1]:1/otlp/v1/traces",
        ),
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
        assert_eq!(endpoint.to_string(), shown);
    }
    for (text, problem) in [
        ("", "is not a URL; write it like http://127.0.0.1:4318"),
        (
            "https://collector",
            "is not http; run a collector on this machine, which sends spans on as it may",
        ),
        (
            "127.0.0.1:4318",
            "is not a URL; write it like http://127.0.0.1:4318",
        ),
        ("http://user@collector", "names no host"),
        ("http://collector/?key=1", "has a query"),
    ] {
        let error = text.parse::<Endpoint>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("otlp_endpoint: {problem}"),
            "{text}"
        );
    }
}
