use crate::LedgerError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_crypto::{Sha256, sha256};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 hash of the tree: of a leaf, an inner node or a root. As text it
/// is standard base64 with padding, as in C2SP tlog-checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

impl Hash {
    /// The root of the tree without entries: the hash of nothing (RFC 9162 §2.1.1).
    #[must_use]
    pub fn empty_root() -> Self {
        Self(sha256(&[]))
    }

    /// Wraps 32 bytes that were computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hashes of a tile's bytes: 32 bytes each, nothing left over.
    pub fn from_tile(bytes: &[u8]) -> Result<Vec<Self>, LedgerError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if rest.is_empty() {
            Ok(hashes.iter().copied().map(Self).collect())
        } else {
            Err(LedgerError::malformed(
                "hash tile",
                "its length is not a multiple of 32 bytes",
            ))
        }
    }
}

/// The hash of an entry's bytes as first written (RFC 9162 §2.1.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    hash.update(entry);
    Hash(hash.finish())
}

/// The hash of an inner node over its two children (RFC 9162 §2.1.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1u8; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash(sha256(&bytes))
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = LedgerError;
    fn from_str(text: &str) -> Result<Self, LedgerError> {
        STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(LedgerError::malformed(
                "hash",
                "is not 32 bytes in base64 with padding",
            ))
    }
}

impl TryFrom<String> for Hash {
    type Error = LedgerError;
    fn try_from(text: String) -> Result<Self, LedgerError> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}
