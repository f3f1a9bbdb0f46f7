use crate::flows::{Ran, Terms};
use crate::world::{Actor, World, bank, item, label, project, shop};
use procura_authority::{AuthorityError, GrantListing, GrantRead, RunEnd, running_children};
use procura_crypto::SystemEntropy;
use procura_identity::AgentRevoke;
use procura_policy::DenyReason;
use procura_types::{Duration, GrantId, RunId};

async fn granted() -> (World, Actor, GrantId) {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    let terms = world.terms();
    let grant = world.approve(&world.alice, id, &terms).await.unwrap();
    (world, scribe, grant.id)
}

#[tokio::test]
async fn a_covered_run_gets_its_values_and_new_versions_too() {
    let (world, scribe, grant) = granted().await;
    let ran = world.run(&scribe, "web", &[]).await.unwrap();
    assert!(matches!(ran, Ran::Values { grant: used, .. } if used == grant));
    assert_eq!(
        ran.values(),
        [
            ("API_KEY".to_owned(), "value of api/key".to_owned()),
            ("DB_PASSWORD".to_owned(), "value of db/password".to_owned())
        ]
    );
    world.put(&shop(), "api/key", "rotated", None).await;
    let values = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .values();
    assert_eq!(values, [("API_KEY".to_owned(), "rotated".to_owned())]);
}

#[tokio::test]
async fn a_grant_is_for_its_agent_project_and_pairs_only() {
    let (world, scribe, _) = granted().await;
    // More than was granted.
    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    world
        .run(&scribe, "web", &["API_KEY", "MAIL_KEY"])
        .await
        .unwrap()
        .pending();
    // A child, another agent, another project.
    let child = world.agent("child", Some("scribe")).await;
    let other = world.agent("other", None).await;
    let env = [("API_KEY", "api/key"), ("DB_PASSWORD", "db/password")];
    world
        .project("web", &["scribe", "child", "other"], &env)
        .await
        .unwrap();
    for agent in [&child, &other] {
        world.run(agent, "web", &[]).await.unwrap().pending();
    }
    world.project("web-2", &["scribe"], &env).await.unwrap();
    world.run(&scribe, "web-2", &[]).await.unwrap().pending();
    // A remapped name.
    world
        .project("web", &["scribe"], &[("API_KEY", "mail/key")])
        .await
        .unwrap();
    world.run(&scribe, "web", &[]).await.unwrap().pending();
}

#[tokio::test]
async fn another_actor_cannot_use_what_was_matched_for_one() {
    let (world, scribe, _) = granted().await;
    let other = world.agent("other", None).await;
    let deliver = world
        .resolve(&scribe, "web", &[])
        .unwrap()
        .deliver(RunId::from_bytes([1; 16]));
    assert_eq!(
        world.permit(&other, deliver).err(),
        Some(DenyReason::NoGrant)
    );
    let deliver = world
        .resolve(&scribe, "web", &[])
        .unwrap()
        .deliver(RunId::from_bytes([1; 16]));
    assert_eq!(
        world.permit(&world.alice, deliver).err(),
        Some(DenyReason::NoGrant)
    );
}

#[tokio::test]
async fn a_grant_ends() {
    let (world, scribe, _) = granted().await;
    world.pass(Duration::from_secs(86_400) - Duration::from_millis(1));
    world.run(&scribe, "web", &[]).await.unwrap().values();
    world.pass(Duration::from_millis(1));
    world.run(&scribe, "web", &[]).await.unwrap().pending();
}

#[tokio::test]
async fn a_grant_holds_from_its_beginning_and_not_at_its_end() {
    let (world, scribe) = World::new().await;
    let ms = Duration::from_millis(1);
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    let terms = Terms {
        names: None,
        from: world.now().plus(Duration::from_secs(60)),
        until: world.now().plus(Duration::from_secs(120)),
    };
    world.approve(&world.alice, id, &terms).await.unwrap();
    world.pass(Duration::from_secs(60) - ms);
    world.run(&scribe, "web", &[]).await.unwrap().pending();
    world.pass(ms);
    world.run(&scribe, "web", &[]).await.unwrap().values();
    world.pass(Duration::from_secs(60) - ms);
    world.run(&scribe, "web", &[]).await.unwrap().values();
    for _ in 0..2 {
        world.pass(ms);
        world.run(&scribe, "web", &[]).await.unwrap().pending();
    }
}

/// What the last entry of the ledger says that it is about.
fn last_resource(world: &World) -> String {
    let log = procura_record::tables::LEDGER;
    let last = world.store().log_len(log).unwrap() - 1;
    let rows = world.store().log_read(log, last, 1).unwrap();
    let entry = procura_ledger::Entry::parse(rows[0].bytes.expose()).unwrap();
    assert_eq!(entry.action, "run.deliver");
    entry.resource.unwrap()
}

#[tokio::test]
async fn the_ledger_says_which_versions_of_which_secrets_a_run_got() {
    let (world, scribe, _) = granted().await;
    world.put(&shop(), "db/password", "another", None).await;
    world.run(&scribe, "web", &[]).await.unwrap().values();
    assert_eq!(
        last_resource(&world),
        "project/web API_KEY=api/key@1 DB_PASSWORD=db/password@2"
    );
    world.run(&scribe, "web", &["API_KEY"]).await.unwrap();
    assert_eq!(last_resource(&world), "project/web API_KEY=api/key@1");
}

#[tokio::test]
async fn a_run_gets_the_versions_that_were_recorded() {
    let (world, scribe, _) = granted().await;
    let run = RunId::generate(world.now(), &SystemEntropy).unwrap();
    let matched = world.resolve(&scribe, "web", &["API_KEY"]).unwrap();
    let permit = world.permit(&scribe, matched.deliver(run)).unwrap();
    // Written after the names were looked up, before the values are opened.
    world.put(&shop(), "api/key", "newer", None).await;
    let values = world.deliver(permit).await.unwrap().values();
    assert_eq!(
        values,
        [("API_KEY".to_owned(), "value of api/key".to_owned())]
    );
    assert_eq!(last_resource(&world), "project/web API_KEY=api/key@1");
}

#[tokio::test]
async fn withdrawal_stops_the_next_read_even_with_a_permit_in_hand() {
    let (world, scribe, grant) = granted().await;
    let deliver = world
        .resolve(&scribe, "web", &[])
        .unwrap()
        .deliver(RunId::from_bytes([1; 16]));
    let permit = world.permit(&scribe, deliver).ok().unwrap();
    let withdrawn = world.withdraw(grant).await.unwrap();
    assert_eq!(withdrawn.withdrawn, Some(world.now()));
    assert_eq!(
        world.deliver(permit).await.unwrap_err().denied(),
        DenyReason::NoGrant
    );
    world.run(&scribe, "web", &[]).await.unwrap().pending();
    // Again: the first moment stays.
    world.pass(Duration::from_secs(1));
    assert_eq!(
        world.withdraw(grant).await.unwrap().withdrawn,
        withdrawn.withdrawn
    );
    let unknown = world
        .withdraw(GrantId::from_bytes([1; 16]))
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(unknown, AuthorityError::NoGrant));
}

#[tokio::test]
async fn a_revoked_agent_gets_nothing() {
    let (world, scribe, _) = granted().await;
    let deliver = world
        .resolve(&scribe, "web", &[])
        .unwrap()
        .deliver(RunId::from_bytes([1; 16]));
    let permit = world.permit(&scribe, deliver).ok().unwrap();
    let revoke = AgentRevoke {
        namespace: shop(),
        label: label("scribe"),
    };
    world
        .act(&world.alice, revoke, |batch| {
            AgentRevoke::run(batch, world.now())
        })
        .await
        .unwrap();
    assert_eq!(
        world.deliver(permit).await.unwrap_err().denied(),
        DenyReason::Revoked
    );
}

#[tokio::test]
async fn a_deleted_secret_fails_the_whole_run() {
    let (world, scribe, _) = granted().await;
    world.delete("api/key").await;
    let error = world.run(&scribe, "web", &[]).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::MissingSecret(name) if name.as_str() == "API_KEY"));
}

#[tokio::test]
async fn runs_are_listed_until_they_end() {
    let (world, scribe, grant) = granted().await;
    let one = world.run(&scribe, "web", &[]).await.unwrap().run();
    let two = world.run(&scribe, "web", &["API_KEY"]).await.unwrap().run();
    let running = || {
        let mut ids: Vec<RunId> = running_children(world.store(), &shop(), &grant)
            .unwrap()
            .iter()
            .map(|child| child.run)
            .collect();
        ids.sort();
        ids
    };
    let mut both = vec![one, two];
    both.sort();
    assert_eq!(running(), both);
    assert!(
        running_children(world.store(), &bank(), &grant)
            .unwrap()
            .is_empty()
    );

    let end = |run| RunEnd::resolve(world.store(), &shop(), &project("web"), run).unwrap();
    let other = world.agent("other", None).await;
    assert_eq!(
        world.permit(&other, end(one).unwrap()).err(),
        Some(DenyReason::NotOwn)
    );
    assert_eq!(
        world.permit(&world.alice, end(one).unwrap()).err(),
        Some(DenyReason::NotOwn)
    );
    for _ in 0..2 {
        world
            .act(&scribe, end(one).unwrap(), |batch| {
                RunEnd::run(batch, world.now())
            })
            .await
            .unwrap();
        assert_eq!(running(), [two]);
    }
    world.withdraw(grant).await.unwrap();
    assert_eq!(running(), [two], "withdrawal cannot take values back");
    assert_eq!(
        running_children(world.store(), &shop(), &grant).unwrap()[0].device,
        scribe.device()
    );
    assert!(end(RunId::from_bytes([1; 16])).is_none());
    assert!(
        RunEnd::resolve(world.store(), &shop(), &project("other"), two)
            .unwrap()
            .is_none()
    );
    assert!(
        RunEnd::resolve(world.store(), &bank(), &project("web"), two)
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn grants_are_read_in_their_namespace() {
    let (world, scribe, grant) = granted().await;
    let read = |namespace| {
        let permit = world
            .permit(
                &world.alice,
                GrantRead {
                    namespace,
                    id: grant,
                },
            )
            .ok()
            .unwrap();
        GrantRead::run(&permit, &world.snapshot())
    };
    assert_eq!(read(shop()).unwrap().items.len(), 2);
    assert!(matches!(read(bank()).unwrap_err(), AuthorityError::NoGrant));
    let list = |after, limit| {
        let op = GrantListing {
            namespace: shop(),
            after,
            limit,
        };
        let permit = world.permit(&world.alice, op).ok().unwrap();
        GrantListing::run(&permit, &world.snapshot())
    };
    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    world.pass(Duration::from_millis(5));
    let second = world
        .run(&scribe, "web", &["MAIL_KEY"])
        .await
        .unwrap()
        .pending();
    let terms = world.terms();
    let second = world.approve(&world.alice, second, &terms).await.unwrap();
    assert_eq!(second.items, [item("MAIL_KEY", "mail/key")]);
    let first = list(None, Some(1));
    assert_eq!((first.grants[0].id, first.next), (grant, Some(grant)));
    let rest = list(first.next, Some(1));
    assert_eq!((rest.grants[0].id, rest.next), (second.id, None));
    let denied = world
        .permit(
            &scribe,
            GrantRead {
                namespace: shop(),
                id: grant,
            },
        )
        .err();
    assert_eq!(denied, Some(DenyReason::NoRole));
}
