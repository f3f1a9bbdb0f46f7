//! The command line of Procura: thin nouns over `procura-client`, and the
//! server.

mod actor;
mod agent;
mod audit;
mod audit_export;
mod audit_list;
mod checkpoint;
mod cli;
mod context;
mod device;
mod doctor;
mod exported;
mod failure;
mod files;
mod grant;
mod home;
mod init;
mod join;
mod key_agent;
mod listeners;
mod login;
mod namespace;
mod operator;
mod operator_key;
mod output;
mod passphrase;
mod project;
mod reference;
mod request;
mod run;
mod seal;
mod secret;
mod secret_import;
mod server;
mod status;
mod terminal;

use std::process::ExitCode;

// A request allocates a hundred times and more: this one takes half the time of the
// system's (docs/adr/0011).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
