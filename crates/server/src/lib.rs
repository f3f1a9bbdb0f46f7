//! The HTTP edge of Procura: one adapter carries every operation ([`serve`]),
//! one table words every error ([`problem`]), and the listeners are bounded.

pub mod admin;
pub mod api;
mod app;
mod config;
mod followers;
mod health;
mod input;
pub mod jsonl;
mod key_server;
mod listen;
mod metrics;
mod open_files;
mod openapi;
mod opening;
mod private_file;
pub mod problem;
mod proving;
mod reply;
pub mod serve;
mod start;
mod upkeep;

pub use app::{App, Open, Stage};
pub use config::{Config, ConfigError, config_markdown};
pub use listen::{Framing, TlsError};
pub use opening::{OpeningError, is_initialised};
pub use private_file::{NotPrivate, check_private_file};
pub use start::{InitError, StartError, init_home, run};

use procura_types::Thumbprint;
use procura_vault::Vault;

/// The audience of sessions that the server itself verifies.
pub const AUDIENCE: &str = "procura";

/// The server as joining devices name it: the thumbprint of its key.
#[must_use]
pub fn server_id(vault: &Vault) -> Thumbprint {
    vault.server_key().public().thumbprint()
}
