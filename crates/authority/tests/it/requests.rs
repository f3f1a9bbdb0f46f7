use crate::world::{Failure, World, bank, change, item, project, shop};
use procura_authority::{
    AuthorityError, MAX_PENDING, REQUEST_LIFE, RequestCreate, RequestListing, RequestRead,
};
use procura_crypto::SystemEntropy;
use procura_policy::DenyReason;
use procura_types::wire::RequestState;
use procura_types::{Duration, RequestId, Role};
use std::sync::Mutex;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

#[tokio::test]
async fn the_same_question_is_one_request() {
    let (world, scribe) = World::new().await;
    let before = world
        .store()
        .log_len(procura_record::tables::LEDGER)
        .unwrap();
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    assert_eq!(world.run(&scribe, "web", &[]).await.unwrap().pending(), id);
    let same = world
        .run(&scribe, "web", &["DB_PASSWORD", "API_KEY", "HOME"])
        .await
        .unwrap()
        .pending();
    assert_eq!(same, id);
    let after = world
        .store()
        .log_len(procura_record::tables::LEDGER)
        .unwrap();
    assert_eq!(after - before, 1, "asking again leaves no trail");
    let other = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
    assert_ne!(other, id);

    let request = world.request(id);
    assert_eq!(
        request.items,
        [
            item("API_KEY", "api/key"),
            item("DB_PASSWORD", "db/password")
        ]
    );
    assert_eq!(request.lineage, "alice//scribe");
    assert_eq!(
        (request.agent, request.project),
        (scribe.id, project("web"))
    );
    assert_eq!(request.state, RequestState::Pending);
    assert_eq!(request.expires, request.created.plus(REQUEST_LIFE));
    assert!(request.already.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_ask_the_same_at_once_get_one_request() {
    let (world, scribe) = World::new().await;
    let permit = || {
        world
            .permit(&scribe, world.resolve(&scribe, "web", &[]).unwrap().ask())
            .ok()
            .unwrap()
    };
    let faster = Mutex::new(Some(permit()));
    let overtook = Mutex::new(None);
    let id = change(&world.recorder, permit(), |batch| {
        let id = RequestCreate::run(batch, world.now(), &SystemEntropy);
        // Another one asks and is done between this one's look and its commit.
        if let Some(permit) = faster.lock().unwrap().take() {
            let asked = block_in_place(|| Handle::current().block_on(world.ask(permit)));
            *overtook.lock().unwrap() = Some(asked.unwrap());
        }
        id
    })
    .await
    .unwrap();
    assert_eq!(Some(id), *overtook.lock().unwrap());
}

#[tokio::test]
async fn a_request_expires_and_is_asked_anew() {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    world.pass(REQUEST_LIFE - Duration::from_millis(1));
    assert_eq!(world.request(id).state, RequestState::Pending);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.request(id).state, RequestState::Expired);
    let next = world.run(&scribe, "web", &[]).await.unwrap().pending();
    assert_ne!(next, id);
    let terms = world.terms();
    let error = world
        .approve(&world.alice, id, &terms)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::RequestExpired));
    assert!(matches!(
        world.deny(&world.alice, id).await.unwrap_err().domain(),
        AuthorityError::RequestExpired
    ));
}

#[tokio::test]
async fn an_agent_has_a_hundred_requests_waiting_at_most() {
    let (world, scribe) = World::new().await;
    let mut first = None;
    for at in 0..MAX_PENDING {
        let name = format!("p{at}");
        world
            .project(&name, &["scribe"], &[("API_KEY", "api/key")])
            .await
            .unwrap();
        let id = world.run(&scribe, &name, &[]).await.unwrap().pending();
        first.get_or_insert(id);
    }
    let error = world.run(&scribe, "web", &[]).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::TooManyPending));
    world.deny(&world.alice, first.unwrap()).await.unwrap();
    world.run(&scribe, "web", &[]).await.unwrap().pending();
    // Another agent has room of its own, and so has this one when the rest expired.
    world.pass(REQUEST_LIFE);
    world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
}

#[tokio::test]
async fn whoever_the_project_stops_naming_cannot_ask() {
    let (world, scribe) = World::new().await;
    let permit = world
        .permit(&scribe, world.resolve(&scribe, "web", &[]).unwrap().ask())
        .ok()
        .unwrap();
    world
        .project("web", &[], &[("API_KEY", "api/key")])
        .await
        .unwrap();
    assert!(matches!(
        world.ask(permit).await.unwrap_err().domain(),
        AuthorityError::NotMember
    ));
    assert!(matches!(
        world.run(&scribe, "web", &[]).await.unwrap_err().domain(),
        AuthorityError::NoProject(_)
    ));
}

#[tokio::test]
async fn a_question_is_only_its_agents_own() {
    let (world, scribe) = World::new().await;
    let other = world.agent("other", None).await;
    let ask = world.resolve(&scribe, "web", &[]).unwrap().ask();
    assert_eq!(world.permit(&other, ask).err(), Some(DenyReason::NotMember));
    // Even another member cannot ask in its name.
    world
        .project("web", &["scribe", "other"], &[("API_KEY", "api/key")])
        .await
        .unwrap();
    let ask = world.resolve(&scribe, "web", &[]).unwrap().ask();
    let permit = world.permit(&other, ask).ok().unwrap();
    assert!(matches!(
        world.ask(permit).await,
        Err(Failure::Domain(AuthorityError::NotMember))
    ));
}

#[tokio::test]
async fn requests_are_read_by_operators_of_their_namespace() {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    let second = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .pending();
    let bob = world.operator("bob", &[(Role::Approver, &bank())]).await;
    for actor in [&bob, &scribe] {
        let read = RequestRead {
            namespace: shop(),
            id,
            agent: None,
        };
        assert_eq!(world.permit(actor, read).err(), Some(DenyReason::NoRole));
        let list = RequestListing {
            namespace: shop(),
            after: None,
            limit: None,
        };
        assert_eq!(world.permit(actor, list).err(), Some(DenyReason::NoRole));
    }
    // By its id in another namespace it does not exist.
    let elsewhere = world
        .permit(
            &bob,
            RequestRead {
                namespace: bank(),
                id,
                agent: None,
            },
        )
        .ok()
        .unwrap();
    let error =
        RequestRead::run(&elsewhere, &world.snapshot(), world.store(), world.now()).unwrap_err();
    assert!(matches!(error, AuthorityError::NoRequest));

    let page = |after: Option<RequestId>| {
        let op = RequestListing {
            namespace: shop(),
            after,
            limit: Some(1),
        };
        let permit = world.permit(&world.alice, op).ok().unwrap();
        RequestListing::run(&permit, &world.snapshot(), world.store(), world.now()).unwrap()
    };
    let one = page(None);
    assert_eq!(one.requests.len(), 1);
    assert_eq!(one.next, Some(one.requests[0].id));
    let two = page(one.next);
    assert_eq!(two.next, None);
    let mut listed = [one.requests[0].id, two.requests[0].id];
    listed.sort();
    let mut asked = [id, second];
    asked.sort();
    assert_eq!(listed, asked);
}
