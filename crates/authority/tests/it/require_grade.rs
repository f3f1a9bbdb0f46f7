//! What a project requires of daemons: asked before anything is looked up, and once more at
//! every decision.

use crate::world::{Actor, Failure, World, project, shop};
use procura_authority::{
    Attesting, AuthorityError, Matched, ProjectRequireGrade, ProjectWrite, RunDeliver, RunQuery,
};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::AttestationRecord;
use procura_policy::{DenyReason, Permit, authorize};
use procura_proof::Caller;
use procura_proof::session::Attested;
use procura_types::{AttestationId, Delivery, Duration, ExeDigest, Grade, RunId};

const ID: AttestationId = AttestationId::from_bytes([5; 16]);

async fn require(world: &World, name: &str, grade: Option<Grade>) -> Result<(), Failure> {
    let op = ProjectRequireGrade {
        namespace: shop(),
        name: project(name),
        grade,
    };
    world
        .act(&world.alice, op, |batch| {
            ProjectRequireGrade::run(batch, world.now())
        })
        .await
        .map(drop)
}

/// Puts the attestation of the agent's daemon, or ends it.
async fn attest(world: &World, agent: &Actor, is_revoked: bool) {
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let now = world.now();
    let record = AttestationRecord {
        id: ID,
        device: agent.device(),
        actor: agent.id,
        key: key.public().clone(),
        exe_sha256: ExeDigest::from_bytes([1; 32]),
        version: "1".parse().unwrap(),
        target: "x".parse().unwrap(),
        pid: 1,
        boot_id: "b".parse().unwrap(),
        grade: Grade::SelfReported,
        quote: None,
        made: now,
        renewed: now,
        until: now.plus(Duration::from_secs(3600)),
        revoked: is_revoked.then_some(now),
    };
    let carrier = ProjectWrite {
        namespace: shop(),
        name: project("carrier"),
        agents: Vec::new(),
        env: std::collections::BTreeMap::new(),
    };
    world
        .act(&world.alice, carrier, |batch| {
            batch.put_attestation(&record);
            ProjectWrite::run(batch, now)
        })
        .await
        .unwrap();
}

fn attested(world: &World, agent: &Actor) -> Caller {
    world.caller(agent).attested_as(Attested {
        id: ID,
        grade: Grade::SelfReported,
    })
}

fn matched(world: &World, agent: &Actor, has: Option<Grade>) -> Result<Matched, AuthorityError> {
    let query = RunQuery {
        namespace: shop(),
        project: project("web"),
        names: vec!["NO_SUCH_NAME".to_owned(), "API_KEY".to_owned()],
        delivery: Delivery::Env,
        report: None,
        attesting: Attesting::With(has),
    };
    let (vault, snapshot) = (&world.vault, world.snapshot());
    Matched::resolve(vault, &snapshot, &agent.id, query, world.now())
}

fn permit(
    world: &World,
    caller: Caller,
    matched: &Matched,
) -> Result<Permit<RunDeliver>, DenyReason> {
    let run = RunId::generate(world.now(), &SystemEntropy).unwrap();
    let decider = world.recorder.decider();
    let op = matched.deliver(run);
    authorize(decider, &world.snapshot(), caller, op, world.now())
        .map_err(|(denied, ..)| denied.reason)
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_looked_up() {
    let (world, scribe) = World::new().await;
    require(&world, "web", Some(Grade::SignedRelease))
        .await
        .unwrap();
    for has in [None, Some(Grade::SelfReported)] {
        let refused = matched(&world, &scribe, has).unwrap_err();
        let AuthorityError::AttestationRequired { needs, has: found } = refused else {
            panic!("another failure: {refused:?}");
        };
        assert_eq!((needs, found), (Grade::SignedRelease, has));
    }
    for has in [Grade::SignedRelease, Grade::Quoted] {
        let found = matched(&world, &scribe, Some(has)).unwrap();
        assert_eq!(found.unmatched().len(), 1);
    }
    // To an agent that has no part in it there is no such project.
    let stranger = world.agent("stranger", None).await;
    let none = matched(&world, &stranger, None).unwrap_err();
    assert!(matches!(none, AuthorityError::NoProject(_)), "{none:?}");
    // Making it anew asks for the same.
    world
        .project("web", &["scribe"], &[("API_KEY", "api/key")])
        .await
        .unwrap();
    assert!(matched(&world, &scribe, None).is_err());
    require(&world, "web", None).await.unwrap();
    assert!(matched(&world, &scribe, None).is_ok());
}

#[tokio::test]
async fn the_keys_of_other_systems_clients_take_no_grade() {
    let (world, _) = World::new().await;
    world.project("keys", &["scribe"], &[]).await.unwrap();
    let refused = require(&world, "keys", Some(Grade::SelfReported)).await;
    let Err(Failure::Domain(AuthorityError::KeysTakeNoGrade)) = refused else {
        panic!("not refused: {refused:?}");
    };
    require(&world, "keys", None).await.unwrap();
    let none = require(&world, "none", None).await;
    assert!(matches!(
        none,
        Err(Failure::Domain(AuthorityError::NoProject(_)))
    ));
}

#[tokio::test]
async fn what_was_revoked_meanwhile_is_handed_nothing() {
    let (world, scribe) = World::new().await;
    let id = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
    let terms = world.terms();
    world.approve(&world.alice, id, &terms).await.unwrap();
    require(&world, "web", Some(Grade::SelfReported))
        .await
        .unwrap();
    attest(&world, &scribe, false).await;
    let found = matched(&world, &scribe, Some(Grade::SelfReported)).unwrap();
    let no = DenyReason::Attestation {
        needs: Grade::SelfReported,
    };
    // The decision looks for itself, whatever was said before.
    assert_eq!(
        permit(&world, world.caller(&scribe), &found).err(),
        Some(no)
    );
    let permitted = permit(&world, attested(&world, &scribe), &found).unwrap();
    world.deliver(permitted).await.unwrap();
    // Revoked between the decision and the record of it.
    let permitted = permit(&world, attested(&world, &scribe), &found).unwrap();
    attest(&world, &scribe, true).await;
    let refused = world.deliver(permitted).await;
    assert!(
        matches!(refused, Err(Failure::Denied(reason)) if reason == no),
        "{refused:?}"
    );
    // Nor is anything asked for in its name.
    let ask = matched(&world, &scribe, Some(Grade::SelfReported))
        .unwrap()
        .ask();
    let decider = world.recorder.decider();
    let caller = attested(&world, &scribe);
    let asked = authorize(decider, &world.snapshot(), caller, ask, world.now());
    assert_eq!(asked.map_err(|refused| refused.0.reason).err(), Some(no));
}
