//! Entries: their exact bytes, what is refused, and that they come back.

use crate::fixture::{Log, story};
use procura_ledger::{
    Decision, Entry, LedgerError, MAX_ENTRY, Phase, SUMMARY, SessionMark, Summary,
};
use procura_types::wire::CallerReport;
use procura_types::{
    ActorId, AttestationId, EntryId, Grade, GrantId, RunId, Thumbprint, Timestamp, TokenId, TraceId,
};

fn full() -> Entry {
    let uuid = |n: u8| [n; 16];
    Entry {
        id: EntryId::from_bytes(uuid(1)),
        time: Timestamp::from_millis(1_795_252_357_123),
        salt: [2; 16],
        phase: Phase::Intent,
        action: "secret.read".into(),
        decision: Decision::Allow,
        reason: Some("because".into()),
        actor: Some(ActorId::from_bytes([3; 32])),
        owner: Some(ActorId::from_bytes([4; 32])),
        device: Some(Thumbprint::from_bytes([5; 32])),
        session: Some(SessionMark::of("session")),
        attestation: Some(AttestationId::from_bytes(uuid(9))),
        grade: Some(Grade::SignedRelease),
        token: Some(TokenId::from_bytes(uuid(8))),
        namespace: Some("shop".parse().unwrap()),
        resource: Some("stripe/\"key\"".to_owned()),
        grant: Some(GrantId::from_bytes(uuid(6))),
        approval: None,
        run: Some(RunId::from_bytes(uuid(7))),
        policies: Some("shop@3:night shop@3:ci".into()),
        profile: "session".into(),
        ip: Some("::1".parse().unwrap()),
        caller: Some(CallerReport {
            pid: Some(42),
            ..CallerReport::default()
        }),
        trace: TraceId::from_bytes([0xab; 16]),
        summary: None,
    }
}

#[test]
fn bytes_are_the_fields_in_the_order_of_the_format() {
    let text = String::from_utf8(full().to_bytes().unwrap()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"v":1,"id":"01010101-0101-0101-0101-010101010101","#,
            r#""time":"2026-11-21T09:12:37.123Z","salt":"AgICAgICAgICAgICAgICAg","#,
            r#""phase":"intent","action":"secret.read","decision":"allow","reason":"because","#,
            r#""actor":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM","#,
            r#""owner":"BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ","#,
            r#""device":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU","#,
            r#""session":"Pzrx7Ou9FBCrQX7A0nu_yw","#,
            r#""attestation":"09090909-0909-0909-0909-090909090909","grade":"signed-release","#,
            r#""token":"08080808-0808-0808-0808-080808080808","#,
            r#""namespace":"shop","#,
            r#""resource":"stripe/\"key\"","grant":"06060606-0606-0606-0606-060606060606","#,
            r#""run":"07070707-0707-0707-0707-070707070707","#,
            r#""policies":"shop@3:night shop@3:ci","profile":"session","ip":"::1","#,
            r#""caller":{"pid":42},"trace":"abababab-abab-abab-abab-abababababab"}"#,
        )
    );
}

#[test]
fn ids_are_written_as_their_types_show_them() {
    let entry = full();
    let json: serde_json::Value = serde_json::from_slice(&entry.to_bytes().unwrap()).unwrap();
    assert_eq!(json["id"], entry.id.to_string());
    assert_eq!(json["actor"], entry.actor.unwrap().to_string());
    assert_eq!(json["device"], entry.device.unwrap().to_string());
    assert_eq!(json["trace"], entry.trace.to_string());
}

#[test]
fn absent_fields_are_left_out() {
    let entry = Log::new().entry("seal");
    let text = String::from_utf8(entry.to_bytes().unwrap()).unwrap();
    let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut names: Vec<&String> = json.keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "action", "decision", "id", "phase", "profile", "salt", "time", "trace", "v"
        ]
    );
}

#[test]
fn every_kind_of_entry_comes_back_as_the_same_bytes() {
    let (log, _) = story();
    let mut all = log.entries;
    all.push(full().to_bytes().unwrap());
    for bytes in all {
        assert_eq!(Entry::parse(&bytes).unwrap().to_bytes().unwrap(), bytes);
    }
}

#[test]
fn a_summary_stands_after_trace() {
    let entry = Entry {
        reason: Some(SUMMARY.into()),
        summary: Some(Summary {
            count: 3,
            from: Timestamp::from_secs(1),
            until: Timestamp::from_secs(2),
        }),
        ..full()
    };
    let text = String::from_utf8(entry.to_bytes().unwrap()).unwrap();
    assert!(text.ends_with(concat!(
        r#""trace":"abababab-abab-abab-abab-abababababab","count":3,"#,
        r#""from":"1970-01-01T00:00:01.000Z","until":"1970-01-01T00:00:02.000Z"}"#
    )));
    assert_eq!(
        Entry::parse(text.as_bytes()).unwrap().summary,
        entry.summary
    );
}

#[test]
fn an_entry_has_at_most_65535_bytes() {
    let mut entry = full();
    let rest = entry.to_bytes().unwrap().len() - entry.resource.as_ref().unwrap().len() - 2;
    entry.resource = Some("x".repeat(MAX_ENTRY - rest));
    assert_eq!(entry.to_bytes().unwrap().len(), MAX_ENTRY);
    entry.resource = Some("x".repeat(MAX_ENTRY - rest + 1));
    assert!(matches!(
        entry.to_bytes(),
        Err(LedgerError::EntryTooLong { len: 65_536 })
    ));
    assert!(matches!(
        Entry::parse(&[b' '; 65_536]),
        Err(LedgerError::EntryTooLong { len: 65_536 })
    ));
}

#[test]
fn malformed_entries() {
    let good = String::from_utf8(full().to_bytes().unwrap()).unwrap();
    let summary = good.replace("because", SUMMARY);
    let end = |text: &str, more: &str| format!("{}{more}}}", &text[..text.len() - 1]);
    for (text, why) in [
        (String::new(), "EOF while parsing"),
        (good[..good.len() - 1].to_owned(), "EOF while parsing"),
        (format!("{good}x"), "trailing characters"),
        (good.replace("\"v\":1", "\"v\":2"), "v is not 1"),
        (good.replace("\"v\":1,", ""), "missing field `v`"),
        (end(&good, ",\"value\":1"), "unknown field `value`"),
        (end(&good, ",\"v\":1"), "duplicate field `v`"),
        (good.replace("intent", "later"), "unknown variant `later`"),
        (good.replace("allow", "maybe"), "unknown variant `maybe`"),
        (good.replace("shop", "Shop"), "namespace: must be"),
        (
            good.replace("AgICAgICAg", "AgICAgIC"),
            "salt is not 16 bytes",
        ),
        (good.replace("secret.read", ""), "action is empty"),
        (
            good.replace("{\"pid\":42}", "{\"env\":\"A=b\"}"),
            "unknown field `env`",
        ),
        (end(&good, ",\"count\":1"), "do not fit together"),
        (summary.clone(), "others have neither"),
        (
            end(
                &good,
                ",\"count\":1,\"from\":\"1970-01-01T00:00:00Z\",\"until\":\"1970-01-01T00:00:00Z\"",
            ),
            "others have neither",
        ),
        (
            end(
                &summary,
                ",\"count\":1,\"from\":\"1970-01-01T00:00:01Z\",\"until\":\"1970-01-01T00:00:00Z\"",
            ),
            "do not fit together",
        ),
    ] {
        match Entry::parse(text.as_bytes()) {
            Err(LedgerError::Entry(problem)) => assert!(problem.contains(why), "{problem}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

/// Such entries were written once, when an empty namespace ended.
#[test]
fn a_summary_of_nothing_is_read() {
    let entry = Entry {
        reason: Some(SUMMARY.into()),
        summary: Some(Summary {
            count: 0,
            from: Timestamp::from_secs(1),
            until: Timestamp::from_secs(1),
        }),
        ..full()
    };
    let bytes = entry.to_bytes().unwrap();
    assert_eq!(Entry::parse(&bytes).unwrap().summary, entry.summary);
}

#[test]
fn what_does_not_read_back_is_not_written() {
    let summary = |from, until| {
        Some(Summary {
            count: 1,
            from: Timestamp::from_secs(from),
            until: Timestamp::from_secs(until),
        })
    };
    let because = |reason: &'static str, summary| Entry {
        reason: Some(reason.into()),
        summary,
        ..full()
    };
    for (entry, why) in [
        (
            Entry {
                action: "".into(),
                ..full()
            },
            "action is empty",
        ),
        (because(SUMMARY, None), "others have neither"),
        (because("because", summary(1, 2)), "others have neither"),
        (because(SUMMARY, summary(2, 1)), "do not fit together"),
    ] {
        match entry.to_bytes() {
            Err(LedgerError::Entry(problem)) => assert!(problem.contains(why), "{problem}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn a_session_mark_is_not_the_session_id() {
    let mark = SessionMark::of("AQAAAAE");
    assert_eq!(mark.as_bytes(), &procura_crypto::sha256(b"AQAAAAE")[..16]);
    assert_ne!(mark, SessionMark::of("AQAAAAF"));
}
