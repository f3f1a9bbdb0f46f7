//! The highest checkpoint of the server's record that this gate saw (`protocol.md` §5,
//! rollback): a server that was put back, or whose record was forked, is noticed here,
//! also when its directory is ahead of what was known.

use crate::remembered::remember;
use procura_client::{ClientError, SessionClient};
use procura_ledger::{Break, Checkpoint, LedgerError, Seen, Succession, Vkey};
use std::path::{Path, PathBuf};

/// The file of the home that has the checkpoint, as it was signed.
const FILE: &str = "checkpoint-seen";

/// The file of the home that has the key of the record, once it is another than the one
/// that was pinned on joining.
const KEY_FILE: &str = "checkpoint-key";

/// The record is not one that goes on from what was seen.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// The key that was pinned, or the remembered checkpoint, cannot be used.
    #[error("{0}")]
    Home(String),
    /// What the server shows is no checkpoint of its own.
    #[error("its checkpoint is not one of the installation that was joined: {0}")]
    NotIts(String),
    /// It is older than it was, or another.
    #[error("its record is older than it was, or was rewritten: {0}")]
    RolledBack(String),
}

impl From<Break> for RecordFault {
    fn from(why: Break) -> Self {
        Self::RolledBack(why.to_string())
    }
}

/// What was seen of the record.
pub(crate) struct Record {
    vkey: Vkey,
    path: PathBuf,
    key_path: PathBuf,
    seen: Option<Seen>,
}

impl Record {
    /// What an earlier process of this home has seen. With `forget` that is nothing: an
    /// operator accepts the record as it is.
    pub(crate) fn open(home: &Path, vkey: &str, forget: bool) -> Result<Self, RecordFault> {
        let vkey: Vkey = vkey
            .parse()
            .map_err(|error| RecordFault::Home(format!("the ledger's key: {error}")))?;
        let (path, key_path) = (home.join(FILE), home.join(KEY_FILE));
        let pinned = vkey;
        let vkey = match std::fs::read_to_string(&key_path) {
            Ok(text) => text.trim().parse::<Vkey>().map_err(|error| {
                RecordFault::Home(format!("cannot use {}: {error}", key_path.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => pinned.clone(),
            Err(error) => {
                let what = format!("cannot use {}: {error}", key_path.display());
                return Err(RecordFault::Home(what));
            }
        };
        // Of another log, it is from before this home joined again.
        let vkey = if vkey.name() == pinned.name() {
            vkey
        } else {
            pinned.clone()
        };
        let unusable = |error: &dyn std::fmt::Display| {
            RecordFault::Home(format!("cannot use {}: {error}", path.display()))
        };
        let seen = match std::fs::read_to_string(&path) {
            _ if forget => None,
            Ok(note) => {
                // The process may have ended between the two files.
                let seen = Checkpoint::open(&note, &vkey)
                    .or_else(|_| Checkpoint::open(&note, &pinned))
                    .map_err(|error| unusable(&error))?;
                Some(Seen::from(&seen))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&error)),
        };
        Ok(Self {
            vkey,
            path,
            key_path,
            seen,
        })
    }

    /// Holds the newest checkpoint against the highest that was seen, and remembers it.
    pub(crate) async fn check(&mut self, server: &SessionClient) -> Result<(), RecordError> {
        let note = String::from_utf8(server.newest_checkpoint().await?)
            .map_err(|error| RecordFault::NotIts(error.to_string()))?;
        let (newest, key) = self.open_newest(server, &note).await?;
        if let Some(seen) = &self.seen {
            let growth = newest.after(seen).map_err(RecordFault::from)?;
            if let Some(growth) = growth {
                let (from, to) = growth.sizes();
                let proof = server.consistency(from, to).await?;
                growth.prove(&proof).map_err(RecordFault::from)?;
            }
            if seen.size == newest.size && key.is_none() {
                return Ok(());
            }
        }
        if let Some(key) = key {
            tracing::info!(%key, "the record is signed with another key, which the one before vouches for");
            remember(
                &self.key_path,
                key.to_string().into_bytes(),
                "the key of the record",
            )
            .await;
            self.vkey = key;
        }
        remember(&self.path, note.into_bytes(), "the newest checkpoint").await;
        self.seen = Some(Seen::from(&newest));
        Ok(())
    }
}

impl Record {
    /// Opens the newest checkpoint, and says which key signs from now on, if another.
    async fn open_newest(
        &self,
        server: &SessionClient,
        note: &str,
    ) -> Result<(Checkpoint, Option<Vkey>), RecordError> {
        let not_its = |error: LedgerError| RecordFault::NotIts(error.to_string());
        match Checkpoint::open_following(note, &self.vkey) {
            Ok(opened) => Ok((opened.checkpoint, opened.successor)),
            // The known key may have retired while this gate was away.
            Err(error @ LedgerError::Unsigned { .. }) => {
                let notes = server.handovers().await?;
                let succession =
                    Succession::of(self.vkey.clone()).follow(notes.iter().map(String::as_str));
                if *succession.newest() == self.vkey {
                    return Err(not_its(error).into());
                }
                let newest = Checkpoint::open(note, succession.newest()).map_err(not_its)?;
                Ok((newest, Some(succession.newest().clone())))
            }
            Err(error) => Err(not_its(error).into()),
        }
    }
}

/// The record could not be checked, or is not the one that it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Fault(#[from] RecordFault),
}
