//! The highest checkpoint of the server's record that this gate saw (`protocol.md` §5,
//! rollback): a server that was put back, or whose record was forked, is noticed here,
//! also when its directory is ahead of what was known.

use procura_client::{ClientError, SessionClient};
use procura_ledger::{Checkpoint, Hash, Vkey, verify_consistency};
use std::path::{Path, PathBuf};

/// The file of the home that has the checkpoint, as it was signed.
const FILE: &str = "checkpoint-seen";

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

/// What was seen of the record.
pub(crate) struct Record {
    vkey: Vkey,
    path: PathBuf,
    seen: Option<Checkpoint>,
}

impl Record {
    /// What an earlier process of this home has seen. With `forget` that is nothing: an
    /// operator accepts the record as it is.
    pub(crate) fn open(home: &Path, vkey: &str, forget: bool) -> Result<Self, RecordFault> {
        let vkey: Vkey = vkey
            .parse()
            .map_err(|error| RecordFault::Home(format!("the ledger's key: {error}")))?;
        let path = home.join(FILE);
        let unusable = |error: &dyn std::fmt::Display| {
            RecordFault::Home(format!("cannot use {}: {error}", path.display()))
        };
        let seen = match std::fs::read_to_string(&path) {
            _ if forget => None,
            Ok(note) => Some(Checkpoint::open(&note, &vkey).map_err(|error| unusable(&error))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&error)),
        };
        Ok(Self { vkey, path, seen })
    }

    /// Holds the newest checkpoint against the highest that was seen, and remembers it.
    pub(crate) async fn check(&mut self, server: &SessionClient) -> Result<(), RecordError> {
        // Told to anybody, and signed with the key that was pinned on joining.
        let note = match server.client().status().await?.checkpoint {
            Some(note) => note,
            // Sealed, most likely; this call says so.
            None => String::from_utf8(server.checkpoint().await?)
                .map_err(|error| RecordFault::NotIts(error.to_string()))?,
        };
        let newest = Checkpoint::open(&note, &self.vkey)
            .map_err(|error| RecordFault::NotIts(error.to_string()))?;
        if let Some(seen) = &self.seen {
            continues(server, seen, &newest).await?;
            if seen.size == newest.size {
                return Ok(());
            }
        }
        self.remember(&note);
        self.seen = Some(newest);
        Ok(())
    }

    fn remember(&self, note: &str) {
        let new = self.path.with_extension("new");
        let written = std::fs::write(&new, note).and_then(|()| std::fs::rename(&new, &self.path));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "the newest checkpoint could not be remembered");
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

/// Whether the log of `newest` begins with the log of `seen`.
async fn continues(
    server: &SessionClient,
    seen: &Checkpoint,
    newest: &Checkpoint,
) -> Result<(), RecordError> {
    let rolled_back = |why: String| RecordError::Fault(RecordFault::RolledBack(why));
    if newest.size < seen.size {
        return Err(rolled_back(format!(
            "it has {} entries, {} were seen",
            newest.size, seen.size
        )));
    }
    if newest.size == seen.size {
        return if newest.root == seen.root {
            Ok(())
        } else {
            Err(rolled_back(format!("its {} entries are others", seen.size)))
        };
    }
    if seen.size == 0 {
        return Ok(());
    }
    let proof = server.consistency(seen.size, newest.size).await?;
    let path = proof
        .path
        .iter()
        .map(|hash| hash.parse::<Hash>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| rolled_back(error.to_string()))?;
    verify_consistency(seen.size, &seen.root, newest.size, &newest.root, &path)
        .map_err(|error| rolled_back(error.to_string()))
}
