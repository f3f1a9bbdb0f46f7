use crate::tile::{FULL_TILE, path};
use crate::{
    BundleReader, Frontier, Hash, HashTiles, LedgerError, TILE_WIDTH, TileKind, TilePath,
    leaf_hash, push_entry,
};

/// A file to write: full ones once and for ever, partial ones for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileFile {
    /// Its name below the log's directory.
    pub path: TilePath,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What brings the files to the size of the next checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flush {
    /// Files to write before the checkpoint is published.
    pub files: Vec<TileFile>,
    /// Partial files of the flush before that wider ones now replace; they may
    /// go once the new checkpoint is published. Whoever is asked for a narrower
    /// tile than it has cuts the wider one.
    pub obsolete: Vec<TilePath>,
}

/// Turns appended entries into the files of C2SP tlog-tiles. Holds the partial
/// tile of each level and the partial bundle, nothing else.
#[derive(Debug, Clone, Default)]
pub struct TileWriter {
    size: u64,
    /// Size at the last flush: which partial files exist.
    flushed: u64,
    /// The hashes of the partial tile of each level, 0 to 255 each.
    levels: Vec<Vec<Hash>>,
    bundle: Vec<u8>,
    complete: Vec<TileFile>,
}

impl TileWriter {
    /// Begins an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from files of `size` entries that were written before: reads the
    /// partial tiles, and takes the partial bundle (its first `size % 256`
    /// entries count; empty when there is none). Refused when the bundle does
    /// not hash to the tile.
    pub fn resume<T: HashTiles + ?Sized>(
        size: u64,
        tiles: &T,
        bundle: &[u8],
    ) -> Result<Self, T::Error> {
        let mut writer = Self {
            size,
            flushed: size,
            ..Self::default()
        };
        for level in 0u8..8 {
            let count = size >> (u32::from(level) * 8);
            if count == 0 {
                break;
            }
            let index = count / TILE_WIDTH;
            let width = TilePath::width_in(size, level, index);
            let mut hashes = Vec::new();
            if width > 0 {
                hashes = tiles.hash_tile(level, index, width)?;
                if hashes.len() < usize::from(width) {
                    return Err(LedgerError::TileTooShort {
                        path: path(TileKind::Hashes(level), index, width).to_string(),
                    }
                    .into());
                }
                hashes.truncate(usize::from(width));
            }
            writer.levels.push(hashes);
        }
        let first = size / TILE_WIDTH * TILE_WIDTH;
        let mut entries = BundleReader::new(bundle);
        let leaves = writer.levels.first().map_or(&[][..], Vec::as_slice);
        for (index, leaf) in (first..).zip(leaves) {
            match entries.next() {
                Some(Ok(entry)) if leaf_hash(entry.bytes) == *leaf => {
                    push_entry(&mut writer.bundle, entry.bytes)?;
                }
                Some(Err(error)) => return Err(error.into()),
                _ => return Err(LedgerError::ResumeMismatch { index }.into()),
            }
        }
        Ok(writer)
    }

    /// Entries appended so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The tree of all entries appended so far.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        // Perfect subtrees within a partial tile are perfect subtrees of the
        // tree; those of higher levels are wider and stand to the left.
        let widest_first = self.levels.iter().rev();
        let hashes = widest_first
            .flat_map(|tile| tile.iter().copied().collect::<Frontier>().into_hashes())
            .collect();
        Frontier::from_parts(self.size, hashes)
    }

    /// Appends one entry and gives its leaf hash; refused beyond 65,535 bytes,
    /// with nothing changed.
    pub fn push(&mut self, entry: &[u8]) -> Result<Hash, LedgerError> {
        push_entry(&mut self.bundle, entry)?;
        let leaf = leaf_hash(entry);
        self.size += 1;
        if self.size.is_multiple_of(TILE_WIDTH) {
            self.complete.push(TileFile {
                path: path(TileKind::Entries, (self.size - 1) / TILE_WIDTH, FULL_TILE),
                bytes: std::mem::take(&mut self.bundle),
            });
        }
        self.push_hash(leaf);
        Ok(leaf)
    }

    /// Appends an entry of which only the leaf hash is kept: its bundle is not made. Such
    /// entries come first, in whole bundles.
    pub fn push_forgotten(&mut self, leaf: Hash) {
        self.size += 1;
        self.push_hash(leaf);
    }

    fn push_hash(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut count = self.size;
        for level in 0u8..8 {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(usize::from(level)) else {
                return;
            };
            tile.push(hash);
            if tile.len() < usize::from(FULL_TILE) {
                return;
            }
            let full = std::mem::take(tile);
            self.complete.push(TileFile {
                path: path(TileKind::Hashes(level), count / TILE_WIDTH - 1, FULL_TILE),
                bytes: bytes(&full),
            });
            hash = full.into_iter().collect::<Frontier>().root();
            count /= TILE_WIDTH;
        }
    }

    /// Full files that came up since the last call or flush; lets a long log be
    /// written without holding it.
    pub fn take_complete(&mut self) -> Vec<TileFile> {
        std::mem::take(&mut self.complete)
    }

    /// Whether nothing was appended since the last flush.
    #[must_use]
    pub const fn is_flushed(&self) -> bool {
        self.flushed == self.size
    }

    /// The partial files of a checkpoint at this size, whether written or not.
    #[must_use]
    pub fn partial(&self) -> Vec<TileFile> {
        partial_paths(self.size)
            .map(|path| {
                let bytes = match path.kind() {
                    TileKind::Hashes(level) => self
                        .levels
                        .get(usize::from(level))
                        .map_or_else(Vec::new, |hashes| bytes(hashes)),
                    TileKind::Entries => self.bundle.clone(),
                };
                TileFile { path, bytes }
            })
            .collect()
    }

    /// All files of a checkpoint at this size that are not written yet, and
    /// which partial files those replace.
    pub fn flush(&mut self) -> Flush {
        // A file that did not grow has the name that it had.
        let before: Vec<_> = partial_paths(self.flushed).collect();
        let now: Vec<_> = partial_paths(self.size).collect();
        let mut files = self.take_complete();
        let partial = self.partial().into_iter();
        files.extend(partial.filter(|file| !before.contains(&file.path)));
        let obsolete = before.into_iter().filter(|path| !now.contains(path));
        self.flushed = self.size;
        Flush {
            files,
            obsolete: obsolete.collect(),
        }
    }
}

/// The partial files of a tree of `size` entries: hash tiles from level 0 up, then
/// the bundle.
fn partial_paths(size: u64) -> impl Iterator<Item = TilePath> {
    let tiles =
        (0u8..8).map(move |level| (TileKind::Hashes(level), size >> (u32::from(level) * 8)));
    tiles
        .chain(std::iter::once((TileKind::Entries, size)))
        .filter_map(|(kind, count)| {
            let width = u16::try_from(count % TILE_WIDTH).unwrap_or(0);
            (width > 0).then(|| path(kind, count / TILE_WIDTH, width))
        })
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hashes.len() * 32);
    for hash in hashes {
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes
}
