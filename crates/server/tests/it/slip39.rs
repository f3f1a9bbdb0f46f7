//! Words of SLIP-0039 on the admin socket: made, brought one at a time, mistaken, and in
//! the place of other shares.

use crate::world::{Answer, PASSPHRASE, World};
use serde_json::{Value, json};

async fn post(world: &World, target: &str, body: Value) -> Answer {
    world.admin("POST", target, &body).await
}

async fn add(world: &World, name: &str, source: Value) -> Answer {
    let body = json!({"open": {"passphrase": PASSPHRASE}, "name": name, "source": source});
    post(world, "/admin/unseal-sources", body).await
}

fn set(scheme: &str, threshold: u8, count: u8) -> Value {
    let set = json!({"threshold": threshold, "count": count});
    if scheme == "slip39" {
        json!({"slip39": set})
    } else {
        json!({"shares": set})
    }
}

fn texts(added: &Answer) -> Vec<String> {
    assert_eq!(added.status, 200, "{}", added.text());
    let shares = added.json()["shares"].as_array().unwrap().clone();
    let texts = shares.iter().map(|share| share.as_str().unwrap());
    texts.map(str::to_owned).collect()
}

async fn alone() -> World {
    let world = World::empty();
    let key = procura_crypto::SigningKey::generate_p256(&procura_crypto::SystemEntropy).unwrap();
    world.init(&key).await;
    world
}

async fn sources(world: &World) -> Vec<Value> {
    let list = world
        .admin("GET", "/admin/unseal-sources", &Value::Null)
        .await;
    list.json()["sources"].as_array().unwrap().clone()
}

async fn bring(world: &World, share: &str, ceremony: Option<&Value>) -> Answer {
    let mut body = json!({"share": share});
    if let Some(ceremony) = ceremony {
        body["ceremony"] = ceremony.clone();
    }
    post(world, "/admin/unseal-share", body).await
}

#[tokio::test]
async fn words_are_brought_one_at_a_time_and_each_mistake_is_named() {
    let world = alone().await;
    let old = texts(&add(&world, "old", set("slip39", 2, 3)).await);
    let replaced = add(&world, "words", set("slip39", 2, 3)).await;
    assert_eq!(replaced.json()["retired"], json!(["old"]));
    let words = texts(&replaced);
    assert!(words.iter().all(|text| text.split(' ').count() == 33));
    let listed = &sources(&world).await[1];
    assert_eq!(
        (&listed["kind"], &listed["threshold"], &listed["count"]),
        (&json!("slip39"), &json!(2), &json!(3))
    );
    world.seal().await;

    let mut typed: Vec<&str> = words[0].split(' ').collect();
    let right = std::mem::replace(&mut typed[9], "procura");
    bring(&world, &typed.join(" "), None).await.expect(
        "share_malformed",
        Some("unknown_word"),
        None,
        "a word of no list",
    );
    typed[9] = if right == "academic" {
        "acid"
    } else {
        "academic"
    };
    bring(&world, &typed.join(" "), None).await.expect(
        "share_malformed",
        Some("checksum"),
        None,
        "another word",
    );
    bring(&world, &typed[..12].join(" "), None).await.expect(
        "share_malformed",
        Some("no_share"),
        None,
        "words are missing",
    );
    let together = |which: Vec<&String>| post(&world, "/admin/unseal", json!({"shares": which}));
    together(vec![&words[0]])
        .await
        .expect("shares_too_few", None, None, "too few");
    together(vec![&words[0], &words[0]])
        .await
        .expect("share_repeated", None, None, "repeated");
    assert_eq!(world.app.wrong_tries(), 0, "mistakes are no guesses");

    let begun = bring(&world, &words[2].to_uppercase(), None).await.json();
    assert_eq!(
        (&begun["have"], &begun["need"], &begun["source"]),
        (&json!(1), &json!(2), &json!("words"))
    );
    let name = &begun["ceremony"];
    bring(&world, &words[2], Some(name))
        .await
        .expect("share_repeated", None, None, "twice");
    let done = bring(&world, &words[0], Some(name)).await.json();
    assert_eq!((&done["have"], &done["opened"]), (&json!(2), &json!(true)));

    world.seal().await;
    // The old set is another one, but for one in 32,768, whose words are forged then.
    let code = bring(&world, &old[0], None).await.problem("old").code;
    assert!(
        ["share_other_set", "share_forged"].contains(&code.as_str()),
        "{code}"
    );
    assert_eq!(world.app.wrong_tries(), 1);
}

#[tokio::test]
async fn one_set_is_in_force_whatever_its_scheme() {
    let world = alone().await;
    let text = texts(&add(&world, "text", set("shamir", 2, 3)).await);
    let words = add(&world, "words", set("slip39", 2, 16)).await;
    assert_eq!(words.json()["retired"], json!(["text"]));
    assert_eq!(texts(&words).len(), 16);
    let more = add(&world, "more", set("slip39", 2, 17)).await;
    more.expect("share_malformed", None, None, "17 of them");
    let again = add(&world, "again", set("shamir", 2, 3)).await;
    assert_eq!(again.json()["retired"], json!(["words"]));
    world.seal().await;
    let mixed = json!({"shares": [texts(&again)[0], texts(&words)[1]]});
    post(&world, "/admin/unseal", mixed)
        .await
        .expect("share_other_set", None, None, "one of each");
    let old = json!({"shares": [text[0], text[1]]});
    post(&world, "/admin/unseal", old)
        .await
        .expect("share_other_set", None, None, "of before");
}

/// Two who add a set at once leave one: whoever comes second goes by what there is then.
#[tokio::test]
async fn of_two_sets_at_once_the_second_takes_the_place_of_the_first() {
    for (one, other) in [("shamir", "shamir"), ("shamir", "slip39")] {
        let world = alone().await;
        let (first, second) = tokio::join!(
            add(&world, "one", set(one, 2, 3)),
            add(&world, "two", set(other, 2, 3))
        );
        let retired = [first.json(), second.json()].map(|made| made["retired"].clone());
        assert!(
            [[json!([]), json!(["one"])], [json!(["two"]), json!([])]].contains(&retired),
            "{retired:?}"
        );
        let kinds: Vec<_> = sources(&world).await;
        assert_eq!(kinds.len(), 2, "{kinds:?}");
        assert_eq!(kinds[0]["kind"], "passphrase");
    }
}
