//! What a token opens is looked at anew each time, and it opens all that is asked for or
//! nothing.

use super::{KINDS, NS, grant, issue, newest, opens, refused, show, show_for, token};
use crate::actors::{Actors, value_b64};
use crate::world::CANARY;
use procura_types::Duration;
use procura_types::encoding::b64url;
use serde_json::{Value, json};

const PROJECT: &str = "/v1/namespaces/shop/projects/web";

fn mapping(env: Value) -> Value {
    json!({"agents": ["scribe"], "env": env})
}

/// That nothing is given, for this reason.
async fn nothing(actors: &Actors, token: &str, code: &str, reason: Option<&str>, what: &str) {
    let answer = show(actors, token).await;
    answer.expect(code, reason, None, what);
    let (plain, encoded) = (CANARY, value_b64());
    let text = answer.text();
    assert!(!text.contains(plain) && !text.contains(&encoded), "{what}");
}

#[tokio::test]
async fn at_its_end_to_the_millisecond_it_opens_nothing() {
    for kind in KINDS {
        let actors = Actors::new().await;
        let clock = &actors.world.clock;
        let body = json!({"kind": kind, "names": ["DB"], "life": 60});
        let token = issue(&actors, body).await;
        clock.turn(Duration::from_millis(59_999));
        opens(&actors, &token.text, "a millisecond before").await;
        clock.turn(Duration::from_millis(1));
        refused(&actors, &token.text, "token_expired", kind).await;
        clock.turn(Duration::from_secs(3600));
        refused(&actors, &token.text, "token_expired", kind).await;
        let target = format!("{NS}/tokens");
        let list = actors.ok("otto", "GET", &target, Value::Null).await;
        assert_eq!(list["tokens"][0]["state"], "expired");
    }
}

#[tokio::test]
async fn the_newest_version_is_handed_over_by_the_names_that_are_asked_for() {
    let actors = Actors::new().await;
    grant(&actors, &["API", "DB", "MAIL"]).await;
    let token = issue(&actors, json!({"kind": "signed"})).await;
    let other = b64url(b"another value");
    let target = format!("{NS}/secrets/api/key");
    actors
        .ok("adam", "PUT", &target, json!({"value_b64": other}))
        .await;
    let all = show(&actors, &token.text).await.json();
    let values = all["values"].as_object().unwrap();
    assert_eq!(values.len(), 3);
    assert_eq!(
        (&values["API"]["value_b64"], &values["API"]["version"]),
        (&json!(other), &json!(2))
    );
    assert_eq!(all["token"], token.id);
    let some = show_for(&actors, &token.text, &json!({"names": ["API", "API"]}))
        .await
        .json();
    let values = some["values"].as_object().unwrap();
    assert_eq!(values.keys().collect::<Vec<_>>(), ["API"]);
    let entry = newest(&actors, "project_token.use").await;
    assert_eq!(entry["resource"], "project/web API=api/key@2");
    // A name that it was not issued for, with one that it was.
    let more = json!({"names": ["API", "OTHER"]});
    let answer = show_for(&actors, &token.text, &more).await;
    answer.expect("token_scope", Some("not_in_scope"), None, "not its own");
    assert!(!answer.text().contains(&other));
    let entry = newest(&actors, "project_token.use").await;
    assert_eq!(
        (&entry["reason"], &entry["token"]),
        (&json!("not_in_scope"), &json!(token.id))
    );
}

/// One of three values that cannot be had, in every way: the other two are not given.
#[tokio::test]
async fn there_is_no_part_of_an_environment() {
    type Break = (
        &'static str,
        &'static str,
        String,
        Value,
        &'static str,
        Option<&'static str>,
    );
    let secret = format!("{NS}/secrets/api/key");
    let metadata = format!("{NS}/metadata/api/key");
    let env = |api: Value| {
        let mut env = json!({"DB": "db/password", "MAIL": "mail/key"});
        if !api.is_null() {
            env["API"] = api;
        }
        mapping(env)
    };
    let cases: Vec<Break> = vec![
        (
            "deleted",
            "DELETE",
            secret.clone(),
            Value::Null,
            "value_missing",
            None,
        ),
        (
            "destroyed",
            "DELETE",
            format!("{secret}?version=1&destroy=true"),
            Value::Null,
            "value_missing",
            None,
        ),
        (
            "expired",
            "POST",
            metadata.clone(),
            json!({"expires": "2020-01-01T00:00:00Z"}),
            "secret_expired",
            None,
        ),
        (
            "not in this way",
            "POST",
            metadata.clone(),
            json!({"delivery": ["http"]}),
            "delivery_not_allowed",
            None,
        ),
        (
            "for a broker alone",
            "POST",
            metadata,
            json!({"delivery": ["broker-only"]}),
            "delivery_not_allowed",
            None,
        ),
        (
            "mapped to another",
            "PUT",
            PROJECT.to_owned(),
            env(json!("mail/key")),
            "token_scope",
            Some("remapped"),
        ),
        (
            "mapped to nothing",
            "PUT",
            PROJECT.to_owned(),
            env(json!("no/thing")),
            "token_scope",
            Some("remapped"),
        ),
        (
            "not mapped any more",
            "PUT",
            PROJECT.to_owned(),
            env(Value::Null),
            "value_missing",
            None,
        ),
    ];
    for (what, method, target, body, code, reason) in cases {
        for kind in KINDS {
            let actors = Actors::new().await;
            grant(&actors, &["API", "DB", "MAIL"]).await;
            let token = issue(&actors, json!({"kind": kind})).await;
            opens(&actors, &token.text, what).await;
            actors.ok("adam", method, &target, body.clone()).await;
            nothing(&actors, &token.text, code, reason, what).await;
            // The others by themselves are there still.
            let rest = json!({"names": ["DB", "MAIL"]});
            let answer = show_for(&actors, &token.text, &rest).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            // And all of them once it is as it was, where it can be.
            if code == "token_scope" {
                let back = json!({"API": "api/key", "DB": "db/password", "MAIL": "mail/key"});
                actors.ok("adam", "PUT", PROJECT, mapping(back)).await;
                opens(&actors, &token.text, "mapped as before").await;
            }
        }
    }
}

/// A name that stands for another secret by what that declares is another name.
#[tokio::test]
async fn a_name_stands_for_the_secret_that_it_stood_for() {
    let actors = Actors::new().await;
    let put = |path: &str| format!("{NS}/secrets/{path}");
    let declared = json!({"value_b64": value_b64(), "env": "TOKEN"});
    actors
        .ok("adam", "PUT", &put("old/token"), declared.clone())
        .await;
    grant(&actors, &["TOKEN"]).await;
    let token = issue(&actors, json!({"kind": "opaque", "names": ["TOKEN"]})).await;
    let answer = show(&actors, &token.text).await;
    assert_eq!(
        answer.json()["values"]["TOKEN"]["path"],
        "old/token",
        "{}",
        answer.text()
    );
    // Two that declare it are ambiguous, and neither is given.
    actors.ok("adam", "PUT", &put("new/token"), declared).await;
    nothing(&actors, &token.text, "ambiguous_name", None, "two of them").await;
    actors
        .ok("adam", "DELETE", &put("old/token"), Value::Null)
        .await;
    nothing(
        &actors,
        &token.text,
        "token_scope",
        Some("remapped"),
        "another declares it",
    )
    .await;
    let mapped = mapping(json!({"TOKEN": "old/token"}));
    actors.ok("adam", "PUT", PROJECT, mapped).await;
    nothing(
        &actors,
        &token.text,
        "value_missing",
        None,
        "mapped, and deleted",
    )
    .await;
}

/// The first approval goes by one path of a name, the second by another: a token of one
/// is not one of the other.
#[tokio::test]
async fn a_rule_of_one_name_opens_no_other() {
    let actors = Actors::new().await;
    // `DB` is granted; two names that begin and end like it are not.
    let env = json!({"DB": "db/password", "DB2": "api/key", "XDB": "mail/key"});
    actors.ok("adam", "PUT", PROJECT, mapping(env)).await;
    let token = token(&actors, "signed").await;
    for names in [json!(["DB2"]), json!(["XDB"]), json!(["DB", "DB2"])] {
        let answer = show_for(&actors, &token.text, &json!({"names": names})).await;
        answer.expect(
            "token_scope",
            Some("not_in_scope"),
            None,
            &names.to_string(),
        );
    }
    // The same path under another name is another thing too.
    let env = json!({"DB": "api/key", "OLD": "db/password"});
    actors.ok("adam", "PUT", PROJECT, mapping(env)).await;
    nothing(
        &actors,
        &token.text,
        "token_scope",
        Some("remapped"),
        "swapped",
    )
    .await;
}
