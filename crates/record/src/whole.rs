//! The ledger's files as they are served. A full one that is missing, short or
//! does not open, as a power cut or a hand leaves it, is made again from the store.
//!
//! What is noticed, and how: an entry bundle is sealed, so any change of it; a hash
//! tile only by its length, and at level 0 also when the bundle beside it is made
//! again. A proof over a hash tile that was edited otherwise does not verify for
//! whoever asked for it; once the directory is deleted, the next start makes all of
//! it anew.

use crate::forgetting::{first_kept, leaves as kept_leaves};
use crate::tables::LEDGER;
use crate::tiles::{Tiles, TilesError};
use procura_ledger::{
    BundleReader, FULL_TILE, Frontier, Hash, HashTiles, LedgerError, TILE_WIDTH, TileFile,
    TileKind, TilePath, leaf_hash, push_entry,
};
use procura_store::{LogEntry, Store, StoreError};

/// Bytes of a hash.
const HASH: usize = 32;

/// The files of the published tree, and the store that they come from.
pub(crate) struct WholeTiles {
    pub(crate) store: Store,
    pub(crate) tiles: Tiles,
}

impl WholeTiles {
    /// The bytes that a client asks for: of exactly `path`'s width, cut from what
    /// is published by now.
    pub(crate) fn serve(&self, path: &TilePath) -> Result<Option<Vec<u8>>, TilesError> {
        let level = match path.kind() {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        if path.kind() == TileKind::Entries {
            let first = first_kept(&self.store)?;
            if path.index() < first / TILE_WIDTH {
                let log = LEDGER.as_str().into();
                return Err(StoreError::Forgotten { log, first }.into());
            }
        }
        let edge = self.tiles.edge();
        let width = TilePath::width_in(edge.size, level, path.index());
        if width < path.width() {
            return Ok(None);
        }
        let current = TilePath::new(path.kind(), path.index(), width)?;
        let bytes = if current.is_full() {
            Some(self.full(&current)?)
        } else {
            let partial = edge.partial.iter().find(|file| file.path == current);
            partial.map(|file| file.bytes.clone())
        };
        bytes.map(|bytes| cut(path, bytes)).transpose()
    }

    /// The plain bytes of a full file.
    fn full(&self, path: &TilePath) -> Result<Vec<u8>, TilesError> {
        let damage = match self.tiles.read(path) {
            Ok(Some(bytes)) if is_whole(path, &bytes) => return Ok(bytes),
            Ok(Some(_)) => "it is not as long as a full one",
            Ok(None) => "it is missing",
            Err(TilesError::Refused(_)) => "it does not open",
            Err(error) => return Err(error),
        };
        tracing::warn!(file = %path, damage, "a file of the ledger is made again from the store");
        let bytes = match path.kind() {
            TileKind::Entries => self.bundle(path)?,
            TileKind::Hashes(0) => tile(&self.leaves(path)?),
            TileKind::Hashes(level) => {
                let first = path.index() * TILE_WIDTH;
                let hashes: Result<Vec<Hash>, TilesError> = (first..first + TILE_WIDTH)
                    .map(|child| {
                        let below = self.hash_tile(level - 1, child, FULL_TILE)?;
                        Ok(below.into_iter().collect::<Frontier>().root())
                    })
                    .collect();
                tile(&hashes?)
            }
        };
        self.put(path, bytes.clone());
        Ok(bytes)
    }

    /// The leaf hashes of a full tile of level 0: those that were kept of entries that are
    /// gone.
    fn leaves(&self, path: &TilePath) -> Result<Vec<Hash>, TilesError> {
        let gone = || -> Result<bool, StoreError> {
            Ok(path.index() < self.store.log_start(LEDGER)? / TILE_WIDTH)
        };
        if gone()? {
            return Ok(kept_leaves(&self.store, path.index())?);
        }
        match self.entries(path) {
            // They went meanwhile.
            Err(TilesError::Store(StoreError::Forgotten { .. })) => {
                Ok(kept_leaves(&self.store, path.index())?)
            }
            entries => Ok(leaves(&entries?)),
        }
    }

    /// The bundle of a full file's entries. What damaged it may have damaged their
    /// hash tile too, and the entries are at hand, so that is compared with them.
    fn bundle(&self, path: &TilePath) -> Result<Vec<u8>, TilesError> {
        let entries = self.entries(path)?;
        let hashes = TilePath::new(TileKind::Hashes(0), path.index(), FULL_TILE)?;
        let right = tile(&leaves(&entries));
        if self.tiles.read(&hashes)?.as_ref() != Some(&right) {
            tracing::warn!(file = %hashes, "a hash tile is not that of its entries and is made again");
            self.put(&hashes, right);
        }
        let mut bundle = Vec::new();
        for entry in &entries {
            push_entry(&mut bundle, entry.bytes.expose())?;
        }
        Ok(bundle)
    }

    /// The entries of a full bundle or of a full hash tile of level 0.
    fn entries(&self, path: &TilePath) -> Result<Vec<LogEntry>, TilesError> {
        let first = path.index() * TILE_WIDTH;
        let entries = self.store.log_read(LEDGER, first, usize::from(FULL_TILE))?;
        if entries.len() == usize::from(FULL_TILE) {
            Ok(entries)
        } else {
            let path = path.to_string();
            Err(LedgerError::TileTooShort { path }.into())
        }
    }

    /// Writes what was made again. Who asked is answered also when it cannot be
    /// written: it is made again for the next one.
    fn put(&self, path: &TilePath, bytes: Vec<u8>) {
        if let Err(error) = self.tiles.write(&TileFile { path: *path, bytes }) {
            tracing::warn!(%error, "a file of the ledger could not be written again");
        }
    }
}

impl HashTiles for WholeTiles {
    type Error = TilesError;

    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, TilesError> {
        let path = TilePath::new(TileKind::Hashes(level), index, width)?;
        match self.serve(&path)? {
            Some(bytes) => Ok(Hash::from_tile(&bytes)?),
            None => Err(LedgerError::TileTooShort {
                path: path.to_string(),
            }
            .into()),
        }
    }
}

/// Whether these are the bytes of a whole file, as far as can be told without the
/// store. A bundle that opened is as it was sealed.
fn is_whole(path: &TilePath, bytes: &[u8]) -> bool {
    match path.kind() {
        TileKind::Entries => true,
        TileKind::Hashes(_) => bytes.len() == usize::from(path.width()) * HASH,
    }
}

fn leaves(entries: &[LogEntry]) -> Vec<Hash> {
    entries
        .iter()
        .map(|entry| leaf_hash(entry.bytes.expose()))
        .collect()
}

fn tile(hashes: &[Hash]) -> Vec<u8> {
    hashes
        .iter()
        .flat_map(|hash| hash.as_bytes().iter().copied())
        .collect()
}

/// The first entries or hashes of a file, as many as `path` is wide.
fn cut(path: &TilePath, mut bytes: Vec<u8>) -> Result<Vec<u8>, TilesError> {
    let width = usize::from(path.width());
    let end = match path.kind() {
        TileKind::Hashes(_) => width * HASH,
        TileKind::Entries => {
            let mut reader = BundleReader::new(&bytes);
            for _ in 0..width {
                if let Some(Err(error)) = reader.next() {
                    return Err(error.into());
                }
            }
            usize::try_from(reader.offset()).unwrap_or(usize::MAX)
        }
    };
    bytes.truncate(end);
    Ok(bytes)
}
