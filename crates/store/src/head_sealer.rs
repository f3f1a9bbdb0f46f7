//! The barrier as the writer uses it: seals rows and keeps the head in step.

use crate::head::Head;
use crate::sealer::{CommitSealer, GroupSealer, SealFailed};
use crate::{Barrier, Damage, LogId, RowKey, Seq};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;

/// The installed barrier and the head of the last durable group.
pub(crate) struct HeadSealer {
    barrier: ArcSwap<Barrier>,
    head: ArcSwap<Head>,
    /// The row that says which keys count, where others write too.
    fence: ArcSwapOption<(RowKey, Seq)>,
}

impl HeadSealer {
    pub(crate) fn new(barrier: Barrier, head: Head) -> Self {
        Self {
            barrier: ArcSwap::from_pointee(barrier),
            head: ArcSwap::from_pointee(head),
            fence: ArcSwapOption::empty(),
        }
    }

    /// From the next group on these keys are used only while this row is of this
    /// version.
    pub(crate) fn put_fence(&self, key: RowKey, version: Seq) {
        self.fence.store(Some(Arc::new((key, version))));
    }

    pub(crate) fn barrier(&self) -> arc_swap::Guard<Arc<Barrier>> {
        self.barrier.load()
    }

    pub(crate) fn barrier_arc(&self) -> Arc<Barrier> {
        self.barrier.load_full()
    }

    /// Seals with another barrier from the next group on.
    pub(crate) fn replace_barrier(&self, barrier: Barrier) {
        self.barrier.store(Arc::new(barrier));
    }

    pub(crate) fn head(&self) -> Arc<Head> {
        self.head.load_full()
    }
}

impl CommitSealer for HeadSealer {
    fn begin(&self) -> Box<dyn GroupSealer + '_> {
        let barrier = self.barrier.load_full();
        let mut head = Head::clone(&self.head.load());
        head.count_sets_by(barrier.set_epoch());
        Box::new(Group {
            sealer: self,
            barrier,
            head,
        })
    }

    fn sentinel(&self) -> Result<Vec<u8>, SealFailed> {
        self.barrier.load().seal_sentinel()
    }

    fn seq(&self) -> Seq {
        self.head.load().seq
    }

    fn is_behind(&self, head: &[u8]) -> bool {
        self.barrier.load().is_behind(head)
    }

    fn fence(&self) -> Option<(RowKey, Seq)> {
        self.fence.load().as_deref().cloned()
    }

    fn adopt(&self, seq: Seq, head: &[u8]) -> Result<(), Damage> {
        let found = self.barrier.load().open_head(seq, head);
        let found = found.ok_or(Damage::Head)?;
        let known = self.head.load();
        // One commit has one head, and none comes before another that is known.
        if found.seq < known.seq || (found.seq == known.seq && found != **known) {
            return Err(Damage::Head);
        }
        self.head.store(Arc::new(found));
        Ok(())
    }
}

struct Group<'a> {
    sealer: &'a HeadSealer,
    barrier: Arc<Barrier>,
    head: Head,
}

impl GroupSealer for Group<'_> {
    fn put(
        &mut self,
        key: &RowKey,
        sealed: bool,
        old: Option<Seq>,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        let stored = match sealed {
            true => self.barrier.seal_row(key, version, plain)?,
            false => plain.to_vec(),
        };
        let added = self.barrier.element(&self.head, key, version);
        let former = old.map(|old| self.barrier.element(&self.head, key, old));
        let table = match self.head.tables.get_mut(key.table()) {
            Some(table) => table,
            None => self.head.tables.entry(key.table_name()).or_default(),
        };
        if let Some(former) = former {
            table.digest.subtract(former);
        }
        table.digest.add(added);
        table.sealed = sealed;
        Ok(stored)
    }

    fn delete(&mut self, key: &RowKey, old: Seq) {
        // A row whose table the head does not know was put in by someone else;
        // the digest then shows it, also after it is gone.
        let former = self.barrier.element(&self.head, key, old);
        if let Some(table) = self.head.tables.get_mut(key.table()) {
            table.digest.subtract(former);
        }
    }

    fn append(
        &mut self,
        log: LogId,
        index: u64,
        version: Seq,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        let stored = self.barrier.seal_entry(log, index, version, plain)?;
        let end = match self.head.logs.get_mut(log.as_str()) {
            Some(end) => end,
            None => self.head.logs.entry(log.as_str().into()).or_default(),
        };
        end.chain = self.barrier.link(&stored, index, plain, &end.chain);
        end.len = index + 1;
        Ok(stored)
    }

    fn trim(&mut self, log: LogId, before: u64, chain: &[u8; 32]) {
        if let Some(end) = self.head.logs.get_mut(log.as_str())
            && before > end.start
        {
            end.start = before;
            end.start_chain = *chain;
        }
    }

    fn head(&mut self, seq: Seq) -> Result<Vec<u8>, SealFailed> {
        self.head.seq = seq;
        self.barrier.seal_head(&self.head)
    }

    fn durable(self: Box<Self>) {
        self.sealer.head.store(Arc::new(self.head));
    }
}
