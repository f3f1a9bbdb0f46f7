//! Names, bundles and the writer of tiles.

use crate::tree::{Leaves, leaves};
use procura_ledger::{
    BundleReader, Frontier, Hash, LedgerError, TILE_WIDTH, TileKind, TilePath, TileWriter, layout,
    leaf_hash, push_entry,
};
use std::collections::BTreeMap;

#[test]
fn names() {
    for (kind, index, width, name) in [
        (TileKind::Hashes(0), 0, 256, "tile/0/000"),
        (TileKind::Hashes(0), 273, 112, "tile/0/273.p/112"),
        (TileKind::Hashes(1), 1_234_067, 256, "tile/1/x001/x234/067"),
        (TileKind::Entries, 1000, 1, "tile/entries/x001/000.p/1"),
        (TileKind::Entries, 999, 256, "tile/entries/999"),
        (
            TileKind::Hashes(63),
            u64::MAX,
            255,
            "tile/63/x018/x446/x744/x073/x709/x551/615.p/255",
        ),
    ] {
        let path = TilePath::new(kind, index, width).unwrap();
        assert_eq!(path.to_string(), name);
        assert_eq!(name.parse::<TilePath>().unwrap(), path);
    }
    for bad in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/",
        "tile/Entries/000",
        "tile/0/../000",
        "/tile/0/000",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(
            matches!(
                bad.parse::<TilePath>(),
                Err(LedgerError::Malformed {
                    what: "tile path",
                    ..
                })
            ),
            "{bad}"
        );
    }
    assert!(TilePath::new(TileKind::Entries, 0, 0).is_err());
    assert!(TilePath::new(TileKind::Entries, 0, 257).is_err());
    assert!(TilePath::new(TileKind::Hashes(64), 0, 1).is_err());
}

#[test]
fn layout_of_the_standards_example() {
    // C2SP tlog-tiles, "Partial Tiles": a tree of size 70,000.
    let count = |kind: TileKind, full: bool| {
        layout(70_000)
            .filter(|path| path.kind() == kind && path.is_full() == full)
            .count()
    };
    assert_eq!(count(TileKind::Hashes(0), true), 273);
    assert_eq!(count(TileKind::Hashes(1), true), 1);
    let partial: Vec<String> = layout(70_000)
        .filter(|path| !path.is_full())
        .map(|path| path.to_string())
        .collect();
    assert_eq!(
        partial,
        [
            "tile/entries/273.p/112",
            "tile/0/273.p/112",
            "tile/1/001.p/17",
            "tile/2/000.p/1"
        ]
    );
    assert_eq!(layout(0).count(), 0);
    let at_256: Vec<String> = layout(256).map(|path| path.to_string()).collect();
    assert_eq!(at_256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
}

#[test]
fn bundles() {
    let mut bundle = Vec::new();
    for entry in [&b"one"[..], b"", &[7; 65_535]] {
        push_entry(&mut bundle, entry).unwrap();
    }
    let read: Vec<_> = BundleReader::new(&bundle).map(Result::unwrap).collect();
    assert_eq!(read.len(), 3);
    assert_eq!((read[0].offset, read[0].bytes), (2, &b"one"[..]));
    assert_eq!((read[1].offset, read[1].bytes), (7, &b""[..]));
    assert_eq!((read[2].offset, read[2].bytes.len()), (9, 65_535));
    assert!(matches!(
        push_entry(&mut bundle, &[0; 65_536]),
        Err(LedgerError::EntryTooLong { len: 65_536 })
    ));
    for (cut, offset, problem) in [
        (1, 0, "ends within the length of an entry"),
        (4, 0, "ends within an entry"),
        (6, 5, "ends within the length of an entry"),
    ] {
        let mut reader = BundleReader::new(&bundle[..cut]);
        let error = reader.find_map(Result::err).unwrap();
        assert!(
            matches!(error, LedgerError::Bundle { offset: at, problem: why }
            if at == offset && why == problem)
        );
        assert!(reader.next().is_none());
    }
}

/// Writes to a directory in memory, flushing after the given sizes.
fn written(sizes: &[u64]) -> BTreeMap<TilePath, Vec<u8>> {
    let mut writer = TileWriter::new();
    let mut tree = Frontier::new();
    let mut files = BTreeMap::new();
    for size in sizes {
        while writer.size() < *size {
            tree.push(writer.push(&writer.size().to_be_bytes()).unwrap());
        }
        assert_eq!(writer.frontier(), tree);
        let flush = writer.flush();
        for file in flush.files {
            assert!(
                files.insert(file.path, file.bytes).is_none(),
                "{}",
                file.path
            );
        }
        for path in flush.obsolete {
            assert!(!path.is_full(), "{path}");
            assert!(files.remove(&path).is_some(), "{path}");
        }
        let expected: Vec<TilePath> = layout(*size).collect();
        for path in &expected {
            assert!(files.contains_key(path), "{path} at {size}");
        }
        assert_eq!(files.len(), expected.len(), "at {size}");
    }
    files
}

#[test]
fn files_at_every_size_are_the_layout_and_hold_the_tree() {
    let sizes: Vec<u64> = (0..=600).collect();
    let step_by_step = written(&sizes);
    let at_once = written(&[600]);
    assert_eq!(step_by_step, at_once);
    for (path, bytes) in &at_once {
        match path.kind() {
            TileKind::Entries => {
                let read: Vec<_> = BundleReader::new(bytes).map(Result::unwrap).collect();
                assert_eq!(read.len(), usize::from(path.width()));
                for (index, entry) in (path.index() * TILE_WIDTH..).zip(read) {
                    assert_eq!(entry.bytes, index.to_be_bytes());
                }
            }
            TileKind::Hashes(level) => {
                let span = TILE_WIDTH.pow(u32::from(level));
                for (at, hash) in (0u64..).zip(Hash::from_tile(bytes).unwrap()) {
                    let first = (path.index() * TILE_WIDTH + at) * span;
                    let subtree: Frontier = (first..first + span)
                        .map(|index| leaf_hash(&index.to_be_bytes()))
                        .collect();
                    assert_eq!(hash, subtree.root());
                }
            }
        }
    }
}

#[test]
fn three_levels() {
    let files = written(&[65_535, 65_536, 65_537]);
    let top: TilePath = "tile/2/000.p/1".parse().unwrap();
    let root = leaves(65_536).into_iter().collect::<Frontier>().root();
    assert_eq!(files[&top], root.as_bytes());
}

#[test]
fn resuming_goes_on_as_if_never_stopped() {
    for stop in [0u64, 1, 255, 256, 257, 511, 512, 600] {
        let source = Leaves(leaves(stop));
        let mut bundle = Vec::new();
        for index in stop / TILE_WIDTH * TILE_WIDTH..stop {
            push_entry(&mut bundle, &index.to_be_bytes()).unwrap();
        }
        let mut resumed = TileWriter::resume(stop, &source, &bundle).unwrap();
        let mut straight = TileWriter::new();
        for index in 0..stop {
            straight.push(&index.to_be_bytes()).unwrap();
        }
        straight.flush();
        for index in stop..stop + 300 {
            let leaf = straight.push(&index.to_be_bytes()).unwrap();
            assert_eq!(resumed.push(&index.to_be_bytes()).unwrap(), leaf);
        }
        assert_eq!(resumed.flush(), straight.flush(), "{stop}");
    }
}

#[test]
fn resuming_from_other_entries_is_refused() {
    let source = Leaves(leaves(3));
    let mut bundle = Vec::new();
    for index in [0u64, 9, 2] {
        push_entry(&mut bundle, &index.to_be_bytes()).unwrap();
    }
    for (bytes, place) in [(&bundle[..], 1), (&bundle[..10], 1), (&[], 0)] {
        assert!(matches!(
            TileWriter::resume(3, &source, bytes),
            Err(LedgerError::ResumeMismatch { index }) if index == place
        ));
    }
}

#[test]
fn an_entry_that_is_too_long_changes_nothing() {
    let mut writer = TileWriter::new();
    writer.push(b"one").unwrap();
    assert!(matches!(
        writer.push(&[0; 65_536]),
        Err(LedgerError::EntryTooLong { len: 65_536 })
    ));
    let mut same = TileWriter::new();
    same.push(b"one").unwrap();
    assert_eq!(writer.size(), 1);
    assert_eq!(writer.flush(), same.flush());
}
