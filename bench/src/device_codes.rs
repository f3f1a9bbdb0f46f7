//! Reads by session while a thousand hosts wait for an operator and look every five
//! seconds whether somebody has answered, in turns with reads while nobody waits.

use crate::Outcome;
use crate::connection::Connection;
use crate::installation::{Device, Installation};
use crate::load::{self, Expect, Run, Target};
use crate::report::{Figure, median, say};
use crate::values::Values;
use procura_client::Query;
use procura_crypto::{PublicKey, SigningKey, SystemEntropy, sha256};
use procura_proof::{ask_message, collect_message};
use procura_types::wire::{DeviceAuthorization, OauthMetadata};
use procura_types::{DisplayName, Thumbprint, encoding};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Hosts that wait.
const HOSTS: usize = 1_000;
/// Connections over which they look.
const WAYS: usize = 8;
/// A little more than the server wants between two looks of a host.
const EVERY: Duration = Duration::from_millis(5_100);
/// Runs of each, in turns.
const RUNS: usize = 5;
const CONNECTIONS: usize = 32;
const SECRETS: u32 = 1_000;

/// A request as it goes out.
fn request(authority: &str, path: &str, form: &Query) -> Vec<u8> {
    let form = form.as_str().unwrap_or_default();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// Hosts that asked; for each the request by which it looks.
struct Hosts {
    authority: String,
    looks: Vec<Vec<u8>>,
}

impl Hosts {
    async fn ask(authority: &str) -> Outcome<Self> {
        let mut connection = Connection::open(authority).await?;
        let target = format!(
            "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nhost: {authority}\r\n\r\n"
        );
        let answer = connection.exchange(target.as_bytes()).await?;
        let metadata: OauthMetadata = serde_json::from_slice(answer.body)?;
        let server = PublicKey::from_jwk(&metadata.procura_server_key)?.thumbprint();
        let key = SigningKey::generate_ed25519(&SystemEntropy)?;
        let device = key.public().thumbprint();
        let host: DisplayName = "bench".parse()?;
        let signature = key.sign(&ask_message(&server, &device, &host))?;
        let form = Query::new()
            .with("client_id", "procura-daemon")
            .with("device_jwk", serde_json::to_string(&key.public().to_jwk())?)
            .with("device_host", &host)
            .with("device_signature", encoding::b64url(&signature));
        let ask = request(authority, "/oauth/device_authorization", &form);
        let mut looks = Vec::new();
        for _ in 0..HOSTS {
            let answer = connection.exchange(&ask).await?;
            let new: DeviceAuthorization = serde_json::from_slice(answer.body)?;
            let code = new.device_code.expose_text();
            looks.push(look(authority, &server, &key, code)?);
        }
        Ok(Self {
            authority: authority.to_owned(),
            looks,
        })
    }

    /// Has all of them look, each as often as it may, until `stop`; gives how many looks
    /// there were.
    async fn wait(self: Rc<Self>, stop: Rc<Cell<bool>>) -> Outcome<u64> {
        let mut ways = JoinSet::new();
        for way in 0..WAYS {
            let (hosts, stop) = (Rc::clone(&self), Rc::clone(&stop));
            ways.spawn_local(async move {
                let looked = hosts.wait_on(way, &stop).await;
                looked.map_err(|error| error.to_string())
            });
        }
        let mut looks = 0;
        while let Some(ended) = ways.join_next().await {
            looks += ended??;
        }
        Ok(looks)
    }

    async fn wait_on(&self, way: usize, stop: &Cell<bool>) -> Outcome<u64> {
        let mut connection = Connection::open(&self.authority).await?;
        let mine: Vec<&Vec<u8>> = self.looks.iter().skip(way).step_by(WAYS).collect();
        let between = EVERY / u32::try_from(mine.len())?;
        let (mut next, mut looks) = (Instant::now(), 0);
        loop {
            for look in &mine {
                if stop.get() {
                    return Ok(looks);
                }
                sleep_until(next).await;
                next += between;
                let answer = connection.exchange(look).await?;
                let waits = answer
                    .body
                    .starts_with(br#"{"error":"authorization_pending""#);
                if answer.status != 400 || !waits {
                    let said = String::from_utf8_lossy(answer.body);
                    return Err(format!("wrong answer to a look: {said}").into());
                }
                looks += 1;
            }
        }
    }
}

fn look(authority: &str, server: &Thumbprint, key: &SigningKey, code: &str) -> Outcome<Vec<u8>> {
    let code_sha256 = sha256(code.as_bytes());
    let signed = collect_message(server, &code_sha256, &key.public().thumbprint());
    let form = Query::new()
        .with("grant_type", "urn:ietf:params:oauth:grant-type:device_code")
        .with("client_id", "procura-daemon")
        .with("device_code", code)
        .with("device_signature", encoding::b64url(&key.sign(&signed)?));
    Ok(request(authority, "/oauth/token", &form))
}

/// Reads in turns: while nobody waits, and while all of them do.
pub(crate) async fn measure(
    installation: &Installation,
    devices: &[Device],
    time: Duration,
) -> Outcome<Vec<Figure>> {
    let values = Rc::new(Values::new());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    // Good for ten minutes, which all turns together do not take.
    let hosts = Rc::new(Hosts::ask(installation.authority()).await?);
    for _ in 0..RUNS {
        alone.push(read(installation, devices, &values, time).await?);
        let stop = Rc::new(Cell::new(false));
        let waiting = tokio::task::spawn_local({
            let (hosts, stop) = (Rc::clone(&hosts), Rc::clone(&stop));
            async move { hosts.wait(stop).await.map_err(|error| error.to_string()) }
        });
        let run = read(installation, devices, &values, time).await?;
        stop.set(true);
        let looks = waiting.await??;
        if let Some(alone) = alone.last() {
            say(&format!(
                "p50 {:.0} µs while nobody waits, {:.0} µs beside {looks} looks",
                alone.p50_us, run.p50_us
            ));
        }
        beside.push(run);
    }
    let middle = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let p50 = |runs: &[Run]| middle(runs, |run| run.p50_us);
    let more = (p50(&beside) / p50(&alone) - 1.0) * 100.0;
    Ok(vec![
        figure("device_codes.without", &alone),
        figure("device_codes", &beside),
        Figure::plain("device_codes.p50_more", more, "percent"),
        Figure::plain(
            "device_codes.others",
            middle(&beside, |run| run.others_percent),
            "percent",
        ),
    ])
}

async fn read(
    installation: &Installation,
    devices: &[Device],
    values: &Rc<Values>,
    time: Duration,
) -> Outcome<Run> {
    let mut provers = Vec::new();
    for device in devices {
        provers.push(Rc::new(installation.by_session(device).await?));
    }
    let target = Target {
        authority: installation.authority().to_owned(),
        pid: installation.pid(),
        provers,
        connections: CONNECTIONS,
        secrets: SECRETS,
        expect: Expect::Secret(Rc::clone(values)),
    };
    load::run(target, time).await
}

fn figure(name: &str, runs: &[Run]) -> Figure {
    let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Figure::plain(name, middle(|run| run.per_second).round(), "1/s")
        .latency(middle(|run| run.p50_us), middle(|run| run.p99_us))
        .cpu(middle(|run| run.cpu_us))
}
