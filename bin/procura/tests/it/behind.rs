//! Behind a balancer the server that answers may be behind the one that answered before:
//! that is told from one that was put back, and from a fork.

use crate::Ran;
use crate::installed::{Cli, Installed, PASSPHRASE, Running};
use crate::known_server::copy;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// More than a command asks.
const ALWAYS: usize = 1000;
const OLDER: &str = "procura: the server is older than it was, or its record was rewritten: ";

/// What servers that are not the newest show next, a checkpoint or none, and how often
/// anybody was asked.
#[derive(Default)]
struct Plan {
    next: VecDeque<Option<String>>,
    asked: usize,
}

/// In front of a server: hands each request on, and tells what its plan says of the record.
struct Balancer {
    url: String,
    listener: TcpListener,
    plan: Arc<Mutex<Plan>>,
}

impl Balancer {
    fn bound() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            listener,
            plan: Arc::default(),
        }
    }

    /// From now on in front of this server, until the test is over.
    fn lead_to(&self, server: &Running) {
        let address = server.url.trim_start_matches("http://").to_owned();
        let (listener, plan) = (self.listener.try_clone().unwrap(), Arc::clone(&self.plan));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up half way is not heard any more.
                let _ = handed_on(client, &address, &plan);
            }
        });
    }

    /// Has `note` shown so often before the server is asked.
    fn shows(&self, note: Option<&str>, times: usize) {
        let mut plan = self.plan.lock().unwrap();
        let note = note.map(str::to_owned);
        (plan.next, plan.asked) = (std::iter::repeat_n(note, times).collect(), 0);
    }

    fn asked(&self) -> usize {
        self.plan.lock().unwrap().asked
    }
}

/// One request, and its answer; then the connection ends.
fn handed_on(mut client: TcpStream, address: &str, plan: &Mutex<Plan>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let begun = head.len();
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&head[begun..]).to_ascii_lowercase();
        if let Some(found) = line.strip_prefix("content-length:") {
            length = found.trim().parse().unwrap();
        }
        if begun == 0 {
            head.extend_from_slice(b"connection: close\r\n");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut server = TcpStream::connect(address)?;
    server.write_all(&head)?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if !head.starts_with(b"GET /v1/status ") {
        return client.write_all(&answer);
    }
    let told = {
        let mut plan = plan.lock().unwrap();
        plan.asked += 1;
        plan.next.pop_front()
    };
    let Some(note) = told else {
        return client.write_all(&answer);
    };
    let answer = String::from_utf8(answer).unwrap();
    let (_, status) = answer.split_once("\r\n\r\n").unwrap();
    let mut status: Value = serde_json::from_str(status).unwrap();
    let status = status.as_object_mut().unwrap();
    match note {
        Some(note) => status.insert("checkpoint".to_owned(), Value::String(note)),
        None => status.remove("checkpoint"),
    };
    let status = serde_json::to_string(status).unwrap();
    write!(
        client,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{status}",
        status.len()
    )
}

fn checkpoint(home: &Path) -> String {
    std::fs::read_to_string(home.join("ledger/checkpoint")).unwrap()
}

fn size(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// A server behind a balancer, its checkpoint of before, and that of a copy which went on
/// from there by itself; either is of fewer entries than this home has seen.
struct Set {
    installed: Installed,
    balancer: Balancer,
    earlier: String,
    fork: String,
}

impl Set {
    fn new() -> Self {
        let mut installed = Installed::new();
        let balancer = Balancer::bound();
        installed.server.take().unwrap().stop();
        let home = installed.cli.home.clone();
        let text = format!("public_url = \"{}\"\n", balancer.url);
        std::fs::write(home.join("procura.toml"), text).unwrap();
        let earlier = checkpoint(&home);
        let fork = Self::forked(&installed, size(&earlier));
        installed.serve();
        balancer.lead_to(installed.server.as_ref().unwrap());
        installed.cli.url = Some(balancer.url.clone());
        for number in 0..10 {
            let path = format!("a/b{number}");
            installed.cli.ok(&["secret", "put", &path], b"value");
        }
        // It waits for the checkpoint that covers all of it, and remembers that.
        let record = installed.dir().join("record");
        let export = ["audit", "export", record.to_str().unwrap()];
        installed.cli.ok(&export, b"");
        let seen = size(&checkpoint(&home));
        assert!(size(&earlier) < size(&fork) && size(&fork) < seen);
        Self {
            installed,
            balancer,
            earlier,
            fork,
        }
    }

    /// What a copy of the home signs once it is opened, for which it makes entries.
    fn forked(installed: &Installed, size_before: u64) -> String {
        let home = installed.dir().join("fork");
        copy(&installed.cli.home, &home);
        std::fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        let server = Running::start(&home);
        let cli = Cli {
            home: home.clone(),
            url: Some(server.url.clone()),
        };
        cli.ok(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
        let begun = Instant::now();
        loop {
            let note = checkpoint(&home);
            if note.ends_with('\n') && size(&note) > size_before {
                server.stop();
                return note;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{note}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a command says while other servers show `note` so often.
    fn told(&self, note: Option<&str>, times: usize, more: &[&str]) -> Ran {
        self.balancer.shows(note, times);
        let words = [more, &["secret", "get", "a/b1"]].concat();
        self.installed.cli.run(&words, b"")
    }

    fn remembered(&self) -> String {
        let home = &self.installed.cli.home;
        std::fs::read_to_string(home.join("operator/checkpoint")).unwrap()
    }
}

#[test]
fn a_server_that_is_behind_is_asked_again_and_one_that_stays_so_or_forked_is_refused() {
    let set = Set::new();
    let seen = set.remembered();
    // Behind for a moment: asked until it has caught up.
    let ran = set.told(Some(&set.earlier), 4, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "value"), "{}", ran.err);
    assert_eq!(set.balancer.asked(), 5);
    // As one that was opened just now, and shows nothing yet.
    let ran = set.told(None, 3, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "value"), "{}", ran.err);
    assert_eq!(set.balancer.asked(), 4);
    // What is remembered never gets less.
    assert!(size(&set.remembered()) >= size(&seen));

    // A fork is not asked again, however few entries it has.
    let ran = set.told(Some(&set.fork), 1, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (77, ""), "{}", ran.err);
    let words = format!("{OLDER}the proof does not lead to the signed root\n");
    assert!(ran.err.starts_with(&words), "{}", ran.err);
    assert_eq!(set.balancer.asked(), 1);

    // One that stays behind was put back.
    let seen = size(&set.remembered());
    let begun = Instant::now();
    let ran = set.told(Some(&set.earlier), ALWAYS, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (77, ""), "{}", ran.err);
    let words = format!(
        "{OLDER}its record has {} entries, {seen} were seen\n  next: find out who restored it; if it was meant, the command again with --danger-accept-rollback\n",
        size(&set.earlier)
    );
    assert_eq!(ran.err, words);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert!((2..100).contains(&set.balancer.asked()));
    // And one that never shows anything is not believed.
    let ran = set.told(None, ALWAYS, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (77, ""), "{}", ran.err);
    let words = "procura: the server is open and shows no checkpoint of its record\n";
    assert_eq!(ran.err, words);
    assert!((2..100).contains(&set.balancer.asked()));
    assert_eq!(size(&set.remembered()), seen);

    // Who accepts it does not wait for another.
    let accept = ["--danger-accept-rollback"];
    let ran = set.told(Some(&set.earlier), ALWAYS, &accept);
    assert_eq!((ran.code, ran.out.as_str()), (0, "value"), "{}", ran.err);
    assert_eq!(set.balancer.asked(), 1);
    assert_eq!(set.remembered(), set.earlier);
}
