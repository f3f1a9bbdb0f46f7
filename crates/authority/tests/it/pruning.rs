//! What is over goes after its time, not a moment earlier, and the record says so.

use crate::flows::Ran;
use crate::world::{Actor, World, bank, project, shop};
use procura_authority::{
    AuthorityError, GrantRead, Pruning, REQUEST_KEPT, REQUEST_LIFE, RUN_KEPT, RequestListing,
    RequestRead, RunEnd, running_children,
};
use procura_crypto::SystemEntropy;
use procura_ledger::{Entry, SUMMARY};
use procura_record::tables::LEDGER;
use procura_types::{Duration, GrantId, RequestId, RunId, Timestamp};

const MS: Duration = Duration::from_millis(1);

/// A whole pass; how many rows it took away.
async fn prune(world: &World) -> u64 {
    let mut pass = Pruning::new(world.now(), [shop(), bank()]);
    let mut count = 0;
    for _ in 0..100 {
        match pass
            .step(world.store(), world.recorder.clock(), &SystemEntropy)
            .await
            .unwrap()
        {
            Some(more) => count += more,
            None => return count,
        }
    }
    panic!("the pass does not end");
}

fn exists(world: &World, id: RequestId) -> bool {
    let op = RequestRead::resolve(world.store(), shop(), id).unwrap();
    let permit = world.permit(&world.alice, op).ok().unwrap();
    match RequestRead::run(&permit, &world.snapshot(), world.store(), world.now()) {
        Ok(_) => true,
        Err(AuthorityError::NoRequest) => false,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn entries(world: &World, action: &str) -> Vec<Entry> {
    let length = usize::try_from(world.store().log_len(LEDGER).unwrap()).unwrap();
    world
        .store()
        .log_read(LEDGER, 0, length)
        .unwrap()
        .iter()
        .map(|entry| Entry::parse(entry.bytes.expose()).unwrap())
        .filter(|entry| entry.action == action)
        .collect()
}

async fn ask(world: &World, agent: &Actor, names: &[&str]) -> RequestId {
    world.run(agent, "web", names).await.unwrap().pending()
}

fn list(world: &World, after: Option<RequestId>, limit: usize) -> Vec<RequestId> {
    let op = RequestListing {
        namespace: shop(),
        after,
        limit: Some(limit),
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let page = RequestListing::run(&permit, &world.snapshot(), world.store(), world.now()).unwrap();
    page.requests.iter().map(|request| request.id).collect()
}

#[tokio::test]
async fn answered_and_expired_requests_go_ninety_days_later() {
    let (world, scribe) = World::new().await;
    let approved = ask(&world, &scribe, &["DB_PASSWORD"]).await;
    world.pass(MS);
    let denied = ask(&world, &scribe, &["API_KEY"]).await;
    world.pass(MS);
    let expired = ask(&world, &scribe, &[]).await;
    world.pass(MS);
    let terms = world.terms();
    let grant = world.approve(&world.alice, approved, &terms).await.unwrap();
    let first = world.now();
    world.pass(Duration::from_secs(60));
    world.deny(&world.alice, denied).await.unwrap();
    let second = world.now();

    world.pass(REQUEST_KEPT - Duration::from_secs(60) - MS);
    assert_eq!(prune(&world).await, 0, "a moment before");
    world.pass(MS);
    assert_eq!(prune(&world).await, 1, "exactly then");
    assert!(!exists(&world, approved) && exists(&world, denied) && exists(&world, expired));
    world.pass(Duration::from_secs(60));
    assert_eq!(prune(&world).await, 1);
    assert!(!exists(&world, denied) && exists(&world, expired));
    assert_eq!(list(&world, None, 10), [expired]);
    world.pass(REQUEST_LIFE);
    assert_eq!(prune(&world).await, 1);
    assert!(!exists(&world, expired));
    assert_eq!(list(&world, None, 10), []);
    assert_eq!(prune(&world).await, 0);

    // The grant and its receipt stay, and whatever was answered stays answered.
    let op = GrantRead {
        namespace: shop(),
        id: grant.id,
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let found = GrantRead::run(&permit, &world.snapshot()).unwrap();
    assert_eq!(found.receipt.signature, grant.receipt.signature);
    let error = world.deny(&world.alice, approved).await.unwrap_err();
    assert!(matches!(error.domain(), AuthorityError::NoRequest));

    // One entry for each batch, of its namespace, with the times of the answers.
    let said: Vec<_> = entries(&world, "request.prune")
        .into_iter()
        .map(|entry| {
            assert_eq!(entry.reason.as_deref(), Some(SUMMARY));
            assert_eq!(entry.namespace, Some(shop()));
            assert_eq!(entry.resource.as_deref(), Some("namespace/shop"));
            assert_eq!((entry.actor, entry.profile.as_ref()), (None, "none"));
            let summary = entry.summary.unwrap();
            (summary.count, summary.from, summary.until)
        })
        .collect();
    assert_eq!(said[..2], [(1, first, first), (1, second, second)]);
    assert_eq!(said.len(), 3);
}

#[tokio::test]
async fn an_agent_can_ask_again_after_what_it_left_unanswered_went() {
    let (world, scribe) = World::new().await;
    let id = ask(&world, &scribe, &[]).await;
    world.pass(REQUEST_LIFE + REQUEST_KEPT);
    assert_eq!(prune(&world).await, 1);
    let again = ask(&world, &scribe, &[]).await;
    assert_ne!(again, id);
    assert_eq!(
        ask(&world, &scribe, &[]).await,
        again,
        "it is found waiting"
    );
    assert_eq!(prune(&world).await, 0);
    let terms = world.terms();
    world.approve(&world.alice, again, &terms).await.unwrap();
}

#[tokio::test]
async fn many_go_in_bounded_batches_and_pages_go_on() {
    let (world, scribe) = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..300 {
        let id = ask(&world, &scribe, &["API_KEY"]).await;
        world.deny(&world.alice, id).await.unwrap();
        ids.push(id);
        world.pass(MS);
    }
    let page = list(&world, None, 200);
    assert_eq!(page, ids[..200]);
    // The first 290 are over.
    world.pass(REQUEST_KEPT - Duration::from_millis(10));
    assert_eq!(prune(&world).await, 290 + 1);
    let counts: Vec<u64> = entries(&world, "request.prune")
        .iter()
        .map(|entry| entry.summary.unwrap().count)
        .collect();
    assert_eq!(counts, [256, 35]);
    // Whoever was in the middle of the list finds the rest of it.
    assert_eq!(list(&world, page.last().copied(), 200), ids[291..]);
    assert_eq!(list(&world, None, 5), ids[291..296]);
}

async fn granted(world: &World, scribe: &Actor) -> GrantId {
    let id = ask(world, scribe, &[]).await;
    let from = world.now();
    let terms = crate::flows::Terms {
        names: None,
        from,
        until: from.plus(Duration::from_secs(300 * 24 * 60 * 60)),
    };
    world.approve(&world.alice, id, &terms).await.unwrap().id
}

async fn end(world: &World, scribe: &Actor, run: RunId) {
    let op = RunEnd::resolve(world.store(), &shop(), &project("web"), run).unwrap();
    world
        .act(scribe, op.unwrap(), |batch| RunEnd::run(batch, world.now()))
        .await
        .unwrap();
}

#[tokio::test]
async fn ended_runs_go_thirty_days_later_and_running_ones_stay() {
    let (world, scribe) = World::new().await;
    let grant = granted(&world, &scribe).await;
    let runs = async || {
        world
            .run(&scribe, "web", &[])
            .await
            .map(|ran| Ran::run(&ran))
    };
    let short = runs().await.unwrap();
    world.pass(MS);
    let long = runs().await.unwrap();
    end(&world, &scribe, short).await;
    let ended: Timestamp = world.now();
    world.pass(RUN_KEPT - MS);
    assert_eq!(prune(&world).await, 0, "a moment before");
    world.pass(MS);
    assert_eq!(prune(&world).await, 1, "exactly then");
    let found = |run| {
        RunEnd::resolve(world.store(), &shop(), &project("web"), run)
            .unwrap()
            .is_some()
    };
    assert!(!found(short) && found(long));
    let children = running_children(world.store(), &shop(), &grant).unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].run, long);
    // It ends late, and its time counts from there.
    end(&world, &scribe, long).await;
    assert_eq!(prune(&world).await, 0);
    world.pass(RUN_KEPT);
    assert_eq!(prune(&world).await, 1);
    let said = entries(&world, "run.prune");
    assert_eq!(said.len(), 2);
    let summary = said[0].summary.unwrap();
    assert_eq!((summary.count, summary.from), (1, ended));
}
