//! Which policies count where, and what is made of them.

use procura_directory::{Change, PolicyRecord, PolicyVersion, Snapshot};
use procura_types::{ActorId, Namespace, Scope, Timestamp};
use std::sync::Arc;

fn shop() -> Namespace {
    "shop".parse().unwrap()
}

fn version(number: u32) -> PolicyVersion {
    PolicyVersion {
        version: number,
        digest: vec![7; 32],
        since: Timestamp::from_millis(1),
        by: ActorId::from_bytes([1; 32]),
    }
}

fn put(
    snapshot: &Snapshot,
    namespace: Option<Namespace>,
    enforce: Option<u32>,
    observe: Option<u32>,
) -> Snapshot {
    let record = PolicyRecord {
        namespace,
        enforce: enforce.map(version),
        observe: observe.map(version),
    };
    snapshot.apply(snapshot.seq() + 1, [Change::Policies(record)])
}

#[test]
fn policies_count_in_their_scope_until_nothing_does() {
    let none = Snapshot::default();
    assert!(!none.has_policies());
    let one = put(&none, Some(shop()), Some(1), None);
    assert!(one.has_policies() && !none.has_policies());
    assert!(one.policies(None).is_none());
    assert!(one.policies(Some(&"bank".parse().unwrap())).is_none());
    let found = one.policies(Some(&shop())).unwrap();
    assert_eq!(found.enforce.as_ref().unwrap().version(), &version(1));
    assert!(found.observe.is_none());
    let both = put(&one, None, None, Some(4));
    let scopes: Vec<Scope> = both.all_policies().map(|(scope, _)| scope).collect();
    assert_eq!(scopes, [Scope::Installation, Scope::Namespace(shop())]);
    let one = put(&both, None, None, None);
    assert!(one.policies(None).is_none() && one.has_policies());
    assert!(!put(&one, Some(shop()), None, None).has_policies());
}

#[test]
fn what_was_made_of_a_version_stays_with_it_and_with_no_other() {
    let one = put(&Snapshot::default(), Some(shop()), Some(1), None);
    let of = |snapshot: &Snapshot| {
        let found = snapshot.policies(Some(&shop())).unwrap();
        Arc::clone(found.enforce.as_ref().unwrap())
    };
    assert!(of(&one).made().is_none());
    of(&one).keep(Arc::new("made"));
    // Of several who make it the first one counts.
    let kept = of(&one);
    let made = kept.keep(Arc::new("again"));
    assert_eq!(made.downcast_ref::<&str>(), Some(&"made"));
    let beside = put(&one, Some(shop()), Some(1), Some(2));
    assert!(of(&beside).made().is_some());
    let other = put(&beside, Some(shop()), Some(3), Some(2));
    assert!(of(&other).made().is_none());
}
