//! Thousands who follow events at once: what they cost in memory, and how long it takes
//! until the last of them has heard.
//!
//! They are spread over processes of this same program, each with fewer descriptors
//! than any usual limit; nothing of the machine is raised for it.

use crate::Outcome;
use crate::report::{Figure, median, say};
use procura_client::SystemClock;
use procura_client::sse::Messages;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_proof::RequestView;
use procura_proof::sign::{Signer, sign_request};
use procura_types::{Clock as _, encoding};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

/// Streams in all.
pub(crate) const STREAMS: u32 = 5_000;
/// Streams of one process.
const EACH: u32 = 500;
/// Streams that one process opens at a time.
const AT_ONCE: usize = 16;
/// Revocations that are timed.
pub(crate) const RUNS: usize = 3;

const TARGET: &str = "/v1/events";

/// What a process is told to do.
#[derive(Serialize, Deserialize)]
struct Orders {
    authority: String,
    /// The device's key, which protects nothing.
    key: String,
    streams: u32,
}

/// One process that follows.
struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    /// The moment of the line that begins with `word`, which is the next one.
    fn heard(&mut self, word: &str) -> Outcome<u64> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let moment = line
            .strip_prefix(word)
            .ok_or_else(|| format!("a listener said {line:?} where it was to say {word}"))?;
        Ok(moment.trim().parse()?)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All who follow.
pub(crate) struct Crowd(Vec<Listener>);

impl Crowd {
    /// Opens all streams with this device's key, and waits until each has begun.
    pub(crate) fn gather(folder: &Path, authority: &str, key: &SigningKey) -> Outcome<Self> {
        let orders = Orders {
            authority: authority.to_owned(),
            key: encoding::b64url(key.to_secret_bytes().expose()),
            streams: EACH,
        };
        let file = folder.join("orders.json");
        std::fs::write(&file, serde_json::to_vec(&orders)?)?;
        let mut crowd = Vec::new();
        for _ in 0..STREAMS / EACH {
            let mut child = Command::new(std::env::current_exe()?)
                .arg("--follow-events")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            let stdout = child.stdout.take().ok_or("no pipe from a listener")?;
            crowd.push(Listener {
                child,
                lines: BufReader::new(stdout),
            });
        }
        for listener in &mut crowd {
            listener.heard("begun ")?;
        }
        say(&format!("{STREAMS} streams are open"));
        Ok(Self(crowd))
    }

    /// When the last of them heard of a revocation, in [`millis`].
    pub(crate) fn last_told(&mut self) -> Outcome<u64> {
        self.last("told ")
    }

    /// When the last of them was cut off.
    pub(crate) fn last_cut(&mut self) -> Outcome<u64> {
        self.last("over ")
    }

    fn last(&mut self, word: &str) -> Outcome<u64> {
        let mut last = 0;
        for listener in &mut self.0 {
            last = last.max(listener.heard(word)?);
        }
        Ok(last)
    }
}

/// Milliseconds since 1970: the same clock in all processes.
pub(crate) fn millis() -> u64 {
    SystemClock.now().as_millis()
}

/// Milliseconds from one moment to another.
pub(crate) fn between(from: u64, to: u64) -> Outcome<f64> {
    Ok(f64::from(u32::try_from(to.saturating_sub(from))?))
}

/// The figures of a crowd.
pub(crate) fn figures(before_kib: u32, with_kib: u32, told: Vec<f64>, cut: f64) -> Vec<Figure> {
    let more = f64::from(with_kib.saturating_sub(before_kib));
    vec![
        Figure::plain("streams_rss_mb", f64::from(with_kib) / 1024.0, "MB"),
        Figure::plain("streams_kib_each", more / f64::from(STREAMS), "KiB"),
        Figure::plain("streams_told_ms", median(told), "ms"),
        Figure::plain("streams_cut_ms", cut, "ms"),
    ]
}

/// What the process does that follows: opens its streams, says so, and then says when
/// the last of them heard of each revocation, and when the last was over.
pub(crate) fn follow(orders: &Path) -> Outcome<()> {
    procura_crypto::lock_policy(true)?;
    let orders: Orders = serde_json::from_slice(&std::fs::read(orders)?)?;
    let key = encoding::from_b64url("key", &orders.key)?;
    let key = Rc::new(SigningKey::from_secret_bytes(&key)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let heard = Rc::new(Heard {
            streams: orders.streams,
            begun: Cell::new(0),
            told: Cell::new(0),
            over: Cell::new(0),
        });
        let turns = Rc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let mut streams = JoinSet::new();
        for _ in 0..orders.streams {
            let (heard, key) = (Rc::clone(&heard), Rc::clone(&key));
            let (turns, authority) = (Rc::clone(&turns), orders.authority.clone());
            streams.spawn_local(async move {
                let listened = listen(&authority, &key, &turns, &heard).await;
                listened.map_err(|error| error.to_string())
            });
        }
        while let Some(ended) = streams.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// What the streams of a process heard so far.
struct Heard {
    streams: u32,
    begun: Cell<u32>,
    told: Cell<u32>,
    over: Cell<u32>,
}

impl Heard {
    /// Counts one more; says so when it was the last.
    fn count(&self, of: &Cell<u32>, word: &str) -> Outcome<()> {
        of.set(of.get() + 1);
        if of.get() == self.streams {
            of.set(0);
            writeln!(std::io::stdout(), "{word} {}", millis())?;
        }
        Ok(())
    }
}

async fn listen(
    authority: &str,
    key: &SigningKey,
    turns: &tokio::sync::Semaphore,
    heard: &Heard,
) -> Outcome<()> {
    let turn = turns.acquire().await?;
    let mut stream = TcpStream::connect(authority).await?;
    stream.write_all(&request(authority, key)?).await?;
    let mut buffer = [0; 2048];
    let read = stream.read(&mut buffer).await?;
    let head = buffer.get(..read).unwrap_or_default();
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(format!("no stream: {}", String::from_utf8_lossy(head)).into());
    }
    drop(turn);
    heard.count(&heard.begun, "begun")?;
    // The lines of the head and those of chunks are fields that nobody knows.
    let mut messages = Messages::default();
    let mut told = messages.read(head)?;
    loop {
        for message in told {
            if message.event == "revocation" {
                heard.count(&heard.told, "told")?;
            }
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return heard.count(&heard.over, "over");
        }
        told = messages.read(buffer.get(..read).unwrap_or_default())?;
    }
}

fn request(authority: &str, key: &SigningKey) -> Outcome<Vec<u8>> {
    let fields: [(&str, &str); 0] = [];
    let view = RequestView {
        method: "GET",
        authority,
        scheme: None,
        path: TARGET,
        query: None,
        headers: &fields,
        body: b"",
    };
    let signer = Signer::Device(key);
    let signed = sign_request(&view, signer, SystemClock.now(), &SystemEntropy)?;
    let mut request = format!("GET {TARGET} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
    for (name, value) in signed.headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    request.extend_from_slice(b"\r\n");
    Ok(request)
}
