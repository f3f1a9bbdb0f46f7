//! The home of a server on this machine, where keys of agents and the allow-list lie.

use super::tree::{key_file, list_file};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use procura_crypto::ssh::SshPublicKey;
use procura_types::ForeignId;
use rustix::process::geteuid;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is in the place of a file.
pub(super) enum InPlace {
    Nothing,
    Same,
    Other,
}

/// A home of a server that this user can write files into which the server can read.
pub(super) struct ServerHome(PathBuf);

impl ServerHome {
    /// The home of this command, if it is also that of a server of the same user; as
    /// another user the files would not be the server's to read.
    pub(super) fn find(context: &Context) -> Result<Option<Self>, Failure> {
        let dir = context.home.dir();
        if !procura_server::is_initialised(dir) {
            return Ok(None);
        }
        let found = std::fs::metadata(dir).map_err(|error| {
            Failure::storage(format!("cannot look at {}", dir.display()), &error)
        })?;
        let is_ours = found.uid() == geteuid().as_raw();
        Ok(is_ours.then(|| Self(dir.to_owned())))
    }

    pub(super) fn key_file(&self, id: &ForeignId) -> PathBuf {
        key_file(&self.0, id)
    }

    pub(super) fn list_file(&self) -> PathBuf {
        list_file(&self.0)
    }

    /// How the file of an agent's key is; a comment makes no difference.
    pub(super) fn key(&self, id: &ForeignId, key: &SshPublicKey) -> Result<InPlace, Failure> {
        let there = in_place(&self.key_file(id))?;
        Ok(
            there.map_or(InPlace::Nothing, |text| match SshPublicKey::parse(&text) {
                Ok(there) if there.key() == key.key() => InPlace::Same,
                _ => InPlace::Other,
            }),
        )
    }

    /// How the allow-list is.
    pub(super) fn list(&self, text: &[u8]) -> Result<InPlace, Failure> {
        let there = in_place(&self.list_file())?;
        Ok(there.map_or(InPlace::Nothing, |there| {
            if there == text {
                InPlace::Same
            } else {
                InPlace::Other
            }
        }))
    }
}

/// The bytes of a file; of what is no file, none, so that it counts as another.
fn in_place(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => Ok(Some(Vec::new())),
        _ => files::read(path),
    }
}

/// Puts a file of the server in its place, for its user alone.
pub(super) fn put(path: &Path, text: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        files::private_dir(folder)?;
    }
    files::replace(path, text)
}
