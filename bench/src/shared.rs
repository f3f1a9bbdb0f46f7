//! The verification service with a replay guard that could be shared: a Valkey or Redis
//! server on the same machine, which has a part of the same two cores.

use crate::Outcome;
use crate::gated;
use crate::installation::Installation;
use crate::report::{Figure, say};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Agents of another system.
const AGENTS: usize = 8;
/// How long the guard may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server of the guard, until it is dropped.
pub(crate) struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    pub(crate) fn start(dir: &Path) -> Outcome<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server: {error}; ./x setup installs it"))?;
        let redis = Self { process, port };
        let until = Instant::now() + PATIENCE;
        while redis.answers().is_none() {
            if Instant::now() > until {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(redis)
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn answers(&self) -> Option<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).ok()?;
        (&answer == b"+PONG").then_some(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks `POST /api/verify` of an installation of its own that has such a guard.
pub(crate) async fn verify(dir: &Path, runs: usize, time: Duration) -> Outcome<Figure> {
    let folder = tempfile::Builder::new().prefix("shared-").tempdir_in(dir)?;
    let redis = Redis::start(folder.path())?;
    say(&format!("the guard is process {}", redis.process.id()));
    let url = redis.url();
    let installation = Installation::make_with(folder, &[("PROCURA_GUARD_URL", &url)])?;
    let agents = installation.key_agents(AGENTS)?;
    gated::verify_api("verify_shared", &installation, &agents, runs, time).await
}
