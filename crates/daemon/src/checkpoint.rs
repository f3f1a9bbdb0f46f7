//! Whether the server still has all of the record that this host saw before
//! (`protocol.md` §5, rollback).

use crate::{DaemonError, Server};
use procura_ledger::{Break, Checkpoint, LedgerError, Seen, Succession, Vkey};

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

/// Fetches the newest checkpoint and holds it against the highest one seen.
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
    let note = server.checkpoint().await?;
    let note = std::str::from_utf8(&note).map_err(|_| not_a_checkpoint("it is not UTF-8"))?;
    let bad = |error: LedgerError| not_a_checkpoint(&error.to_string());
    let (head, key) = match Checkpoint::open_following(note, &vkey) {
        Ok(opened) => (opened.checkpoint, opened.successor),
        // The known key may have retired while this host was away.
        Err(error @ LedgerError::Unsigned { .. }) => {
            let notes = server.handovers().await?;
            let succession = Succession::of(vkey.clone()).follow(notes.iter().map(String::as_str));
            if *succession.newest() == vkey {
                return Err(bad(error));
            }
            let head = Checkpoint::open(note, succession.newest()).map_err(bad)?;
            (head, Some(succession.newest().clone()))
        }
        Err(error) => return Err(bad(error)),
    };
    let key = key.map(|key| key.to_string());
    let now = Seen::from(&head);
    let Some(before) = seen else {
        return Ok((now, key));
    };
    if let Some(growth) = head.after(&before).map_err(broken)? {
        let (from, to) = growth.sizes();
        let proof = server.consistency(from, to).await?;
        growth.prove(&proof).map_err(broken)?;
    }
    Ok((now, key))
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
