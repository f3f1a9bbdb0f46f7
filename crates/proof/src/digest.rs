//! `Content-Digest` (RFC 9530 §2).

use crate::reason::Case;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// The sha-256 that the field names. Other digests beside it are not looked at.
pub(crate) fn sha256_of(field: &[u8]) -> Result<[u8; 32], Case> {
    let dictionary: Dictionary = Parser::new(field).parse().map_err(|_| Case::DigestForm)?;
    match dictionary.get("sha-256") {
        Some(ListEntry::Item(item)) => match &item.bare_item {
            BareItem::ByteSequence(bytes) => {
                bytes.as_slice().try_into().map_err(|_| Case::DigestForm)
            }
            _ => Err(Case::DigestForm),
        },
        _ => Err(Case::DigestForm),
    }
}

/// The field for a body of this SHA-256.
pub(crate) fn field(sha256: &[u8; 32]) -> String {
    let mut out = String::from("sha-256=");
    let _ = sfv::ItemSerializer::with_buffer(&mut out)
        .bare_item(&sha256[..])
        .finish();
    out
}
