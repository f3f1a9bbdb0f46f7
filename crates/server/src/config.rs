//! `procura.toml`: one typed struct, loaded once. Every key can also be set as
//! `PROCURA_<KEY>` in the environment, which wins over the file; flags win over
//! both. Unknown keys are errors.

mod checks;
mod nearest;
mod oidc;
mod unseal_at;
mod web;

pub use oidc::{GroupRole, OidcProvider};
pub use unseal_at::UnsealAt;
pub use web::{Web, WebOrigin};

use crate::restoring::ActivationStep;
use nearest::{nearest, with_suggestion};
use procura_edge::jsonl::Limits;
use procura_edge::trace::{Endpoint, Ratio};
use procura_identity::SecretTerms;
use procura_store::PostgresUrl;
use procura_store::guard::GuardUrl;
use procura_types::dial::Mode;
use procura_types::{Cidr, Label, Malformed, Namespace, RateLimit};
use procura_vault::RotationStep;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where logs are, below the home.
pub(crate) const LOGS: &str = "logs";

/// A service, as NAMESPACE/NAME.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AgentService {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: Label,
}

impl TryFrom<String> for AgentService {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        let form = Malformed::new("agent_service", "must be NAMESPACE/NAME");
        let (namespace, name) = text.split_once('/').ok_or(form)?;
        Ok(Self {
            namespace: namespace.parse()?,
            name: name.parse()?,
        })
    }
}

/// A configuration that the server does not start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is not what it should be; says where and what was meant.
    #[error("{path}: {problem}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with a suggestion.
        problem: String,
    },
    /// A variable of the environment.
    #[error("{name}: {problem}")]
    Environment {
        /// Which variable.
        name: String,
        /// What is wrong, with a suggestion.
        problem: String,
    },
    /// Too few files may be open at once.
    #[error(
        "only {files} files may be open at once and at least {needed} are needed; raise the limit (`ulimit -n`, LimitNOFILE=)"
    )]
    OpenFiles {
        /// The limit.
        files: usize,
        /// What it must be at least.
        needed: usize,
    },
    /// Keys that do not go together.
    #[error("{0}")]
    Contradiction(String),
}

macro_rules! config {
    ($($(#[doc = $doc:literal])* $name:ident : $kind:ty = $default:expr, $shown:literal;)*) => {
        /// The configuration of `procura server`.
        #[derive(Debug, Clone)]
        pub struct Config {
            /// Where everything lives: `--home`, `PROCURA_HOME` or `~/.procura`.
            pub home: PathBuf,
            $($(#[doc = $doc])* pub $name: $kind,)*
        }

        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File { $($name: Option<$kind>,)* }

        impl Config {
            /// Every key with its default as shown and its description.
            pub const KEYS: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($name), $shown, concat!($($doc),*)),)*];

            /// The defaults for a home.
            #[must_use]
            pub fn defaults(home: PathBuf) -> Self {
                Self { home, $($name: $default,)* }
            }

            fn take_file(&mut self, file: File) {
                $(if let Some(value) = file.$name { self.$name = value; })*
            }

            fn take_variable(&mut self, key: &str, text: &str) -> Result<bool, String> {
                match key {
                    $(stringify!($name) => { self.$name = from_text(text)?; Ok(true) })*
                    _ => Ok(false),
                }
            }
        }
    };
}

config! {
    /// Address of the API. Plain HTTP is served on loopback only.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7310)), "127.0.0.1:7310";
    /// Address of health and metrics.
    health_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7311)), "127.0.0.1:7311";
    /// Certificate chain for TLS, PEM.
    tls_cert: Option<PathBuf> = None, "none";
    /// Private key for TLS, PEM; for the server's user or root alone (mode 0600).
    tls_key: Option<PathBuf> = None, "none";
    /// URL that link codes carry; without it, the address of the API.
    public_url: Option<String> = None, "none";
    /// Pages for people in a browser, on the address of the API: `{ enabled = true }`, or `enabled = true` in a section `[web]` at the end of the file. Without it there are none. They need TLS, or a browser on this machine. `origin` is where browsers find them, such as `https://procura.example`, and what passkeys are bound to: without it `public_url`, else the address of the API, on this machine as `http://localhost:PORT`.
    web: Web = Web::default(), "{ enabled = false }";
    /// Identity providers (OpenID Connect) that operators sign in to the pages by, each in a section `[oidc.NAME]` at the end of the file: `issuer`, exactly as the provider writes it, `client_id`, `client_secret_file` (its first line is the secret; for the server's user or root alone, mode 0600; none for a public client), and where needed `title` for people, `scopes` beside `openid`, `networks` that are not of the public internet and in which the provider may be, `ca_file` (PEM). `groups_claim` with `[[oidc.NAME.roles]]` (`group`, `role`, `namespace`) lends roles for as long as such a web login lasts; the role steward takes `danger_steward_by_group = true`. At the provider the redirect URI is `<origin of the pages>/oidc/NAME/callback`.
    oidc: BTreeMap<Label, OidcProvider> = BTreeMap::new(), "{}";
    /// Minutes after which a web login is over with which nothing was done.
    web_login_idle_minutes: u64 = 15, "15";
    /// Hours after which a web login is over whatever was done with it.
    web_login_hours: u64 = 12, "12";
    /// File whose first line is the passphrase: unseals at start (a systemd credential, for instance); for the server's user or root alone (mode 0600).
    passphrase_file: Option<PathBuf> = None, "none";
    /// Names of unseal sources that open the vault at start by themselves, tried in this order, again while what one needs is not there: a passphrase of which `unseal_credentials` names the file, a token, a chip or a service. What was sealed on purpose stays sealed until somebody unseals it.
    auto_unseal: Vec<Label> = Vec::new(), "[]";
    /// Files with what unseal sources ask for, by name, such as `{ hsm = "/run/credentials/procura.service/pin" }`: the PIN of a token, the access keys of AWS, what `procura unseal-source join` wrote, a passphrase; for the server's user or root alone (mode 0600).
    unseal_credentials: BTreeMap<Label, PathBuf> = BTreeMap::new(), "{}";
    /// Where tokens, chips and services are that unseal sources ask, by the sources' names: `{ hsm = { module = "/usr/lib/softhsm/libsofthsm2.so" } }` for a PKCS#11 token, `device` for a TPM that is not `/dev/tpmrm0`, and `region`, with `endpoint` and `ca` (PEM) for an address other than the region's own, for a key management service. The list of sources is not believed about that; `procura unseal-source list` shows what is missing here.
    unseal_at: BTreeMap<Label, UnsealAt> = BTreeMap::new(), "{}";
    /// Seconds that a request may take, its body included.
    request_seconds: u64 = 30, "30";
    /// Seconds that running requests get when the server stops.
    stop_seconds: u64 = 10, "10";
    /// Most connections at once; fewer if the limit of open files has no room for them, which the log and `/health` say.
    max_connections: usize = 4096, "4096";
    /// Most connections at once of one address, and most requests at once over HTTP/2; of IPv6, of one /64 network. Without it a quarter of `max_connections`, and all of them for addresses of this machine (loopback), where a proxy or a gate stands for everybody; if it is set, it is for these as well.
    max_connections_per_address: Option<usize> = None, "a quarter";
    /// How often an address may ask, before it is known who asks: like `100/s`, `100/s burst 200` or `30/m`, or `off`, with which also nobody waits after proofs that fail. Of IPv6 one /64 network is an address. Without it addresses of this machine (loopback) are let be, where a proxy or a gate stands for everybody; if it is set, it is for these as well.
    rate_address: Option<RateLimit> = None, "1000/s burst 2000";
    /// How often an agent may ask, by what it has proven, or `off`.
    rate_agent: RateLimit = RateLimit::Off, "off";
    /// How often all agents together may make each kind of call, or `off`.
    rate_route: RateLimit = RateLimit::Off, "off";
    /// How often an address may ask for a device to be let in without a link code (`procura join --device`), or `off`. Of IPv6 one /64 network is an address. Without it addresses of this machine (loopback) are let be; if it is set, it is for these as well.
    rate_device_grants: Option<RateLimit> = None, "2/m burst 30";
    /// Addresses of proxies that stand before the server and say in `X-Forwarded-For` or `Forwarded` where a request comes from; from anybody else these fields mean nothing.
    trusted_proxies: Vec<Cidr> = Vec::new(), "[]";
    /// Seconds that a TLS handshake and the first head may take together, and each head after it.
    head_seconds: u64 = 10, "10";
    /// Seconds that a connection is kept without a request.
    idle_seconds: u64 = 75, "75";
    /// Seconds after which a connection is closed that takes nothing of what is sent to it.
    stall_seconds: u64 = 20, "20";
    /// Megabytes of sealed rows kept in memory.
    cache_megabytes: usize = 16, "16";
    /// Megabytes after which a log in `<home>/logs` is begun anew.
    log_megabytes: u64 = 64, "64";
    /// Days after which a log in `<home>/logs` is begun anew.
    log_days: u64 = 7, "7";
    /// How many older files of each log in `<home>/logs` are kept.
    log_files: u32 = 8, "8";
    /// Collector of OpenTelemetry that gets a span of each request, by OTLP over HTTP: a URL such as http://127.0.0.1:4318.
    otlp_endpoint: Option<Endpoint> = None, "none";
    /// Which part of the traces that begin here is sent, from 0 to 1; requests that are part of another's trace go by its flag.
    otlp_ratio: Ratio = Ratio::ALL, "1";
    /// Days after which the secret of an agent of another system is due for another.
    agent_secret_days: u64 = 90, "90";
    /// Days for which a secret that is due is still good, and one that was exchanged for another, beside the new one.
    agent_secret_grace_days: u64 = 7, "7";
    /// The service, as NAMESPACE/NAME, whose dial says whether callers of `/agent/protected/` have to prove who they are, and whether `hmac-v1` is let in on `/agent/`. Without it the former is off, unless `auth_mode` or AUTH_MODE says otherwise, and the latter is not.
    agent_service: Option<AgentService> = None, "none";
    /// `off`, `observe` or `enforce`: whether callers of `/agent/protected/` have to prove who they are, over what the dial of `agent_service` says. AUTH_MODE in the environment is over it. The one key that is read again when the server gets SIGHUP; what it cannot be started with then changes nothing, and `/health` says `degraded` and why.
    auth_mode: Option<Mode> = None, "none";
    /// Serves clients of CortexAuth while they are moved here: `/device/authorize`, `/device/token`, `/daemon/attest`, `/agent/discover` and `/project/`. Off, there are no such paths. Agents are imported before (`procura import cortexauth`); docs/guides/from-cortexauth.md has the way, which ends with turning it off again.
    cortexauth: bool = false, "false";
    /// Networks that notifications may be sent to although they are not of the public internet, such as `["10.20.0.0/16"]`, and that may be reached without TLS. Everything else that is private, of this machine or of a cloud's own services is refused, whatever a name leads to.
    notify_networks: Vec<Cidr> = Vec::new(), "[]";
    /// Replay guard that is shared with gates: a Valkey or Redis server, as redis://host:port or unix:/path. Without it the server has one of its own, and a service one gate at a time.
    guard_url: Option<String> = None, "none";
    /// File whose first line is the password of the shared guard; for the server's user or root alone (mode 0600).
    guard_password_file: Option<PathBuf> = None, "none";
    /// Uses a shared guard at an address that is not of this machine, without TLS: whoever is on the way can let proofs be used again, and reads its password.
    danger_plain_guard: bool = false, "false";
    /// PostgreSQL database that several servers share, as postgres://user@host/database, with several hosts behind commas of which the one is used that takes writes, or postgres:///database?host=/folder&user=user for a socket of this machine. Without it the store is in the home, and there is one server. Needs `guard_url`.
    database_url: Option<String> = None, "none";
    /// File whose first line is the password of the database's user; for the server's user or root alone (mode 0600).
    database_password_file: Option<PathBuf> = None, "none";
    /// Certificates of the authorities, PEM, one of which signed that of the database's server. With it connections are encrypted; needed for a database on another machine.
    database_ca: Option<PathBuf> = None, "none";
    /// Seconds after which a server that does not hear of the others' changes in the database answers nothing any more (503 `store_unavailable`), until it does again.
    max_stale_seconds: u64 = 15, "15";
    /// Seconds after which a server that is not heard of, and did not say that it goes, is absent: a changed passphrase, unseal source or root is not handed over to it, and it has to be unsealed anew.
    server_absent_seconds: u64 = 604_800, "604800";
    /// Uses a database whose standbys no commit waits for: what was acknowledged is lost when one of them takes over.
    danger_async_standby: bool = false, "false";
    /// Where bots of Telegram are instead of https://api.telegram.org, for tests: the tokens of bots go there.
    danger_telegram_api: Option<String> = None, "none";
    /// For tests: the server kills itself, as `kill -9` would, at this step of a rotation, or of adding an unseal source (protocol.md §5), each time that it comes to it. Refused unless the API is plain HTTP on a loopback address.
    danger_stop_at: Option<RotationStep> = None, "none";
    /// For tests: `procura restore --activate` kills itself, as `kill -9` would, at this step of an activation (spec/backup.md), each time that it comes to it.
    danger_stop_activation_at: Option<ActivationStep> = None, "none";
    /// Goes on when keys cannot be locked in memory: they may reach the swap device.
    danger_unlocked_memory: bool = false, "false";
}

/// Reads a value from the environment as TOML would, or as a bare string.
fn from_text<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Holder<T> {
        value: T,
    }
    let as_toml = toml::from_str::<Holder<T>>(&format!("value = {text}"));
    as_toml
        .or_else(|_| {
            let quoted = toml::Value::String(text.to_owned());
            toml::from_str::<Holder<T>>(&format!("value = {quoted}"))
        })
        .map(|holder| holder.value)
        .map_err(|error| error.message().to_owned())
}

/// Variables that begin with the prefix and are not keys of the server.
const OTHER_VARIABLES: &[&str] = &[
    "PROCURA_HOME",
    "PROCURA_CA",
    "PROCURA_SERVER",
    "PROCURA_NAMESPACE",
    "PROCURA_SOCKET",
    "PROCURA_LOG",
    "PROCURA_CONFIG",
];

impl Config {
    /// Loads the file (`<home>/procura.toml` unless another is named) and the
    /// variables of the environment.
    pub fn load(
        home: PathBuf,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::defaults(home);
        let default = config.home.join("procura.toml");
        let path = file.unwrap_or(&default);
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let parsed = toml::from_str(&text).map_err(|error| ConfigError::Parse {
                    path: path.to_owned(),
                    problem: with_suggestion(&error.to_string()),
                })?;
                config.take_file(parsed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
            Err(cause) => {
                return Err(ConfigError::Read {
                    path: path.to_owned(),
                    cause,
                });
            }
        }
        for (name, text) in environment {
            let Some(key) = name.strip_prefix("PROCURA_") else {
                continue;
            };
            if OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            match config.take_variable(&key.to_ascii_lowercase(), &text) {
                Ok(true) => {}
                Ok(false) => {
                    let problem = nearest(&key.to_ascii_lowercase()).map_or_else(
                        || "is no key of Procura".to_owned(),
                        |near| {
                            format!(
                                "is no key of Procura; did you mean PROCURA_{}?",
                                near.to_ascii_uppercase()
                            )
                        },
                    );
                    return Err(ConfigError::Environment { name, problem });
                }
                Err(problem) => return Err(ConfigError::Environment { name, problem }),
            }
        }
        Ok(config)
    }

    /// The address of the database that several servers share.
    ///
    /// # Errors
    /// One that is none.
    pub(crate) fn database(&self) -> Result<Option<PostgresUrl>, ConfigError> {
        let url = self.database_url.as_deref().map(str::parse);
        url.transpose()
            .map_err(|error: Malformed| ConfigError::Contradiction(error.to_string()))
    }

    /// How old what is known of other servers may be.
    pub(crate) const fn max_stale(&self) -> Duration {
        Duration::from_secs(self.max_stale_seconds)
    }

    /// After how long without a word another server is absent.
    pub(crate) const fn server_absent(&self) -> Duration {
        Duration::from_secs(self.server_absent_seconds)
    }

    /// The address of the shared replay guard.
    ///
    /// # Errors
    /// One that is none, or that is not of this machine while nothing says that this is
    /// meant.
    pub(crate) fn guard_server(&self) -> Result<Option<GuardUrl>, ConfigError> {
        let Some(text) = &self.guard_url else {
            return Ok(None);
        };
        let contradiction = |text: String| Err(ConfigError::Contradiction(text));
        match text.parse::<GuardUrl>() {
            Err(error) => contradiction(error.to_string()),
            Ok(url) if !url.is_local() && !self.danger_plain_guard => contradiction(
                "guard_url is not an address of this machine, and what is said to it is not encrypted: name one where a tunnel begins (stunnel, ssh -L), or set danger_plain_guard = true".to_owned(),
            ),
            Ok(url) => Ok(Some(url)),
        }
    }

    /// For how long the secrets of agents are good.
    #[must_use]
    pub const fn agent_secret_terms(&self) -> SecretTerms {
        const DAY: u64 = 24 * 60 * 60;
        SecretTerms {
            due: Duration::from_secs(self.agent_secret_days.saturating_mul(DAY)),
            grace: Duration::from_secs(self.agent_secret_grace_days.saturating_mul(DAY)),
        }
    }

    /// When the logs of the home are begun anew.
    pub(crate) fn log_limits(&self) -> Limits {
        const DAY: u64 = 24 * 60 * 60;
        Limits {
            bytes: self.log_megabytes.saturating_mul(1024 * 1024),
            age: Duration::from_secs(self.log_days.saturating_mul(DAY)),
            older: self.log_files,
        }
    }

    /// How long a request may take.
    #[must_use]
    pub const fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }
}

/// The reference page, `schema/config.md`.
#[must_use]
pub fn config_markdown() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Configuration\n\nGenerated from `crates/server/src/config.rs`. File: `<home>/procura.toml`; each key also as\n\
         `PROCURA_<KEY>` in the environment, which wins over the file. Unknown keys are errors.\n\n\
         | key | default | what it is |\n|---|---|---|\n",
    );
    for (key, default, doc) in Config::KEYS {
        let _ = writeln!(out, "| `{key}` | `{default}` | {} |", doc.trim());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("procura.toml"), text).unwrap();
        Config::load(
            home.path().to_owned(),
            None,
            environment
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
        )
    }

    #[test]
    fn environment_wins_over_the_file() {
        let config = load(
            "listen = \"127.0.0.1:1\"\nrequest_seconds = 5",
            &[("PROCURA_LISTEN", "127.0.0.1:2")],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.request_seconds, 5);
    }

    #[test]
    fn unknown_keys_are_errors_with_a_suggestion() {
        let error = load("listens = \"127.0.0.1:1\"", &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `listen`?"), "{error}");
        let error = load("", &[("PROCURA_TLS_CERTT", "x")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "PROCURA_TLS_CERTT: is no key of Procura; did you mean PROCURA_TLS_CERT?"
        );
        let error = load("listen = 7", &[]).unwrap_err().to_string();
        assert!(error.contains("procura.toml"), "{error}");
        let error = load("[web]\nenabled = true\nweb_login_hours = 1", &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`web_login_hours` belongs above the first section")
                && !error.contains("did you mean"),
            "{error}"
        );
    }
}
