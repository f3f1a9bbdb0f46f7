//! Whether a project token opens something: every check, each time as the only one that
//! does not hold.

use crate::records::{
    actor_id, foreign, grant, grant_id, item, thumbprint, time, token, tokens_ended,
};
use procura_directory::{
    Change, ForeignRecord, GrantRecord, QuarantineRecord, Snapshot, Suspect, TokenRecord,
    TokenRefusal,
};
use procura_types::Delivery;

/// The token of agent 3.
const NUMBER: u8 = 4;

fn granted() -> GrantRecord {
    grant(1, 3, vec![item("KEY", "a/key"), item("SALT", "a/salt")])
}

fn directory(grant: GrantRecord, token: TokenRecord) -> Snapshot {
    Snapshot::default().apply(1, [Change::Grant(grant), Change::Token(token)])
}

/// What the directory says of the token for `KEY`, shown by device 1 of agent 3 at `now`.
fn opens(snapshot: &Snapshot, now: u64) -> Result<(), TokenRefusal> {
    let token = snapshot.token(&token(NUMBER).id).unwrap();
    let (agent, device) = (actor_id(3), thumbprint(1));
    let items = [item("KEY", "a/key")];
    snapshot
        .token_opens(token, &agent, Some(&device), &items, time(now))
        .map(|grant| assert_eq!(grant.id, token.grant))
}

#[test]
fn a_token_opens_what_it_was_issued_for_until_it_is_over() {
    let snapshot = directory(granted(), token(NUMBER));
    for now in 10..18 {
        assert_eq!(opens(&snapshot, now), Ok(()), "{now}");
    }
    // At its end to the millisecond, and never after.
    for now in [18, 19, 1000] {
        assert_eq!(opens(&snapshot, now), Err(TokenRefusal::Expired), "{now}");
    }
}

#[test]
fn each_change_of_the_token_or_its_grant_ends_it_for_its_own_reason() {
    type Apply = fn(&mut GrantRecord, &mut TokenRecord);
    use TokenRefusal::{Device, Expired, Grant, Revoked};
    let cases: [(&str, Apply, TokenRefusal); 12] = [
        (
            "another agent",
            |_, token| token.agent = actor_id(5),
            Device,
        ),
        (
            "another device",
            |_, token| token.device = thumbprint(2),
            Device,
        ),
        (
            "revoked",
            |_, token| token.revoked = Some(time(12)),
            Revoked,
        ),
        (
            "of another generation",
            |_, token| token.generation = 1,
            Revoked,
        ),
        ("over", |_, token| token.until = time(15), Expired),
        (
            "withdrawn",
            |grant, _| grant.withdrawn = Some(time(12)),
            Grant,
        ),
        (
            "the grant is over",
            |grant, _| grant.until = time(15),
            Grant,
        ),
        (
            "the grant is to begin",
            |grant, _| grant.from = time(16),
            Grant,
        ),
        (
            "another's grant",
            |grant, _| grant.agent = actor_id(5),
            Grant,
        ),
        (
            "another delivery",
            |grant, _| grant.delivery = Delivery::Http,
            Grant,
        ),
        (
            "granted another path",
            |grant, _| grant.items = vec![item("KEY", "b/key")],
            Grant,
        ),
        (
            "issued for another path",
            |_, token| token.items = vec![item("KEY", "b/key")],
            Grant,
        ),
    ];
    for (what, apply, expected) in cases {
        let (mut grant, mut token) = (granted(), token(NUMBER));
        apply(&mut grant, &mut token);
        assert_eq!(opens(&directory(grant, token), 15), Err(expected), "{what}");
    }
    // Another grant for the same, which came later, does not bring it back.
    let mut withdrawn = granted();
    withdrawn.withdrawn = Some(time(12));
    let mut later = granted();
    later.id = grant_id(2);
    let snapshot = directory(withdrawn, token(NUMBER)).apply(2, [Change::Grant(later)]);
    assert_eq!(opens(&snapshot, 15), Err(TokenRefusal::Grant));
}

#[test]
fn what_is_over_for_a_project_is_over_for_all_of_its_tokens_and_stays_so() {
    let snapshot = directory(granted(), token(NUMBER));
    let ended = snapshot.apply(2, [Change::TokensEnded(tokens_ended(1))]);
    assert_eq!(opens(&ended, 15), Err(TokenRefusal::Revoked));
    // The record of the token itself, put again as it was, is of no use.
    let again = ended.apply(3, [Change::Token(token(NUMBER))]);
    assert_eq!(opens(&again, 15), Err(TokenRefusal::Revoked));
    // One that is issued now counts.
    let mut fresh = token(NUMBER);
    fresh.generation = ended.token_generation(&fresh.namespace, &fresh.project);
    let after = ended.apply(3, [Change::Token(fresh)]);
    assert_eq!(opens(&after, 15), Ok(()));
    // Those of other projects are not touched.
    let mut other = tokens_ended(1);
    other.project = "cron".parse().unwrap();
    let elsewhere = snapshot.apply(2, [Change::TokensEnded(other)]);
    assert_eq!(opens(&elsewhere, 15), Ok(()));
}

#[test]
fn a_forgotten_token_is_found_by_nothing() {
    let record = token(NUMBER);
    let snapshot = directory(granted(), record.clone());
    let hash = record.hash.unwrap();
    assert_eq!(snapshot.token_hashed(&hash).unwrap().id, record.id);
    let after = snapshot.apply(2, [Change::TokenGone(record.id)]);
    assert!(after.token(&record.id).is_none());
    assert!(after.token_hashed(&hash).is_none());
    assert_eq!(after.tokens_of(&record.agent).count(), 0);
    assert_eq!(after.tokens().count(), 0);
    // Snapshots from before stay what they were.
    assert!(snapshot.token(&record.id).is_some());
}

#[test]
fn what_a_device_had_before_it_was_in_quarantine_does_not_come_back() {
    let quarantine = |lifted: Option<u64>| {
        Change::Quarantine(QuarantineRecord {
            suspect: Suspect::Device(thumbprint(1)),
            actor: actor_id(3),
            since: time(11),
            by: None,
            canary: None,
            lifted,
            lifted_at: lifted.map(|_| time(12)),
        })
    };
    let issued_at = |seq: u64| {
        let mut token = token(NUMBER);
        token.seq = seq;
        directory(granted(), token)
    };
    for (seq, lifted, expected) in [
        (1, None, Err(TokenRefusal::Revoked)),
        (1, Some(5), Err(TokenRefusal::Revoked)),
        (5, Some(5), Err(TokenRefusal::Revoked)),
        (6, Some(5), Ok(())),
    ] {
        let snapshot = issued_at(seq).apply(2, [quarantine(lifted)]);
        assert_eq!(opens(&snapshot, 15), expected, "{seq} {lifted:?}");
    }
}

#[test]
fn what_a_process_was_given_under_an_id_of_another_system_ends_with_it() {
    let id = || foreign("scribe", 3).id;
    let quarantine = |suspect: Suspect, lifted: Option<u64>| {
        Change::Quarantine(QuarantineRecord {
            suspect,
            actor: actor_id(3),
            since: time(11),
            by: None,
            canary: None,
            lifted,
            lifted_at: lifted.map(|_| time(12)),
        })
    };
    let (by_id, process) = (|| Suspect::Foreign(id()), || Suspect::Device(thumbprint(1)));
    let released = ForeignRecord {
        released: Some(time(12)),
        ..foreign("scribe", 3)
    };
    let no = Err(TokenRefusal::Revoked);
    for (what, changes, expected) in [
        ("as it is", vec![], Ok(())),
        ("released", vec![Change::Foreign(released)], no),
        ("another's", vec![Change::Foreign(foreign("scribe", 5))], no),
        ("let out since", vec![quarantine(by_id(), Some(1))], no),
        ("let out before", vec![quarantine(by_id(), Some(0))], Ok(())),
        // The key of its process is no device, whatever it says of one.
        (
            "a device of that key",
            vec![quarantine(process(), Some(1))],
            Ok(()),
        ),
    ] {
        let token = TokenRecord {
            foreign: Some(id()),
            ..token(NUMBER)
        };
        let bound = Change::Foreign(foreign("scribe", 3));
        let before = directory(granted(), token).apply(2, [bound]);
        let snapshot = before.apply(3, changes);
        assert_eq!(opens(&snapshot, 15), expected, "{what}");
    }
}
