//! Reads by session while a thousand hosts wait for an operator and look every five
//! seconds whether somebody has answered, in turns with reads while nobody waits.

use crate::Outcome;
use crate::connection::Connection;
use crate::installation::{Device, Installation};
use crate::report::{Figure, say};
use crate::turns::{RUNS, Turns};
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
pub(crate) struct Hosts {
    authority: String,
    looks: Vec<Vec<u8>>,
    /// What a person types for the last of them.
    code: String,
}

impl Hosts {
    /// Has so many of them ask.
    pub(crate) async fn ask(authority: &str, count: usize) -> Outcome<Self> {
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
        let (mut looks, mut last) = (Vec::new(), String::new());
        for _ in 0..count {
            let answer = connection.exchange(&ask).await?;
            let new: DeviceAuthorization = serde_json::from_slice(answer.body)?;
            let code = new.device_code.expose_text();
            looks.push(look(authority, &server, &key, code)?);
            last = new.user_code.to_string();
        }
        Ok(Self {
            authority: authority.to_owned(),
            looks,
            code: last,
        })
    }

    /// What a person types to see the last of them.
    pub(crate) fn code(&self) -> &str {
        &self.code
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
    let mut turns = Turns::new(installation, devices, time);
    // Good for ten minutes, which all turns together do not take.
    let hosts = Rc::new(Hosts::ask(installation.authority(), HOSTS).await?);
    for _ in 0..RUNS {
        let alone = turns.alone().await?;
        let stop = Rc::new(Cell::new(false));
        let waiting = tokio::task::spawn_local({
            let (hosts, stop) = (Rc::clone(&hosts), Rc::clone(&stop));
            async move { hosts.wait(stop).await.map_err(|error| error.to_string()) }
        });
        let beside = turns.beside().await?;
        stop.set(true);
        let looks = waiting.await??;
        say(&format!(
            "p50 {alone:.0} µs while nobody waits, {beside:.0} µs beside {looks} looks"
        ));
    }
    Ok(turns.figures("device_codes"))
}
