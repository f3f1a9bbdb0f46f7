//! What waits and what holds, as pages list it.

use crate::world::{World, shop};
use procura_authority::{GrantListing, REQUEST_LIFE, RequestListing};
use procura_types::wire::{GrantList, RequestList};
use procura_types::{Duration, GrantId, RequestId};

fn waiting(world: &World, after: Option<RequestId>, limit: usize) -> RequestList {
    let op = RequestListing {
        namespace: shop(),
        after,
        limit: Some(limit),
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    RequestListing::waiting(&permit, &world.snapshot(), world.store(), world.now()).unwrap()
}

fn holding(world: &World, after: Option<GrantId>, limit: usize) -> GrantList {
    let op = GrantListing {
        namespace: shop(),
        after,
        limit: Some(limit),
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    GrantListing::holding(&permit, &world.snapshot(), world.now())
}

/// More requests that were answered than are looked at in one go, and some that wait
/// between them, each a moment after the one before.
#[tokio::test]
async fn what_waits_is_found_among_what_was_answered() {
    let (world, scribe) = World::new().await;
    let mut left = Vec::new();
    for number in 0..300 {
        world.pass(Duration::from_millis(1));
        let names: &[&str] = if number % 100 == 99 {
            &["API_KEY", "DB_PASSWORD"]
        } else {
            &["API_KEY"]
        };
        let project = format!("p{number}");
        world
            .project(
                &project,
                &["scribe"],
                &[("API_KEY", "api/key"), ("DB_PASSWORD", "db/password")],
            )
            .await
            .unwrap();
        let id = world.run(&scribe, &project, names).await.unwrap().pending();
        if number % 100 == 99 {
            left.push(id);
        } else {
            world.deny(&world.alice, id).await.unwrap();
        }
    }
    let all = waiting(&world, None, 1000);
    let ids: Vec<_> = all.requests.iter().map(|request| request.id).collect();
    assert_eq!((&ids, all.next), (&left, None));
    let device = scribe.device();
    assert!(
        all.requests
            .iter()
            .all(|request| request.device == Some(device))
    );
    // Page by page, and the last says that it is.
    let first = waiting(&world, None, 2);
    assert_eq!((first.requests.len(), first.next), (2, Some(left[1])));
    let second = waiting(&world, first.next, 2);
    assert_eq!((second.requests.len(), second.next), (1, None));
    assert_eq!(second.requests[0].id, left[2]);
    // From when nobody answers any more, nothing waits.
    world.pass(REQUEST_LIFE);
    assert!(waiting(&world, None, 1000).requests.is_empty());
}

#[tokio::test]
async fn what_holds_is_listed_the_newest_first() {
    let (world, scribe) = World::new().await;
    let mut made = Vec::new();
    for name in ["one", "two", "three"] {
        world.pass(Duration::from_secs(1));
        world
            .project(name, &["scribe"], &[("API_KEY", "api/key")])
            .await
            .unwrap();
        let id = world.run(&scribe, name, &[]).await.unwrap().pending();
        let terms = world.terms();
        made.push(world.approve(&world.alice, id, &terms).await.unwrap().id);
    }
    let first = holding(&world, None, 2);
    let ids: Vec<_> = first.grants.iter().map(|grant| grant.id).collect();
    assert_eq!((ids, first.next), (vec![made[2], made[1]], Some(made[1])));
    let second = holding(&world, first.next, 2);
    assert_eq!((second.grants.len(), second.next), (1, None));
    assert_eq!(second.grants[0].id, made[0]);
    world.withdraw(made[1]).await.unwrap();
    let left: Vec<_> = holding(&world, None, 10).grants;
    let left: Vec<_> = left.iter().map(|grant| grant.id).collect();
    assert_eq!(left, [made[2], made[0]]);
    // A grant is for a day here.
    world.pass(Duration::from_secs(86_400));
    assert!(holding(&world, None, 10).grants.is_empty());
}
