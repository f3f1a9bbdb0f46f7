//! As much of CBOR (RFC 8949) as authenticators write, in the canonical form of CTAP 2:
//! lengths are definite, integers as short as they can be, no tags. What is read comes
//! from strangers, so depth and length are bounded, and nothing is allocated.

use super::Flaw;

/// How deep what is skipped may nest; canonical CTAP has four at most.
const DEEPEST: u8 = 8;

/// What an item begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// 0, 1, 2 …
    Unsigned(u64),
    /// -1 - n.
    Negative(u64),
    /// So many bytes follow.
    Bytes(u64),
    /// So many bytes of text follow.
    Text(u64),
    /// So many items follow.
    Array(u64),
    /// So many pairs follow.
    Map(u64),
    /// A simple value or a float, which is complete.
    Simple,
}

/// A reader over bytes, from which items are taken one by one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = usize::try_from(len)
            .ok()
            .and_then(|len| self.0.split_at_checked(len))
            .ok_or(Flaw::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Flaw::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The head of the next item.
    pub(super) fn head(&mut self) -> Result<Head, Flaw> {
        let [first] = self.array::<1>()?;
        let (major, info) = (first >> 5, first & 0x1f);
        if major == 7 {
            // false, true, null, undefined; floats of 16, 32 and 64 bits.
            let behind = match info {
                20..=23 => 0,
                25 => 2,
                26 => 4,
                27 => 8,
                _ => return Err(Flaw::Malformed),
            };
            self.take(behind)?;
            return Ok(Head::Simple);
        }
        let (value, least) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(u8::from_be_bytes(self.array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            _ => return Err(Flaw::Malformed),
        };
        if value < least {
            return Err(Flaw::Malformed);
        }
        match major {
            0 => Ok(Head::Unsigned(value)),
            1 => Ok(Head::Negative(value)),
            2 => Ok(Head::Bytes(value)),
            3 => Ok(Head::Text(value)),
            4 => Ok(Head::Array(value)),
            5 => Ok(Head::Map(value)),
            _ => Err(Flaw::Malformed),
        }
    }

    /// A map, of which this is how many pairs follow.
    pub(super) fn map(&mut self) -> Result<u64, Flaw> {
        match self.head()? {
            Head::Map(pairs) => Ok(pairs),
            _ => Err(Flaw::Malformed),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Flaw> {
        match self.head()? {
            Head::Text(len) => self.take(len),
            _ => Err(Flaw::Malformed),
        }
    }

    /// Passes over one item with all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), Flaw> {
        self.skip_within(0)
    }

    fn skip_within(&mut self, depth: u8) -> Result<(), Flaw> {
        if depth > DEEPEST {
            return Err(Flaw::Malformed);
        }
        let items = match self.head()? {
            Head::Unsigned(_) | Head::Negative(_) | Head::Simple => 0,
            Head::Bytes(len) | Head::Text(len) => {
                self.take(len)?;
                0
            }
            Head::Array(items) => items,
            Head::Map(pairs) => pairs.checked_mul(2).ok_or(Flaw::Malformed)?,
        };
        // However many are announced, each takes a byte at least.
        for _ in 0..items {
            self.skip_within(depth + 1)?;
        }
        Ok(())
    }
}

/// The authenticator data in an attestation object (WebAuthn §6.5.4): a map of `fmt`,
/// `attStmt` and `authData`. The statement has to be there and is not believed: none is
/// asked for, and a passkey is as good as the strong moment that it was enrolled in.
pub(super) fn authenticator_data(attestation_object: &[u8]) -> Result<&[u8], Flaw> {
    let mut reader = Reader::new(attestation_object);
    let (mut format, mut statement, mut data) = (false, false, None);
    for _ in 0..reader.map()? {
        match reader.text()? {
            b"fmt" if !format => {
                reader.text()?;
                format = true;
            }
            b"attStmt" if !statement => {
                let mut inner = reader;
                inner.map()?;
                reader.skip()?;
                statement = true;
            }
            b"authData" if data.is_none() => match reader.head()? {
                Head::Bytes(len) => data = Some(reader.take(len)?),
                _ => return Err(Flaw::Malformed),
            },
            _ => return Err(Flaw::Malformed),
        }
    }
    match data {
        Some(data) if format && statement && reader.is_empty() => Ok(data),
        _ => Err(Flaw::Malformed),
    }
}
