//! A server that keeps what it gets: the service behind a gate, or a collector.

use crate::http::read_request;
use serde_json::Value;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    /// The request line and the fields, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    /// The one value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        let mut values = self
            .head
            .lines()
            .filter_map(|line| line.strip_prefix(&start));
        let value = values.next();
        assert_eq!(values.next(), None, "{}", self.head);
        value
    }
}

/// Answers everything with 200 and `{}`.
pub(crate) struct Recorder {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream.unwrap(), &kept));
            }
        });
        Self { url, got }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// All spans that came, each with the name of its service.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let got = self.got();
        let requests = got.iter().map(|got| {
            assert!(got.head.starts_with("post /v1/traces http/1.1"), "{got:?}");
            assert_eq!(got.field("content-type"), Some("application/json"));
            serde_json::from_slice::<Value>(&got.body).unwrap()
        });
        let mut spans = Vec::new();
        for request in requests {
            for of in request["resourceSpans"].as_array().unwrap() {
                let resource = attributes(&of["resource"]);
                for scope in of["scopeSpans"].as_array().unwrap() {
                    for span in scope["spans"].as_array().unwrap() {
                        spans.push(Span::read(span, resource["service.name"].clone()));
                    }
                }
            }
        }
        spans
    }
}

fn attributes(of: &Value) -> std::collections::BTreeMap<String, String> {
    let attributes = of["attributes"].as_array().unwrap().iter();
    attributes
        .map(|attribute| {
            let value = &attribute["value"];
            let text = value["stringValue"].as_str();
            let text = text.or_else(|| value["intValue"].as_str()).unwrap();
            (
                attribute["key"].as_str().unwrap().to_owned(),
                text.to_owned(),
            )
        })
        .collect()
}

/// A span that was told of.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) kind: u64,
    pub(crate) attributes: std::collections::BTreeMap<String, String>,
}

impl Span {
    fn read(span: &Value, service: String) -> Self {
        let text = |key: &str| span[key].as_str().map(str::to_owned);
        let nanos = |key: &str| text(key).unwrap().parse::<u128>().unwrap();
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
        Self {
            service,
            name: text("name").unwrap(),
            trace: text("traceId").unwrap(),
            id: text("spanId").unwrap(),
            parent: text("parentSpanId"),
            kind: span["kind"].as_u64().unwrap(),
            attributes: attributes(span),
        }
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Got>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((mut head, body)) = read_request(&mut reader) {
        head.make_ascii_lowercase();
        kept.lock().unwrap().push(Got { head, body });
        let answer =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}
