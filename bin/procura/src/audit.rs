//! `audit`: the record, and checking that nobody rewrote it.

use crate::audit_export::{self, Export};
use crate::audit_list::List;
use crate::audit_retention;
use crate::checkpoint;
use crate::context::Context;
use crate::exported::Exported;
use crate::failure::Failure;
use crate::files;
use crate::output;
use clap::{Args, Subcommand};
use procura_ledger::{
    Checkpoint, FindingKind, Hash, Vkey, leaf_hash, not_signed, succession_of, verify_export,
    verify_inclusion,
};
use procura_types::EntryId;
use procura_types::wire::EntryRow;
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
    Retention(audit_retention::Command),
    /// Print the key that the record is verified with; the keys before it lead to it
    #[command(after_help = "Example:\n  procura audit key")]
    Key,
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
            Self::Retention(retention) => retention.run(context).await,
            Self::Key => key(context).await,
        }
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
        // A mistyped name must not read like a record that was tampered with.
        std::fs::read_dir(&self.dir).map_err(|error| {
            Failure::usage(format!("cannot read {}", self.dir.display()))
                .because(error)
                .next("procura audit verify DIR, with what procura audit export DIR wrote")
        })?;
        let exported = Exported(self.dir.clone());
        let after = match &self.after {
            Some(path) => Some(older(path, &exported, &vkey)?),
            None => None,
        };
        let verified = verify_export(&exported, &vkey, after.as_ref());
        // What no checkpoint vouches for must not lie beside what one does.
        let verified = match verified {
            Ok(report) => not_signed(report.entries, exported.files()?).map(|()| report),
            found => found,
        };
        match verified {
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
                let stray = finding.kind == FindingKind::FileNotSigned;
                let failure = Failure::refused("the record does not verify").because(finding);
                Err(if stray {
                    failure.next("procura audit export DIR again, which ends an export that was broken off, or find out who put the file there")
                } else {
                    failure
                })
            }
        }
    }
}

/// An older checkpoint, which a key may have signed that followed the given one.
fn older(path: &std::path::Path, export: &Exported, vkey: &Vkey) -> Result<Checkpoint, Failure> {
    let cannot = || Failure::usage(format!("--after {}", path.display()));
    let bytes = files::read(path)?.ok_or_else(|| cannot().because("there is no such file"))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| cannot().because(error))?;
    let keys = succession_of(export, vkey).map_err(|finding| cannot().because(finding))?;
    keys.open(text).map_err(|error| cannot().because(error))
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

/// Follows the record to the key of today, and prints it.
async fn key(context: &Context) -> Result<(), Failure> {
    // Connecting follows it.
    context.operator().await?;
    let known = context.known()?;
    if context.json {
        return output::json(&serde_json::json!({
            "ledger_vkey": known.ledger_vkey,
            "former": known.former_ledger_vkeys,
        }));
    }
    for former in &known.former_ledger_vkeys {
        output::say(format!("before: {former}"));
    }
    output::line(&known.ledger_vkey)
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
    let note = proof.checkpoint.clone();
    let head = checkpoint::accept(context, &known, &server, note)
        .await?
        .shown;
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
