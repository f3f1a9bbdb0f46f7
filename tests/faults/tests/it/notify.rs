//! `kill -9` in the middle of a thousand notifications: each arrives, once at the least.

use procura_acceptance::{Installation, until};
use procura_faults::Load;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Agents that are made and revoked: so many things to tell of.
const MANY: usize = 1000;

/// Takes webhooks, and knows which it took how often.
struct Receiver {
    url: String,
    got: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A server that is killed leaves half of a request behind.
                let _ = take(stream.unwrap(), &kept);
            }
        });
        Self { url, got }
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

fn take(mut stream: TcpStream, got: &Mutex<BTreeMap<String, u32>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut id, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name {
            "idempotency-key" => id = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["id"], id?.trim_matches('"'));
    for event in body["events"].as_array().unwrap() {
        let resource = event["resource"].as_str().unwrap().to_owned();
        *got.lock().unwrap().entry(resource).or_insert(0) += 1;
    }
    // Long enough that a kill comes in the middle of them.
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()
}

#[test]
fn a_thousand_notifications_arrive_through_kills() {
    let receiver = Receiver::start();
    let mut server = Installation::configured("notify_networks = [\"127.0.0.0/8\"]\n");
    let add = ["notify", "channel", "add", "ops", "--kind", "webhook"];
    let cap = ["--per-minute", "6000"];
    server
        .cli_with(&[&add[..], &cap].concat(), receiver.url.as_bytes())
        .ok();
    let route = ["notify", "route", "add", "all", "--channel", "ops"];
    server
        .cli(&[&route[..], &["--event", "revocation"]].concat())
        .ok();
    let load = Load::join(&server);
    let url = server.url().to_owned();
    load.revoke(&url, MANY);
    for quarter in 1..4 {
        until("some arrive", Duration::from_secs(120), || {
            (receiver.count() >= MANY * quarter / 4).then_some(())
        });
        server.kill();
        server.start_again();
        server.unseal().ok();
    }
    until("all arrive", Duration::from_secs(240), || {
        (receiver.count() >= MANY).then_some(())
    });
    let got = receiver.got.lock().unwrap().clone();
    assert_eq!(got.len(), MANY);
    let twice = got.values().filter(|count| **count > 1).count();
    // One may be on its way at each kill; no more are sent again.
    assert!(twice <= 200 * 3, "{twice} came more than once");
    let queue = server.cli(&["--json", "notify", "queue"]).ok().json();
    assert_eq!(queue["channels"][0]["dead"], 0, "{queue}");
    println!("{MANY} arrived through three kills, {twice} of them more than once");
}
