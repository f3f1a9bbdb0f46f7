//! Whether the server still has all of the record that this host saw before
//! (`protocol.md` §5, rollback).

use crate::{DaemonError, Seen, Server};
use procura_ledger::{Checkpoint, Hash, Vkey, verify_consistency};

fn older(what: &str) -> DaemonError {
    DaemonError::refused(
        "rolled_back",
        format!(
            "the server is an older or another copy of the installation: {what}. If an operator restored a backup and says so, run `procura device trust-rollback`"
        ),
    )
}

fn not_a_checkpoint(why: &str) -> DaemonError {
    DaemonError::refused(
        "bad_checkpoint",
        format!("the server's checkpoint cannot be trusted: {why}"),
    )
}

/// Fetches the newest checkpoint and holds it against the highest one seen.
/// Returns what is to be remembered now.
///
/// # Errors
/// [`DaemonError::Refused`] `rolled_back` or `bad_checkpoint`;
/// [`DaemonError::Server`] when the server does not answer.
pub(crate) async fn check(
    server: &dyn Server,
    ledger_vkey: &str,
    seen: Option<Seen>,
) -> Result<Seen, DaemonError> {
    let vkey: Vkey = ledger_vkey
        .parse()
        .map_err(|_| not_a_checkpoint("the pinned key of the ledger cannot be read"))?;
    let note = server.checkpoint().await?;
    let note = std::str::from_utf8(&note).map_err(|_| not_a_checkpoint("it is not UTF-8"))?;
    let head =
        Checkpoint::open(note, &vkey).map_err(|error| not_a_checkpoint(&error.to_string()))?;
    let now = Seen {
        size: head.size,
        root: head.root,
    };
    let Some(before) = seen else {
        return Ok(now);
    };
    if now.size < before.size {
        return Err(older(&format!(
            "its record has {} entries, and {} were seen before",
            now.size, before.size
        )));
    }
    if now.size == before.size {
        return if now.root == before.root {
            Ok(now)
        } else {
            Err(older("its record differs from the one seen before"))
        };
    }
    let answer = server.consistency(before.size, now.size).await?;
    let path = answer
        .path
        .iter()
        .map(|hash| hash.parse::<Hash>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| not_a_checkpoint("its consistency proof cannot be read"))?;
    verify_consistency(before.size, &before.root, now.size, &now.root, &path)
        .map_err(|_| older("its record does not contain the one seen before"))?;
    Ok(now)
}
