//! What opens the vault, on the admin socket: added, tried, removed, and shares that are
//! brought one by one.

use crate::actors::Actors;
use crate::world::{Answer, PASSPHRASE, World};
use serde_json::{Value, json};

const SECOND: &str = "canary passphrase 71c2";

fn passphrase() -> Value {
    json!({"passphrase": PASSPHRASE})
}

async fn post(world: &World, target: &str, body: Value) -> Answer {
    world.admin("POST", target, &body).await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Makes shares, three of which open the vault of five, and gives their texts.
async fn shares(world: &World, name: &str) -> Vec<String> {
    let body = json!({
        "open": passphrase(),
        "name": name,
        "source": {"shares": {"threshold": 3, "count": 5}},
    });
    let added = post(world, "/admin/unseal-sources", body).await;
    assert_eq!(added.status, 200, "{}", added.text());
    let shares = added.json()["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect::<Vec<_>>();
    assert_eq!(shares.len(), 5);
    shares
}

async fn names(world: &World) -> Vec<(String, String)> {
    let list = world
        .admin("GET", "/admin/unseal-sources", &Value::Null)
        .await;
    let list = list.json();
    let sources = list["sources"].as_array().unwrap().iter();
    sources
        .map(|source| (text(&source["name"]), text(&source["kind"])))
        .collect()
}

fn pair(name: &str, kind: &str) -> (String, String) {
    (name.to_owned(), kind.to_owned())
}

/// Brings one share.
async fn bring(world: &World, share: &str, ceremony: Option<&Value>) -> Answer {
    let mut body = json!({"share": share});
    if let Some(ceremony) = ceremony {
        body["ceremony"] = ceremony.clone();
    }
    post(world, "/admin/unseal-share", body).await
}

async fn is_sealed(world: &World) -> bool {
    let status = world.admin("GET", "/admin/status", &Value::Null).await;
    status.json()["sealed"] == json!(true)
}

/// Entries of an action, newest first.
async fn entries(actors: &Actors, action: &str) -> Vec<Value> {
    let target = format!("/v1/ledger/entries?action={action}&limit=100");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    let rows = found["entries"].as_array().unwrap().iter();
    rows.map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect()
}

/// An installation with one operator, who alone makes shares.
async fn alone() -> (World, procura_crypto::SigningKey) {
    let world = World::empty();
    let key = procura_crypto::SigningKey::generate_p256(&procura_crypto::SystemEntropy).unwrap();
    world.init(&key).await;
    (world, key)
}

#[tokio::test]
async fn several_people_open_the_vault_with_a_share_each() {
    let (world, key) = alone().await;
    let shares = shares(&world, "recovery").await;
    assert_eq!(
        names(&world).await,
        [pair("passphrase", "passphrase"), pair("recovery", "shares")]
    );
    world.seal().await;

    let first = bring(&world, &shares[3], None).await.json();
    assert_eq!(
        (
            &first["have"],
            &first["need"],
            &first["opened"],
            &first["source"]
        ),
        (&json!(1), &json!(3), &json!(false), &json!("recovery"))
    );
    let name = first["ceremony"].clone();
    // Whoever does not know the name begins a ceremony of their own, and ends nobody's.
    let other = bring(&world, &shares[0], None).await.json();
    assert_eq!(other["have"], json!(1));
    assert_ne!(other["ceremony"], name);
    bring(&world, &shares[0], Some(&json!("AAAAAAAAAAAAAAAAAAAAAA")))
        .await
        .expect("not_found", None, None, "a ceremony that was guessed");
    bring(&world, &shares[3], Some(&name))
        .await
        .expect("share_repeated", None, None, "twice");
    let second = bring(&world, &shares[0].to_lowercase(), Some(&name))
        .await
        .json();
    assert_eq!(
        (&second["have"], &second["opened"]),
        (&json!(2), &json!(false))
    );
    assert!(is_sealed(&world).await);
    let last = bring(&world, &shares[4], Some(&name)).await.json();
    assert_eq!((&last["have"], &last["opened"]), (&json!(3), &json!(true)));
    assert!(!is_sealed(&world).await);

    let list = world
        .ok(
            &key,
            "GET",
            "/v1/ledger/entries?action=installation.unseal&limit=1",
            Value::Null,
        )
        .await;
    let entry: Value = serde_json::from_str(list["entries"][0]["entry"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&entry["decision"], &entry["reason"], &entry["resource"]),
        (
            &json!("allow"),
            &json!("recovery"),
            &json!("unseal_source/recovery")
        )
    );
    // The other ceremony is over with it.
    world.seal().await;
    bring(&world, &shares[1], Some(&other["ceremony"]))
        .await
        .expect("not_found", None, None, "of before");
}

#[tokio::test]
async fn each_wrong_share_has_its_own_error_and_a_guess_is_slowed() {
    let (world, _) = alone().await;
    let old = shares(&world, "recovery").await;
    let body = json!({"open": passphrase(), "name": "recovery"});
    let removed = post(&world, "/admin/unseal-sources/remove", body).await;
    assert_eq!(removed.status, 204, "{}", removed.text());
    let new = shares(&world, "recovery").await;
    world.seal().await;
    let together = |which: Vec<&String>| post(&world, "/admin/unseal", json!({"shares": which}));

    let mut mistyped = new[0].clone();
    mistyped.replace_range(20..21, if &new[0][20..21] == "A" { "B" } else { "A" });
    bring(&world, &mistyped, None).await.expect(
        "share_malformed",
        Some("checksum"),
        None,
        "mistyped",
    );
    bring(&world, "PROCURA-SHARE-2-AAAA", None).await.expect(
        "share_malformed",
        Some("no_share"),
        None,
        "no share",
    );
    for few in [vec![], vec![&new[0], &new[1]]] {
        let refused = together(few).await;
        refused.expect("shares_too_few", None, None, "too few");
    }
    together(vec![&new[0], &new[1], &new[1]]).await.expect(
        "share_repeated",
        None,
        None,
        "repeated",
    );
    assert_eq!(world.app.wrong_tries(), 0, "mistakes are no guesses");

    let refused = together(vec![&new[0], &new[1], &old[2]]).await;
    refused.expect("share_other_set", None, None, "mixed");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.app.wrong_tries(), 1);
    let refused = bring(&world, &old[0], None).await;
    refused.expect(
        "share_other_set",
        None,
        None,
        "of the set that was replaced",
    );
    assert_eq!(refused.headers["retry-after"], "2");
    // Somebody who saw a share knows the set, and makes another.
    let seen = procura_crypto::shamir::Share::parse(&new[0]).unwrap();
    let forged = procura_crypto::shamir::split(
        &procura_types::Secret::new([7; 32]),
        3,
        5,
        *seen.set(),
        &procura_crypto::SystemEntropy,
    )
    .unwrap();
    let forged = forged[1].encode().expose().clone();
    let refused = bring(&world, &forged, None).await;
    refused.expect("share_forged", None, None, "forged");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("hare 2 "),
        "{}",
        refused.text()
    );
    assert_eq!(world.app.wrong_tries(), 3);
    assert!(is_sealed(&world).await);
    let opened = together(vec![&new[2], &new[4], &new[1]]).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_eq!(world.app.wrong_tries(), 0);
}

#[tokio::test]
async fn a_session_is_not_enough_and_what_is_tried_is_recorded() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let add = |open: Value, name: &str| {
        let source = json!({"passphrase": SECOND});
        post(
            world,
            "/admin/unseal-sources",
            json!({"open": open, "name": name, "source": source}),
        )
    };
    add(json!({"passphrase": "not the passphrase"}), "second")
        .await
        .expect("wrong_passphrase", None, None, "without what opens it");
    let added = add(passphrase(), "second").await;
    assert_eq!(added.status, 200, "{}", added.text());
    add(passphrase(), "second")
        .await
        .expect("already_exists", None, None, "the name is taken");
    let weak =
        json!({"open": passphrase(), "name": "weak", "source": {"passphrase": "elevenchars"}});
    post(world, "/admin/unseal-sources", weak)
        .await
        .expect("weak_passphrase", None, None, "weak");
    for (threshold, count) in [(1, 3), (0, 0), (4, 3)] {
        let source = json!({"shares": {"threshold": threshold, "count": count}});
        let refused = post(
            world,
            "/admin/unseal-sources",
            json!({"open": passphrase(), "name": "few", "source": source}),
        );
        // There are several operators here, and one steward, who needs nobody's yes.
        refused
            .await
            .expect("share_malformed", None, None, "no such set");
    }

    let tried = post(
        world,
        "/admin/unseal-sources/test",
        json!({"open": {"passphrase": SECOND}}),
    )
    .await;
    assert_eq!(
        (&tried.json()["name"], &tried.json()["kind"]),
        (&json!("second"), &json!("passphrase"))
    );
    post(
        world,
        "/admin/unseal-sources/test",
        json!({"open": {"passphrase": "neither of them"}}),
    )
    .await
    .expect("wrong_passphrase", None, None, "tried");

    let remove = |name: &str| {
        post(
            world,
            "/admin/unseal-sources/remove",
            json!({"open": passphrase(), "name": name}),
        )
    };
    remove("third")
        .await
        .expect("not_found", None, None, "unknown");
    let wrong_tries = world.app.wrong_tries();
    let own = remove("passphrase").await;
    own.expect("conflict", Some("brought_leaves"), None, "its own");
    let detail = own.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("bring what opens the vault when it is gone"),
        "{detail}"
    );
    assert_eq!(world.app.wrong_tries(), wrong_tries, "it was right");
    assert_eq!(remove("second").await.status, 204);
    remove("passphrase")
        .await
        .expect("conflict", None, None, "the last");
    world.seal().await;
    post(world, "/admin/unseal", json!({"passphrase": SECOND}))
        .await
        .expect("wrong_passphrase", None, None, "removed");
    assert_eq!(post(world, "/admin/unseal", passphrase()).await.status, 204);

    // Also what was refused while the vault was open: without what opens it, tried, and,
    // sealed, what was removed.
    let refused = entries(&actors, "installation.unseal").await;
    let refused: Vec<_> = refused
        .iter()
        .filter(|entry| entry["decision"] == json!("deny"))
        .map(|entry| text(&entry["reason"]))
        .collect();
    assert_eq!(refused, ["wrong_passphrase"; 3]);

    for (action, decision, resource) in [
        ("unseal_source.add", "allow", "unseal_source/second"),
        ("unseal_source.test", "allow", "unseal_source/second"),
        ("unseal_source.remove", "allow", "unseal_source/second"),
    ] {
        let found = entries(&actors, action).await;
        assert_eq!(found.len(), 1, "{action}: {found:?}");
        assert_eq!(
            (&found[0]["decision"], &found[0]["profile"]),
            (&json!(decision), &json!("admin_socket"))
        );
        // Where the root turned, the record's new key stands behind it.
        let said = text(&found[0]["resource"]);
        assert_eq!(said.split(' ').next(), Some(resource), "{said}");
        assert_eq!(said.contains(" ledger_key:"), action.ends_with("remove"));
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_written_is_none_and_the_record_says_so() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let blocked = world.home.path().join("installation.json.new");
    std::fs::create_dir(&blocked).unwrap();
    let body = json!({"open": passphrase(), "name": "second", "source": {"passphrase": SECOND}});
    let failed = post(world, "/admin/unseal-sources", body).await;
    failed.expect("internal", None, None, "the file cannot be written");
    assert_eq!(names(world).await, [pair("passphrase", "passphrase")]);
    let found = entries(&actors, "unseal_source.add").await;
    let said = |entry: &Value| (text(&entry["phase"]), text(&entry["decision"]));
    assert_eq!(
        found.iter().map(said).collect::<Vec<_>>(),
        [pair("outcome", "failed"), pair("intent", "allow")]
    );
    std::fs::remove_dir(&blocked).unwrap();
    world.seal().await;
    post(world, "/admin/unseal", json!({"passphrase": SECOND}))
        .await
        .expect("wrong_passphrase", None, None, "never added");
}
