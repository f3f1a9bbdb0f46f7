//! `/v1/backup`: the store, or what of the ledger is new, as one stream of bytes
//! (`spec/backup.md`, ADR 29). What is in it is sealed as it is stored.

use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;
use procura_policy::{Action, Concerned, Op, Permit, Question, Resource};
use procura_proof::Caller;
use procura_record::tables::LEDGER;
use procura_record::{Details, Recorded, first_kept};
use procura_store::backup::{BackupStopped, LogCopy, WriteError};
use procura_types::wire::{BACKUP_STREAM, BackupHead, BackupKind};
use procura_types::{Clock, Duration};
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{PermitIterator, Receiver, Sender, channel};

/// Pieces of at most 320 KiB that wait for the client.
const WAITING: usize = 8;
/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a checkpoint over all entries is waited for.
const PUBLISHED: Duration = Duration::from_secs(5);
/// How often it is looked, while the client takes nothing, whether it still may.
const LOOK: Duration = Duration::from_millis(250);

/// Takes a backup.
pub(crate) struct InstallationBackup {
    /// Only the entries of the ledger from this one on.
    since: Option<u64>,
}

impl Op for InstallationBackup {
    const ACTION: Action = Action::InstallationBackup;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupQuery {
    ledger_since: Option<u64>,
}

pub(super) struct Take;

impl Endpoint for Take {
    type Op = InstallationBackup;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Streams a consistent backup, sealed as it is stored; with ledger_since only the entries of the ledger from there on";
    const QUERY: &'static [&'static str] = &["ledger_since"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/backup";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let BackupQuery { ledger_since } = input.query()?;
        Ok(InstallationBackup {
            since: ledger_since,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let place = Arc::clone(&context.app.backups)
            .try_acquire_owned()
            .map_err(|_| {
                Failure::new(
                    Code::Conflict,
                    "Another backup is being taken; wait until it is over.",
                )
            })?;
        let open = context.app.open()?;
        // It is told who took it also when it is over before it is begun.
        // What was done before it was asked for is in it, also in a copy of the ledger.
        let length = open.vault.store().log_len(LEDGER)?;
        let covering = tokio::time::timeout(PUBLISHED, open.publisher.covering(length)).await;
        let newest = covering.ok().flatten().or_else(|| open.publisher.latest());
        let published = newest.as_ref().map_or(0, |newest| newest.size);
        let since = permit.op().since;
        let store = open.vault.store();
        let (first, there) = (first_kept(store)?, store.log_start(LEDGER)?);
        if let Some(since) = since.filter(|since| *since < first) {
            return Err(Failure::new(
                Code::EntryForgotten,
                format!(
                    "The copy that this would continue ends before entry {since}, and the record is kept from entry {first} on: those between are forgotten. Take a whole backup, and copies from there on; what the older copies have they keep."
                ),
            ));
        }
        if since.is_some_and(|since| since > published) {
            return Err(Failure::new(
                Code::Conflict,
                format!(
                    "The record has {published} entries, fewer than the copy that this would continue."
                ),
            ));
        }
        let installation = open.vault.installation();
        let head = BackupHead {
            kind: since.map_or(BackupKind::Full, |_| BackupKind::Ledger),
            id: installation.id,
            created: context.input.now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checkpoint: newest.map(|newest| newest.note.clone()),
            from: since.unwrap_or(there),
            until: published,
            installation: serde_json::to_string_pretty(&installation).map_err(Failure::internal)?,
        };
        let details = Details {
            with: since.map(|since| format!("ledger:{since}..{published}")),
            ..Details::default()
        };
        let recorded = open
            .recorder
            .record(permit, context.origin(), details)
            .await?;
        let (pieces, taken) = channel(WAITING);
        let cut = Arc::new(AtomicBool::new(false));
        let body = Taken {
            pieces: taken,
            cut: Arc::clone(&cut),
        };
        let taking = Taking {
            open,
            clock: Arc::clone(&context.app.clock),
            head,
            recorded,
            pieces,
            cut,
            _place: place,
        };
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || taking.run(&handle));
        let version = context.input.parts.version;
        Ok(Reply::stream(BACKUP_STREAM, version, Body::new(body)))
    }
}

/// A backup that is being taken.
struct Taking {
    open: Arc<Open>,
    clock: Arc<dyn Clock>,
    head: BackupHead,
    recorded: Recorded<InstallationBackup>,
    pieces: Sender<Bytes>,
    cut: Arc<AtomicBool>,
    _place: OwnedSemaphorePermit,
}

impl Taking {
    fn run(self, handle: &Handle) {
        match self.tell(handle) {
            Ok(bytes) => tracing::info!(bytes, "a backup was taken"),
            Err(error) => {
                tracing::warn!(%error, "a backup broke off");
                // A client that is there sees that it has no end, and gets nothing more:
                // what waits for it goes with the channel.
                self.cut.store(true, Ordering::Release);
                let told = self.open.recorder.failed(&self.recorded, "interrupted");
                if let Err(error) = handle.block_on(told) {
                    tracing::warn!(%error, "that a backup broke off is not in the record");
                }
            }
        }
    }

    fn tell(&self, handle: &Handle) -> Result<u64, WriteError> {
        let vault = &self.open.vault;
        let store = vault.store();
        let epoch = vault.installation().root_epoch;
        let head = serde_json::to_vec(&self.head).map_err(|_| BackupStopped)?;
        // The head says what opens the vault: it has to open the rows behind it.
        let may = || self.may() && vault.installation().root_epoch == epoch;
        let mut sink = |piece: Vec<u8>| handle.block_on(hand(&self.pieces, piece.into(), may));
        let (id, key) = (&self.head.id, vault.backup_key());
        let bytes = match self.head.kind {
            BackupKind::Full => store.back_up(id, &head, key, &mut sink)?.end.bytes,
            BackupKind::Ledger => {
                let copy = LogCopy {
                    log: LEDGER,
                    from: self.head.from,
                    until: self.head.until,
                };
                store.copy_log(id, copy, &head, key, &mut sink)?.bytes
            }
        };
        // The end of it waits for the client, too, and whoever may not have it any more
        // does not get it.
        handle.block_on(room(&self.pieces, WAITING, may))?;
        Ok(bytes)
    }

    /// Whether it may go on: the vault is open, and whoever takes it might begin it now.
    /// Who was revoked, is held, or is no steward any more does not get the rest.
    fn may(&self) -> bool {
        let permit = self.recorded.permit();
        let snapshot = self.open.directory.snapshot();
        let question = Question {
            caller: permit.caller(),
            action: InstallationBackup::ACTION,
            resource: permit.resource(),
            concerned: Concerned::default(),
            now: self.clock.now(),
        };
        let decider = self.open.recorder.decider();
        !self.open.vault.store().is_sealed() && decider.decide(&snapshot, &question).is_ok()
    }
}

/// Waits until there is room for so many pieces, for as long as the client may have them
/// and takes something now and then.
async fn room(
    pieces: &Sender<Bytes>,
    places: usize,
    may: impl Fn() -> bool,
) -> Result<PermitIterator<'_, Bytes>, BackupStopped> {
    let mut waited = Duration::ZERO;
    while may() && waited < PATIENCE {
        match tokio::time::timeout(LOOK, pieces.reserve_many(places)).await {
            Ok(room) => return room.map_err(|_| BackupStopped),
            Err(_) => waited = waited.saturating_add(LOOK),
        }
    }
    Err(BackupStopped)
}

/// Hands a piece on.
async fn hand(
    pieces: &Sender<Bytes>,
    piece: Bytes,
    may: impl Fn() -> bool,
) -> Result<(), BackupStopped> {
    let place = room(pieces, 1, may).await?.next().ok_or(BackupStopped)?;
    place.send(piece);
    Ok(())
}

/// It has no end.
#[derive(Debug, thiserror::Error)]
#[error("the backup broke off")]
struct Broken;

/// The body of the answer.
struct Taken {
    pieces: Receiver<Bytes>,
    cut: Arc<AtomicBool>,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let piece = ready!(self.pieces.poll_recv(context));
        // What was waiting when it broke off is not handed out any more.
        if self.cut.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(Broken)));
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}
