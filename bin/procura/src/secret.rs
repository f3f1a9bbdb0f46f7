//! `secret`: versioned values at paths. No value is ever an argument.

use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::{secret_import, terminal};
use clap::{Args, Subcommand};
use procura_client::{ClientError, Page};
use procura_types::wire::{SecretHistory, SecretList, SecretPut, ValueB64, VersionState};
use procura_types::{EnvName, Secret, SecretBytes, SecretPath};
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
    /// List secrets: paths and versions, no values
    #[command(after_help = "Example:\n  procura secret list stripe/")]
    List {
        /// Only paths that begin so
        prefix: Option<String>,
    },
    /// List the versions of a secret
    #[command(after_help = "Example:\n  procura secret history stripe/key")]
    History {
        /// The secret
        path: SecretPath,
    },
    /// Delete a secret, or one version: it cannot be read any more
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
}

/// Write a secret: a new one, or a new version
///
/// The value is what is typed without echo, or the exact bytes of a pipe or
/// file: nothing is added and nothing is trimmed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret put stripe/key --env STRIPE_KEY\n  printf %s \"$KEY\" | procura secret put stripe/key\n  procura secret put tls/key --file key.pem"
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
    /// For people; not secret
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Write only if this is the latest version; 0 if there must be none
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    expect_version: Option<u64>,
}

/// Read a secret: its exact bytes, and nothing else, on stdout
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura secret get tls/key > key.pem")]
pub(crate) struct Get {
    /// The secret
    path: SecretPath,
    /// This version [default: the latest]
    #[arg(long, value_name = "N", value_parser = whole::<u64>)]
    version: Option<u64>,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::Put(put) => put.run(context).await,
            Self::Get(get) => get.run(context).await,
            Self::Import(import) => import.run(context).await,
            Self::List { prefix } => list(context, prefix.as_deref()).await,
            Self::History { path } => history(context, &path).await,
            Self::Delete { path, version } => {
                let what = what(&path, version);
                context.confirm(&format!(
                    "Delete {what} in {namespace}? It cannot be read any more."
                ))?;
                context
                    .operator()
                    .await?
                    .delete_secret(namespace, &path, version, false)
                    .await?;
                let gone = Gone::new(&path, version, VersionState::Deleted);
                output::done(context.json, &gone, format!("deleted {what}"))
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
        let put = SecretPut {
            value_b64: ValueB64::encode(value.expose()),
            expect_version: self.expect_version,
            env: self.env,
            description: self.description,
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
        let read = server
            .get_secret(&context.namespace, &self.path, self.version)
            .await
            .map_err(|error| self.not_read(error))?;
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

async fn list(context: &Context, prefix: Option<&str>) -> Result<(), Failure> {
    let server = context.operator().await?;
    let mut all = SecretList {
        secrets: Vec::new(),
        next: None,
    };
    let mut page = Page::first();
    loop {
        let part = server.secrets(&context.namespace, prefix, &page).await?;
        all.secrets.extend(part.secrets);
        match part.next {
            Some(next) => page = Page::after(next),
            None => break,
        }
    }
    if context.json {
        return output::json(&all);
    }
    let mut table = Table::new(["SECRET", "VERSION", "ENV", "DESCRIPTION"]);
    for secret in all.secrets {
        table.row([
            secret.path.to_string(),
            secret.version.to_string(),
            secret.env.map_or_else(String::new, |env| env.to_string()),
            secret.description.unwrap_or_default(),
        ]);
    }
    table.print("no secrets")
}

async fn history(context: &Context, path: &SecretPath) -> Result<(), Failure> {
    let server = context.operator().await?;
    let mut all = SecretHistory {
        path: path.clone(),
        versions: Vec::new(),
        next: None,
    };
    let mut before = None;
    loop {
        let part = server
            .secret_history(&context.namespace, path, before)
            .await?;
        all.versions.extend(part.versions);
        if part.next.is_none() {
            break;
        }
        before = part.next;
    }
    if context.json {
        return output::json(&all);
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
