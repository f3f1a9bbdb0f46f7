//! Ids of other systems: bound, enrolled, released, and the secrets that come with them.

use crate::world::{Actor, Failure, World, ed25519, label, namespace, p256, role};
use procura_directory::ForeignRecord;
use procura_identity::{
    AgentSecretRevoke, AgentSecretRotate, CODE_LIFE, EnrolComplete, EnrolStart, Enrolment,
    EnrolmentCode, ForeignBind, ForeignListing, ForeignRelease, IdentityError, JoinRefusal,
    NewSecret, SecretTerms, agent_secrets, count_agent_secrets,
};
use procura_policy::DenyReason;
use procura_proof::{Enrolling, verify_enrolment};
use procura_types::wire::ForeignIdentity;
use procura_types::{Duration, ForeignId, Role, encoding};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn id(text: &str) -> ForeignId {
    text.parse().unwrap()
}

fn terms() -> SecretTerms {
    SecretTerms::default()
}

async fn bind(
    world: &World,
    by: &Actor,
    place: &str,
    name: &str,
    agent: &str,
) -> Result<ForeignIdentity, Failure> {
    let op = ForeignBind {
        namespace: namespace(place),
        id: id(name),
        agent: label(agent),
    };
    let now = world.now();
    world
        .act(by, op, |batch| ForeignBind::run(batch, &terms(), now))
        .await
}

async fn release(world: &World, place: &str, name: &str) -> Result<(), Failure> {
    let op = ForeignRelease {
        namespace: namespace(place),
        id: id(name),
    };
    let now = world.now();
    world
        .act(&world.alice, op, |batch| ForeignRelease::run(batch, now))
        .await
}

async fn rotate(
    world: &World,
    by: &Actor,
    name: &str,
    invalidate: bool,
) -> Result<NewSecret, Failure> {
    let op = AgentSecretRotate::resolve(&world.snapshot(), &id(name), invalidate).unwrap();
    let now = world.now();
    world
        .act(by, op, |batch| {
            AgentSecretRotate::run(batch, &terms(), now, &procura_crypto::SystemEntropy)
        })
        .await
}

/// The texts of the secrets that are good now, the newest first.
fn good(world: &World, name: &str) -> Vec<String> {
    let secrets = agent_secrets(world.recorder.store(), &id(name), &terms(), world.now()).unwrap();
    let texts = secrets.texts.iter();
    texts.map(|text| text.expose().clone()).collect()
}

fn era(world: &World, name: &str) -> u64 {
    agent_secrets(world.recorder.store(), &id(name), &terms(), world.now())
        .unwrap()
        .era
}

fn listed(world: &World, place: &str) -> Vec<ForeignIdentity> {
    let op = ForeignListing {
        namespace: namespace(place),
        id: None,
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let store = world.recorder.store();
    ForeignListing::run(&permit, &world.snapshot(), store, &terms(), world.now())
        .unwrap()
        .ids
}

fn domain<T>(result: Result<T, Failure>) -> IdentityError {
    result.map(|_| ()).unwrap_err().domain()
}

#[tokio::test]
async fn an_id_stands_for_one_agent_of_the_installation() {
    let world = World::new().await;
    world.make_namespace("bank").await;
    let scribe = world.agent("scribe", None).await.unwrap();
    world.agent("baker", None).await.unwrap();
    let bound = bind(&world, &world.alice, "shop", "scribe-7", "scribe")
        .await
        .unwrap();
    assert_eq!((bound.actor_id, bound.device), (scribe.actor_id, None));
    assert_eq!((bound.revoked, bound.secrets.len()), (false, 0));
    // Once more to the same agent is nothing new.
    world.pass(Duration::from_secs(1));
    let again = bind(&world, &world.alice, "shop", "scribe-7", "scribe").await;
    assert_eq!(again.unwrap(), bound);
    let taken =
        |error| matches!(error, IdentityError::ForeignBound(taken) if taken == id("scribe-7"));
    let other = bind(&world, &world.alice, "shop", "scribe-7", "baker").await;
    assert!(taken(domain(other)));
    let op = procura_identity::AgentCreate {
        namespace: namespace("bank"),
        label: label("scribe"),
        parent: None,
    };
    world
        .act(&world.alice, op, |batch| {
            procura_identity::AgentCreate::run(batch, world.now())
        })
        .await
        .unwrap();
    let elsewhere = bind(&world, &world.alice, "bank", "scribe-7", "scribe").await;
    assert!(taken(domain(elsewhere)));
    // An agent can have more than one.
    bind(&world, &world.alice, "shop", "a", "scribe")
        .await
        .unwrap();
    let ids: Vec<String> = listed(&world, "shop")
        .iter()
        .map(|bound| bound.agent_id.to_string())
        .collect();
    assert_eq!(ids, ["a", "scribe-7"]);
    assert!(listed(&world, "bank").is_empty());
    let nobody = bind(&world, &world.alice, "shop", "b", "nobody").await;
    assert!(matches!(domain(nobody), IdentityError::NoAgent(_)));
}

#[tokio::test]
async fn a_released_id_is_free_and_nothing_of_it_is_left() {
    let world = World::new().await;
    world.make_namespace("bank").await;
    world.agent("scribe", None).await.unwrap();
    let baker = world.agent("baker", None).await.unwrap();
    bind(&world, &world.alice, "shop", "x", "scribe")
        .await
        .unwrap();
    rotate(&world, &world.alice, "x", false).await.unwrap();
    let before = era(&world, "x");
    for (place, name) in [("bank", "x"), ("shop", "y")] {
        let error = domain(release(&world, place, name).await);
        assert!(
            matches!(error, IdentityError::NoForeign(_)),
            "{place} {name}"
        );
    }
    release(&world, "shop", "x").await.unwrap();
    assert!(world.snapshot().foreign(&id("x")).is_none());
    assert!(good(&world, "x").is_empty() && era(&world, "x") > before);
    let error = domain(release(&world, "shop", "x").await);
    assert!(matches!(error, IdentityError::NoForeign(_)));
    let bound = bind(&world, &world.alice, "shop", "x", "baker")
        .await
        .unwrap();
    assert_eq!((bound.actor_id, bound.secrets.len()), (baker.actor_id, 0));
}

#[tokio::test]
async fn an_id_of_a_revoked_agent_has_to_be_released() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    bind(&world, &world.alice, "shop", "x", "scribe")
        .await
        .unwrap();
    world.revoke("scribe").await.unwrap();
    assert!(listed(&world, "shop")[0].revoked);
    let error = domain(rotate(&world, &world.alice, "x", false).await);
    assert!(matches!(error, IdentityError::NoForeign(_)));
    // The next incarnation of the label is another agent.
    world.agent("scribe", None).await.unwrap();
    let error = domain(bind(&world, &world.alice, "shop", "x", "scribe").await);
    assert!(matches!(error, IdentityError::ForeignBound(_)));
    release(&world, "shop", "x").await.unwrap();
    let bound = bind(&world, &world.alice, "shop", "x", "scribe").await;
    assert!(!bound.unwrap().revoked);
}

#[tokio::test]
async fn a_secret_is_good_for_97_days_and_beside_a_newer_one_for_seven() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    bind(&world, &world.alice, "shop", "x", "scribe")
        .await
        .unwrap();
    let made = world.now();
    let first = rotate(&world, &world.alice, "x", false).await.unwrap();
    let text = first.text.expose().clone();
    assert_eq!(encoding::from_b64url("secret", &text).unwrap().len(), 32);
    assert_eq!(first.ages.len(), 1);
    let age = &first.ages[0];
    assert_eq!((age.created, age.due), (made, made.plus(DAY * 90)));
    assert_eq!(age.ends, made.plus(DAY * 97));
    // Due and good still, to the last moment.
    world.pass(DAY * 97 - Duration::from_millis(1));
    assert_eq!(good(&world, "x"), std::slice::from_ref(&text));
    world.pass(Duration::from_millis(1));
    assert!(good(&world, "x").is_empty());

    // Two that go on beside each other.
    let old = rotate(&world, &world.alice, "x", false).await.unwrap();
    world.pass(DAY);
    let new = rotate(&world, &world.alice, "x", false).await.unwrap();
    assert_ne!(old.text.expose(), new.text.expose());
    let both = [new.text.expose().clone(), old.text.expose().clone()];
    assert_eq!(new.ages[1].ends, world.now().plus(DAY * 7));
    world.pass(DAY * 7 - Duration::from_millis(1));
    assert_eq!(good(&world, "x"), both);
    world.pass(Duration::from_millis(1));
    assert_eq!(good(&world, "x"), both[..1]);
    // A grace never makes an old one live longer than it would have.
    world.pass(DAY * 86);
    let next = rotate(&world, &world.alice, "x", false).await.unwrap();
    assert_eq!(next.ages[1].ends, next.ages[1].created.plus(DAY * 97));
}

#[tokio::test]
async fn asking_again_and_again_keeps_three_at_most() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    bind(&world, &world.alice, "shop", "x", "scribe")
        .await
        .unwrap();
    let mut made = Vec::new();
    for _ in 0..5 {
        let secret = rotate(&world, &world.alice, "x", false).await.unwrap();
        made.insert(0, secret.text.expose().clone());
        // The one that is exchanged first keeps its moment.
        world.pass(DAY);
    }
    assert_eq!(good(&world, "x"), made[..3]);
    let (store, now) = (world.recorder.store(), world.now());
    assert_eq!(count_agent_secrets(store, &terms(), now).unwrap(), 3);
    world.pass(DAY * 7);
    let now = world.now();
    assert_eq!(count_agent_secrets(store, &terms(), now).unwrap(), 1);
}

#[tokio::test]
async fn on_suspicion_the_old_ones_end_at_once() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    bind(&world, &world.alice, "shop", "x", "scribe")
        .await
        .unwrap();
    for _ in 0..2 {
        rotate(&world, &world.alice, "x", false).await.unwrap();
    }
    let before = era(&world, "x");
    let new = rotate(&world, &world.alice, "x", true).await.unwrap();
    assert_eq!(good(&world, "x"), [new.text.expose().clone()]);
    assert_eq!((new.ages.len(), era(&world, "x")), (1, before + 1));
    let op = AgentSecretRevoke {
        namespace: namespace("shop"),
        id: id("x"),
    };
    world
        .act(&world.alice, op, AgentSecretRevoke::run)
        .await
        .unwrap();
    assert!(good(&world, "x").is_empty());
    assert_eq!(era(&world, "x"), before + 2);
}

#[tokio::test]
async fn only_admins_bind_and_only_admins_and_the_agent_rotate() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let baker = world.agent_with_device("baker", None).await;
    let otto = world
        .operator("otto", &[role(Role::Auditor, Some("shop"))])
        .await;
    bind(&world, &world.alice, "shop", "x", "scribe")
        .await
        .unwrap();
    for who in [&otto, &scribe, &baker] {
        let no = bind(&world, who, "shop", "y", "scribe").await.unwrap_err();
        assert_eq!(no.denied(), DenyReason::NoRole);
    }
    rotate(&world, &scribe, "x", false).await.unwrap();
    for who in [&otto, &baker] {
        let no = rotate(&world, who, "x", false).await.map(|_| ());
        assert_eq!(no.unwrap_err().denied(), DenyReason::NoRole);
    }
}

async fn start(
    world: &World,
    agent: &str,
    make: bool,
    name: &str,
) -> Result<EnrolmentCode, Failure> {
    let op = EnrolStart {
        namespace: namespace("shop"),
        agent: label(agent),
        make,
        id: id(name),
    };
    let now = world.now();
    world
        .act(&world.alice, op, |batch| {
            EnrolStart::run(batch, now, &procura_crypto::SystemEntropy)
        })
        .await
}

fn code_sha256(code: &EnrolmentCode) -> [u8; 32] {
    procura_crypto::sha256(code.issued.code.expose())
}

/// Completes with a fresh key, which it returns.
async fn complete(world: &World, code: &EnrolmentCode) -> Result<(Actor, NewSecret), Failure> {
    let key = ed25519();
    let (snapshot, now) = (world.snapshot(), world.now());
    let store = world.recorder.store();
    let enrolment =
        Enrolment::resolve(store, &snapshot, code_sha256(code), now).map_err(Failure::Domain)?;
    let signature = encoding::b64url(&key.sign(enrolment.challenge().as_bytes()).unwrap());
    let enrolling = Enrolling {
        actor: enrolment.actor(),
        challenge: enrolment.challenge(),
        public_key: &encoding::b64url(key.public().as_bytes()),
        signature: &signature,
    };
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let (public, caller) = verify_enrolment(&enrolling, &snapshot, now, peer).unwrap();
    let id = *enrolment.actor();
    let made = crate::world::perform(&world.recorder, caller, enrolment.by(public), |batch| {
        EnrolComplete::run(batch, &terms(), now, &procura_crypto::SystemEntropy)
    })
    .await?;
    Ok((Actor { id, key }, made))
}

fn record(world: &World, name: &str) -> ForeignRecord {
    let snapshot = world.snapshot();
    snapshot.foreign(&id(name)).unwrap().as_ref().clone()
}

fn refusal<T>(result: Result<T, Failure>) -> JoinRefusal {
    match domain(result) {
        IdentityError::Join(refusal) => refusal,
        other => panic!("another failure: {other:?}"),
    }
}

#[tokio::test]
async fn enrolment_binds_key_id_and_secret_at_once_and_a_code_is_good_once() {
    let world = World::new().await;
    let scribe = world.agent("scribe", None).await.unwrap();
    let code = start(&world, "scribe", false, "scribe-7").await.unwrap();
    assert_eq!(code.issued.expires, world.now().plus(CODE_LIFE));
    // Nothing is bound before.
    assert!(world.snapshot().foreign(&id("scribe-7")).is_none());
    let (actor, made) = complete(&world, &code).await.unwrap();
    assert_eq!(actor.id, scribe.actor_id);
    let bound = record(&world, "scribe-7");
    assert_eq!(
        (bound.actor, bound.device),
        (scribe.actor_id, Some(actor.device()))
    );
    assert_eq!(good(&world, "scribe-7"), [made.text.expose().clone()]);
    assert_eq!(
        refusal(complete(&world, &code).await),
        JoinRefusal::UnknownCode
    );

    // Enrolled anew, the key and the secrets of before end.
    let code = start(&world, "scribe", false, "scribe-7").await.unwrap();
    let (next, newer) = complete(&world, &code).await.unwrap();
    assert_eq!(record(&world, "scribe-7").device, Some(next.device()));
    let snapshot = world.snapshot();
    assert!(snapshot.device(&actor.device()).unwrap().revoked.is_some());
    assert_eq!(good(&world, "scribe-7"), [newer.text.expose().clone()]);
    // With the id goes the key that it was enrolled with.
    release(&world, "shop", "scribe-7").await.unwrap();
    let snapshot = world.snapshot();
    assert!(snapshot.device(&next.device()).unwrap().revoked.is_some());
}

#[tokio::test]
async fn enrolment_can_make_its_agent() {
    let world = World::new().await;
    let code = start(&world, "agent-1", true, "agent-1").await.unwrap();
    let (actor, _) = complete(&world, &code).await.unwrap();
    let snapshot = world.snapshot();
    assert_eq!(snapshot.lineage(&actor.id), "alice//agent-1");
    let error = domain(start(&world, "agent-1", true, "other").await);
    assert!(matches!(error, IdentityError::LabelTaken(_)));
    let error = domain(start(&world, "nobody", false, "other").await);
    assert!(matches!(error, IdentityError::NoAgent(_)));
    world.agent("scribe", None).await.unwrap();
    let error = domain(start(&world, "scribe", false, "agent-1").await);
    assert!(matches!(error, IdentityError::ForeignBound(_)));
}

#[tokio::test]
async fn a_code_dies_with_its_time_its_maker_and_its_agent() {
    let world = World::new().await;
    world.agent("scribe", None).await.unwrap();
    let code = start(&world, "scribe", false, "x").await.unwrap();
    world.pass(CODE_LIFE);
    assert_eq!(
        refusal(complete(&world, &code).await),
        JoinRefusal::CodeExpired
    );

    let code = start(&world, "scribe", false, "x").await.unwrap();
    world.revoke("scribe").await.unwrap();
    assert_eq!(
        refusal(complete(&world, &code).await),
        JoinRefusal::ActorRevoked
    );

    // Bound to somebody else meanwhile.
    world.agent("scribe", None).await.unwrap();
    world.agent("baker", None).await.unwrap();
    let code = start(&world, "scribe", false, "x").await.unwrap();
    bind(&world, &world.alice, "shop", "x", "baker")
        .await
        .unwrap();
    let error = domain(complete(&world, &code).await);
    assert!(matches!(error, IdentityError::ForeignBound(_)));
    // That used nothing up.
    release(&world, "shop", "x").await.unwrap();
    complete(&world, &code).await.unwrap();
}

#[tokio::test]
async fn a_code_to_enrol_with_lets_no_device_join_and_the_other_way_round() {
    let world = World::new().await;
    let scribe = world.agent("scribe", None).await.unwrap();
    let code = start(&world, "scribe", false, "x").await.unwrap();
    let key = p256();
    let joined = world
        .join_as(code.issued.code.expose(), scribe.actor_id, &key)
        .await;
    assert_eq!(refusal(joined), JoinRefusal::UnknownCode);
    let link = world.agent_code("scribe").await.unwrap();
    let store = world.recorder.store();
    let hash = procura_crypto::sha256(link.code.expose());
    let found = Enrolment::resolve(store, &world.snapshot(), hash, world.now());
    let found = found.map(|_| ()).map_err(Failure::Domain);
    assert_eq!(refusal(found), JoinRefusal::UnknownCode);
}
