//! The server: who reaches it, what it says, whether its record moves.

use super::Checks;
use crate::context::Context;
use crate::home::Known;
use crate::listeners::{self, Listening};
use procura_client::Client;
use procura_server::Config;
use procura_types::wire::Status;
use procura_types::{Duration, Timestamp};

/// Proofs are accepted from 60 s behind to 15 s ahead of the server's clock
/// (`protocol.md` §3.1); some of that is for the way.
const AHEAD: Duration = Duration::from_secs(10);
const BEHIND: Duration = Duration::from_secs(45);

/// Checkpoints come every 200 ms when something was recorded; what was refused waits
/// a moment before.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

const OPEN_TO_OTHERS: &str = "whoever reaches it can read along and change what is sent";

/// What the configuration opens to other machines.
pub(super) fn exposure(checks: &mut Checks, config: &Config) {
    let (api, health) = (config.listen, config.health_listen);
    match (api.ip().is_loopback(), config.tls_cert.is_some()) {
        (true, _) => checks.ok("exposure", format!("the API is for this machine, {api}")),
        (false, true) => checks.ok("exposure", format!("the API speaks TLS at {api}")),
        (false, false) => checks.problem(
            "exposure",
            format!("the API at {api} would be open to other machines without TLS"),
            "the server does not start with it",
            "tls_cert and tls_key in procura.toml, or listen on 127.0.0.1",
        ),
    }
    if !health.ip().is_loopback() {
        checks.notice(
            "exposure",
            format!("health and metrics at {health} are open to other machines"),
            "they name nobody, but tell strangers how many requests of which kind there are",
        );
    }
}

/// What the server says of itself; none when it does not answer.
pub(super) async fn server(checks: &mut Checks, context: &Context) -> Option<(Client, Status)> {
    let unknown = "nothing can be said of the server";
    let known = match Known::find(&context.home) {
        Ok(known) => known,
        Err(error) => {
            let next = "restore operator/server.json from a backup";
            checks.problem("server", error.to_string(), unknown, next);
            return None;
        }
    };
    let url = context.url(known.as_ref());
    let client = match context.client(&url, known.as_ref()) {
        Ok(client) => client,
        Err(error) => {
            checks.problem("server", error.to_string(), unknown, "--server URL");
            return None;
        }
    };
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => {
            checks.problem("server", error.to_string(), unknown, "procura server");
            return None;
        }
    };
    let here = env!("CARGO_PKG_VERSION");
    if status.version == here {
        checks.ok("server", format!("{url} answers, version {here}"));
    } else {
        checks.note(
            "server",
            format!("{url} answers, version {}; this is {here}", status.version),
        );
    }
    match (status.initialized, status.sealed) {
        (false, _) => checks.note("vault", "no installation yet; procura init makes one"),
        (true, true) => checks.note("vault", "sealed; procura unseal opens it"),
        (true, false) => checks.ok("vault", "unsealed"),
    }
    for why in &status.degraded {
        checks.problem(
            "vault",
            why.clone(),
            "the server does less than it should",
            "procura status, and the server's log",
        );
    }
    if let (Some(known), Some(installation)) = (&known, status.installation)
        && known.installation != installation
    {
        checks.problem(
            "server",
            format!(
                "it is installation {installation}; this home belongs to {}",
                known.installation
            ),
            "it is another server than the one that this operator joined",
            "--server URL, or another --home",
        );
    }
    match client.server_time().await {
        Ok(Some(theirs)) => clock(checks, context.now(), theirs),
        Ok(None) => checks.note("clock", "the server's answers carry no date"),
        Err(error) => checks.note("clock", error.to_string()),
    }
    listening(checks, &url);
    Some((client, status))
}

fn clock(checks: &mut Checks, ours: Timestamp, theirs: Timestamp) {
    let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
    let found = if ahead > AHEAD {
        format!("{} s ahead of the server's", ahead.as_secs())
    } else if behind > BEHIND {
        format!("{} s behind the server's", behind.as_secs())
    } else {
        return checks.ok("clock", "agrees with the server's");
    };
    checks.problem(
        "clock",
        found,
        "proofs made here are refused as timestamp_out_of_window",
        "set this machine's clock, by NTP for instance",
    );
}

/// Who listens on the port, when the server is on this machine.
fn listening(checks: &mut Checks, url: &str) {
    let Some(port) = listeners::loopback_port(url) else {
        return;
    };
    match listeners::on_port(port).as_slice() {
        [] => checks.note("listener", format!("nothing seen on port {port}")),
        all => {
            for Listening { address, uid } in all {
                if address.is_loopback() {
                    checks.ok("listener", format!("{address} port {port}, of uid {uid}"));
                } else {
                    checks.problem(
                        "listener",
                        format!("{address} port {port}, of uid {uid}, is open to other machines"),
                        OPEN_TO_OTHERS,
                        "listen on 127.0.0.1, or use TLS and https://",
                    );
                }
            }
        }
    }
}

/// Whether what happens reaches the record: a request without a proof is refused, and
/// the next checkpoint has to be of more entries than the last one.
pub(super) async fn record(checks: &mut Checks, (client, status): &(Client, Status)) {
    let Some(before) = status.checkpoint.as_deref().and_then(size) else {
        return checks.note("record", "nothing to see while the vault is not open");
    };
    let stands = "what is done now may not stand in the record";
    let next = "procura status, and the server's log";
    if let Err(error) = client.knock().await {
        return checks.problem("record", error.to_string(), stands, next);
    }
    let mut last = before;
    for _ in 0..LOOKS {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let now = client.status().await.ok();
        let now = now.and_then(|status| size(status.checkpoint.as_deref()?));
        last = now.unwrap_or(last);
        if last > before {
            return checks.ok(
                "record",
                format!("it moves: a refused request stands in it, {last} entries"),
            );
        }
    }
    checks.problem(
        "record",
        format!("it stands still at {last} entries, though a request was refused just now"),
        stands,
        next,
    );
}

/// The number of entries that a checkpoint is of.
fn size(checkpoint: &str) -> Option<u64> {
    checkpoint.lines().nth(1)?.parse().ok()
}
