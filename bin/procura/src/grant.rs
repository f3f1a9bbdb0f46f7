//! `grant`: what agents may have, and taking it back.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::request::describe_caller;
use clap::Subcommand;
use procura_client::{ClientError, Page, SessionClient};
use procura_types::wire::{Grant, GrantList, Withdrawn};
use procura_types::{GrantId, Namespace, Timestamp};

/// See what agents may have, and take it back
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List grants; those that hold, unless told otherwise
    #[command(after_help = "Example:\n  procura grant list --all")]
    List {
        /// Those that were withdrawn, have ended or whose agent is revoked too
        #[arg(long)]
        all: bool,
    },
    /// Show a grant
    #[command(after_help = "Example:\n  procura grant show 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11")]
    Show {
        /// The grant
        id: GrantId,
    },
    /// Withdraw a grant: the next read under it is refused
    #[command(
        after_help = "Example:\n  procura grant withdraw 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11"
    )]
    Withdraw {
        /// The grant
        id: GrantId,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let namespace = &context.namespace;
        match self {
            Self::List { all } => {
                let mut found = GrantList {
                    grants: every(&server, namespace).await?,
                    next: None,
                };
                let now = context.now();
                if !all {
                    found.grants.retain(|grant| holds(grant, now));
                }
                if context.json {
                    return output::json(&found);
                }
                print(found.grants, now)
            }
            Self::Show { id } => {
                let grant = server.grant(namespace, id).await?;
                if context.json {
                    return output::json(&grant);
                }
                output::line(output::plain(&describe(&grant, context.now())))
            }
            Self::Withdraw { id } => {
                // Only for the words: what cannot be looked at is withdrawn too.
                let before = server.grant(namespace, id).await.ok();
                let withdrawn = server.withdraw(namespace, id).await?;
                if context.json {
                    return output::json(&withdrawn);
                }
                match before.and_then(|grant| grant.withdrawn) {
                    Some(when) => output::say(format!("{id} was withdrawn already, {when}")),
                    None => output::say(format!(
                        "withdrawn {id}: no read passes under this grant from now on"
                    )),
                }
                match every(&server, namespace).await {
                    Ok(grants) => tell_others(&withdrawn.grant, &grants, context.now()),
                    Err(error) => output::say(output::plain(&format!(
                        "whether other grants cover the same is not known ({error}); procura -n {namespace} grant list shows it"
                    ))),
                }
                tell_running(&withdrawn);
                Ok(())
            }
        }
    }
}

/// All grants of a namespace.
async fn every(server: &SessionClient, namespace: &Namespace) -> Result<Vec<Grant>, ClientError> {
    let mut grants = Vec::new();
    let mut page = Page::first();
    loop {
        let part = server.grants(namespace, &page).await?;
        grants.extend(part.grants);
        match part.next {
            Some(next) => page = Page::after(next),
            None => return Ok(grants),
        }
    }
}

fn holds(grant: &Grant, now: Timestamp) -> bool {
    !grant.agent_revoked && grant.withdrawn.is_none() && now < grant.until
}

/// The names by which the agent of a withdrawn grant still gets a secret of it
/// under `other`: the same name in the same project, or the same secret.
fn still(withdrawn: &Grant, other: &Grant, now: Timestamp) -> Vec<String> {
    if other.id == withdrawn.id || other.agent != withdrawn.agent || !holds(other, now) {
        return Vec::new();
    }
    let same_project = other.project == withdrawn.project;
    other
        .items
        .iter()
        .filter(|item| {
            withdrawn
                .items
                .iter()
                .any(|gone| gone.path == item.path || (same_project && gone.name == item.name))
        })
        .map(|item| item.name.to_string())
        .collect()
}

fn tell_others(withdrawn: &Grant, grants: &[Grant], now: Timestamp) {
    for other in grants {
        let names = still(withdrawn, other, now);
        if names.is_empty() {
            continue;
        }
        let elsewhere = if other.project == withdrawn.project {
            String::new()
        } else {
            format!(" (project {})", other.project)
        };
        output::say(output::plain(&format!(
            "still granted to {} by {}: {}{elsewhere}",
            other.lineage,
            other.id,
            names.join(",")
        )));
    }
}

fn state(grant: &Grant, now: Timestamp) -> String {
    match grant.withdrawn {
        Some(when) => format!("withdrawn {when}"),
        None if grant.until <= now => format!("ended {}", grant.until),
        None if grant.agent_revoked => "agent revoked".to_owned(),
        None => format!("until {}", grant.until),
    }
}

fn print(grants: Vec<Grant>, now: Timestamp) -> Result<(), Failure> {
    let mut table = Table::new(["GRANT", "AGENT", "PROJECT", "NAMES", "STATE"]);
    for grant in grants {
        let names: Vec<_> = grant.items.iter().map(|item| item.name.as_str()).collect();
        table.row([
            grant.id.to_string(),
            grant.lineage.clone(),
            grant.project.to_string(),
            names.join(","),
            state(&grant, now),
        ]);
    }
    table.print("no grants")
}

fn describe(grant: &Grant, now: Timestamp) -> String {
    let mut lines = vec![
        format!("grant      {} ({})", grant.id, state(grant, now)),
        format!("agent      {} ({})", grant.lineage, grant.agent),
        format!("project    {} in {}", grant.project, grant.namespace),
        format!("delivery   {}", grant.delivery.as_str()),
        format!("from       {}", grant.from),
        format!(
            "approved   {} by {}, {} {}",
            grant.receipt.time,
            grant.receipt.approver,
            match grant.receipt.assertion {
                Some(_) => "passkey",
                None => "device",
            },
            grant.receipt.device
        ),
        "covers".to_owned(),
    ];
    lines.extend(
        grant
            .items
            .iter()
            .map(|item| format!("  {} = {}", item.name, item.path)),
    );
    lines.join("\n")
}

fn tell_running(withdrawn: &Withdrawn) {
    if withdrawn.running.is_empty() {
        return;
    }
    output::say("these processes have the values from before, which cannot be taken back:");
    for child in &withdrawn.running {
        let mut lines = vec![format!(
            "run {} since {} on device {}",
            child.run, child.started, child.device
        )];
        if let Some(caller) = &child.caller {
            lines.push("  as its machine says (not checked)".to_owned());
            lines.extend(describe_caller(caller));
        }
        output::say(output::plain(&lines.join("\n")));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Grant, still};
    use procura_types::Timestamp;
    use serde_json::json;

    /// A grant of November that was not withdrawn; of items, name and path.
    pub(crate) fn grant(id: u8, agent: u8, project: &str, items: &[(&str, &str)]) -> Grant {
        let actor = procura_types::ActorId::from_bytes([agent; 32]).to_string();
        let key = procura_types::Thumbprint::from_bytes([1; 32]).to_string();
        let items: Vec<_> = items
            .iter()
            .map(|(name, path)| json!({ "name": name, "path": path }))
            .collect();
        serde_json::from_value(json!({
            "id": format!("01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a{id:02x}"),
            "namespace": "default",
            "agent": actor,
            "lineage": "alice//scribe",
            "project": project,
            "delivery": "env",
            "items": items,
            "from": "2026-11-01T00:00:00.000Z",
            "until": "2026-12-01T00:00:00.000Z",
            "receipt": {
                "grant": "",
                "approver": actor,
                "device": key,
                "key": { "kty": "OKP", "crv": "Ed25519", "x": key },
                "time": "2026-11-01T00:00:00.000Z",
                "signature": "",
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_another_grant_still_gives_is_told() {
        let now: Timestamp = "2026-11-02T00:00:00.000Z".parse().unwrap();
        let gone = grant(1, 7, "shop", &[("API_KEY", "a/key"), ("DB_URL", "a/db")]);
        let shared = grant(2, 7, "shop", &[("API_KEY", "a/new"), ("OTHER", "a/other")]);
        assert_eq!(still(&gone, &shared, now), ["API_KEY"]);
        // The same secret under another name, in another project.
        let moved = grant(3, 7, "till", &[("KEY", "a/key"), ("DB_URL", "b/db")]);
        assert_eq!(still(&gone, &moved, now), ["KEY"]);

        let stranger = grant(4, 8, "shop", &[("API_KEY", "a/key")]);
        let mut ended = shared.clone();
        ended.until = now;
        let mut withdrawn = shared.clone();
        withdrawn.withdrawn = Some(now);
        for other in [&gone, &stranger, &ended, &withdrawn] {
            assert!(still(&gone, other, now).is_empty(), "{}", other.id);
        }
    }
}
