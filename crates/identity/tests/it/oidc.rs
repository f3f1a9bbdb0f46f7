//! Identities at identity providers: whom they sign in, who may link them, and how that
//! ends.

use crate::oidc_world::{ISSUER, Provider, others, refusal};
use crate::passkey_world::{KEYS, Roots};
use crate::world::{Failure, World, label, role};
use procura_crypto::sha256;
use procura_identity::account::{MAX_IDENTITIES, OperatorAccountEnd};
use procura_identity::oidc::{
    Again, FLOW_LIFE, Flow, LINK_PROOF_LIFE, OidcClient, OidcRefusal, ProvenIdentity,
};
use procura_identity::{IdentityError, OperatorRevoke};
use procura_policy::DenyReason;
use procura_proof::{Authenticated, SessionKeys};
use procura_token::IdTokenRefusal;
use procura_types::encoding::b64url;
use procura_types::{Amr, Duration, Role, Timestamp, WebLoginId};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_flow_is_of_one_browser_one_provider_and_ten_minutes() {
    let world = World::new().await;
    let provider = Provider::new();
    let again = Again {
        login: WebLoginId::from_bytes([7; 16]),
        actor: world.alice.id,
    };
    for again in [None, Some(again)] {
        let flow = provider.begin(&world, again);
        let cookie = flow.cookie(&KEYS).unwrap();
        let read = Flow::read(&KEYS, provider.client(), cookie.expose(), world.now()).unwrap();
        assert_eq!((read.state(), read.nonce()), (flow.state(), flow.nonce()));
        assert_eq!(read.verifier().expose(), flow.verifier().expose());
        assert_eq!((read.again(), read.next()), (again.as_ref(), "/requests"));
        // RFC 7636 §4.2.
        let challenge = b64url(&sha256(flow.verifier().expose().as_bytes()));
        assert_eq!(
            (flow.challenge(), flow.verifier().expose().len()),
            (challenge, 43)
        );
        // Nothing that leaves the browser says anything of the rest.
        let all = [
            flow.state(),
            flow.nonce(),
            flow.verifier().expose().clone(),
            flow.challenge(),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[place + 1..].contains(one) && !cookie.expose().contains(one.as_str()));
        }
        assert!(read.is_answered_by(&flow.state()));
        let other = provider.begin(&world, again);
        for state in [
            other.state(),
            flow.nonce(),
            String::new(),
            format!("{}=", flow.state()),
        ] {
            assert!(!read.is_answered_by(&state), "{state}");
        }
    }
    let flow = provider.begin(&world, Some(again));
    let cookie = flow.cookie(&KEYS).unwrap();
    let read = |keys: &dyn SessionKeys, client: OidcClient<'_>, cookie: &str, now: Timestamp| {
        refusal(Flow::read(keys, client, cookie, now))
    };
    let (own, now) = (provider.client(), world.now());
    let unknown = OidcRefusal::FlowUnknown;
    let home = label("home");
    for client in others(own, &home) {
        assert_eq!(read(&KEYS, client, cookie.expose(), now), unknown);
    }
    assert_eq!(read(&Roots(2), own, cookie.expose(), now), unknown);
    let bytes = procura_types::encoding::from_b64url("cookie", cookie.expose()).unwrap();
    for place in 0..bytes.len() {
        let mut other = bytes.clone();
        other[place] ^= 1;
        assert_eq!(read(&KEYS, own, &b64url(&other), now), unknown, "{place}");
    }
    for cut in [
        "",
        "x",
        &cookie.expose()[1..],
        &format!("{}=", cookie.expose()),
        &"A".repeat(4096),
    ] {
        assert_eq!(read(&KEYS, own, cut, now), unknown, "{cut:.20}");
    }
    let end = now.plus(FLOW_LIFE);
    assert!(Flow::read(&KEYS, own, cookie.expose(), end.minus(SECOND)).is_ok());
    assert_eq!(
        read(&KEYS, own, cookie.expose(), end),
        OidcRefusal::FlowExpired
    );
}

#[tokio::test]
async fn a_token_answers_the_flow_that_it_was_asked_for() {
    let world = World::new().await;
    let provider = Provider::new();
    let answered = |flow, more| provider.answers(&world, flow, "anna-7", more);
    let good = answered(provider.begin(&world, None), json!({"groups": ["ops"]})).unwrap();
    assert_eq!(good.groups(), ["ops"]);
    assert_eq!(good.proven().subject(), "anna-7");
    let other = provider.begin(&world, None).nonce();
    let refused = answered(provider.begin(&world, None), json!({"nonce": other}));
    assert_eq!(
        refused.err(),
        Some(OidcRefusal::Token(IdTokenRefusal::WrongNonce))
    );
    // Whoever proves it anew has to have done it since it began.
    let again = Again {
        login: WebLoginId::from_bytes([7; 16]),
        actor: world.alice.id,
    };
    let now = world.now().as_secs();
    for (auth_time, expected) in [
        (json!(now), None),
        (json!(null), Some(IdTokenRefusal::NotAnew)),
        (json!(now - 120), Some(IdTokenRefusal::NotAnew)),
    ] {
        let flow = provider.begin(&world, Some(again));
        let found = answered(flow, json!({"auth_time": auth_time})).err();
        assert_eq!(found, expected.map(OidcRefusal::Token), "{auth_time}");
    }
}

/// Issuer and subject together are who it is, and nothing else that a provider says.
#[tokio::test]
async fn an_identity_is_an_issuer_and_a_subject() {
    let world = World::new().await;
    let provider = Provider::new();
    let anna = provider.proven(&world, "anna-7");
    let mail = json!({"email": "boss@example.com", "preferred_username": "boss\u{202e}"});
    let flow = provider.begin(&world, None);
    let renamed = provider.answers(&world, flow, "anna-7", mail).unwrap();
    assert_eq!(renamed.proven().id(), anna.id());
    assert_eq!(renamed.proven().called(), Some("boss\\u{202e}"));
    assert_ne!(provider.proven(&world, "anna-8").id(), anna.id());
    // Fields do not run into each other.
    let tuple = |issuer: &str, subject: &str| {
        sha256(
            procura_types::FieldTuple::new("procura.identity.oidc.v1")
                .text(issuer)
                .text(subject)
                .as_bytes(),
        )
    };
    assert_eq!(*anna.id().as_bytes(), tuple(ISSUER, "anna-7"));
    assert_ne!(tuple("https://a", "b"), tuple("https://", "ab"));
}

#[tokio::test]
async fn who_is_not_linked_is_nobody_whatever_the_provider_says() {
    let world = World::new().await;
    let provider = Provider::new();
    let steward = [role(Role::Steward, None)];
    let flow = provider.begin(&world, None);
    let more = json!({"preferred_username": "alice", "name": "alice", "groups": ["stewards"]});
    let answered = provider.answers(&world, flow, "alice", more).unwrap();
    let found = world.used(answered, &steward).await;
    assert_eq!(refusal(found), OidcRefusal::NotLinked);
}

#[tokio::test]
async fn a_linked_identity_signs_its_operator_in_once_for_each_flow() {
    let world = World::new().await;
    let provider = Provider::new();
    let proven = provider.proven(&world, "anna-7");
    let linked = world
        .link_identity(&world.alice, "alice", proven.clone())
        .await
        .unwrap();
    assert_eq!(
        (linked.id, linked.device),
        (proven.id(), world.alice.device())
    );
    assert_eq!(
        world.identities(&world.alice, "alice").unwrap(),
        std::slice::from_ref(&linked)
    );
    // Doing it again changes nothing.
    world.pass(SECOND);
    let again = world
        .link_identity(&world.alice, "alice", proven)
        .await
        .unwrap();
    assert_eq!(again, linked);

    let lent = [role(Role::Approver, Some("shop"))];
    let flow = provider.begin(&world, None);
    let cookie = flow.cookie(&KEYS).unwrap();
    let auth_time = world.now().as_secs() - 100;
    let more = json!({"auth_time": auth_time});
    let answered = provider
        .answers(&world, flow, "anna-7", more.clone())
        .unwrap();
    let person = world.used(answered, &lent).await.unwrap();
    assert_eq!((*person.actor(), person.amr()), (world.alice.id, Amr::Oidc));
    let login = world.start(&person, None).await.unwrap();
    // Fresh is what the provider says.
    assert_eq!(login.login.authenticated, Timestamp::from_secs(auth_time));
    let found = world.found(&login).unwrap();
    assert_eq!(found.provider(), Some(&label("work")));
    assert_eq!(found.kept().lent, lent);
    // The same flow once more, with a token that is as good.
    let flow = Flow::read(&KEYS, provider.client(), cookie.expose(), world.now()).unwrap();
    let store = world.recorder.store();
    assert!(flow.is_used(store).unwrap());
    assert!(!provider.begin(&world, None).is_used(store).unwrap());
    let answered = provider.answers(&world, flow, "anna-7", more).unwrap();
    assert_eq!(
        refusal(world.used(answered, &lent).await),
        OidcRefusal::FlowUsed
    );
    // Of a provider that does not say when, nothing is fresh.
    let person = world
        .used(provider.signs_in(&world, "anna-7"), &[])
        .await
        .unwrap();
    let login = world.start(&person, None).await.unwrap();
    assert_eq!(login.login.authenticated, Timestamp::from_millis(0));
}

/// Another provider may have the name tomorrow, or the server be another client there: the
/// web logins of before are none of theirs.
#[tokio::test]
async fn a_web_login_is_of_one_issuer_and_client() {
    let world = World::new().await;
    let provider = Provider::new();
    let proven = provider.proven(&world, "anna-7");
    world
        .link_identity(&world.alice, "alice", proven)
        .await
        .unwrap();
    let answered = provider.signs_in(&world, "anna-7");
    let person = world.used(answered, &[]).await.unwrap();
    let login = world.start(&person, None).await.unwrap();
    let found = world.found(&login).unwrap();
    let own = provider.client();
    assert!(found.is_by(&own));
    let home = label("home");
    // Fields do not run into each other.
    let shifted = OidcClient {
        issuer: "https://login.examplepro",
        client_id: "cura",
        ..own
    };
    for other in others(own, &home).into_iter().chain([shifted]) {
        assert!(!found.is_by(&other), "{other:?}");
    }
    // Nor is what no provider made.
    let person = Authenticated::vouched(world.alice.id, Amr::Passkey);
    let login = world.start(&person, None).await.unwrap();
    assert!(!world.found(&login).unwrap().is_by(&own));
}

#[tokio::test]
async fn nobody_links_for_somebody_else() {
    let world = World::new().await;
    let provider = Provider::new();
    let adam = world
        .operator("adam", &[role(Role::Admin, Some("shop"))])
        .await;
    let proven = provider.proven(&world, "adam-1");
    // Not even a steward: they could sign in as that person.
    let found = world
        .link_identity(&world.alice, "adam", proven.clone())
        .await;
    assert_eq!(found.unwrap_err().denied(), DenyReason::NotOwn);
    let found = world.link_identity(&adam, "alice", proven.clone()).await;
    assert_eq!(found.unwrap_err().denied(), DenyReason::NotOwn);
    let linked = world
        .link_identity(&adam, "adam", proven.clone())
        .await
        .unwrap();
    // An identity is one person.
    let found = world
        .link_identity(&world.alice, "alice", proven.clone())
        .await;
    assert_eq!(refusal(found.map_err(Failure::domain)), OidcRefusal::Taken);
    assert_eq!(
        world.identities(&adam, "alice").unwrap_err(),
        DenyReason::NoRole
    );
    assert_eq!(
        world.identities(&world.alice, "adam").unwrap(),
        std::slice::from_ref(&linked)
    );
    // A steward takes it away, and then it is free.
    let found = world.unlink(&adam, "alice", linked.id).await;
    assert_eq!(found.unwrap_err().denied(), DenyReason::NoRole);
    world.unlink(&world.alice, "adam", linked.id).await.unwrap();
    let found = world
        .unlink(&adam, "adam", linked.id)
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(found, IdentityError::NoIdentity), "{found}");
    world
        .link_identity(&world.alice, "alice", proven)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_operator_has_so_many_identities_and_no_more() {
    let world = World::new().await;
    let provider = Provider::new();
    for number in 0..MAX_IDENTITIES {
        let proven = provider.proven(&world, &format!("alice-{number}"));
        world
            .link_identity(&world.alice, "alice", proven)
            .await
            .unwrap();
        world.pass(SECOND);
    }
    let proven = provider.proven(&world, "one-more");
    let found = world.link_identity(&world.alice, "alice", proven).await;
    assert_eq!(
        refusal(found.map_err(Failure::domain)),
        OidcRefusal::TooMany
    );
}

#[tokio::test]
async fn with_a_link_go_its_web_logins_and_no_others() {
    let world = World::new().await;
    let provider = Provider::new();
    let mut made = Vec::new();
    for subject in ["one", "two"] {
        let proven = provider.proven(&world, subject);
        let linked = world
            .link_identity(&world.alice, "alice", proven)
            .await
            .unwrap();
        let person = world
            .used(provider.signs_in(&world, subject), &[])
            .await
            .unwrap();
        made.push((linked.id, world.start(&person, None).await.unwrap()));
    }
    let by_passkey = Authenticated::vouched(world.alice.id, Amr::Passkey);
    let other = world.start(&by_passkey, None).await.unwrap();
    // Somebody who proved it before the link went, and whose web login did not begin yet.
    let late = world
        .used(provider.signs_in(&world, "one"), &[])
        .await
        .unwrap();
    world
        .unlink(&world.alice, "alice", made[0].0)
        .await
        .unwrap();
    assert!(world.found(&made[0].1).is_none());
    assert!(world.found(&made[1].1).is_some() && world.found(&other).is_some());
    let found = world.start(&late, None).await.map_err(Failure::domain);
    assert_eq!(refusal(found), OidcRefusal::NotLinked);
    let found = world.used(provider.signs_in(&world, "one"), &[]).await;
    assert_eq!(refusal(found), OidcRefusal::NotLinked);
}

/// What a thief linked does not outlive the key that it was linked with.
#[tokio::test]
async fn links_go_with_the_device_the_account_and_the_operator() {
    for way in ["device", "account", "operator"] {
        let world = World::new().await;
        let provider = Provider::new();
        let adam = world
            .operator("adam", &[role(Role::Admin, Some("shop"))])
            .await;
        let proven = provider.proven(&world, "adam-1");
        world
            .link_identity(&adam, "adam", proven.clone())
            .await
            .unwrap();
        let person = world
            .used(provider.signs_in(&world, "adam-1"), &[])
            .await
            .unwrap();
        let login = world.start(&person, None).await.unwrap();
        let answered = provider.signs_in(&world, "adam-1");
        match way {
            "device" => world
                .revoke_device(&world.alice, &adam.device())
                .await
                .unwrap(),
            "account" => {
                let op = OperatorAccountEnd::resolve(&world.snapshot(), &label("adam")).unwrap();
                world
                    .act(&world.alice, op, OperatorAccountEnd::run)
                    .await
                    .unwrap();
            }
            _ => {
                let op = OperatorRevoke {
                    name: label("adam"),
                    by: None,
                };
                let now = world.now();
                let revoked = world.act(&world.alice, op, |batch| OperatorRevoke::run(batch, now));
                revoked.await.unwrap();
            }
        }
        assert!(world.found(&login).is_none(), "{way}");
        assert_eq!(
            refusal(world.used(answered, &[]).await),
            OidcRefusal::NotLinked,
            "{way}"
        );
        // It is nobody's, so somebody else can have it.
        world
            .link_identity(&world.alice, "alice", proven)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn whoever_proves_it_anew_is_the_same_person() {
    let world = World::new().await;
    let provider = Provider::new();
    let adam = world
        .operator("adam", &[role(Role::Admin, Some("shop"))])
        .await;
    for (who, name) in [(&world.alice, "alice"), (&adam, "adam")] {
        let proven = provider.proven(&world, name);
        world.link_identity(who, name, proven).await.unwrap();
    }
    let person = world
        .used(provider.signs_in(&world, "alice"), &[])
        .await
        .unwrap();
    let first = world.start(&person, None).await.unwrap();
    let again = Again {
        login: first.login.id,
        actor: world.alice.id,
    };
    let fresh = json!({"auth_time": world.now().as_secs()});
    let flow = provider.begin(&world, Some(again));
    let other = provider
        .answers(&world, flow, "adam", fresh.clone())
        .unwrap();
    assert_eq!(
        refusal(world.used(other, &[]).await),
        OidcRefusal::OtherUser
    );
    let flow = provider.begin(&world, Some(again));
    let same = provider.answers(&world, flow, "alice", fresh).unwrap();
    let person = world.used(same, &[]).await.unwrap();
    let second = world.start(&person, Some(first.login.id)).await.unwrap();
    assert!(world.found(&first).is_none() && world.found(&second).is_some());
}

#[tokio::test]
async fn a_link_proof_is_of_one_identity_for_ten_minutes() {
    let world = World::new().await;
    let provider = Provider::new();
    let proven = provider.proven(&world, "anna-7");
    let now = world.now();
    let proof = proven.link_proof(&KEYS, now).unwrap();
    assert_eq!(ProvenIdentity::read(&KEYS, &proof, now).unwrap(), proven);
    let read =
        |keys: &dyn SessionKeys, proof: &str, now| refusal(ProvenIdentity::read(keys, proof, now));
    let end = now.plus(LINK_PROOF_LIFE);
    assert!(ProvenIdentity::read(&KEYS, &proof, end.minus(SECOND)).is_ok());
    assert_eq!(read(&KEYS, &proof, end), OidcRefusal::ProofExpired);
    let unknown = OidcRefusal::ProofUnknown;
    assert_eq!(read(&Roots(2), &proof, now), unknown);
    let (body, seal) = proof.split_once('.').unwrap();
    let mut claims: Value =
        serde_json::from_slice(&procura_types::encoding::from_b64url("proof", body).unwrap())
            .unwrap();
    claims["subject"] = json!("anna-8");
    let forged = format!("{}.{seal}", b64url(claims.to_string().as_bytes()));
    let cookie = provider.begin(&world, None).cookie(&KEYS).unwrap();
    for bad in [
        forged.as_str(),
        "",
        ".",
        body,
        &format!("{proof}="),
        &format!("{proof}.{seal}"),
        &format!(" {proof}"),
        cookie.expose(),
        &"A".repeat(5000),
    ] {
        assert_eq!(read(&KEYS, bad, now), unknown, "{bad:.40}");
    }
}
