//! `audit`: the record, and checking that nobody rewrote it.

use crate::audit_export::{self, Export};
use crate::checkpoint;
use crate::cli::whole;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Table};
use clap::{Args, Subcommand};
use procura_ledger::{
    Checkpoint, Hash, ReadError, ReadFile, Vkey, leaf_hash, verify_export, verify_inclusion,
};
use procura_types::wire::{EntryList, EntryQuery, EntryRow};
use procura_types::{ActorId, EntryId, GrantId, Timestamp};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::path::PathBuf;

/// Read the record, and check that nobody rewrote it
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(Verify),
    List(List),
    /// Show one entry
    #[command(after_help = "Example:\n  procura audit show 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11")]
    Show {
        /// The entry's id
        id: EntryId,
    },
    /// Prove that an entry is in the signed record; the proof is checked here
    #[command(after_help = "Example:\n  procura audit prove 01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11")]
    Prove {
        /// The entry's id
        id: EntryId,
    },
    Export(Export),
}

/// Check an exported record, without any server
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura audit verify ./record --key procura/…+1a2b3c4d+AZ…\n  procura audit verify ./record --key procura/…+1a2b3c4d+AZ… --after last-month/checkpoint"
)]
pub(crate) struct Verify {
    /// The directory that `procura audit export` wrote
    dir: PathBuf,
    /// The record's verification key, as init printed it [default: the one of this home]
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// An older checkpoint of the same record, which it must continue
    #[arg(long, value_name = "FILE")]
    after: Option<PathBuf>,
}

/// List entries, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura audit list --action secret.read --since 2026-11-01T00:00:00Z\n  procura audit list --everywhere --limit 1000 --json"
)]
pub(crate) struct List {
    /// Entries of this actor
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    actor: Option<ActorId>,
    /// Entries of any actor of this owner
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    owner: Option<ActorId>,
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
    #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = whole::<u32>)]
    limit: u32,
}

/// How many entries one call asks for.
const PAGE: u32 = 100;

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(context),
            Self::List(list) => list.run(context).await,
            Self::Show { id } => {
                let answer = context.operator().await?.inclusion(id).await?;
                if context.json {
                    return output::json(&EntryRow {
                        index: answer.index,
                        entry: answer.entry,
                    });
                }
                output::say(format!("entry {}", answer.index));
                output::line(output::plain(&pretty(&answer.entry)))
            }
            Self::Prove { id } => prove(context, id).await,
            Self::Export(export) => audit_export::run(export, context).await,
        }
    }
}

/// An exported record on disk.
struct Dir(PathBuf);

impl ReadFile for Dir {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        std::fs::read(self.0.join(name)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ReadError::Missing,
            _ => ReadError::Failed(error.to_string()),
        })
    }
}

impl Verify {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let vkey: Vkey = match &self.key {
            Some(key) => key.trim().parse().map_err(|error| {
                Failure::usage("--key")
                    .because(error)
                    .next("--key VKEY, the line that procura init printed")
            })?,
            None => {
                let known = context.known().map_err(|failure| {
                    failure.next("--key VKEY, the line that procura init printed")
                })?;
                checkpoint::vkey(&known)?
            }
        };
        let after = match &self.after {
            Some(path) => Some(self.older(path, &vkey)?),
            None => None,
        };
        // A mistyped name must not read like a record that was tampered with.
        std::fs::read_dir(&self.dir).map_err(|error| {
            Failure::usage(format!("cannot read {}", self.dir.display()))
                .because(error)
                .next("procura audit verify DIR, with what procura audit export DIR wrote")
        })?;
        match verify_export(&Dir(self.dir.clone()), &vkey, after.as_ref()) {
            Ok(report) => {
                if context.json {
                    return output::json(&report);
                }
                output::line(output::plain(&report.to_string()))
            }
            Err(finding) => {
                if context.json {
                    output::json(&finding)?;
                }
                Err(Failure::refused("the record does not verify").because(finding))
            }
        }
    }

    fn older(&self, path: &std::path::Path, vkey: &Vkey) -> Result<Checkpoint, Failure> {
        let cannot = || Failure::usage(format!("--after {}", path.display()));
        let bytes = files::read(path)?.ok_or_else(|| cannot().because("there is no such file"))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| cannot().because(error))?;
        Checkpoint::open(text, vkey).map_err(|error| cannot().because(error))
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = context.operator().await?;
        let mut filter = EntryQuery {
            namespace: (!self.everywhere).then(|| context.namespace.clone()),
            actor: self.actor,
            owner: self.owner,
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
        };
        let mut left = self.limit;
        while left > 0 {
            filter.limit = Some(left.min(PAGE));
            let part = server.entries(&filter).await?;
            left = left.saturating_sub(u32::try_from(part.entries.len()).unwrap_or(u32::MAX));
            found.entries.extend(part.entries);
            found.next = part.next;
            match part.next {
                Some(next) => filter.before = Some(next),
                None => break,
            }
        }
        if context.json {
            return output::json(&found);
        }
        let more = found.next.is_some();
        let mut table = Table::new(["INDEX", "TIME", "ACTION", "DECISION", "ACTOR", "ON", "ID"]);
        for row in found.entries {
            table.row(columns(&row));
        }
        table.print("no entries")?;
        if more {
            output::say("there are more; --limit N shows more of them");
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
    let actor: String = text("actor").chars().take(12).collect();
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

/// An entry on lines of its own, its fields in the order in which they are
/// stored: reading it into a map would sort them.
fn pretty(entry: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(entry).is_err() {
        return entry.to_owned();
    }
    let mut out = String::with_capacity(entry.len() * 2);
    let mut depth = 0usize;
    let mut rest = entry.chars().peekable();
    let mut quoted = false;
    while let Some(character) = rest.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                out.push(character);
                out.extend(rest.next());
                continue;
            }
            _ if quoted => {}
            character if character.is_whitespace() => continue,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
            }
            _ => {}
        }
        out.push(character);
        if quoted {
            continue;
        }
        match character {
            '{' | '[' => {
                while rest.next_if(|next| next.is_whitespace()).is_some() {}
                match rest.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            ',' => new_line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

async fn prove(context: &Context, id: EntryId) -> Result<(), Failure> {
    let known = context.known()?;
    let server = context.operator().await?;
    let proof = server.inclusion(id).await?;
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::refused("the server's proof does not hold")
            .because(why)
            .next("procura audit export DIR and procura audit verify DIR, to find where")
    };
    let named: Value = serde_json::from_str(&proof.entry).map_err(|error| wrong(&error))?;
    if proof.id != id || named.get("id").and_then(Value::as_str) != Some(id.to_string().as_str()) {
        return Err(wrong(&"it is about another entry"));
    }
    let head = checkpoint::accept(context, &known, &server, &proof.checkpoint).await?;
    let path = proof
        .path
        .iter()
        .map(|hash| hash.parse::<Hash>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(&error))?;
    let leaf = leaf_hash(proof.entry.as_bytes());
    verify_inclusion(&leaf, proof.index, head.size, &path, &head.root)
        .map_err(|error| wrong(&error))?;
    if context.json {
        return output::json(&proof);
    }
    output::line(output::plain(&pretty(&proof.entry)))?;
    output::say(format!(
        "checked here: this is entry {} of the {} that {} has signed",
        proof.index, head.size, head.origin
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn an_entry_keeps_the_order_of_its_fields() {
        let entry = r#"{"v":1,"id":"x: {\"a\\","details":{"b":[],"a":{},"list":[1,{"z":null}]}}"#;
        let shown = r#"{
  "v": 1,
  "id": "x: {\"a\\",
  "details": {
    "b": [],
    "a": {},
    "list": [
      1,
      {
        "z": null
      }
    ]
  }
}"#;
        assert_eq!(pretty(entry), shown);
        assert_eq!(pretty("{no json"), "{no json");
    }
}
