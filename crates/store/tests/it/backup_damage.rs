//! Backups that somebody cut, edited, reordered or put together: each frame of one, and
//! the reason that it is refused with.

use crate::backup::{end, key, taken};
use crate::home::Home;
use procura_store::backup::BackupFault;
use std::ops::Range;

/// Behind the first 16 bytes and the format.
const FIRST: usize = 20;
/// Kind, length and check of a frame.
const HEAD: usize = 9;

/// A frame: its kind, and where it stands.
#[derive(Debug, Clone)]
struct Frame {
    kind: u8,
    all: Range<usize>,
}

impl Frame {
    fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.all.clone()]
    }
}

/// Read by hand, from what `spec/backup.md` says.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = FIRST;
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at + 1..at + 5].try_into().unwrap());
        let until = at + HEAD + usize::try_from(length).unwrap();
        frames.push(Frame {
            kind: bytes[at],
            all: at..until,
        });
        at = until;
    }
    assert_eq!(at, bytes.len());
    frames
}

fn put_together(bytes: &[u8], frames: &[&[u8]]) -> Vec<u8> {
    [&[&bytes[..FIRST]][..], frames].concat().concat()
}

fn damaged(bytes: &[u8]) -> &'static str {
    match end(bytes) {
        Err(BackupFault::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

const ORDER: &str = "frames are in another order";
const OTHERS: &str = "its bytes are not those that it was written with";
const FRAME_HEAD: &str = "the head of a frame was altered";
const CONTENT: &str = "a frame does not hold what it should";

#[test]
fn a_backup_that_ends_at_the_border_of_a_frame_is_cut_off() {
    let home = Home::filled(1);
    let bytes = taken(&home, &home.unsealed());
    let all = frames(&bytes);
    let kinds: Vec<u8> = all.iter().map(|frame| frame.kind).collect();
    for kind in 1..=5 {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    for frame in &all {
        // Before it, within its head, behind its head, and within its body.
        let Range { start, end: until } = frame.all;
        for at in [start, start + 5, start + HEAD, until - 1] {
            let partial = BackupFault::Partial {
                at: u64::try_from(at).unwrap(),
            };
            assert_eq!(end(&bytes[..at]), Err(partial), "{frame:?}");
        }
    }
}

#[test]
fn a_flipped_byte_in_any_part_of_any_kind_of_frame_is_found() {
    let home = Home::filled(1);
    let bytes = taken(&home, &home.unsealed());
    for frame in frames(&bytes) {
        let Range { start, end: until } = frame.all;
        for at in start..start + HEAD {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            assert_eq!(damaged(&flipped), FRAME_HEAD, "{frame:?} at {at}");
        }
        let length = until - start - HEAD;
        for at in [0, 1, length / 2, length - 1] {
            let mut flipped = bytes.clone();
            flipped[start + HEAD + at] ^= 0x40;
            let what = damaged(&flipped);
            assert!(
                [OTHERS, CONTENT].contains(&what),
                "{frame:?} at {at}: {what}"
            );
        }
    }
}

#[test]
fn frames_that_were_moved_left_out_or_told_twice_are_found() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let bytes = taken(&home, &store);
    let all = frames(&bytes);
    let parts: Vec<&[u8]> = all.iter().map(|frame| frame.of(&bytes)).collect();
    assert_eq!(end(&put_together(&bytes, &parts)), end(&bytes));
    for (place, pair) in all.windows(2).enumerate() {
        let (one, other) = (&pair[0], &pair[1]);
        let mut swapped = parts.clone();
        swapped.swap(place, place + 1);
        let what = damaged(&put_together(&bytes, &swapped));
        // An end that comes too early is found by what it ends with.
        let expected = match (one.kind, other.kind) {
            (_, 5) => OTHERS,
            (one, other) if one == other => OTHERS,
            _ => ORDER,
        };
        assert_eq!(what, expected, "{one:?} {other:?}");
    }
    for (place, frame) in all.iter().enumerate() {
        let mut without = parts.clone();
        without.remove(place);
        let mut twice = parts.clone();
        twice.insert(place, parts[place]);
        let (without, twice) = (put_together(&bytes, &without), put_together(&bytes, &twice));
        match frame.kind {
            // Without its end it is cut off; behind its end nothing may follow.
            5 => {
                assert!(matches!(end(&without), Err(BackupFault::Partial { .. })));
                assert_eq!(end(&twice), Err(BackupFault::Appended { bytes: 64 }));
            }
            1 | 3 => {
                assert_eq!(damaged(&without), ORDER, "{frame:?}");
                assert_eq!(damaged(&twice), ORDER, "{frame:?}");
            }
            _ => {
                assert_eq!(damaged(&without), OTHERS, "{frame:?}");
                assert_eq!(damaged(&twice), OTHERS, "{frame:?}");
            }
        }
    }
}

#[test]
fn two_backups_put_together_are_none() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let (first, second) = (taken(&home, &store), taken(&home, &store));
    let other = Home::filled(2);
    let foreign = taken(&other, &other.unsealed());
    // They differ in nothing but what somebody else's are: the same store, told twice, is
    // the same.
    assert_eq!(
        end(&first).unwrap().digest(),
        end(&second).unwrap().digest()
    );
    let ours = frames(&first);
    let theirs = frames(&foreign);
    for from_them in 1..=5 {
        let mut parts = Vec::new();
        for kind in 1..=5 {
            let (frames, bytes) = match kind == from_them {
                true => (&theirs, &foreign),
                false => (&ours, &first),
            };
            let found = frames.iter().filter(|frame| frame.kind == kind);
            parts.extend(found.map(|frame| frame.of(bytes)));
        }
        let spliced = put_together(&first, &parts);
        if from_them == 1 {
            // Both heads say the same here.
            assert_eq!(spliced, first);
            continue;
        }
        assert_eq!(damaged(&spliced), OTHERS, "frames of kind {from_them}");
    }
    // Whose it is the tag tells: of the one with this key it is one, of others none.
    assert!(end(&first).unwrap().is_tagged_by(&key(1), &home.id));
    assert!(!end(&foreign).unwrap().is_tagged_by(&key(1), &home.id));
}
