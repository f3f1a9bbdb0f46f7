//! The command line of Procura: thin nouns over `procura-client`, and the
//! server.

mod actor;
mod agent;
mod agent_foreign;
mod agent_secret;
mod api_key;
mod attestation;
mod audit;
mod audit_export;
mod audit_list;
mod audit_retention;
mod auth;
mod auth_report;
mod backup;
mod body;
mod break_glass;
mod checkpoint;
mod cli;
mod context;
mod device;
mod device_grant;
mod doctor;
mod events;
mod exported;
mod failure;
mod files;
mod gate;
mod gate_failure;
mod gate_guard;
mod gate_join;
mod gate_tls;
mod grant;
mod header;
mod home;
mod honey;
mod import_keys;
mod init;
mod join;
mod join_device;
mod key_agent;
mod listeners;
mod logging;
mod login;
mod named;
mod namespace;
mod namespace_end;
mod notify;
mod observe_log;
mod observing;
mod operator;
mod operator_account;
mod operator_key;
mod operator_oidc;
mod operator_passkey;
mod outgoing;
mod output;
mod passphrase;
mod policy;
mod policy_shown;
mod policy_template;
mod project;
mod project_end;
mod project_token;
mod proposal;
mod proving;
mod reference;
mod release;
mod request;
mod restore;
mod restore_opening;
mod rotate;
mod run;
mod seal;
mod secret;
mod secret_about;
mod secret_export;
mod secret_import;
mod secret_list;
mod secret_rollback;
mod send;
mod server;
mod server_list;
mod service;
mod setup;
mod shares;
mod sign;
mod signing_key;
mod status;
mod terminal;
mod transit;
mod unseal_source;
mod unseal_wrapper;

use std::process::ExitCode;

// A request allocates a hundred times and more: this one takes half the time of the
// system's (docs/adr/0011).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
