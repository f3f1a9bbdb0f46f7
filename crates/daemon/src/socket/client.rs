//! The client's side of the socket, for `procura run`, `procura join` and
//! `procura device`, and for the stub.

use crate::socket::{
    Ask, Confine, ExecAsk, Failure, Greeting, JoinAsk, JoinDeviceAsk, Op, Reply, Status, VERSION,
    WaitingDevice, genuine, packet,
};
use crate::{DaemonError, DeviceSummary, ValuesError, values};
use procura_types::wire::ValueB64;
use procura_types::{
    Delivery, DisplayName, EnvName, Namespace, ProjectName, Secret, SecretBytes, Thumbprint,
};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{SocketAddrUnix, SocketFlags, connect};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The longest wait for an answer that no person has to give.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to the daemon, good for one question.
pub struct DaemonClient {
    socket: OwnedFd,
    path: PathBuf,
    challenge: String,
    confine: Option<Confine>,
}

/// How a device joins.
#[derive(Debug, Clone, Default)]
pub struct JoinOptions {
    /// Where the server answers, if not where the code says.
    pub url: Option<String>,
    /// Certificate authorities to trust for it, PEM.
    pub ca_pem: Option<String>,
    /// The user who may use the device; only root may name another than itself.
    pub uid: Option<u32>,
}

/// How a device joins without a link code.
#[derive(Debug, Clone)]
pub struct JoinDeviceOptions {
    /// Where the server answers.
    pub url: String,
    /// Certificate authorities to trust for it, PEM.
    pub ca_pem: Option<String>,
    /// The user who may use the device; only root may name another than itself.
    pub uid: Option<u32>,
    /// What the approver is told that this host is called.
    pub host: Option<DisplayName>,
}

/// A device waits for a person's yes, for as long as this is kept.
pub struct Waiting(DaemonClient);

impl Waiting {
    /// Waits for the answer.
    ///
    /// # Errors
    /// That it was no, that nobody answered, or see [`DaemonError`].
    pub fn answered(self) -> Result<DeviceSummary, DaemonError> {
        match self.0.answer()?.0 {
            Reply::Joined(device) => Ok(device),
            _ => Err(self.0.odd()),
        }
    }
}

impl DaemonClient {
    /// Connects to the daemon's socket and waits for its greeting.
    ///
    /// # Errors
    /// [`DaemonError::NoDaemon`] when nobody answers, [`DaemonError::Refused`] when it is
    /// not the daemon who does, or what the daemon says to refuse this user.
    pub fn connect(path: &Path) -> Result<Self, DaemonError> {
        let absent = |source: io::Error| DaemonError::NoDaemon {
            socket: path.display().to_string(),
            source,
        };
        let socket = packet::new_socket(SocketFlags::empty()).map_err(absent)?;
        let address = SocketAddrUnix::new(path).map_err(|error| absent(error.into()))?;
        connect(&socket, &address).map_err(|error| match error {
            Errno::ACCESS => DaemonError::refused(
                "user_not_allowed",
                format!(
                    "this user may not connect to the daemon at {}; it must be in the group that the daemon serves",
                    path.display()
                ),
            ),
            error => absent(error.into()),
        })?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))
            .map_err(|error| absent(error.into()))?;
        let is_own_user = genuine::is_own_user(&socket, path)?;
        let mut client = Self {
            socket,
            path: path.to_owned(),
            challenge: String::new(),
            confine: None,
        };
        match client.answer()?.0 {
            Reply::Greeting(Greeting {
                version: VERSION,
                confine: None,
                ..
            }) if is_own_user => Err(genuine::unconfining(path)),
            Reply::Greeting(Greeting {
                version: VERSION,
                challenge,
                confine,
            }) => {
                client.challenge = challenge;
                client.confine = confine;
                Ok(client)
            }
            Reply::Greeting(_) => Err(DaemonError::Config(
                "procura and procurad are of different versions; restart the daemon".to_owned(),
            )),
            _ => Err(client.odd()),
        }
    }

    /// What a command is confined by, when it shares the daemon's user.
    #[must_use]
    pub const fn confine(&self) -> Option<&Confine> {
        self.confine.as_ref()
    }

    /// What the daemon holds for this user.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub fn status(self) -> Result<Status, DaemonError> {
        match self.ask(Op::Status {})? {
            Reply::Status(status) => Ok(status),
            _ => Err(self.odd()),
        }
    }

    /// Makes a device key in the daemon and joins it by a link code.
    ///
    /// # Errors
    /// What is wrong with the code, or what the server says to refuse it.
    pub fn join(
        self,
        code: &Secret<String>,
        options: JoinOptions,
    ) -> Result<DeviceSummary, DaemonError> {
        let ask = JoinAsk {
            code: ValueB64::encode(code.expose().as_bytes()),
            url: options.url,
            ca_pem: options.ca_pem,
            uid: options.uid,
        };
        match self.ask(Op::Join(ask))? {
            Reply::Joined(device) => Ok(device),
            _ => Err(self.odd()),
        }
    }

    /// Makes a device key in the daemon, which asks the server to let it in.
    ///
    /// # Errors
    /// See [`DaemonError`].
    pub fn join_device(
        self,
        options: JoinDeviceOptions,
    ) -> Result<(WaitingDevice, Waiting), DaemonError> {
        let ask = JoinDeviceAsk {
            url: options.url,
            ca_pem: options.ca_pem,
            uid: options.uid,
            host: options.host,
        };
        match self.ask(Op::JoinDevice(ask))? {
            Reply::Waiting(waiting) => {
                // A person takes their time.
                set_socket_timeout(&self.socket, Timeout::Recv, None)
                    .map_err(|error| self.gone(error.into()))?;
                Ok((waiting, Waiting(self)))
            }
            _ => Err(self.odd()),
        }
    }

    /// `procura device trust-rollback`: forget what was seen of the record, so
    /// that an older copy of the installation is accepted.
    ///
    /// # Errors
    /// When it is not clear which device is meant, or it cannot be stored.
    pub fn danger_accept_rollback(self, agent: Option<String>) -> Result<(), DaemonError> {
        match self.ask(Op::DangerAcceptRollback { agent })? {
            Reply::Done {} => Ok(()),
            _ => Err(self.odd()),
        }
    }

    /// `procura device forget`: remove a device from this host. The server is
    /// not told.
    ///
    /// # Errors
    /// When this user has no such device here, or its file cannot be removed.
    pub fn forget(self, device: Thumbprint) -> Result<(), DaemonError> {
        match self.ask(Op::Forget { device })? {
            Reply::Done {} => Ok(()),
            _ => Err(self.odd()),
        }
    }

    fn ticket(self) -> Result<SecretBytes, DaemonError> {
        match self.ask(Op::Ticket {})? {
            Reply::Ticket(reply) => reply.ticket.decode().map_err(|_| self.odd()),
            _ => Err(self.odd()),
        }
    }

    /// Asks for values; answers come by [`DaemonClient::answer`], after however
    /// long a person needs.
    pub(crate) fn exec(&self, ask: ExecAsk) -> Result<(), DaemonError> {
        set_socket_timeout(&self.socket, Timeout::Recv, None)
            .map_err(|error| self.gone(error.into()))?;
        self.say(Op::Exec(ask))
    }

    fn ask(&self, op: Op) -> Result<Reply, DaemonError> {
        self.say(op)?;
        Ok(self.answer()?.0)
    }

    fn say(&self, op: Op) -> Result<(), DaemonError> {
        let message = Ask {
            challenge: self.challenge.clone(),
            op,
        };
        let bytes =
            packet::encode(&message).map_err(|error| DaemonError::Usage(error.to_string()))?;
        packet::send(&self.socket, bytes.expose(), None).map_err(|error| self.gone(error))
    }

    /// The next answer, and what came beside it; a failure is an error.
    pub(crate) fn answer(&self) -> Result<(Reply, Option<OwnedFd>), DaemonError> {
        let packet = packet::receive(&self.socket)
            .map_err(|error| self.gone(error))?
            .ok_or_else(|| self.gone(io::ErrorKind::UnexpectedEof.into()))?;
        match packet::decode(&packet).map_err(|error| self.gone(error))? {
            Reply::Failed(Failure {
                exit,
                code,
                message,
            }) => Err(DaemonError::Reported {
                exit,
                code,
                message,
            }),
            reply => Ok((reply, packet.file)),
        }
    }

    fn gone(&self, source: io::Error) -> DaemonError {
        DaemonError::NoDaemon {
            socket: self.path.display().to_string(),
            source,
        }
    }

    /// The answer was none to what was asked.
    pub(crate) fn odd(&self) -> DaemonError {
        self.gone(io::Error::new(
            io::ErrorKind::InvalidData,
            "it gave an answer to another question",
        ))
    }
}

/// What `procura run` was told.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The stub's program, an absolute path; without it, `procurad` beside this
    /// program.
    pub procurad: Option<PathBuf>,
    /// The project.
    pub project: ProjectName,
    /// Which agent, when this user has several.
    pub agent: Option<String>,
    /// The agent's namespace, when that is to choose.
    pub namespace: Option<Namespace>,
    /// Names wanted. With those of `env_files`, all that are asked for; without
    /// either, all that the project maps.
    pub names: Vec<EnvName>,
    /// `.env` files that name what is wanted; only names are taken from them.
    pub env_files: Vec<PathBuf>,
    /// Wait until a person has answered.
    pub wait: bool,
    /// How the command takes the values: one of the ways of a run.
    pub delivery: Delivery,
    /// What a command that shares the daemon's user is kept from, beside what the daemon
    /// says: [`crate::Places::hidden`].
    pub hidden: Vec<PathBuf>,
    /// One JSON line on stdout instead of prose when it is pending or refused.
    pub json: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// Gets a ticket and becomes `procurad exec`, in place: the same process, no
/// fork. Returns only if that failed.
#[must_use]
pub fn run(options: &RunOptions) -> DaemonError {
    match prepare(options) {
        Ok((mut command, ticket)) => {
            let error = command.exec();
            drop(ticket);
            DaemonError::Config(format!(
                "cannot execute {}: {error}; procurad is installed beside procura",
                Path::new(command.get_program()).display()
            ))
        }
        Err(error) => error,
    }
}

/// The stub's command line, and the descriptor of its ticket, which must be
/// open when it starts.
fn prepare(options: &RunOptions) -> Result<(Command, OwnedFd), DaemonError> {
    if options.command.is_empty() {
        return Err(DaemonError::Usage(
            "no command was given; try `procura run --project P -- COMMAND`".to_owned(),
        ));
    }
    let program = match &options.procurad {
        Some(path) => path.clone(),
        None => std::env::current_exe()
            .map_err(|source| DaemonError::io("find this program's own path", source))?
            .with_file_name("procurad"),
    };
    if !program.is_absolute() {
        return Err(DaemonError::Config(format!(
            "the path of procurad must be absolute; it is {}",
            program.display()
        )));
    }
    if options.delivery == Delivery::Stdin && options.names.len() != 1 {
        return Err(DaemonError::Usage(ValuesError::NotOne.to_string()));
    }
    let ticket = DaemonClient::connect(&options.socket)?.ticket()?;
    let file = carry(&ticket).map_err(|source| DaemonError::io("hold the ticket", source))?;

    let mut command = Command::new(program);
    command
        .arg("exec")
        .arg("--ticket-fd")
        .arg(file.as_raw_fd().to_string())
        .arg("--socket")
        .arg(&options.socket)
        .arg("--project")
        .arg(options.project.as_str());
    if let Some(agent) = &options.agent {
        command.arg("--agent").arg(agent);
    }
    if let Some(namespace) = &options.namespace {
        command.arg("--namespace").arg(namespace.as_str());
    }
    for name in &options.names {
        command.arg("--name").arg(name.as_str());
    }
    for env_file in &options.env_files {
        command.arg("--env-file").arg(env_file);
    }
    if options.wait {
        command.arg("--wait");
    }
    if options.delivery != Delivery::Env {
        command.arg("--delivery").arg(options.delivery.as_str());
    }
    for place in &options.hidden {
        command.arg("--hide").arg(place);
    }
    if options.json {
        command.arg("--json");
    }
    command.arg("--").args(&options.command);
    for (name, _) in std::env::vars_os() {
        if values::is_loader_variable(name.as_bytes()) {
            command.env_remove(name);
        }
    }
    Ok((command, file))
}

/// A memory file that stays open over exec: arguments and the environment can
/// be read by others, a descriptor cannot.
fn carry(ticket: &SecretBytes) -> io::Result<OwnedFd> {
    let file = memfd_create("procura-ticket", MemfdFlags::empty())?;
    let written = rustix::io::write(&file, ticket.expose())?;
    if written != ticket.expose().len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    seek(&file, SeekFrom::Start(0))?;
    Ok(file)
}
