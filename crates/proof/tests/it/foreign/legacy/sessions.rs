//! Sessions: of one agent, one process and one key, and for a day.

use super::{CLERK, NONCE, SCRIBE, TOKEN, World, mark, on_record};
use crate::fixture::{NOW, Roots};
use crate::foreign::{id, key};
use procura_proof::Case;
use procura_proof::foreign::legacy::{LEGACY_SESSION_LIFE, LegacyKey};
use procura_types::{Duration, ForeignId};
use std::collections::HashMap;

#[test]
fn a_session_is_of_one_agent_one_process_and_one_key() {
    let world = World::new();
    let case = |session: &str| {
        let world = World {
            session: session.to_owned(),
            ..World::new()
        };
        world.case(&world.good())
    };
    let mut garbled = world.session.clone();
    let other = match garbled.as_bytes()[60] {
        b'A' => "B",
        _ => "A",
    };
    garbled.replace_range(60..61, other);
    let elsewhere = World {
        roots: Roots::new(7, 4),
        ..World::new()
    };
    let elsewhere = elsewhere.issue(SCRIBE, &key(21), 7, NOW);
    let another = world.issue(SCRIBE, &key(22), 7, NOW);
    for (what, session, expected) in [
        ("its own", world.session.as_str(), None),
        (
            "of another process",
            another.as_str(),
            Some(Case::AgentSignatureRefused),
        ),
        (
            "of another root",
            elsewhere.as_str(),
            Some(Case::SessionForeign),
        ),
        ("changed", garbled.as_str(), Some(Case::SessionForeign)),
        ("nobody's", "x", Some(Case::SessionForeign)),
    ] {
        assert_eq!(case(session), expected, "{what}");
    }
    // It ends.
    let begun = NOW.minus(LEGACY_SESSION_LIFE);
    let over = world.issue(SCRIBE, &world.process, 7, begun);
    let last = world.issue(
        SCRIBE,
        &world.process,
        7,
        begun.plus(Duration::from_millis(1)),
    );
    assert_eq!(case(&over), Some(Case::SessionOver));
    assert_eq!(case(&last), None);
}

#[test]
fn a_session_ends_with_the_key_that_the_agent_had() {
    type Turn = fn(&mut HashMap<ForeignId, LegacyKey>);
    let cases: [(&str, Turn, Case); 5] = [
        (
            "removed",
            |keys| drop(keys.remove(&id(SCRIBE))),
            Case::AgentUnknown,
        ),
        (
            "another",
            |keys| drop(keys.insert(id(SCRIBE), on_record(SCRIBE, &key(13)))),
            Case::SessionForeign,
        ),
        (
            "the same, put there again",
            |keys| {
                let found = keys.get_mut(&id(SCRIBE)).unwrap();
                found.mark = mark(SCRIBE, &key(11), "inode 2");
            },
            Case::SessionForeign,
        ),
        (
            "of an agent that was revoked",
            |keys| keys.get_mut(&id(SCRIBE)).unwrap().revoked = true,
            Case::ActorRevoked,
        ),
        (
            "another's",
            |keys| drop(keys.insert(id(SCRIBE), on_record(CLERK, &key(11)))),
            Case::SessionForeign,
        ),
    ];
    for (what, change, case) in cases {
        let world = World::new();
        change(world.keys.0.lock().unwrap().as_mut().unwrap());
        let refusal = world.verify(&world.good(), TOKEN, NOW).unwrap_err();
        assert_eq!(
            (refusal.case, refusal.agent),
            (case, Some(id(SCRIBE))),
            "{what}"
        );
    }
    let world = World::new();
    *world.keys.0.lock().unwrap() = None;
    assert_eq!(world.case(&world.good()), Some(Case::KeysUnavailable));
    let proof = world.proof(SCRIBE, NOW.as_secs(), NONCE, "AA", NOW);
    assert_eq!(proof, Some(Case::KeysUnavailable));
}
