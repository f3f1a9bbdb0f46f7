//! A receiver of messages on this machine, which answers as it is told.

use procura_types::Duration;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What it says to everybody.
#[derive(Clone)]
pub(crate) enum Says {
    /// A whole answer.
    Whole(String),
    /// The head, and then a byte now and then.
    Slowly,
    /// The head, and then a body without an end.
    Endlessly,
}

pub(crate) fn status(line: &str) -> Says {
    Says::Whole(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n"))
}

struct Shared {
    got: Mutex<Vec<Got>>,
    says: Mutex<Says>,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    /// On a port that was another's before.
    pub(crate) async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            says: Mutex::new(status("200 OK")),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { url, shared, task }
    }

    pub(crate) fn says(&self, says: Says) {
        *self.shared.says.lock().unwrap() = says;
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// How often it was told of each thing, whether one by one or with others.
    pub(crate) fn told(&self) -> BTreeMap<String, u32> {
        let mut told = BTreeMap::new();
        for got in self.got() {
            for event in got.json()["events"].as_array().unwrap() {
                let resource = event["resource"].as_str().unwrap().to_owned();
                *told.entry(resource).or_insert(0) += 1;
            }
        }
        told
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(got) = read(&mut stream).await else {
        return;
    };
    shared.got.lock().unwrap().push(got);
    let says = shared.says.lock().unwrap().clone();
    match says {
        Says::Whole(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Says::Slowly => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            let mut last = stream.write_all(head).await;
            while last.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
                last = stream.write_all(b"x").await;
            }
        }
        Says::Endlessly => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
            let mut last = stream.write_all(head).await;
            while last.is_ok() {
                last = stream.write_all(&[b'x'; 8192]).await;
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// The request that somebody sends, whole; none when they hang up before its end.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let head = loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let fields: BTreeMap<String, String> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        })
        .collect();
    let length = fields
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&part[..read]);
    }
    Some(Got {
        target,
        fields,
        body,
    })
}
