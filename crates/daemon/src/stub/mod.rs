//! `procurad exec`: the process that shows a ticket, receives values, and
//! becomes the command.
//!
//! It is the same process as the `procura run` before it and the command after
//! it: terminal, process group, signals, directory, limits and exit code are
//! the command's own, because nothing stands between.

mod environment;
mod git;
mod report;
mod terminal;

use crate::inherited::take_ticket;
use crate::protect::{no_new_privileges, protect_stub};
use crate::socket::client::DaemonClient;
use crate::socket::{Confine, ExecAsk, Reply};
use crate::{
    Confinement, DaemonError, EnvValues, ValuesError, executable, landlock_available,
    receive_values,
};
use procura_crypto::sha256;
use procura_types::encoding::hex;
use procura_types::wire::ValueB64;
use procura_types::{
    Delivery, Dotenv, EnvName, FieldTuple, Namespace, ProjectName, SecretBytes, exit,
};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Larger `.env` files are not read.
const ENV_FILE_LIMIT: u64 = 1024 * 1024;

/// What `procura run` passed on.
#[derive(Debug, Clone)]
pub struct StubOptions {
    /// The descriptor of the ticket.
    pub ticket_fd: i32,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The project.
    pub project: ProjectName,
    /// Which agent, when this user has several.
    pub agent: Option<String>,
    /// The agent's namespace, when that is to choose.
    pub namespace: Option<Namespace>,
    /// Names wanted.
    pub names: Vec<EnvName>,
    /// `.env` files that name what is wanted too.
    pub env_files: Vec<PathBuf>,
    /// Wait until a person has answered.
    pub wait: bool,
    /// How the command takes the values.
    pub delivery: Delivery,
    /// What the command is kept from, beside what the daemon says, when it shares the
    /// daemon's user.
    pub hidden: Vec<PathBuf>,
    /// One JSON line on stdout instead of prose when it is pending or refused.
    pub json: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// A process that others of its user cannot read: the first thing the stub
/// becomes.
pub struct Stub(());

impl Stub {
    /// Makes this process unreadable to others. Call it before anything else.
    ///
    /// # Errors
    /// [`DaemonError::Config`]; the stub must then end.
    pub fn protect() -> Result<Self, DaemonError> {
        protect_stub()?;
        Ok(Self(()))
    }

    /// Gets the values and becomes the command. Returns only when it did not,
    /// with the exit code; then nothing was started and no value is left.
    ///
    /// What people are told goes to `err`; with `json`, one line goes to `out`.
    #[must_use]
    pub fn exec(self, options: &StubOptions, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        // Before anything else is opened.
        let ticket = take_ticket(options.ticket_fd);
        let mut say = report::Report {
            json: options.json,
            out,
            err,
        };
        let ended = match ticket {
            Ok(ticket) => self.attempt(&ticket, options, &mut say),
            Err(error) => Err(error.into()),
        };
        match ended {
            Ok(never) => match never {},
            Err(Ended::Pending) => exit::PENDING,
            Err(Ended::Failed(error)) => {
                say.failed(&error);
                error.exit()
            }
            Err(Ended::NotStarted { exit, why }) => {
                say.not_started(options.command.first(), exit, &why);
                exit
            }
        }
    }
}

/// How the stub ended without becoming the command.
enum Ended {
    /// A request waits; it has been told.
    Pending,
    /// No values were had.
    Failed(DaemonError),
    /// Values were had, and the command could not be executed.
    NotStarted { exit: u8, why: std::io::Error },
}

impl From<DaemonError> for Ended {
    fn from(error: DaemonError) -> Self {
        Self::Failed(error)
    }
}

impl Stub {
    fn attempt(
        &self,
        ticket: &SecretBytes,
        options: &StubOptions,
        say: &mut report::Report<'_>,
    ) -> Result<Infallible, Ended> {
        let Some((program, arguments)) = options.command.split_first() else {
            return Err(DaemonError::Usage("no command was given".to_owned()).into());
        };
        let directory = std::env::current_dir().ok();
        let ask = ExecAsk {
            ticket: ValueB64::encode(ticket.expose()),
            agent: options.agent.clone(),
            namespace: options.namespace.clone(),
            project: options.project.clone(),
            names: names(&options.names, &options.env_files)?,
            argv_sha256: argv_hash(&options.command),
            cwd: directory
                .as_deref()
                .and_then(Path::to_str)
                .map(str::to_owned),
            git: directory.as_deref().and_then(git::commit),
            exe_sha256: program_hash(program),
            wait: options.wait,
            delivery: options.delivery,
        };
        let daemon = DaemonClient::connect(&options.socket)?;
        let confine = daemon.confine().map(can_confine).transpose()?.flatten();
        no_new_privileges()?;
        if confine.is_some() {
            // Before anything is asked for: where it cannot be, nothing is delivered.
            terminal::keep_from_typing()?;
        }
        daemon.exec(ask)?;
        let values = receive(&daemon, options.delivery, say)?;
        let mut command = environment::command(program, arguments, std::env::vars_os());
        // The files have to be open when the command begins.
        let _files = environment::hand_over(&mut command, &values, options.delivery)
            .map_err(undeliverable)?;
        drop(values);
        drop(daemon);
        if let Some(mut hidden) = confine {
            // A false daemon would name none of the places where it could stand.
            hidden.extend(options.hidden.iter().cloned());
            Confinement::without(&hidden)?.enforce()?;
        }
        let why = environment::become_command(&mut command);
        let exit = match why.kind() {
            ErrorKind::NotFound => exit::NOT_FOUND,
            _ => exit::CANNOT_EXECUTE,
        };
        Err(Ended::NotStarted { exit, why })
    }
}

/// What is to be hidden from a command that shares the daemon's user, before
/// anything is asked for it: nothing where the kernel hides nothing and the daemon
/// was told to go on.
fn can_confine(confine: &Confine) -> Result<Option<Vec<PathBuf>>, DaemonError> {
    match landlock_available() {
        Ok(()) => Ok(Some(confine.hidden.clone())),
        Err(_) if confine.danger_no_landlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for the answer that counts.
fn receive(
    daemon: &DaemonClient,
    delivery: Delivery,
    say: &mut report::Report<'_>,
) -> Result<EnvValues, Ended> {
    loop {
        match daemon.answer()? {
            (Reply::Values { .. }, Some(file)) => {
                return receive_values(file, delivery).map_err(|error| undeliverable(error).into());
            }
            (Reply::Pending(pending), None) => {
                say.pending(&pending);
                if !pending.waiting {
                    return Err(Ended::Pending);
                }
            }
            (Reply::Sealed {}, None) => say.sealed(),
            _ => return Err(daemon.odd().into()),
        }
    }
}

fn undeliverable(error: ValuesError) -> DaemonError {
    DaemonError::refused("undeliverable", error.to_string())
}

/// The names typed and those in all the files, each once. The values in the
/// files stay in this process and are wiped.
fn names(typed: &[EnvName], files: &[PathBuf]) -> Result<Vec<String>, DaemonError> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    typed.iter().map(EnvName::as_str).for_each(&mut add);
    for path in files {
        let failed = |source| DaemonError::io(format!("read {}", path.display()), source);
        let mut text = SecretBytes::new(Vec::new());
        let unusable = |why: &str| DaemonError::Usage(format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => unusable("there is no such file"),
            _ => failed(error),
        })?;
        let found = file.metadata().map_err(failed)?;
        if found.is_dir() {
            return Err(unusable("is a directory"));
        }
        let size = found.len();
        text.expose_mut()
            .reserve_exact(usize::try_from(size.min(ENV_FILE_LIMIT)).unwrap_or_default() + 1);
        file.take(ENV_FILE_LIMIT + 1)
            .read_to_end(text.expose_mut())
            .map_err(failed)?;
        if text.expose().len() > usize::try_from(ENV_FILE_LIMIT).unwrap_or(usize::MAX) {
            return Err(unusable("is larger than 1 MiB"));
        }
        let found = Dotenv::parse(text.expose()).map_err(|error| unusable(&error.to_string()))?;
        found.names().into_iter().for_each(&mut add);
    }
    if names.is_empty() && !files.is_empty() {
        // An empty list would ask for everything.
        return Err(DaemonError::Usage(
            "the .env file names no variable; leave --env-file out to ask for all that the project maps".to_owned(),
        ));
    }
    Ok(names)
}

/// The digest of the program that this process is about to become.
fn program_hash(program: &OsStr) -> Option<String> {
    let path = std::env::vars_os().find_map(|(name, value)| (name == "PATH").then_some(value));
    executable::sha256(&executable::find(program, &path.unwrap_or_default())?)
}

fn argv_hash(command: &[OsString]) -> String {
    let tuple = command
        .iter()
        .map(OsString::as_os_str)
        .map(OsStr::as_bytes)
        .fold(FieldTuple::new("procura.argv.v1"), FieldTuple::bytes);
    hex(&sha256(tuple.as_bytes()))
}
