//! `unseal`, `seal` and `passphrase`: opening and closing the vault.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::proposal::agree_first;
use crate::unseal_source::proposal_id;
use crate::{operator_key, output, unseal_source};
use clap::Args;
use procura_client::ClientError;
use procura_types::wire::{ShareProgress, Status};
use procura_types::{Label, ProposalId, Secret};
use serde::Serialize;
use std::path::PathBuf;

/// Open the vault; on the server's machine
///
/// With the passphrase, with a source that a token, a chip or a service keeps, or with
/// shares: all at this terminal one after the other, or each
/// at its holder's, who passes the name of the ceremony on.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura unseal\n  procura unseal --passphrase-fd 3 3< passphrase.txt\n  procura unseal --source hsm\n  procura unseal --shares\n  procura unseal --share\n  procura unseal --share --ceremony 0cRkLqg0tXJqPUZm2Z9Qug"
)]
pub(crate) struct Unseal {
    /// Bring shares, one after the other, until the vault is open
    #[arg(long)]
    shares: bool,
    /// Bring one share
    #[arg(long, conflicts_with = "shares")]
    share: bool,
    /// Open it with the source of this name, which a token, a chip or a service keeps
    #[arg(long, value_name = "NAME", conflicts_with_all = ["shares", "share"])]
    source: Option<Label>,
    /// With --source: a file with what it asks for; nobody else may read it [default: what unseal_credentials of procura.toml names; the PIN of a token is asked for]
    #[arg(long, value_name = "FILE", requires = "source")]
    credentials: Option<PathBuf>,
    /// With --source: do not ask for a PIN, take what unseal_credentials names
    #[arg(long, requires = "source", conflicts_with = "credentials")]
    configured: bool,
    /// The ceremony that the share is for, as the first holder was told
    // One in 64 begins with a hyphen.
    #[arg(
        long,
        value_name = "NAME",
        requires = "share",
        allow_hyphen_values = true
    )]
    ceremony: Option<String>,
}

/// Close the vault: nothing can be read or changed until an unseal
///
/// It does not open by itself until somebody opens it, after a restart neither. The signal
/// SIGUSR1 to the server does the same.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura seal")]
pub(crate) struct Seal {}

/// Change the vault's passphrase, which makes a new root key; on the server's machine
///
/// The operator's key in this home gets the new passphrase too, if it had the
/// old one. With --passphrase-fd: the old one on the first line, the new one on
/// the second.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  procura passphrase\n  procura passphrase --key-only")]
pub(crate) struct Passphrase {
    /// Change the passphrase of the operator's key alone
    #[arg(long)]
    key_only: bool,
    /// What the stewards agreed to, where it takes several: procura proposal list
    #[arg(long, value_name = "ID", value_parser = proposal_id, conflicts_with = "key_only")]
    proposal: Option<ProposalId>,
}

/// What `seal --json` prints.
#[derive(Serialize)]
struct Sealed {
    sealed: bool,
}

/// What `passphrase --json` prints: what has the new passphrase.
#[derive(Serialize)]
struct Changed {
    vault: bool,
    operator_key: bool,
}

/// Makes a failure of the administration socket say where it has to be.
pub(crate) fn on_the_machine(context: &Context, error: ClientError) -> Failure {
    match error {
        ClientError::Unreachable { cause, .. } => Failure::unreachable(format!(
            "no server answers at {}",
            context.home.admin_socket().display()
        ))
        .because(cause)
        .next("on the server's machine, as its user, with its --home"),
        other => other.into(),
    }
}

/// The same of what turns the root: where it takes several stewards, it says what they
/// agree to.
pub(crate) fn turn_first(context: &Context, error: ClientError, how: &str) -> Failure {
    if error.is_refusal("approvals_needed") {
        return agree_first(error, how);
    }
    on_the_machine(context, error)
}

impl Unseal {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let admin = context.admin();
        // Nothing is asked for that would not be looked at. A server that does
        // not answer says so when it is to unseal.
        if let Ok(status) = admin.status().await
            && status.initialized
            && !status.sealed
        {
            return opened(context, &status, "the vault is open already");
        }
        if self.shares || self.share {
            return self.bring(context).await;
        }
        if let Some(name) = self.source {
            let file = self.credentials.as_deref();
            let opening = unseal_source::source(context, name, file, self.configured).await?;
            admin
                .unseal_with(&opening)
                .await
                .map_err(|error| on_the_machine(context, error))?;
            return opened(context, &admin.status().await?, "unsealed");
        }
        let passphrase = context.passphrases.ask("The vault's passphrase").await?;
        admin
            .unseal(&passphrase)
            .await
            .map_err(|error| on_the_machine(context, error))?;
        opened(context, &admin.status().await?, "unsealed")
    }

    /// Brings shares: one, or as many as it takes.
    async fn bring(self, context: &Context) -> Result<(), Failure> {
        let admin = context.admin();
        let mut ceremony = self.ceremony;
        let mut question = "The share".to_owned();
        loop {
            let share = context.passphrases.ask(&question).await?;
            // Nobody was told the name of one that this command began.
            let begun = ceremony.as_deref().filter(|_| !self.share);
            let progress = admin
                .bring_share(&share, ceremony.as_deref())
                .await
                .map_err(|error| not_taken(context, error, begun))?;
            if progress.opened {
                return opened(context, &admin.status().await?, "unsealed");
            }
            let ShareProgress {
                ceremony: name,
                have,
                need,
                ..
            } = &progress;
            if self.share {
                let words = format!(
                    "{have} of {need} shares; whoever holds another types: procura unseal --share --ceremony {name}"
                );
                return output::done(context.json, &progress, &words);
            }
            question = format!("Share {} of {need}", have.saturating_add(1));
            ceremony = Some(name.clone());
        }
    }
}

/// A ceremony that there is not begins anew; the words of other names do not help. What
/// was brought before a mistake is not brought once more.
fn not_taken(context: &Context, error: ClientError, begun: Option<&str>) -> Failure {
    let is_unknown = error.is_refusal("not_found");
    let failure = on_the_machine(context, error);
    match begun {
        _ if is_unknown => failure.next("procura unseal --share, which begins another ceremony"),
        Some(name) => failure.next(format!(
            "the shares before it count for half an hour: procura unseal --share --ceremony {name}"
        )),
        None => failure,
    }
}

/// Refuses a new passphrase that is the one of today: whoever changes it because it was
/// seen would believe that it is changed.
fn another(current: &Secret<String>, new: &Secret<String>) -> Result<(), Failure> {
    if new == current {
        return Err(Failure::usage(
            "the new passphrase is the one of today, so nothing was changed",
        )
        .next("the command again, with another one"));
    }
    Ok(())
}

fn opened(context: &Context, status: &Status, words: &str) -> Result<(), Failure> {
    if context.json {
        return output::json(status);
    }
    output::say(words);
    for why in &status.degraded {
        output::say(output::plain(&format!("degraded: {why}")));
    }
    Ok(())
}

impl Seal {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        context.operator().await?.seal().await?;
        output::done(
            context.json,
            &Sealed { sealed: true },
            "sealed; procura unseal opens it again",
        )
    }
}

impl Passphrase {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let current = context.passphrases.ask("The passphrase of today").await?;
        // Whether the key goes along is decided before anything changes.
        let key = match operator_key::public(&context.home)? {
            Some(_) => operator_key::unlock(&context.home, &current),
            None => Err(Failure::config("there is no operator's key in this home")),
        };
        if self.key_only {
            let key = key?;
            let new = context.passphrases.ask_new("The new passphrase").await?;
            another(&current, &new)?;
            operator_key::change_passphrase(&context.home, &key, &new, context.entropy())?;
            let changed = Changed {
                vault: false,
                operator_key: true,
            };
            return output::done(
                context.json,
                &changed,
                "the operator's key has the new passphrase",
            );
        }
        let new = context.passphrases.ask_new("The new passphrase").await?;
        another(&current, &new)?;
        context
            .admin()
            .change_passphrase(&current, &new, self.proposal)
            .await
            .map_err(|error| turn_first(context, error, "rotate-root --passphrase"))?;
        let mut changed = Changed {
            vault: true,
            operator_key: false,
        };
        // Said before the key's turn, which can fail.
        output::say(
            "the vault has the new passphrase and a new root key; older backups still open with the old one",
        );
        if let Ok(key) = key {
            operator_key::change_passphrase(&context.home, &key, &new, context.entropy())?;
            changed.operator_key = true;
            output::say("the operator's key has the new passphrase too");
        } else if Known::find(&context.home)?.is_some() {
            output::say("the operator's key has a passphrase of its own, which stays as it is");
        }
        if context.json {
            return output::json(&changed);
        }
        Ok(())
    }
}
