//! Sessions: what is in them, and when they end.

use crate::fixture::{AGENT, AUDIENCE, NOW, OWNER, Request, Roots, SEQ, World};
use procura_crypto::{MacKey, SigningKey};
use procura_directory::{AttestationRecord, Change};
use procura_proof::session::{self, Attested, IssueError, SessionFault, Subject};
use procura_proof::{AnswerView, Case, Profile};
use procura_types::{AttestationId, Duration, ExeDigest, Grade, encoding};

#[test]
fn a_session_speaks_for_its_device() {
    let world = World::new();
    let session = world.session();
    for (counter, request) in [
        (1, Request::get()),
        (2, Request::put()),
        (0, Request::get()),
    ] {
        let caller = world
            .verify(&world.sign_under(&request, &session, counter))
            .unwrap();
        assert_eq!((caller.actor(), caller.owner()), (&AGENT, &OWNER));
        assert_eq!(caller.device(), Some(&world.device()));
        assert_eq!(caller.profile(), Profile::Session);
        assert_eq!(caller.nonce(), None);
        let hash = procura_crypto::sha256(session.session_id.as_bytes());
        assert_eq!(caller.session().unwrap()[..], hash[..16]);
    }
}

#[test]
fn answers_are_signed_for_one_request_of_the_session() {
    let world = World::new();
    let session = world.session();
    let key = MacKey::from_bytes(session.mac_key.expose()).unwrap();
    let answer = AnswerView {
        status: 200,
        content_type: "application/json",
        body: b"{}",
    };
    let tag = |counter| {
        let sent = world.sign_under(&Request::get(), &session, counter);
        let caller = world.verify(&sent).unwrap();
        caller.answering().unwrap().sign(&answer)
    };
    let (first, second) = (tag(1), tag(2));
    assert!(answer.is_signed(&key, 1, &first));
    assert!(answer.is_signed(&key, 2, &second));
    assert!(!answer.is_signed(&key, 2, &first));
    let by_key = world.verify(&world.sign(&Request::get())).unwrap();
    assert!(by_key.answering().is_none());
}

#[test]
fn a_session_opens_to_what_it_was_issued_for() {
    let world = World::new();
    let first = NOW.minus(Duration::from_secs(3600));
    let issued = world.issue(AUDIENCE, NOW, first);
    assert_eq!(issued.expires, NOW.plus(Duration::from_secs(600)));
    let opened = session::open(world.roots.as_ref(), &issued.session_id, AUDIENCE).unwrap();
    assert_eq!(
        opened.subject(),
        &Subject {
            actor: AGENT,
            device: world.device()
        }
    );
    assert_eq!(opened.first_issue(), first);
    assert_eq!(opened.expires(), issued.expires);
    assert_eq!(opened.directory_seq(), SEQ);
}

#[test]
fn the_id_is_laid_out_as_the_protocol_says() {
    let world = World::new();
    let issued = world.session();
    let raw = encoding::from_b64url("id", &issued.session_id).unwrap();
    assert_eq!(raw.len(), 1 + 4 + 16 + 88 + 16);
    assert_eq!(raw[..5], [1, 0, 0, 0, 7], "version and epoch");
    assert_ne!(
        raw[5..21],
        encoding::from_b64url("id", &world.session().session_id).unwrap()[5..21]
    );
    for part in [AGENT.as_bytes(), world.device().as_bytes()] {
        assert!(
            !raw.windows(32).any(|window| window == part),
            "the content is sealed"
        );
    }
}

#[test]
fn no_changed_id_opens() {
    let world = World::new();
    let issued = world.session();
    let raw = encoding::from_b64url("id", &issued.session_id).unwrap();
    let open = |raw: &[u8]| {
        session::open(world.roots.as_ref(), &encoding::b64url(raw), AUDIENCE).map(|_| ())
    };
    assert_eq!(open(&raw), Ok(()));
    for position in 0..raw.len() {
        let mut changed = raw.clone();
        changed[position] ^= 1;
        assert_eq!(
            open(&changed),
            Err(SessionFault::Unknown),
            "byte {position}"
        );
        assert_eq!(
            open(&raw[..position]),
            Err(SessionFault::Unknown),
            "{position} bytes"
        );
    }
    assert_eq!(
        open(&[raw.as_slice(), &[0]].concat()),
        Err(SessionFault::Unknown)
    );
}

#[test]
fn twelve_hours_from_the_first_issue_are_the_end() {
    let world = World::new();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let late = NOW.plus(hours(12)).minus(Duration::from_secs(5));
    assert_eq!(
        world.issue(AUDIENCE, late, NOW).expires,
        NOW.plus(hours(12))
    );
    let subject = Subject {
        actor: AGENT,
        device: world.device(),
    };
    let over = session::issue(
        world.roots.as_ref(),
        &subject,
        AUDIENCE,
        NOW.plus(hours(12)),
        NOW,
        SEQ,
        &world.entropy,
    );
    assert!(matches!(over, Err(IssueError::RenewalOver)));
}

#[test]
fn a_sealed_server_issues_none() {
    let world = World::new();
    *world.roots.0.lock().unwrap() = None;
    let subject = Subject {
        actor: AGENT,
        device: world.device(),
    };
    let roots = world.roots.as_ref();
    let sealed = session::issue(roots, &subject, AUDIENCE, NOW, NOW, SEQ, &world.entropy);
    assert!(matches!(sealed, Err(IssueError::Sealed)));
}

#[test]
fn forgotten_sessions_are_opened_anew() {
    let world = World::new();
    let session = world.session();
    assert!(
        world
            .verify(&world.sign_under(&Request::get(), &session, 1))
            .is_ok()
    );
    world.verifier.forget_sessions();
    assert!(
        world
            .verify(&world.sign_under(&Request::get(), &session, 2))
            .is_ok()
    );
    // Another root in the place of the one that it was opened with.
    let other = Roots::new(7, 99);
    let key = other.0.lock().unwrap().take();
    *world.roots.0.lock().unwrap() = key;
    world.verifier.forget_sessions();
    let refused = world
        .verify(&world.sign_under(&Request::get(), &session, 3))
        .unwrap_err();
    assert_eq!(refused.case, Case::SessionForeign);
}

#[test]
fn more_sessions_than_are_remembered_all_work() {
    let world = World::with_limits(procura_proof::Limits {
        nonces: 1,
        sessions: 5000,
    });
    let sessions: Vec<_> = (0..1500).map(|_| world.session()).collect();
    for counter in [1, 2] {
        for session in &sessions {
            let under = world.sign_under(&Request::get(), session, counter);
            assert!(world.verify(&under).is_ok());
        }
    }
}

/// What a daemon of the agent's device attested.
fn attestation(world: &World, revoked: Option<procura_types::Timestamp>) -> AttestationRecord {
    AttestationRecord {
        id: ATTESTED.id,
        device: world.device(),
        actor: AGENT,
        key: SigningKey::generate_ed25519(&world.entropy)
            .unwrap()
            .public()
            .clone(),
        exe_sha256: ExeDigest::from_bytes([1; 32]),
        version: "1".parse().unwrap(),
        target: "x".parse().unwrap(),
        pid: 1,
        boot_id: "b".parse().unwrap(),
        grade: Grade::SelfReported,
        quote: None,
        made: NOW,
        renewed: NOW,
        until: NOW.plus(Duration::from_secs(300)),
        revoked,
    }
}

const ATTESTED: Attested = Attested {
    id: AttestationId::from_bytes([6; 16]),
    grade: Grade::SelfReported,
};

#[test]
fn a_session_under_an_attestation_says_which_and_ends_with_it() {
    let mut world = World::new();
    let subject = Subject {
        actor: AGENT,
        device: world.device(),
    };
    let issued = |world: &World, attested: Attested| {
        let whose = (&subject, Some(&attested));
        let roots = world.roots.as_ref();
        session::issue_attested(roots, whose, AUDIENCE, NOW, NOW, SEQ, &world.entropy).unwrap()
    };
    let under = issued(&world, ATTESTED);
    let raw = encoding::from_b64url("id", &under.session_id).unwrap();
    assert_eq!(raw.len(), 1 + 4 + 16 + 88 + 17 + 16);
    let opened = session::open(world.roots.as_ref(), &under.session_id, AUDIENCE).unwrap();
    assert_eq!(opened.attested(), Some(&ATTESTED));
    let plain = world.session();
    let plain = session::open(world.roots.as_ref(), &plain.session_id, AUDIENCE).unwrap();
    assert_eq!(plain.attested(), None);
    // One that is not there is none.
    let ask = |world: &World, session: &session::Issued, counter| {
        let sent = world.sign_under(&Request::get(), session, counter);
        world.verify(&sent).map_err(|refusal| refusal.case)
    };
    assert_eq!(ask(&world, &under, 1).err(), Some(Case::SessionOver));
    let record = attestation(&world, None);
    world.apply([Change::Attestation(record)]);
    let caller = ask(&world, &under, 2).unwrap();
    assert_eq!(caller.attested(), Some(&ATTESTED));
    assert_eq!(ask(&world, &world.session(), 1).unwrap().attested(), None);
    // It says more than what it was started under is by now.
    let better = Attested {
        grade: Grade::Quoted,
        ..ATTESTED
    };
    let better = issued(&world, better);
    assert_eq!(ask(&world, &better, 1).err(), Some(Case::SessionOver));
    let record = attestation(&world, Some(NOW));
    world.apply([Change::Attestation(record)]);
    assert_eq!(ask(&world, &under, 3).err(), Some(Case::SessionOver));
    let id = ATTESTED.id;
    world.apply([Change::AttestationGone(id)]);
    assert_eq!(ask(&world, &under, 4).err(), Some(Case::SessionOver));
}
