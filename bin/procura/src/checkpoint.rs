//! The highest checkpoint that this operator saw (`protocol.md` §5, rollback):
//! whoever puts an older installation back in place is noticed here.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::{files, output};
use procura_client::SessionClient;
use procura_ledger::{Break, Checkpoint, LedgerError, Seen, Succession, Vkey};

/// The key that signs the record of the server that was joined.
pub(crate) fn vkey(known: &Known) -> Result<Vkey, Failure> {
    known
        .ledger_vkey
        .parse()
        .map_err(|error| Failure::config("the ledger's key in server.json").because(error))
}

/// Compares the server's newest checkpoint with the remembered one. Costs a
/// question that needs no proof, and a second one when the record has grown.
pub(crate) async fn check(
    context: &Context,
    known: &Known,
    client: &SessionClient,
) -> Result<(), Failure> {
    let status = client.client().status().await?;
    if status
        .installation
        .is_some_and(|theirs| theirs != known.installation)
    {
        return Err(
            Failure::refused("another installation answers at this address")
                .because(format_args!("this home belongs to {}", known.installation))
                .next("--server URL, or the --home that belongs to it"),
        );
    }
    if status.sealed {
        // It has nothing to show, and nothing to give either.
        return Ok(());
    }
    // Told without a proof, but signed with the key that was pinned on joining.
    match status.checkpoint {
        Some(note) => accept(context, known, client, &note).await.map(drop),
        None => Err(Failure::refused(
            "the server is open and shows no checkpoint of its record",
        )),
    }
}

/// A checkpoint as text.
pub(crate) fn text(note: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(note)
        .map_err(|error| Failure::refused("the server's checkpoint is no text").because(error))
}

/// Takes a newer checkpoint as the highest seen; refuses one that does not
/// continue what was seen.
pub(crate) async fn accept(
    context: &Context,
    known: &Known,
    client: &SessionClient,
    note: &str,
) -> Result<Checkpoint, Failure> {
    let (newest, vkey) = open_newest(known, client, note).await?;
    if vkey.to_string() != known.ledger_vkey {
        // First: what is remembered of the record opens by either.
        known.follow(&context.home, &vkey)?;
        output::say("the record is signed with another key now, which the one before vouches for");
    }
    let file = context.home.checkpoint_file();
    if let Some(bytes) = files::read(&file)? {
        let unusable = |why: &dyn std::fmt::Display| {
            Failure::config(format!("cannot use {}", file.display()))
                .because(why)
                .next("the command again with --danger-accept-rollback, if you know why")
        };
        let seen = std::str::from_utf8(&bytes)
            .map_err(|error| unusable(&error))
            .and_then(|text| open_seen(known, &vkey, text).map_err(|error| unusable(&error)))
            .map(|seen| Some(Seen::from(&seen)));
        let seen = if context.danger_accept_rollback {
            seen.unwrap_or(None)
        } else {
            seen?
        };
        let verdict = match seen {
            Some(seen) => continues(client, &seen, &newest).await,
            None => Ok(()),
        };
        match verdict {
            Err(_) if context.danger_accept_rollback => output::say(
                "warning: accepting a server whose record does not continue the one seen before",
            ),
            other => other?,
        }
    }
    if let Err(error) = files::replace(&file, note.as_bytes()) {
        // On a full disk it must still be possible to revoke and to seal; what
        // is remembered stays, and is as good as it was.
        output::say(format!(
            "warning: the newest checkpoint is not remembered: {error}"
        ));
    }
    Ok(newest)
}

/// Opens the newest checkpoint with the key that is known, or the one that followed it.
async fn open_newest(
    known: &Known,
    client: &SessionClient,
    note: &str,
) -> Result<(Checkpoint, Vkey), Failure> {
    let vkey = vkey(known)?;
    let not_its = |error: LedgerError| {
        Failure::refused("the server's checkpoint is not one of the installation that was joined")
            .because(error)
    };
    match Checkpoint::open_following(note, &vkey) {
        Ok(opened) => Ok((opened.checkpoint, opened.successor.unwrap_or(vkey))),
        // The known key may have retired since this home was last used.
        Err(error @ LedgerError::Unsigned { .. }) => {
            let notes = client.handovers().await?;
            let succession = Succession::of(vkey.clone()).follow(notes.iter().map(String::as_str));
            if *succession.newest() == vkey {
                return Err(not_its(error));
            }
            let newest = Checkpoint::open(note, succession.newest()).map_err(not_its)?;
            Ok((newest, succession.newest().clone()))
        }
        Err(error) => Err(not_its(error)),
    }
}

/// Opens what is remembered, which an earlier key may have signed.
fn open_seen(known: &Known, newest: &Vkey, note: &str) -> Result<Checkpoint, LedgerError> {
    let mut opened = Checkpoint::open(note, newest);
    let earlier = known.former_ledger_vkeys.iter().rev();
    for vkey in std::iter::once(&known.ledger_vkey).chain(earlier) {
        if !matches!(opened, Err(LedgerError::Unsigned { .. })) {
            break;
        }
        opened = Checkpoint::open(note, &vkey.parse()?);
    }
    opened
}

/// Whether the log of `newest` begins with the log of `seen`.
async fn continues(
    client: &SessionClient,
    seen: &Seen,
    newest: &Checkpoint,
) -> Result<(), Failure> {
    if let Some(growth) = newest.after(seen).map_err(rolled_back)? {
        let (from, to) = growth.sizes();
        let proof = client.consistency(from, to).await?;
        growth.prove(&proof).map_err(rolled_back)?;
    }
    Ok(())
}

fn rolled_back(why: Break) -> Failure {
    let failure = Failure::refused("the server is older than it was, or its record was rewritten");
    match why {
        Break::Shorter { newest, seen } => failure.because(format_args!(
            "its record has {newest} entries, {seen} were seen"
        )),
        Break::Other { size } => {
            failure.because(format_args!("its {size} entries are other ones"))
        }
        Break::Unreadable | Break::Unproven => failure.because(why),
    }
    .next("find out who restored it; if it was meant, the command again with --danger-accept-rollback")
}
