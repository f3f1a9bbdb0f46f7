//! The key agent: a process that holds the unlocked operator's key for a
//! while, so that the passphrase is typed once. Signatures leave it; the key
//! does not.
//!
//! It is this same program, started by `procura login`. It takes the key from
//! a pipe, leaves the terminal, is not dumpable, keeps the key in locked memory
//! and answers on a socket that only the same user can use. One line of JSON
//! asks, one answers.

use crate::failure::Failure;
use crate::home::Home;
use clap::Args;
use procura_client::{RequestSigner, SignerError, SystemClock};
use procura_crypto::{PublicKey, SigningKey};
use procura_types::wire::PublicJwk;
use procura_types::{Clock as _, Duration, Secret, Timestamp, encoding};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The longest line either side reads: a grant of 256 names fits many times.
const LONGEST: u64 = 1024 * 1024;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// How the parent knows that the agent listens.
const READY: &str = "ready";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Public,
    #[serde(with = "encoding::serde_b64url")]
    Sign(Vec<u8>),
    Stop,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Public {
        key: PublicJwk,
        until: Timestamp,
    },
    #[serde(with = "encoding::serde_b64url")]
    Signature(Vec<u8>),
    Stopped,
    Failed(String),
}

/// The operator's key as held by the key agent.
pub(crate) struct AgentSigner {
    socket: PathBuf,
    public: PublicKey,
    until: Timestamp,
}

impl AgentSigner {
    /// The key agent of this home, when one answers.
    pub(crate) fn find(home: &Home) -> Option<Self> {
        let socket = home.key_agent_socket();
        match exchange(&socket, &Ask::Public) {
            Ok(Answer::Public { key, until }) => Some(Self {
                socket,
                public: PublicKey::from_jwk(&key).ok()?,
                until,
            }),
            _ => None,
        }
    }

    /// When it forgets the key.
    pub(crate) const fn until(&self) -> Timestamp {
        self.until
    }

    /// Makes it forget the key now.
    pub(crate) fn stop(&self) -> Result<(), Failure> {
        match exchange(&self.socket, &Ask::Stop) {
            Ok(Answer::Stopped) => Ok(()),
            Ok(_) => Err(Failure::unreachable("the key agent gave another answer")),
            Err(error) => Err(Failure::unreachable("the key agent does not answer").because(error)),
        }
    }
}

impl RequestSigner for AgentSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match exchange(&self.socket, &Ask::Sign(message.to_vec())) {
            Ok(Answer::Signature(signature)) => Ok(signature),
            Ok(Answer::Failed(why)) => Err(SignerError(why)),
            Ok(_) => Err(SignerError("the key agent gave another answer".to_owned())),
            Err(error) => Err(SignerError(format!(
                "the key agent does not answer: {error}"
            ))),
        }
    }
}

fn exchange(socket: &Path, ask: &Ask) -> std::io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Whoever could put a socket there could also pose as the agent.
    if !is_same_user(&stream) {
        return Err(std::io::Error::other("its socket belongs to another user"));
    }
    write_line(&stream, ask)?;
    read_line(&stream)
}

fn write_line(mut stream: &UnixStream, message: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn read_line<T: serde::de::DeserializeOwned>(stream: &UnixStream) -> std::io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn is_same_user(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Starts a key agent that holds `key` for `life`, in place of one that runs.
pub(crate) fn start(home: &Home, key: &SigningKey, life: Duration) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::storage("cannot start the key agent", &error);
    if let Some(old) = AgentSigner::find(home) {
        old.stop()?;
    }
    // The file with the passphrase, for one, would stay open for as long as the
    // agent lives.
    procura_daemon::close_all_on_exec().map_err(failed)?;
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("__key-agent")
        .arg(home.key_agent_socket())
        .arg(life.as_secs().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(key.to_secret_bytes().expose())
            .map_err(failed)?;
    }
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout.take(4096))
            .read_line(&mut said)
            .map_err(failed)?;
    }
    if said.trim_end() == READY {
        return Ok(());
    }
    // It ends by itself after it has said why.
    let _ = child.wait();
    Err(Failure::config("the key agent did not start").because(said.trim_end()))
}

/// The key agent's own command line; `procura login` types it.
#[derive(Debug, Args)]
pub(crate) struct KeyAgent {
    socket: PathBuf,
    seconds: u64,
}

impl KeyAgent {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.prepare() {
            Ok((key, listener)) => {
                let mut out = std::io::stdout();
                let told = writeln!(out, "{READY}").and_then(|()| out.flush());
                let stopped = told.is_ok() && matches!(self.serve(&key, &listener), Next::Stop);
                // Who told us to stop may have put another one in our place already.
                if !stopped {
                    let _ = std::fs::remove_file(&self.socket);
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(why) => {
                // The parent shows it.
                let _ = writeln!(std::io::stdout(), "{why}");
                Ok(ExitCode::from(procura_types::exit::CONFIG))
            }
        }
    }

    fn prepare(&self) -> Result<(SigningKey, UnixListener), String> {
        // Before the key is here.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(|error| format!("it stays dumpable: {error}"))?;
        rustix::process::setsid()
            .map_err(|error| format!("it cannot leave the terminal: {error}"))?;
        std::env::set_current_dir("/").map_err(|error| error.to_string())?;

        let mut bytes = Secret::new(Vec::with_capacity(64));
        std::io::stdin()
            .take(64)
            .read_to_end(bytes.expose_mut())
            .map_err(|error| error.to_string())?;
        let key =
            SigningKey::from_secret_bytes(bytes.expose()).map_err(|error| error.to_string())?;

        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", self.socket.display()));
            }
            _ => {}
        }
        // Nobody else can reach into the directory, which is 0700; the mode
        // only says so once more.
        let listener = UnixListener::bind(&self.socket)
            .map_err(|error| format!("{}: {error}", self.socket.display()))?;
        std::fs::set_permissions(&self.socket, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| error.to_string())?;
        Ok((key, listener))
    }

    /// Answers until its time is over, or until it is told to stop; then the socket is
    /// gone already.
    fn serve(&self, key: &SigningKey, listener: &UnixListener) -> Next {
        let life = Duration::from_secs(self.seconds);
        // Both clocks: the monotonic one stops while the machine sleeps, the
        // other can be set back.
        let (begun, until) = (Instant::now(), SystemClock.now().plus(life));
        loop {
            let left = life
                .saturating_sub(begun.elapsed())
                .min(until.since(SystemClock.now()));
            if left.is_zero() {
                return Next::Go;
            }
            // At least once a minute, to look at the other clock.
            let wait = Timespec {
                tv_sec: i64::try_from(left.as_secs().min(60)).unwrap_or(60),
                tv_nsec: 1_000_000,
            };
            let mut waiting = [PollFd::new(listener, PollFlags::IN)];
            match poll(&mut waiting, Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => return Next::Go,
            }
            let Ok((stream, _)) = listener.accept() else {
                continue;
            };
            match self.answer(key, until, &stream) {
                Ok(Next::Stop) => return Next::Stop,
                // Who hung up is not the last one.
                Ok(Next::Go) | Err(_) => {}
            }
        }
    }

    fn answer(
        &self,
        key: &SigningKey,
        until: Timestamp,
        stream: &UnixStream,
    ) -> std::io::Result<Next> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if !is_same_user(stream) {
            return Ok(Next::Go);
        }
        let (answer, next) = match read_line(stream)? {
            Ask::Public => {
                let key = key.public().to_jwk();
                (Answer::Public { key, until }, Next::Go)
            }
            Ask::Sign(message) => match key.sign(&message) {
                Ok(signature) => (Answer::Signature(signature), Next::Go),
                Err(error) => (Answer::Failed(error.to_string()), Next::Go),
            },
            Ask::Stop => (Answer::Stopped, Next::Stop),
        };
        if matches!(next, Next::Stop) {
            // Before it is said: whoever hears it may make a socket there.
            let _ = std::fs::remove_file(&self.socket);
            // Told or not, this one has ended.
            let _ = write_line(stream, &answer);
        } else {
            write_line(stream, &answer)?;
        }
        Ok(next)
    }
}

/// What an agent does after an answer.
enum Next {
    Go,
    Stop,
}
