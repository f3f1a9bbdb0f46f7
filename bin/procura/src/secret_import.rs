//! `secret import`: a file or a directory becomes secrets, all of it or nothing, after a
//! preview that shows names only.

mod dotenv;
mod exported;
mod folder;
mod json;

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::output::{self, Table};
use crate::secret::read_file;
use clap::{Args, ValueEnum};
use procura_types::wire::{
    ImportItem, ImportState, ImportedSecret, PortableSecret, SecretImport, SecretImported,
};
use procura_types::{Namespace, SecretPath};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Most secrets of one import.
pub(crate) const MOST: usize = 10_000;

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// NAME=value lines; NAME becomes the environment name, in lower case the path
    Env,
    /// An object: keys become paths, objects in it folders, strings values
    Json,
    /// A directory: files become paths, their bytes values
    Dir,
    /// What `secret export` wrote
    Age,
}

/// Write the values of a file or a directory as secrets
///
/// All of the source must be in order, and all of it is written together, or nothing is.
/// What is there already and the same is left. Values are never shown; to compare, values
/// that are there are looked at, which the record says.
///
/// A .env file: each name becomes a secret at the prefix and the name in lower case, with
/// the name as its environment name. JSON: an object whose strings are values; its keys, and
/// those of objects in it joined by /, are the paths. A directory: the bytes of each file,
/// at its path; links are refused. An export: what it says of each secret comes with it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret import .env --prefix shop/\n  procura secret import values.json --dry-run\n  procura secret import /run/secrets --prefix shop/\n  procura secret import shop.age --identity key.txt"
)]
pub(crate) struct Import {
    /// The file or directory
    file: PathBuf,
    /// What it is [default: by what it is and begins with]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Begin each path with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Open an export with the keys in this file, as age-keygen or ssh-keygen writes it
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Write new versions of secrets that exist
    #[arg(long)]
    replace: bool,
    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
}

/// What a source says, or all that is wrong with it.
pub(crate) struct Plan {
    pub(crate) secrets: Vec<PortableSecret>,
    /// For people.
    pub(crate) notes: Vec<String>,
}

/// A secret in what `secret import --dry-run --json` prints.
#[derive(Serialize)]
struct DryRun<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<&'a str>,
    path: &'a SecretPath,
    /// What would become of it; absent when no server is known to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ImportState>,
    /// The newest version that is there; absent when there is none, or nobody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // All of the source is judged before anybody is asked for anything.
        let plan = self.plan(context).await?;
        for note in &plan.notes {
            output::say(note);
        }
        if self.dry_run && Known::find(&context.home)?.is_none() {
            show(context, &plan.secrets, None, self.replace)?;
            if !context.json {
                output::say(
                    "no server is known here: whether they exist already was not looked at",
                );
            }
            return Ok(());
        }
        let server = context.operator().await?;
        let mut import = SecretImport {
            secrets: plan.secrets.into_iter().map(item).collect(),
            dry_run: true,
        };
        let preview = server.import_secrets(&context.namespace, &import).await?;
        let stands = Stands::of(&preview);
        let secrets = || import.secrets.iter().map(|item| &item.secret);
        if self.dry_run {
            show(context, secrets(), Some(&preview), self.replace)?;
            if !context.json
                && let Some(words) = stands.in_the_way(import.secrets.len(), self.replace)
            {
                output::say(words);
            }
            return Ok(());
        }
        stands.refuse(
            self.replace,
            &context.namespace,
            "--prefix puts all elsewhere",
        )?;
        if !context.json {
            show(context, secrets(), Some(&preview), self.replace)?;
        }
        stands.keep_what_is_to_be_written(&mut import);
        let count = import.secrets.len();
        if count == 0 {
            if context.json {
                return output::json(&preview);
            }
            output::say(format!("all of it is in {} already", context.namespace));
            return Ok(());
        }
        context.agree(&format!(
            "Write these {count} secrets in {}?",
            context.namespace
        ))?;
        import.dry_run = false;
        let written = server.import_secrets(&context.namespace, &import).await?;
        if context.json {
            return output::json(&written);
        }
        output::say(format!(
            "wrote {} secrets in {}",
            written.written, context.namespace
        ));
        Ok(())
    }

    async fn plan(&self, context: &Context) -> Result<Plan, Failure> {
        let format = match self.format {
            Some(format) => format,
            None => self.found()?,
        };
        if format != Format::Age && !self.identity.is_empty() {
            return Err(Failure::usage("--identity is for exports")
                .because(format_args!("{} is none", self.file.display())));
        }
        let plan = match format {
            Format::Env => dotenv::plan(&self.file, &self.prefix)?,
            Format::Json => json::plan(&self.file, &self.prefix)?,
            Format::Dir => folder::plan(&self.file, &self.prefix)?,
            Format::Age => {
                exported::plan(context, &self.file, &self.prefix, &self.identity).await?
            }
        };
        checked(plan, &self.file.display().to_string())
    }

    /// What the source is, by what it is and begins with.
    fn found(&self) -> Result<Format, Failure> {
        if self.file.is_dir() {
            return Ok(Format::Dir);
        }
        if exported::is_one(&self.file) {
            return Ok(Format::Age);
        }
        if self.file.extension().is_some_and(|end| end == "json") {
            return Ok(Format::Json);
        }
        // What cannot be read is said by who reads it.
        Ok(Format::Env)
    }
}

/// A plan that can be sent.
pub(crate) fn checked(plan: Plan, source: &str) -> Result<Plan, Failure> {
    let failed = |why: String| Failure::usage(format!("nothing was written: {source} {why}"));
    if plan.secrets.is_empty() {
        return Err(failed("has no values".to_owned()));
    }
    if plan.secrets.len() > MOST {
        return Err(failed(format!(
            "has {} values, and one import takes {MOST}",
            plan.secrets.len()
        ))
        .next("bring it in in parts"));
    }
    let mut paths = BTreeSet::new();
    for secret in &plan.secrets {
        if !paths.insert(&secret.path) {
            return Err(failed(format!("has {} twice", secret.path)));
        }
    }
    Ok(plan)
}

/// Everything that is wrong with a source.
pub(crate) fn not_in_order(source: &str, wrong: &[String]) -> Failure {
    Failure::usage(format!("nothing was written: {source} is not in order"))
        .because(format_args!("\n    {}", wrong.join("\n    ")))
}

/// The path of a value.
pub(crate) fn path(prefix: &str, rest: &str) -> Result<SecretPath, procura_types::Malformed> {
    format!("{prefix}{rest}").parse()
}

fn item(secret: PortableSecret) -> ImportItem {
    ImportItem {
        secret,
        expect_version: None,
    }
}

/// What a dry run said, by path.
pub(crate) struct Stands<'a>(BTreeMap<&'a SecretPath, &'a ImportedSecret>);

impl<'a> Stands<'a> {
    pub(crate) fn of(preview: &'a SecretImported) -> Self {
        let rows = preview.secrets.iter();
        Self(rows.map(|row| (&row.path, row)).collect())
    }

    fn paths(&self, state: ImportState) -> Vec<&ImportedSecret> {
        let rows = self.0.values().copied();
        rows.filter(|row| row.state == state).collect()
    }

    /// Refuses all when one of them cannot be written to the namespace. `elsewhere` says
    /// what leads to where nothing is.
    pub(crate) fn refuse(
        &self,
        replace: bool,
        namespace: &Namespace,
        elsewhere: &str,
    ) -> Result<(), Failure> {
        let refused = self.paths(ImportState::Refused);
        if !refused.is_empty() {
            let lines: Vec<String> = refused.iter().map(|row| words(row)).collect();
            return Err(
                Failure::refused("nothing was written, for the server refuses")
                    .because(format_args!("\n    {}", lines.join("\n    "))),
            );
        }
        let taken = self.paths(ImportState::Changed);
        if !taken.is_empty() && !replace {
            let paths: Vec<&str> = taken.iter().map(|row| row.path.as_str()).collect();
            return Err(Failure::usage(format!(
                "nothing was written: these exist already in {namespace}: {}",
                paths.join(", ")
            ))
            .next(format!(
                "--replace writes new versions of them; {elsewhere}"
            )));
        }
        Ok(())
    }

    fn in_the_way(&self, all: usize, replace: bool) -> Option<String> {
        let refused = self.paths(ImportState::Refused).len();
        if refused > 0 {
            return Some(format!(
                "nothing would be written, for {refused} of these {all} are refused"
            ));
        }
        let taken = self.paths(ImportState::Changed).len();
        (taken > 0 && !replace).then(|| {
            format!(
                "nothing would be written, for {taken} of these {all} exist already; --replace writes new versions of them, --prefix puts all elsewhere"
            )
        })
    }

    /// Leaves out what is there already, and holds the rest to what was seen.
    pub(crate) fn keep_what_is_to_be_written(&self, import: &mut SecretImport) {
        import.secrets.retain_mut(|item| {
            let Some(row) = self.0.get(&item.secret.path) else {
                return false;
            };
            item.expect_version = Some(row.latest);
            row.state != ImportState::Same
        });
    }
}

fn words(row: &ImportedSecret) -> String {
    format!(
        "{}: {}",
        row.path,
        row.reason.as_deref().unwrap_or("refused")
    )
}

/// How a secret stands, in words.
pub(crate) fn state(row: &ImportedSecret, replace: bool) -> String {
    let latest = row.latest;
    match row.state {
        ImportState::New => "would be written".to_owned(),
        ImportState::Changed if replace => {
            format!("version {} would be written after {latest}", latest + 1)
        }
        ImportState::Changed => format!("exists already, version {latest}"),
        ImportState::Same => format!("is there already, version {latest}"),
        ImportState::Refused => row.reason.clone().unwrap_or_else(|| "refused".to_owned()),
    }
}

/// Shows what would be written, names only.
pub(crate) fn show<'a>(
    context: &Context,
    secrets: impl IntoIterator<Item = &'a PortableSecret>,
    preview: Option<&SecretImported>,
    replace: bool,
) -> Result<(), Failure> {
    let stands = preview.map(Stands::of);
    let row = |secret: &PortableSecret| {
        let stands = stands.as_ref()?;
        stands.0.get(&secret.path).copied()
    };
    let mut secrets: Vec<&PortableSecret> = secrets.into_iter().collect();
    secrets.sort_by(|one, two| one.path.cmp(&two.path));
    if context.json {
        let rows: Vec<DryRun<'_>> = secrets
            .iter()
            .map(|secret| DryRun {
                env: secret.env.as_ref().map(|env| env.as_str()),
                path: &secret.path,
                state: row(secret).map(|row| row.state),
                exists: row(secret)
                    .map(|row| row.latest)
                    .filter(|latest| *latest > 0),
                reason: row(secret).and_then(|row| row.reason.as_deref()),
            })
            .collect();
        return output::json(&rows);
    }
    let mut table = Table::new(["NAME", "SECRET", ""]);
    for secret in secrets {
        table.row([
            secret
                .env
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            secret.path.to_string(),
            row(secret).map_or_else(|| "would be written".to_owned(), |row| state(row, replace)),
        ]);
    }
    table.print("nothing to write")
}

/// A source's bytes, as a value is read.
fn source(path: &std::path::Path) -> Result<procura_types::SecretBytes, Failure> {
    read_file(path)
}
