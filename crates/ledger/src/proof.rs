//! Inclusion and consistency proofs (RFC 9162 §2.1.3 and §2.1.4): made from
//! hash tiles, checked from nothing but the proof.

use crate::{Frontier, Hash, LedgerError, TILE_WIDTH, TilePath, node_hash};
use std::collections::BTreeMap;

/// Binary levels that one tile spans.
const TILE_HEIGHT: u32 = 8;

/// Where the hashes of the tree are kept, as C2SP tiles of height 8.
pub trait HashTiles {
    /// What can go wrong there.
    type Error: From<LedgerError>;

    /// At least the first `width` hashes of tile `index` at `level`; more when
    /// the tree has grown since is fine.
    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, Self::Error>;
}

/// The hashes from leaf `index` up to the root of the tree of `size` entries.
pub fn inclusion_proof<T: HashTiles + ?Sized>(
    tiles: &T,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, T::Error> {
    if index >= size {
        return Err(LedgerError::OutOfRange {
            wanted: index,
            size,
        }
        .into());
    }
    let mut tree = Tree::new(tiles, size);
    let mut path = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(tree.range(middle, high)?);
            high = middle;
        } else {
            path.push(tree.range(low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that prove the tree of `from` entries a prefix of the tree of `to`.
/// Empty when `from` is 0 or equal to `to`.
pub fn consistency_proof<T: HashTiles + ?Sized>(
    tiles: &T,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, T::Error> {
    if from > to {
        return Err(LedgerError::OutOfRange {
            wanted: from,
            size: to,
        }
        .into());
    }
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let mut tree = Tree::new(tiles, to);
    let mut path = Vec::new();
    let (mut low, mut high) = (0, to);
    // SUBPROOF of RFC 9162 §2.1.4.1, from the root down; `low == 0` at the end
    // means that the verifier knows the last hash: it is the old root.
    while high != from {
        let middle = low + split(high - low);
        if from <= middle {
            path.push(tree.range(middle, high)?);
            high = middle;
        } else {
            path.push(tree.range(low, middle)?);
            low = middle;
        }
    }
    if low != 0 {
        path.push(tree.range(low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that `leaf` stands at `index` in the tree of `size` entries and `root`.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), LedgerError> {
    if index >= size {
        return Err(LedgerError::OutOfRange {
            wanted: index,
            size,
        });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for beside in proof {
        if last == 0 {
            return Err(LedgerError::ProofRefused);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(beside, &hash);
            skip_missing(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(LedgerError::ProofRefused)
    }
}

/// Checks that the tree of `from` entries and `old_root` is a prefix of the
/// tree of `to` entries and `new_root`.
pub fn verify_consistency(
    from: u64,
    old_root: &Hash,
    to: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), LedgerError> {
    if from > to {
        return Err(LedgerError::OutOfRange {
            wanted: from,
            size: to,
        });
    }
    if from == 0 || from == to {
        let expected = if from == 0 {
            Hash::empty_root()
        } else {
            *new_root
        };
        return if proof.is_empty() && *old_root == expected {
            Ok(())
        } else {
            Err(LedgerError::ProofRefused)
        };
    }
    let mut rest = proof.iter();
    let start = if from.is_power_of_two() {
        *old_root
    } else {
        *rest.next().ok_or(LedgerError::ProofRefused)?
    };
    let (mut node, mut last) = (from - 1, to - 1);
    let shared = node.trailing_ones();
    node >>= shared;
    last >>= shared;
    let (mut old, mut new) = (start, start);
    for beside in rest {
        if last == 0 {
            return Err(LedgerError::ProofRefused);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(beside, &old);
            new = node_hash(beside, &new);
            skip_missing(&mut node, &mut last);
        } else {
            new = node_hash(&new, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && old == *old_root && new == *new_root {
        Ok(())
    } else {
        Err(LedgerError::ProofRefused)
    }
}

/// On the right edge of the tree a node without a sibling moves up unchanged.
const fn skip_missing(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// A tree of a size, over tiles read once each.
struct Tree<'a, T: ?Sized> {
    tiles: &'a T,
    size: u64,
    read: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<'a, T: HashTiles + ?Sized> Tree<'a, T> {
    const fn new(tiles: &'a T, size: u64) -> Self {
        Self {
            tiles,
            size,
            read: BTreeMap::new(),
        }
    }

    /// The Merkle tree hash of the leaves `low..high`, a subtree of this tree.
    fn range(&mut self, low: u64, high: u64) -> Result<Hash, T::Error> {
        let count = high - low;
        if count.is_power_of_two() {
            let height = count.trailing_zeros();
            return self.perfect(height, low >> height);
        }
        let middle = low + split(count);
        let left = self.range(low, middle)?;
        let right = self.range(middle, high)?;
        Ok(node_hash(&left, &right))
    }

    /// The root of the `index`-th perfect subtree of 2^`height` leaves.
    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, T::Error> {
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        let inside = height % TILE_HEIGHT;
        let first = index << inside;
        let (tile, offset) = (first / TILE_WIDTH, first % TILE_WIDTH);
        let count = usize::try_from(1u64 << inside).unwrap_or(usize::MAX);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if !self.read.contains_key(&(level, tile)) {
            let width = TilePath::width_in(self.size, level, tile);
            let hashes = self.tiles.hash_tile(level, tile, width)?;
            self.read.insert((level, tile), hashes);
        }
        let hashes = self
            .read
            .get(&(level, tile))
            .and_then(|hashes| hashes.get(offset..offset.checked_add(count)?))
            .ok_or_else(|| LedgerError::TileTooShort {
                path: format!("tile/{level}/{tile}"),
            })?;
        Ok(hashes.iter().copied().collect::<Frontier>().root())
    }
}
