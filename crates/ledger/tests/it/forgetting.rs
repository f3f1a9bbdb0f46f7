//! A log whose beginning is forgotten: what is kept verifies as before, and nothing else
//! than what an entry says may be missing.

use crate::fixture::{Export, Log, Person, story};
use procura_ledger::{
    Carried, Decision, Entry, FORGET, FORGOTTEN, Finding, FindingKind, Forgetter, Forgetting,
    Frontier, LEAST_KEPT, OUTSIDE, Phase, Report, not_signed, verify_export,
};
use procura_types::{ActorId, Duration, Timestamp};

/// Entries that are forgotten: two bundles.
const UNTIL: u64 = 512;
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The story, and behind it small entries to 600, an approval among them.
fn long() -> (Log, Person) {
    let (mut log, person) = story();
    while log.entries.len() < 520 {
        let entry = log.entry("secret.list");
        log.push(&entry);
    }
    let approved = log.approval(&person, &person.device);
    log.push(&approved);
    while log.entries.len() < 600 {
        let entry = log.entry("secret.list");
        log.push(&entry);
    }
    (log, person)
}

/// What the first `until` entries leave behind, and what says so.
fn forgotten(log: &Log, until: u64) -> (Forgetting, Vec<u8>) {
    let origin = format!("procura/{}", log.installation);
    let mut forgetter = Forgetter::new(&origin, &Carried::new(), Frontier::new());
    for entry in &log.entries[..until as usize] {
        forgetter.read(entry).unwrap();
    }
    let carried = forgetter.carried().to_bytes().unwrap();
    let said = Forgetting {
        until,
        root: forgetter.frontier().root(),
        state: Carried::digest(&carried),
        kept: MONTH.as_secs(),
        by: ActorId::from_bytes([3; 32]),
    };
    (said, carried)
}

/// Says it in the log, two months later.
fn say(log: &mut Log, said: &Forgetting) -> u64 {
    log.time += 2 * MONTH.as_millis() as u64;
    let entry = Entry {
        resource: Some(format!("installation {said}")),
        ..log.entry(FORGET)
    };
    log.push(&entry)
}

/// The export of a server that has forgotten the beginning.
fn shortened(log: &Log, carried: &[u8]) -> Export {
    let mut export = log.export();
    for bundle in 0..UNTIL / 256 {
        export
            .0
            .remove(&format!("tile/entries/{bundle:03}"))
            .unwrap();
    }
    export.0.insert(FORGOTTEN.to_owned(), carried.to_vec());
    export
}

fn verify(log: &Log, export: &Export) -> Result<Report, Finding> {
    verify_export(export, log.vkey(), None)
}

#[test]
fn what_is_kept_verifies_as_before() {
    let (mut log, person) = long();
    let (said, carried) = forgotten(&log, UNTIL);
    let index = say(&mut log, &said);
    // By a device that joined in what is forgotten.
    let approved = log.approval(&person, &person.device);
    log.push(&approved);
    let whole = verify(&log, &log.export()).unwrap();
    assert_eq!((whole.forgotten, whole.receipts), (None, 4));
    let export = shortened(&log, &carried);
    let report = verify(&log, &export).unwrap();
    let forgotten = report.forgotten.unwrap();
    assert_eq!((forgotten.entries, forgotten.said_by), (UNTIL, index));
    assert_eq!(forgotten.kept, MONTH.as_secs());
    assert_eq!((report.entries, report.root), (whole.entries, whole.root));
    assert_eq!(report.receipts, 2);
    // What has no outcome is not lost with its intent.
    assert_eq!(report.interrupted, whole.interrupted);
    assert_eq!(report.interrupted.len(), 1);
    let text = report.to_string();
    assert!(
        text.contains(
            "the first 512 entries are forgotten, as entry 600 says, which were kept for 30 days"
        ),
        "{text}"
    );
    // It continues each of its checkpoints, those in what is forgotten too.
    for size in [1, 255, 256, 300, 512, 513, 602] {
        let after = log.checkpoint(size);
        let report = verify_export(&export, log.vkey(), Some(&after)).unwrap();
        assert_eq!(report.after, Some(size as u64));
        let mut forked = after;
        forked.root = log.checkpoint(size - 1).root;
        let found = verify_export(&export, log.vkey(), Some(&forked)).unwrap_err();
        assert_eq!(found.kind, FindingKind::Forked, "{size}");
    }
    not_signed(
        report.entries,
        export
            .0
            .into_keys()
            .filter(|name| name.starts_with("tile/")),
    )
    .unwrap();
}

#[test]
fn nothing_else_may_be_missing_or_other() {
    let (mut log, _) = long();
    let (said, carried) = forgotten(&log, UNTIL);
    let index = say(&mut log, &said);
    let whole = log.export();
    let export = shortened(&log, &carried);
    assert!(verify(&log, &export).is_ok());
    let found = |change: &dyn Fn(&mut Export)| {
        let mut export = export.clone();
        change(&mut export);
        verify(&log, &export).unwrap_err()
    };
    let remove = |name: &'static str| {
        move |export: &mut Export| {
            export.0.remove(name).unwrap();
        }
    };
    // The statement of it, and the hashes.
    let gone = found(&remove(FORGOTTEN));
    assert_eq!(gone.kind, FindingKind::FileMissing);
    assert_eq!(gone.file.as_deref(), Some("tile/entries/000"));
    for tile in ["tile/0/000", "tile/0/001", "tile/1/000.p/2"] {
        let gone = found(&remove(tile));
        assert_eq!(gone.kind, FindingKind::FileMissing, "{tile}");
        assert_eq!(gone.file.as_deref(), Some(tile));
    }
    // A bundle more than was forgotten.
    let gone = found(&remove("tile/entries/002.p/89"));
    assert_eq!(gone.kind, FindingKind::FileMissing);
    assert_eq!(gone.file.as_deref(), Some("tile/entries/002.p/89"));
    // A hash of what is forgotten, wherever it stands.
    for (tile, place) in [
        ("tile/0/000", 0),
        ("tile/0/000", 8191),
        ("tile/0/001", 4000),
    ] {
        let differs = found(&|export| export.0.get_mut(tile).unwrap()[place] ^= 1);
        assert_eq!(differs.kind, FindingKind::ForgottenDiffers, "{tile}");
        assert_eq!(differs.entry, Some(index));
        assert!(
            differs
                .expected
                .unwrap()
                .contains("over the 512 forgotten entries")
        );
    }
    // What they leave behind.
    let text = String::from_utf8(carried.clone()).unwrap();
    let less = text.replacen("\"open\":[{", "\"open\":[{\"x\":1,", 1);
    let malformed = found(&|export| {
        export
            .0
            .insert(FORGOTTEN.to_owned(), less.clone().into_bytes());
    });
    assert_eq!(malformed.kind, FindingKind::ForgottenMalformed);
    let other = text.replacen("mail.send", "mail.read", 1);
    assert_ne!(other, text);
    let differs = found(&|export| {
        export
            .0
            .insert(FORGOTTEN.to_owned(), other.clone().into_bytes());
    });
    assert_eq!(
        (differs.kind, differs.entry),
        (FindingKind::ForgottenDiffers, Some(index))
    );
    // What says that less, or more, or nothing was forgotten.
    for entries in ["256", "768", "0", "1"] {
        let other = text.replacen("\"entries\":512", &format!("\"entries\":{entries}"), 1);
        assert_ne!(other, text);
        let differs = found(&|export| {
            export
                .0
                .insert(FORGOTTEN.to_owned(), other.clone().into_bytes());
        });
        let expected = match entries {
            // The bundle behind it is missing then.
            "256" => FindingKind::FileMissing,
            _ => FindingKind::ForgottenMalformed,
        };
        assert_eq!(differs.kind, expected, "{entries}");
    }
    // A bundle that is there nevertheless has to be the one that was signed.
    let bundle = whole.0["tile/entries/001"].clone();
    let mut with = export.clone();
    with.0.insert("tile/entries/001".to_owned(), bundle.clone());
    assert!(verify(&log, &with).is_ok());
    let edited = found(&|export| {
        let mut bundle = bundle.clone();
        *bundle.last_mut().unwrap() ^= 1;
        export.0.insert("tile/entries/001".to_owned(), bundle);
    });
    assert_eq!(
        (edited.kind, edited.entry),
        (FindingKind::EntryChanged, Some(511))
    );
}

#[test]
fn no_entry_says_so() {
    let (mut log, _) = long();
    let (said, carried) = forgotten(&log, UNTIL);
    let unstated = verify(&log, &shortened(&log, &carried)).unwrap_err();
    assert_eq!(unstated.kind, FindingKind::ForgottenUnstated);
    assert_eq!(unstated.entry, Some(0));
    // One that was refused, and one of less, say nothing of it.
    let denied = Entry {
        decision: Decision::Deny,
        reason: Some("no_role".into()),
        resource: Some(format!("installation {said}")),
        ..log.entry(FORGET)
    };
    log.push(&denied);
    let (less, _) = forgotten(&log, 256);
    say(&mut log, &less);
    let unstated = verify(&log, &shortened(&log, &carried)).unwrap_err();
    assert_eq!(unstated.kind, FindingKind::ForgottenUnstated);
}

#[test]
fn an_entry_that_says_something_else_is_found_by_whoever_has_a_copy() {
    let (log, _) = long();
    let (right, carried) = forgotten(&log, UNTIL);
    let (less, _) = forgotten(&log, 256);
    // Also by who has no copy.
    let cases = [
        (
            "root",
            Forgetting {
                root: less.root,
                ..right
            },
            true,
        ),
        (
            "state",
            Forgetting {
                state: less.state,
                ..right
            },
            true,
        ),
        // Four times what has gone by since.
        (
            "kept",
            Forgetting {
                kept: MONTH.as_secs() * 8,
                ..right
            },
            true,
        ),
    ];
    for (what, said, without) in cases {
        let mut log = Log {
            entries: log.entries.clone(),
            ..long().0
        };
        let index = say(&mut log, &said);
        let found = verify(&log, &log.export()).unwrap_err();
        assert_eq!(
            (found.kind, found.entry),
            (FindingKind::ForgottenDiffers, Some(index)),
            "{what}"
        );
        if without {
            let found = verify(&log, &shortened(&log, &carried)).unwrap_err();
            assert_eq!(found.kind, FindingKind::ForgottenDiffers, "{what}");
        }
    }
    // A statement that nobody could make.
    let cases = [
        (
            "kept",
            Forgetting {
                kept: LEAST_KEPT.as_secs() - 1,
                ..right
            },
        ),
        (
            "no bundle",
            Forgetting {
                until: 511,
                ..right
            },
        ),
        ("nothing", Forgetting { until: 0, ..right }),
        (
            "what is to come",
            Forgetting {
                until: 768,
                ..right
            },
        ),
    ];
    for (what, said) in cases {
        let mut log = Log {
            entries: log.entries.clone(),
            ..long().0
        };
        let index = say(&mut log, &said);
        let found = verify(&log, &log.export()).unwrap_err();
        assert_eq!(
            (found.kind, found.entry),
            (FindingKind::EntryMalformed, Some(index)),
            "{what}"
        );
    }
}

#[test]
fn who_was_revoked_before_stays_so() {
    let (mut log, person) = long();
    let other = log.person();
    let join = log.by(&other, "operator.join");
    let revoke = Entry {
        resource: Some(format!("device/{}", other.thumbprint())),
        ..log.by(&person, "operator.device.revoke")
    };
    // In front, so that they are forgotten.
    for (place, entry) in [(20, join), (21, revoke)] {
        log.entries[place] = entry.to_bytes().unwrap();
    }
    let (said, carried) = forgotten(&log, UNTIL);
    say(&mut log, &said);
    assert!(verify(&log, &shortened(&log, &carried)).is_ok());
    let mut by_revoked = Log {
        entries: log.entries.clone(),
        ..long().0
    };
    by_revoked.time = log.time;
    let approved = by_revoked.approval(&other, &other.device);
    by_revoked.push(&approved);
    let found = verify(&by_revoked, &shortened(&by_revoked, &carried)).unwrap_err();
    assert_eq!(found.kind, FindingKind::ReceiptDeviceRevoked);
    // A device that nobody knows is still one.
    let mut by_stranger = Log {
        entries: log.entries.clone(),
        ..long().0
    };
    let stranger = by_stranger.person();
    let approved = Entry {
        ..by_stranger.approval(&person, &stranger.device)
    };
    by_stranger.push(&approved);
    let found = verify(&by_stranger, &shortened(&by_stranger, &carried)).unwrap_err();
    assert_eq!(found.kind, FindingKind::ReceiptDeviceUnknown);
}

#[test]
fn a_grant_that_holds_is_approved_once() {
    let (mut log, person) = long();
    // It is approved in what is forgotten, and holds for a day behind that.
    let approved = log.approval(&person, &person.device);
    log.entries[511] = approved.to_bytes().unwrap();
    let (said, carried) = forgotten(&log, UNTIL);
    say(&mut log, &said);
    let again = Entry {
        id: log.entry("request.approve").id,
        ..approved
    };
    log.push(&again);
    let found = verify(&log, &shortened(&log, &carried)).unwrap_err();
    assert_eq!(found.kind, FindingKind::ReceiptReused);
    assert!(found.found.unwrap().contains("entry 511"));
}

#[test]
fn an_outcome_follows_what_is_forgotten_soon_or_not_at_all() {
    let (mut log, _) = long();
    let sent = Entry {
        reason: Some(OUTSIDE.into()),
        resource: Some("mail/1".to_owned()),
        ..log.entry("mail.send")
    };
    log.entries[500] = sent.to_bytes().unwrap();
    let tried = log.entry("secret.write");
    log.entries[501] = tried.to_bytes().unwrap();
    let newest = Entry::parse(&log.entries[511]).unwrap().time;
    let latest = tried.time.max(newest);
    let outcome = |log: &mut Log, of: &Entry, time: Timestamp| Entry {
        time,
        phase: Phase::Outcome,
        decision: Decision::Failed,
        reason: Some("storage_full".into()),
        id: log.entry("x.y").id,
        ..of.clone()
    };
    let (said, carried) = forgotten(&log, UNTIL);
    let hour = Duration::from_secs(3600);
    // What awaits one may have it whenever it comes; anything else within the hour.
    for (of, time, fits) in [
        (&sent, latest.plus(MONTH), true),
        (&tried, latest.plus(hour), true),
        (
            &tried,
            latest.plus(hour).plus(Duration::from_millis(1)),
            false,
        ),
    ] {
        let mut log = Log {
            entries: log.entries.clone(),
            ..long().0
        };
        let entry = outcome(&mut log, of, time);
        let index = log.push(&entry);
        say(&mut log, &said);
        let verified = verify(&log, &shortened(&log, &carried));
        match fits {
            true => {
                let interrupted = verified.unwrap().interrupted;
                let open = if *of.action == *"mail.send" { 1 } else { 2 };
                assert_eq!(interrupted.len(), open, "{of:?}");
            }
            false => {
                let found = verified.unwrap_err();
                assert_eq!(
                    (found.kind, found.entry),
                    (FindingKind::OutcomeWithoutIntent, Some(index))
                );
            }
        }
    }
}

#[test]
fn forgetting_in_steps_leaves_the_same_behind() {
    let (log, _) = long();
    let origin = format!("procura/{}", log.installation);
    let (at_once, carried) = forgotten(&log, UNTIL);
    let (_, first) = forgotten(&log, 256);
    let first = Carried::from_bytes(&first).unwrap();
    let begun: Frontier = log.entries[..256]
        .iter()
        .map(|entry| procura_ledger::leaf_hash(entry))
        .collect();
    let mut forgetter = Forgetter::new(&origin, &first, begun);
    for entry in &log.entries[256..512] {
        forgetter.read(entry).unwrap();
    }
    assert_eq!(forgetter.frontier().root(), at_once.root);
    assert_eq!(forgetter.carried().to_bytes().unwrap(), carried);
    assert_eq!(Carried::from_bytes(&carried).unwrap().entries, UNTIL);
}

#[test]
fn what_an_entry_says_is_written_in_one_way() {
    let (log, _) = long();
    let (said, _) = forgotten(&log, UNTIL);
    let text = format!("installation {said}");
    assert_eq!(Forgetting::of_resource(&text), Some(said));
    for other in [
        said.to_string(),
        text.replace("until:512", "until:0512"),
        text.replace("until:512", "until:+512"),
        text.replace("kept:", "kept: "),
        text.replace("installation ", "installation/1 "),
        format!("{text} more"),
        text.replace("s by:", " by:"),
        String::new(),
    ] {
        assert_eq!(Forgetting::of_resource(&other), None, "{other}");
    }
}
