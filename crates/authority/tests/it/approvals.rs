use crate::flows::Terms;
use crate::world::{Actor, Failure, World, bank, item, label, project, shop};
use procura_authority::{AuthorityError, CLOCK_TOLERANCE, MAX_GRANT, RequestApprove, Yes};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_identity::AgentRevoke;
use procura_policy::DenyReason;
use procura_types::wire::RequestState;
use procura_types::{Duration, GrantId, RequestId, Role};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

async fn asked() -> (World, Actor, RequestId) {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    (world, scribe, id)
}

#[tokio::test]
async fn a_signed_yes_becomes_a_grant_with_its_receipt() {
    let (world, scribe, id) = asked().await;
    let bob = world.operator("bob", &[(Role::Approver, &shop())]).await;
    let terms = world.terms();
    let grant = world.approve(&bob, id, &terms).await.unwrap();
    assert_eq!(grant.id, GrantId::from_bytes(*id.as_bytes()));
    assert_eq!((grant.agent, grant.project), (scribe.id, project("web")));
    assert_eq!(
        grant.items,
        [
            item("API_KEY", "api/key"),
            item("DB_PASSWORD", "db/password")
        ]
    );
    assert_eq!((grant.from, grant.until), (terms.from, terms.until));
    assert_eq!(
        (grant.receipt.approver, grant.receipt.device),
        (bob.id, bob.device())
    );
    assert!(bob.key.public().verify(
        &procura_ledger::receipt_message(&grant.receipt.grant),
        &grant.receipt.signature
    ));
    assert_eq!(world.request(id).state, RequestState::Approved);
    // What it has now stands beside its next question.
    let next = world.run(&scribe, "web", &["API_KEY", "MAIL_KEY"]).await;
    assert_eq!(next.unwrap().values().len(), 1);
    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    let next = world
        .run(&scribe, "web", &["API_KEY", "MAIL_KEY"])
        .await
        .unwrap()
        .pending();
    let already: Vec<_> = world
        .request(next)
        .already
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(already, ["API_KEY", "DB_PASSWORD"]);
}

#[tokio::test]
async fn the_ledger_holds_the_receipt_with_the_grant() {
    let (world, _, id) = asked().await;
    let terms = world.terms();
    let grant = world.approve(&world.alice, id, &terms).await.unwrap();
    let log = procura_record::tables::LEDGER;
    let last = world.store().log_len(log).unwrap() - 1;
    let rows = world.store().log_read(log, last, 1).unwrap();
    let entry = procura_ledger::Entry::parse(rows[0].bytes.expose()).unwrap();
    assert_eq!(entry.action, "request.approve");
    assert_eq!(entry.grant, Some(grant.id));
    assert_eq!(entry.approval.unwrap().signature, grant.receipt.signature);
}

#[tokio::test]
async fn a_subset_can_be_approved_and_nothing_else() {
    let (world, scribe, id) = asked().await;
    let with = |names: &[&'static str]| Terms {
        names: Some(names.to_vec()),
        ..world.terms()
    };
    let error = world
        .approve(&world.alice, id, &with(&[]))
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::NothingApproved));
    let error = world
        .approve(&world.alice, id, &with(&["API_KEY", "MAIL_KEY"]))
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::NotAsked(name) if name.as_str() == "MAIL_KEY"));
    let grant = world
        .approve(&world.alice, id, &with(&["API_KEY", "API_KEY"]))
        .await
        .unwrap();
    assert_eq!(grant.items, [item("API_KEY", "api/key")]);
    let values = world
        .run(&scribe, "web", &["API_KEY"])
        .await
        .unwrap()
        .values();
    assert_eq!(
        values,
        [("API_KEY".to_owned(), "value of api/key".to_owned())]
    );
    assert_ne!(world.run(&scribe, "web", &[]).await.unwrap().pending(), id);
}

#[tokio::test]
async fn only_the_calling_devices_signature_over_exactly_this_grant_counts() {
    let (world, _, id) = asked().await;
    let bob = world.operator("bob", &[(Role::Approver, &shop())]).await;
    let terms = world.terms();
    let good = bob.key.sign(&world.message(id, &terms)).unwrap();
    let other_key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let longer = Terms {
        until: terms.until.plus(Duration::from_millis(1)),
        ..terms.clone()
    };
    let fewer = Terms {
        names: Some(vec!["API_KEY"]),
        ..terms.clone()
    };
    let second = world
        .run(&world.agent("other", None).await, "web", &[])
        .await;
    assert!(matches!(
        second.unwrap_err().domain(),
        AuthorityError::NoProject(_)
    ));
    for (what, signature) in [
        ("nothing", vec![]),
        ("zeros", vec![0; 64]),
        (
            "a stranger",
            other_key.sign(&world.message(id, &terms)).unwrap(),
        ),
        (
            "another approver",
            world.alice.key.sign(&world.message(id, &terms)).unwrap(),
        ),
        (
            "another end",
            bob.key.sign(&world.message(id, &longer)).unwrap(),
        ),
        (
            "fewer names",
            bob.key.sign(&world.message(id, &fewer)).unwrap(),
        ),
        (
            "the bare grant",
            bob.key.sign(&world.message(id, &terms)[10..]).unwrap(),
        ),
    ] {
        let error = world
            .approve_signed(&bob, id, &terms, signature)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Failure::Domain(AuthorityError::BadSignature)),
            "{what}"
        );
    }
    // A good signature with other terms in the request.
    let error = world
        .approve_signed(&bob, id, &longer, good.clone())
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::BadSignature));
    assert_eq!(world.request(id).state, RequestState::Pending);
    world.approve_signed(&bob, id, &terms, good).await.unwrap();
}

#[tokio::test]
async fn terms_are_bounded() {
    let (world, _, id) = asked().await;
    let now = world.now();
    let ms = Duration::from_millis(1);
    let day = Duration::from_secs(86_400);
    let early = now.minus(CLOCK_TOLERANCE);
    for (from, until) in [
        (early.minus(ms), now.plus(day)),
        (now.plus(CLOCK_TOLERANCE).plus(ms), now.plus(day)),
    ] {
        let terms = Terms {
            names: None,
            from,
            until,
        };
        let error = world
            .approve(&world.alice, id, &terms)
            .await
            .unwrap_err()
            .domain();
        assert!(matches!(error, AuthorityError::BadStart));
    }
    for (from, until) in [
        (now, now),
        (now, now.minus(ms)),
        (early, now),
        (now, now.plus(MAX_GRANT).plus(ms)),
    ] {
        let terms = Terms {
            names: None,
            from,
            until,
        };
        let error = world
            .approve(&world.alice, id, &terms)
            .await
            .unwrap_err()
            .domain();
        assert!(matches!(error, AuthorityError::BadEnd));
    }
    let terms = Terms {
        names: None,
        from: early,
        until: early.plus(MAX_GRANT),
    };
    world.approve(&world.alice, id, &terms).await.unwrap();
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let (world, scribe, id) = asked().await;
    let terms = world.terms();
    world.approve(&world.alice, id, &terms).await.unwrap();
    let error = world
        .approve(&world.alice, id, &terms)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::AlreadyApproved));
    assert!(matches!(
        world.deny(&world.alice, id).await.unwrap_err().domain(),
        AuthorityError::AlreadyApproved
    ));

    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    let second = world
        .run(&scribe, "web", &["MAIL_KEY"])
        .await
        .unwrap()
        .pending();
    world.deny(&world.alice, second).await.unwrap();
    assert_eq!(world.request(second).state, RequestState::Denied);
    let error = world
        .approve(&world.alice, second, &terms)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::AlreadyDenied));
    assert!(matches!(
        world.deny(&world.alice, second).await.unwrap_err().domain(),
        AuthorityError::AlreadyDenied
    ));
    // Denied is not for ever: the agent may ask again.
    assert_ne!(
        world
            .run(&scribe, "web", &["MAIL_KEY"])
            .await
            .unwrap()
            .pending(),
        second
    );
    let unknown = RequestId::from_bytes([1; 16]);
    assert!(matches!(
        world
            .deny(&world.alice, unknown)
            .await
            .unwrap_err()
            .domain(),
        AuthorityError::NoRequest
    ));
}

#[tokio::test]
async fn a_withdrawn_grant_is_not_approved_again() {
    let (world, scribe, id) = asked().await;
    let terms = world.terms();
    let grant = world.approve(&world.alice, id, &terms).await.unwrap();
    world.pass(Duration::from_secs(1));
    let withdrawn = world.withdraw(grant.id).await.unwrap().withdrawn;
    assert_eq!(withdrawn, Some(world.now()));
    world.pass(Duration::from_secs(1));
    // The same yes, and one over terms of now.
    for terms in [terms, world.terms()] {
        let error = world
            .approve(&world.alice, id, &terms)
            .await
            .unwrap_err()
            .domain();
        assert!(matches!(error, AuthorityError::AlreadyApproved), "{error}");
    }
    let snapshot = world.snapshot();
    assert_eq!(snapshot.grant(&grant.id).unwrap().withdrawn, withdrawn);
    let next = world.run(&scribe, "web", &[]).await.unwrap();
    assert_ne!(next.pending(), id);
}

#[tokio::test]
async fn an_agent_says_no_yes_to_itself_and_its_owner_may() {
    let (world, scribe, id) = asked().await;
    let owner = world.snapshot().actor(&scribe.id).unwrap().owner;
    assert_eq!(owner, world.alice.id);
    let task = world.agent("task", Some("scribe")).await;
    let terms = world.terms();
    for agent in [&scribe, &task] {
        let denied = world.approve(agent, id, &terms).await.unwrap_err().denied();
        assert_eq!(denied, DenyReason::NoRole);
    }
    // Nor by its owner's hand and its own key.
    let own = scribe.key.sign(&world.message(id, &terms)).unwrap();
    let refused = world.approve_signed(&world.alice, id, &terms, own).await;
    assert!(matches!(
        refused.unwrap_err().domain(),
        AuthorityError::BadSignature
    ));
    assert_eq!(world.request(id).state, RequestState::Pending);
    let grant = world.approve(&world.alice, id, &terms).await.unwrap();
    assert_eq!((grant.agent, grant.receipt.approver), (scribe.id, owner));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_answers_at_once_the_faster_counts() {
    let (world, _, id) = asked().await;
    let terms = world.terms();
    let signature = world.alice.key.sign(&world.message(id, &terms)).unwrap();
    let op = RequestApprove {
        namespace: shop(),
        id,
        names: None,
        from: terms.from,
        until: terms.until,
        yes: Yes::Device(signature),
    };
    let first = AtomicBool::new(true);
    let approved = world.act(&world.alice, op, |batch| {
        let approved = RequestApprove::run(batch, &world.installation, world.now());
        // A no is done between this yes's look and its commit.
        if first.swap(false, Ordering::SeqCst) {
            assert!(approved.is_ok());
            block_in_place(|| Handle::current().block_on(world.deny(&world.alice, id))).unwrap();
        }
        approved
    });
    assert!(matches!(
        approved.await.unwrap_err().domain(),
        AuthorityError::AlreadyDenied
    ));
    assert!(world.snapshot().grants().next().is_none());
}

#[tokio::test]
async fn a_revoked_agent_gets_no_grant() {
    let (world, _, id) = asked().await;
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
    let terms = world.terms();
    let error = world
        .approve(&world.alice, id, &terms)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, AuthorityError::AgentRevoked));
    // It waits for nobody, but may still be put away.
    assert_eq!(world.request(id).state, RequestState::Revoked);
    world.deny(&world.alice, id).await.unwrap();
    assert_eq!(world.request(id).state, RequestState::Denied);
}

#[tokio::test]
async fn only_approvers_of_the_namespace_answer() {
    let (world, scribe, id) = asked().await;
    let bob = world
        .operator("bob", &[(Role::Approver, &bank()), (Role::Admin, &shop())])
        .await;
    let terms = world.terms();
    for actor in [&bob, &scribe] {
        let denied = world.approve(actor, id, &terms).await.unwrap_err().denied();
        assert_eq!(denied, DenyReason::NoRole);
        assert_eq!(
            world.deny(actor, id).await.unwrap_err().denied(),
            DenyReason::NoRole
        );
    }
}

#[tokio::test]
async fn the_largest_run_can_be_asked_approved_and_delivered() {
    let (world, scribe) = World::new().await;
    let mut env = Vec::new();
    for at in 0..procura_authority::MAX_NAMES {
        // 78 bytes for each name and its path: 19,968 in all.
        let (name, path) = (format!("N{at:0>38}"), format!("p/{at:0>37}"));
        world.put(&shop(), &path, "x", None).await;
        env.push((name, path));
    }
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, path)| (name.as_str(), path.as_str()))
        .collect();
    world.project("web", &["scribe"], &env).await.unwrap();
    let id = world
        .run_from_everywhere(&scribe, "web")
        .await
        .unwrap()
        .pending();
    let terms = world.terms();
    world.approve(&world.alice, id, &terms).await.unwrap();
    let values = world
        .run_from_everywhere(&scribe, "web")
        .await
        .unwrap()
        .values();
    assert_eq!(values.len(), procura_authority::MAX_NAMES);
}

#[tokio::test]
async fn a_request_is_answered_in_its_namespace() {
    let (world, _, id) = asked().await;
    let op = procura_authority::RequestDeny {
        namespace: bank(),
        id,
    };
    let run = |batch: &mut procura_record::RecordedBatch<'_, _>| {
        procura_authority::RequestDeny::run(batch, world.now())
    };
    let error = world.act(&world.alice, op, run).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::NoRequest));
    let op = RequestApprove {
        namespace: bank(),
        id,
        names: None,
        from: world.now(),
        until: world.now().plus(Duration::from_secs(60)),
        yes: Yes::Device(vec![0; 64]),
    };
    let run = |batch: &mut procura_record::RecordedBatch<'_, _>| {
        RequestApprove::run(batch, &world.installation, world.now())
    };
    let error = world.act(&world.alice, op, run).await.unwrap_err().domain();
    assert!(matches!(error, AuthorityError::NoRequest));
    assert_eq!(world.request(id).state, RequestState::Pending);
}
