//! Whether a log goes on from what was seen of it (`protocol.md` §5, rollback). Where the
//! two heads alone do not tell, a proof does, and whoever asks fetches it.

use crate::{Checkpoint, Hash, verify_consistency};
use procura_types::wire::ConsistencyAnswer;
use serde::{Deserialize, Serialize};

/// A head of a log that was seen signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// How many entries it had.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl From<&Checkpoint> for Seen {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            size: checkpoint.size,
            root: checkpoint.root,
        }
    }
}

impl Seen {
    /// That the log of `later`, which has more entries, goes on from this one.
    pub(crate) const fn up_to(&self, later: &Self) -> Growth {
        Growth {
            from: *self,
            to: *later,
        }
    }
}

/// Why a log is not the one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// It has fewer entries than were seen.
    #[error("it has {newest} entries, {seen} were seen")]
    Shorter {
        /// How many it has.
        newest: u64,
        /// How many were seen.
        seen: u64,
    },
    /// Its entries are not those that were seen, or no log can be what was seen.
    #[error("its {size} entries are others")]
    Other {
        /// How many were seen.
        size: u64,
    },
    /// The proof has something in it that is no hash.
    #[error("its consistency proof cannot be read")]
    Unreadable,
    /// The proof does not lead from the one root to the other.
    #[error("the proof does not lead to the signed root")]
    Unproven,
}

/// A log that says it has grown, which a proof has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "until it is proven, the log may be any other"]
pub struct Growth {
    from: Seen,
    to: Seen,
}

impl Checkpoint {
    /// Holds this head of a log against one that was seen before. Nothing is returned when
    /// the two tell by themselves that it goes on.
    ///
    /// # Errors
    /// [`Break::Shorter`], or [`Break::Other`] when there are as many entries with another
    /// root. Every log begins with the one of no entries (RFC 9162 §2.1.1), so that nothing
    /// has to be proven from there; but that one has one root only, and what was seen with
    /// another is the beginning of none: [`Break::Other`], too.
    pub fn after(&self, seen: &Seen) -> Result<Option<Growth>, Break> {
        if self.size < seen.size {
            return Err(Break::Shorter {
                newest: self.size,
                seen: seen.size,
            });
        }
        let of_none = seen.size == 0 && seen.root != Hash::empty_root();
        if of_none || (self.size == seen.size && self.root != seen.root) {
            return Err(Break::Other { size: seen.size });
        }
        if self.size == seen.size || seen.size == 0 {
            return Ok(None);
        }
        Ok(Some(Growth {
            from: *seen,
            to: self.into(),
        }))
    }
}

impl Growth {
    /// Between which sizes the proof has to be asked for: the older, then the newer.
    #[must_use]
    pub const fn sizes(&self) -> (u64, u64) {
        (self.from.size, self.to.size)
    }

    /// Checks the proof. The sizes that it names are only its word: what it leads from and
    /// to are the heads.
    ///
    /// # Errors
    /// [`Break::Unreadable`], [`Break::Unproven`].
    pub fn prove(self, proof: &ConsistencyAnswer) -> Result<(), Break> {
        let path = proof
            .path
            .iter()
            .map(|hash| hash.parse::<Hash>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Break::Unreadable)?;
        let Self { from, to } = self;
        verify_consistency(from.size, &from.root, to.size, &to.root, &path)
            .map_err(|_| Break::Unproven)
    }
}
