//! The highest checkpoint that this operator saw (`protocol.md` §5, rollback):
//! whoever puts an older installation back in place is noticed here, and told from a
//! server that is only behind others of the same installation for a moment.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::Known;
use crate::{files, output};
use procura_client::SessionClient;
use procura_ledger::{
    Break, Checkpoint, Growth, Lagging, LedgerError, Seen, Shown, Succession, Vkey,
};
use std::time::{Duration, Instant};

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
    let until = Instant::now() + Lagging::PATIENCE;
    loop {
        match ask(known, client).await? {
            // It has nothing to show, and nothing to give either.
            Shows::Sealed => return Ok(()),
            Shows::Note(note) => return accept(context, known, client, note).await.map(drop),
            // It has just been opened, perhaps.
            Shows::Nothing if Instant::now() < until => tokio::time::sleep(Lagging::PAUSE).await,
            Shows::Nothing => {
                return Err(Failure::refused(
                    "the server is open and shows no checkpoint of its record",
                ));
            }
        }
    }
}

/// What a server shows of its record.
enum Shows {
    Sealed,
    /// It is open, and nothing is signed that it could show.
    Nothing,
    /// Told without a proof, but signed with the key that was pinned on joining.
    Note(String),
}

/// Asks whoever answers at the address, which need not be the server of before.
async fn ask(known: &Known, client: &SessionClient) -> Result<Shows, Failure> {
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
    Ok(match status.checkpoint {
        _ if status.sealed => Shows::Sealed,
        Some(note) => Shows::Note(note),
        None => Shows::Nothing,
    })
}

/// A checkpoint as text.
pub(crate) fn text(note: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(note)
        .map_err(|error| Failure::refused("the server's checkpoint is no text").because(error))
}

/// A checkpoint that was shown, and the newest that is known with it.
pub(crate) struct Accepted {
    /// The one that was shown.
    pub(crate) shown: Checkpoint,
    /// The newest: another, when the server that showed the first was behind.
    pub(crate) newest: Checkpoint,
    /// The newest as it was signed.
    pub(crate) note: String,
}

/// Takes a newer checkpoint as the highest seen; refuses one that does not
/// continue what was seen, unless it turns out within a moment that the server that
/// showed it was only behind the others.
pub(crate) async fn accept(
    context: &Context,
    known: &Known,
    client: &SessionClient,
    note: String,
) -> Result<Accepted, Failure> {
    let (shown, vkey) = open_newest(known, client, &note).await?;
    let mut accepted = Accepted {
        newest: shown.clone(),
        shown,
        note,
    };
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
        // Whoever accepts it anyway does not wait for another.
        let patience = match context.danger_accept_rollback {
            true => Duration::ZERO,
            false => Lagging::PATIENCE,
        };
        let verdict = match seen {
            Some(seen) => go_on(known, client, seen, &mut accepted, patience).await,
            None => Ok(()),
        };
        match verdict {
            Err(_) if context.danger_accept_rollback => output::say(
                "warning: accepting a server whose record does not continue the one seen before",
            ),
            other => other?,
        }
    }
    if let Err(error) = files::replace(&file, accepted.note.as_bytes()) {
        // On a full disk it must still be possible to revoke and to seal; what
        // is remembered stays, and is as good as it was.
        output::say(format!(
            "warning: the newest checkpoint is not remembered: {error}"
        ));
    }
    Ok(accepted)
}

/// Opens the newest checkpoint with the key that is known, or the one that followed it.
async fn open_newest(
    known: &Known,
    client: &SessionClient,
    note: &str,
) -> Result<(Checkpoint, Vkey), Failure> {
    let vkey = vkey(known)?;
    let not_its = |error: LedgerError| {
        let of_another_key = matches!(error, LedgerError::Unsigned { .. });
        let what = "the server's checkpoint is not one of the installation that was joined";
        let failure = Failure::refused(what).because(error);
        match of_another_key {
            true => failure.next("if an administrator says that they restored it with --new-origin: procura restore accept --key KEY, with the KEY that they tell you"),
            false => failure,
        }
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

/// Holds what is shown against what was seen. While it is less, whoever answers at the
/// address is asked again, for as long as `patience` lasts; what is other is refused at
/// once.
async fn go_on(
    known: &Known,
    client: &SessionClient,
    seen: Seen,
    accepted: &mut Accepted,
    patience: Duration,
) -> Result<(), Failure> {
    let until = Instant::now() + patience;
    let mut lagging = Lagging::behind(seen);
    loop {
        let failure = match lagging.show(&accepted.newest).map_err(rolled_back)? {
            Shown::GoesOn(growths) => match prove(client, growths).await? {
                None => return Ok(()),
                Some(failure) => failure,
            },
            Shown::Behind { why, growth } => {
                // One that was put back may know nobody who asks: that it cannot prove
                // anything, for whatever reason, is not what it is refused for.
                if let Some(growth) = growth {
                    let (from, to) = growth.sizes();
                    if let Ok(proof) = client.consistency(from, to).await {
                        growth.prove(&proof).map_err(rolled_back)?;
                    }
                }
                rolled_back(why)
            }
        };
        if Instant::now() >= until {
            return Err(failure);
        }
        tokio::time::sleep(Lagging::PAUSE).await;
        // One that is sealed, or has nothing to show yet, says nothing else.
        if let Shows::Note(note) = ask(known, client).await? {
            let (newest, _) = open_newest(known, client, &note).await?;
            (accepted.newest, accepted.note) = (newest, note);
        }
    }
}

/// Fetches the proofs and checks them; why one cannot be had, when the server that is
/// asked has not heard of the newest entries yet.
async fn prove(client: &SessionClient, growths: Vec<Growth>) -> Result<Option<Failure>, Failure> {
    for growth in growths {
        let (from, to) = growth.sizes();
        match client.consistency(from, to).await {
            Ok(proof) => growth.prove(&proof).map_err(rolled_back)?,
            Err(error) if error.is_refusal("not_found") => return Ok(Some(error.into())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
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
