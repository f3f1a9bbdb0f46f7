//! Services: seen before they are replaced, and each turn of a dial is in the record.

use crate::pruning::entries;
use crate::world::{Failure, World, bank, label, shop};
use procura_authority::{
    AuthorityError, MAX_SERVICES, ServiceListing, ServiceRead, ServiceRemove, ServiceWrite,
};
use procura_policy::DenyReason;
use procura_types::wire::Service;
use procura_types::{Duration, Namespace, Role};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn write(name: &str, expect_version: u64, mode: &str) -> ServiceWrite {
    write_in(&shop(), name, expect_version, mode)
}

fn write_in(namespace: &Namespace, name: &str, expect_version: u64, mode: &str) -> ServiceWrite {
    ServiceWrite {
        namespace: namespace.clone(),
        name: label(name),
        expect_version,
        mode: Some(mode.parse().unwrap()),
        routes: from(json!([])),
        exceptions: from(json!([])),
        gates: Vec::new(),
        hmac_v1: None,
    }
}

fn remove(name: &str, expect_version: u64) -> ServiceRemove {
    ServiceRemove {
        namespace: shop(),
        name: label(name),
        expect_version,
    }
}

async fn put(world: &World, op: ServiceWrite) -> Result<Service, Failure> {
    world
        .act(&world.alice, op, |batch| {
            ServiceWrite::run(batch, world.now())
        })
        .await
}

async fn take(world: &World, op: ServiceRemove) -> Result<(), Failure> {
    world.act(&world.alice, op, ServiceRemove::run).await
}

fn read(world: &World, name: &str) -> Result<Service, AuthorityError> {
    let op = ServiceRead {
        namespace: shop(),
        name: label(name),
    };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    ServiceRead::run(&permit, &world.snapshot(), world.store())
}

fn list(world: &World, namespace: Namespace) -> Vec<String> {
    let op = ServiceListing { namespace };
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let list = ServiceListing::run(&permit, &world.snapshot(), world.store()).unwrap();
    let names = list.services.iter().map(|service| service.name.to_string());
    names.collect()
}

/// What the record says of changes of services, oldest first.
fn said(world: &World) -> Vec<String> {
    let entries = entries(world, "service.write").into_iter();
    entries.map(|entry| entry.resource.unwrap()).collect()
}

#[tokio::test]
async fn a_service_is_made_replaced_read_listed_and_removed() {
    let (world, _) = World::new().await;
    let made = put(&world, write("web", 0, "off")).await.unwrap();
    assert_eq!(read(&world, "web").unwrap(), made);
    world.pass(Duration::from_secs(1));
    let turned = put(&world, write("web", made.version, "observe"))
        .await
        .unwrap();
    assert!(turned.version > made.version);
    assert_eq!(
        (turned.created, turned.updated),
        (made.created, world.now())
    );
    put(&world, write("api", 0, "enforce")).await.unwrap();
    put(&world, write_in(&bank(), "till", 0, "off"))
        .await
        .unwrap();
    assert_eq!(list(&world, shop()), ["api", "web"]);
    assert_eq!(list(&world, bank()), ["till"]);

    take(&world, remove("web", turned.version)).await.unwrap();
    let gone = read(&world, "web").unwrap_err();
    assert!(matches!(gone, AuthorityError::NoService(name) if name == label("web")));
    let gone = take(&world, remove("web", turned.version)).await;
    assert!(matches!(
        gone.unwrap_err().domain(),
        AuthorityError::NoService(_)
    ));
    assert_eq!(list(&world, shop()), ["api"]);
}

#[tokio::test]
async fn nobody_replaces_or_removes_what_they_have_not_seen() {
    let (world, _) = World::new().await;
    let first = put(&world, write("web", 0, "off")).await.unwrap().version;
    let second = put(&world, write("web", first, "enforce"))
        .await
        .unwrap()
        .version;
    let stale = async |op| match put(&world, op).await.unwrap_err().domain() {
        AuthorityError::ServiceVersion { expected, latest } => (expected, latest),
        other => panic!("{other}"),
    };
    assert_eq!(stale(write("web", first, "off")).await, (first, second));
    assert_eq!(stale(write("web", 0, "off")).await, (0, second));
    assert_eq!(stale(write("new", 7, "off")).await, (7, 0));
    let error = take(&world, remove("web", first)).await.unwrap_err();
    assert!(matches!(
        error.domain(),
        AuthorityError::ServiceVersion { .. }
    ));
    assert_eq!(read(&world, "web").unwrap().version, second);

    // What is made anew under the name is another: who saw the old one has not seen it.
    take(&world, remove("web", second)).await.unwrap();
    let again = put(&world, write("web", 0, "observe")).await.unwrap();
    assert!(again.version > second);
    assert_eq!(
        stale(write("web", second, "off")).await,
        (second, again.version)
    );
}

#[tokio::test]
async fn the_record_names_what_it_was_and_what_it_is() {
    let (world, _) = World::new().await;
    let mut op = write("web", 0, "observe");
    op.routes = from(json!([
        {"prefix": "/upload", "stream": true},
        {"prefix": "/admin", "mode": "enforce"},
    ]));
    op.exceptions = from(json!([
        {"agent": "probe", "route": "/a,b", "reason": "never signs", "until": "2026-12-01T00:00:00Z"},
    ]));
    let version = put(&world, op).await.unwrap().version;
    let mut op = write("web", version, "enforce");
    op.routes = from(json!([
        {"prefix": "/upload", "mode": "off", "stream": false, "danger_unsigned_body": true},
    ]));
    op.exceptions = from(json!([{"route": "/a,b", "reason": "other"}]));
    let version = put(&world, op).await.unwrap().version;
    let mut same = write("web", version, "enforce");
    let stored = read(&world, "web").unwrap();
    (same.routes, same.exceptions) = (stored.routes, stored.exceptions);
    let version = put(&world, same).await.unwrap().version;
    take(&world, remove("web", version)).await.unwrap();
    assert_eq!(
        said(&world),
        [
            "service/web added mode:none>observe /admin:none>enforce /upload#stream:none>true \
             excepted:+probe,2026-12-01T00:00:00.000Z,/a,b",
            "service/web changed mode:observe>enforce /admin:enforce>none /upload:none>off \
             /upload#stream:true>false /upload#danger_unsigned_body:none>true \
             excepted:-probe,2026-12-01T00:00:00.000Z,/a,b excepted:+*,*,/a,b",
            "service/web changed",
            "service/web removed mode:enforce>none /upload:off>none /upload#stream:false>none \
             /upload#danger_unsigned_body:true>none excepted:-*,*,/a,b",
        ]
    );
    let entries = entries(&world, "service.write");
    assert!(
        entries.iter().all(|entry| {
            entry.namespace == Some(shop()) && entry.actor == Some(world.alice.id)
        })
    );
}

#[tokio::test]
async fn the_largest_service_that_can_be_said_fits_into_row_and_record() {
    let (world, _) = World::new().await;
    let large = |letter: char, version| {
        let prefix = |number| format!("/{letter}{number:02}{}", letter.to_string().repeat(60));
        let routes: Vec<Value> = (0..64)
            .map(|number| {
                json!({"prefix": prefix(number), "mode": "observe", "stream": false, "danger_unsigned_body": false})
            })
            .collect();
        let exceptions: Vec<Value> = (0..32)
            .map(|number| {
                let agent = format!("{letter}{number:02}{}", "x".repeat(61));
                let reason = "\\\u{ffff}".repeat(100);
                json!({"agent": agent, "route": prefix(number), "reason": reason, "until": "2026-12-01T00:00:00Z"})
            })
            .collect();
        ServiceWrite {
            routes: from(Value::Array(routes)),
            exceptions: from(Value::Array(exceptions)),
            ..write("web", version, "enforce")
        }
    };
    let version = put(&world, large('a', 0)).await.unwrap().version;
    put(&world, large('b', version)).await.unwrap();
    let lengths: Vec<usize> = said(&world).iter().map(String::len).collect();
    assert!(lengths[1] > 20_000, "{lengths:?}");
}

#[tokio::test]
async fn a_namespace_has_at_most_so_many() {
    let (world, _) = World::new().await;
    for number in 0..MAX_SERVICES {
        put(&world, write(&format!("s{number}"), 0, "off"))
            .await
            .unwrap();
    }
    let error = put(&world, write("more", 0, "off")).await.unwrap_err();
    assert!(matches!(error.domain(), AuthorityError::TooManyServices));
    // Another namespace has room, and so has this one once there is a place.
    put(&world, write_in(&bank(), "more", 0, "off"))
        .await
        .unwrap();
    let version = read(&world, "s7").unwrap().version;
    put(&world, write("s7", version, "observe")).await.unwrap();
    let version = read(&world, "s7").unwrap().version;
    take(&world, remove("s7", version)).await.unwrap();
    put(&world, write("more", 0, "off")).await.unwrap();
}

#[tokio::test]
async fn of_two_who_saw_the_same_version_one_is_refused() {
    let (world, _) = World::new().await;
    let version = put(&world, write("web", 0, "off")).await.unwrap().version;
    let (one, two) = tokio::join!(
        put(&world, write("web", version, "observe")),
        put(&world, write("web", version, "enforce")),
    );
    let refused = match (&one, &two) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        refused,
        Failure::Domain(AuthorityError::ServiceVersion { .. })
    ));
    let kept = one.or(two).ok().unwrap();
    assert_eq!(read(&world, "web").unwrap(), kept);
    assert_eq!(said(&world).len(), 2);
}

#[tokio::test]
async fn dials_are_turned_by_the_admins_of_their_namespace() {
    let (world, scribe) = World::new().await;
    let bob = world
        .operator("bob", &[(Role::Admin, &bank()), (Role::Auditor, &shop())])
        .await;
    for who in [&bob, &scribe] {
        let denied = [
            world.permit(who, write("web", 0, "off")).err(),
            world.permit(who, remove("web", 1)).err(),
        ];
        assert_eq!(denied, [Some(DenyReason::NoRole); 2]);
    }
    let read = || ServiceRead {
        namespace: shop(),
        name: label("web"),
    };
    assert!(world.permit(&bob, read()).is_ok());
    assert_eq!(
        world.permit(&scribe, read()).err(),
        Some(DenyReason::NoRole)
    );
    let list = ServiceListing { namespace: shop() };
    assert_eq!(world.permit(&scribe, list).err(), Some(DenyReason::NoRole));
}

#[tokio::test]
async fn to_let_a_weak_profile_in_stands_in_the_record() {
    let (world, _) = World::new().await;
    let with = |version, hmac_v1: Value| ServiceWrite {
        hmac_v1: from(hmac_v1),
        ..write("web", version, "enforce")
    };
    let added = put(&world, write("web", 0, "enforce")).await.unwrap();
    assert_eq!(added.hmac_v1, None);
    let terms = json!({"window_seconds": 30, "nonce_required": true});
    let on = put(&world, with(added.version, terms.clone()))
        .await
        .unwrap();
    assert_eq!(on.hmac_v1, from(terms));
    assert_eq!(read(&world, "web").unwrap(), on);
    let wider = put(&world, with(on.version, json!({}))).await.unwrap();
    put(&world, with(wider.version, Value::Null)).await.unwrap();
    let said = said(&world);
    let words: Vec<&str> = said
        .iter()
        .map(|resource| resource.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(
        words,
        [
            "added mode:none>enforce",
            "changed hmac_v1:none>30s,nonce",
            "changed hmac_v1:30s,nonce>60s",
            "changed hmac_v1:60s>none",
        ]
    );
}
