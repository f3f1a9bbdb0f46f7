//! Whole exports: what verifies is, file by file, what was signed.
//!
//! An input is a list of edits of a good export, as most damage is small, or a
//! list of files; one of those without content has that of the good export.

use crate::Verdict;
use crate::fields::{Fields, push};
use crate::story::{Files, STORY};
use procura_ledger::{ReadError, ReadFile, verify_export};
use std::cell::RefCell;
use std::collections::BTreeSet;

const EDITS: u8 = 0;
const LIST: u8 = 1;
/// Files do not double beyond this.
const LONG: usize = 1 << 16;

/// Files in memory; remembers which of them were read.
struct Directory {
    files: Files,
    read: RefCell<BTreeSet<String>>,
}

impl ReadFile for Directory {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        assert!(!name.starts_with('/') && !name.contains(".."), "{name}");
        // One more checkpoint with which a key turned is looked for than there are.
        let found = self.files.get(name).ok_or(ReadError::Missing)?;
        self.read.borrow_mut().insert(name.to_owned());
        Ok(found.clone())
    }
}

/// A good export as a list of files.
pub(crate) fn listed(files: &Files) -> Vec<u8> {
    let mut out = vec![LIST];
    for (name, bytes) in files {
        push(&mut out, name.as_bytes());
        push(&mut out, if bytes.len() < 1024 { bytes } else { &[] });
    }
    out
}

fn files(data: &[u8]) -> Files {
    let mut fields = Fields::new(data);
    if fields.byte() == EDITS {
        return edited(fields);
    }
    let mut files = Files::new();
    while !fields.is_empty() {
        let name = String::from_utf8_lossy(fields.field()).into_owned();
        let bytes = match fields.field() {
            [] => STORY.files.get(&name).cloned().unwrap_or_default(),
            bytes => bytes.to_vec(),
        };
        files.insert(name, bytes);
    }
    files
}

fn edited(mut fields: Fields<'_>) -> Files {
    let mut files = STORY.files.clone();
    let names: Vec<String> = files.keys().cloned().collect();
    while !fields.is_empty() {
        let name = &names[usize::from(fields.byte()) % names.len()];
        let (what, at) = (fields.byte(), u16::from_be_bytes(fields.array()));
        let value = fields.byte();
        let other = files.get(&names[usize::from(value) % names.len()]).cloned();
        let Some(bytes) = files.get_mut(name) else {
            continue;
        };
        let at = usize::from(at) % (bytes.len() + 1);
        match what % 8 {
            0 if at < bytes.len() => bytes[at] ^= value,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, value),
            3 => bytes.truncate(at),
            4 => bytes.rotate_left(at),
            5 if bytes.len() < LONG => bytes.extend_from_within(at..),
            6 => *bytes = other.unwrap_or_default(),
            7 => drop(files.remove(name)),
            _ => {}
        }
    }
    files
}

/// The text of a note; only what is above the signatures is signed.
fn text(note: &[u8]) -> &[u8] {
    let end = note.windows(2).rposition(|two| two == b"\n\n");
    end.map_or(note, |end| &note[..=end])
}

pub(crate) fn export(data: &[u8]) -> Verdict {
    let directory = Directory {
        files: files(data),
        read: RefCell::default(),
    };
    let verified = verify_export(&directory, STORY.vkey(), None);
    let older = STORY.head(3);
    let continued = verify_export(&directory, STORY.vkey(), Some(&older));
    match verified {
        Ok(report) => {
            assert_eq!(report.entries, STORY.checkpoint.size);
            assert_eq!((report.root, report.receipts), (STORY.checkpoint.root, 1));
            assert_eq!(report.interrupted.len(), 1);
            for name in directory.read.borrow().iter() {
                let (found, good) = (&directory.files[name], &STORY.files[name]);
                let same = if name == "checkpoint" {
                    text(found) == text(good)
                } else {
                    found == good
                };
                assert!(same, "{name} is not what was signed");
            }
            assert_eq!(directory.read.borrow().len(), STORY.files.len());
            assert!(continued.is_ok_and(|report| report.after == Some(3)));
            Verdict::Accepted
        }
        Err(finding) => {
            assert_ne!(directory.files, STORY.files, "{finding}");
            assert!(continued.is_err());
            assert!(!finding.to_string().is_empty());
            Verdict::Refused
        }
    }
}
