//! `namespace`: units of isolation.

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::{named, namespace_end};
use clap::{Args, Subcommand};
use procura_types::wire::{NamespaceDetail, Quota};
use procura_types::{DisplayName, Namespace};

/// Make, show and delete namespaces, the units of isolation
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a namespace
    #[command(after_help = "Example:\n  procura namespace create staging")]
    Create {
        /// Its name
        name: Namespace,
    },
    /// List the namespaces that you have a part in
    #[command(after_help = "Example:\n  procura namespace list --json")]
    List,
    /// Show a namespace, its quota, and how much is in it
    #[command(after_help = "Example:\n  procura namespace show staging")]
    Show {
        /// Which
        name: Namespace,
    },
    /// Say how much a namespace may hold, or show it
    ///
    /// What is not named keeps its bound. What was deleted counts until it is destroyed.
    #[command(
        after_help = "Examples:\n  procura namespace quota staging --secrets 200 --bytes 10000000\n  procura namespace quota staging --no-bytes\n  procura namespace quota staging"
    )]
    Quota(QuotaArgs),
    /// Say what people call a namespace
    ///
    /// Its name never changes, and nothing is decided by this one.
    #[command(
        after_help = "Examples:\n  procura namespace display-name staging \"Staging, Frankfurt\"\n  procura namespace display-name staging --clear"
    )]
    DisplayName {
        /// Which
        name: Namespace,
        /// What people call it: a line of at most 64 characters
        #[arg(required_unless_present = "clear", conflicts_with = "clear")]
        display_name: Option<DisplayName>,
        /// It is called by its name alone
        #[arg(long)]
        clear: bool,
    },
    Delete(namespace_end::Args),
}

/// The bounds of a namespace.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Which
    name: Namespace,
    /// Most secrets
    #[arg(long, value_name = "N", conflicts_with = "no_secrets")]
    secrets: Option<u64>,
    /// Most versions of one secret
    #[arg(long, value_name = "N", conflicts_with = "no_versions_per_secret")]
    versions_per_secret: Option<u64>,
    /// Most versions of all secrets together
    #[arg(long, value_name = "N", conflicts_with = "no_versions")]
    versions: Option<u64>,
    /// Most bytes of all values together
    #[arg(long, value_name = "N", conflicts_with = "no_bytes")]
    bytes: Option<u64>,
    /// Any number of secrets
    #[arg(long)]
    no_secrets: bool,
    /// Any number of versions of one secret
    #[arg(long)]
    no_versions_per_secret: bool,
    /// Any number of versions together
    #[arg(long)]
    no_versions: bool,
    /// Any number of bytes
    #[arg(long)]
    no_bytes: bool,
}

impl QuotaArgs {
    /// The quota after the change.
    fn apply(&self, before: Quota) -> Quota {
        let bound = |said: Option<u64>, none: bool, before: Option<u64>| match none {
            true => None,
            false => said.or(before),
        };
        Quota {
            secrets: bound(self.secrets, self.no_secrets, before.secrets),
            versions_per_secret: bound(
                self.versions_per_secret,
                self.no_versions_per_secret,
                before.versions_per_secret,
            ),
            versions: bound(self.versions, self.no_versions, before.versions),
            bytes: bound(self.bytes, self.no_bytes, before.bytes),
        }
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // Asks before it connects.
        if let Self::Delete(args) = self {
            return args.run(context).await;
        }
        let server = context.operator().await?;
        match self {
            Self::Create { name } => {
                let made = server.create_namespace(&name).await?;
                if context.json {
                    return output::json(&made);
                }
                output::say(format!("made the namespace {}", made.name));
                Ok(())
            }
            Self::List => {
                let list = server.namespaces().await?;
                if context.json {
                    return output::json(&list);
                }
                let mut table = Table::new(["NAMESPACE", "CALLED", "CREATED"]);
                for namespace in list.namespaces {
                    table.row([
                        namespace.name.to_string(),
                        named::cell(namespace.display_name.as_ref()),
                        namespace.created.to_string(),
                    ]);
                }
                table.print("no namespaces")
            }
            Self::Show { name } => show(context, &server.namespace(&name).await?),
            Self::Quota(args) => {
                let before = server.namespace(&args.name).await?;
                let quota = args.apply(before.quota);
                if quota == before.quota {
                    return show(context, &before);
                }
                show(context, &server.set_quota(&args.name, &quota).await?)
            }
            Self::DisplayName {
                name, display_name, ..
            } => {
                let info = server.name_namespace(&name, display_name).await?;
                let words = named::words("namespace", name.as_str(), info.display_name.as_ref());
                output::done(context.json, &info, words)
            }
            Self::Delete(_) => Ok(()),
        }
    }
}

fn show(context: &Context, namespace: &NamespaceDetail) -> Result<(), Failure> {
    if context.json {
        return output::json(namespace);
    }
    let NamespaceDetail {
        quota, used, holds, ..
    } = namespace;
    output::say(format!(
        "namespace {}, made {}: {} agents, {} projects, {} services, {} transit keys, {} grants that hold",
        named::beside(namespace.name.as_str(), namespace.display_name.as_ref()),
        namespace.created,
        holds.agents,
        holds.projects,
        holds.services,
        holds.transit_keys,
        holds.grants,
    ));
    let bound =
        |limit: Option<u64>| limit.map_or_else(|| "any".to_owned(), |most| most.to_string());
    let mut table = Table::new(["WHAT", "USED", "MOST"]);
    for (what, used, limit) in [
        ("secrets", Some(used.secrets), quota.secrets),
        ("versions of one secret", None, quota.versions_per_secret),
        ("versions", Some(used.versions), quota.versions),
        ("bytes", Some(used.bytes), quota.bytes),
    ] {
        let used = used.map_or_else(|| "-".to_owned(), |used| used.to_string());
        table.row([what.to_owned(), used, bound(limit)]);
    }
    table.print("nothing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        quota: QuotaArgs,
    }

    #[test]
    fn what_is_not_named_keeps_its_bound() {
        let before = Quota {
            secrets: Some(10),
            bytes: Some(1000),
            ..Quota::default()
        };
        for (args, after) in [
            (&[][..], before),
            (
                &["--secrets", "20"][..],
                Quota {
                    secrets: Some(20),
                    ..before
                },
            ),
            (
                &["--no-bytes", "--versions", "0"][..],
                Quota {
                    bytes: None,
                    versions: Some(0),
                    ..before
                },
            ),
            (&["--no-bytes", "--no-secrets"][..], Quota::default()),
        ] {
            let line = ["quota", "staging"].iter().chain(args);
            let line = Line::try_parse_from(line).unwrap();
            assert_eq!(line.quota.apply(before), after, "{args:?}");
        }
        let both = ["quota", "staging", "--bytes", "1", "--no-bytes"];
        assert!(Line::try_parse_from(both).is_err());
    }
}
