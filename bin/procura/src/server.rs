//! `server`: the server itself, in this process.

use crate::cli::Global;
use crate::context::Context;
use crate::failure::Failure;
use crate::gate::environment;
use crate::home::Home;
use crate::logging::Logging;
use crate::output;
use crate::server_list;
use clap::Args;
use procura_client::SystemClock;
use procura_crypto::SystemEntropy;
use procura_server::{Config, ConfigError, InitError};
use procura_types::wire::{InitAnswer, InitRequest};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Run the server on this home, or look after the servers of an installation
///
/// Prints one line of JSON when it listens: {"event":"ready","api":URL,"health":URL,"sealed":BOOL}.
/// Its log goes to stderr. It starts sealed; procura unseal opens it. AUTH_MODE in the
/// environment (off, observe or enforce) is over auth_mode of procura.toml, and that over
/// the dial of agent_service. At SIGHUP auth_mode is read again; SIGUSR1
/// seals the vault, as procura seal does.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  procura server\n  procura server --home /var/lib/procura --listen 127.0.0.1:0\n  procura server list"
)]
pub(crate) struct Server {
    #[command(subcommand)]
    command: Option<server_list::Command>,
    #[command(flatten)]
    flags: ServerFlags,
    #[command(flatten)]
    logging: Logging,
}

/// Flags that win over procura.toml and the environment.
#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// The configuration [default: procura.toml of the home]
    #[arg(long, env = "PROCURA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of health and metrics; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    health_listen: Option<SocketAddr>,
}

impl ServerFlags {
    fn load(&self, home: &Home) -> Result<Config, Failure> {
        self.read(home).map_err(|error| {
            Failure::config("the server's configuration")
                .because(error)
                .next("correct procura.toml, the variable, or --config FILE")
        })
    }

    fn read(&self, home: &Home) -> Result<Config, ConfigError> {
        let mut config = Config::load(
            home.dir().to_owned(),
            self.config.as_deref(),
            std::env::vars(),
        )?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(listen) = self.health_listen {
            config.health_listen = listen;
        }
        Ok(config)
    }

    /// What the configuration lacks, so that a server that is started without these flags
    /// is where they say: its file, and the lines. A free port is none to be kept.
    pub(crate) fn lacking(&self, home: &Home) -> Result<Option<(PathBuf, Vec<String>)>, Failure> {
        let without = Self {
            config: self.config.clone(),
            listen: None,
            health_listen: None,
        };
        let there = without.load(home)?;
        let lines: Vec<String> = [
            ("listen", self.listen, there.listen),
            ("health_listen", self.health_listen, there.health_listen),
        ]
        .into_iter()
        .filter_map(|(key, typed, there)| {
            typed
                .filter(|typed| *typed != there && typed.port() != 0)
                .map(|typed| format!("{key} = \"{typed}\""))
        })
        .collect();
        let file = self.config.clone();
        let file = file.unwrap_or_else(|| home.dir().join("procura.toml"));
        Ok((!lines.is_empty()).then_some((file, lines)))
    }

    /// Initialises the home in this process, and says where its server will be.
    pub(crate) async fn init_home(
        &self,
        context: &Context,
        request: InitRequest,
    ) -> Result<(InitAnswer, String), Failure> {
        let config = self.load(&context.home)?;
        let url = context
            .typed_server()
            .map_or_else(|| url_of(&config), str::to_owned);
        procura_server::init_home(
            config,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            request,
        )
        .await
        .map(|answer| (answer, url))
        .map_err(|error| match error {
            InitError::Start(error) => Failure::start(&error),
            InitError::Refused(failure) => {
                Failure::refused("init was refused").because(failure.detail)
            }
        })
    }
}

/// Where a server with this configuration answers; nothing where it takes another port at
/// each start.
fn url_of(config: &Config) -> String {
    match (&config.public_url, &config.tls_cert) {
        (None, _) if config.listen.port() == 0 => String::new(),
        (Some(url), _) => url.clone(),
        (None, Some(_)) => format!("https://{}", config.listen),
        (None, None) => format!("http://{}", config.listen),
    }
}

impl Server {
    /// Whether the server is to run in this process.
    pub(crate) const fn serves(&self) -> bool {
        self.command.is_none()
    }

    /// Looks after the servers of an installation, as one of their clients.
    pub(crate) async fn manage(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Some(command) => command.run(context).await,
            None => Ok(()),
        }
    }

    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        self.logging.begin()?;
        let home = Home::new(global.home.clone())?;
        let flags = self.flags;
        let mut config = flags.load(&home)?;
        // The environment of a process does not change, its file may.
        let environment = environment()?;
        config.auth_mode = environment.or(config.auth_mode);
        let reread = move || {
            let mut config = flags.read(&home)?;
            config.auth_mode = environment.or(config.auth_mode);
            Ok(config)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::storage("cannot start", &error))?;
        let serving = procura_server::run(
            config,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            reread,
            |ready| {
                // Whoever started us may not be there to read it any more.
                let _ = output::line(ready);
            },
        );
        runtime
            .block_on(serving)
            .map_err(|error| Failure::start(&error))?;
        Ok(ExitCode::SUCCESS)
    }
}
