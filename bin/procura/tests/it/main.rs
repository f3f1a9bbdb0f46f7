//! The command line from outside: the built program, its exit codes and its
//! words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod actors;
mod arguments;
mod audit;
mod auth;
mod backup;
mod behind;
mod browser;
mod confirmation;
mod cortexauth;
mod cortexauth_whole;
mod doctor;
mod events;
mod foreign;
mod gate_tls;
mod guides;
mod honey;
mod import;
mod import_sources;
mod init;
mod installed;
mod json;
mod key_agent;
mod known_server;
mod lifecycle;
mod observe;
mod open_files;
mod openssl;
mod operator_account;
mod operator_oidc;
mod operator_passkey;
mod passphrase_seen;
mod policy;
mod project;
mod reference;
mod refusals;
mod restore;
mod restore_accounts;
mod restore_holds;
mod restore_refusals;
mod restore_steps;
mod restore_stewards;
mod rotate;
mod runbooks;
mod second_persons;
mod secret;
mod sent;
mod service;
mod service_seen;
mod setup;
mod shares;
mod sign;
mod slip39;
mod stewards;
mod terminal;
mod unreachable;
mod unseal_kinds;
mod unseal_source;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with a home of its own, away from the environment and the
/// terminal of whoever runs the tests.
fn procura(home: &Path) -> Command {
    // A session of its own has no /dev/tty.
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_procura"))
        .env_clear()
        .env("PROCURA_HOME", home)
        .stdin(Stdio::null());
    command
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(home: &Path, args: &[&str]) -> Ran {
    ran(procura(home).args(args).output().unwrap())
}

fn run_with_input(home: &Path, args: &[&str], input: &[u8]) -> Ran {
    fed(procura(home).args(args), input)
}

/// Runs a command with this as its standard input.
fn fed(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    ran(child.wait_with_output().unwrap())
}
