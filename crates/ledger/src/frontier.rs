use crate::{Hash, LedgerError, node_hash};
use procura_types::encoding;
use serde::{Deserialize, Serialize};

/// The right edge of a tree (a compact range from 0): the roots of its perfect
/// subtrees, widest first. Enough to append and to know the root; one hash per
/// set bit of the size.
///
/// Serialized as base64url of `u64be size ‖ hashes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            hashes: Vec::new(),
        }
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, widest first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// From the parts of a tree that holds by construction.
    pub(crate) const fn from_parts(size: u64, hashes: Vec<Hash>) -> Self {
        Self { size, hashes }
    }

    pub(crate) fn into_hashes(self) -> Vec<Hash> {
        self.hashes
    }

    /// Appends one leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut carry = self.size;
        // One perfect subtree of each height whose bit is set stands at the
        // end; equal heights merge, as in binary addition.
        while carry & 1 == 1 {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
            carry >>= 1;
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root of the tree (RFC 9162 §2.1.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut from_right = self.hashes.iter().rev();
        let Some(last) = from_right.next() else {
            return Hash::empty_root();
        };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }

    /// `u64be size ‖ hashes`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        for hash in &self.hashes {
            bytes.extend_from_slice(hash.as_bytes());
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; refused unless there is exactly one
    /// hash for each set bit of the size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        let wrong = LedgerError::malformed("frontier", "its length does not fit its size");
        let Some((size, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(wrong);
        };
        let size = u64::from_be_bytes(*size);
        let hashes = Hash::from_tile(rest)?;
        if u32::try_from(hashes.len()).ok() != Some(size.count_ones()) {
            return Err(wrong);
        }
        Ok(Self { size, hashes })
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        for leaf in leaves {
            self.push(leaf);
        }
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::new();
        frontier.extend(leaves);
        frontier
    }
}

impl TryFrom<String> for Frontier {
    type Error = LedgerError;
    fn try_from(text: String) -> Result<Self, LedgerError> {
        let bytes = encoding::from_b64url("frontier", &text)
            .map_err(|_| LedgerError::malformed("frontier", "is not base64url"))?;
        Self::from_bytes(&bytes)
    }
}

impl From<Frontier> for String {
    fn from(frontier: Frontier) -> Self {
        encoding::b64url(&frontier.to_bytes())
    }
}
