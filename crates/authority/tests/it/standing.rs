//! Secrets that are there and are not to be had: expired ones, and those whose rule
//! does not name the way in which they are asked for.

use crate::world::{Actor, World, shop};
use procura_authority::{AuthorityError, KeyKind, KeyListing, KeyNames, KeyRead};
use procura_types::{Delivery, DeliveryRules, DeliveryWay, Duration, Namespace};
use procura_vault::{SecretAbout, VaultError};

const MINUTE: Duration = Duration::from_secs(60);

fn only(ways: &[DeliveryWay]) -> SecretAbout {
    SecretAbout {
        delivery: Some(DeliveryRules::try_from(ways.to_vec()).unwrap()),
        ..SecretAbout::default()
    }
}

fn expiring(world: &World) -> SecretAbout {
    SecretAbout {
        expires: Some(world.now().plus(MINUTE)),
        ..SecretAbout::default()
    }
}

async fn granted() -> (World, Actor) {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    let terms = world.terms();
    world.approve(&world.alice, id, &terms).await.unwrap();
    (world, scribe)
}

fn expired(error: &AuthorityError) -> bool {
    matches!(error, AuthorityError::Expired(name) if name.as_str() == "API_KEY")
}

#[tokio::test]
async fn what_has_expired_is_told_to_who_was_granted_it() {
    let (world, scribe) = granted().await;
    world.set("api/key", expiring(&world)).await;
    assert_eq!(
        world.run(&scribe, "web", &[]).await.unwrap().values().len(),
        2
    );
    world.pass(MINUTE);
    // Nothing of it is delivered, and it is not asked for anew.
    let error = world.run(&scribe, "web", &[]).await.unwrap_err().domain();
    assert!(expired(&error), "{error}");
    // The other one alone is to be had.
    let other = world.run(&scribe, "web", &["DB_PASSWORD"]).await.unwrap();
    assert_eq!(other.values().len(), 1);
    let again = SecretAbout {
        expires: Some(world.now().plus(MINUTE)),
        ..SecretAbout::default()
    };
    world.set("api/key", again).await;
    assert_eq!(
        world.run(&scribe, "web", &[]).await.unwrap().values().len(),
        2
    );
}

#[tokio::test]
async fn what_has_expired_is_missing_for_who_was_not() {
    let (world, _) = granted().await;
    let other = world.agent("other", None).await;
    let env = [("API_KEY", "api/key"), ("DB_PASSWORD", "db/password")];
    world
        .project("web", &["scribe", "other"], &env)
        .await
        .unwrap();
    world.put(&shop(), "mail/key", "x", Some("MAIL_KEY")).await;
    world.set("api/key", expiring(&world)).await;
    world.set("mail/key", expiring(&world)).await;
    world.pass(MINUTE);
    // As where the project maps a path that has no secret.
    let error = world.run(&other, "web", &[]).await.unwrap_err().domain();
    let missing =
        matches!(&error, AuthorityError::MissingSecret(name) if name.as_str() == "API_KEY");
    assert!(missing, "{error}");
    // And as where no secret declares the name.
    let found = world
        .resolve(&other, "web", &["DB_PASSWORD", "MAIL_KEY", "NO_KEY"])
        .unwrap();
    let unmatched: Vec<_> = found
        .unmatched()
        .iter()
        .map(|unmatched| (unmatched.name.as_str(), unmatched.reason))
        .collect();
    let reason = procura_types::wire::UnmatchedReason::NoMatch;
    assert_eq!(unmatched, [("MAIL_KEY", reason), ("NO_KEY", reason)]);
    // Nor does it make the name of another secret ambiguous.
    world.put(&shop(), "mail/new", "y", Some("MAIL_KEY")).await;
    let found = world.resolve(&other, "web", &["MAIL_KEY"]).unwrap();
    assert_eq!(found.items()[0].path.as_str(), "mail/new");
}

#[tokio::test]
async fn a_way_that_the_rule_does_not_name_delivers_nothing() {
    let (world, scribe) = granted().await;
    for ways in [
        &[DeliveryWay::Http, DeliveryWay::File][..],
        &[DeliveryWay::BrokerOnly],
    ] {
        world.set("api/key", only(ways)).await;
        let error = world.run(&scribe, "web", &[]).await.unwrap_err().domain();
        let refused = matches!(
            &error,
            AuthorityError::DeliveryNotAllowed { name, delivery: Delivery::Env }
                if name.as_str() == "API_KEY"
        );
        assert!(refused, "{error}");
    }
    let other = world.run(&scribe, "web", &["DB_PASSWORD"]).await.unwrap();
    assert_eq!(other.values().len(), 1);
    world.set("api/key", only(&[DeliveryWay::Env])).await;
    assert_eq!(
        world.run(&scribe, "web", &[]).await.unwrap().values().len(),
        2
    );
}

#[tokio::test]
async fn a_rule_that_was_made_after_the_matching_holds_at_the_release() {
    let (world, scribe) = granted().await;
    let run = procura_types::RunId::from_bytes([1; 16]);
    let matched = world.resolve(&scribe, "web", &[]).unwrap();
    let permit = world.permit(&scribe, matched.deliver(run)).unwrap();
    let details = permit.op().details();
    let recorded = world
        .recorder
        .record(permit, crate::world::origin(), details)
        .await
        .unwrap();
    world.set("db/password", only(&[DeliveryWay::Stdin])).await;
    let error = world.vault.release(&recorded, world.now()).err().unwrap();
    let refused = matches!(
        &error,
        VaultError::DeliveryNotAllowed { path, delivery: Delivery::Env }
            if path.as_str() == "db/password"
    );
    assert!(refused, "{error}");
    world.set("db/password", only(&[DeliveryWay::Env])).await;
    world.set("api/key", expiring(&world)).await;
    let late = world.now().plus(MINUTE);
    let error = world.vault.release(&recorded, late).err().unwrap();
    assert!(
        matches!(&error, VaultError::Expired(path) if path.as_str() == "api/key"),
        "{error}"
    );
    assert_eq!(
        world.vault.release(&recorded, world.now()).unwrap().len(),
        2
    );
}

#[tokio::test]
async fn a_key_over_http_goes_by_the_same_rules() {
    let (world, scribe) = World::new().await;
    world.put(&shop(), "api/openai", "sk", None).await;
    let env = [("API_OPENAI", "api/openai")];
    world.project("keys", &["scribe"], &env).await.unwrap();
    let path = KeyKind::Api.path("openai").unwrap();
    let resolve = || {
        let (vault, snapshot) = (&world.vault, world.snapshot());
        KeyRead::resolve(vault, &snapshot, &scribe.id, &path, world.now())
    };
    world.set("api/openai", only(&[DeliveryWay::Env])).await;
    let error = resolve().err().unwrap();
    let refused = matches!(
        &error,
        AuthorityError::DeliveryNotAllowed {
            delivery: Delivery::Http,
            ..
        }
    );
    assert!(refused, "{error}");
    world.set("api/openai", only(&[DeliveryWay::Http])).await;
    let op = resolve().unwrap().unwrap();
    let permit = world.permit(&scribe, op.ask()).unwrap();
    let id = world.ask(permit).await.unwrap();
    let names = || {
        let op = KeyListing {
            namespace: Namespace::clone(&shop()),
            agent: scribe.id,
        };
        let permit = world.permit(&scribe, op).unwrap();
        KeyListing::run(&permit, &world.snapshot(), world.store(), world.now()).unwrap()
    };
    world.set("api/openai", expiring(&world)).await;
    world.pass(MINUTE);
    // Nobody was granted it yet.
    assert!(resolve().unwrap().is_none());
    let terms = world.terms();
    world.approve(&world.alice, id, &terms).await.unwrap();
    let error = resolve().err().unwrap();
    assert!(matches!(error, AuthorityError::Expired(_)), "{error}");
    assert_eq!(names(), KeyNames::default());
    let cleared = SecretAbout {
        clear: vec![procura_types::wire::SecretField::Expires],
        ..SecretAbout::default()
    };
    world.set("api/openai", cleared).await;
    assert!(resolve().unwrap().is_some());
    assert_eq!(names().api, ["openai"]);
    world.set("api/openai", only(&[DeliveryWay::Env])).await;
    assert_eq!(names(), KeyNames::default());
}

#[tokio::test]
async fn nothing_is_granted_in_a_way_that_the_rule_does_not_name() {
    let (world, scribe) = World::new().await;
    let id = world.run(&scribe, "web", &[]).await.unwrap().pending();
    world.set("api/key", only(&[DeliveryWay::Http])).await;
    let mut terms = world.terms();
    let error = world.approve(&world.alice, id, &terms).await;
    let error = error.unwrap_err().domain();
    let refused = matches!(
        &error,
        AuthorityError::DeliveryNotAllowed { name, delivery: Delivery::Env }
            if name.as_str() == "API_KEY"
    );
    assert!(refused, "{error}");
    // The rest of what was asked for can be.
    terms.names = Some(vec!["DB_PASSWORD"]);
    let grant = world.approve(&world.alice, id, &terms).await.unwrap();
    assert_eq!(grant.items.len(), 1);
}
