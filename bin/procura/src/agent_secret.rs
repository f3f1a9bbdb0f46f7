//! `agent secret`: what agents of other systems share with the server, for the profiles
//! with a MAC.

use crate::agent_foreign::unbound;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Subcommand;
use procura_types::wire::{AgentSecretAge, AgentSecretRotate, ForeignIdentity};
use procura_types::{ForeignId, Timestamp};
use serde::Serialize;

/// Make, list and end secrets of agents for the profiles with a MAC
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make another secret, and print it once
    ///
    /// The ones from before are good for some days beside it (agent_secret_grace_days);
    /// at most three are good at once.
    #[command(
        after_help = "Examples:\n  procura agent secret rotate scribe-7 > secret.txt\n  procura agent secret rotate scribe-7 --invalidate"
    )]
    Rotate {
        /// The id of another system
        id: ForeignId,
        /// End the ones from before at once: somebody else may have one
        #[arg(long)]
        invalidate: bool,
    },
    /// List the secrets of the namespace, and how old they are
    #[command(after_help = "Example:\n  procura agent secret list")]
    List,
    /// Show how old the secrets of one id are
    #[command(after_help = "Example:\n  procura agent secret show scribe-7")]
    Show {
        /// The id of another system
        id: ForeignId,
    },
    /// End all secrets of an id at once
    #[command(after_help = "Example:\n  procura agent secret revoke scribe-7")]
    Revoke {
        /// The id of another system
        id: ForeignId,
    },
}

/// What `--json` prints of an end.
#[derive(Serialize)]
struct Revoked {
    revoked: ForeignId,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let namespace = &context.namespace;
        match self {
            Self::Rotate { id, invalidate } => {
                let rotate = AgentSecretRotate { invalidate };
                let server = context.operator().await?;
                let before = server.foreign_id(namespace, &id).await.map_err(unbound)?;
                let made = server
                    .rotate_agent_secret(namespace, &id, &rotate)
                    .await
                    .map_err(unbound)?;
                if context.json {
                    return output::json(&made);
                }
                output::say(beside(&before.secrets, &made.secrets));
                output::line(&made.secret)
            }
            Self::List => {
                let list = context.operator().await?.foreign_ids(namespace).await?;
                if context.json {
                    return output::json(&list);
                }
                print(&list.ids, context.now())
            }
            Self::Show { id } => {
                let server = context.operator().await?;
                let found = server.foreign_id(namespace, &id).await.map_err(unbound)?;
                if context.json {
                    return output::json(&found);
                }
                print(std::slice::from_ref(&found), context.now())
            }
            Self::Revoke { id } => {
                context.confirm(&format!(
                    "End all secrets of {id}? It cannot prove itself with a MAC until it has another."
                ))?;
                let server = context.operator().await?;
                server
                    .revoke_agent_secrets(namespace, &id)
                    .await
                    .map_err(unbound)?;
                let words = format!("no secret of {id} is good any more");
                output::done(context.json, &Revoked { revoked: id }, words)
            }
        }
    }
}

/// What is good beside a new secret, and whether one had to go for it; both lists have
/// the newest first.
fn beside(before: &[AgentSecretAge], after: &[AgentSecretAge]) -> String {
    let Some(last) = after.get(1) else {
        return "shown once; no other secret is good".to_owned();
    };
    let good = format!(
        "shown once; the secret from before is good until {}",
        last.ends
    );
    // As many as before, though one was made.
    if before.len() < after.len() {
        return good;
    }
    format!("{good}; the oldest of three ended now")
}

fn print(ids: &[ForeignIdentity], now: Timestamp) -> Result<(), Failure> {
    let mut table = Table::new(["ID", "AGENT", "MADE", "AGE", "ENDS", "STATE"]);
    for id in ids {
        for secret in &id.secrets {
            table.row([
                id.agent_id.to_string(),
                id.agent.to_string(),
                secret.created.to_string(),
                days(secret, now),
                secret.ends.to_string(),
                state(secret, now).to_owned(),
            ]);
        }
    }
    table.print("no secrets of agents")
}

fn days(secret: &AgentSecretAge, now: Timestamp) -> String {
    match now.since(secret.created).as_secs() / (24 * 60 * 60) {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn state(secret: &AgentSecretAge, now: Timestamp) -> &'static str {
    if now >= secret.due {
        "due: rotate it"
    } else if secret.ends < secret.due {
        "replaced"
    } else {
        "good"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_types::Duration;

    #[test]
    fn a_secret_is_good_then_due_and_one_that_was_replaced_says_so() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let made = Timestamp::from_secs(1_800_000_000);
        let mut secret = AgentSecretAge {
            created: made,
            due: made.plus(DAY * 90),
            ends: made.plus(DAY * 97),
        };
        let at = |secret: &AgentSecretAge, days| {
            let now = made.plus(DAY * days);
            format!("{} {}", self::days(secret, now), state(secret, now))
        };
        assert_eq!(at(&secret, 0), "0 days good");
        assert_eq!(at(&secret, 1), "1 day good");
        assert_eq!(at(&secret, 90), "90 days due: rotate it");
        secret.ends = made.plus(DAY * 7);
        assert_eq!(at(&secret, 3), "3 days replaced");
    }
}
