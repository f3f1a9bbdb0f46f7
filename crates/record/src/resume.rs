//! Where publishing goes on after a start or a failure: whether the store is still
//! the one that was signed, and whether the files at the right edge are whole.

use crate::forgetting::leaves;
use crate::handover;
use crate::publisher::{PublisherError, PublisherParts, directory_digest};
use crate::tables::{DIRECTORY_GUARD, GUARD, LEDGER, PUBLISHED, PUBLISHED_KEY, PublishedRow};
use crate::tiles::Tiles;
use procura_ledger::{
    Checkpoint, FULL_TILE, Frontier, Hash, HashTiles, LedgerError, Note, TILE_WIDTH, TileFile,
    TileKind, TilePath, TileWriter, leaf_hash, push_entry,
};
use procura_store::{Row, Store, StoreError};

/// Entries read from the log at once.
const PAGE: usize = 4096;

const fn rolled_back(size: u64, what: &'static str) -> PublisherError {
    PublisherError::RolledBack { size, what }
}

/// Where the store and the files stand, and whether they may.
pub(crate) fn resume(
    parts: &PublisherParts,
) -> Result<(TileWriter, Option<Row<PublishedRow>>), PublisherError> {
    // As of one moment, since other servers may go on meanwhile.
    let now = parts.store.snapshot()?;
    let row = PUBLISHED.get_at(&now, &PUBLISHED_KEY.to_owned())?;
    let head = now.head()?;
    let length = head.log(LEDGER.as_str()).len;
    let (size, frontier) = stored(row.as_ref().map(|row| &row.value))?;
    if size > length {
        return Err(rolled_back(size, "entries are missing at the end"));
    }
    if let Some(signed) = checkpoint(parts, row.is_some())? {
        // A checkpoint beside the store that is ahead of it, or another at the
        // same size: an older or another store was put in its place.
        if signed.size > size {
            return Err(rolled_back(
                signed.size,
                "the store knows only older checkpoints",
            ));
        }
        if signed.size == size && signed.root != frontier.root() {
            return Err(rolled_back(
                signed.size,
                "another tree of the same size is stored",
            ));
        }
    }
    if let Some(row) = &row {
        if head.seq.get() < row.value.seq {
            return Err(rolled_back(size, "the store's sequence is older"));
        }
        // A directory that did not change since must be the one that was signed.
        let changed = DIRECTORY_GUARD.get_at(&now, &GUARD.to_owned())?;
        let since = changed.is_some_and(|guard| guard.version.get() > row.value.seq);
        if !since && directory_digest(head) != row.value.set_digest {
            return Err(rolled_back(
                size,
                "the directory is not the one that was signed",
            ));
        }
    }
    let writer = writer(
        &parts.store,
        &parts.tiles,
        row.as_ref().map(|row| &row.value),
    )?;
    parts.tiles.publish(size, writer.partial());
    Ok((writer, row))
}

/// The checkpoint beside the store. It is renamed into place without being synced,
/// so a power cut leaves it empty or cut short; then it says nothing, and the row
/// that was stored before it was signed stands for it. Without such a row it is
/// refused.
fn checkpoint(
    parts: &PublisherParts,
    is_stored: bool,
) -> Result<Option<Checkpoint>, PublisherError> {
    let Some(note) = parts.tiles.checkpoint()? else {
        return Ok(None);
    };
    match Note::parse(&note) {
        Err(error) if is_stored => {
            tracing::warn!(%error, "the ledger's checkpoint is not whole and is signed anew");
            Ok(None)
        }
        _ => handover::open(&parts.store, &parts.keys.current(), &note).map(Some),
    }
}

/// The tree that was stored last.
fn stored(row: Option<&PublishedRow>) -> Result<(u64, Frontier), PublisherError> {
    Ok(match row {
        None => (0, Frontier::new()),
        Some(row) => (row.size, Frontier::from_bytes(&row.frontier)?),
    })
}

/// The writer at the size that was stored last, from the files, or from the store
/// when they are not whole. Refused when the entries are not those that were stored.
pub(crate) fn writer(
    store: &Store,
    tiles: &Tiles,
    row: Option<&PublishedRow>,
) -> Result<TileWriter, PublisherError> {
    let (size, frontier) = stored(row)?;
    let writer = match from_files(store, tiles, size, &frontier) {
        Ok(writer) => writer,
        Err(error) => {
            tracing::warn!(%error, size, "the ledger's files are not whole and are written anew");
            let writer = rebuilt(store, tiles, size)?;
            if writer.frontier() != frontier {
                return Err(rolled_back(
                    size,
                    "the entries do not hash to the stored root",
                ));
            }
            writer
        }
    };
    // What a killed process left of them may be of another size. They are in memory
    // too, so a disk without room for them keeps nothing from going on.
    for file in writer.partial() {
        match tiles.write(&file) {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "a partial file of the ledger could not be written");
            }
            other => other?,
        }
    }
    Ok(writer)
}

/// The writer at `size`, from the files when they are whole: all that lies to the
/// left of the right edge is in the hashes of the edge.
fn from_files(
    store: &Store,
    tiles: &Tiles,
    size: u64,
    frontier: &Frontier,
) -> Result<TileWriter, PublisherError> {
    let mut bundle = Vec::new();
    let tail = size % TILE_WIDTH;
    let count = usize::try_from(tail).unwrap_or_default();
    for entry in store.log_read(LEDGER, size - tail, count)? {
        push_entry(&mut bundle, entry.bytes.expose())?;
    }
    let writer = TileWriter::resume(size, &RightEdge { store, tiles }, &bundle)?;
    if writer.frontier() == *frontier {
        Ok(writer)
    } else {
        Err(LedgerError::ResumeMismatch { index: size }.into())
    }
}

/// Writes all files anew from the store's log.
fn rebuilt(store: &Store, tiles: &Tiles, size: u64) -> Result<TileWriter, PublisherError> {
    let mut writer = TileWriter::new();
    push_log(
        store,
        &mut writer,
        size,
        &mut |file| Ok(tiles.write(&file)?),
    )?;
    Ok(writer)
}

/// The partial hash tiles at the right edge, made from what they stand for: after a
/// kill their own files are not there or older.
struct RightEdge<'a> {
    store: &'a Store,
    tiles: &'a Tiles,
}

impl HashTiles for RightEdge<'_> {
    type Error = PublisherError;

    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, PublisherError> {
        if width == FULL_TILE {
            let path = TilePath::new(TileKind::Hashes(level), index, width)?;
            let bytes = self.tiles.read(&path)?;
            let bytes = bytes.ok_or_else(|| LedgerError::TileTooShort {
                path: path.to_string(),
            })?;
            return Ok(Hash::from_tile(&bytes)?);
        }
        let first = index * TILE_WIDTH;
        match level.checked_sub(1) {
            None => {
                let entries = self.store.log_read(LEDGER, first, usize::from(width))?;
                Ok(entries
                    .iter()
                    .map(|entry| leaf_hash(entry.bytes.expose()))
                    .collect())
            }
            Some(below) => (first..first + u64::from(width))
                .map(|child| {
                    let hashes = self.hash_tile(below, child, FULL_TILE)?;
                    Ok(hashes.into_iter().collect::<Frontier>().root())
                })
                .collect(),
        }
    }
}

/// Feeds the log from where the writer stands up to `length`, and writes the full
/// files that come up.
pub(crate) fn push_log(
    store: &Store,
    writer: &mut TileWriter,
    length: u64,
    write: &mut impl FnMut(TileFile) -> Result<(), PublisherError>,
) -> Result<(), PublisherError> {
    while writer.size() < length {
        let at = writer.size();
        // Of whole bundles only: what is begun with entries cannot go on with hashes.
        let is_gone = || -> Result<bool, StoreError> {
            Ok(at.is_multiple_of(TILE_WIDTH) && at < store.log_start(LEDGER)?)
        };
        if is_gone()? {
            for leaf in leaves(store, at / TILE_WIDTH)? {
                writer.push_forgotten(leaf);
            }
        } else {
            let left = usize::try_from(length - at).unwrap_or(PAGE).min(PAGE);
            let entries = match store.log_read(LEDGER, at, left) {
                // Another server took them away meanwhile.
                Err(StoreError::Forgotten { .. }) if is_gone()? => continue,
                entries => entries?,
            };
            if entries.is_empty() {
                return Err(rolled_back(length, "entries are missing"));
            }
            for entry in entries {
                writer.push(entry.bytes.expose())?;
            }
        }
        writer
            .take_complete()
            .into_iter()
            .try_for_each(&mut *write)?;
    }
    writer.take_complete().into_iter().try_for_each(write)
}
