//! `spec/reasons.md`, row by row.

use crate::fixture::{AGENT, NOW, Request, World, agent, device, held, quarantined};
use crate::provoked::{forged, provoke, refused};
use procura_directory::Suspect;
use procura_proof::{Case, Reason, Step};
use procura_types::Duration;
use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../../../spec/reasons.md");

/// Step, case, reason, status of each row.
fn rows() -> Vec<[String; 4]> {
    TABLE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| step "))
        .map(|line| {
            let cells: Vec<_> = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect();
            assert_eq!(cells.len(), 5, "{line}");
            assert!(!cells[4].is_empty(), "{line}");
            [0, 1, 2, 3].map(|cell| cells[cell].clone())
        })
        .collect()
}

#[test]
fn the_table_and_the_code_agree() {
    let code: Vec<_> = Case::ALL
        .iter()
        .map(|case| {
            [
                case.step().as_str().to_owned(),
                case.as_str().to_owned(),
                case.reason().as_str().to_owned(),
                case.reason().status().to_string(),
            ]
        })
        .collect();
    assert_eq!(rows(), code);
    let steps: Vec<_> = Case::ALL.iter().map(|case| case.step()).collect();
    assert!(
        steps.is_sorted(),
        "the rows stand in the order of the checks"
    );
    let used: BTreeSet<_> = Case::ALL
        .iter()
        .map(|case| case.reason().as_str())
        .collect();
    let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(used, words, "each word has a row");
    assert!(Case::ALL.iter().all(|case| case.detail().ends_with('.')));
}

#[test]
fn words_are_read_as_they_are_written() {
    for reason in Reason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
    for word in ["", "Malformed", "bad_signature "] {
        let refused = word.parse::<Reason>().unwrap_err();
        assert_eq!(refused.to_string(), "reason: is no word of spec/reasons.md");
    }
}

#[test]
fn what_ends_by_itself_or_was_not_looked_at_is_held_against_nobody() {
    let against: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|reason| !reason.counts_against_source())
        .collect();
    assert_eq!(
        against,
        [
            Reason::SessionUnknown,
            Reason::SessionExpired,
            Reason::WebLoginUnknown,
            Reason::WebLoginOver,
            Reason::Quarantined,
            Reason::RateLimited,
            Reason::VerifierUnavailable,
        ]
    );
}

#[test]
fn every_row_is_provoked() {
    for case in Case::ALL {
        let refusals = provoke(*case);
        assert!(!refusals.is_empty(), "{case:?}");
        for (position, refusal) in refusals.iter().enumerate() {
            assert_eq!(refusal.case, *case, "request {position}");
            let waits = matches!(refusal.status(), 429 | 503);
            assert_eq!(refusal.retry_after.is_some(), waits, "{case:?}");
        }
    }
}

#[test]
fn refusals_name_the_device_or_the_agent_once_it_is_known() {
    for case in Case::ALL.iter().filter(|case| case.step() > Step::Key) {
        for refusal in provoke(*case) {
            let device = refusal.device.is_some() && refusal.actor.is_some();
            assert_ne!(device, refusal.agent.is_some(), "{case:?}");
        }
    }
}

/// One request that breaks a rule of each step: the earliest is told.
#[test]
fn the_order_of_the_checks() {
    let mut world = World::new();
    let revoked = device(world.ed25519.public(), AGENT, Some(NOW));
    let signed = world.sign(&Request::put());
    assert!(world.verify(&signed).is_ok(), "its nonce is used now");
    world.apply([revoked]);
    let mut bad = forged(&world, signed.clone());
    bad.body[0] ^= 1;
    let late = NOW.plus(Duration::from_secs(100));

    let shapeless = bad.clone().with("x-agent", "scribe");
    assert_eq!(
        refused(world.verify_at(&shapeless, late)).case,
        Case::MixedProfiles
    );
    assert_eq!(refused(world.verify_at(&bad, late)).case, Case::TooOld);
    assert_eq!(refused(world.verify(&bad)).case, Case::DeviceRevoked);
    world.apply([agent(Some(NOW))]);
    assert_eq!(refused(world.verify(&bad)).case, Case::ActorRevoked);
    world.apply([agent(None)]);
    world.apply([device(world.ed25519.public(), AGENT, None)]);
    assert_eq!(refused(world.verify(&bad)).case, Case::SignatureRefused);
    let mut bad = signed.clone();
    bad.body[0] ^= 1;
    assert_eq!(refused(world.verify(&bad)).case, Case::BodyChanged);
    assert_eq!(refused(world.verify(&signed)).case, Case::NonceUsed);
}

/// An agent is told apart from its address: what is right from one place is refused
/// from another, uses nothing up, and is let in again once the agent may be there.
#[test]
fn an_agent_may_be_where_its_sources_say() {
    let mut world = World::new();
    for (sources, admitted) in [
        (&["127.0.0.9/32"][..], true),
        (&["127.0.0.0/24", "10.0.0.0/8"], true),
        (&["::ffff:127.0.0.9"], true),
        // Begins with the same text.
        (&["127.0.0.90/32"], false),
        (&["127.0.0.8/32"], false),
        (&["::/0"], false),
        (&[], true),
    ] {
        world.apply([held(agent(None), sources)]);
        let signed = world.sign(&Request::get());
        let found = world.verify(&signed).map_err(|refusal| refusal.case);
        if admitted {
            assert!(found.is_ok(), "{sources:?}");
            continue;
        }
        assert_eq!(found.unwrap_err(), Case::AddressRefused, "{sources:?}");
        world.apply([agent(None)]);
        assert!(world.verify(&signed).is_ok(), "{sources:?}");
    }
    // What the proof is worth is said before where it comes from.
    world.apply([held(agent(None), &["10.0.0.0/8"])]);
    let other = forged(&world, world.sign(&Request::get()));
    assert_eq!(refused(world.verify(&other)).case, Case::SignatureRefused);
}

/// Who is in quarantine is told so once all else is in order, uses nothing up, and may
/// go on when it is let out, with a new session.
#[test]
fn a_device_in_quarantine_proves_who_it_is_and_nothing_else() {
    let mut world = World::new();
    let suspect = Suspect::Device(world.device());
    let before = world.session();
    let signed = world.sign(&Request::put());
    world.apply([quarantined(suspect.clone(), None)]);
    let found = refused(world.verify(&signed));
    assert_eq!(found.case, Case::DeviceQuarantined);
    assert_eq!((found.reason(), found.status()), (Reason::Quarantined, 403));
    assert_eq!(
        (found.device, found.actor),
        (Some(world.device()), Some(AGENT))
    );
    let mut bad = signed.clone();
    bad.body[0] ^= 1;
    assert_eq!(refused(world.verify(&bad)).case, Case::BodyChanged);
    let other = forged(&world, signed.clone());
    assert_eq!(refused(world.verify(&other)).case, Case::SignatureRefused);

    // As it is let out: what was given to it before is over, also what it held then.
    let seq = world.directory.seq();
    world.apply([quarantined(suspect, Some(seq))]);
    assert!(world.verify(&signed).is_ok());
    let under = world.sign_under(&Request::get(), &before, 1);
    assert_eq!(refused(world.verify(&under)).case, Case::SessionOver);
    let after = world.session();
    let under = world.sign_under(&Request::get(), &after, 1);
    assert!(world.verify(&under).is_ok());
}

/// What is refused does not use the nonce up: only the holder of the key can.
#[test]
fn a_refused_request_claims_nothing() {
    let world = World::new();
    let signed = world.sign(&Request::put());
    let mut bad = signed.clone();
    bad.body[0] ^= 1;
    for _ in 0..2 {
        assert_eq!(refused(world.verify(&bad)).case, Case::BodyChanged);
    }
    let other = forged(&world, signed.clone());
    assert_eq!(refused(world.verify(&other)).case, Case::SignatureRefused);
    assert!(world.verify(&signed).is_ok());
}
