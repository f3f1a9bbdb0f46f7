//! Values larger than a row: a head row with length and digest, and chunk rows
//! in a table of their own beside it, written and deleted with it.

use crate::{MAX_BATCH, MAX_VALUE, RowKey};
use procura_crypto::sha256;

const INLINE: u8 = 0;
const CHUNKED: u8 = 1;

/// The name of the table that holds the chunks of `table`. `#` occurs in no
/// name of a declared table.
pub(crate) fn chunk_table(table: &str) -> String {
    let mut name = String::with_capacity(table.len() + 1);
    name.push_str(table);
    name.push('#');
    name
}

/// What the stored keys of all chunks of this row begin with.
pub(crate) fn chunk_prefix(key: &RowKey) -> RowKey {
    RowKey::new(&chunk_table(key.table()), key.encoded())
}

/// The key of one chunk.
pub(crate) fn chunk_key(key: &RowKey, index: u32) -> RowKey {
    let encoded = [key.encoded(), &index.to_be_bytes()].concat();
    RowKey::new(&chunk_table(key.table()), &encoded)
}

/// The head row of a value and its chunks in order; `None` when it is larger
/// than a batch.
pub(crate) fn split(value: &[u8]) -> Option<(Vec<u8>, Vec<&[u8]>)> {
    if value.len() > MAX_BATCH {
        return None;
    }
    if value.len() < MAX_VALUE {
        return Some(([&[INLINE], value].concat(), Vec::new()));
    }
    let chunks: Vec<&[u8]> = value.chunks(MAX_VALUE).collect();
    let mut head = vec![CHUNKED];
    head.extend_from_slice(&u64::try_from(value.len()).ok()?.to_be_bytes());
    head.extend_from_slice(&u32::try_from(chunks.len()).ok()?.to_be_bytes());
    head.extend_from_slice(&sha256(value));
    Some((head, chunks))
}

/// What a head row says.
pub(crate) enum Stored<'a> {
    /// The value itself.
    Inline(&'a [u8]),
    /// The value is in chunks.
    Chunked(Chunked),
}

/// The description of a value in chunks.
pub(crate) struct Chunked {
    /// Bytes in all.
    pub(crate) len: u64,
    /// Number of chunk rows.
    pub(crate) chunks: u32,
    digest: [u8; 32],
}

impl Chunked {
    /// Whether these bytes are the value.
    pub(crate) fn is(&self, value: &[u8]) -> bool {
        u64::try_from(value.len()).is_ok_and(|len| len == self.len) && sha256(value) == self.digest
    }
}

/// Reads a head row; `None` for anything else.
pub(crate) fn parse(head: &[u8]) -> Option<Stored<'_>> {
    let (tag, rest) = head.split_first()?;
    match *tag {
        INLINE => Some(Stored::Inline(rest)),
        CHUNKED => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            let (chunks, rest) = rest.split_first_chunk::<4>()?;
            Some(Stored::Chunked(Chunked {
                len: u64::from_be_bytes(*len),
                chunks: u32::from_be_bytes(*chunks),
                digest: rest.try_into().ok()?,
            }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_stay_in_the_row_and_large_ones_are_split() {
        let value = vec![7; MAX_VALUE - 1];
        let (head, chunks) = split(&value).unwrap();
        assert!(chunks.is_empty() && head.len() == MAX_VALUE);
        let value = vec![7; MAX_VALUE + 1];
        let (head, chunks) = split(&value).unwrap();
        assert_eq!(
            chunks.iter().map(|c| c.len()).collect::<Vec<_>>(),
            [MAX_VALUE, 1]
        );
        let Some(Stored::Chunked(described)) = parse(&head) else {
            panic!("not chunked");
        };
        assert!(described.is(&value) && !described.is(&value[1..]));
        assert!(split(&vec![0; MAX_BATCH + 1]).is_none());
        assert!(parse(b"").is_none() && parse(b"\x02").is_none() && parse(&head[..20]).is_none());
    }
}
