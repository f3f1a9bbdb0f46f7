//! What the writer asks of the barrier while it commits a group.
//!
//! A row is sealed for the version that it gets, and the version is known only
//! at commit; so sealing happens there, through these two traits.

use crate::{Damage, LogId, RowKey, Seq};

/// Sealing failed for want of random bytes; the group is not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes to seal with")]
pub struct SealFailed;

/// Seals groups of batches.
pub trait CommitSealer: Send + Sync {
    /// Begins a group on top of the last durable one.
    fn begin(&self) -> Box<dyn GroupSealer + '_>;
    /// The sealed constant, stored with the first commit.
    fn sentinel(&self) -> Result<Vec<u8>, SealFailed>;
    /// The last durable group that it knows of.
    fn seq(&self) -> Seq {
        Seq::ZERO
    }
    /// The row that says which keys count, with the version that these keys are of: a
    /// group applies only while the row is of this version. `None` where nobody else
    /// writes.
    fn fence(&self) -> Option<(RowKey, Seq)> {
        None
    }
    /// Whether a head is sealed with keys that another server has turned to, and that
    /// are not here yet.
    fn is_behind(&self, _head: &[u8]) -> bool {
        false
    }
    /// Goes on from the head that another writer of the same database left with its
    /// commit `seq`.
    ///
    /// # Errors
    /// [`Damage::Head`] when it does not open, or is not later than the known one.
    fn adopt(&self, _seq: Seq, _head: &[u8]) -> Result<(), Damage> {
        Ok(())
    }
}

/// Seals one group, and keeps the head row in step with its changes.
///
/// Dropped without [`GroupSealer::durable`], nothing of it remains.
pub trait GroupSealer {
    /// A row is written: gives the value to store. `old` is the version that it
    /// replaces; `sealed` is false for [`Kind::Clear`](crate::Kind::Clear).
    fn put(
        &mut self,
        key: &RowKey,
        sealed: bool,
        old: Option<Seq>,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed>;
    /// A row of this version is removed.
    fn delete(&mut self, key: &RowKey, old: Seq);
    /// An entry gets the next index of its log: gives the bytes to store.
    fn append(
        &mut self,
        log: LogId,
        index: u64,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed>;
    /// The entries of a log before this one go, over which the keyed chain is `chain`.
    fn trim(&mut self, log: LogId, before: u64, chain: &[u8; 32]);
    /// The sealed head row for the group whose last commit is `seq`.
    fn head(&mut self, seq: Seq) -> Result<Vec<u8>, SealFailed>;
    /// The group is durable.
    fn durable(self: Box<Self>);
}
