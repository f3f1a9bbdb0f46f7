//! No parser panics, whatever it is given, and what parses comes back as the
//! same text or bytes.

use crate::fixture::{Export, story};
use procura_ledger::{
    BundleReader, Checkpoint, Decision, Entry, Frontier, GrantTerms, Hash, Note, Phase, SUMMARY,
    SessionMark, Summary, TilePath, Vkey, grant_bytes, push_entry, verify_consistency,
    verify_export, verify_inclusion,
};
use procura_types::wire::{CallerReport, PublicJwk, Receipt};
use procura_types::{
    ActorId, AttestationId, EntryId, Grade, GrantId, RunId, Thumbprint, Timestamp, TokenId, TraceId,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Bytes near a good input: some replaced, removed or repeated.
fn near(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6).prop_map(move |changes| {
        let mut bytes = good.clone();
        for (at, value, what) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = value,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, value),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

struct Good {
    note: String,
    vkey: String,
    entry: Vec<u8>,
    approval: Vec<u8>,
    grant: Vec<u8>,
    export: Export,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let (log, _) = story();
    let approval = Entry::parse(&log.entries[4]).unwrap();
    Good {
        note: log.checkpoint(13).sign(&log.signer).unwrap(),
        vkey: log.vkey().to_string(),
        entry: log.entries[6].clone(),
        approval: log.entries[4].clone(),
        grant: approval.approval.unwrap().grant,
        export: log.export(),
    }
});

fn note(text: &str) {
    let vkey: Vkey = GOOD.vkey.parse().unwrap();
    if let Ok(note) = Note::parse(text) {
        let _ = note.open(std::slice::from_ref(&vkey));
    }
    if Checkpoint::open(text, &vkey).is_ok() {
        // Only signatures of unknown keys may differ.
        let text_of = |note: &str| note.rsplit_once("\n\n").unwrap().0.to_owned();
        assert_eq!(text_of(text), text_of(&GOOD.note));
    }
    if let Ok(checkpoint) = Checkpoint::parse_body(text) {
        // Extension lines may stand in another order, and mean the same.
        let body = checkpoint.body().unwrap();
        assert_eq!(Checkpoint::parse_body(&body).unwrap(), checkpoint);
    }
}

fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::parse(bytes) {
        let again = entry.to_bytes().unwrap();
        let parsed = Entry::parse(&again).unwrap();
        assert_eq!(parsed.to_bytes().unwrap(), again);
    }
}

fn grant(bytes: &[u8]) {
    if let Ok(terms) = GrantTerms::parse(bytes) {
        assert_eq!(grant_bytes(&terms), bytes);
    }
}

fn bundle(bytes: &[u8]) {
    let mut again = Vec::new();
    let mut whole = true;
    for entry in BundleReader::new(bytes) {
        match entry {
            Ok(entry) => push_entry(&mut again, entry.bytes).unwrap(),
            Err(_) => whole = false,
        }
    }
    assert!(bytes.starts_with(&again));
    assert!(!whole || bytes.len() == again.len());
}

/// A receipt of any content.
fn receipt() -> impl Strategy<Value = Receipt> {
    (
        vec(any::<u8>(), 0..80),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        any::<(String, String, String, Option<String>)>(),
        any::<u64>(),
        vec(any::<u8>(), 0..80),
    )
        .prop_map(|(grant, approver, device, key, time, signature)| {
            let (kty, crv, x, y) = key;
            Receipt {
                grant,
                approver: ActorId::from_bytes(approver),
                device: Thumbprint::from_bytes(device),
                key: PublicJwk { kty, crv, x, y },
                time: Timestamp::from_millis(time),
                signature,
                assertion: None,
            }
        })
}

/// What a daemon says, of any content.
fn caller() -> impl Strategy<Value = CallerReport> {
    (
        any::<[Option<String>; 6]>(),
        any::<(Option<u32>, Option<bool>, Option<bool>)>(),
    )
        .prop_map(|(texts, (pid, traced, danger_same_uid))| {
            let [exe_sha256, argv_sha256, cwd, git, host, os] = texts;
            CallerReport {
                pid,
                exe_sha256,
                argv_sha256,
                cwd,
                git,
                host,
                os,
                traced,
                danger_same_uid,
            }
        })
}

/// Any entry that can be made of the types of its fields, whether it makes sense or not.
fn any_entry() -> impl Strategy<Value = Entry> {
    let ids = any::<([u8; 16], [u8; 16], [u8; 16])>();
    let optional = any::<(
        Option<[u8; 32]>,
        Option<[u8; 32]>,
        Option<[u8; 32]>,
        Option<[u8; 16]>,
        Option<[u8; 16]>,
        Option<[u8; 16]>,
        Option<[u8; 16]>,
    )>();
    let words = (
        prop_oneof![Just("secret.read".to_owned()), any::<String>()],
        of(prop_oneof![Just(SUMMARY.to_owned()), any::<String>()]),
        any::<Option<String>>(),
        any::<(String, Option<String>)>(),
        of("[a-z]{1,20}"),
    );
    let times = (any::<u64>(), of((0..3u64, any::<u64>(), any::<u64>())));
    let rest = (
        any::<(bool, u8, Option<std::net::IpAddr>)>(),
        of(receipt()),
        of(caller()),
    );
    (ids, optional, words, times, rest).prop_map(|(ids, optional, words, times, rest)| {
        let (actor, owner, device, session, token, grant, run) = optional;
        let (action, reason, resource, (profile, policies), namespace) = words;
        let ((intent, decision, ip), approval, caller) = rest;
        Entry {
            id: EntryId::from_bytes(ids.0),
            time: Timestamp::from_millis(times.0),
            salt: ids.1,
            phase: if intent {
                Phase::Intent
            } else {
                Phase::Outcome
            },
            action: action.into(),
            decision: match decision % 3 {
                0 => Decision::Allow,
                1 => Decision::Deny,
                _ => Decision::Failed,
            },
            reason: reason.map(Into::into),
            actor: actor.map(ActorId::from_bytes),
            owner: owner.map(ActorId::from_bytes),
            device: device.map(Thumbprint::from_bytes),
            session: session.map(SessionMark::from_bytes),
            attestation: session.map(AttestationId::from_bytes),
            grade: session.and_then(|mark| Grade::from_byte(mark[0] % 4)),
            token: token.map(TokenId::from_bytes),
            namespace: namespace.map(|name| name.parse().unwrap()),
            resource,
            grant: grant.map(GrantId::from_bytes),
            approval: approval.map(Box::new),
            run: run.map(RunId::from_bytes),
            policies: policies.map(Into::into),
            profile: profile.into(),
            ip,
            caller,
            trace: TraceId::from_bytes(ids.2),
            summary: times.1.map(|(count, from, until)| Summary {
                count,
                from: Timestamp::from_millis(from),
                until: Timestamp::from_millis(until),
            }),
        }
    })
}

proptest! {
    /// What nobody could read back stops every reader of the record, for good.
    #[test]
    fn whatever_is_written_reads_back(entry in any_entry()) {
        if let Ok(bytes) = entry.to_bytes() {
            let parsed = Entry::parse(&bytes);
            prop_assert!(parsed.is_ok(), "{:?}", parsed.err());
            prop_assert_eq!(parsed.unwrap().to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn notes(text in "(\\PC|\n|\u{2014} ){0,200}") {
        note(&text);
    }

    #[test]
    fn notes_near_good_ones(bytes in near(GOOD.note.clone().into_bytes())) {
        if let Ok(text) = String::from_utf8(bytes) {
            note(&text);
        }
    }

    #[test]
    fn verifier_keys(text in "\\PC{0,100}", bytes in near(GOOD.vkey.clone().into_bytes())) {
        for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
            if let Ok(vkey) = text.parse::<Vkey>() {
                prop_assert_eq!(vkey.to_string(), text);
            }
        }
    }

    #[test]
    fn tile_paths(text in "(tile/)?(entries|[0-9]{1,3})?(/x?[0-9]{1,4}){0,8}(\\.p/[0-9]{0,4})?\\PC?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn tile_paths_come_back(level in 0u8..64, index: u64, width in 1u16..=256) {
        for kind in [procura_ledger::TileKind::Hashes(level), procura_ledger::TileKind::Entries] {
            let path = TilePath::new(kind, index, width).unwrap();
            prop_assert_eq!(path.to_string().parse::<TilePath>().unwrap(), path);
        }
    }

    #[test]
    fn entries(bytes in vec(any::<u8>(), 0..300), near in near(GOOD.entry.clone())) {
        entry(&bytes);
        entry(&near);
    }

    #[test]
    fn approvals(near in near(GOOD.approval.clone())) {
        entry(&near);
    }

    #[test]
    fn grants(bytes in vec(any::<u8>(), 0..300), near in near(GOOD.grant.clone())) {
        grant(&bytes);
        grant(&near);
    }

    #[test]
    fn bundles(bytes in vec(any::<u8>(), 0..2000)) {
        bundle(&bytes);
    }

    #[test]
    fn frontiers(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(frontier) = Frontier::from_bytes(&bytes) {
            prop_assert_eq!(frontier.to_bytes(), bytes);
        }
    }

    #[test]
    fn proofs(index: u64, size: u64, path in vec(any::<[u8; 32]>(), 0..70), root: [u8; 32]) {
        let path: Vec<Hash> = path.into_iter().map(Hash::from_bytes).collect();
        let (leaf, root) = (Hash::empty_root(), Hash::from_bytes(root));
        prop_assert!(verify_inclusion(&leaf, index, size, &path, &root).is_err());
        prop_assert!(verify_consistency(index, &leaf, size, &root, &path).is_err() || index == 0);
    }

    #[test]
    fn exports(name in any::<prop::sample::Index>(), changes in near(vec![0; 64])) {
        let mut export = GOOD.export.clone();
        let names: Vec<String> = export.0.keys().cloned().collect();
        let file = export.0.get_mut(&names[name.index(names.len())]).unwrap();
        let kept = file.clone();
        for (at, change) in changes.iter().enumerate() {
            let at = (at * 131) % file.len();
            file[at] ^= change;
        }
        let same = *file == kept;
        let vkey: Vkey = GOOD.vkey.parse().unwrap();
        prop_assert_eq!(verify_export(&export, &vkey, None).is_ok(), same);
    }
}
