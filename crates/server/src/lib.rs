//! The HTTP edge of Procura: one adapter carries every operation ([`serve`]),
//! one table words every error ([`problem`]), and the listeners are bounded.

pub mod admin;
mod agent_routes;
pub mod api;
mod app;
mod attested;
mod auto_unseal;
mod config;
mod database;
mod device_grants;
mod events_log;
mod followers;
mod foreign_answer;
mod foreign_call;
mod framed;
mod health;
mod honey;
mod input;
mod jwks;
mod key_server;
mod keys_routes;
mod legacy;
mod listen;
mod metrics;
mod notify;
mod oauth;
mod oidc;
mod open_files;
mod openapi;
mod opening;
mod pages;
mod passkeys;
pub mod problem;
mod proving;
mod rates;
mod reloading;
mod reply;
pub mod restoring;
pub mod serve;
mod shared_guard;
mod start;
mod tokens;
mod traces;
mod turns;
mod upkeep;
mod web_login;
mod wrappers;

pub use app::{App, Open, Stage};
pub use config::{
    AgentService, Config, ConfigError, GroupRole, OidcProvider, UnsealAt, Web, WebOrigin,
    config_markdown,
};
pub use oauth::oauth_form;
pub use opening::{OpeningError, is_initialised};
pub use procura_edge::private_file::{NotPrivate, check_private_file};
pub use procura_edge::tls::TlsError;
pub use start::{InitError, StartError, init_home, run};
pub use tokens::{AgentJwt, Tokens};

use procura_types::Thumbprint;
use procura_vault::Vault;

/// The audience of sessions that the server itself verifies.
pub const AUDIENCE: &str = "procura";

/// The server as joining devices name it: the thumbprint of its key.
#[must_use]
pub fn server_id(vault: &Vault) -> Thumbprint {
    vault.server_key().public().thumbprint()
}
