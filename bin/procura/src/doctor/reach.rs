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

const STANDS: &str = "what is done now may not stand in the record";
const LOOK: &str = "procura status, and the server's log";

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

/// Clients of CortexAuth are served, and what they tell people to open is there.
pub(super) fn cortexauth(checks: &mut Checks, config: &Config) {
    if !config.cortexauth {
        return;
    }
    if config.web.enabled {
        checks.notice(
            "cortexauth",
            "clients of CortexAuth are served",
            "whoever reads the files of such a host is its agent: for as long as hosts are moved, docs/guides/from-cortexauth.md",
        );
    } else {
        checks.advise(
            "cortexauth",
            "clients of CortexAuth are served, and there are no pages",
            "their login tells people to open /device, which is not there",
            "enabled = true in [web] of procura.toml, or procura device approve CODE --agent LABEL",
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
    heard(checks, port, &listeners::on_port(port));
}

fn heard(checks: &mut Checks, port: u16, seen: &[Listening]) {
    match seen {
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
    if let Err(error) = client.knock().await {
        return checks.problem("record", error.to_string(), STANDS, LOOK);
    }
    let mut last = before;
    for _ in 0..LOOKS {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let now = client.status().await.ok();
        let now = now.and_then(|status| size(status.checkpoint.as_deref()?));
        last = now.unwrap_or(last);
        if last > before {
            break;
        }
    }
    moved(checks, before, last);
}

fn moved(checks: &mut Checks, before: u64, last: u64) {
    if last > before {
        return checks.ok(
            "record",
            format!("it moves: a refused request stands in it, {last} entries"),
        );
    }
    checks.problem(
        "record",
        format!("it stands still at {last} entries, though a request was refused just now"),
        STANDS,
        LOOK,
    );
}

/// The number of entries that a checkpoint is of.
fn size(checkpoint: &str) -> Option<u64> {
    checkpoint.lines().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::path::PathBuf;

    /// Verdict, what was found, what it means, what to do.
    type Finding = (Verdict, String, Option<&'static str>, Option<String>);

    /// What is said of one thing.
    fn said(what: &str, look: impl FnOnce(&mut Checks)) -> Vec<Finding> {
        let mut checks = Checks(Vec::new());
        look(&mut checks);
        let checks = checks.0.into_iter();
        checks
            .map(|check| {
                assert_eq!(check.what, what);
                (check.verdict, check.found, check.why, check.next)
            })
            .collect()
    }

    fn ok(found: &str) -> Finding {
        (Verdict::Ok, found.to_owned(), None, None)
    }

    fn note(found: &str, why: Option<&'static str>) -> Finding {
        (Verdict::Note, found.to_owned(), why, None)
    }

    fn problem(found: &str, why: &'static str, next: &str) -> Finding {
        let next = Some(next.to_owned());
        (Verdict::Problem, found.to_owned(), Some(why), next)
    }

    #[test]
    fn what_is_open_to_other_machines_is_told() {
        let exposed = |listen: &str, tls: bool, health: &str| {
            let mut config = Config::defaults(PathBuf::from("/nowhere"));
            config.listen = listen.parse().unwrap();
            config.health_listen = health.parse().unwrap();
            config.tls_cert = tls.then(|| "cert.pem".into());
            said("exposure", |checks| exposure(checks, &config))
        };
        let (local, health) = ("127.0.0.1:7310", "127.0.0.1:7311");
        let for_here = ok("the API is for this machine, 127.0.0.1:7310");
        for tls in [false, true] {
            let found = exposed(local, tls, health);
            assert_eq!(found, std::slice::from_ref(&for_here));
        }
        for open in ["0.0.0.0:7310", "192.0.2.7:7310", "[::]:7310"] {
            assert_eq!(
                exposed(open, true, health),
                [ok(&format!("the API speaks TLS at {open}"))]
            );
            let without = problem(
                &format!("the API at {open} would be open to other machines without TLS"),
                "the server does not start with it",
                "tls_cert and tls_key in procura.toml, or listen on 127.0.0.1",
            );
            assert_eq!(exposed(open, false, health), [without]);
        }
        for open in ["0.0.0.0:7311", "[::]:7311"] {
            let named = note(
                &format!("health and metrics at {open} are open to other machines"),
                Some(
                    "they name nobody, but tell strangers how many requests of which kind there are",
                ),
            );
            assert_eq!(exposed(local, false, open), [for_here.clone(), named]);
        }
    }

    #[test]
    fn clocks_that_proofs_fail_by_are_told() {
        let theirs = Timestamp::from_secs(1_795_000_000);
        let off = |ours| said("clock", |checks| clock(checks, ours, theirs));
        let secs = Duration::from_secs;
        for ours in [theirs, theirs.plus(secs(10)), theirs.minus(secs(45))] {
            assert_eq!(off(ours), [ok("agrees with the server's")], "{ours}");
        }
        for (ours, found) in [
            (theirs.plus(secs(11)), "11 s ahead of the server's"),
            (theirs.plus(secs(3600)), "3600 s ahead of the server's"),
            (theirs.minus(secs(46)), "46 s behind the server's"),
        ] {
            let refused = problem(
                found,
                "proofs made here are refused as timestamp_out_of_window",
                "set this machine's clock, by NTP for instance",
            );
            assert_eq!(off(ours), [refused]);
        }
    }

    #[test]
    fn who_listens_for_other_machines_is_told() {
        let at = |address: IpAddr| Listening { address, uid: 7 };
        let seen = |all: &[Listening]| said("listener", |checks| heard(checks, 7310, all));
        assert_eq!(seen(&[]), [note("nothing seen on port 7310", None)]);
        let open = |address: IpAddr| {
            problem(
                &format!("{address} port 7310, of uid 7, is open to other machines"),
                OPEN_TO_OTHERS,
                "listen on 127.0.0.1, or use TLS and https://",
            )
        };
        let all = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        ];
        assert_eq!(
            seen(&all.map(at)),
            [
                ok("127.0.0.1 port 7310, of uid 7"),
                open(all[1]),
                open(all[2]),
                open(all[3]),
            ]
        );
    }

    #[test]
    fn a_record_that_stands_still_is_told() {
        let record = |before, last| said("record", |checks| moved(checks, before, last));
        let moves = ok("it moves: a refused request stands in it, 8 entries");
        assert_eq!(record(7, 8), [moves]);
        // One that went back has not moved on either.
        for last in [7, 6] {
            let still = problem(
                &format!(
                    "it stands still at {last} entries, though a request was refused just now"
                ),
                STANDS,
                LOOK,
            );
            assert_eq!(record(7, last), [still]);
        }
    }
}
