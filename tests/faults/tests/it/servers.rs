//! Several servers on one PostgreSQL: servers are killed, one is stopped in the middle and
//! goes on, and one is removed. `FAULT_ROUNDS=60` kills a server each second for a minute.

use procura_acceptance::{Installation, until};
use procura_client::SystemClock;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_faults::{Load, rounds};
use procura_proof::RequestView;
use procura_proof::sign::{Signer, sign_request};
use procura_store::LocalPostgres;
use procura_store::guard::LocalRedis;
use procura_types::Clock as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take until all is in order again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Rounds of the one that kills a server each second, at most: what more of them would
/// show takes hours, and what each leaves is checked at the end.
const MINUTE: u32 = 60;
/// Checkpoints that the whole record is verified from, at most.
const LOOKS: usize = 12;
/// The name that all servers of the installation go by.
const AUTHORITY: &str = "procura.test:7310";

/// Two servers, and what they share.
pub(crate) struct Servers {
    // Dropped before what they use.
    pub(crate) servers: [Installation; 2],
    _redis: LocalRedis,
    /// The first checkpoint that was signed.
    first: String,
    _guard: TempDir,
}

impl Servers {
    /// Two that are open, on a database at this address.
    pub(crate) fn on(database: &str, more: &str) -> Self {
        let guard = TempDir::new().unwrap();
        let redis = LocalRedis::start(guard.path(), &[]);
        let text = format!(
            "database_url = \"{database}\"\nguard_url = \"{}\"\npublic_url = \"http://{AUTHORITY}\"\n{more}",
            redis.url()
        );
        let one = Installation::configured(&text);
        let two = Installation::beside(&text);
        two.unseal().ok();
        // Founding an installation, or joining one, turns nobody's keys.
        for server in [&one, &two] {
            let said = server.server_said();
            assert!(!said.contains("changed what opens the vault"), "{said}");
        }
        let first = until("the first checkpoint", PATIENCE, || checkpoint(&one));
        Self {
            servers: [one, two],
            _redis: redis,
            first,
            _guard: guard,
        }
    }

    pub(crate) fn urls(&self) -> [String; 2] {
        [0, 1].map(|at: usize| self.servers[at].url().to_owned())
    }

    /// The record verifies from the first checkpoint on, whichever server gives it out,
    /// and so it does from those that were seen, a dozen of them when there are more.
    pub(crate) fn verify(&self, seen: &BTreeSet<String>) {
        let home = self.servers[0].home();
        let key = std::fs::read_to_string(home.join("installation.json")).unwrap();
        let key: Value = serde_json::from_str(&key).unwrap();
        let key = key["ledger_vkey"].as_str().unwrap();
        let folder = self.servers[0].folder();
        for (number, url) in self.urls().iter().enumerate() {
            let export = folder.join(format!("export-{number}"));
            let export = export.to_str().unwrap();
            let words = ["--server", url, "audit", "export", export];
            self.servers[0].cli(&words).ok();
            let apart = seen.len().div_ceil(LOOKS).max(1);
            let looked_at = seen.iter().step_by(apart);
            for note in looked_at.chain([&self.first]) {
                let file = folder.join("checkpoint-seen");
                std::fs::write(&file, note).unwrap();
                let file = file.to_str().unwrap();
                let verify = ["audit", "verify", export, "--key", key, "--after", file];
                self.servers[0].cli(&verify).ok();
            }
        }
        let status = self.servers[0].cli(&["--json", "status", "--deep"]).ok();
        assert_eq!(status.json()["deep"], json!([]));
    }

    /// Which of them signs, once one does that runs.
    fn signer(&self) -> usize {
        let said = [0, 1].map(|at: usize| self.servers[at].server_said());
        let last = |text: &String| {
            let lines = text.lines().enumerate();
            lines
                .filter(|(_, line)| line.contains("has the lease"))
                .count()
        };
        usize::from(last(&said[0]) == 0)
    }
}

/// The newest checkpoint that a server has published.
pub(crate) fn checkpoint(server: &Installation) -> Option<String> {
    std::fs::read_to_string(server.home().join("ledger/checkpoint"))
        .ok()
        .filter(|note| note.ends_with('\n'))
}

fn size(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// A list that the key asks for, signed for all servers of this name.
fn signed(key: &SigningKey) -> String {
    let headers: [(String, String); 0] = [];
    let view = RequestView {
        method: "GET",
        authority: AUTHORITY,
        scheme: None,
        path: "/v1/namespaces",
        query: None,
        headers: &headers,
        body: b"",
    };
    let signed = sign_request(
        &view,
        Signer::Device(key),
        SystemClock.now(),
        &SystemEntropy,
    );
    let mut head =
        format!("GET /v1/namespaces HTTP/1.1\r\nhost: {AUTHORITY}\r\nconnection: close\r\n");
    for (name, value) in signed.unwrap().headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// What a server answers, as status and body; nothing when it does not.
fn sent(server: &Installation, request: &str) -> Option<(u16, String)> {
    let address = server.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Some((status, body.to_owned()))
}

/// Whether what was let in once is told that it was; a server that has not heard enough yet,
/// or cannot ask the guard in time, judges nothing. It is never let in.
fn is_refused_again(status: u16, body: &str) -> bool {
    let replayed = status == 401 && body.contains("nonce_replayed");
    assert!(replayed || status == 503, "{status} {body}");
    replayed
}

/// An agent with a device of its own, and the id of that device.
fn agent(servers: &Servers, label: &str) -> (SigningKey, String) {
    let code = servers.servers[0]
        .cli(&["-n", "default", "agent", "add", label])
        .ok();
    let code = procura_types::LinkCodeText::parse(code.text().trim()).unwrap();
    let procura_types::Joins::Agent(actor) = code.joins else {
        panic!("the code is for somebody else");
    };
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let client = procura_client::Client::new(
        servers.servers[0].url(),
        procura_client::ClientOptions::default(),
        std::sync::Arc::new(SystemClock),
        std::sync::Arc::new(SystemEntropy),
    )
    .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(client.join(&code, &actor, &key)).unwrap();
    let device = key.public().thumbprint().to_string();
    (key, device)
}

fn signal(server: &Installation, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &server.pid().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn servers_that_are_killed_each_second_lose_nothing_and_let_nothing_in_twice() {
    let dir = TempDir::new().unwrap();
    let postgres = LocalPostgres::start(dir.path(), &[]);
    postgres.database("procura");
    let mut servers = Servers::on(&postgres.url("procura"), "");
    let load = Load::join(&servers.servers[0]);
    let (key, _) = agent(&servers, "scribe");
    let urls = servers.urls();
    let urls = [urls[0].as_str(), urls[1].as_str()];
    for server in &servers.servers {
        until("the agent is known", PATIENCE, || {
            let (status, _) = sent(server, &signed(&key))?;
            (status == 200).then_some(())
        });
    }
    let since = SystemClock.now();
    let mut seen = BTreeSet::new();
    let (mut replays, mut killed) = (0, 0);
    load.during_at(&urls, || {
        for round in 0..rounds(6).min(MINUTE) {
            let victim = round as usize % 2;
            let begun = Instant::now();
            // Let in at the one that is killed a moment later.
            let request = signed(&key);
            let first = sent(&servers.servers[victim], &request);
            std::thread::sleep(Duration::from_millis(700));
            seen.extend(
                [0, 1]
                    .into_iter()
                    .filter_map(|at: usize| checkpoint(&servers.servers[at])),
            );
            servers.servers[victim].kill();
            killed += 1;
            let again = sent(&servers.servers[1 - victim], &request);
            if let (Some((200, _)), Some((status, body))) = (&first, &again) {
                replays += u32::from(is_refused_again(*status, body));
            }
            servers.servers[victim].start_again();
            servers.servers[victim].unseal().ok();
            let again = sent(&servers.servers[victim], &request);
            if let (Some((200, _)), Some((status, body))) = (first, again) {
                is_refused_again(status, &body);
            }
            std::thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
        }
    });
    assert!(replays > 0, "no proof was tried twice");
    load.check(&servers.servers[0], since);
    until("that both publish", PATIENCE, || {
        let notes = [0, 1].map(|at: usize| checkpoint(&servers.servers[at]));
        (notes[0].is_some() && notes[0] == notes[1]).then_some(())
    });
    servers.verify(&seen);
    let (writes, reads) = load.counts();
    println!(
        "{writes} acknowledged writes and {reads} released values over {killed} kills of two servers"
    );
    assert!(writes > 100, "{writes}");
}

#[test]
fn a_server_that_was_stopped_in_the_middle_neither_signs_nor_lets_the_revoked_in() {
    let dir = TempDir::new().unwrap();
    let postgres = LocalPostgres::start(dir.path(), &[]);
    postgres.database("procura");
    let servers = Servers::on(&postgres.url("procura"), "max_stale_seconds = 2\n");
    let load = Load::join(&servers.servers[0]);
    let (key, device) = agent(&servers, "scribe");
    let holder = servers.signer();
    assert_eq!(holder, 0);
    let other = &servers.servers[1];
    let (stopped, urls) = (&servers.servers[0], servers.urls());
    let urls = [urls[0].as_str(), urls[1].as_str()];
    until("the agent is known", PATIENCE, || {
        let (status, _) = sent(stopped, &signed(&key))?;
        (status == 200).then_some(())
    });
    let since = SystemClock.now();
    let mut seen = BTreeSet::new();
    load.during_at(&urls, || {
        std::thread::sleep(Duration::from_secs(1));
        signal(stopped, "STOP");
        let before = size(&checkpoint(other).unwrap());
        // Revoked at the one that goes on.
        let revoke = ["device", "revoke", &device];
        other
            .cli_in(
                &stopped.home(),
                procura_acceptance::PASSPHRASE,
                &revoke,
                b"",
            )
            .ok();
        until("a checkpoint of the other", PATIENCE, || {
            let note = checkpoint(other)?;
            let later = size(&note) > before + 100;
            seen.insert(note);
            later.then_some(())
        });
        assert!(other.server_said().contains("this server has the lease"));
        signal(stopped, "CONT");
        let begun = Instant::now();
        let mut refused = 0;
        while begun.elapsed() < Duration::from_secs(4)
            || (refused == 0 && begun.elapsed() < PATIENCE)
        {
            if let Some((status, body)) = sent(stopped, &signed(&key)) {
                let as_expected = match status {
                    401 => body.contains("revoked"),
                    503 => {
                        body.contains("store_unavailable") || body.contains("verifier_unavailable")
                    }
                    _ => false,
                };
                assert!(as_expected, "{status} {body}");
                refused += usize::from(status == 401);
            }
            seen.extend([stopped, other].into_iter().filter_map(checkpoint));
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(refused > 0, "it did not come back");
    });
    // It lost the lease, and says so; what it published since is what the other signed.
    until("that it lost the lease", PATIENCE, || {
        let said = stopped.server_said();
        said.contains("another server has taken the lease")
            .then_some(())
    });
    until("that both publish the same", PATIENCE, || {
        (checkpoint(stopped)? == checkpoint(other)?).then_some(())
    });
    let mut sizes: Vec<u64> = seen.iter().map(|note| size(note)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    assert_eq!(sizes.len(), seen.len(), "two checkpoints of one size");
    load.check(stopped, since);
    servers.verify(&seen);
}

#[test]
fn a_server_that_is_removed_seals_itself_and_stays_out() {
    let dir = TempDir::new().unwrap();
    let postgres = LocalPostgres::start(dir.path(), &[]);
    postgres.database("procura");
    let mut servers = Servers::on(&postgres.url("procura"), "");
    let load = Load::join(&servers.servers[0]);
    let urls = servers.urls();
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let id = std::fs::read_to_string(servers.servers[1].home().join("server.id")).unwrap();
    let since = SystemClock.now();
    load.during_at(&urls, || {
        std::thread::sleep(Duration::from_millis(500));
        let (one, two) = (&servers.servers[0], &servers.servers[1]);
        one.cli(&["server", "remove", id.trim()]).ok();
        until("that it is sealed", PATIENCE, || {
            let said = two.server_said();
            (said.contains("was removed") && said.contains("the vault is sealed")).then_some(())
        });
        // The other goes on.
        let before = load.counts().0;
        until("writes", PATIENCE, || {
            (load.counts().0 > before + 20).then_some(())
        });
    });
    let list = servers.servers[0].cli(&["--json", "server", "list"]).ok();
    let list = list.json();
    let removed = list["servers"].as_array().unwrap().iter();
    let removed: Vec<&Value> = removed.filter(|it| it["state"] == "removed").collect();
    assert_eq!(removed.len(), 1, "{list}");
    assert_eq!(removed[0]["id"], id.trim());
    // Neither now nor after a restart does the passphrase open it.
    servers.servers[1].unseal().code(77).says("server_removed");
    servers.servers[1].stop();
    servers.servers[1].start_again();
    servers.servers[1].unseal().code(77).says("server_removed");
    load.check(&servers.servers[0], since);
    let status = servers.servers[0].cli(&["--json", "status", "--deep"]).ok();
    assert_eq!(status.json()["deep"], json!([]));
}
