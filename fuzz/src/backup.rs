//! Backups: what is read to its end is what somebody wrote, byte for byte: nothing can be
//! put behind it, cut off or changed. Here is a second writer of the format
//! (`spec/backup.md`), which writes what was read anew.
//!
//! An input is `u8 flags ‖ file`. With the first flag the checks of frames and the digest
//! at the end are made good, so that what lies behind them is reached.

use crate::Verdict;
use procura_crypto::sha256;
use procura_store::RawRow;
use procura_store::backup::{BackupFault, BackupReader, Item};
use procura_types::wire::BackupHead;

const MENDED: u8 = 1;
const BEGIN: &[u8] = b"procura-backup\r\n\0\0\0\x01";
/// Kind, length and check of a frame.
const HEAD: usize = 9;
/// Counts, tag and digest of the last.
const END: usize = 80;

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    let check = sha256(&frame);
    frame.extend(&check[..4]);
    frame.extend(body);
    frame
}

fn bytes(part: &[u8]) -> Vec<u8> {
    let length = u32::try_from(part.len()).unwrap().to_be_bytes();
    [&length[..], part].concat()
}

/// Writes the digest behind a tag.
fn sealed(mut file: Vec<u8>, tag: [u8; 32]) -> Vec<u8> {
    let inner = sha256(&file);
    file.extend(tag);
    file.extend(sha256(&[inner, tag].concat()));
    file
}

fn ended(mut file: Vec<u8>, rows: u64, entries: u64, tag: [u8; 32]) -> Vec<u8> {
    let counts = [rows.to_be_bytes(), entries.to_be_bytes()].concat();
    let whole = frame(5, &[&counts[..], &[0; 64]].concat());
    file.extend(&whole[..whole.len() - 64]);
    sealed(file, tag)
}

fn row(key: &[u8], row: Option<&RawRow>) -> Vec<u8> {
    let Some(row) = row else {
        return [&[0][..], &bytes(key)].concat();
    };
    let version = row.version.get().to_be_bytes();
    [&[1][..], &bytes(key), &version, &bytes(&row.value)].concat()
}

/// Writes the items as frames of their own.
fn written(items: &[Item], tag: [u8; 32]) -> Vec<u8> {
    let mut file = BEGIN.to_vec();
    let (mut rows, mut entries) = (0, 0);
    for item in items {
        match item {
            Item::Head(head) => file.extend(frame(1, head)),
            Item::Row(key, value) => {
                rows += 1;
                file.extend(frame(2, &row(key.as_bytes(), value.as_ref())));
            }
            Item::Anchor(anchor) => {
                let mut body = anchor.seq.get().to_be_bytes().to_vec();
                body.extend(bytes(anchor.head.as_deref().unwrap_or_default()));
                body.extend(bytes(anchor.sentinel.as_deref().unwrap_or_default()));
                for (log, length) in &anchor.logs {
                    body.extend(bytes(log.as_bytes()));
                    body.extend(length.to_be_bytes());
                }
                file.extend(frame(3, &body));
            }
            Item::Entry(log, entry) => {
                entries += 1;
                let mut body = bytes(log.as_bytes());
                body.extend(entry.index.to_be_bytes());
                body.extend(entry.version.get().to_be_bytes());
                body.extend(bytes(&entry.value));
                file.extend(frame(4, &body));
            }
            Item::End(_) => return ended(file, rows, entries, tag),
        }
    }
    file
}

/// Makes the checks of all frames good, and the digest.
fn mended(file: &[u8]) -> Vec<u8> {
    let mut out = file.to_vec();
    let mut at = BEGIN.len();
    while let Some(head) = out.get(at..at + HEAD) {
        let kind = head[0];
        let length = u32::from_be_bytes(head[1..5].try_into().unwrap()) as usize;
        let check = sha256(&head[..5]);
        out[at + 5..at + HEAD].copy_from_slice(&check[..4]);
        let Some(end) = at.checked_add(HEAD).and_then(|at| at.checked_add(length)) else {
            break;
        };
        if kind == 5 && length == END && end <= out.len() {
            let tag = out[end - 64..end - 32].try_into().unwrap();
            let rest = out.split_off(end);
            out.truncate(end - 64);
            return [sealed(out, tag), rest].concat();
        }
        at = end;
    }
    out
}

fn items(file: &[u8]) -> Result<Vec<Item>, BackupFault> {
    let mut reader = BackupReader::new(file)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

pub(crate) fn backup(data: &[u8]) -> Verdict {
    let Some((flags, file)) = data.split_first() else {
        return Verdict::Refused;
    };
    let file = match flags & MENDED {
        0 => file.to_vec(),
        _ => mended(file),
    };
    let Ok(found) = items(&file) else {
        return Verdict::Refused;
    };
    let Some(Item::End(end)) = found.last() else {
        panic!("it was read to its end, and has none");
    };
    assert_eq!(end.bytes, file.len() as u64);
    if let Some(Item::Head(head)) = found.first() {
        // What it says of itself is read or not, and that is all.
        let _ = serde_json::from_slice::<BackupHead>(head);
    }
    let again = written(&found, *end.tag());
    let mut same = items(&again).unwrap();
    let (last, mut read) = (same.pop(), found.clone());
    read.pop();
    assert_eq!(same, read);
    assert!(matches!(last, Some(Item::End(_))));
    let longer = [&file[..], &[0]].concat();
    assert_eq!(items(&longer), Err(BackupFault::Appended { bytes: 1 }));
    let at = file.len() as u64 - 1;
    let shorter = items(&file[..file.len() - 1]);
    assert_eq!(shorter, Err(BackupFault::Partial { at }));
    let place = usize::from(sha256(&file)[0]) % file.len();
    let mut flipped = file;
    flipped[place] ^= 1;
    items(&flipped).expect_err("a bit was flipped");
    Verdict::Accepted
}

/// A small one, with a little of everything.
pub(crate) fn good(flags: u8) -> Vec<u8> {
    let head = br#"{"kind":"full"}"#;
    let key = |name: &str| [b"agents\0", name.as_bytes(), &[0]].concat();
    let put = |name: &str, version: u64| {
        let value = bytes(&[7; 40]);
        [&[1][..], &bytes(&key(name)), &version.to_be_bytes(), &value].concat()
    };
    let rows = [
        put("a", 1),
        put("b", 2),
        [&[0][..], &bytes(&key("a"))].concat(),
    ]
    .concat();
    let mut anchor = 2u64.to_be_bytes().to_vec();
    anchor.extend(bytes(&[8; 60]));
    anchor.extend(bytes(&[9; 50]));
    anchor.extend(bytes(b"ledger"));
    anchor.extend(1u64.to_be_bytes());
    let mut entry = bytes(b"ledger");
    entry.extend(0u64.to_be_bytes());
    entry.extend(1u64.to_be_bytes());
    entry.extend(bytes(&[6; 70]));
    let mut file = BEGIN.to_vec();
    for (kind, body) in [(1, &head[..]), (2, &rows), (3, &anchor), (4, &entry)] {
        file.extend(frame(kind, body));
    }
    [&[flags][..], &ended(file, 3, 1, [5; 32])].concat()
}

/// A copy of a log: no rows, and none that vouches for any.
pub(crate) fn copy() -> Vec<u8> {
    let mut entry = bytes(b"ledger");
    entry.extend(7u64.to_be_bytes());
    entry.extend(9u64.to_be_bytes());
    entry.extend(bytes(&[6; 70]));
    let mut file = BEGIN.to_vec();
    file.extend(frame(1, br#"{"kind":"ledger"}"#));
    file.extend(frame(4, &entry));
    [&[0][..], &ended(file, 0, 1, [5; 32])].concat()
}
