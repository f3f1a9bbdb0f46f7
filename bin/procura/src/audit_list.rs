//! `audit list`: entries that pass filters, newest first.

use crate::actor::{self, ActorText};
use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use clap::Args;
use procura_types::wire::{EntryList, EntryQuery, EntryRow};
use procura_types::{GrantId, Timestamp};
use serde_json::Value;

/// List entries, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura audit list --action secret.read --since 2026-11-01T00:00:00Z\n  procura audit list --actor scribe\n  procura audit list --everywhere --limit 1000 --json"
)]
pub(crate) struct List {
    /// Entries of this actor: an agent of the namespace by its label, an operator by name, or the id or at least 8 characters of its beginning
    #[arg(long, value_name = "NAME|ID", allow_hyphen_values = true)]
    actor: Option<ActorText>,
    /// Entries of any actor of this owner: an operator's name, or the id or at least 8 characters of its beginning
    #[arg(long, value_name = "NAME|ID", allow_hyphen_values = true)]
    owner: Option<ActorText>,
    /// Entries under this grant
    #[arg(long, value_name = "ID")]
    grant: Option<GrantId>,
    /// Entries of this action
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Entries at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Entries before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Entries of the whole installation, not of the namespace; for stewards
    #[arg(long)]
    everywhere: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = at_least_one)]
    limit: u32,
}

/// How many entries one call asks for.
const PAGE: u32 = 100;

/// How many entries, as typed.
fn at_least_one(text: &str) -> Result<u32, &'static str> {
    match whole(text)? {
        0 => Err("is at least 1"),
        limit => Ok(limit),
    }
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(Failure::usage("--since is later than --until")
                .next("--since with the earlier and --until with the later time"));
        }
        let server = context.operator().await?;
        let (actor, owner) = actor::resolve(context, &server, self.actor, self.owner).await?;
        let mut filter = EntryQuery {
            namespace: (!self.everywhere).then(|| context.namespace.clone()),
            actor,
            owner,
            grant: self.grant,
            action: self.action,
            since: self.since,
            until: self.until,
            before: None,
            limit: None,
        };
        let mut found = EntryList {
            entries: Vec::new(),
            next: None,
            first: None,
        };
        let mut left = self.limit;
        while left > 0 {
            filter.limit = Some(left.min(PAGE));
            let part = server.entries(&filter).await?;
            left = left.saturating_sub(u32::try_from(part.entries.len()).unwrap_or(u32::MAX));
            found.entries.extend(part.entries);
            found.next = part.next;
            found.first = part.first;
            match part.next {
                Some(next) => filter.before = Some(next),
                None => break,
            }
        }
        if context.json {
            return output::json(&found);
        }
        let (more, first) = (found.next.is_some(), found.first);
        let mut table = Table::new(["INDEX", "TIME", "ACTION", "DECISION", "ACTOR", "ON", "ID"]);
        for row in found.entries {
            table.row(columns(&row));
        }
        table.print("no entries")?;
        match first {
            _ if more => output::say("there are more; --limit N shows more of them"),
            Some(first) => output::say(format!(
                "the record is kept from entry {first} on; what was before is forgotten"
            )),
            None => {}
        }
        Ok(())
    }
}

/// One entry as a row. Entries of a later version may have other fields.
fn columns(row: &EntryRow) -> [String; 7] {
    let entry: Value = serde_json::from_str(&row.entry).unwrap_or_default();
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let decision = match (text("decision"), text("reason")) {
        (decision, reason) if reason.is_empty() => decision,
        (decision, reason) => format!("{decision}: {reason}"),
    };
    // The first characters tell actors apart in a table; `audit show` has all.
    let actor = actor::short(&text("actor"));
    [
        row.index.to_string(),
        text("time"),
        text("action"),
        decision,
        actor,
        text("resource"),
        text("id"),
    ]
}
