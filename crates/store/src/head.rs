//! The head row: one sealed row, rewritten once per group, that vouches for all
//! others against removal, addition and rollback.

use crate::Seq;
use procura_crypto::sha256;
use procura_types::FieldTuple;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The sum modulo 2^256 of a keyed hash of each row's table, key and version.
/// Order does not matter, so the writer keeps it in step row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetDigest([u64; 4]);

impl SetDigest {
    /// The number with these 32 big-endian bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0u64; 4];
        let (words, _) = bytes.as_chunks::<8>();
        // The least significant limb comes first here and last in the bytes.
        for (limb, word) in limbs.iter_mut().rev().zip(words) {
            *limb = u64::from_be_bytes(*word);
        }
        Self(limbs)
    }

    /// 32 bytes, big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0u8; 32];
        let (words, _) = bytes.as_chunks_mut::<8>();
        for (word, limb) in words.iter_mut().zip(self.0.iter().rev()) {
            *word = limb.to_be_bytes();
        }
        bytes
    }

    /// Adds the hash of a row.
    pub fn add(&mut self, row: Self) {
        let mut carry = false;
        for (limb, other) in self.0.iter_mut().zip(row.0) {
            let (sum, over) = limb.overflowing_add(other);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over || again;
        }
    }

    /// Takes the hash of a row away.
    pub fn subtract(&mut self, row: Self) {
        let mut borrow = false;
        for (limb, other) in self.0.iter_mut().zip(row.0) {
            let (rest, under) = limb.overflowing_sub(other);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            *limb = rest;
            borrow = under || again;
        }
    }
}

/// What the head vouches for in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableHead {
    /// Of the set of its rows; zero when there are none.
    pub digest: SetDigest,
    /// Whether its rows are sealed by the barrier.
    pub sealed: bool,
}

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogHead {
    /// The number of entries that there ever were.
    pub len: u64,
    /// The keyed chain over all of them (`protocol.md` §6); zeros when empty.
    pub chain: [u8; 32],
    /// The first entry that is kept.
    pub start: u64,
    /// The keyed chain over those before it; zeros when there are none.
    pub start_chain: [u8; 32],
}

/// What the head row says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The last commit.
    pub seq: Seq,
    /// By table, chunk tables included.
    pub tables: BTreeMap<Arc<str>, TableHead>,
    /// By log.
    pub logs: BTreeMap<Arc<str>, LogHead>,
    /// From which commit on the set digests count rows by the key of which epoch;
    /// those from before all of them by the first.
    pub set_epochs: BTreeMap<Seq, u32>,
}

const FORMAT: u8 = 1;
/// With epochs of set keys at the end; written once there are any.
const TURNED: u8 = 2;
/// With epochs, and with beginnings of logs behind them; written once there are any.
const TRIMMED: u8 = 3;

impl Head {
    /// The set digest of a table; zero when it never had a row.
    #[must_use]
    pub fn table(&self, name: &str) -> SetDigest {
        self.tables
            .get(name)
            .map(|table| table.digest)
            .unwrap_or_default()
    }

    /// One digest over the sets of all tables, for checkpoints (`protocol.md`
    /// §5 "Rollback").
    #[must_use]
    pub fn set_digest(&self) -> [u8; 32] {
        let tuple = self.tables.iter().fold(
            FieldTuple::new("procura.sets.v1"),
            |tuple, (name, table)| tuple.text(name).bytes(&table.digest.to_bytes()),
        );
        sha256(tuple.as_bytes())
    }

    /// The epoch of the set key that a row of this version is counted by; 0 for the
    /// first.
    #[must_use]
    pub fn set_epoch(&self, version: Seq) -> u32 {
        self.set_epochs
            .range(..=version)
            .next_back()
            .map_or(0, |(_, epoch)| *epoch)
    }

    /// Rows of the commits after this one are counted by the key of `epoch`.
    pub(crate) fn count_sets_by(&mut self, epoch: u32) {
        let next = self.seq.next();
        if epoch > self.set_epoch(next) {
            self.set_epochs.insert(next, epoch);
        }
    }

    /// The end of a log; empty when nothing was appended.
    #[must_use]
    pub fn log(&self, name: &str) -> LogHead {
        self.logs.get(name).copied().unwrap_or_default()
    }

    /// `u8 1 ‖ u64 seq ‖ u16 tables ‖ (u8 len ‖ name ‖ u8 sealed ‖
    /// digest)* ‖ u16 logs ‖
    /// (u8 len ‖ name ‖ u64 entries ‖ chain)*`, big-endian. With epochs of set keys
    /// the first byte is 2, and `u16 epochs ‖ (u64 from ‖ u32 epoch)*` follows. Once a log
    /// has lost its beginning it is 3, and behind those
    /// `u16 logs ‖ (u8 len ‖ name ‖ u64 start ‖ chain)*` follows.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 64 * (self.tables.len() + self.logs.len()));
        let trimmed = self.logs.values().any(|log| log.start > 0);
        let turned = trimmed || !self.set_epochs.is_empty();
        out.push(match (trimmed, turned) {
            (true, _) => TRIMMED,
            (false, true) => TURNED,
            (false, false) => FORMAT,
        });
        out.extend_from_slice(&self.seq.get().to_be_bytes());
        let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        let name = |out: &mut Vec<u8>, name: &str| {
            // Names are constants of at most 33 bytes.
            out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(name.as_bytes());
        };
        out.extend_from_slice(&count(self.tables.len()));
        for (table, head) in &self.tables {
            name(&mut out, table);
            out.push(u8::from(head.sealed));
            out.extend_from_slice(&head.digest.to_bytes());
        }
        out.extend_from_slice(&count(self.logs.len()));
        for (log, head) in &self.logs {
            name(&mut out, log);
            out.extend_from_slice(&head.len.to_be_bytes());
            out.extend_from_slice(&head.chain);
        }
        if turned {
            out.extend_from_slice(&count(self.set_epochs.len()));
            for (from, epoch) in &self.set_epochs {
                out.extend_from_slice(&from.get().to_be_bytes());
                out.extend_from_slice(&epoch.to_be_bytes());
            }
        }
        if trimmed {
            let begun: Vec<_> = self.logs.iter().filter(|(_, log)| log.start > 0).collect();
            out.extend_from_slice(&count(begun.len()));
            for (log, head) in begun {
                name(&mut out, log);
                out.extend_from_slice(&head.start.to_be_bytes());
                out.extend_from_slice(&head.start_chain);
            }
        }
        out
    }

    /// Reads what [`Head::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [format] = reader.fixed()?;
        if !matches!(format, FORMAT | TURNED | TRIMMED) {
            return None;
        }
        let mut head = Self {
            seq: Seq::new(u64::from_be_bytes(reader.fixed()?)),
            ..Self::default()
        };
        for _ in 0..u16::from_be_bytes(reader.fixed()?) {
            let name = reader.name()?;
            let [sealed] = reader.fixed()?;
            let table = TableHead {
                digest: SetDigest::from_bytes(&reader.fixed()?),
                sealed: sealed != 0,
            };
            head.tables.insert(name, table);
        }
        for _ in 0..u16::from_be_bytes(reader.fixed()?) {
            let name = reader.name()?;
            let log = LogHead {
                len: u64::from_be_bytes(reader.fixed()?),
                chain: reader.fixed()?,
                ..LogHead::default()
            };
            head.logs.insert(name, log);
        }
        if format != FORMAT {
            for _ in 0..u16::from_be_bytes(reader.fixed()?) {
                let from = Seq::new(u64::from_be_bytes(reader.fixed()?));
                let epoch = u32::from_be_bytes(reader.fixed()?);
                head.set_epochs.insert(from, epoch);
            }
        }
        if format == TRIMMED {
            for _ in 0..u16::from_be_bytes(reader.fixed()?) {
                let name = reader.name()?;
                let log = head.logs.get_mut(&name)?;
                log.start = u64::from_be_bytes(reader.fixed()?);
                log.start_chain = reader.fixed()?;
            }
        }
        reader.0.is_empty().then_some(head)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*part)
    }

    fn name(&mut self) -> Option<Arc<str>> {
        let [len] = self.fixed()?;
        let (name, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        std::str::from_utf8(name).ok().map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn adding_and_taking_away_in_any_order_is_nothing(
            rows in proptest::collection::vec(any::<[u8; 32]>(), 0..8),
        ) {
            let mut digest = SetDigest::default();
            for row in &rows {
                digest.add(SetDigest::from_bytes(row));
            }
            for row in rows.iter().rev() {
                digest.subtract(SetDigest::from_bytes(row));
            }
            prop_assert_eq!(digest, SetDigest::default());
        }
    }

    #[test]
    fn carries_cross_limbs() {
        let mut digest = SetDigest::from_bytes(&[0xff; 32]);
        let mut one = [0; 32];
        one[31] = 1;
        digest.add(SetDigest::from_bytes(&one));
        assert_eq!(digest.to_bytes(), [0; 32]);
        digest.subtract(SetDigest::from_bytes(&one));
        assert_eq!(digest.to_bytes(), [0xff; 32]);
    }

    #[test]
    fn a_head_reads_back_and_nothing_else_does() {
        let mut head = Head {
            seq: Seq::new(7),
            ..Head::default()
        };
        let table = TableHead {
            digest: SetDigest::from_bytes(&[3; 32]),
            sealed: true,
        };
        head.tables.insert("a".into(), table);
        let log = LogHead {
            len: 2,
            chain: [9; 32],
            ..LogHead::default()
        };
        head.logs.insert("ledger".into(), log);
        head.logs.insert("outbox".into(), log);
        let before = head.to_bytes();
        assert_eq!(Head::from_bytes(&before), Some(head.clone()));
        let begun = LogHead {
            start: 1,
            start_chain: [8; 32],
            ..log
        };
        head.logs.insert("outbox".into(), begun);
        let trimmed = head.to_bytes();
        assert_eq!(Head::from_bytes(&trimmed), Some(head.clone()));
        head.count_sets_by(3);
        let bytes = head.to_bytes();
        assert_eq!(Head::from_bytes(&bytes), Some(head));
        for end in 0..bytes.len() {
            assert_eq!(Head::from_bytes(&bytes[..end]), None);
        }
        assert_eq!(Head::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn a_row_is_counted_by_the_key_of_its_time() {
        let mut head = Head {
            seq: Seq::new(7),
            ..Head::default()
        };
        assert_eq!(head.set_epoch(Seq::new(7)), 0);
        head.count_sets_by(0);
        assert!(head.set_epochs.is_empty());
        head.count_sets_by(2);
        head.seq = Seq::new(9);
        // The same keys still: the boundary stays where it was.
        head.count_sets_by(2);
        head.count_sets_by(3);
        let epochs = [7, 8, 9, 10].map(|seq| head.set_epoch(Seq::new(seq)));
        assert_eq!(epochs, [0, 2, 2, 3]);
        // What has older keys goes on with the newest that were used.
        head.count_sets_by(2);
        assert_eq!(head.set_epoch(Seq::new(100)), 3);
    }
}
