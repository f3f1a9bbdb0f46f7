//! `secret import`: a `.env` file becomes secrets, after a preview that shows
//! names only.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::output::{self, Table};
use crate::secret::read_file;
use clap::Args;
use procura_client::{Listed, Page, SessionClient};
use procura_types::wire::{SecretPut, SecretWritten, ValueB64};
use procura_types::{Dotenv, EnvName, Secret, SecretPath};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Write the values of a .env file as secrets
///
/// Each name becomes a secret at the prefix and the name in lower case, with the
/// name as its environment name. All of the file must be in order, or nothing is
/// written. Values are never shown.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura secret import .env --prefix shop/")]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
    /// Begin each path with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Write new versions of secrets that exist
    #[arg(long)]
    replace: bool,
    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
}

/// One secret to write.
struct Planned {
    name: EnvName,
    path: SecretPath,
    value: Secret<String>,
}

/// A secret in what `secret import --dry-run --json` prints.
#[derive(Serialize)]
struct DryRun<'a> {
    env: &'a EnvName,
    path: &'a SecretPath,
    /// The newest version that is there; absent when there is none, or when no
    /// server is known to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<u64>,
}

impl<'a> DryRun<'a> {
    fn of(planned: &'a Planned, existing: &BTreeMap<SecretPath, u64>) -> Self {
        Self {
            env: &planned.name,
            path: &planned.path,
            exists: existing.get(&planned.path).copied(),
        }
    }
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // All of the file is judged before anybody is asked for anything.
        let planned = self.plan()?;
        if self.dry_run {
            return self.try_out(context, &planned).await;
        }
        let server = context.operator().await?;
        let existing = self.existing(context, &server).await?;
        let taken: Vec<&str> = planned
            .iter()
            .filter(|secret| existing.contains_key(&secret.path))
            .map(|secret| secret.path.as_str())
            .collect();
        if !taken.is_empty() && !self.replace {
            return Err(Failure::usage(format!(
                "nothing was written: these exist already: {}",
                taken.join(", ")
            ))
            .next("--replace writes new versions of them; --prefix puts all elsewhere"));
        }
        if !context.json {
            preview(&planned, |path| match existing.get(path) {
                Some(version) => format!("version {} after {version}", version + 1),
                None => "new".to_owned(),
            })?;
        }
        context.agree(&format!(
            "Write these {} secrets in {}?",
            planned.len(),
            context.namespace
        ))?;
        let mut written: Vec<SecretWritten> = Vec::new();
        for secret in planned {
            let put = SecretPut {
                expect_version: Some(existing.get(&secret.path).copied().unwrap_or(0)),
                env: Some(secret.name),
                ..SecretPut::new(ValueB64::encode(secret.value.expose().as_bytes()))
            };
            match server
                .put_secret(&context.namespace, &secret.path, &put)
                .await
            {
                Ok(one) => written.push(one),
                Err(error) => {
                    let done: Vec<_> = written.iter().map(|one| one.path.as_str()).collect();
                    output::say(format!(
                        "stopped at {}; written before it: {}",
                        secret.path,
                        if done.is_empty() {
                            "none".to_owned()
                        } else {
                            done.join(", ")
                        }
                    ));
                    return Err(error.into());
                }
            }
        }
        if context.json {
            return output::json(&written);
        }
        output::say(format!(
            "wrote {} secrets in {}",
            written.len(),
            context.namespace
        ));
        Ok(())
    }

    /// Shows what would be written, and what is in the way. Without a server to
    /// ask, the file alone is judged.
    async fn try_out(&self, context: &Context, planned: &[Planned]) -> Result<(), Failure> {
        let asked = Known::find(&context.home)?.is_some();
        let existing = if asked {
            self.existing(context, &context.operator().await?).await?
        } else {
            BTreeMap::new()
        };
        if context.json {
            let planned: Vec<_> = planned
                .iter()
                .map(|secret| DryRun::of(secret, &existing))
                .collect();
            return output::json(&planned);
        }
        preview(planned, |path| match existing.get(path) {
            Some(version) if self.replace => {
                format!("version {} would be written after {version}", version + 1)
            }
            Some(version) => format!("exists already, version {version}"),
            None => "would be written".to_owned(),
        })?;
        let taken = planned
            .iter()
            .filter(|secret| existing.contains_key(&secret.path))
            .count();
        if !asked {
            output::say("no server is known here: whether they exist already was not looked at");
        } else if taken > 0 && !self.replace {
            output::say(format!(
                "nothing would be written, for {taken} of these {} exist already; --replace writes new versions of them, --prefix puts all elsewhere",
                planned.len()
            ));
        }
        Ok(())
    }

    /// What the file says, or everything that is wrong with it.
    fn plan(&self) -> Result<Vec<Planned>, Failure> {
        let file = self.file.display();
        let bytes = read_file(&self.file)?;
        let dotenv = Dotenv::parse(bytes.expose()).map_err(|error| {
            Failure::usage(format!("nothing was written: {file}")).because(error)
        })?;
        let mut planned: Vec<Planned> = Vec::new();
        let mut wrong: Vec<String> = Vec::new();
        for entry in dotenv.into_entries() {
            let line = entry.line;
            let name: EnvName = match entry.name.parse() {
                Ok(name) => name,
                Err(error) => {
                    wrong.push(format!("line {line}: {error}"));
                    continue;
                }
            };
            let Some(value) = entry.value else {
                wrong.push(format!("line {line}: {name} has no value"));
                continue;
            };
            let path = format!("{}{}", self.prefix, name.as_str().to_ascii_lowercase());
            match path.parse::<SecretPath>() {
                Err(error) => wrong.push(format!("line {line}: {name}: {error}")),
                Ok(path) => match planned.iter().find(|other| other.path == path) {
                    // API_KEY and api_key are two names and one path.
                    Some(other) => wrong.push(format!(
                        "line {line}: {name} and {} both become {path}",
                        other.name
                    )),
                    None => planned.push(Planned { name, path, value }),
                },
            }
        }
        if !wrong.is_empty() {
            return Err(
                Failure::usage(format!("nothing was written: {file} is not in order"))
                    .because(format_args!("\n    {}", wrong.join("\n    "))),
            );
        }
        if planned.is_empty() {
            return Err(Failure::usage(format!(
                "nothing was written: {file} has no values"
            )));
        }
        Ok(planned)
    }

    /// The latest versions of what is there below the prefix.
    async fn existing(
        &self,
        context: &Context,
        server: &SessionClient,
    ) -> Result<BTreeMap<SecretPath, u64>, Failure> {
        let prefix = (!self.prefix.is_empty()).then_some(self.prefix.as_str());
        let mut existing = BTreeMap::new();
        let mut page = Page::first();
        loop {
            let part = server
                .secrets(&context.namespace, prefix, Listed::Readable, &page)
                .await?;
            existing.extend(part.secrets.into_iter().map(|row| (row.path, row.version)));
            match part.next {
                Some(next) => page = Page::after(next),
                None => return Ok(existing),
            }
        }
    }
}

fn preview(planned: &[Planned], state: impl Fn(&SecretPath) -> String) -> Result<(), Failure> {
    let mut table = Table::new(["NAME", "SECRET", ""]);
    for secret in planned {
        table.row([
            secret.name.to_string(),
            secret.path.to_string(),
            state(&secret.path),
        ]);
    }
    table.print("nothing to write")
}
