use crate::records::{
    actor_id, agent, device, grant, grant_id, item, namespace, owner, revoked, roles, thumbprint,
    time,
};
use procura_directory::{ActorRecord, Change, Snapshot};
use procura_types::wire::GrantItem;
use procura_types::{Delivery, Label, Namespace, Role};

fn label(text: &str) -> Label {
    text.parse().unwrap()
}
fn shop() -> Namespace {
    "shop".parse().unwrap()
}

/// alice(1) > scribe(2) > task(3) > step(4); alice(1) > baker(5); bob(6).
fn tree() -> Snapshot {
    Snapshot::default().apply(
        7,
        [
            owner(1, "alice"),
            agent(2, 1, "scribe", 1),
            agent(3, 2, "task", 1),
            agent(4, 3, "step", 1),
            agent(5, 1, "baker", 1),
            owner(6, "bob"),
        ]
        .map(Change::Actor),
    )
}

#[test]
fn a_snapshot_keeps_what_it_was() {
    let before = tree();
    let after = before.apply(8, [Change::Actor(revoked(agent(2, 1, "scribe", 1)))]);
    assert_eq!((before.seq(), after.seq()), (7, 8));
    assert!(before.is_active(&actor_id(3)));
    assert!(!after.is_active(&actor_id(3)));
    let nothing = after.apply(9, []);
    assert_eq!(nothing.seq(), 9);
    assert!(!nothing.is_active(&actor_id(2)));
}

#[test]
fn lineage_and_depth_go_by_parents() {
    let snapshot = tree();
    for (number, lineage, depth) in [
        (1, "alice", 0),
        (2, "alice//scribe", 1),
        (4, "alice//scribe//task//step", 3),
        (5, "alice//baker", 1),
        (6, "bob", 0),
    ] {
        assert_eq!(snapshot.lineage(&actor_id(number)), lineage);
        assert_eq!(snapshot.depth(&actor_id(number)), depth, "{lineage}");
    }
    assert_eq!(snapshot.lineage(&actor_id(99)), "");
    assert_eq!(snapshot.depth(&actor_id(99)), 0);
    assert!(!snapshot.is_active(&actor_id(99)));
}

#[test]
fn a_subtree_is_the_actor_and_all_below() {
    let snapshot = tree();
    let below = |number| {
        let mut found = snapshot.subtree(&actor_id(number));
        found.sort();
        found
    };
    assert_eq!(below(2), [2, 3, 4].map(actor_id));
    assert_eq!(below(1), [1, 2, 3, 4, 5].map(actor_id));
    assert_eq!(below(6), [actor_id(6)]);
    assert_eq!(below(99), [actor_id(99)]);
}

#[test]
fn revocation_reaches_down_and_not_up() {
    let snapshot = tree().apply(8, [Change::Actor(revoked(agent(3, 2, "task", 1)))]);
    let active: Vec<u8> = (1..=6)
        .filter(|number| snapshot.is_active(&actor_id(*number)))
        .collect();
    assert_eq!(active, [1, 2, 5, 6]);
}

#[test]
fn sources_hold_downwards_and_not_up() {
    let held = |actor, sources: &[&str]| {
        let sources = sources.iter().map(|block| block.parse().unwrap());
        Change::Actor(ActorRecord {
            sources: sources.collect(),
            ..actor
        })
    };
    let changes = [
        held(agent(2, 1, "scribe", 1), &["10.0.0.0/8", "2001:db8::/32"]),
        held(agent(3, 2, "task", 1), &["10.1.0.0/16", "192.0.2.1"]),
    ];
    let snapshot = tree().apply(8, changes);
    let admitted = |address: &str| -> Vec<u8> {
        let address = address.parse().unwrap();
        (1..=7)
            .filter(|number| snapshot.admits(&actor_id(*number), address))
            .collect()
    };
    assert_eq!(admitted("10.1.2.3"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(admitted("::ffff:10.1.2.3"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(admitted("10.2.2.3"), [1, 2, 5, 6]);
    assert_eq!(admitted("2001:db8::1"), [1, 2, 5, 6]);
    // Where its parent may not be, a child may not be either.
    assert_eq!(admitted("192.0.2.1"), [1, 5, 6]);
}

#[test]
fn a_row_of_before_there_were_sources_is_read() {
    let actor = agent(2, 1, "scribe", 1);
    let text = serde_json::to_string(&actor).unwrap();
    assert!(!text.contains("sources"), "{text}");
    assert_eq!(serde_json::from_str::<ActorRecord>(&text).unwrap(), actor);
}

#[test]
fn a_label_comes_back_as_another_incarnation() {
    let snapshot = tree();
    assert_eq!(snapshot.last_incarnation(&shop(), &label("baker")), 1);
    assert_eq!(snapshot.last_incarnation(&shop(), &label("nobody")), 0);
    let elsewhere: Namespace = "bank".parse().unwrap();
    assert_eq!(snapshot.last_incarnation(&elsewhere, &label("baker")), 0);
    let gone = snapshot.apply(8, [Change::Actor(revoked(agent(5, 1, "baker", 1)))]);
    assert!(gone.agent_named(&shop(), &label("baker")).is_none());
    assert_eq!(gone.last_incarnation(&shop(), &label("baker")), 1);
    let again = gone.apply(9, [Change::Actor(agent(7, 1, "baker", 2))]);
    assert_eq!(
        again.agent_named(&shop(), &label("baker")).unwrap().id,
        actor_id(7)
    );
    assert_eq!(again.last_incarnation(&shop(), &label("baker")), 2);
    // What was revoked is still there, revoked.
    assert!(again.actor(&actor_id(5)).unwrap().revoked.is_some());
    assert!(again.agent_named(&elsewhere, &label("baker")).is_none());
}

#[test]
fn owners_are_found_by_name_while_they_live() {
    let snapshot = tree();
    assert_eq!(snapshot.owner_named(&label("bob")).unwrap().id, actor_id(6));
    assert!(snapshot.owner_named(&label("scribe")).is_none());
    let gone = snapshot.apply(8, [Change::Actor(revoked(owner(6, "bob")))]);
    assert!(gone.owner_named(&label("bob")).is_none());
    let again = gone.apply(9, [Change::Actor(owner(8, "bob"))]);
    assert_eq!(again.owner_named(&label("bob")).unwrap().id, actor_id(8));
}

#[test]
fn devices_come_in_the_order_of_joining() {
    let mut gone = device(11, 2);
    gone.revoked = Some(time(5));
    let snapshot = tree().apply(
        8,
        [device(12, 2), device(11, 2), device(13, 5), gone].map(Change::Device),
    );
    let of = |number| -> Vec<_> {
        snapshot
            .devices_of(&actor_id(number))
            .map(|device| (device.thumbprint, device.revoked.is_some()))
            .collect()
    };
    assert_eq!(of(2), [(thumbprint(12), false), (thumbprint(11), true)]);
    assert_eq!(of(5), [(thumbprint(13), false)]);
    assert_eq!(of(1), []);
}

#[test]
fn roles_are_held_where_they_were_given() {
    let snapshot = tree().apply(
        8,
        [Change::Roles(roles(
            1,
            &[(Role::Steward, None), (Role::Admin, Some("shop"))],
        ))],
    );
    let held = snapshot.roles(&actor_id(1)).unwrap();
    let bank: Namespace = "bank".parse().unwrap();
    assert!(held.has(Role::Steward, None));
    assert!(!held.has(Role::Steward, Some(&shop())));
    assert!(held.has(Role::Admin, Some(&shop())));
    assert!(!held.has(Role::Admin, Some(&bank)));
    assert!(!held.has(Role::Admin, None));
    assert!(snapshot.roles(&actor_id(6)).is_none());
}

#[test]
fn namespaces_are_listed_once() {
    let snapshot = Snapshot::default().apply(
        1,
        [namespace("shop"), namespace("bank"), namespace("shop")].map(Change::Namespace),
    );
    let mut names: Vec<_> = snapshot
        .namespaces()
        .map(|found| found.name.to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["bank", "shop"]);
    assert!(snapshot.namespace(&shop()).is_some());
    assert!(snapshot.namespace(&"dock".parse().unwrap()).is_none());
}

#[test]
fn a_covering_grant_is_one_grant_that_holds_for_all_of_it() {
    let (key, salt) = (item("KEY", "a/key"), item("SALT", "a/salt"));
    let snapshot = tree().apply(
        8,
        [
            Change::Grant(grant(1, 2, vec![key.clone()])),
            Change::Grant(grant(2, 2, vec![salt.clone()])),
            Change::Grant(grant(3, 5, vec![key.clone(), salt.clone()])),
        ],
    );
    let covering = |agent: u8, items: &[GrantItem], now: u64| {
        snapshot
            .covering_grant(
                &actor_id(agent),
                &shop(),
                &"web".parse().unwrap(),
                Delivery::Env,
                items,
                time(now),
            )
            .map(|grant| grant.id)
    };
    let both = [key.clone(), salt.clone()];
    assert_eq!(
        covering(2, std::slice::from_ref(&key), 15),
        Some(grant_id(1))
    );
    assert_eq!(
        covering(2, std::slice::from_ref(&salt), 15),
        Some(grant_id(2))
    );
    // Two grants do not add up, and a child has none of its parent's.
    assert_eq!(covering(2, &both, 15), None);
    assert_eq!(covering(3, std::slice::from_ref(&key), 15), None);
    assert_eq!(covering(5, &both, 15), Some(grant_id(3)));
    // From is in, until is out.
    let at = |now| covering(5, &both, now).is_some();
    assert_eq!([9, 10, 19, 20].map(at), [false, true, true, false]);
    let mut ended = grant(3, 5, vec![key, salt]);
    ended.withdrawn = Some(time(12));
    let after = snapshot.apply(9, [Change::Grant(ended)]);
    let web = "web".parse().unwrap();
    let found = after.covering_grant(&actor_id(5), &shop(), &web, Delivery::Env, &both, time(15));
    assert!(found.is_none());
    assert!(after.grant(&grant_id(3)).unwrap().withdrawn.is_some());
    assert_eq!(after.grants_of(&actor_id(5)).count(), 1);
}
