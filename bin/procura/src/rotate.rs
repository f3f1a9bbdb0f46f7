//! `rotate`: other keys for what is new, while everything goes on.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::seal::{self, turn_first};
use crate::signing_key;
use crate::unseal_source::{With, proposal_id};
use clap::{Args, Subcommand};
use procura_client::SessionClient;
use procura_types::wire::{NamespaceRotated, RewrapState, Rotation, SigningKeyList, TokenType};
use procura_types::{Namespace, ProposalId};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::time::Duration;

/// How often a rotation is looked at that is waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Turn keys while everything goes on, and show where each stands
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show where the keys stand, and how far a rotation is; for stewards
    #[command(after_help = "Examples:\n  procura rotate status\n  procura rotate status --wait")]
    Status {
        /// Wait until nothing is left under an older key, and say how far it is meanwhile
        #[arg(long)]
        wait: bool,
    },
    /// Change the vault's passphrase, and your key's; the root turns with it
    ///
    /// As `procura passphrase` does.
    #[command(after_help = "Example:\n  procura rotate passphrase")]
    Passphrase(seal::Passphrase),
    /// Make a new root key, and with it other keys for everything that is new
    ///
    /// On the server's machine; asks for what opens the vault, which opens it afterwards
    /// as well. Namespaces, rows, the record and its signature, and sessions get other
    /// keys; what is there is wrapped anew behind it. Sessions of before end.
    #[command(after_help = "Example:\n  procura rotate root")]
    Root {
        /// What the stewards agreed to, where it takes several: procura proposal list
        #[arg(long, value_name = "ID", value_parser = proposal_id)]
        proposal: Option<ProposalId>,
        #[command(flatten)]
        with: With,
    },
    /// Make sessions from another root, as `rotate root`; those of before go on until their end
    #[command(
        after_help = "Examples:\n  procura rotate sessions\n  procura rotate sessions --end-sessions"
    )]
    Sessions(Sessions),
    /// Sign and chain the record with other keys, as `rotate root`; sessions go on
    ///
    /// The key of before signs beside the new one for 30 days, and whoever knows it is
    /// led to the new one.
    #[command(after_help = "Example:\n  procura rotate ledger")]
    Ledger(Sessions),
    /// Give namespaces another key; for their admins, or stewards
    #[command(
        after_help = "Examples:\n  procura rotate namespace shop bank\n  procura rotate namespace --all"
    )]
    Namespace(Namespaces),
    /// Have the next key sign tokens, as `signing-key roll`; for stewards
    #[command(
        after_help = "Examples:\n  procura rotate tokens\n  procura rotate tokens --tokens project"
    )]
    Tokens(signing_key::Which),
}

/// What becomes of sessions.
#[derive(Debug, Args)]
pub(crate) struct Sessions {
    /// End the sessions of before at once
    #[arg(long)]
    end_sessions: bool,
    /// What the stewards agreed to, where it takes several: procura proposal list
    #[arg(long, value_name = "ID", value_parser = proposal_id)]
    proposal: Option<ProposalId>,
    #[command(flatten)]
    with: With,
}

/// Which namespaces.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct Namespaces {
    /// Their names
    #[arg(value_name = "NAME", group = "which")]
    names: Vec<Namespace>,
    /// All that you have a part in
    #[arg(long, group = "which")]
    all: bool,
}

/// What `rotate root` prints with `--json`, and those that are one with it.
#[derive(Serialize)]
struct Turned {
    root: bool,
    sessions_go_on: bool,
}

/// What `rotate namespace --json` prints.
#[derive(Serialize)]
struct NamespacesTurned {
    namespaces: Vec<NamespaceRotated>,
}

/// What `rotate status --json` prints.
#[derive(Serialize)]
struct Standing {
    #[serde(flatten)]
    rotation: Rotation,
    agent_token_keys: SigningKeyList,
    project_token_keys: SigningKeyList,
    daemon_token_keys: SigningKeyList,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Status { wait } => status(context, wait).await,
            Self::Passphrase(command) => command.run(context).await,
            Self::Root { proposal, with } => root(context, with, false, proposal).await,
            Self::Sessions(wish) | Self::Ledger(wish) => {
                root(context, wish.with, !wish.end_sessions, wish.proposal).await
            }
            Self::Namespace(wish) => namespaces(context, wish).await,
            Self::Tokens(which) => signing_key::Command::Roll(which).run(context).await,
        }
    }
}

/// Turns the root, and everything with it.
async fn root(
    context: &Context,
    with: With,
    sessions_go_on: bool,
    proposal: Option<ProposalId>,
) -> Result<(), Failure> {
    let opening = with.ask(context).await?;
    let how = match sessions_go_on {
        true => "rotate-root --sessions-go-on",
        false => "rotate-root",
    };
    context
        .admin()
        .rotate_root(&opening, sessions_go_on, proposal)
        .await
        .map_err(|error| turn_first(context, error, how))?;
    let sessions = match sessions_go_on {
        true => "sessions of before go on until their end",
        false => "sessions of before have ended",
    };
    let words = format!(
        "the vault has a new root key; {sessions}. What is there is being wrapped anew: procura rotate status --wait"
    );
    let turned = Turned {
        root: true,
        sessions_go_on,
    };
    output::done(context.json, &turned, words)
}

async fn namespaces(context: &Context, wish: Namespaces) -> Result<(), Failure> {
    let server = context.operator().await?;
    let names = if wish.all {
        let list = server.namespaces().await?.namespaces;
        list.into_iter().map(|namespace| namespace.name).collect()
    } else {
        wish.names
    };
    let mut turned = Vec::with_capacity(names.len());
    for name in &names {
        let rotated = server.rotate_namespace(name).await?;
        if !context.json {
            output::say(format!("{name} has key {}", rotated.key_epoch));
        }
        turned.push(rotated);
    }
    if context.json {
        return output::json(&NamespacesTurned { namespaces: turned });
    }
    output::say(
        "what is there is being wrapped anew, and procura status says so until that is over; how far it is: procura rotate status --wait, for stewards",
    );
    Ok(())
}

/// Looks until a rotation is over; whoever watches is told how far it is.
async fn over(server: &SessionClient) -> Result<(), Failure> {
    let watched = std::io::stderr().is_terminal();
    loop {
        let rotation = server.rotation().await?;
        match rotation.rewrapping {
            None if rotation.root_settled => return Ok(()),
            Some(pass) if watched => output::say(far(&pass)),
            _ => {}
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// How far a pass is, for people.
fn far(pass: &RewrapState) -> String {
    format!(
        "being wrapped anew: {} keys of values so far, {} namespaces left",
        pass.wrapped,
        pass.namespaces.len()
    )
}

async fn status(context: &Context, wait: bool) -> Result<(), Failure> {
    let server = context.operator().await?;
    if wait {
        over(&server).await?;
    }
    let standing = Standing {
        rotation: server.rotation().await?,
        agent_token_keys: server.signing_keys(TokenType::Agent).await?,
        project_token_keys: server.signing_keys(TokenType::Project).await?,
        daemon_token_keys: server.signing_keys(TokenType::Daemon).await?,
    };
    if context.json {
        return output::json(&standing);
    }
    let Standing {
        rotation,
        agent_token_keys,
        project_token_keys,
        daemon_token_keys,
    } = standing;
    let mut table = Table::new(["KEY", "STATE", "UNTIL", "WHICH"]);
    let settled = match rotation.root_settled {
        true => "active",
        false => "turning",
    };
    let none = String::new;
    table.row([
        "root".to_owned(),
        settled.to_owned(),
        none(),
        format!("epoch {}", rotation.root_epoch),
    ]);
    for root in &rotation.sessions {
        let state = root.until.map_or("active", |_| "retiring");
        let until = root.until.map_or_else(none, |until| until.to_string());
        let which = format!("epoch {}", root.epoch);
        table.row(["sessions".to_owned(), state.to_owned(), until, which]);
    }
    for key in &rotation.ledger_keys {
        let until = key.until.map_or_else(none, |until| until.to_string());
        let state = key.state.as_str().to_owned();
        table.row(["record".to_owned(), state, until, key.vkey.clone()]);
    }
    for (what, list) in [
        ("agent tokens", agent_token_keys),
        ("project tokens", project_token_keys),
        ("daemon tokens", daemon_token_keys),
    ] {
        for key in list.keys {
            let state = key.state.as_str().to_owned();
            table.row([what.to_owned(), state, none(), key.kid.to_string()]);
        }
    }
    for namespace in &rotation.namespaces {
        let state = match namespace.key_epochs.len() {
            0 | 1 => "active",
            _ => "turning",
        };
        let newest = namespace.key_epochs.last().copied().unwrap_or_default();
        table.row([
            format!("namespace {}", namespace.name),
            state.to_owned(),
            none(),
            format!("key {newest}"),
        ]);
    }
    table.print("no keys")?;
    match rotation.rewrapping {
        Some(pass) => output::say(far(&pass)),
        None => output::say("nothing is left under an older key"),
    }
    Ok(())
}
