//! The offline verifier on files: what is damaged is found, and where.

use crate::fixture::{Export, Log, story};
use procura_crypto::SigningKey;
use procura_ledger::{
    BundleReader, Checkpoint, Entry, Finding, FindingKind, NoteSigner, Report, TileWriter,
    not_signed, push_entry, verify_export,
};

const BUNDLE: &str = "tile/entries/000.p/13";
const TILE: &str = "tile/0/000.p/13";

fn verify(log: &Log, export: &Export) -> Result<Report, Finding> {
    verify_export(export, log.vkey(), None)
}

fn found(log: &Log, export: &Export) -> Finding {
    verify(log, export).unwrap_err()
}

/// The entries of the story's only bundle with their offsets.
fn entries(export: &Export) -> Vec<(u64, Vec<u8>)> {
    BundleReader::new(&export.0[BUNDLE])
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.offset, entry.bytes.to_vec())
        })
        .collect()
}

fn bundle<'a>(entries: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        push_entry(&mut bytes, entry).unwrap();
    }
    bytes
}

/// A long log of small entries: two bundles and a level above.
fn long() -> Log {
    let mut log = Log::new();
    for _ in 0..300 {
        let entry = log.entry("secret.list");
        log.push(&entry);
    }
    log
}

#[test]
fn a_whole_log_passes_and_is_reported() {
    let (log, _) = story();
    let report = verify(&log, &log.export()).unwrap();
    assert_eq!(report.origin, format!("procura/{}", log.installation));
    assert_eq!(report.entries, 13);
    assert_eq!(report.receipts, 2);
    assert_eq!(report.seq, Some(1013));
    let first = Entry::parse(&log.entries[0]).unwrap();
    let last = Entry::parse(&log.entries[12]).unwrap();
    assert_eq!(report.from, Some(first.time));
    assert_eq!(report.until, Some(last.time));
    assert_eq!(report.interrupted.len(), 1);
    assert_eq!(report.interrupted[0].entry, 11);
    assert_eq!(report.interrupted[0].action, "mail.send");
    assert_eq!(report.after, None);
    let text = report.to_string();
    assert!(text.contains("removal of the newest entries cannot be excluded"));
    assert!(text.contains("interrupted: mail.send"));
}

#[test]
fn an_empty_log_passes() {
    let log = Log::new();
    let report = verify(&log, &log.export()).unwrap();
    assert_eq!((report.entries, report.from), (0, None));
}

#[test]
fn no_byte_of_any_file_can_change() {
    let (log, _) = story();
    let good = log.export();
    assert_eq!(good.0.len(), 3);
    let spans: Vec<(u64, u64)> = entries(&good)
        .iter()
        .map(|(offset, bytes)| (*offset, offset + bytes.len() as u64))
        .collect();
    let mut export = good.clone();
    for (name, bytes) in &good.0 {
        for (at, byte) in bytes.iter().enumerate() {
            export.0.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let finding = verify(&log, &export)
                .expect_err(&format!("byte {at} of {name} was changed unnoticed"));
            export.0.get_mut(name).unwrap()[at] = *byte;
            // Where it says that it is, it is.
            assert_eq!(finding.file.as_deref(), Some(name.as_str()), "{finding}");
            let at = at as u64;
            match name.as_str() {
                TILE => {
                    assert_eq!(finding.kind, FindingKind::TileChanged);
                    assert_eq!(finding.offset, Some(at / 32 * 32));
                    assert_eq!(finding.entry, Some(at / 32));
                }
                BUNDLE => match spans
                    .iter()
                    .position(|(low, high)| (low..high).contains(&&at))
                {
                    Some(entry) => {
                        assert_eq!(finding.kind, FindingKind::EntryChanged, "{finding}");
                        assert_eq!(finding.entry, Some(entry as u64), "{finding}");
                        assert_eq!(finding.offset, Some(spans[entry].0));
                    }
                    // A length: the entry after it is another, or too long.
                    None => {
                        let entry = spans.iter().position(|(low, _)| at < *low).unwrap();
                        assert_eq!(finding.entry, Some(entry as u64), "{finding}");
                        assert!(matches!(
                            finding.kind,
                            FindingKind::EntryChanged | FindingKind::BundleMalformed
                        ));
                    }
                },
                _ => assert!(
                    matches!(
                        finding.kind,
                        FindingKind::CheckpointMalformed | FindingKind::CheckpointNotSigned
                    ),
                    "{finding}"
                ),
            }
        }
    }
    assert!(verify(&log, &export).is_ok());
}

#[test]
fn no_byte_of_the_checkpoint_can_be_any_other() {
    let (log, _) = story();
    let good = log.export();
    let mut export = good.clone();
    let len = good.0["checkpoint"].len();
    for at in 0..len {
        for change in 1..=255 {
            export.0.get_mut("checkpoint").unwrap()[at] ^= change;
            assert!(verify(&log, &export).is_err(), "byte {at} ^ {change}");
            export.0.get_mut("checkpoint").unwrap()[at] ^= change;
        }
    }
}

#[test]
fn no_byte_of_a_log_of_several_tiles_can_change() {
    let log = long();
    let good = log.export();
    assert_eq!(good.0.len(), 6);
    let mut export = good.clone();
    for (name, bytes) in &good.0 {
        // Every byte of the small upper tile, a sample of the long files.
        let step = if bytes.len() > 1000 { 1009 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            export.0.get_mut(name).unwrap()[at] ^= 0x10;
            let finding = found(&log, &export);
            export.0.get_mut(name).unwrap()[at] = bytes[at];
            assert_eq!(finding.file.as_deref(), Some(name.as_str()), "{finding}");
            if name.starts_with("tile/1/") {
                assert_eq!(finding.kind, FindingKind::TileChanged);
                assert_eq!(finding.offset, Some(0));
            }
        }
    }
}

#[test]
fn files_that_are_missing_cut_or_longer() {
    for log in [story().0, long()] {
        let good = log.export();
        for (name, bytes) in &good.0 {
            let mut export = good.clone();
            export.0.remove(name);
            let finding = found(&log, &export);
            assert_eq!(finding.kind, FindingKind::FileMissing);
            assert_eq!(finding.file.as_deref(), Some(name.as_str()));

            for cut in [0, 1, 31, bytes.len() / 2, bytes.len() - 1] {
                export.0.insert(name.clone(), bytes[..cut].to_vec());
                let finding = found(&log, &export);
                assert_eq!(finding.file.as_deref(), Some(name.as_str()), "{finding}");
            }
            export
                .0
                .insert(name.clone(), [bytes, &[0; 32][..]].concat());
            let finding = found(&log, &export);
            assert_eq!(finding.file.as_deref(), Some(name.as_str()), "{finding}");
        }
    }
}

#[test]
fn files_that_the_checkpoint_does_not_call_for_are_named() {
    let log = long();
    let mut export = log.export();
    // A checkpoint of before called for this one.
    let older = log.export_first(40).0;
    let names = |export: &Export| {
        let tiles = export.0.keys().filter(|name| name.starts_with("tile/"));
        tiles.cloned().collect::<Vec<_>>()
    };
    assert_eq!(not_signed(300, names(&export)), Ok(()));
    assert_eq!(not_signed(0, []), Ok(()));
    export.0.extend(older);
    let finding = not_signed(300, names(&export)).unwrap_err();
    assert_eq!(finding.kind, FindingKind::FileNotSigned);
    assert_eq!(
        finding.to_string(),
        "this file is not part of the checkpoint (tile/0/000.p/40); found 2 such files: tile/0/000.p/40, tile/entries/000.p/40"
    );
    let one = not_signed(300, ["tile/notes".to_owned()]).unwrap_err();
    assert_eq!(
        one.to_string(),
        "this file is not part of the checkpoint (tile/notes)"
    );
}

#[test]
fn a_bundle_with_an_entry_more_or_less() {
    let (log, _) = story();
    let mut export = log.export();
    let all: Vec<Vec<u8>> = entries(&export)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    export.0.insert(BUNDLE.to_owned(), bundle(&all[..12]));
    let finding = found(&log, &export);
    assert_eq!(finding.kind, FindingKind::BundleMalformed);
    assert_eq!(finding.entry, Some(12));
    assert_eq!(finding.found.as_deref(), Some("the end of the file"));
    export
        .0
        .insert(BUNDLE.to_owned(), bundle(all.iter().chain(&all[..1])));
    let finding = found(&log, &export);
    assert_eq!(finding.kind, FindingKind::BundleMalformed);
    assert_eq!(finding.found.as_deref(), Some("more bytes after them"));
}

/// Files as a thief of the database would write them: entries, tiles and
/// bundles fit together, the checkpoint is the old one.
fn rewritten(log: &Log, entries: &[Vec<u8>]) -> Export {
    let mut export = log.export();
    let mut writer = TileWriter::new();
    for entry in entries {
        writer.push(entry).unwrap();
    }
    for file in writer.flush().files {
        export.0.insert(file.path.to_string(), file.bytes);
    }
    export
}

#[test]
fn reordered_entries() {
    let (log, _) = story();
    let mut entries = log.entries.clone();
    entries.swap(6, 7);
    let mut export = log.export();
    export.0.insert(BUNDLE.to_owned(), bundle(&entries));
    let finding = found(&log, &export);
    assert_eq!(finding.kind, FindingKind::EntryChanged);
    assert_eq!(finding.entry, Some(6));

    let finding = found(&log, &rewritten(&log, &entries));
    assert_eq!(finding.kind, FindingKind::RootDiffers);
}

#[test]
fn an_edited_entry_with_all_hashes_made_anew() {
    let (log, _) = story();
    let mut entries = log.entries.clone();
    let edited = Entry {
        resource: Some("harmless".to_owned()),
        ..Entry::parse(&entries[6]).unwrap()
    };
    entries[6] = edited.to_bytes().unwrap();
    let finding = found(&log, &rewritten(&log, &entries));
    assert_eq!(finding.kind, FindingKind::RootDiffers);
    assert_eq!(finding.file.as_deref(), Some("checkpoint"));
}

#[test]
fn an_edit_below_an_untouched_upper_tile_is_placed() {
    let log = long();
    let mut entries = log.entries.clone();
    let edited = Entry {
        resource: Some("x".to_owned()),
        ..Entry::parse(&entries[5]).unwrap()
    };
    entries[5] = edited.to_bytes().unwrap();
    let mut export = rewritten(&log, &entries);
    let upper = "tile/1/000.p/1".to_owned();
    let original = log.export().0.remove(&upper).unwrap();
    export.0.insert(upper.clone(), original);
    let finding = found(&log, &export);
    assert_eq!(finding.kind, FindingKind::RootDiffers);
    assert_eq!(finding.file, Some(upper));
}

#[test]
fn signed_by_another_key() {
    let (log, _) = story();
    let mut export = log.export();
    let other = SigningKey::generate_ed25519(&log.entropy).unwrap();
    let other = NoteSigner::new(log.vkey().name(), other).unwrap();
    let note = log.checkpoint(13).sign(&other).unwrap();
    export.0.insert("checkpoint".to_owned(), note.into_bytes());
    let finding = found(&log, &export);
    assert_eq!(finding.kind, FindingKind::CheckpointNotSigned);
    assert_eq!(finding.file.as_deref(), Some("checkpoint"));
    // The other way round: the right export, another key in hand.
    let finding = verify_export(&log.export(), other.vkey(), None).unwrap_err();
    assert_eq!(finding.kind, FindingKind::CheckpointNotSigned);
}

#[test]
fn a_checkpoint_of_another_log_under_the_same_key() {
    let (log, _) = story();
    let mut export = log.export();
    let foreign = Checkpoint {
        origin: "procura/other".to_owned(),
        ..log.checkpoint(13)
    };
    let note = log.signer.sign(&foreign.body().unwrap()).unwrap();
    export.0.insert("checkpoint".to_owned(), note.into_bytes());
    let finding = found(&log, &export);
    assert_eq!(finding.kind, FindingKind::WrongLog);
    assert_eq!(finding.found.as_deref(), Some("procura/other"));
}

#[test]
fn shortened_is_found_only_with_a_later_checkpoint() {
    let (log, _) = story();
    let export = log.export_first(9);
    let report = verify(&log, &export).unwrap();
    assert_eq!(report.entries, 9);
    assert!(
        report
            .to_string()
            .contains("removal of the newest entries cannot be excluded")
    );
    let remembered = log.checkpoint(13);
    let finding = verify_export(&export, log.vkey(), Some(&remembered)).unwrap_err();
    assert_eq!(finding.kind, FindingKind::Shortened);
    assert_eq!(finding.entry, Some(9));
    assert_eq!(finding.expected.as_deref(), Some("at least 13 entries"));
}

#[test]
fn a_log_continues_each_of_its_checkpoints() {
    for log in [story().0, long()] {
        let export = log.export();
        for size in [0, 1, 5, 12, 13, 255, 256, 257, 300] {
            if size > log.entries.len() {
                continue;
            }
            let after = log.checkpoint(size);
            let report = verify_export(&export, log.vkey(), Some(&after)).unwrap();
            assert_eq!(report.after, Some(size as u64));
            assert!(!report.to_string().contains("cannot be excluded"));
        }
    }
}

#[test]
fn a_rewritten_log_with_a_fresh_signature_is_a_fork() {
    // The one who holds the log's key can sign anything, once.
    let (mut log, _) = story();
    let remembered = log.checkpoint(8);
    let edited = Entry {
        resource: Some("harmless".to_owned()),
        ..Entry::parse(&log.entries[6]).unwrap()
    };
    log.entries[6] = edited.to_bytes().unwrap();
    let export = log.export();
    assert!(verify(&log, &export).is_ok());
    let finding = verify_export(&export, log.vkey(), Some(&remembered)).unwrap_err();
    assert_eq!(finding.kind, FindingKind::Forked);
    let root = remembered.root;
    assert_eq!(
        finding.expected,
        Some(format!("root {root} over the first 8 entries"))
    );
    // Up to the edit both tell the same.
    let earlier = log.checkpoint(6);
    assert!(verify_export(&export, log.vkey(), Some(&earlier)).is_ok());
}

#[test]
fn a_store_sequence_that_went_back_is_a_fork() {
    let (log, _) = story();
    let after = Checkpoint {
        seq: Some(2000),
        ..log.checkpoint(8)
    };
    let finding = verify_export(&log.export(), log.vkey(), Some(&after)).unwrap_err();
    assert_eq!(finding.kind, FindingKind::Forked);
    assert_eq!(finding.found.as_deref(), Some("1013"));
}

#[test]
fn the_older_checkpoint_must_be_of_this_log() {
    let (log, _) = story();
    let after = Checkpoint {
        origin: "procura/other".to_owned(),
        ..log.checkpoint(8)
    };
    let finding = verify_export(&log.export(), log.vkey(), Some(&after)).unwrap_err();
    assert_eq!(finding.kind, FindingKind::WrongLog);
}

#[test]
fn findings_are_sentences_and_json() {
    let (log, _) = story();
    let mut export = log.export();
    let at = entries(&export)[3].0 as usize + 40;
    export.0.get_mut(BUNDLE).unwrap()[at] ^= 1;
    let finding = found(&log, &export);
    let text = finding.to_string();
    assert!(
        text.starts_with(
            "entry 3: the entry is not as it was recorded (tile/entries/000.p/13, byte "
        ),
        "{text}"
    );
    let json = serde_json::to_value(&finding).unwrap();
    assert_eq!(json["kind"], "entry_changed");
    assert_eq!(json["entry"], 3);
    assert_eq!(json["file"], BUNDLE);
}
