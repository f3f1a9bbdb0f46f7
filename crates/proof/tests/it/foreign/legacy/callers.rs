//! From a proven daemon, or a login, to the agent that it acts for.

use super::{SCRIBE, TOKEN, World, bound as record};
use crate::fixture::{AGENT, NOW, OWNER, PEER, agent, device, held, owner, quarantined};
use crate::foreign::{id, key};
use procura_directory::{ActorRecord, Change, ForeignRecord, Snapshot, Suspect};
use procura_proof::{Caller, Case, Profile};
use procura_types::{ActorId, Duration, Timestamp};

fn bound(released: Option<Timestamp>) -> Change {
    Change::Foreign(record(SCRIBE, released))
}

fn directory(changes: impl IntoIterator<Item = Change>) -> Snapshot {
    let owners = key(1);
    let first = [
        owner(owners.public(), None),
        agent(None),
        device(owners.public(), OWNER, None),
        bound(None),
    ];
    Snapshot::default().apply(7, first.into_iter().chain(changes))
}

#[test]
fn a_daemon_acts_for_the_agent_that_its_id_is_bound_to() {
    let suspect = || Suspect::Foreign(id(SCRIBE));
    for (what, changes, case) in [
        ("as it is", vec![], None),
        ("released", vec![bound(Some(NOW))], Some(Case::AgentUnbound)),
        ("revoked", vec![agent(Some(NOW))], Some(Case::ActorRevoked)),
        (
            "elsewhere",
            vec![held(agent(None), &["10.0.0.0/8"])],
            Some(Case::AddressRefused),
        ),
        (
            "in quarantine",
            vec![quarantined(suspect(), None)],
            Some(Case::AgentQuarantined),
        ),
        // Let out at the state that the session was given at, or before it.
        (
            "let out since",
            vec![quarantined(suspect(), Some(7))],
            Some(Case::SessionForeign),
        ),
        (
            "let out before",
            vec![quarantined(suspect(), Some(6))],
            None,
        ),
    ] {
        let (world, directory) = (World::new(), directory(changes));
        let proven = world.verify(&world.good(), TOKEN, NOW).unwrap();
        let caller = Caller::legacy(proven, &directory);
        let login = Caller::logged_in(&id(SCRIBE), &directory, NOW, PEER);
        let Some(case) = case else {
            let (caller, login) = (caller.unwrap(), login.unwrap());
            let process = world.process.public().thumbprint();
            assert_eq!((caller.actor(), caller.owner()), (&AGENT, &OWNER));
            assert_eq!((caller.profile(), caller.device()), (Profile::Legacy, None));
            assert_eq!(caller.process(), Some(&process));
            assert_eq!(caller.foreign_id(), Some(&id(SCRIBE)));
            assert_eq!((login.actor(), login.process()), (&AGENT, None));
            assert_eq!(login.profile(), Profile::Legacy);
            continue;
        };
        let refusal = caller.unwrap_err();
        assert_eq!(
            (refusal.case, refusal.agent),
            (case, Some(id(SCRIBE))),
            "{what}"
        );
        // A login has no session that could be from before.
        let expected = Some(case).filter(|case| *case != Case::SessionForeign);
        assert_eq!(login.err().map(|refusal| refusal.case), expected, "{what}");
    }
}

/// Whoever has a session of before acts by it neither as the next agent of that id nor, once
/// the id was let go, as the same one.
#[test]
fn a_session_ends_with_the_binding_of_its_id() {
    let other = ActorId::from_bytes([0x7e; 32]);
    let Change::Actor(scribe) = agent(None) else {
        panic!("it is an actor");
    };
    let clerk = Change::Actor(ActorRecord {
        id: other,
        ..scribe
    });
    let again = |actor, created| {
        Change::Foreign(ForeignRecord {
            actor,
            created,
            ..record(SCRIBE, None)
        })
    };
    let later = NOW.plus(Duration::from_millis(1));
    for (what, change, acts) in [
        ("as it is", again(AGENT, NOW), Some(AGENT)),
        ("bound to another", again(other, later), None),
        ("to another at the same time", again(other, NOW), None),
        ("to the same anew", again(AGENT, later), None),
    ] {
        let world = World::new();
        let directory = directory([clerk.clone(), bound(Some(NOW)), change]);
        let proven = world.verify(&world.good(), TOKEN, NOW).unwrap();
        let caller = Caller::legacy(proven, &directory);
        let Some(actor) = acts else {
            let refusal = caller.unwrap_err();
            let found = (refusal.case, refusal.agent);
            assert_eq!(found, (Case::SessionForeign, Some(id(SCRIBE))), "{what}");
            continue;
        };
        assert_eq!(caller.unwrap().actor(), &actor, "{what}");
    }
}

#[test]
fn whoever_asks_to_log_in_is_nobody() {
    let caller = Caller::logging_in(&directory([]), NOW, PEER);
    assert_eq!(caller.profile(), Profile::Legacy);
    assert_eq!(
        (caller.device(), caller.process(), caller.foreign_id()),
        (None, None, None)
    );
    assert!(![AGENT, OWNER].contains(caller.actor()));
}
