//! Merkle proofs, checked a second time by the recursive definitions of RFC 9162
//! §2.1.3.1 and §2.1.4.1: both must say the same of every input.

use crate::Verdict;
use crate::fields::Fields;
use procura_ledger::{
    Hash, HashTiles, LedgerError, TILE_WIDTH, TileKind, TilePath, TileWriter, consistency_proof,
    inclusion_proof, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A log of 300 entries, which has more than one tile.
const SIZE: u64 = 300;

struct Log {
    tiles: BTreeMap<TilePath, Vec<Hash>>,
    roots: Vec<Hash>,
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let mut writer = TileWriter::new();
    let mut log = Log {
        tiles: BTreeMap::new(),
        roots: vec![writer.frontier().root()],
    };
    for index in 0..SIZE {
        writer.push(&index.to_be_bytes()).unwrap();
        log.roots.push(writer.frontier().root());
    }
    for file in writer.flush().files {
        if matches!(file.path.kind(), TileKind::Hashes(_)) {
            let hashes = Hash::from_tile(&file.bytes).unwrap();
            log.tiles.insert(file.path, hashes);
        }
    }
    log
});

impl HashTiles for Log {
    type Error = LedgerError;
    fn hash_tile(&self, level: u8, index: u64, _: u16) -> Result<Vec<Hash>, LedgerError> {
        let width = TilePath::width_in(SIZE, level, index).clamp(1, TILE_WIDTH as u16);
        let path = TilePath::new(TileKind::Hashes(level), index, width)?;
        Ok(self.tiles.get(&path).cloned().unwrap_or_default())
    }
}

/// The largest power of two below `count`.
fn split(count: u64) -> u64 {
    let mut power = 1;
    while power < count - power {
        power *= 2;
    }
    power
}

fn root_from(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if size == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (last, path) = path.split_last()?;
    let half = split(size);
    Some(if index < half {
        node_hash(&root_from(leaf, index, half, path)?, last)
    } else {
        node_hash(last, &root_from(leaf, index - half, size - half, path)?)
    })
}

/// The roots of the old and of the new tree that a path leads to.
fn roots_from(old: u64, new: u64, known: Option<Hash>, path: &[Hash]) -> Option<(Hash, Hash)> {
    if old == new {
        let root = match (known, path) {
            (Some(root), []) => root,
            (None, [root]) => *root,
            _ => return None,
        };
        return Some((root, root));
    }
    let (last, path) = path.split_last()?;
    let half = split(new);
    Some(if old <= half {
        let (before, after) = roots_from(old, half, known, path)?;
        (before, node_hash(&after, last))
    } else {
        let (before, after) = roots_from(old - half, new - half, None, path)?;
        (node_hash(last, &before), node_hash(last, &after))
    })
}

/// A true path, with the changes that the input asks for: each byte below 64
/// takes away, doubles or damages a hash, others leave it.
fn changed(path: &[Hash], changes: &[u8]) -> Vec<Hash> {
    let mut out = Vec::new();
    for (position, hash) in path.iter().enumerate() {
        let change = changes.get(position).copied().unwrap_or(u8::MAX);
        let mut bytes = *hash.as_bytes();
        match change {
            0..8 => {}
            8..16 => out.extend([*hash, *hash]),
            16..48 => {
                bytes[usize::from(change - 16)] ^= 1;
                out.push(Hash::from_bytes(bytes));
            }
            48..64 => out.push(path[usize::from(change - 48) % path.len()]),
            _ => out.push(*hash),
        }
    }
    out
}

/// Sizes near those that are hard: small ones, and any.
fn size(raw: u64) -> u64 {
    if raw >> 63 == 0 {
        raw % (SIZE + 1)
    } else {
        raw & (u64::MAX >> 1)
    }
}

pub(crate) fn inclusion(data: &[u8]) -> Verdict {
    let mut fields = Fields::new(data);
    let (index, tree) = (size(fields.number()), size(fields.number()));
    let (told_index, told_size) = (fields.number(), fields.number());
    let given = inclusion_proof(&*LOG, index, tree.min(SIZE)).unwrap_or_default();
    let leaf = leaf_hash(&index.to_be_bytes());
    let path = changed(&given, fields.rest());
    let root = LOG.roots[usize::try_from(tree.min(SIZE)).unwrap()];
    let mut accepted = false;
    for (index, size) in [
        (index, tree),
        (index, told_size),
        (told_index, tree),
        (told_index, told_size),
    ] {
        let verified = verify_inclusion(&leaf, index, size, &path, &root).is_ok();
        let expected = index < size && root_from(leaf, index, size, &path) == Some(root);
        assert_eq!(verified, expected, "{index} in {size}");
        accepted |= verified;
    }
    if tree <= SIZE && index < tree {
        assert!(accepted || path != given, "a true proof was refused");
    }
    Verdict::of(accepted)
}

pub(crate) fn consistency(data: &[u8]) -> Verdict {
    let mut fields = Fields::new(data);
    let (from, to) = (size(fields.number()), size(fields.number()));
    let (told_from, told_to) = (fields.number(), fields.number());
    let given = consistency_proof(&*LOG, from, to.min(SIZE)).unwrap_or_default();
    let path = changed(&given, fields.rest());
    let root = |size: u64| LOG.roots[usize::try_from(size.min(SIZE)).unwrap()];
    let (old, new) = (root(from), root(to));
    let mut accepted = false;
    for (from, to) in [
        (from, to),
        (from, told_to),
        (told_from, to),
        (told_from, told_to),
    ] {
        let verified = verify_consistency(from, &old, to, &new, &path).is_ok();
        let expected = match (from, to) {
            _ if from > to => false,
            (0, _) => path.is_empty() && old == Hash::empty_root(),
            _ if from == to => path.is_empty() && old == new,
            _ => roots_from(from, to, Some(old), &path) == Some((old, new)),
        };
        assert_eq!(verified, expected, "{from} to {to}");
        accepted |= verified;
    }
    if from <= to && to <= SIZE {
        assert!(accepted || path != given, "a true proof was refused");
    }
    Verdict::of(accepted)
}
