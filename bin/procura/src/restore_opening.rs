//! With what a restored home is opened: what opened the vault when its backup was taken.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::restore::refused;
use crate::unseal_source::shares;
use crate::unseal_wrapper::bring;
use clap::Args;
use procura_server::restoring::{OpenedWith, RestoreError, sources};
use procura_types::Label;
use procura_types::wire::{Opening, SourceOpening};
use std::path::{Path, PathBuf};

/// With what the vault was opened at the time of the backup.
#[derive(Debug, Clone, Args)]
pub(crate) struct With {
    /// Bring shares instead of the passphrase
    #[arg(long)]
    shares: bool,
    /// Open it with the unseal source of this name, which a token, a chip or a service keeps: that one is asked, and nobody else
    #[arg(long, value_name = "NAME", conflicts_with = "shares")]
    source: Option<Label>,
    /// With --source: a file with what it asks for; nobody else may read it [default: what unseal_credentials of --config names; the PIN of a token is asked for]
    #[arg(long, value_name = "FILE", requires = "source")]
    credentials: Option<PathBuf>,
    /// The server's configuration, whose unseal_at says where tokens, chips and services are: the backup is not believed about that [default: procura.toml in the restored home]
    #[arg(long, env = "PROCURA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl With {
    /// The configuration that is gone by.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Asks for it. Says what the home takes when that is not what was named.
    pub(crate) async fn ask(&self, context: &Context, home: &Path) -> Result<Opening, Failure> {
        if self.shares {
            return shares(context).await.map(Opening::Shares);
        }
        let known = sources(home).map_err(refused)?;
        let Some(name) = &self.source else {
            if known.iter().any(|source| source.passphrase) {
                let question = "The vault's passphrase when the backup was taken";
                return Ok(Opening::Passphrase(
                    context.passphrases.ask(question).await?,
                ));
            }
            return Err(
                Failure::usage("no passphrase opened the vault when the backup was taken")
                    .because(listed(&known))
                    .next(self.instead(&known)),
            );
        };
        let Some(found) = known.iter().find(|source| source.name == *name) else {
            return Err(
                Failure::usage(format!("there is no unseal source {name} in the backup"))
                    .because(listed(&known))
                    .next(self.instead(&known)),
            );
        };
        if !found.wrapped {
            return Err(
                Failure::usage(format!("{name} takes {}", output::plain(&found.needs)))
                    .next(self.instead(std::slice::from_ref(found))),
            );
        }
        let file = self.credentials.as_deref();
        let credentials = bring(context, found.kind, name, file, false).await?;
        // Whoever made the file chose where that is.
        output::say(format!(
            "{name} is asked for its key; it takes {}",
            output::plain(&found.needs)
        ));
        Ok(Opening::Source(SourceOpening {
            name: name.clone(),
            credentials,
        }))
    }

    /// What to type in the place of what was brought, by the first that there is.
    fn instead(&self, known: &[OpenedWith]) -> String {
        let (by, with) = match known.first() {
            Some(source) if source.wrapped => {
                let file = match source.kind {
                    "tpm" => "",
                    _ => " --credentials FILE",
                };
                ("--source", format!("--source {}{file}", source.name))
            }
            Some(source) if !source.passphrase => ("--shares", "--shares".to_owned()),
            Some(source) => ("", format!("the passphrase of the source {}", source.name)),
            None => ("", "what opened the vault then".to_owned()),
        };
        let typed = match (self.shares, &self.source) {
            (true, _) => "--shares",
            (false, Some(_)) => "--source",
            (false, None) => by,
        };
        if typed == by {
            format!("the same command with {with}")
        } else {
            format!("the same command without {typed}, with {with}")
        }
    }
}

/// Says of what did not open with what was brought, what does open it.
pub(crate) fn not_opened(home: &Path, with: &With, error: RestoreError) -> Failure {
    if let RestoreError::Unplaced { name, lines, why } = &error {
        return Failure::usage(format!("nothing says where the keeper of {name} is"))
            .because(why)
            .next(format!(
                "the same command with --config FILE, in which is:\n{lines}"
            ));
    }
    let opens = matches!(error, RestoreError::Seal(_));
    let known = if opens { sources(home).ok() } else { None };
    let text = error.to_string();
    let failure = refused(error);
    match known {
        Some(known) => failure
            .because(format_args!("{text}; {}", listed(&known)))
            .next(with.instead(&known)),
        None => failure,
    }
}

/// What opens it, with what each takes.
fn listed(known: &[OpenedWith]) -> String {
    let each: Vec<String> = known
        .iter()
        .map(|source| {
            let needs = output::plain(&source.needs);
            format!("{} ({}) with {needs}", source.name, source.kind)
        })
        .collect();
    format!(
        "what opened the vault when the backup was taken: {}",
        each.join("; ")
    )
}
