//! Ten thousand notifications that wait while their receiver is away: they outlast a crash
//! of the server, and all of them arrive.

use crate::Outcome;
use crate::installation::{Installation, PASSPHRASE};
use crate::report::{Figure, say};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use procura_client::{SessionClient, SystemClock};
use procura_crypto::{Argon2Params, SystemEntropy, derive_passphrase_key};
use procura_types::wire::{
    ChannelKind, ChannelPut, ImportItem, NotifyEvent, NotifyRoutePut, PortableSecret, SecretImport,
    ValueB64,
};
use procura_types::{Clock as _, Label, Namespace};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Notifications that wait.
const WAITING: u32 = 10_000;
/// Most messages a minute, which is the most that a channel can be given.
const PER_MINUTE: u32 = 6_000;
const NAMESPACE: &str = "told";
/// How long the server may take until all of them wait: dates are looked at once a minute.
const QUEUED: Duration = Duration::from_secs(300);
/// How long it may take until all of them have arrived.
const ARRIVED: Duration = Duration::from_secs(900);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// The server may send to this machine.
const SETTINGS: [(&str, &str); 1] = [("PROCURA_NOTIFY_NETWORKS", "[\"127.0.0.0/8\"]")];

/// What the receiver was told.
#[derive(Default)]
struct Told {
    /// Each thing that something happened to.
    things: BTreeSet<String>,
    /// How often it was told of one of them again.
    again: u32,
    messages: u32,
    first: Option<Instant>,
    /// When the newest thing was told that was not told before.
    last: Option<Instant>,
    /// What was wrong with a message.
    wrong: Option<String>,
}

impl Told {
    fn hear(&mut self, body: &[u8]) {
        let now = Instant::now();
        self.first = self.first.or(Some(now));
        self.messages += 1;
        if let Err(error) = self.read(body, now) {
            self.wrong = Some(error.to_string());
        }
    }

    fn read(&mut self, body: &[u8], now: Instant) -> Outcome<()> {
        let message: serde_json::Value = serde_json::from_slice(body)?;
        let events = message.get("events").and_then(serde_json::Value::as_array);
        for event in events.ok_or("a message without events")? {
            let thing = event.get("resource").and_then(serde_json::Value::as_str);
            let thing = thing.ok_or("a message about nothing")?;
            if self.things.insert(thing.to_owned()) {
                self.last = Some(now);
            } else {
                self.again += 1;
            }
        }
        Ok(())
    }
}

/// Takes messages at an address for as long as the set lives.
async fn receive(address: SocketAddr, told: Rc<RefCell<Told>>) -> Outcome<JoinSet<()>> {
    let listener = TcpListener::bind(address).await?;
    let mut serving = JoinSet::new();
    serving.spawn_local(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let told = Rc::clone(&told);
            connections.spawn_local(async move {
                let service =
                    hyper::service::service_fn(move |request: http::Request<Incoming>| {
                        let told = Rc::clone(&told);
                        async move {
                            let body = request.into_body().collect().await?.to_bytes();
                            told.borrow_mut().hear(&body);
                            Ok::<_, hyper::Error>(http::Response::new(Empty::<Bytes>::new()))
                        }
                    });
                // The server may end a connection whenever it likes.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(serving)
}

/// A channel to an address where nobody listens yet, and a route to it.
async fn lead_to(calls: &SessionClient, namespace: &Namespace, address: SocketAddr) -> Outcome<()> {
    let channel: Label = "ops".parse()?;
    let url = format!("http://{address}/hook");
    let put = ChannelPut {
        kind: ChannelKind::Webhook,
        credential_b64: Some(ValueB64::encode(url.as_bytes())),
        chat: None,
        mail: None,
        ca_pem: None,
        per_minute: Some(PER_MINUTE),
        templates: BTreeMap::new(),
    };
    calls
        .put_notify_channel(Some(namespace), &channel, &put)
        .await?;
    let route = NotifyRoutePut {
        channel,
        events: vec![NotifyEvent::Reminder],
        least: None,
        only: None,
    };
    let name: Label = "reminders".parse()?;
    calls
        .put_notify_route(Some(namespace), &name, &route)
        .await?;
    Ok(())
}

/// Secrets whose date is over already: the server reminds of each of them once.
fn overdue() -> Outcome<SecretImport> {
    let now = SystemClock.now();
    let mut secrets = Vec::new();
    for number in 0..WAITING {
        let path = format!("service-{:02}/key-{number:05}", number % 50).parse()?;
        let secret = PortableSecret {
            rotate_by: Some(now),
            ..PortableSecret::new(path, ValueB64::encode(b"value"))
        };
        secrets.push(ImportItem {
            secret,
            expect_version: Some(0),
        });
    }
    Ok(SecretImport {
        secrets,
        dry_run: false,
    })
}

/// What waits in the channel; nothing may have been given up or left out.
async fn waiting(calls: &SessionClient, namespace: &Namespace) -> Outcome<u64> {
    let queue = calls.notify_queue(Some(namespace)).await?;
    let channel = queue.channels.first().ok_or("the channel is not there")?;
    if channel.dead != 0 || channel.untold != 0 {
        return Err(format!(
            "{} were given up, {} left out",
            channel.dead, channel.untold
        )
        .into());
    }
    Ok(channel.waiting)
}

/// Measures in an installation of its own in `dir`.
pub(crate) async fn measure(dir: &Path) -> Outcome<Vec<Figure>> {
    let folder = tempfile::Builder::new().prefix("told-").tempdir_in(dir)?;
    let mut installation = Installation::make_with(folder, &SETTINGS)?;
    let owner = installation.join().await?;
    let namespace: Namespace = NAMESPACE.parse()?;
    let calls = installation.calls_of(&owner)?;
    calls.create_namespace(&namespace).await?;
    // The port is free again when it is asked for.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()?;
    lead_to(&calls, &namespace, address).await?;
    calls.import_secrets(&namespace, &overdue()?).await?;
    let begun = Instant::now();
    while waiting(&calls, &namespace).await? < u64::from(WAITING) {
        if begun.elapsed() > QUEUED {
            return Err("not all of them wait".into());
        }
        sleep(LOOK).await;
    }
    say(&format!(
        "{WAITING} wait after {:.0} s",
        begun.elapsed().as_secs_f64()
    ));
    let params = Argon2Params::generate(&SystemEntropy)?;
    let kdf = Instant::now();
    derive_passphrase_key(PASSPHRASE, &params)?;
    let kdf = kdf.elapsed();
    let ready = installation.crash_and_restart(&SETTINGS)?;
    let calls = installation.calls_of(&owner)?;
    let kept = waiting(&calls, &namespace).await?;
    if kept != u64::from(WAITING) {
        return Err(format!("{kept} of {WAITING} wait after the crash").into());
    }
    let told = Rc::new(RefCell::new(Told::default()));
    let _receiver = receive(address, Rc::clone(&told)).await?;
    let took = all_arrived(&told).await?;
    let (messages, again) = {
        let told = told.borrow();
        (told.messages, told.again)
    };
    say(&format!(
        "all arrived within {:.0} s, in {messages} messages",
        took.as_secs_f64()
    ));
    let ready = ready.saturating_sub(kdf).as_secs_f64() * 1e3;
    Ok(vec![
        Figure::plain("notify_kept", f64::from(WAITING), "messages"),
        Figure::plain("notify_ready_ms", ready, "ms"),
        Figure::plain("notify_told_10k", took.as_secs_f64(), "s"),
        Figure::plain("notify_told_again", f64::from(again), "messages"),
    ])
}

/// The time from the first message until each of them was told.
async fn all_arrived(told: &RefCell<Told>) -> Outcome<Duration> {
    let begun = Instant::now();
    loop {
        {
            let told = told.borrow();
            if let Some(wrong) = &told.wrong {
                return Err(wrong.clone().into());
            }
            if told.things.len() >= usize::try_from(WAITING)?
                && let (Some(first), Some(last)) = (told.first, told.last)
            {
                return Ok(last.saturating_duration_since(first));
            }
            if begun.elapsed() > ARRIVED {
                return Err(format!("{} of {WAITING} arrived", told.things.len()).into());
            }
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_twice_counts_once() {
        let mut told = Told::default();
        told.hear(br#"{"events":[{"resource":"secret/a"},{"resource":"secret/b"}]}"#);
        told.hear(br#"{"events":[{"resource":"secret/b"}]}"#);
        assert_eq!((told.things.len(), told.again, told.messages), (2, 1, 2));
        assert!(told.wrong.is_none());
        told.hear(br#"{"events":[{}]}"#);
        assert!(told.wrong.is_some());
    }
}
