//! A key that turns: whoever knows an earlier one comes to the one of today, and nobody
//! to any other.

use crate::fixture::story;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_ledger::{
    Checkpoint, CheckpointSigners, FindingKind, LedgerError, NoteSigner, ReadError, ReadFile,
    Succession, Vkey, handover_name, verify_export,
};
use procura_types::Timestamp;
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const LATER: Timestamp = Timestamp::from_millis(1_796_000_000_000);

/// The files of an export, with others in their place.
struct With<'a> {
    export: &'a dyn ReadFile,
    files: BTreeMap<String, String>,
}

impl ReadFile for With<'_> {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        match self.files.get(name) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => self.export.read(name),
        }
    }
}

fn key() -> SigningKey {
    SigningKey::generate_ed25519(&SystemEntropy).unwrap()
}

fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_secret_bytes(key.to_secret_bytes().expose()).unwrap()
}

/// Three keys of one log, each after the one before it.
struct Keys {
    name: String,
    keys: Vec<SigningKey>,
}

impl Keys {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            keys: vec![key(), key(), key()],
        }
    }

    fn signer(&self, number: usize) -> NoteSigner {
        NoteSigner::new(&self.name, copy(&self.keys[number])).unwrap()
    }

    fn vkey(&self, number: usize) -> Vkey {
        self.signer(number).vkey().clone()
    }

    /// Where the key of this number signs, and the one before it does until `until`.
    fn signers(&self, number: usize, until: Timestamp) -> CheckpointSigners {
        let former = (number.saturating_sub(1)..number)
            .map(|before| (self.signer(before), until))
            .collect();
        CheckpointSigners::new(self.signer(number), former)
    }
}

#[test]
fn whoever_knows_an_earlier_key_is_led_to_the_one_of_today() {
    let (log, _) = story();
    let keys = Keys::new(log.vkey().name());
    let head = |size| log.checkpoint(size);
    let notes: Vec<String> = [(1, 3), (2, 5)]
        .iter()
        .map(|(number, size)| {
            let signers = keys.signers(*number, LATER);
            signers.sign(head(*size), NOW, false).unwrap()
        })
        .collect();
    // While the one before retires, both open it, and the old one says which follows.
    let opened = Checkpoint::open_following(&notes[0], &keys.vkey(0)).unwrap();
    assert_eq!(opened.successor, Some(keys.vkey(1)));
    assert_eq!(
        (opened.checkpoint.size, opened.checkpoint.root),
        (3, head(3).root)
    );
    let opened = Checkpoint::open_following(&notes[0], &keys.vkey(1)).unwrap();
    assert_eq!(opened.successor, None);
    // Once its time is over it signs no more, and the line is gone.
    let late = keys.signers(2, LATER).sign(head(6), LATER, false).unwrap();
    let opened = Checkpoint::open_following(&late, &keys.vkey(2)).unwrap();
    assert_eq!(opened.checkpoint, head(6));
    for number in [0, 1] {
        let error = Checkpoint::open(&late, &keys.vkey(number)).unwrap_err();
        assert!(matches!(error, LedgerError::Unsigned { .. }), "{error}");
    }
    // But what is to be kept is signed by it all the same.
    let kept = keys.signers(2, LATER).sign(head(6), LATER, true).unwrap();
    let opened = Checkpoint::open_following(&kept, &keys.vkey(1)).unwrap();
    assert_eq!(opened.successor, Some(keys.vkey(2)));
    // With what was kept, who slept through both comes to the last.
    for number in 0..3 {
        let known = Succession::of(keys.vkey(number));
        let succession = known.follow(notes.iter().map(String::as_str));
        assert_eq!(*succession.newest(), keys.vkey(2), "{number}");
        assert_eq!(succession.heads().len(), 2 - number);
        assert_eq!(succession.open(&late).unwrap().size, 6);
        let of_before = keys.signer(number);
        let old = head(2).sign(&of_before).unwrap();
        assert_eq!(succession.open(&old).unwrap().size, 2);
    }
    // Without the first they do not lead on.
    let stuck = Succession::of(keys.vkey(0)).follow([notes[1].as_str()]);
    assert_eq!(*stuck.newest(), keys.vkey(0));
}

#[test]
fn nobody_names_a_key_that_the_known_one_and_it_have_not_both_signed() {
    let (log, _) = story();
    let keys = Keys::new(log.vkey().name());
    let named = |line: String| {
        let mut head = log.checkpoint(4);
        head.extensions = vec![line];
        head
    };
    let line = format!("procura-key {}", keys.vkey(1));
    // By the old one alone: nobody may have the key that is named.
    let note = named(line.clone()).sign(&keys.signer(0)).unwrap();
    let error = Checkpoint::open_following(&note, &keys.vkey(0)).unwrap_err();
    assert!(matches!(error, LedgerError::Unsigned { .. }), "{error}");
    // By the new one alone: whoever made it.
    let note = named(line.clone()).sign(&keys.signer(1)).unwrap();
    let error = Checkpoint::open_following(&note, &keys.vkey(0)).unwrap_err();
    assert!(matches!(error, LedgerError::Unsigned { .. }), "{error}");
    let followed = Succession::of(keys.vkey(0)).follow([note.as_str()]);
    assert_eq!(*followed.newest(), keys.vkey(0));
    // Of another log, twice, or none at all.
    let other = NoteSigner::new("procura/other", key()).unwrap();
    let twice = format!("{line}\n{line}");
    for (line, why) in [
        (format!("procura-key {}", other.vkey()), "another log"),
        ("procura-key x".to_owned(), "verifier key"),
        (twice, "twice"),
    ] {
        let mut head = log.checkpoint(4);
        head.extensions = line.split('\n').map(str::to_owned).collect();
        let note = head.sign(&keys.signer(0)).unwrap();
        let error = Checkpoint::open_following(&note, &keys.vkey(0)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn an_export_verifies_by_a_key_from_before_it_turned() {
    let (log, _) = story();
    let export = log.export();
    let keys = Keys::new(log.vkey().name());
    let size = log.entries.len();
    let first = keys.signers(1, LATER).sign(log.checkpoint(3), NOW, false);
    let second = keys.signers(2, LATER).sign(log.checkpoint(4), NOW, false);
    let newest = keys
        .signers(2, LATER)
        .sign(log.checkpoint(size), LATER, false);
    let files: BTreeMap<String, String> = [
        (handover_name(0), first.unwrap()),
        (handover_name(1), second.unwrap()),
        ("checkpoint".to_owned(), newest.unwrap()),
    ]
    .into();
    let with = |files: &BTreeMap<String, String>| With {
        export: &export,
        files: files.clone(),
    };
    for number in 0..3 {
        let report = verify_export(&with(&files), &keys.vkey(number), None).unwrap();
        assert_eq!(report.entries, size as u64);
    }
    // Without what leads to it, the key of before has not signed it.
    let mut without = files.clone();
    without.remove(&handover_name(1));
    let finding = verify_export(&with(&without), &keys.vkey(0), None).unwrap_err();
    assert_eq!(finding.kind, FindingKind::CheckpointNotSigned);
    // The record must go through each head that a key turned with: whoever has an old
    // key and hands it over to a key of their own has to have the same record.
    let mut forked = log.checkpoint(3);
    forked.root = log.checkpoint(2).root;
    let mut other = files.clone();
    let note = keys.signers(1, LATER).sign(forked, NOW, false).unwrap();
    other.insert(handover_name(0), note);
    let finding = verify_export(&with(&other), &keys.vkey(0), None).unwrap_err();
    assert_eq!(finding.kind, FindingKind::Forked);
    verify_export(&with(&other), &keys.vkey(1), None).unwrap();
}

#[test]
fn a_handover_beyond_the_checkpoint_leads_nowhere() {
    let (log, _) = story();
    let export = log.export();
    let keys = Keys::new(log.vkey().name());
    let size = log.entries.len();
    let handover = |size| {
        keys.signers(1, LATER)
            .sign(log.checkpoint(size), NOW, false)
    };
    let checkpoint = |number| {
        keys.signers(number, NOW)
            .sign(log.checkpoint(size), LATER, false)
    };
    let verified = |handover: String, checkpoint: String, number| {
        let files = [
            (handover_name(0), handover),
            ("checkpoint".to_owned(), checkpoint),
        ];
        let dir = With {
            export: &export,
            files: files.into(),
        };
        verify_export(&dir, &keys.vkey(number), None)
    };
    // At the checkpoint itself it lies on the way.
    let at_end = handover(size).unwrap();
    verified(at_end, checkpoint(1).unwrap(), 0).unwrap();
    // Beyond it nothing shows that the record went there, whichever key signed last.
    let mut later = log.checkpoint(size);
    later.size += 1;
    let beyond = keys.signers(1, LATER).sign(later, NOW, false).unwrap();
    for number in [0, 1] {
        let finding = verified(beyond.clone(), checkpoint(number).unwrap(), 0).unwrap_err();
        assert_eq!(finding.kind, FindingKind::Shortened);
        assert_eq!(finding.file.as_deref(), Some("checkpoint"));
        assert_eq!(finding.entry, Some(size as u64));
        let expected = format!(
            "at least the {} entries that the key turned after",
            size + 1
        );
        assert_eq!(finding.expected, Some(expected));
        assert_eq!(finding.found, Some(format!("{size} entries")));
    }
    // Who knows the key of today follows nothing, and is told nothing by it.
    verified(beyond, checkpoint(1).unwrap(), 1).unwrap();
}
