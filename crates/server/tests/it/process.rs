//! The server as the program runs it: real listeners, and a signal to stop.

use crate::world::{PASSPHRASE, init_body};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_server::{Config, StartError, init_home, run};
use procura_types::{Clock, Timestamp};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
/// Longer than any limit of the server.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A signal reaches all servers of this process, so there is one at a time.
static ONE: Mutex<()> = Mutex::new(());

pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A directory that nobody else can enter, as a home has to be.
pub(crate) fn private_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    directory
}

/// Writes a file that nobody else can read, as one with a secret has to be.
pub(crate) fn private_file(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A home with its owner's key.
pub(crate) struct Home {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) root: SigningKey,
}

impl Home {
    /// Initialised and sealed.
    pub(crate) fn new() -> Self {
        let home = Self {
            directory: private_directory(),
            root: SigningKey::generate_p256(&SystemEntropy).unwrap(),
        };
        let request = serde_json::from_value(init_body(&home.root, PASSPHRASE)).unwrap();
        let made = init_home(
            home.config(),
            Arc::new(Still),
            Arc::new(SystemEntropy),
            request,
        );
        runtime().block_on(made).unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Free ports on loopback.
    pub(crate) fn config(&self) -> Config {
        config(self.path())
    }

    /// As [`Self::config`], unsealed at the start.
    pub(crate) fn unsealed(&self) -> Config {
        let passphrase = self.path().join("passphrase");
        private_file(&passphrase, &format!("{PASSPHRASE}\nsecond line"));
        Config {
            passphrase_file: Some(passphrase),
            ..self.config()
        }
    }
}

pub(crate) fn config(home: &Path) -> Config {
    let mut config = Config::defaults(home.to_owned());
    config.listen.set_port(0);
    config.health_listen.set_port(0);
    config
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

pub(crate) struct Server {
    pub(crate) ready: Value,
    thread: Option<JoinHandle<Result<(), StartError>>>,
    /// Whether it was asked to stop.
    asked: AtomicBool,
    _one: MutexGuard<'static, ()>,
}

/// Runs a server until it is stopped, or fails as it does.
pub(crate) fn start(config: Config) -> Result<Server, StartError> {
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (ready, when_ready) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        runtime().block_on(async {
            // From here on the signal does not end the process of the tests.
            let _stop =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            let same = config.clone();
            run(
                config,
                Arc::new(Still),
                Arc::new(SystemEntropy),
                move || Ok(same.clone()),
                |line| ready.send(line.to_owned()).unwrap(),
            )
            .await
        })
    });
    match when_ready.recv() {
        Ok(line) => Ok(Server {
            ready: serde_json::from_str(&line).unwrap(),
            thread: Some(thread),
            asked: AtomicBool::new(false),
            _one: one,
        }),
        Err(_) => Err(thread.join().unwrap().unwrap_err()),
    }
}

/// How a server that must not start fails.
pub(crate) fn refused(config: Config) -> StartError {
    match start(config) {
        Err(error) => error,
        Ok(_) => panic!("the server started"),
    }
}

impl Server {
    pub(crate) fn api(&self) -> &str {
        self.ready["api"]
            .as_str()
            .unwrap()
            .split_once("://")
            .unwrap()
            .1
    }

    pub(crate) fn health(&self) -> &str {
        self.ready["health"]
            .as_str()
            .unwrap()
            .split_once("://")
            .unwrap()
            .1
    }

    /// Asks it to stop, and waits until it takes no more connections. It is asked
    /// once: a second signal might only be seen by the server after this one.
    pub(crate) fn terminate(&self) {
        if self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
            .unwrap();
        for _ in 0..4_000 {
            let closed = |address| TcpStream::connect(address).is_err();
            if closed(self.health()) && closed(self.api()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server still takes connections");
    }

    pub(crate) fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() && !std::thread::panicking() {
            self.terminate();
            self.wait();
        }
    }
}

/// An answer as its bytes came.
pub(crate) struct Raw(pub(crate) String);

impl Raw {
    pub(crate) fn status(&self) -> u16 {
        self.0
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no answer: {:?}", self.0))
            .parse()
            .unwrap()
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap().1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap()
    }

    /// Code and field of a problem.
    pub(crate) fn problem(&self) -> (String, Option<String>) {
        let problem = self.json();
        assert_eq!(problem["status"], self.status());
        let text = |key: &str| problem[key].as_str().map(str::to_owned);
        (text("code").unwrap(), text("field"))
    }
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the other side closes; a reset after the answer is as good.
pub(crate) fn read(stream: &mut impl std::io::Read) -> Raw {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count) = stream.read(&mut part) {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..count]);
    }
    Raw(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends bytes and reads the answer.
pub(crate) fn raw(address: &str, bytes: &[u8]) -> Raw {
    let mut stream = connect(address);
    // What is refused early may be closed while it is still being sent.
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

pub(crate) fn get(address: &str, target: &str) -> Raw {
    raw(
        address,
        format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

/// A call on the admin socket.
pub(crate) fn admin(home: &Path, target: &str, body: &Value) -> Raw {
    let mut stream = UnixStream::connect(home.join("admin.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    Raw(text)
}
