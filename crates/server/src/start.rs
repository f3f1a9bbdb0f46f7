//! Starting and stopping the server.

use crate::admin;
use crate::api;
use crate::app::{App, Stage};
use crate::auto_unseal;
use crate::config::{Config, ConfigError};
use crate::database;
use crate::health;
use crate::listen::{HEALTH_CONNECTIONS, Listening, Service};
use crate::oidc;
use crate::open_files;
use crate::opening::{guard, is_initialised};
use crate::problem::Failure;
use crate::reloading::follow;
use crate::restoring::find_marker;
use crate::shared_guard;
use procura_edge::places::{Each, Places};
use procura_edge::private_file::{check_private_file, read_private_file};
use procura_edge::tls::{Certificate, TlsError, look_after};
use procura_record::{Spool, SpoolError};
use procura_store::guard::{Of, Start};
use procura_store::{OpenError, Store};
use procura_types::wire::{InitAnswer, InitRequest};
use procura_types::{Clock, Duration, Entropy, Secret, TraceId, exit};
use procura_vault::{Brought, Installation, SealError};
use serde::Serialize;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Why the server does not start. Each has its own exit code.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The home.
    #[error("{path}: {problem}")]
    Home {
        /// Which directory or file.
        path: PathBuf,
        /// What is wrong, and what to type.
        problem: String,
    },
    /// Another process holds the database.
    #[error("another process uses this home; stop it, or use another with --home")]
    InUse,
    /// The database or `installation.json` is from a newer program.
    #[error("{0}")]
    NewerFormat(String),
    /// The database belongs to another installation.
    #[error("{0}; put the database back that belongs to this installation.json")]
    OtherInstallation(String),
    /// The database or `installation.json` is damaged.
    #[error("{0}; restore from a backup")]
    Damaged(String),
    /// The store is older than a checkpoint that was signed, or not what was signed.
    #[error("{0}; an older or another database was put in place")]
    RolledBack(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Certificate or key.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// Keys cannot be locked in memory.
    #[error(
        "{0}; raise the limit (`ulimit -l`, LimitMEMLOCK=), or set danger_unlocked_memory = true"
    )]
    Memory(procura_crypto::LockError),
    /// The passphrase file.
    #[error("passphrase_file: {0}")]
    Passphrase(String),
    /// The replay guard or the database that is shared, or a file that they need.
    #[error("{0}")]
    Guard(String),
    /// The database does not answer.
    #[error("{0}; start it, then this server again")]
    Database(String),
}

impl StartError {
    /// The exit code: 78 for the configuration, 69 for a database that does not answer,
    /// else one of 80–89.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Guard(_) => exit::CONFIG,
            Self::Database(_) => exit::UNREACHABLE,
            Self::Home { .. } => exit::START_HOME,
            Self::InUse => exit::START_IN_USE,
            Self::NewerFormat(_) => exit::START_NEWER_FORMAT,
            Self::OtherInstallation(_) => exit::START_OTHER_INSTALLATION,
            Self::Damaged(_) => exit::START_DAMAGED,
            Self::RolledBack(_) => exit::START_ROLLED_BACK,
            Self::Listen { .. } => exit::START_LISTEN,
            Self::Tls(_) => exit::START_TLS,
            Self::Memory(_) => exit::START_MEMORY,
            Self::Passphrase(_) => exit::START_PASSPHRASE,
        }
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::InUse(_) => Self::InUse,
            OpenError::NewerFormat { .. } => Self::NewerFormat(text),
            OpenError::OtherInstallation { .. } => Self::OtherInstallation(text),
            OpenError::Missing(path) | OpenError::AlreadyExists(path) => Self::Home {
                path,
                problem: text,
            },
            OpenError::NotAStore(_) | OpenError::Corrupt(_) => Self::Damaged(text),
            OpenError::Io(cause) => Self::Damaged(format!("{text}: {cause}")),
        }
    }
}

impl From<SealError> for StartError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NewerFormat { .. } => Self::NewerFormat(error.to_string()),
            SealError::OlderInstallation { .. } => Self::RolledBack(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Makes the home if it is not there, and refuses one that others can enter.
fn prepare_home(home: &Path) -> Result<(), StartError> {
    let problem = |problem: String| StartError::Home {
        path: home.to_owned(),
        problem,
    };
    if !home.exists() {
        // Private from its first moment: made open and then closed, it could be
        // entered in between.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(home)
            .map_err(|error| problem(error.to_string()))?;
    }
    let found = fs::metadata(home).map_err(|error| problem(error.to_string()))?;
    if !found.is_dir() {
        return Err(problem("is not a directory".to_owned()));
    }
    if found.uid() != rustix::process::getuid().as_raw() {
        return Err(problem(
            "belongs to another user; the home must be the server's own".to_owned(),
        ));
    }
    if found.mode() & 0o077 != 0 {
        return Err(problem(format!(
            "others can enter it; type: chmod 700 {}",
            home.display()
        )));
    }
    Ok(())
}

/// Refuses files of the home that others could read or replace, as a copy brought back by
/// hand can be: nobody may enter the home, but what is in it was somewhere else before.
fn own_files(home: &Path) -> Result<(), StartError> {
    let own = rustix::process::getuid().as_raw();
    let database = admin::DATABASE;
    for name in [
        "installation.json".to_owned(),
        database.to_owned(),
        format!("{database}-wal"),
        format!("{database}-shm"),
        "spool.jsonl".to_owned(),
    ] {
        let path = home.join(name);
        let is_there = path.symlink_metadata().is_ok();
        if is_there && let Err(error) = check_private_file(&path, own) {
            // The path stands before it already.
            let text = error.to_string();
            let shown = path.display().to_string();
            let problem = text.strip_prefix(&shown).unwrap_or(&text);
            let problem = problem.trim_start_matches([':', ' ']).to_owned();
            return Err(StartError::Home { path, problem });
        }
    }
    Ok(())
}

/// Refuses a home that was restored: before it is activated it serves nobody, asks nobody
/// and changes nothing.
fn activated(home: &Path) -> Result<(), StartError> {
    let refused = |problem: String| StartError::Home {
        path: home.to_owned(),
        problem,
    };
    match find_marker(home) {
        Ok(None) => Ok(()),
        Ok(Some(marker)) => Err(refused(format!(
            "was restored from a backup of {} and is not activated; type: procura restore --activate --to {}",
            marker.taken,
            home.display()
        ))),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Holds the home for as long as the file is open: before there is a database, its
/// lock cannot keep a second server out.
pub(crate) fn hold(home: &Path) -> Result<File, StartError> {
    let path = home.join("server.lock");
    let failed = |cause: &dyn std::fmt::Display| StartError::Home {
        path: path.clone(),
        problem: cause.to_string(),
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed(&error))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse),
        Err(error) => Err(failed(&error)),
    }
}

/// Brings an application up to where the home stands: without an installation,
/// or sealed.
fn application(
    config: Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<App, StartError> {
    config.check()?;
    procura_crypto::lock_policy(config.danger_unlocked_memory).map_err(StartError::Memory)?;
    // Core files and debuggers of the same user would see keys.
    let dumpable =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if let Err(error) = dumpable
        && !config.danger_unlocked_memory
    {
        return Err(StartError::Home {
            path: config.home.clone(),
            problem: format!("the process cannot be made undumpable: {error}"),
        });
    }
    prepare_home(&config.home)?;
    own_files(&config.home)?;
    activated(&config.home)?;
    let held = hold(&config.home)?;
    let spool = Spool::open(&config.home.join("spool.jsonl")).map_err(|error: SpoolError| {
        StartError::Home {
            path: config.home.join("spool.jsonl"),
            problem: error.to_string(),
        }
    })?;
    let app = App::new(config, clock, entropy, spool, held);
    app.key_server
        .make_folders()
        .map_err(|error| StartError::Home {
            path: app.config.home.clone(),
            problem: format!("the folders of the verification service: {error}"),
        })?;
    if let Some(stage) = database::found(&app)? {
        app.set_stage(stage);
    } else if is_initialised(&app.config.home) {
        let installation = Installation::read(&app.config.home)?;
        let store = Store::open(
            &app.config.home.join(admin::DATABASE),
            &installation.id,
            &admin::store_options(&app),
            Arc::clone(&app.clock),
            Arc::clone(&app.entropy),
        )?;
        app.set_stage(Stage::Sealed(store, Box::new(installation)));
    }
    Ok(app)
}

/// Initialises a home without a server: what `procura init` does when none runs.
pub async fn init_home(
    config: Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    request: InitRequest,
) -> Result<InitAnswer, InitError> {
    let app = application(config, clock, entropy)?;
    let trace = TraceId::generate(app.clock.now(), app.entropy.as_ref())
        .map_err(Failure::internal)
        .map_err(InitError::Refused)?;
    let answer = admin::init(&app, request, trace)
        .await
        .map_err(InitError::Refused)?;
    admin::seal(&app).await.map_err(InitError::Refused)?;
    Ok(answer)
}

/// Why a home could not be initialised.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// As for a server.
    #[error(transparent)]
    Start(#[from] StartError),
    /// As the server would answer.
    #[error("{}", .0.detail)]
    Refused(Failure),
}

#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    api: &'a str,
    health: &'a str,
    sealed: bool,
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen {
        address: address.to_string(),
        cause,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn bind_admin(home: &Path) -> Result<UnixListener, StartError> {
    let path = home.join("admin.sock");
    let failed = |cause| StartError::Listen {
        address: path.display().to_string(),
        cause,
    };
    // The database's lock says that no other server of this home lives.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn read_passphrase(path: &Path) -> Result<Secret<String>, StartError> {
    let bytes = read_private_file(path, rustix::process::getuid().as_raw())
        .map_err(|error| StartError::Passphrase(error.to_string()))?;
    let text = std::str::from_utf8(bytes.expose())
        .map_err(|_| StartError::Passphrase(format!("{} is not UTF-8", path.display())))?;
    Ok(Secret::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// Runs the server until SIGTERM or SIGINT. `ready` gets the one line of JSON
/// that says where it listens. At SIGHUP `auth_mode` is taken over of what `reread`
/// gives; it stays as it was when that is refused.
pub async fn run(
    mut config: Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    reread: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ready: impl FnOnce(&str),
) -> Result<(), StartError> {
    let wanted = config.max_connections;
    config.max_connections = open_files::fitting(wanted, open_files::raise())?;
    if config.max_connections < wanted {
        tracing::warn!(
            wanted,
            max_connections = config.max_connections,
            "the limit of open files (`ulimit -n`, LimitNOFILE=) leaves room for fewer connections"
        );
    }
    let app = Arc::new(application(config, clock, entropy)?);
    shared_guard::check(&app.config).await?;
    oidc::check(&app.config)?;
    if let (Stage::Sealed(..), None) = (app.stage().as_ref(), &app.config.guard_url) {
        // The journals of used proofs take a while after much traffic, and no key:
        // they are read beside the derivation of the passphrase's key. What fails
        // here fails again when the vault is opened, and is told there.
        for of in [Of::Native, Of::Foreign] {
            let ahead = Arc::clone(&app);
            tokio::task::spawn_blocking(move || guard(&ahead, of, Start::Again).map(drop));
        }
    }
    let certificate = match (&app.config.tls_cert, &app.config.tls_key) {
        (Some(cert), Some(key)) => Some(Arc::new(Certificate::read(cert, key)?)),
        _ => None,
    };
    if let Some(certificate) = &certificate {
        app.set_certificate(Arc::clone(certificate));
    }
    let (api_listener, api_address) = bind(app.config.listen).await?;
    let (health_listener, health_address) = bind(app.config.health_listen).await?;
    let admin_listener = bind_admin(&app.config.home)?;
    let scheme = if certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let (api_url, health_url) = (
        format!("{scheme}://{api_address}"),
        format!("http://{health_address}"),
    );
    app.set_api_url(api_url.clone());
    if let (Some(path), Stage::Sealed(..)) = (&app.config.passphrase_file, app.stage().as_ref())
        && !app.auto_unseal.is_held()
    {
        let passphrase = read_passphrase(path)?;
        admin::unseal(&app, Brought::Passphrase(passphrase))
            .await
            .map_err(|failure| StartError::Passphrase(failure.detail))?;
    }

    let (stop, stopping) = watch::channel(false);
    let listening = Listening {
        app: Arc::clone(&app),
        tracker: TaskTracker::new(),
        stopping,
    };
    let tracker = listening.tracker.clone();
    let most = app.config.max_connections;
    let each = match app.config.max_connections_per_address {
        Some(most) => Each {
            most,
            of_this_machine: true,
        },
        None => Each::quarter_of(most),
    };
    let api = Service {
        router: api::router(Arc::clone(&app)),
        certificate: certificate.clone(),
        connections: Places::new(most, each),
        streams: Some(Places::new(most, each)),
    };
    let health = Service {
        router: health::router(Arc::clone(&app)),
        certificate: None,
        connections: Places::new(HEALTH_CONNECTIONS, Each::quarter_of(HEALTH_CONNECTIONS)),
        streams: None,
    };
    let hangup = || signal(SignalKind::hangup());
    let seal_signal = signal(SignalKind::user_defined1());
    let stopping = || listening.stopping.clone();
    let running = [
        tokio::spawn(auto_unseal::run(Arc::clone(&app), stopping())),
        tokio::spawn(seal_at(Arc::clone(&app), seal_signal, stopping())),
        tokio::spawn(look_after(certificate, hangup(), stopping())),
        tokio::spawn(follow(Arc::clone(&app), hangup(), reread, stopping())),
        tokio::spawn(seal_when_displaced(Arc::clone(&app), stopping())),
        tokio::spawn(listening.clone().tcp(api_listener, api)),
        tokio::spawn(listening.clone().tcp(health_listener, health)),
        tokio::spawn(listening.unix(admin_listener, admin::router(Arc::clone(&app)))),
    ];
    let sealed = !matches!(app.stage().as_ref(), Stage::Open(_));
    let line = serde_json::to_string(&Ready {
        event: "ready",
        api: &api_url,
        health: &health_url,
        sealed,
    });
    // Whoever reads the line may send a signal at once.
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    ready(&line.unwrap_or_default());

    wait_for(signals).await;
    tracing::info!("stopping");
    app.stopping.send_replace(true);
    if let Ok(open) = app.open() {
        open.notices.close();
    }
    stop.send_replace(true);
    for task in running {
        // A listener that panicked has stopped as well.
        let _ = task.await;
    }
    tracker.close();
    let grace = Duration::from_secs(app.config.stop_seconds);
    if tokio::time::timeout(grace, tracker.wait()).await.is_err() {
        tracing::warn!(
            seconds = app.config.stop_seconds,
            "requests still run and are cut off"
        );
    }
    if let Err(failure) = admin::seal(&app).await {
        tracing::error!(cause = ?failure.cause, "the vault could not be sealed in order");
    }
    app.key_server.stop().await;
    app.agents.stop().await;
    app.events.stop().await;
    app.tracer.stop().await;
    // The socket goes with the server; a stale one would only be replaced.
    let _ = fs::remove_file(app.config.home.join("admin.sock"));
    Ok(())
}

/// Seals the vault when another server has changed what opens it and did not know of
/// this one, or when a steward removed this one: what is in memory here counts no more.
async fn seal_when_displaced(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = app.displaced.notified() => {
                tracing::warn!("this server is sealed, as what it holds counts no more: type `procura unseal`");
                if let Err(failure) = admin::seal(&app).await {
                    tracing::error!(cause = ?failure.cause, "the vault could not be sealed in order");
                }
            }
            _ = stopping.changed() => return,
        }
    }
}

/// Seals the vault at each SIGUSR1: for whoever may send this process signals and has no
/// operator's key at hand.
async fn seal_at(app: Arc<App>, asked: io::Result<Signal>, mut stopping: watch::Receiver<bool>) {
    let Ok(mut asked) = asked else {
        return;
    };
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            asked = asked.recv() => if asked.is_none() {
                return;
            }
        }
        tracing::warn!("SIGUSR1: the vault is sealed on purpose");
        if let Err(failure) = admin::seal_at_signal(&app).await {
            tracing::error!(cause = ?failure.cause, "the vault could not be sealed in order");
        }
    }
}

async fn wait_for(signals: (io::Result<Signal>, io::Result<Signal>)) {
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        // Without handlers the default action of the signals stops the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
