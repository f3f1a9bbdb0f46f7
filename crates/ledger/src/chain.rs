use crate::Hash;
use procura_crypto::MacKey;

/// The keyed chain: each link is HMAC(ledger key, u64be index ‖ leaf hash ‖
/// previous link), from 32 zero bytes (`protocol.md` §6). Whoever can write the
/// database but has no ledger key cannot go on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    next: u64,
    head: [u8; 32],
}

impl Chain {
    /// Before the first entry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: 0,
            head: [0; 32],
        }
    }

    /// Goes on after `size` entries with the link of the last one.
    #[must_use]
    pub const fn resume(size: u64, head: [u8; 32]) -> Self {
        Self { next: size, head }
    }

    /// The number of entries linked, which is the next entry's index.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.next
    }

    /// The link of the last entry.
    #[must_use]
    pub const fn head(&self) -> &[u8; 32] {
        &self.head
    }

    /// Links the next entry and gives its link.
    pub fn push(&mut self, key: &MacKey, leaf: &Hash) -> [u8; 32] {
        let index = self.next.to_be_bytes();
        self.head = key.sign(&[&index[..], leaf.as_bytes(), &self.head]);
        self.next += 1;
        self.head
    }

    /// Links the next entry if `link` is its link, compared in constant time.
    #[must_use]
    pub fn check(&mut self, key: &MacKey, leaf: &Hash, link: &[u8; 32]) -> bool {
        let index = self.next.to_be_bytes();
        let good = key.verify(&[&index[..], leaf.as_bytes(), &self.head], link);
        if good {
            self.head = *link;
            self.next += 1;
        }
        good
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}
