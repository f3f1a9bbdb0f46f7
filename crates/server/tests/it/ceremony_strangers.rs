//! A ceremony of shares and people who are no part of it: they can neither end it nor see
//! that there is one.

use crate::actors::Actors;
use crate::world::{Answer, PASSPHRASE, Sent, World};
use procura_crypto::{SigningKey, SystemEntropy};
use serde_json::{Value, json};

async fn post(world: &World, target: &str, body: Value) -> Answer {
    world.admin("POST", target, &body).await
}

/// Shares, three of which open the vault of five.
async fn shares(world: &World, name: &str) -> Vec<String> {
    let body = json!({
        "open": {"passphrase": PASSPHRASE},
        "name": name,
        "source": {"shares": {"threshold": 3, "count": 5}},
    });
    let added = post(world, "/admin/unseal-sources", body).await;
    assert_eq!(added.status, 200, "{}", added.text());
    let added = added.json();
    let shares = added["shares"].as_array().unwrap().iter();
    shares
        .map(|share| share.as_str().unwrap().to_owned())
        .collect()
}

async fn alone() -> (World, SigningKey) {
    let world = World::empty();
    let key = SigningKey::generate_p256(&SystemEntropy).unwrap();
    world.init(&key).await;
    (world, key)
}

async fn bring(world: &World, share: &str, ceremony: Option<&str>) -> Answer {
    let mut body = json!({"share": share});
    if let Some(ceremony) = ceremony {
        body["ceremony"] = ceremony.into();
    }
    post(world, "/admin/unseal-share", body).await
}

/// Begins a ceremony, and gives its name.
async fn begun(world: &World, share: &str) -> String {
    let begun = bring(world, share, None).await.json();
    assert_eq!((&begun["have"], &begun["need"]), (&json!(1), &json!(3)));
    begun["ceremony"].as_str().unwrap().to_owned()
}

/// One with a share more in it goes on as if nothing had been tried.
async fn goes_on(world: &World, share: &str, ceremony: &str, have: u8, what: &str) {
    let answer = bring(world, share, Some(ceremony)).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    let progress = answer.json();
    assert_eq!(progress["have"], json!(have), "{what}");
    assert_eq!(progress["ceremony"], json!(ceremony), "{what}");
}

#[tokio::test]
async fn nobody_ends_a_ceremony_by_what_they_bring() {
    let (world, _) = alone().await;
    let old = shares(&world, "old").await;
    let new = shares(&world, "new").await;
    world.seal().await;
    let ceremony = begun(&world, &new[0]).await;
    let seen = procura_crypto::shamir::Share::parse(&new[0]).unwrap();
    let forged = procura_crypto::shamir::split(
        &procura_types::Secret::new([7; 32]),
        3,
        5,
        *seen.set(),
        &SystemEntropy,
    )
    .unwrap();
    let forged = forged[1].encode().expose().clone();
    let mut mistyped = new[1].clone();
    mistyped.replace_range(20..21, if &new[1][20..21] == "A" { "B" } else { "A" });
    let guessed = "AAAAAAAAAAAAAAAAAAAAAA";
    for (what, share, name, code) in [
        ("a guessed name", &new[1], Some(guessed), "not_found"),
        ("an empty name", &new[1], Some(""), "not_found"),
        (
            "a name that is half",
            &new[1],
            ceremony.get(..11),
            "not_found",
        ),
        (
            "a forged share, by its name",
            &forged,
            Some(&*ceremony),
            "share_forged",
        ),
        ("a forged share", &forged, None, "share_forged"),
        (
            "of another set, by its name",
            &old[1],
            Some(&*ceremony),
            "share_other_set",
        ),
        ("of another set", &old[1], None, "share_other_set"),
        (
            "mistyped, by its name",
            &mistyped,
            Some(&*ceremony),
            "share_malformed",
        ),
        (
            "the same share again, by its name",
            &new[0],
            Some(&*ceremony),
            "share_repeated",
        ),
    ] {
        let refused = bring(&world, share, name).await;
        assert_eq!(refused.json()["code"], code, "{what}: {}", refused.text());
        // How guesses are slowed is looked at elsewhere.
        world.app.forgive();
    }
    // Whoever holds a share of the set begins a ceremony of their own with it.
    let other = begun(&world, &new[3]).await;
    assert_ne!(other, ceremony);
    // A wrong passphrase, and one that is right for something else, end nothing either.
    let wrong = post(
        &world,
        "/admin/unseal",
        json!({"passphrase": "not the passphrase"}),
    );
    wrong.await.expect("wrong_passphrase", None, None, "wrong");
    world.app.forgive();
    let few = post(&world, "/admin/unseal", json!({"shares": [new[0], new[1]]}));
    few.await.expect("shares_too_few", None, None, "too few");
    goes_on(&world, &new[1], &ceremony, 2, "after all of it").await;
    goes_on(&world, &new[2], &ceremony, 3, "to its end").await;
    let status = world.admin("GET", "/admin/status", &Value::Null).await;
    assert_eq!(status.json()["sealed"], json!(false));
    // The other is over with it, and says no more than one that there never was.
    world.seal().await;
    let over = bring(&world, &new[4], Some(&other)).await;
    let never = bring(&world, &new[4], Some(guessed)).await;
    over.expect("not_found", None, None, "over");
    assert_eq!(over.json()["detail"], never.json()["detail"]);
}

#[tokio::test]
async fn nobody_sees_that_there_is_a_ceremony() {
    let (world, _) = alone().await;
    let shares = shares(&world, "recovery").await;
    world.seal().await;
    let looks = async || {
        let mut seen = Vec::new();
        for target in ["/admin/status", "/admin/unseal-sources"] {
            let answer = world.admin("GET", target, &Value::Null).await;
            assert_eq!(answer.status, 200, "{target}");
            seen.push(answer.json());
        }
        for target in ["/v1/status", "/v1/namespaces"] {
            let answer = world.send(&Sent::new("GET", target, None)).await;
            let mut body: Value = serde_json::from_str(&answer.text()).unwrap();
            // Of each request its own.
            if let Some(members) = body.as_object_mut() {
                members.remove("request_id");
                members.remove("time");
                members.remove("now");
            }
            seen.push(json!([answer.status.as_u16(), body]));
        }
        seen
    };
    let before = looks().await;
    let ceremony = begun(&world, &shares[0]).await;
    goes_on(&world, &shares[1], &ceremony, 2, "brought").await;
    assert_eq!(looks().await, before);
    let text = format!("{before:?}");
    assert!(!text.contains("ceremony"), "{text}");
    // There is nothing that lists, shows or ends one.
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        for target in [
            "/admin/unseal-share".to_owned(),
            format!("/admin/unseal-share/{ceremony}"),
        ] {
            let answer = world
                .admin(method, &target, &json!({"ceremony": ceremony}))
                .await;
            let expected = if target.ends_with("share") { 405 } else { 404 };
            assert_eq!(
                answer.status,
                expected,
                "{method} {target}: {}",
                answer.text()
            );
        }
    }
    goes_on(&world, &shares[2], &ceremony, 3, "after all of it").await;
}

/// The socket lies in the server's own folder; over the network there is no ceremony, for
/// nobody, signed or not.
#[tokio::test]
async fn over_the_network_there_is_no_ceremony() {
    let actors = Actors::new().await;
    let world = &actors.world;
    for sealed in [false, true] {
        if sealed {
            world.seal().await;
        }
        for target in [
            "/admin/unseal-share",
            "/admin/unseal",
            "/admin/unseal-sources",
            "/admin/unseal-sources/test",
            "/admin/operators/recover",
            "/admin/status",
            "/v1/unseal-share",
            "/v1/admin/unseal-share",
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let body = json!({"share": "PROCURA-SHARE-1-AAAA"}).to_string();
                let body = (method != "GET").then(|| body.into_bytes());
                let answer = world
                    .send(&Sent::new(method, target, body.as_deref()))
                    .await;
                answer.expect("not_found", None, None, &format!("{method} {target}"));
            }
        }
    }
}
