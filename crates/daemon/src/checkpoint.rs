//! Whether the server still has all of the record that this host saw before
//! (`protocol.md` §5, rollback).

use crate::{DaemonError, Server};
use procura_ledger::{Break, Checkpoint, Lagging, LedgerError, Seen, Shown, Succession, Vkey};
use std::time::Instant;

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

fn broken(why: Break) -> DaemonError {
    match why {
        Break::Shorter { newest, seen } => older(&format!(
            "its record has {newest} entries, and {seen} were seen before"
        )),
        Break::Other { .. } => older("its record differs from the one seen before"),
        Break::Unreadable => not_a_checkpoint("its consistency proof cannot be read"),
        Break::Unproven => older("its record does not contain the one seen before"),
    }
}

/// Fetches the newest checkpoint and holds it against the highest one seen. While it is
/// less, whoever answers for the server is asked again for a moment: one of several may be
/// behind the others. What is other is refused at once.
/// Returns what is to be remembered now: the head, and the key of the ledger if it is
/// another than the one that was known.
///
/// # Errors
/// [`DaemonError::Refused`] `rolled_back` or `bad_checkpoint`;
/// [`DaemonError::Server`] when the server does not answer.
pub(crate) async fn check(
    server: &dyn Server,
    ledger_vkey: &str,
    seen: Option<Seen>,
) -> Result<(Seen, Option<String>), DaemonError> {
    let vkey: Vkey = ledger_vkey
        .parse()
        .map_err(|_| not_a_checkpoint("the pinned key of the ledger cannot be read"))?;
    let (mut head, mut key) = newest(server, &vkey).await?;
    if let Some(seen) = seen {
        let until = Instant::now() + Lagging::PATIENCE;
        let mut lagging = Lagging::behind(seen);
        while let Some(refusal) = held_against(server, &mut lagging, &head).await? {
            if Instant::now() >= until {
                return Err(refusal);
            }
            tokio::time::sleep(Lagging::PAUSE).await;
            (head, key) = newest(server, &vkey).await?;
        }
    }
    Ok((Seen::from(&head), key.map(|key| key.to_string())))
}

/// The newest checkpoint that is shown, and the key that signs from now on, if another.
async fn newest(
    server: &dyn Server,
    vkey: &Vkey,
) -> Result<(Checkpoint, Option<Vkey>), DaemonError> {
    let note = server.checkpoint().await?;
    let note = std::str::from_utf8(&note).map_err(|_| not_a_checkpoint("it is not UTF-8"))?;
    let bad = |error: LedgerError| not_a_checkpoint(&error.to_string());
    match Checkpoint::open_following(note, vkey) {
        Ok(opened) => Ok((opened.checkpoint, opened.successor)),
        // The known key may have retired while this host was away.
        Err(error @ LedgerError::Unsigned { .. }) => {
            let notes = server.handovers().await?;
            let succession = Succession::of(vkey.clone()).follow(notes.iter().map(String::as_str));
            if succession.newest() == vkey {
                return Err(bad(error));
            }
            let head = Checkpoint::open(note, succession.newest()).map_err(bad)?;
            Ok((head, Some(succession.newest().clone())))
        }
        Err(error) => Err(bad(error)),
    }
}

/// Why this head cannot be believed, unless the server that shows it is only behind.
async fn held_against(
    server: &dyn Server,
    lagging: &mut Lagging,
    head: &Checkpoint,
) -> Result<Option<DaemonError>, DaemonError> {
    match lagging.show(head).map_err(broken)? {
        Shown::GoesOn(growths) => {
            for growth in growths {
                let (from, to) = growth.sizes();
                match server.consistency(from, to).await {
                    Ok(proof) => growth.prove(&proof).map_err(broken)?,
                    // It has not heard of the newest entries yet.
                    Err(error) if error.is_refusal("not_found") => return Ok(Some(error.into())),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(None)
        }
        Shown::Behind { why, growth } => {
            // That it cannot prove anything, for whatever reason, is not what it is
            // refused for.
            if let Some(growth) = growth {
                let (from, to) = growth.sizes();
                if let Ok(proof) = server.consistency(from, to).await {
                    growth.prove(&proof).map_err(broken)?;
                }
            }
            Ok(Some(broken(why)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proof_that_cannot_be_read_says_nothing_of_the_record() {
        let (newest, seen) = (4, 5);
        for (why, code, words) in [
            (
                Break::Shorter { newest, seen },
                "rolled_back",
                "its record has 4 entries, and 5 were seen before",
            ),
            (
                Break::Other { size: 5 },
                "rolled_back",
                "its record differs from the one seen before",
            ),
            (
                Break::Unproven,
                "rolled_back",
                "its record does not contain the one seen before",
            ),
            (
                Break::Unreadable,
                "bad_checkpoint",
                "its consistency proof cannot be read",
            ),
        ] {
            let error = broken(why);
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
