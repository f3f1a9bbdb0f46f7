//! Names of the files of a log (C2SP tlog-tiles): `tile/<L>/<N>[.p/<W>]` for
//! hashes, `tile/entries/<N>[.p/<W>]` for entries.

use crate::LedgerError;
use std::fmt;
use std::str::FromStr;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// The width of a full tile or bundle, in the type of widths.
pub const FULL_TILE: u16 = 256;

/// What a file of the tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes, 32 bytes each, of the given level; leaf hashes at level 0.
    Hashes(u8),
    /// Entries, each after its length as two bytes, big-endian.
    Entries,
}

/// The name of one file of the tree: kind, index, and width in hashes or entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// A file of `width` hashes or entries, 1 to 256; levels are 0 to 63.
    pub const fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, LedgerError> {
        if width == 0 || width > FULL_TILE {
            return Err(LedgerError::malformed("tile path", "the width is 1 to 256"));
        }
        if let TileKind::Hashes(level) = kind
            && level > 63
        {
            return Err(LedgerError::malformed("tile path", "the level is 0 to 63"));
        }
        Ok(Self { kind, index, width })
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its place within its level, from 0.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or entries in it, 1 to 256.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is full and therefore never changes.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == FULL_TILE
    }

    /// How many hashes tile `index` of `level` has in a tree of `size` entries:
    /// 0 to 256.
    #[must_use]
    pub fn width_in(size: u64, level: u8, index: u64) -> u16 {
        let count = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
        let before = index.saturating_mul(TILE_WIDTH);
        u16::try_from(count.saturating_sub(before).min(TILE_WIDTH)).unwrap_or(FULL_TILE)
    }
}

/// A name from parts that are within bounds by construction.
pub(crate) const fn path(kind: TileKind, index: u64, width: u16) -> TilePath {
    TilePath { kind, index, width }
}

/// All files that a tree of `size` entries consists of, beside its
/// `checkpoint`: entry bundles first, then hash tiles from level 0 up.
pub fn layout(size: u64) -> impl Iterator<Item = TilePath> {
    let levels = (0..8).map(TileKind::Hashes);
    std::iter::once(TileKind::Entries)
        .chain(levels)
        .flat_map(move |kind| {
            let level = match kind {
                TileKind::Hashes(level) => level,
                TileKind::Entries => 0,
            };
            let count = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            (0..count.div_ceil(TILE_WIDTH)).map(move |index| TilePath {
                kind,
                index,
                width: TilePath::width_in(size, level, index),
            })
        })
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // Groups of three digits, all but the last marked with x, so that no
        // name is both a file and a directory.
        let mut group = 1u64;
        while self.index / group >= 1000 {
            group *= 1000;
        }
        while group > 1 {
            write!(f, "x{:03}/", self.index / group % 1000)?;
            group /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.width < FULL_TILE {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = LedgerError;
    fn from_str(text: &str) -> Result<Self, LedgerError> {
        parse(text).ok_or(LedgerError::malformed(
            "tile path",
            "is not tile/<level>/<index>[.p/<width>] or tile/entries/<index>[.p/<width>]",
        ))
    }
}

fn parse(text: &str) -> Option<TilePath> {
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let kind = if kind == "entries" {
        TileKind::Entries
    } else {
        TileKind::Hashes(u8::try_from(plain_number(kind, 2)?).ok()?)
    };
    let (index, width) = match rest.split_once(".p/") {
        None => (rest, FULL_TILE),
        Some((index, width)) => {
            let width = u16::try_from(plain_number(width, 3)?).ok()?;
            if width >= FULL_TILE {
                return None;
            }
            (index, width)
        }
    };
    let path = TilePath::new(kind, parse_index(index)?, width).ok()?;
    // One name per file: what does not come back as given is refused, such as
    // superfluous groups of zeros.
    (path.to_string() == text).then_some(path)
}

fn parse_index(text: &str) -> Option<u64> {
    let mut index = 0u64;
    let mut groups = text.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() {
            group.strip_prefix('x')?
        } else {
            group
        };
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let group: u64 = digits.parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    Some(index)
}

/// A decimal number without leading zeros, of at most `digits` digits.
fn plain_number(text: &str, digits: usize) -> Option<u64> {
    let plain = !text.is_empty()
        && text.len() <= digits
        && text.bytes().all(|digit| digit.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}
