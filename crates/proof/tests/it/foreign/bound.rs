//! From a proven foreign agent to the caller that its id is bound to.

use super::{SCRIBE, World, id, record, refused, signing_key};
use crate::fixture::{AGENT, NOW, OWNER, PEER, Request, agent, device, held, owner, quarantined};
use procura_directory::{Change, ForeignRecord, Snapshot, Suspect};
use procura_proof::foreign::{Foreign, ForeignKey};
use procura_proof::{Caller, Case, Profile, Refusal};
use procura_types::{Thumbprint, Timestamp};

fn bound(device: Option<Thumbprint>, released: Option<Timestamp>) -> Change {
    Change::Foreign(ForeignRecord {
        id: id(SCRIBE),
        actor: AGENT,
        device,
        created: NOW,
        released,
    })
}

/// An owner, the agent below it, and a device of the agent.
fn directory(changes: impl IntoIterator<Item = Change>) -> Snapshot {
    let key = signing_key(SCRIBE);
    let first = [
        owner(key.public(), None),
        agent(None),
        device(key.public(), AGENT, None),
    ];
    Snapshot::default().apply(7, first.into_iter().chain(changes))
}

/// An id that stands for an agent and is in quarantine.
pub(super) fn quarantined_by_its_id() -> Snapshot {
    let suspect = Suspect::Foreign(id(SCRIBE));
    directory([bound(None, None), quarantined(suspect, None)])
}

fn caller(profile: Foreign, directory: &Snapshot) -> Result<Caller, Refusal> {
    let world = World::new();
    let signed = world.sign(profile, &Request::put());
    Caller::foreign(world.verify(&signed).unwrap(), directory)
}

#[test]
fn an_id_leads_to_the_agent_that_it_is_bound_to() {
    let enrolled = signing_key(SCRIBE).public().thumbprint();
    for with in [None, Some(enrolled)] {
        for profile in Foreign::ALL {
            let caller = caller(profile, &directory([bound(with, None)])).unwrap();
            assert_eq!((caller.actor(), caller.owner()), (&AGENT, &OWNER));
            assert_eq!(caller.profile(), Profile::Foreign(profile));
            assert_eq!(caller.device(), with.as_ref());
            assert_eq!(caller.foreign_id(), Some(&id(SCRIBE)));
            assert_eq!((caller.peer(), caller.created()), (Some(PEER), NOW));
            assert_eq!((caller.session(), caller.directory_seq()), (None, 7));
            assert!(caller.nonce().is_some() && caller.answering().is_none());
        }
    }
}

#[test]
fn an_id_that_stands_for_nobody_leads_to_no_caller() {
    let key = signing_key(SCRIBE);
    let enrolled = key.public().thumbprint();
    let cases = [
        (directory([]), Case::AgentUnbound),
        (directory([bound(None, Some(NOW))]), Case::AgentUnbound),
        (
            directory([bound(None, None), agent(Some(NOW))]),
            Case::ActorRevoked,
        ),
        // Whoever is above it takes it along.
        (
            directory([bound(None, None), owner(key.public(), Some(NOW))]),
            Case::ActorRevoked,
        ),
        (
            directory([
                bound(Some(enrolled), None),
                device(key.public(), AGENT, Some(NOW)),
            ]),
            Case::DeviceRevoked,
        ),
        (
            directory([
                bound(Some(enrolled), None),
                device(key.public(), OWNER, None),
            ]),
            Case::DeviceRevoked,
        ),
        // It is good only elsewhere, itself or with whoever is above it.
        (
            directory([bound(None, None), held(agent(None), &["10.0.0.0/8"])]),
            Case::AddressRefused,
        ),
        (
            directory([
                bound(None, None),
                held(owner(key.public(), None), &["127.0.0.8", "::/0"]),
            ]),
            Case::AddressRefused,
        ),
        (
            directory([bound(Some(Thumbprint::from_bytes([9; 32])), None)]),
            Case::DeviceRevoked,
        ),
        (quarantined_by_its_id(), Case::AgentQuarantined),
        // What was enrolled under the id is one with it.
        (
            directory([
                bound(Some(enrolled), None),
                quarantined(Suspect::Device(enrolled), None),
            ]),
            Case::AgentQuarantined,
        ),
    ];
    for profile in Foreign::ALL {
        for (directory, case) in &cases {
            let refusal = caller(profile, directory).unwrap_err();
            assert_eq!(refusal.case, *case, "{profile}");
            assert_eq!(refusal.agent, Some(id(SCRIBE)));
        }
    }
}

#[test]
fn who_was_revoked_is_told_so_whatever_the_signature() {
    let world = World::new();
    let was = ForeignKey {
        revoked: true,
        ..record(SCRIBE)
    };
    for profile in Foreign::ALL {
        let good = world.sign(profile, &Request::put());
        let bad = super::set(&good, "x-signature", "bad");
        world.put(SCRIBE, was.clone());
        for request in [&good, &bad] {
            let refusal = refused(world.verify(request));
            assert_eq!(refusal.case, Case::ActorRevoked, "{profile}");
        }
        // Nothing was used up.
        world.put(SCRIBE, record(SCRIBE));
        assert!(world.verify(&good).is_ok(), "{profile}");
    }
}
