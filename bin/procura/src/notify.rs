//! `notify`: whom people are told by, of what, and what waits.

mod channel;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_client::ClientError;
use procura_types::wire::{NotifyDeadDone, NotifyDeadPick, NotifyEvent, NotifyRoutePut, Severity};
use procura_types::{Label, Malformed, Namespace};
use serde_json::json;

/// Tell people of requests and alarms where they are
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Channel(channel::Command),
    #[command(subcommand)]
    Route(Route),
    #[command(subcommand)]
    Dead(Dead),
    /// Show what waits to be sent, channel by channel
    #[command(after_help = "Example:\n  procura notify queue")]
    Queue {
        #[command(flatten)]
        of: Of,
    },
}

/// Of the namespace, or of the installation.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Of {
    /// Of the whole installation, for stewards; without it, of the namespace
    #[arg(long)]
    installation: bool,
}

impl Of {
    fn namespace(self, context: &Context) -> Option<Namespace> {
        (!self.installation).then(|| context.namespace.clone())
    }
}

/// Say of what a channel is told
#[derive(Debug, Subcommand)]
pub(crate) enum Route {
    /// Add a route, or replace it: it is about what happens from then on
    #[command(
        after_help = "Examples:\n  procura notify route add requests --channel ops --event request\n  procura notify route add alarms --channel pager --least critical --installation"
    )]
    Add {
        /// Its name
        name: Label,
        /// The channel that is told
        #[arg(long, value_name = "NAME")]
        channel: Label,
        /// Of what: request, answer, grant, revocation, alarm or reminder; as often as there are [default: all]
        #[arg(long = "event", value_name = "EVENT")]
        events: Vec<NotifyEvent>,
        /// Nothing that matters less: info, notice, warning or critical [default: info]
        #[arg(long, value_name = "SEVERITY")]
        least: Option<Severity>,
        /// Of the installation: what happens in this namespace alone
        #[arg(long, value_name = "NAMESPACE", requires = "installation")]
        only: Option<Namespace>,
        #[command(flatten)]
        of: Of,
    },
    /// List the routes
    #[command(after_help = "Example:\n  procura notify route list")]
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Remove a route: what waits is sent still
    #[command(after_help = "Example:\n  procura notify route remove requests")]
    Remove {
        /// Its name
        name: Label,
        #[command(flatten)]
        of: Of,
    },
}

/// Look after messages that were given up
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List them, and why
    #[command(after_help = "Example:\n  procura notify dead list")]
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Have them tried again
    #[command(
        after_help = "Examples:\n  procura notify dead retry ops/4711\n  procura notify dead retry --channel ops"
    )]
    Retry(Pick),
    /// Forget them
    #[command(after_help = "Example:\n  procura notify dead drop --channel ops")]
    Drop(Pick),
}

/// Which messages.
#[derive(Debug, Args)]
pub(crate) struct Pick {
    /// One message, as the list names it
    #[arg(required_unless_present = "channel", conflicts_with = "channel", value_parser = message)]
    id: Option<(Label, u64)>,
    /// All of a channel
    #[arg(long, value_name = "NAME")]
    channel: Option<Label>,
    #[command(flatten)]
    of: Of,
}

/// `ops/4711`.
fn message(text: &str) -> Result<(Label, u64), Malformed> {
    let rule = Malformed::new("id", "must be CHANNEL/ENTRY, such as ops/4711");
    let (channel, entry) = text.split_once('/').ok_or_else(|| rule.clone())?;
    let channel = channel.parse().map_err(|_| rule.clone())?;
    Ok((channel, entry.parse().map_err(|_| rule)?))
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Channel(command) => command.run(context).await,
            Self::Route(command) => command.run(context).await,
            Self::Dead(command) => command.run(context).await,
            Self::Queue { of } => queue(context, of).await,
        }
    }
}

async fn queue(context: &Context, of: Of) -> Result<(), Failure> {
    let server = context.operator().await?;
    let queue = server.notify_queue(of.namespace(context).as_ref()).await?;
    if context.json {
        return output::json(&queue);
    }
    let mut table = Table::new(["CHANNEL", "WAITING", "GIVEN UP", "OLDEST", "LAST FAILURE"]);
    for channel in queue.channels {
        table.row([
            channel.channel.to_string(),
            channel.waiting.to_string(),
            channel.dead.to_string(),
            channel
                .oldest
                .map_or_else(String::new, |time| time.to_string()),
            output::plain(&channel.failure.unwrap_or_default()),
        ]);
    }
    table.print("no channels")
}

impl Route {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        match self {
            Self::Add {
                name,
                channel,
                events,
                least,
                only,
                of,
            } => {
                let put = NotifyRoutePut {
                    channel,
                    events,
                    least,
                    only,
                };
                let namespace = of.namespace(context);
                let route = server
                    .put_notify_route(namespace.as_ref(), &name, &put)
                    .await?;
                let words = format!("{} is told from now on", route.channel);
                output::done(context.json, &route, words)
            }
            Self::List { of } => {
                let list = server.notify_routes(of.namespace(context).as_ref()).await?;
                if context.json {
                    return output::json(&list);
                }
                let mut table = Table::new(["ROUTE", "CHANNEL", "EVENTS", "LEAST", "ONLY"]);
                for route in list.routes {
                    let events: Vec<&str> =
                        route.events.iter().map(|event| event.as_str()).collect();
                    table.row([
                        route.name.to_string(),
                        route.channel.to_string(),
                        if events.is_empty() {
                            "all".to_owned()
                        } else {
                            events.join(", ")
                        },
                        route.least.to_string(),
                        route.only.map_or_else(String::new, |only| only.to_string()),
                    ]);
                }
                table.print("no routes")
            }
            Self::Remove { name, of } => {
                let namespace = of.namespace(context);
                server
                    .remove_notify_route(namespace.as_ref(), &name)
                    .await?;
                output::done(
                    context.json,
                    &json!({ "removed": name }),
                    format!("removed the route {name}"),
                )
            }
        }
    }
}

impl Dead {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { of } => dead(context, of).await,
            Self::Retry(pick) => {
                let server = context.operator().await?;
                let namespace = pick.of.namespace(context);
                let namespace = namespace.as_ref();
                let count = pick
                    .each(async |pick| server.retry_notify_dead(namespace, pick).await)
                    .await?;
                output::done(
                    context.json,
                    &json!({ "retried": count }),
                    format!("{count} are tried again"),
                )
            }
            Self::Drop(pick) => {
                context.confirm("Forget messages that nobody got?")?;
                let server = context.operator().await?;
                let namespace = pick.of.namespace(context);
                let namespace = namespace.as_ref();
                let count = pick
                    .each(async |pick| server.drop_notify_dead(namespace, pick).await)
                    .await?;
                output::done(
                    context.json,
                    &json!({ "dropped": count }),
                    format!("{count} are forgotten"),
                )
            }
        }
    }
}

impl Pick {
    /// Does it until there are no more of them; how many it were.
    async fn each(
        &self,
        act: impl AsyncFn(&NotifyDeadPick) -> Result<NotifyDeadDone, ClientError>,
    ) -> Result<u64, Failure> {
        let pick = match (&self.id, &self.channel) {
            (Some((channel, entry)), _) => NotifyDeadPick {
                channel: channel.clone(),
                entries: vec![*entry],
            },
            (None, Some(channel)) => NotifyDeadPick {
                channel: channel.clone(),
                entries: Vec::new(),
            },
            (None, None) => return Err(Failure::usage("name a message, or a channel")),
        };
        let mut count = 0u64;
        loop {
            let done = act(&pick).await?;
            count = count.saturating_add(done.count);
            if !done.more {
                return Ok(count);
            }
        }
    }
}

async fn dead(context: &Context, of: Of) -> Result<(), Failure> {
    let server = context.operator().await?;
    let namespace = of.namespace(context);
    let mut list = server.notify_dead(namespace.as_ref(), None).await?;
    while let Some(next) = list.next.take() {
        let more = server.notify_dead(namespace.as_ref(), Some(&next)).await?;
        list.deliveries.extend(more.deliveries);
        list.next = more.next;
    }
    if context.json {
        return output::json(&list);
    }
    let mut table = Table::new(["MESSAGE", "TIME", "WHAT", "TRIES", "WHY"]);
    for delivery in list.deliveries {
        table.row([
            delivery.id,
            delivery.time.to_string(),
            output::plain(&delivery.action),
            delivery.tries.to_string(),
            output::plain(&delivery.failure.unwrap_or_default()),
        ]);
    }
    table.print("none were given up")
}
