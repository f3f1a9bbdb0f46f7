//! `secret`: versioned values at paths. No value is ever an argument.

use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::secret_about::{About, Set};
use crate::{secret_export, secret_import, secret_list, secret_rollback, terminal};
use clap::{Args, Subcommand};
use procura_client::ClientError;
use procura_types::wire::{SecretHistory, SecretPut, ValueB64, VersionState};
use procura_types::{EnvName, Secret, SecretBytes, SecretKind, SecretPath, Timestamp};
use serde::Serialize;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The largest value, in bytes.
const LARGEST: usize = 1024 * 1024;

/// Write, read and delete secrets
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Put(Put),
    Get(Get),
    Set(Set),
    List(secret_list::List),
    /// List the versions of a secret
    #[command(after_help = "Example:\n  procura secret history stripe/key")]
    History {
        /// The secret
        path: SecretPath,
    },
    /// Delete a secret, or one version: it cannot be read until it is undeleted
    ///
    /// With its newest version a secret is deleted: no older one takes its place. Admins
    /// read older ones by their number.
    #[command(
        after_help = "Examples:\n  procura secret delete stripe/key\n  procura secret delete stripe/key --version 2"
    )]
    Delete {
        /// The secret
        path: SecretPath,
        /// Only this version
        #[arg(long, value_name = "N", value_parser = whole::<u64>)]
        version: Option<u64>,
    },
    /// Bring back a secret that was deleted, or one version of it
    #[command(
        after_help = "Examples:\n  procura secret undelete stripe/key\n  procura secret undelete stripe/key --version 2"
    )]
    Undelete {
        /// The secret
        path: SecretPath,
        /// Only this version
        #[arg(long, value_name = "N", value_parser = whole::<u64>)]
        version: Option<u64>,
    },
    /// Destroy a secret, or one version: its bytes and key are gone
    #[command(after_help = "Example:\n  procura secret destroy stripe/key --version 2")]
    Destroy {
        /// The secret
        path: SecretPath,
        /// Only this version
        #[arg(long, value_name = "N", value_parser = whole::<u64>)]
        version: Option<u64>,
    },
    Import(secret_import::Import),
    Export(secret_export::Export),
    Rollback(secret_rollback::Rollback),
}

/// Write a secret: a new one, or a new version
///
/// The value is what is typed without echo, or the exact bytes of a pipe or
/// file: nothing is added and nothing is trimmed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret put stripe/key --env STRIPE_KEY\n  printf %s \"$KEY\" | procura secret put stripe/key\n  procura secret put tls/key --file key.pem\n  procura secret put tls/web --kind certificate --file chain-and-key.pem --expires 2027-03-01T00:00:00Z"
)]
pub(crate) struct Put {
    /// Where: segments joined by /
    path: SecretPath,
    /// Take the value from this file
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// The environment name by which a project without a mapping finds it
    #[arg(long, value_name = "NAME")]
    env: Option<EnvName>,
    /// What it is: key-value, json, certificate, ssh-key, api-key or template [default: what it was, else key-value]
    #[arg(long, value_name = "KIND")]
    kind: Option<SecretKind>,
    #[command(flatten)]
    about: About,
    /// Write only if this is the latest version; 0 if there must be none
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    expect_version: Option<u64>,
}

/// Read a secret: its exact bytes, and nothing else, on stdout
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret get tls/key > key.pem\n  procura secret get stripe/key --at 2026-11-20T08:00:00Z"
)]
pub(crate) struct Get {
    /// The secret
    path: SecretPath,
    /// This version [default: the latest]
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    version: Option<u64>,
    /// What was there at this time, such as 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "version")]
    at: Option<Timestamp>,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::Put(put) => put.run(context).await,
            Self::Get(get) => get.run(context).await,
            Self::Import(import) => import.run(context).await,
            Self::Export(export) => export.run(context).await,
            Self::Rollback(rollback) => rollback.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::History { path } => history(context, &path).await,
            Self::Delete { path, version } => {
                let what = what(&path, version);
                context.confirm(&format!(
                    "Delete {what} in {namespace}? It cannot be read until it is undeleted."
                ))?;
                context
                    .operator()
                    .await?
                    .delete_secret(namespace, &path, version, false)
                    .await?;
                let gone = Gone::new(&path, version, VersionState::Deleted);
                output::done(context.json, &gone, format!("deleted {what}"))
            }
            Self::Undelete { path, version } => {
                let undeleted = context
                    .operator()
                    .await?
                    .undelete_secret(namespace, &path, version)
                    .await?;
                let versions: Vec<String> = undeleted.versions.iter().map(u64::to_string).collect();
                let words = format!("{path} can be read again: version {}", versions.join(", "));
                output::done(context.json, &undeleted, words)
            }
            Self::Destroy { path, version } => {
                let what = what(&path, version);
                context.confirm(&format!(
                    "Destroy {what} in {namespace}? This cannot be undone."
                ))?;
                context
                    .operator()
                    .await?
                    .delete_secret(namespace, &path, version, true)
                    .await?;
                let gone = Gone::new(&path, version, VersionState::Destroyed);
                output::done(context.json, &gone, format!("destroyed {what}"))
            }
        }
    }
}

/// What `secret delete --json` and `secret destroy --json` print; without a
/// version it was all of them.
#[derive(Serialize)]
struct Gone<'a> {
    path: &'a SecretPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    state: VersionState,
}

impl<'a> Gone<'a> {
    const fn new(path: &'a SecretPath, version: Option<u64>, state: VersionState) -> Self {
        Self {
            path,
            version,
            state,
        }
    }
}

fn what(path: &SecretPath, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("version {version} of {path}"),
        None => format!("all versions of {path}"),
    }
}

impl Put {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let value = self.value().await?;
        let length = value.expose().len();
        let set = self.about.said()?;
        if let Some(expires) = set.expires.filter(|expires| *expires <= context.now()) {
            return Err(Failure::usage(format!(
                "nothing was written: {expires} has passed, and nobody would be handed the value"
            ))
            .next("--expires with a time that is to come"));
        }
        let put = SecretPut {
            expect_version: self.expect_version,
            env: self.env,
            kind: self.kind,
            description: set.description,
            tags: set.tags,
            owner: set.owner,
            expires: set.expires,
            rotate_by: set.rotate_by,
            delivery: set.delivery,
            ..SecretPut::new(ValueB64::encode(value.expose()))
        };
        let written = server
            .put_secret(&context.namespace, &self.path, &put)
            .await?;
        if context.json {
            return output::json(&written);
        }
        output::say(format!(
            "wrote version {} of {} in {}",
            written.version, written.path, context.namespace
        ));
        if length == 0 {
            output::say("note: the value is empty");
        }
        Ok(())
    }

    async fn value(&self) -> Result<SecretBytes, Failure> {
        match &self.file {
            Some(path) => read_file(path),
            None if terminal::is_stdin_terminal() => {
                terminal::hidden(&format!("Value of {}: ", self.path)).await
            }
            None => read_all(std::io::stdin().lock(), "stdin"),
        }
    }
}

/// A file's exact bytes, within the limit of a value.
pub(crate) fn read_file(path: &Path) -> Result<SecretBytes, Failure> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::usage(format!("cannot read {name}")).because(error))?;
    read_all(file, &name)
}

/// Something secret from stdin: asked for without an echo where a person types.
pub(crate) async fn read_stdin(what: &str) -> Result<SecretBytes, Failure> {
    if terminal::is_stdin_terminal() {
        return terminal::hidden(&format!("{what}: ")).await;
    }
    read_all(std::io::stdin().lock(), "stdin")
}

fn read_all(from: impl Read, name: &str) -> Result<SecretBytes, Failure> {
    // Room for the largest at once: nothing is left behind in memory that was
    // grown out of. One byte more than allowed shows that there was more.
    let mut value = Secret::new(Vec::with_capacity(LARGEST + 1));
    let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    from.take(limit)
        .read_to_end(value.expose_mut())
        .map_err(|error| match error.kind() {
            ErrorKind::IsADirectory => {
                Failure::usage(format!("cannot read {name}")).because("it is a directory")
            }
            _ => Failure::storage(format!("cannot read {name}"), &error),
        })?;
    if value.expose().len() > LARGEST {
        return Err(Failure::usage(format!(
            "{name} is larger than 1 MiB, the most that a secret can hold"
        )));
    }
    Ok(value)
}

impl Get {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let read = match self.at {
            Some(at) => {
                server
                    .get_secret_at(&context.namespace, &self.path, at)
                    .await
            }
            None => {
                server
                    .get_secret(&context.namespace, &self.path, self.version)
                    .await
            }
        };
        let read = read.map_err(|error| self.not_read(error))?;
        if context.json {
            return output::json(&read);
        }
        output::bytes(read.value_b64.decode()?.expose())
    }
}

impl Get {
    /// A version that is not there is not the same as a secret that is not.
    fn not_read(&self, error: ClientError) -> Failure {
        let path = &self.path;
        if let Some(at) = self.at.filter(|_| error.is_refusal("not_found")) {
            return Failure::from(error)
                .instead(format!("{path} had no value at {at} that is left"))
                .next(format!(
                    "procura secret history {path}, which shows its versions; -n NS for another namespace"
                ));
        }
        match self.version {
            Some(version) if error.is_refusal("not_found") => Failure::from(error)
                .instead(format!("{path} has no version {version} that can be read"))
                .next(format!(
                    "procura secret history {path}, which shows its versions; -n NS for another namespace"
                )),
            _ => error.into(),
        }
    }
}

async fn history(context: &Context, path: &SecretPath) -> Result<(), Failure> {
    let server = context.operator().await?;
    let mut all = SecretHistory {
        path: path.clone(),
        kind: SecretKind::default(),
        versions: Vec::new(),
        next: None,
    };
    let mut before = None;
    loop {
        let part = server
            .secret_history(&context.namespace, path, before)
            .await?;
        all.kind = part.kind;
        all.versions.extend(part.versions);
        if part.next.is_none() {
            break;
        }
        before = part.next;
    }
    if context.json {
        return output::json(&all);
    }
    if !all.kind.is_default() {
        output::say(format!("{path} is of the kind {}", all.kind));
    }
    let mut table = Table::new(["VERSION", "BYTES", "WRITTEN", "STATE"]);
    for version in all.versions {
        let state = match version.state {
            VersionState::Live => "live",
            VersionState::Deleted => "deleted",
            VersionState::Destroyed => "destroyed",
        };
        table.row([
            version.version.to_string(),
            version.size.to_string(),
            version.created.to_string(),
            state.to_owned(),
        ]);
    }
    table.print("no versions")
}
