//! `audit export`: the record as files that anybody can verify (C2SP
//! tlog-tiles), fetched so that an interrupted export goes on where it stopped.

use crate::checkpoint;
use crate::context::Context;
use crate::exported::Exported;
use crate::failure::Failure;
use crate::{files, output};
use clap::Args;
use procura_client::SessionClient;
use procura_ledger::{
    Carried, FORGOTTEN, ReadError, ReadFile as _, TILE_WIDTH, TileKind, handover_name, layout,
};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Write the whole record to a directory, for `audit verify`
///
/// Entries are written in plain. Run it again to go on after an interruption,
/// or to add what is new; partial files that it replaced are removed. A directory
/// with anything else in it is refused. What the server has forgotten meanwhile an
/// export keeps; one that did not have it begins behind it (procura audit retention).
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
    /// The first entry that is in it.
    first: u64,
    fetched: u64,
    kept: u64,
    removed: u64,
}

pub(crate) async fn run(export: Export, context: &Context) -> Result<(), Failure> {
    let known = context.known()?;
    let server = context.operator().await?;
    // Before the checkpoint, which then covers the entry that says so.
    let gone = Gone::ask(&server).await?;
    let note = checkpoint::text(server.checkpoint().await?)?;
    let accepted = checkpoint::accept(context, &known, &server, note).await?;
    let (head, note) = (accepted.newest, accepted.note);
    // The home's own advice, another --home, does not help here.
    let elsewhere = |failure: Failure| {
        failure.next("procura audit export DIR, with a directory that can be written")
    };
    files::private_dir(&export.dir).map_err(elsewhere)?;
    let exported = Exported(export.dir.clone());
    // The key may just have been found to be another.
    let known = context.known()?;
    exported.check(&known.ledger_vkeys()?, head.size)?;
    let base = gone.base(&exported)?;
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
        if path.kind() == TileKind::Entries && path.index() < base / TILE_WIDTH {
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
        // A key that turned behind the checkpoint is for the next export: nothing in this
        // one shows that the record went there. The size is the second line of a head.
        let size = handover.lines().nth(1).and_then(|size| size.parse().ok());
        if size.is_some_and(|size: u64| size > head.size) {
            break;
        }
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
            first: base,
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
    if base > 0 {
        output::say(format!(
            "it begins with entry {base}: what was before is forgotten, and its hashes are there"
        ));
    }
    output::say(format!(
        "next: procura audit verify {} --key {}",
        export.dir.display(),
        known.ledger_vkey
    ));
    Ok(())
}

/// What the server has forgotten.
struct Gone {
    /// The first entry that it has.
    first: u64,
    /// What those before leave behind.
    carried: Vec<u8>,
}

impl Gone {
    async fn ask(server: &SessionClient) -> Result<Self, Failure> {
        if server.retention().await?.first == 0 {
            return Ok(Self {
                first: 0,
                carried: Vec::new(),
            });
        }
        let carried = server.forgotten().await?;
        let first = Carried::from_bytes(&carried).map_err(|error| {
            Failure::refused("what the server has forgotten cannot be read").because(error)
        })?;
        Ok(Self {
            first: first.entries,
            carried,
        })
    }

    /// The first entry of the export: the one that it began with before, as long as nothing
    /// that the server has forgotten since is missing in between; of a new one, the first
    /// that the server has. What that leaves behind is written.
    fn base(&self, exported: &Exported) -> Result<u64, Failure> {
        let before = match exported.read(FORGOTTEN) {
            Ok(bytes) => Carried::from_bytes(&bytes).map_err(|error| {
                Failure::usage(format!("cannot go on with {}", exported.0.display()))
                    .because(format_args!("its file {FORGOTTEN}: {error}"))
                    .next("procura audit export DIR, with another directory")
            })?,
            Err(ReadError::Missing) => Carried::new(),
            Err(ReadError::Failed(why)) => {
                return Err(Failure::usage(format!("cannot read {FORGOTTEN}")).because(why));
            }
        };
        // A directory that has the beginning as well does without the file.
        let begun = match exported.bundles_from(0) {
            0 => before.entries,
            _ => 0,
        };
        let next = exported.bundles_from(begun / TILE_WIDTH);
        if next * TILE_WIDTH >= self.first {
            return Ok(begun);
        }
        // No entry is there, not even of a bundle that was not whole yet: it begins where
        // the record does now.
        let entries = |name: &String| name.starts_with("tile/entries/");
        if !exported.files()?.iter().any(entries) {
            files::replace(&exported.0.join(FORGOTTEN), &self.carried)?;
            return Ok(self.first);
        }
        Err(lags_behind(exported, next * TILE_WIDTH, self.first))
    }
}

fn lags_behind(exported: &Exported, reached: u64, first: u64) -> Failure {
    Failure::refused(format!(
        "{} lags behind what the record has forgotten",
        exported.0.display()
    ))
    .because(format_args!(
        "it has whole bundles up to entry {reached}, the record is kept from entry {first} on, and those between are gone"
    ))
    .next("procura audit export DIR, with a new directory; keep this one for what it has")
}
