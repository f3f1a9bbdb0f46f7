//! What goes into several namespaces: all of it or nothing, by whoever may do each part,
//! and recorded as the parts would have been.

use crate::actors::Actors;
use crate::honey::until_held;
use crate::world::Answer;
use procura_types::encoding;
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces";

async fn import(actors: &Actors, by: &str, namespaces: Value) -> Answer {
    let body = json!({"namespaces": namespaces});
    let world = &actors.world;
    world
        .call(actors.key(by), "POST", "/v1/import", Some(&body))
        .await
}

fn item(path: &str, value: &[u8]) -> Value {
    json!({"secret": {"path": path, "value_b64": encoding::b64url(value)}})
}

fn decoy(path: &str) -> Value {
    let value = encoding::b64url(b"AKIAIOSFODNN7EXAMPLE");
    json!({"path": path, "plant": {"value_b64": value, "description": "old"}})
}

/// Paths of a namespace, as `alice` lists them; none where there is no namespace.
async fn paths(actors: &Actors, namespace: &str) -> Option<Vec<String>> {
    let target = format!("{NS}/{namespace}/secrets?prefix=in/");
    let world = &actors.world;
    let list = world.call(actors.key("alice"), "GET", &target, None).await;
    if list.status == 404 {
        return None;
    }
    let list = list.json();
    let rows = list["secrets"].as_array().unwrap().iter();
    Some(
        rows.map(|row| row["path"].as_str().unwrap().to_owned())
            .collect(),
    )
}

/// The newest entries of a namespace for its auditor, oldest first: action and resource.
async fn entries(actors: &Actors, by: &str, query: &str) -> Vec<(String, String)> {
    let target = format!("/v1/ledger/entries?limit=20{query}");
    let found = actors.ok(by, "GET", &target, Value::Null).await;
    let rows = found["entries"].as_array().unwrap().iter().rev();
    rows.map(|row| {
        let entry: Value = serde_json::from_str(row["entry"].as_str().unwrap()).unwrap();
        let word = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        (word("action"), word("resource"))
    })
    .collect()
}

#[tokio::test]
async fn namespaces_secrets_decoys_and_mappings_come_in_together() {
    let actors = Actors::new().await;
    let project = json!({"web": {"IN_ONE": "in/one"}, "fresh": {"IN_TWO": "in/two"}});
    let answer = import(
        &actors,
        "alice",
        json!([
            {"namespace": "staging", "create": true,
             "secrets": [item("in/other", b"3")], "honey": [decoy("in/bait")]},
            {"namespace": "shop",
             "secrets": [item("in/two", b""), item("in/one", b"<>&\0\xff")],
             "honey": [decoy("in/decoy")], "projects": project},
        ]),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let done = answer.json();
    let names = |place: &Value, key: &str| -> Vec<String> {
        let rows = place.as_array().unwrap().iter();
        rows.map(|row| row[key].as_str().unwrap().to_owned())
            .collect()
    };
    let [shop, staging] = [&done["namespaces"][0], &done["namespaces"][1]];
    assert_eq!(shop["namespace"], "shop");
    assert_eq!(
        (&shop["created"], &shop["written"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(names(&shop["secrets"], "path"), ["in/one", "in/two"]);
    assert_eq!(shop["projects"], json!(["fresh", "web"]));
    assert_eq!(
        (&staging["created"], &staging["written"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(names(&staging["honey"], "path"), ["in/bait"]);

    for (namespace, path, value) in [
        ("shop", "in/one", &b"<>&\0\xff"[..]),
        ("shop", "in/two", b""),
        ("staging", "in/other", b"3"),
    ] {
        let target = format!("{NS}/{namespace}/secrets/{path}");
        let read = actors.ok("alice", "GET", &target, Value::Null).await;
        let read = read["value_b64"].as_str().unwrap();
        assert_eq!(
            encoding::from_b64url("value", read).unwrap(),
            value,
            "{path}"
        );
    }
    let all = paths(&actors, "shop").await.unwrap();
    assert_eq!(all, ["in/decoy", "in/one", "in/two"]);
    let web = format!("{NS}/shop/projects/web");
    let web = actors.ok("adam", "GET", &web, Value::Null).await;
    assert_eq!(web["env"]["IN_ONE"], "in/one");
    assert_eq!(web["agents"], json!(["scribe"]), "those that there were");
    assert!(web["env"].as_object().unwrap().len() > 1, "beside {web}");
    let fresh = format!("{NS}/shop/projects/fresh");
    let fresh = actors.ok("adam", "GET", &fresh, Value::Null).await;
    assert_eq!(
        (&fresh["agents"], &fresh["env"]),
        (&json!([]), &json!({"IN_TWO": "in/two"}))
    );

    // The auditor of a namespace sees what came into it, and nothing that tells the decoy.
    let mut seen = entries(&actors, "otto", "&namespace=shop").await;
    seen.retain(|(action, _)| action != "secret.read");
    let seen = seen.split_off(seen.len() - 3);
    let says = |action: &str, resource: &str| (action.to_owned(), resource.to_owned());
    assert_eq!(
        seen,
        [
            says(
                "secret.import",
                "namespace/shop in/decoy@1 description in/one@1 in/two@1"
            ),
            says("project.write", "project/fresh"),
            says("project.write", "project/web"),
        ]
    );
    let made = entries(&actors, "alice", "&namespace=staging").await;
    assert_eq!(made[0], says("namespace.create", "namespace/staging"));
    assert_eq!(
        made[1],
        says(
            "secret.import",
            "namespace/staging in/bait@1 description in/other@1"
        )
    );
    let whole = entries(&actors, "alice", "&action=installation.import").await;
    assert_eq!(
        whole,
        [says(
            "installation.import",
            "installation namespaces:2 secrets:3 honey:2 projects:2"
        )]
    );
    let planted = entries(&actors, "alice", "&action=honey.plant").await;
    assert!(
        planted[0].1.starts_with("honey/shop/in/decoy canary:"),
        "{planted:?}"
    );
    // What was planted holds whoever asks for it.
    let touch = format!("{NS}/shop/secrets/in/decoy");
    let world = &actors.world;
    let gone = world.call(actors.key("adam"), "GET", &touch, None).await;
    gone.expect("not_found", None, None, "a decoy");
    until_held(&actors, &actors.device("adam")).await;
}

#[tokio::test]
async fn what_one_part_is_refused_for_leaves_all_of_them_out() {
    let actors = Actors::new().await;
    let taken = format!("{NS}/shop/secrets/in/taken");
    let put = json!({"value_b64": encoding::b64url(b"1")});
    actors.ok("adam", "PUT", &taken, put).await;
    let good = || json!({"namespace": "bank", "secrets": [item("in/good", b"1")]});
    let new = || json!({"namespace": "staging", "create": true, "secrets": [item("in/new", b"1")]});
    let shop = |more: Value| {
        let mut part = json!({"namespace": "shop"});
        for (key, value) in more.as_object().unwrap() {
            part[key] = value.clone();
        }
        part
    };
    let mut held = item("in/taken", b"2");
    held["expect_version"] = json!(0);
    let mut unlike = item("in/json", b"{");
    unlike["secret"]["kind"] = json!("json");
    for (part, code, reason, field, says) in [
        (
            shop(json!({"secrets": [held]})),
            "version_mismatch",
            None,
            None,
            "shop: in/taken: ",
        ),
        (
            shop(json!({"secrets": [unlike]})),
            "malformed",
            None,
            Some("value_b64"),
            "shop: in/json: ",
        ),
        (
            shop(json!({"honey": [decoy("in/taken")]})),
            "already_exists",
            None,
            None,
            "shop: ",
        ),
        (
            shop(json!({"honey": [{"path": "in/none", "plant": {"value_b64": ""}}]})),
            "malformed",
            None,
            Some("value_b64"),
            "shop: in/none: ",
        ),
        (
            shop(json!({"projects": {"web": {"LD_PRELOAD": "in/a"}}})),
            "malformed",
            None,
            Some("env"),
            "shop: ",
        ),
        (
            shop(json!({"projects": {"web": {"DB": "in/elsewhere"}}})),
            "conflict",
            Some("mapped_elsewhere"),
            None,
            "shop: the project web maps DB",
        ),
        (
            shop(json!({"create": true, "secrets": [item("in/x", b"1")]})),
            "already_exists",
            None,
            None,
            "",
        ),
    ] {
        let answer = import(&actors, "alice", json!([good(), part, new()])).await;
        answer.expect(code, reason, field, &part.to_string());
        let text = answer.text();
        assert!(text.contains(says), "{part}: {text}");
        assert_eq!(
            paths(&actors, "bank").await.unwrap(),
            Vec::<String>::new(),
            "{part}"
        );
        assert_eq!(
            paths(&actors, "shop").await.unwrap(),
            ["in/taken"],
            "{part}"
        );
        assert_eq!(paths(&actors, "staging").await, None, "{part}");
    }
    // What cannot be one import at all.
    let both = shop(json!({"secrets": [item("in/a", b"1")], "honey": [decoy("in/a")]}));
    for (namespaces, field, what) in [
        (json!([]), "namespaces", "nothing"),
        (
            json!([{"namespace": "shop"}]),
            "namespaces",
            "nothing for one",
        ),
        (json!([good(), good()]), "namespaces", "one twice"),
        (json!([both]), "path", "a path twice"),
    ] {
        let answer = import(&actors, "alice", namespaces).await;
        answer.expect("malformed", None, Some(field), what);
    }
    let refused = entries(&actors, "alice", "&action=installation.import").await;
    assert_eq!(refused, [], "nothing was done, and nobody was refused");
}

#[tokio::test]
async fn it_takes_what_each_part_takes() {
    let actors = Actors::new().await;
    let of = |namespace: &str, path: &str| json!({"namespace": namespace, "secrets": [item(path, b"1")]});
    // Of an admin: into their own namespace, and into no other.
    let own = import(&actors, "adam", json!([of("shop", "in/own")])).await;
    assert_eq!(own.status, 200, "{}", own.text());
    let both = json!([of("bank", "in/x"), of("shop", "in/y")]);
    for (by, code) in [
        ("adam", "not_found"),
        ("bert", "not_found"),
        ("anna", "not_found"),
        ("scribe", "not_found"),
    ] {
        let answer = import(&actors, by, both.clone()).await;
        answer.expect(code, None, None, by);
    }
    for by in ["anna", "otto", "scribe"] {
        let answer = import(&actors, by, json!([of("shop", "in/y")])).await;
        answer.expect("forbidden", None, None, by);
    }
    // Decoys and namespaces are for stewards.
    for part in [
        json!({"namespace": "shop", "secrets": [item("in/y", b"1")], "honey": [decoy("in/z")]}),
        json!({"namespace": "staging", "create": true, "secrets": [item("in/y", b"1")]}),
    ] {
        let answer = import(&actors, "adam", json!([part])).await;
        answer.expect("forbidden", None, None, &part.to_string());
    }
    let missing = import(&actors, "alice", json!([of("nowhere", "in/x")])).await;
    missing.expect("not_found", None, None, "no such namespace");
    assert_eq!(paths(&actors, "shop").await.unwrap(), ["in/own"]);
    assert_eq!(paths(&actors, "bank").await.unwrap(), Vec::<String>::new());
}
