//! Keys of rows: `table ‖ 0x00 ‖ parts`, encoded so that bytes sort as the
//! tuples do.
//!
//! A text part ends with `0x00`, which cannot occur inside: `0x00` and `0x01`
//! of the text become `0x01 0x01` and `0x01 0x02`. Numbers are big-endian and
//! ids are raw bytes, both of fixed width without an end mark. So a prefix of
//! parts, with or without the beginning of a further text, is a prefix of bytes.

use bytes::Bytes;
use procura_types::{
    ActorId, BatchId, EntryId, EnvName, GrantId, Label, Namespace, ProjectName, ProposalId,
    RequestId, RunId, SecretPath, Thumbprint, TraceId,
};
use std::fmt;
use std::sync::Arc;

/// The full key of a row in the engine: the table's name and the encoded key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    bytes: Bytes,
    table_len: usize,
}

impl RowKey {
    /// The key `encoded` of `table`. The name of a table holds no `0x00`.
    #[must_use]
    pub fn new(table: &str, encoded: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(table.len() + 1 + encoded.len());
        bytes.extend_from_slice(table.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(encoded);
        Self {
            bytes: bytes.into(),
            table_len: table.len(),
        }
    }

    /// A key as an engine stored it; `None` when it names no table.
    #[must_use]
    pub fn from_stored(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        let table_len = bytes.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(bytes.get(..table_len)?).ok()?;
        Some(Self { bytes, table_len })
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        // Checked when the key was made.
        self.bytes
            .get(..self.table_len)
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// The encoded key in the table.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        self.bytes.get(self.table_len + 1..).unwrap_or_default()
    }

    /// The bytes as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The table's name as an owned text, for errors.
    #[must_use]
    pub fn table_name(&self) -> Arc<str> {
        self.table().into()
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.table(), self.encoded().escape_ascii())
    }
}

/// The rows from `start` on (inclusive) whose keys begin with `prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// All rows of the store.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            start: Vec::new(),
            end: None,
        }
    }

    /// The rows whose stored keys begin with these bytes.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: prefix.to_vec(),
            end: after_prefix(prefix),
        }
    }

    /// Those rows of the range that come after `key`.
    #[must_use]
    pub fn after(mut self, key: &RowKey) -> Self {
        // The least byte string above `key` is `key ‖ 0x00`.
        let mut next = key.as_bytes().to_vec();
        next.push(0);
        if next > self.start {
            self.start = next;
        }
        self
    }

    /// The rows of the store that come behind all of the range.
    #[must_use]
    pub fn behind(&self) -> Self {
        Self {
            // No key begins with this byte, as tables are named in ASCII.
            start: self.end.clone().unwrap_or_else(|| vec![u8::MAX]),
            end: None,
        }
    }

    /// The least stored key that is in the range.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The least stored key beyond the range; `None` is the end of the store.
    #[must_use]
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }
}

/// The least byte string that is above all strings with this prefix.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// Encodes the parts of a key one after the other.
#[derive(Debug, Default)]
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    fn escaped(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                0 => self.0.extend_from_slice(&[1, 1]),
                1 => self.0.extend_from_slice(&[1, 2]),
                other => self.0.push(other),
            }
        }
    }

    /// A text and its end mark.
    pub fn text(&mut self, text: &str) {
        self.escaped(text);
        self.0.push(0);
    }

    /// Bytes of a width that is fixed by the part's type.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Reads what [`KeyWriter`] wrote.
#[derive(Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl KeyReader<'_> {
    /// A text up to its end mark.
    pub fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (raw, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        let mut text = Vec::with_capacity(raw.len());
        let mut bytes = raw.iter();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                1 => bytes.next()?.checked_sub(1)?,
                other => *other,
            });
        }
        String::from_utf8(text).ok()
    }

    /// Bytes of a fixed width.
    pub fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*part)
    }
}

/// One part of a key.
pub trait KeyPart: Sized {
    /// Encodes the part.
    fn write(&self, to: &mut KeyWriter);
    /// Reads the part; `None` when the bytes are not one.
    fn read(from: &mut KeyReader<'_>) -> Option<Self>;
}

impl KeyPart for String {
    fn write(&self, to: &mut KeyWriter) {
        to.text(self);
    }
    fn read(from: &mut KeyReader<'_>) -> Option<Self> {
        from.text()
    }
}

impl<const N: usize> KeyPart for [u8; N] {
    fn write(&self, to: &mut KeyWriter) {
        to.fixed(self);
    }
    fn read(from: &mut KeyReader<'_>) -> Option<Self> {
        from.fixed()
    }
}

macro_rules! number_part {
    ($($name:ty),*) => {$(
        impl KeyPart for $name {
            fn write(&self, to: &mut KeyWriter) {
                to.fixed(&self.to_be_bytes());
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                from.fixed().map(<$name>::from_be_bytes)
            }
        }
    )*};
}
number_part!(u8, u32, u64);

macro_rules! name_part {
    ($($name:ty),*) => {$(
        impl KeyPart for $name {
            fn write(&self, to: &mut KeyWriter) {
                to.text(self.as_str());
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                from.text()?.parse().ok()
            }
        }
    )*};
}
name_part!(Label, Namespace, ProjectName, SecretPath, EnvName);

macro_rules! id_part {
    ($($name:ty),*) => {$(
        impl KeyPart for $name {
            fn write(&self, to: &mut KeyWriter) {
                to.fixed(self.as_bytes());
            }
            fn read(from: &mut KeyReader<'_>) -> Option<Self> {
                from.fixed().map(<$name>::from_bytes)
            }
        }
    )*};
}
id_part!(
    ActorId, Thumbprint, BatchId, EntryId, GrantId, ProposalId, RequestId, RunId, TraceId
);

/// The key of a table: one part, or a tuple of up to four.
pub trait Key: Sized {
    /// Encodes the parts in order.
    fn write_key(&self, to: &mut KeyWriter);
    /// Reads the parts in order; `None` when the bytes are not such a key.
    fn read_key(from: &mut KeyReader<'_>) -> Option<Self>;
}

/// The bytes of a key.
pub(crate) fn encode<K: Key>(key: &K) -> Vec<u8> {
    let mut writer = KeyWriter(Vec::with_capacity(64));
    key.write_key(&mut writer);
    writer.0
}

/// The key of these bytes, all of them.
pub(crate) fn decode<K: Key>(bytes: &[u8]) -> Option<K> {
    let mut reader = KeyReader(bytes);
    K::read_key(&mut reader).filter(|_| reader.0.is_empty())
}

impl<P: KeyPart> Key for P {
    fn write_key(&self, to: &mut KeyWriter) {
        self.write(to);
    }
    fn read_key(from: &mut KeyReader<'_>) -> Option<Self> {
        P::read(from)
    }
}

/// The key of a table that has one row.
impl Key for () {
    fn write_key(&self, _to: &mut KeyWriter) {}
    fn read_key(_from: &mut KeyReader<'_>) -> Option<Self> {
        Some(())
    }
}

macro_rules! tuple_key {
    ($($part:ident $position:tt),*) => {
        impl<$($part: KeyPart),*> Key for ($($part,)*) {
            fn write_key(&self, to: &mut KeyWriter) {
                $(self.$position.write(to);)*
            }
            fn read_key(from: &mut KeyReader<'_>) -> Option<Self> {
                Some(($($part::read(from)?,)*))
            }
        }
    };
}
tuple_key!(A 0, B 1);
tuple_key!(A 0, B 1, C 2);
tuple_key!(A 0, B 1, C 2, D 3);

/// The beginning of keys, for scans.
///
/// ```
/// use procura_store::KeyPrefix;
/// // Of keys (namespace, path): all in namespace `prod` with paths from `db/`.
/// let prefix = KeyPrefix::all().part(&String::from("prod")).text_start("db/");
/// ```
#[derive(Debug, Default)]
pub struct KeyPrefix(KeyWriter);

impl KeyPrefix {
    /// All keys of the table.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The next part is exactly this one.
    #[must_use]
    pub fn part(mut self, part: &impl KeyPart) -> Self {
        part.write(&mut self.0);
        self
    }

    /// The next part is a text that begins so. Nothing can follow.
    #[must_use]
    pub fn text_start(mut self, start: &str) -> Self {
        self.0.escaped(start);
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(parts: &(String, u64, String)) -> Vec<u8> {
        encode(parts)
    }

    proptest! {
        #[test]
        fn bytes_sort_as_tuples_do(
            a in ("[\\x00-\\x03ab]{0,4}", 0u64..4, "[\\x00-\\x03ab]{0,4}"),
            b in ("[\\x00-\\x03ab]{0,4}", 0u64..4, "[\\x00-\\x03ab]{0,4}"),
        ) {
            prop_assert_eq!(row(&a).cmp(&row(&b)), a.cmp(&b));
            prop_assert_eq!(decode::<(String, u64, String)>(&row(&a)), Some(a));
        }

        #[test]
        fn a_text_start_is_a_prefix_of_exactly_the_texts_that_begin_so(
            space in "[ab]{1,2}", path in "[\\x00\\x01ab]{0,4}", start in "[\\x00\\x01ab]{0,3}",
        ) {
            let prefix = KeyPrefix::all().part(&space).text_start(&start);
            let key = encode(&(space, path.clone()));
            prop_assert_eq!(key.starts_with(prefix.as_bytes()), path.starts_with(&start));
        }
    }

    #[test]
    fn a_part_ends_where_it_ends() {
        let key = encode(&("ab".to_owned(), "c".to_owned()));
        assert_eq!(decode::<String>(&key), None);
        assert_eq!(decode::<(String, String, String)>(&key), None);
        assert!(!key.starts_with(KeyPrefix::all().part(&"a".to_owned()).as_bytes()));
    }

    #[test]
    fn the_end_of_a_prefix_range() {
        assert_eq!(KeyRange::prefix(b"a\xff").end(), Some(&b"b"[..]));
        assert_eq!(KeyRange::prefix(b"\xff\xff").end(), None);
        assert_eq!(KeyRange::prefix(b"").end(), None);
        assert_eq!(KeyRange::prefix(b"a").behind().start(), b"b");
        assert_eq!(KeyRange::prefix(b"a").behind().end(), None);
        assert_eq!(KeyRange::everything().behind().start(), b"\xff");
    }
}
