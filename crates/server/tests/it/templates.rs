//! Templates: what a run gets of one, what it takes, and what the record says.

use crate::actors::{Actors, value_b64};
use crate::world::{Answer, CANARY};
use procura_types::encoding;
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";
const RUNS: &str = "/v1/namespaces/shop/projects/web/runs";

async fn put(actors: &Actors, path: &str, body: &Value) -> Answer {
    let target = format!("{NS}/secrets/{path}");
    let world = &actors.world;
    world
        .call(actors.key("adam"), "PUT", &target, Some(body))
        .await
}

async fn template(actors: &Actors, path: &str, text: &[u8]) {
    let body = json!({"value_b64": encoding::b64url(text), "kind": "template"});
    let written = put(actors, path, &body).await;
    assert_eq!(written.status, 200, "{}", written.text());
}

/// The project of `scribe` with these names.
async fn map(actors: &Actors, env: Value) {
    let body = json!({"agents": ["scribe"], "env": env});
    let target = format!("{NS}/projects/web");
    actors.ok("adam", "PUT", &target, body).await;
}

async fn run(actors: &Actors, names: &[&str]) -> Answer {
    let body = json!({"names": names, "delivery": "env"});
    let world = &actors.world;
    world
        .call(actors.key("scribe"), "POST", RUNS, Some(&body))
        .await
}

/// Runs, has what is asked for approved, and runs again.
async fn granted(actors: &Actors, names: &[&str]) -> Answer {
    let asked = run(actors, names).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let id = asked.json()["request"].as_str().unwrap().to_owned();
    let approval = actors.approval(&id, "anna").await;
    let target = format!("{NS}/requests/{id}/approve");
    actors.ok("anna", "POST", &target, approval).await;
    run(actors, names).await
}

fn values(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let values = json["values"].as_object().unwrap();
    values
        .iter()
        .map(|(name, value)| {
            let text = value["value_b64"].as_str().unwrap();
            (name.clone(), encoding::from_b64url("value", text).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_run_gets_the_text_and_the_record_names_what_went_into_it() {
    let actors = Actors::new().await;
    let raw = b"<>&\"'\r\n\0\xff{{procura:DB}}";
    let body = json!({"value_b64": encoding::b64url(raw)});
    put(&actors, "api/key", &body).await;
    let text = b"db={{procura:DB}}\r\nraw={{procura:API}} {{ DB }} ${DB} {{procura:}}DB}}";
    template(&actors, "web/config", text).await;
    let env = json!({"CONFIG": "web/config", "DB": "db/password", "API": "api/key"});
    map(&actors, env).await;

    let asked = run(&actors, &["CONFIG"]).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let names: Vec<Value> = asked.json()["asked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].clone())
        .collect();
    assert_eq!(names, ["API", "CONFIG", "DB"]);
    let delivered = granted(&actors, &["CONFIG"]).await;
    let mut expected = format!("db={CANARY}\r\nraw=").into_bytes();
    expected.extend_from_slice(raw);
    expected.extend_from_slice(b" {{ DB }} ${DB} {{procura:DB}}");
    assert_eq!(
        values(&delivered),
        [("CONFIG".to_owned(), expected.clone())]
    );
    assert_eq!(delivered.json()["values"]["CONFIG"]["path"], "web/config");
    // What is asked for by itself is handed over by itself too.
    let both = granted_or_run(&actors, &["CONFIG", "DB"]).await;
    let both = values(&both);
    assert_eq!(both.len(), 2);
    assert_eq!(both[1], ("DB".to_owned(), CANARY.as_bytes().to_vec()));

    let target = "/v1/ledger/entries?namespace=shop&action=run.deliver&limit=1";
    let found = actors.ok("otto", "GET", target, Value::Null).await;
    let entry: Value =
        serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap();
    assert_eq!(
        entry["resource"],
        "project/web API=api/key@2 CONFIG=web/config@1 DB=db/password@1"
    );
    // An operator reads the template itself.
    let read = actors
        .ok(
            "adam",
            "GET",
            &format!("{NS}/secrets/web/config"),
            Value::Null,
        )
        .await;
    assert_eq!(read["value_b64"], encoding::b64url(text));
}

async fn granted_or_run(actors: &Actors, names: &[&str]) -> Answer {
    let ran = run(actors, names).await;
    if ran.status == 202 {
        granted(actors, names).await
    } else {
        ran
    }
}

#[tokio::test]
async fn a_template_takes_no_more_than_the_project_was_granted() {
    let actors = Actors::new().await;
    template(&actors, "web/config", b"{{procura:API}}").await;
    // In the namespace, but no name of the project: nobody is told more than the name.
    map(&actors, json!({"CONFIG": "web/config"})).await;
    let missing = run(&actors, &["CONFIG"]).await;
    missing.expect("value_missing", None, None, "no such name");
    assert!(missing.text().contains("API"), "{}", missing.text());
    // A grant for the template alone does not open what it takes.
    template(&actors, "web/config", b"no variables").await;
    assert_eq!(granted(&actors, &["CONFIG"]).await.status, 200);
    map(&actors, json!({"CONFIG": "web/config", "API": "api/key"})).await;
    template(&actors, "web/config", b"{{procura:API}}").await;
    let asked = run(&actors, &["CONFIG"]).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert!(!asked.text().contains(&value_b64()));
    let delivered = granted(&actors, &["CONFIG"]).await;
    assert_eq!(values(&delivered)[0].1, CANARY.as_bytes());
    // Each of them counts at each run: a rule, an end, a deletion.
    let set = format!("{NS}/metadata/api/key");
    actors
        .ok("adam", "POST", &set, json!({"delivery": ["http"]}))
        .await;
    run(&actors, &["CONFIG"])
        .await
        .expect("delivery_not_allowed", None, None, "rule");
    actors
        .ok("adam", "POST", &set, json!({"clear": ["delivery"]}))
        .await;
    actors
        .ok("adam", "POST", &set, json!({"expires": actors.world.now()}))
        .await;
    run(&actors, &["CONFIG"])
        .await
        .expect("secret_expired", None, None, "expired");
    actors
        .ok("adam", "POST", &set, json!({"clear": ["expires"]}))
        .await;
    assert_eq!(run(&actors, &["CONFIG"]).await.status, 200);
    let key = format!("{NS}/secrets/api/key");
    let world = &actors.world;
    world.call(actors.key("adam"), "DELETE", &key, None).await;
    run(&actors, &["CONFIG"])
        .await
        .expect("value_missing", None, None, "deleted");
}

#[tokio::test]
async fn templates_hold_no_templates_and_texts_are_bounded() {
    let actors = Actors::new().await;
    template(&actors, "web/config", b"{{procura:INNER}}").await;
    template(&actors, "web/inner", b"{{procura:CONFIG}}").await;
    let env = json!({"CONFIG": "web/config", "INNER": "web/inner"});
    map(&actors, env).await;
    for names in [&["CONFIG"][..], &["INNER"], &["CONFIG", "INNER"]] {
        let refused = run(&actors, names).await;
        refused.expect("value_missing", None, None, "nested");
        assert!(
            refused.text().contains("a template itself"),
            "{}",
            refused.text()
        );
    }
    let big = vec![b'x'; 1024 * 1024];
    let body = json!({"value_b64": encoding::b64url(&big)});
    assert_eq!(put(&actors, "api/key", &body).await.status, 200);
    template(&actors, "web/config", b"{{procura:API}}").await;
    map(&actors, json!({"CONFIG": "web/config", "API": "api/key"})).await;
    assert_eq!(values(&granted(&actors, &["CONFIG"]).await)[0].1, big);
    template(&actors, "web/config", b"{{procura:API}}!").await;
    let refused = run(&actors, &["CONFIG"]).await;
    refused.expect("too_large", None, None, "too large");
    let target = "/v1/ledger/entries?namespace=shop&action=run.deliver&limit=1";
    let found = actors.ok("otto", "GET", target, Value::Null).await;
    let entry: Value =
        serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&entry["decision"], &entry["reason"]),
        (&json!("failed"), &json!("not_rendered"))
    );
}

#[tokio::test]
async fn what_is_no_template_is_refused_where_it_is_written() {
    let actors = Actors::new().await;
    let many: String = (0..65)
        .map(|number| format!("{{{{procura:N{number}}}}}"))
        .collect();
    for text in [
        &b"{{procura:"[..],
        b"{{procura:A",
        b"{{procura:a b}}",
        b"{{procura:A\0}}",
        b"{{procura:../x}}",
        b"{{procura:LD_PRELOAD}}",
        many.as_bytes(),
    ] {
        let body = json!({"value_b64": encoding::b64url(text), "kind": "template"});
        let refused = put(&actors, "web/bad", &body).await;
        refused.expect("malformed", None, Some("value_b64"), "template");
    }
    // As a key for the asking a template is not handed over.
    template(&actors, "api/config", b"text").await;
    let body = json!({"agents": ["scribe"], "env": {"API_CONFIG": "api/config"}});
    actors
        .ok("adam", "PUT", &format!("{NS}/projects/keys"), body)
        .await;
    let answer = actors
        .world
        .call(actors.key("scribe"), "GET", "/keys/api/config", None)
        .await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}
