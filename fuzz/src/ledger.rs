//! Formats of the ledger: one spelling each where they have one, and nothing
//! that was not signed.

use crate::Verdict;
use crate::story::STORY;
use procura_ledger::{
    BundleReader, Checkpoint, Entry, Frontier, GrantTerms, Hash, Note, TileKind, TilePath, Vkey,
    grant_bytes, layout, push_entry,
};

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Entries: what is read is written back to what reads the same.
pub(crate) fn entry(data: &[u8]) -> Verdict {
    let Ok(entry) = Entry::parse(data) else {
        return Verdict::Refused;
    };
    // Another form of the same JSON may be shorter than its own.
    if let Ok(own) = entry.to_bytes() {
        let again = Entry::parse(&own).expect("its own form");
        assert_eq!(again.to_bytes().unwrap(), own);
        assert_eq!(format!("{again:?}"), format!("{entry:?}"));
        assert_eq!(again.awaits_outcome(), entry.awaits_outcome());
    }
    Verdict::Accepted
}

/// Bundles: entries, written one after the other, are the bundle.
pub(crate) fn bundle(data: &[u8]) -> Verdict {
    let (mut again, mut whole) = (Vec::new(), true);
    let mut reader = BundleReader::new(data);
    while let Some(next) = reader.next() {
        match next {
            Ok(entry) => {
                push_entry(&mut again, entry.bytes).unwrap();
                assert_eq!(usize::try_from(reader.offset()).unwrap(), again.len());
                let at = usize::try_from(entry.offset).unwrap();
                assert_eq!(&data[at..at + entry.bytes.len()], entry.bytes);
            }
            Err(_) => {
                whole = false;
                assert!(reader.next().is_none(), "an error ends it");
            }
        }
    }
    assert!(data.starts_with(&again));
    assert_eq!(whole, again.len() == data.len());
    Verdict::of(whole)
}

/// Hash tiles, and frontiers as bytes and as text.
pub(crate) fn tile(data: &[u8]) -> Verdict {
    let hashes = Hash::from_tile(data);
    if let Ok(hashes) = &hashes {
        let again: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        assert_eq!(again, data);
        // The tree over them, as one frontier and as two.
        let whole: Frontier = hashes.iter().copied().collect();
        let stored = Frontier::from_bytes(&whole.to_bytes()).expect("its own form");
        assert_eq!((stored.root(), stored.size()), (whole.root(), whole.size()));
        let half = hashes.len() / 2;
        let first: Frontier = hashes[..half].iter().copied().collect();
        let mut resumed = Frontier::from_bytes(&first.to_bytes()).expect("its own form");
        resumed.extend(hashes[half..].iter().copied());
        assert_eq!(resumed, whole);
    }
    let frontier = Frontier::from_bytes(data);
    if let Ok(frontier) = &frontier {
        assert_eq!(frontier.to_bytes(), data);
        let as_text = String::from(frontier.clone());
        assert_eq!(
            Frontier::try_from(as_text).expect("its own form"),
            *frontier
        );
    }
    if let Some(hash) = text(data).and_then(|text| text.parse::<Hash>().ok()) {
        assert_eq!(hash.to_string().as_bytes(), data);
        return Verdict::Accepted;
    }
    Verdict::of(hashes.is_ok() || frontier.is_ok())
}

/// Names of tiles: one for each, and each a file of some tree.
pub(crate) fn tile_path(data: &[u8]) -> Verdict {
    let parsed = text(data).and_then(|text| text.parse::<TilePath>().ok());
    if let Some(path) = &parsed {
        assert_eq!(path.to_string().as_bytes(), data);
        assert!((1..=256).contains(&path.width()));
        assert!(!path.to_string().contains(".."));
        let unit = match path.kind() {
            TileKind::Hashes(level) => 256u128.saturating_pow(u32::from(level)),
            TileKind::Entries => 1,
        };
        let first = (u128::from(path.index()) * 256).saturating_mul(unit);
        let size = first.saturating_add(u128::from(path.width()).saturating_mul(unit));
        if let Some(size) = u64::try_from(size).ok().filter(|size| *size <= 1 << 20) {
            assert!(
                layout(size).any(|file| file == *path),
                "not in a tree of {size}"
            );
        }
    }
    Verdict::of(parsed.is_some())
}

/// Texts of grants: what an approver signs has one spelling.
pub(crate) fn grant(data: &[u8]) -> Verdict {
    let parsed = GrantTerms::parse(data);
    if let Ok(terms) = &parsed {
        assert_eq!(grant_bytes(terms), data);
    }
    Verdict::of(parsed.is_ok())
}

/// Verifier keys.
pub(crate) fn vkey(data: &[u8]) -> Verdict {
    let parsed = text(data).and_then(|text| text.parse::<Vkey>().ok());
    if let Some(key) = &parsed {
        assert_eq!(key.to_string().as_bytes(), data);
        let made = Vkey::new(key.name(), key.key()).expect("its own parts");
        assert_eq!(made.id(), key.id());
        assert_eq!(made.to_string().as_bytes(), data);
    }
    Verdict::of(parsed.is_some())
}

/// The example of the C2SP signed-note specification, and its key.
const EXAMPLE: &str = include_str!("../../spec/vectors/c2sp/signed-note-example.txt");
const EXAMPLE_KEY: &str = include_str!("../../spec/vectors/c2sp/signed-note-example.vkey");

/// Signed notes: only the text that a known key has signed comes out.
pub(crate) fn note(data: &[u8]) -> Verdict {
    let Some((text, note)) = text(data).and_then(|text| Some((text, Note::parse(text).ok()?)))
    else {
        return Verdict::Refused;
    };
    let example: Vkey = EXAMPLE_KEY.trim().parse().unwrap();
    let own = STORY.vkey();
    let mut accepted = false;
    for (key, signed) in [(&example, EXAMPLE), (own, STORY.note.as_str())] {
        if let Ok(opened) = note.open(std::slice::from_ref(key)) {
            accepted = true;
            assert!(text.starts_with(opened));
            let (body, _) = signed.rsplit_once("\n\n").unwrap();
            assert_eq!(opened.trim_end_matches('\n'), body.trim_end_matches('\n'));
        }
    }
    let none = note.open(&[]);
    assert!(none.is_err(), "without a key nothing is signed");
    Verdict::of(accepted)
}

/// Checkpoints: the signed one, and any body.
pub(crate) fn checkpoint(data: &[u8]) -> Verdict {
    let Some(text) = text(data) else {
        return Verdict::Refused;
    };
    let opened = Checkpoint::open(text, STORY.vkey());
    if let Ok(checkpoint) = &opened {
        assert_eq!(*checkpoint, STORY.checkpoint, "never signed");
    }
    let body = Checkpoint::parse_body(text);
    if let Ok(checkpoint) = &body {
        // Extension lines may stand in another order and mean the same.
        let own = checkpoint.body().expect("what parses can be written");
        assert_eq!(
            Checkpoint::parse_body(&own).expect("its own form"),
            *checkpoint
        );
        assert_eq!(own.len(), text.len());
    }
    Verdict::of(opened.is_ok() || body.is_ok())
}
