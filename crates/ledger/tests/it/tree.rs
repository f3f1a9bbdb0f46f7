//! The tree against its definition, and proofs of every kind and size.

use crate::fixture::Counting;
use procura_ledger::{
    Frontier, Hash, HashTiles, LedgerError, consistency_proof, inclusion_proof, leaf_hash,
    node_hash, verify_consistency, verify_inclusion,
};
use procura_types::Entropy as _;

/// The tree hash as RFC 9162 §2.1.1 defines it.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&defined(left), &defined(right))
        }
    }
}

/// Tiles of a tree whose leaves are at hand.
pub(crate) struct Leaves(pub(crate) Vec<Hash>);

impl HashTiles for Leaves {
    type Error = LedgerError;
    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, LedgerError> {
        let span = 256usize.pow(u32::from(level));
        let first = index as usize * 256;
        Ok((first..first + usize::from(width))
            .map(|at| defined(&self.0[at * span..(at + 1) * span]))
            .collect())
    }
}

pub(crate) fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn frontier_is_the_defined_tree() {
    let leaves = leaves(300);
    let mut tree = Frontier::new();
    for size in 0..=300 {
        assert_eq!(tree.size(), size as u64);
        assert_eq!(tree.root(), defined(&leaves[..size]), "{size}");
        assert_eq!(Frontier::from_bytes(&tree.to_bytes()).unwrap(), tree);
        let json = serde_json::to_string(&tree).unwrap();
        assert_eq!(serde_json::from_str::<Frontier>(&json).unwrap(), tree);
        if let Some(leaf) = leaves.get(size) {
            tree.push(*leaf);
        }
    }
}

#[test]
fn a_frontier_with_too_few_or_many_hashes_is_refused() {
    let tree: Frontier = leaves(7).into_iter().collect();
    let bytes = tree.to_bytes();
    for wrong in [&bytes[..7], &bytes[..bytes.len() - 32], &bytes[..20]] {
        assert!(matches!(
            Frontier::from_bytes(wrong),
            Err(LedgerError::Malformed { .. })
        ));
    }
    let more = [&bytes[..], &[0; 32]].concat();
    assert!(matches!(
        Frontier::from_bytes(&more),
        Err(LedgerError::Malformed {
            what: "frontier",
            ..
        })
    ));
}

#[test]
fn every_leaf_of_every_size_is_proven() {
    let source = Leaves(leaves(300));
    let mut tree = Frontier::new();
    for size in 1..=300u64 {
        tree.push(source.0[size as usize - 1]);
        let root = tree.root();
        for index in 0..size {
            let leaf = &source.0[index as usize];
            let proof = inclusion_proof(&source, index, size).unwrap();
            verify_inclusion(leaf, index, size, &proof, &root).unwrap();
        }
        for beyond in [size, u64::MAX] {
            assert!(matches!(
                inclusion_proof(&source, beyond, size),
                Err(LedgerError::OutOfRange { .. })
            ));
        }
    }
}

fn refused(result: Result<(), LedgerError>) -> bool {
    matches!(
        result,
        Err(LedgerError::ProofRefused | LedgerError::OutOfRange { .. })
    )
}

/// Everything that one can do to a path: a bit, an element less or more, two swapped.
fn mutations(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for at in 0..proof.len() {
        let mut bytes = *proof[at].as_bytes();
        bytes[at % 32] ^= 1 << (at % 8);
        let mut changed = proof.to_vec();
        changed[at] = Hash::from_bytes(bytes);
        all.push(changed);
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        all.push(shorter);
        let mut doubled = proof.to_vec();
        doubled.insert(at, proof[at]);
        all.push(doubled);
        if at > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(at - 1, at);
            all.push(swapped);
        }
    }
    all.push([proof, &[Hash::empty_root()]].concat());
    all
}

#[test]
fn mutated_inclusion_proofs_are_refused() {
    let source = Leaves(leaves(70));
    for size in [1u64, 2, 3, 7, 8, 33, 64, 70] {
        let root = defined(&source.0[..size as usize]);
        for index in 0..size {
            let leaf = &source.0[index as usize];
            let proof = inclusion_proof(&source, index, size).unwrap();
            for wrong in mutations(&proof) {
                assert!(refused(verify_inclusion(leaf, index, size, &wrong, &root)));
            }
            let next = (index + 1) % size;
            if next != index {
                assert!(refused(verify_inclusion(leaf, next, size, &proof, &root)));
            }
            let other = leaf_hash(b"other");
            assert!(refused(verify_inclusion(
                &other, index, size, &proof, &root
            )));
            assert!(refused(verify_inclusion(leaf, index, size, &proof, &other)));
        }
    }
}

#[test]
fn every_pair_of_sizes_is_consistent_and_nothing_else() {
    let source = Leaves(leaves(64));
    let roots: Vec<Hash> = (0..=64).map(|size| defined(&source.0[..size])).collect();
    for to in 0..=64u64 {
        for from in 0..=to {
            let (old, new) = (&roots[from as usize], &roots[to as usize]);
            let proof = consistency_proof(&source, from, to).unwrap();
            verify_consistency(from, old, to, new, &proof).unwrap();
            for wrong in mutations(&proof) {
                assert!(
                    refused(verify_consistency(from, old, to, new, &wrong)),
                    "{from} {to}"
                );
            }
            let other = leaf_hash(b"other");
            assert!(refused(verify_consistency(from, &other, to, new, &proof)));
            if from > 0 {
                assert!(refused(verify_consistency(from, old, to, &other, &proof)));
            }
            // A smaller tree passed off as one that needs a longer path.
            if 0 < from && from < to {
                assert!(refused(verify_consistency(from, old, 4 * to, new, &proof)));
            }
            if from < to {
                assert!(matches!(
                    verify_consistency(to, new, from, old, &proof),
                    Err(LedgerError::OutOfRange { .. })
                ));
            }
        }
    }
}

#[test]
fn proofs_over_several_levels_of_tiles() {
    // 256² + 300 leaves reach level 2; a sample of leaves and older sizes.
    let size = 65_836u64;
    let source = Leaves(leaves(size));
    let root = defined(&source.0);
    let entropy = Counting::new(7);
    for _ in 0..8 {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes).unwrap();
        let index = u64::from_be_bytes(bytes) % size;
        let proof = inclusion_proof(&source, index, size).unwrap();
        let leaf = &source.0[index as usize];
        verify_inclusion(leaf, index, size, &proof, &root).unwrap();
        let from = index + 1;
        let old = defined(&source.0[..from as usize]);
        let proof = consistency_proof(&source, from, size).unwrap();
        verify_consistency(from, &old, size, &root, &proof).unwrap();
    }
}

#[test]
fn a_source_that_has_too_few_hashes_is_named() {
    struct Short;
    impl HashTiles for Short {
        type Error = LedgerError;
        fn hash_tile(&self, _: u8, _: u64, _: u16) -> Result<Vec<Hash>, LedgerError> {
            Ok(vec![Hash::empty_root()])
        }
    }
    assert!(matches!(
        inclusion_proof(&Short, 0, 9),
        Err(LedgerError::TileTooShort { path }) if path == "tile/0/0"
    ));
}
