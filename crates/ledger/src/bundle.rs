//! Entry bundles (C2SP tlog-tiles): each entry after its length as `u16be`.

use crate::LedgerError;

/// Adds one entry to the end of a bundle; refused beyond 65,535 bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), LedgerError> {
    let len =
        u16::try_from(entry.len()).map_err(|_| LedgerError::EntryTooLong { len: entry.len() })?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// One entry and where its bytes begin in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleEntry<'a> {
    /// Bytes from the beginning of the bundle.
    pub offset: u64,
    /// The entry as first written.
    pub bytes: &'a [u8],
}

/// Reads a bundle entry by entry; after an error it is at its end.
#[derive(Debug, Clone)]
pub struct BundleReader<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> BundleReader<'a> {
    /// Reads these bytes from the beginning.
    #[must_use]
    pub const fn new(bundle: &'a [u8]) -> Self {
        Self {
            rest: bundle,
            offset: 0,
        }
    }

    /// Where the next entry's length stands, in bytes from the beginning.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn fail(&mut self, problem: &'static str) -> LedgerError {
        self.rest = &[];
        LedgerError::Bundle {
            offset: self.offset,
            problem,
        }
    }
}

impl<'a> Iterator for BundleReader<'a> {
    type Item = Result<BundleEntry<'a>, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((len, rest)) = self.rest.split_first_chunk::<2>() else {
            return Some(Err(self.fail("ends within the length of an entry")));
        };
        let len = u16::from_be_bytes(*len);
        let Some((bytes, rest)) = rest.split_at_checked(usize::from(len)) else {
            return Some(Err(self.fail("ends within an entry")));
        };
        let offset = self.offset + 2;
        self.rest = rest;
        self.offset = offset + u64::from(len);
        Some(Ok(BundleEntry { offset, bytes }))
    }
}
