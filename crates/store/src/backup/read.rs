//! Reading a backup: every byte is looked at, and what is not as it was written is
//! refused with its own reason.

use super::{
    BackupEnd, BackupFault, FORMAT, FRAME_HEAD, FrameKind, LONGEST_FRAME, MAGIC, frame_check, outer,
};
use crate::engine::{Anchor, RawEntry, RawRow};
use crate::{IoCause, RowKey, Seq};
use bytes::{Buf as _, Bytes};
use procura_crypto::Sha256;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

/// One thing that a backup tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// What it says of itself; always the first.
    Head(Bytes),
    /// A row as it is now; none when it is gone. A later word counts over an earlier.
    Row(RowKey, Option<RawRow>),
    /// What vouches for the rows, behind the last of them.
    Anchor(Anchor),
    /// An entry of a log.
    Entry(Arc<str>, RawEntry),
    /// The end; always the last, and only where everything before it was as written.
    End(BackupEnd),
}

/// Reads a backup from its beginning to its end.
pub struct BackupReader<R> {
    from: R,
    digest: Sha256,
    at: u64,
    /// What may come next begins here.
    stage: FrameKind,
    body: Bytes,
    body_kind: FrameKind,
    rows: u64,
    entries: u64,
    over: bool,
}

impl<R: Read> BackupReader<R> {
    /// Looks at the beginning.
    ///
    /// # Errors
    /// [`BackupFault::NotABackup`], [`BackupFault::NewerFormat`],
    /// [`BackupFault::Partial`], [`BackupFault::Io`].
    pub fn new(from: R) -> Result<Self, BackupFault> {
        let mut reader = Self {
            from,
            digest: Sha256::new(),
            at: 0,
            stage: FrameKind::Head,
            body: Bytes::new(),
            body_kind: FrameKind::Head,
            rows: 0,
            entries: 0,
            over: false,
        };
        let mut magic = [0u8; 16];
        let got = reader.fill(&mut magic)?;
        let (found, wanted) = (magic.get(..got), MAGIC.get(..got));
        if found != wanted {
            return Err(BackupFault::NotABackup);
        }
        if got < magic.len() {
            return Err(reader.cut());
        }
        let mut format = [0u8; 4];
        reader.exactly(&mut format)?;
        match u32::from_be_bytes(format) {
            0 => Err(reader.damaged("there is no format 0")),
            FORMAT => Ok(reader),
            found => Err(BackupFault::NewerFormat {
                found,
                supported: FORMAT,
            }),
        }
    }

    /// What is told next; none behind the end.
    ///
    /// # Errors
    /// See [`BackupFault`].
    pub fn next_item(&mut self) -> Result<Option<Item>, BackupFault> {
        if self.over {
            return Ok(None);
        }
        if self.body.is_empty() && !self.frame()? {
            return Err(self.damaged("a frame is empty"));
        }
        let item = match self.body_kind {
            FrameKind::Head => Some(Item::Head(std::mem::take(&mut self.body))),
            FrameKind::Rows => self.row(),
            FrameKind::Anchor => self.anchor(),
            FrameKind::Entries => self.entry(),
            FrameKind::End => return self.end().map(Some),
        };
        match item {
            Some(item) => Ok(Some(item)),
            None => Err(self.damaged("a frame does not hold what it should")),
        }
    }

    /// Reads all that is left, and gives how it ends.
    ///
    /// # Errors
    /// See [`BackupFault`].
    pub fn to_end(mut self) -> Result<BackupEnd, BackupFault> {
        loop {
            match self.next_item()? {
                Some(Item::End(end)) => return Ok(end),
                Some(_) => {}
                None => return Err(self.damaged("it has no end")),
            }
        }
    }

    const fn damaged(&self, what: &'static str) -> BackupFault {
        BackupFault::Damaged { at: self.at, what }
    }

    const fn cut(&self) -> BackupFault {
        BackupFault::Partial { at: self.at }
    }

    /// Fills as much as there is.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize, BackupFault> {
        let mut got = 0;
        while let Some(rest) = into.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.from.read(rest) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(BackupFault::Io(IoCause::new(&error))),
            }
        }
        self.at = self
            .at
            .saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
        self.digest.update(into.get(..got).unwrap_or_default());
        Ok(got)
    }

    fn exactly(&mut self, into: &mut [u8]) -> Result<(), BackupFault> {
        match self.fill(into)? == into.len() {
            true => Ok(()),
            false => Err(self.cut()),
        }
    }

    /// Reads the next frame; whether it holds anything. Of the last one the tag and the
    /// digest are left to [`Self::end`].
    fn frame(&mut self) -> Result<bool, BackupFault> {
        let mut head = [0u8; FRAME_HEAD];
        self.exactly(&mut head)?;
        let Some((first, check)) = head.split_first_chunk::<5>() else {
            return Err(self.damaged("the head of a frame"));
        };
        if frame_check(first).as_slice() != check {
            return Err(self.damaged("the head of a frame was altered"));
        }
        let [code, length @ ..] = *first;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let kind = FrameKind::of(code).ok_or_else(|| self.damaged("a frame of no known kind"))?;
        if length > LONGEST_FRAME {
            return Err(self.damaged("a frame is too long"));
        }
        if !self.may_follow(kind) {
            return Err(self.damaged("frames are in another order"));
        }
        self.stage = kind;
        self.body_kind = kind;
        let length = match kind {
            FrameKind::End if length == END => COUNTS,
            FrameKind::End => return Err(self.damaged("its end has another length")),
            _ => length,
        };
        let mut body = vec![0u8; length];
        self.exactly(&mut body)?;
        self.body = body.into();
        Ok(length > 0)
    }

    /// Head, rows, anchor, entries, end: of a stretch of a log there are neither rows nor
    /// anchor.
    const fn may_follow(&self, kind: FrameKind) -> bool {
        use FrameKind::{Anchor, End, Entries, Head, Rows};
        matches!(
            (self.stage, kind, self.at == FIRST),
            (Head, Head, true)
                | (Head, Rows | Anchor | Entries | End, false)
                | (Rows, Rows | Anchor, _)
                | (Anchor | Entries, Entries | End, _)
        )
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.body.try_get_u32().ok()?;
        let length = usize::try_from(length).ok()?;
        (length <= self.body.len()).then(|| self.body.split_to(length))
    }

    fn key(&mut self) -> Option<RowKey> {
        RowKey::from_stored(self.bytes()?)
    }

    fn row(&mut self) -> Option<Item> {
        self.rows = self.rows.saturating_add(1);
        match self.body.try_get_u8().ok()? {
            0 => Some(Item::Row(self.key()?, None)),
            1 => {
                let key = self.key()?;
                let version = Seq::new(self.body.try_get_u64().ok()?);
                let value = self.bytes()?;
                Some(Item::Row(key, Some(RawRow { version, value })))
            }
            _ => None,
        }
    }

    fn anchor(&mut self) -> Option<Item> {
        let seq = Seq::new(self.body.try_get_u64().ok()?);
        let sealed = |bytes: Bytes| (!bytes.is_empty()).then_some(bytes);
        let (head, sentinel) = (sealed(self.bytes()?), sealed(self.bytes()?));
        let mut logs = Vec::new();
        while !self.body.is_empty() {
            let name = self.bytes()?;
            let name = std::str::from_utf8(&name).ok()?;
            logs.push((Arc::from(name), self.body.try_get_u64().ok()?));
        }
        Some(Item::Anchor(Anchor {
            seq,
            head,
            sentinel,
            newest: Some(seq),
            logs,
        }))
    }

    fn entry(&mut self) -> Option<Item> {
        self.entries = self.entries.saturating_add(1);
        let log = self.bytes()?;
        let log = Arc::from(std::str::from_utf8(&log).ok()?);
        let index = self.body.try_get_u64().ok()?;
        let version = Seq::new(self.body.try_get_u64().ok()?);
        let value = self.bytes()?;
        let entry = RawEntry {
            index,
            version,
            value,
        };
        Some(Item::Entry(log, entry))
    }

    fn end(&mut self) -> Result<Item, BackupFault> {
        let counts = (self.body.try_get_u64(), self.body.try_get_u64());
        let inner = std::mem::take(&mut self.digest).finish();
        let (mut tag, mut digest) = ([0u8; 32], [0u8; 32]);
        self.exactly(&mut tag)?;
        self.exactly(&mut digest)?;
        if outer(&inner, &tag) != digest {
            return Err(self.damaged("its bytes are not those that it was written with"));
        }
        if counts != (Ok(self.rows), Ok(self.entries)) {
            return Err(self.damaged("it holds another number of rows or entries than it says"));
        }
        let bytes = self.at;
        let mut more = [0u8; 64];
        match self.fill(&mut more)? {
            0 => {}
            bytes => return Err(BackupFault::Appended { bytes }),
        }
        self.over = true;
        Ok(Item::End(BackupEnd {
            rows: self.rows,
            entries: self.entries,
            bytes,
            inner,
            tag,
        }))
    }
}

/// The length of the last frame, and of what is in it before the tag.
const END: usize = 80;
const COUNTS: usize = 16;
/// Behind the head of the first frame.
const FIRST: u64 = 29;
