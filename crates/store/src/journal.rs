//! The record of recent commits: which batches a group had and which rows they
//! changed. The change feed and the fate of a batch are read from it.

use crate::{Change, RowKey, Seq};
use procura_types::BatchId;

/// How many commits back the feed and the fates reach at least, by default.
pub(crate) const KEPT: u64 = 131_072;

/// Old groups are removed when so many commits have gone by.
pub(crate) const fn prune_every(kept: u64) -> u64 {
    kept / 32 + 1
}

/// The record of one group: per batch `16 id ‖ u32 changes ‖ (u8 deleted ‖
/// u32 len ‖ key)*`, in commit order.
#[derive(Debug, Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    /// Where the count of the batch that is being written stands.
    open: usize,
    count: u32,
}

impl Group {
    pub(crate) fn begin_batch(&mut self, id: BatchId) {
        self.bytes.extend_from_slice(id.as_bytes());
        self.open = self.bytes.len();
        self.count = 0;
        self.bytes.extend_from_slice(&0u32.to_be_bytes());
    }

    pub(crate) fn change(&mut self, key: &RowKey, deleted: bool) {
        self.bytes.push(u8::from(deleted));
        // Keys come from bounded names, far below 4 GiB.
        let len = u32::try_from(key.as_bytes().len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(key.as_bytes());
        self.count += 1;
        if let Some(slot) = self.bytes.get_mut(self.open..self.open + 4) {
            slot.copy_from_slice(&self.count.to_be_bytes());
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One batch of a recorded group.
pub(crate) struct Recorded {
    pub(crate) id: BatchId,
    pub(crate) seq: Seq,
    pub(crate) changes: Vec<Change>,
}

/// Reads the group whose first batch is commit `first`; `None` for damage.
pub(crate) fn read(first: Seq, bytes: &[u8]) -> Option<Vec<Recorded>> {
    let (mut rest, mut seq, mut batches) = (bytes, first, Vec::new());
    while !rest.is_empty() {
        let (id, after) = rest.split_first_chunk::<16>()?;
        let (count, after) = after.split_first_chunk::<4>()?;
        rest = after;
        let mut changes = Vec::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let ([deleted], after) = rest.split_first_chunk::<1>()?;
            let (len, after) = after.split_first_chunk::<4>()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (key, after) = after.split_at_checked(len)?;
            rest = after;
            changes.push(Change {
                seq,
                key: RowKey::from_stored(key.to_vec())?,
                deleted: *deleted != 0,
            });
        }
        batches.push(Recorded {
            id: BatchId::from_bytes(*id),
            seq,
            changes,
        });
        seq = seq.next();
    }
    Some(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_reads_back_and_a_cut_one_does_not() {
        let mut group = Group::default();
        let (a, b) = (RowKey::new("t", b"a"), RowKey::new("t", b"b"));
        group.begin_batch(BatchId::from_bytes([1; 16]));
        group.begin_batch(BatchId::from_bytes([2; 16]));
        group.change(&a, false);
        group.change(&b, true);
        let read_back = read(Seq::new(5), group.as_bytes()).unwrap();
        assert_eq!(read_back.len(), 2);
        assert_eq!(read_back[0].id, BatchId::from_bytes([1; 16]));
        assert_eq!(read_back[0].seq, Seq::new(5));
        assert!(read_back[0].changes.is_empty());
        let seq = Seq::new(6);
        assert_eq!(read_back[1].seq, seq);
        let expected = [(a, false), (b, true)].map(|(key, deleted)| Change { seq, key, deleted });
        assert_eq!(read_back[1].changes, expected);
        assert!(read(seq, &group.as_bytes()[..group.as_bytes().len() - 1]).is_none());
    }
}
