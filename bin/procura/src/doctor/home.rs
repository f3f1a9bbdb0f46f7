//! Files of the home and who can read them.

use super::Checks;
use crate::context::Context;
use crate::key_agent::AgentSigner;
use procura_server::{Config, check_private_file};
use rustix::process::geteuid;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How many files are looked at: a home is small, but the record below it may not be.
const MAX_FILES: usize = 10_000;

/// Everything in the home belongs to this user and is for them alone.
pub(super) fn modes(checks: &mut Checks, home: &Path) {
    if !home.exists() {
        checks.note("modes", format!("{} does not exist yet", home.display()));
        return;
    }
    let mut wrong = Vec::new();
    let mut left = vec![home.to_owned()];
    for _ in 0..MAX_FILES {
        let Some(path) = left.pop() else { break };
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_symlink() {
            continue;
        }
        if metadata.uid() != geteuid().as_raw() {
            wrong.push(format!(
                "{} belongs to uid {}",
                path.display(),
                metadata.uid()
            ));
        } else if metadata.permissions().mode() & 0o077 != 0 {
            wrong.push(format!("{} is open to others", path.display()));
        }
        if metadata.is_dir() {
            match std::fs::read_dir(&path) {
                Ok(entries) => {
                    left.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
                }
                Err(error) => wrong.push(format!("{}: {error}", path.display())),
            }
        }
    }
    match wrong.as_slice() {
        [] => checks.ok(
            "modes",
            format!("all of {} is this user's alone", home.display()),
        ),
        [first, rest @ ..] => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(", and {} more", rest.len())
            };
            checks.problem(
                "modes",
                format!("{first}{more}"),
                "other users of this machine can read or change what is there: keys, the allow-list, logs",
                format!("chmod -R go= {}", home.display()),
            );
        }
    }
}

/// The files with secrets that the configuration of a server in this home names. They
/// may lie outside of it; the server does not start when others can read them.
pub(super) fn secrets(checks: &mut Checks, config: &Config) {
    // Whoever owns the home is the user of its server.
    let own = config
        .home
        .metadata()
        .map_or_else(|_| geteuid().as_raw(), |home| home.uid());
    let of_sources = config.unseal_credentials.values();
    let of_sources = of_sources.map(|path| ("unseal_credentials", Some(path)));
    let others = [
        ("passphrase_file", config.passphrase_file.as_ref()),
        ("tls_key", config.tls_key.as_ref()),
    ];
    for (key, path) in others.into_iter().chain(of_sources) {
        let Some(path) = path else { continue };
        match check_private_file(path, own) {
            Ok(()) => checks.ok(key, format!("{} is the server's alone", path.display())),
            Err(error) => {
                let next = error
                    .remedy()
                    .unwrap_or_else(|| format!("correct {key} in procura.toml"));
                checks.problem(
                    key,
                    error.to_string(),
                    "the server does not start with it",
                    next,
                );
            }
        }
    }
}

/// The key of the operator whose home this is.
pub(super) fn operator_key(checks: &mut Checks, context: &Context) {
    match crate::operator_key::public(&context.home) {
        Ok(Some(key)) => checks.ok("key", format!("the operator's key {}", key.thumbprint())),
        Ok(None) => checks.note("key", "no operator's key in this home"),
        Err(error) => checks.problem(
            "key",
            error.to_string(),
            "without it this operator cannot sign in or approve",
            "restore operator/key.json from a backup",
        ),
    }
    match AgentSigner::find(&context.home) {
        Some(agent) => checks.ok("login", format!("unlocked until {}", agent.until())),
        None => checks.note(
            "login",
            "the key is locked; procura login unlocks it for a while",
        ),
    }
}

/// The way to init, unseal and seal.
pub(super) fn admin_socket(checks: &mut Checks, context: &Context) {
    let socket = context.home.admin_socket();
    if !socket.exists() {
        checks.note("admin socket", format!("none at {}", socket.display()));
        return;
    }
    match UnixStream::connect(&socket) {
        Ok(_) => checks.ok(
            "admin socket",
            format!("a server listens at {}", socket.display()),
        ),
        Err(error) => checks.note("admin socket", format!("{}: {error}", socket.display())),
    }
}
