//! `audit export`: the record as files that anybody can verify (C2SP
//! tlog-tiles), fetched so that an interrupted export goes on where it stopped.

use crate::checkpoint;
use crate::context::Context;
use crate::exported::Exported;
use crate::failure::Failure;
use crate::{files, output};
use clap::Args;
use procura_ledger::{handover_name, layout};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Write the whole record to a directory, for `audit verify`
///
/// Entries are written in plain. Run it again to go on after an interruption,
/// or to add what is new; partial files that it replaced are removed. A directory
/// with anything else in it is refused.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  procura audit export ./record")]
pub(crate) struct Export {
    /// The directory
    dir: PathBuf,
}

/// What `audit export --json` prints.
#[derive(Serialize)]
struct Summary {
    origin: String,
    entries: u64,
    fetched: u64,
    kept: u64,
    removed: u64,
}

pub(crate) async fn run(export: Export, context: &Context) -> Result<(), Failure> {
    let known = context.known()?;
    let server = context.operator().await?;
    let note = checkpoint::text(server.checkpoint().await?)?;
    let head = checkpoint::accept(context, &known, &server, &note).await?;
    // The home's own advice, another --home, does not help here.
    let elsewhere = |failure: Failure| {
        failure.next("procura audit export DIR, with a directory that can be written")
    };
    files::private_dir(&export.dir).map_err(elsewhere)?;
    let exported = Exported(export.dir.clone());
    // The key may just have been found to be another.
    let known = context.known()?;
    exported.check(&known.ledger_vkeys()?, head.size)?;
    let watched = std::io::stderr().is_terminal();
    let (mut fetched, mut kept) = (0u64, 0u64);
    for path in layout(head.size) {
        let name = path.to_string();
        let file = export.dir.join(&name);
        // A name fixes its content for ever, and files appear whole.
        if file.exists() {
            kept += 1;
            continue;
        }
        let bytes = server.tile(&name).await?;
        if let Some(dir) = file.parent() {
            files::private_dir(dir).map_err(elsewhere)?;
        }
        files::replace(&file, &bytes).map_err(elsewhere)?;
        fetched += 1;
        if watched && fetched.is_multiple_of(64) {
            output::say(format!("{fetched} files fetched"));
        }
    }
    // With them whoever knows an earlier key comes to the one that signs today.
    let handovers = server.handovers().await?;
    for (index, handover) in handovers.iter().enumerate() {
        let file = export.dir.join(handover_name(index));
        if let Some(dir) = file.parent() {
            files::private_dir(dir).map_err(elsewhere)?;
        }
        files::replace(&file, handover.as_bytes()).map_err(elsewhere)?;
    }
    // Last: a directory with a checkpoint has all that it signs.
    files::replace(&export.dir.join("checkpoint"), note.as_bytes()).map_err(elsewhere)?;
    // The checkpoint of before, which called for them, is gone.
    let removed = exported.remove_superseded(head.size)?;
    if context.json {
        return output::json(&Summary {
            origin: head.origin,
            entries: head.size,
            fetched,
            kept,
            removed,
        });
    }
    output::say(format!(
        "wrote {} entries of {} to {} ({fetched} files fetched, {kept} there already)",
        head.size,
        head.origin,
        export.dir.display()
    ));
    output::say(format!(
        "next: procura audit verify {} --key {}",
        export.dir.display(),
        known.ledger_vkey
    ));
    Ok(())
}
