//! Whoever administers a namespace, and may not know of its decoys, does not tell one from
//! a secret without touching it: each way is answered as for a secret, or is a touch.

use crate::actors::{Actors, value_b64};
use crate::honey::{
    NS, call, free_again, held, plant, quarantined, run, touches, until_held, words,
};
use crate::world::Answer;
use procura_types::encoding;
use serde_json::{Value, json};

/// A decoy of somebody's own, as long as the secrets beside it.
fn decoy_b64() -> String {
    encoding::b64url(&[b'd'; 32])
}

fn secret_b64() -> String {
    encoding::b64url(&[b's'; 32])
}

async fn by_adam(actors: &Actors, method: &str, target: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    let adam = actors.key("adam");
    actors.world.call(adam, method, target, body.as_ref()).await
}

/// A secret and a decoy that look alike in every list.
async fn alike(actors: &Actors) {
    let real = json!({"value_b64": secret_b64(), "description": "key"});
    let target = format!("{NS}/secrets/prod/real");
    actors.ok("adam", "PUT", &target, real).await;
    let own = json!({"value_b64": decoy_b64(), "description": "key"});
    plant(actors, "prod/fake", own).await;
}

/// Adam is in quarantine for this decoy, and is let out again.
pub(crate) async fn touched(actors: &Actors, what: &str) {
    let device = actors.device("adam");
    let found = until_held(actors, &device).await;
    assert!(found["canary"].is_string(), "{what}");
    free_again(actors, &device, "adam").await;
}

async fn untouched(actors: &Actors, what: &str) {
    // A touch is in the directory within 100 ms.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(quarantined(actors).await, [Value::Null; 0], "{what}");
    assert_eq!(touches(actors).await, [Value::Null; 0], "{what}");
}

/// Entries of the namespace with this resource, as its auditor reads them, without what
/// is of each alone.
async fn record(actors: &Actors, path: &str) -> Vec<Value> {
    let target = "/v1/ledger/entries?namespace=shop&limit=1000";
    let found = actors.ok("otto", "GET", target, Value::Null).await;
    let entries = found["entries"].as_array().unwrap().iter();
    let resource = format!("secret/{path}");
    entries
        .map(|row| serde_json::from_str::<Value>(row["entry"].as_str().unwrap()).unwrap())
        .filter(|entry| {
            let of = entry["resource"].as_str().unwrap_or_default();
            of.split(' ').next() == Some(&resource)
        })
        .map(|mut entry| {
            let of = entry["resource"].as_str().unwrap().replace(path, "PATH");
            entry["resource"] = of.into();
            let entry_map = entry.as_object_mut().unwrap();
            for own in ["id", "time", "salt", "trace", "session"] {
                entry_map.remove(own);
            }
            entry
        })
        .collect()
}

#[tokio::test]
async fn a_rollback_of_a_prefix_shows_a_decoy_as_the_secret_that_it_seems_to_be() {
    let actors = Actors::new().await;
    let before = actors.world.now();
    actors
        .world
        .clock
        .turn(procura_types::Duration::from_secs(60));
    alike(&actors).await;
    actors
        .world
        .clock
        .turn(procura_types::Duration::from_secs(60));
    let ask = async |prefix: &str, at: procura_types::Timestamp, dry_run: bool| {
        let body = json!({"prefix": prefix, "at": at, "dry_run": dry_run});
        by_adam(&actors, "POST", &format!("{NS}/rollback"), body).await
    };
    let shown = ask("prod/", before, true).await.json();
    let changes = shown["changes"].as_array().unwrap();
    let paths: Vec<&Value> = changes.iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, [&json!("prod/fake"), &json!("prod/real")]);
    for change in changes {
        let change = (&change["change"], &change["latest"]);
        assert_eq!(change, (&json!("delete"), &json!(1)));
    }
    // Alone, they are answered alike, then and since.
    for at in [before, actors.world.now()] {
        let of = async |path: &str| {
            let mut answer = ask(path, at, true).await.json();
            answer["state"] = Value::Null;
            answer.to_string().replace(path, "PATH")
        };
        assert_eq!(of("prod/fake").await, of("prod/real").await);
    }
    // To ask what would be done is recorded, and touches nothing.
    let target = "/v1/ledger/entries?namespace=shop&action=secret.rollback&limit=100";
    let found = actors.ok("otto", "GET", target, Value::Null).await;
    let entries = found["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 5);
    for row in entries {
        let entry = row["entry"].as_str().unwrap();
        assert!(entry.contains("namespace/shop dry_run at:"), "{entry}");
    }
    untouched(&actors, "dry runs").await;
    // A steward is shown what there is.
    let body = json!({"prefix": "prod/", "at": before, "dry_run": true});
    let target = format!("{NS}/rollback");
    let steward = actors.ok("alice", "POST", &target, body).await;
    assert_eq!(steward["changes"].as_array().unwrap().len(), 1, "{steward}");

    // To do it takes the decoy away like the secret, and is a touch.
    let done = ask("prod/", before, false).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["changes"], shown["changes"]);
    held(
        &call(&actors, "adam", "GET", &format!("{NS}/agents")).await,
        "after it",
    );
    touched(&actors, "a rollback").await;
    let list = actors
        .ok(
            "adam",
            "GET",
            &format!("{NS}/secrets?prefix=prod/"),
            Value::Null,
        )
        .await;
    assert_eq!(list["secrets"], json!([]));
    let honey = actors.ok("alice", "GET", "/v1/honey", Value::Null).await;
    assert_eq!(honey, json!({"honey": []}));
}

#[tokio::test]
async fn a_quota_counts_a_decoy_and_refuses_a_write_over_it_by_the_same_bound() {
    let actors = Actors::new().await;
    alike(&actors).await;
    let detail = actors.ok("adam", "GET", NS, Value::Null).await;
    let list = actors
        .ok("adam", "GET", &format!("{NS}/secrets"), Value::Null)
        .await;
    let listed = list["secrets"].as_array().unwrap().len();
    assert_eq!(detail["used"]["secrets"], json!(listed));
    assert_eq!(detail["used"]["versions"], json!(listed));
    assert_eq!(detail["holds"]["secrets"], json!(listed));
    // Three of the namespace as it is made, of 32 bytes each two more.
    let three = 3 * encoding::from_b64url("value_b64", &value_b64())
        .unwrap()
        .len();
    assert_eq!(detail["used"]["bytes"], json!(three + 64));
    let bounds = [
        ("versions_per_secret", json!({"versions_per_secret": 1})),
        ("versions", json!({"versions": listed})),
        ("bytes", json!({"bytes": three + 64})),
    ];
    for (bound, quota) in bounds {
        let target = format!("{NS}/quota");
        actors.ok("alice", "PUT", &target, quota).await;
        let write = async |path: &str| {
            let target = format!("{NS}/secrets/{path}");
            by_adam(&actors, "PUT", &target, json!({"value_b64": secret_b64()})).await
        };
        let real = write("prod/real").await;
        real.expect("quota_exceeded", Some(bound), None, bound);
        let fake = write("prod/fake").await;
        assert_eq!(
            words(&real, "prod/real"),
            words(&fake, "prod/fake"),
            "{bound}"
        );
        touched(&actors, bound).await;
        // A decoy needs the room that a secret does.
        let target = "/v1/honey/shop/prod/more";
        let body = json!({"value_b64": decoy_b64()});
        let more = actors
            .world
            .call(actors.key("alice"), "PUT", target, Some(&body))
            .await;
        match bound {
            "versions_per_secret" => {
                assert_eq!(more.status, 201, "{}", more.text());
                call(&actors, "alice", "DELETE", target).await;
            }
            _ => more.expect("quota_exceeded", Some(bound), None, "planting"),
        }
    }
    // With room for the version alone: over a decoy no secret more is counted.
    let quota = json!({"secrets": listed});
    actors
        .ok("alice", "PUT", &format!("{NS}/quota"), quota)
        .await;
    for path in ["prod/real", "prod/fake"] {
        let target = format!("{NS}/secrets/{path}");
        let put = json!({"value_b64": secret_b64()});
        let written = actors.ok("adam", "PUT", &target, put).await;
        assert_eq!(written["version"], json!(2), "{path}");
    }
    touched(&actors, "the write").await;
    let detail = actors.ok("adam", "GET", NS, Value::Null).await;
    assert_eq!(detail["used"]["secrets"], json!(listed));
}

#[tokio::test]
async fn an_import_that_meets_a_decoy_answers_as_over_a_secret_and_touches_it() {
    let actors = Actors::new().await;
    alike(&actors).await;
    let import = async |path: &str, value_b64: &str, dry_run: bool| {
        let secret = json!({"secret": {"path": path, "value_b64": value_b64}});
        let body = json!({"secrets": [secret], "dry_run": dry_run});
        by_adam(&actors, "POST", &format!("{NS}/import"), body).await
    };
    let others = [
        (
            "another of that length",
            encoding::b64url(&[b'x'; 32]),
            "changed",
        ),
        ("another length", encoding::b64url(b"short"), "changed"),
    ];
    for (what, value, state) in others {
        let real = import("prod/real", &value, true).await;
        let fake = import("prod/fake", &value, true).await;
        assert_eq!(real.json()["secrets"][0]["state"], state, "{what}");
        assert_eq!(
            words_of(&real, "prod/real"),
            words_of(&fake, "prod/fake"),
            "{what}"
        );
        touched(&actors, what).await;
    }
    let same = import("prod/fake", &decoy_b64(), true).await.json();
    assert_eq!(same["secrets"][0]["state"], "same");
    touched(&actors, "its own value").await;
    // What was compared is in the record, for one as for the other.
    for path in ["prod/real", "prod/fake"] {
        let target = "/v1/ledger/entries?namespace=shop&action=secret.import&limit=100";
        let found = actors
            .ok("otto", "GET", target, Value::Null)
            .await
            .to_string();
        assert!(
            found.contains(&format!("dry_run {path}@1")),
            "{path}: {found}"
        );
    }
    // What is refused as a whole asked for it too.
    let wrong = json!({"secrets": [
        {"secret": {"path": "prod/fake", "value_b64": secret_b64()}, "expect_version": 7}]});
    let wrong = by_adam(&actors, "POST", &format!("{NS}/import"), wrong).await;
    wrong.expect("version_mismatch", None, None, "refused");
    touched(&actors, "a refused import").await;
    let done = import("prod/fake", &secret_b64(), false).await.json();
    assert_eq!(done["secrets"][0]["latest"], json!(1));
    touched(&actors, "an import").await;
}

/// An answer that is no problem, without what is of its request alone.
fn words_of(answer: &Answer, path: &str) -> String {
    answer.json().to_string().replace(path, "PATH")
}

#[tokio::test]
async fn an_export_that_covers_a_decoy_touches_it_whatever_comes_of_it() {
    let actors = Actors::new().await;
    alike(&actors).await;
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let export = async |prefix: &str| {
        let body = json!({"prefix": prefix, "recipients": [recipient]});
        by_adam(&actors, "POST", &format!("{NS}/export"), body).await
    };
    let real = export("prod/real").await;
    assert_eq!(real.json()["count"], json!(1), "{}", real.text());
    untouched(&actors, "beside it").await;
    for prefix in ["prod/", "prod/fake", ""] {
        let answer = export(prefix).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        touched(&actors, prefix).await;
    }
}

#[tokio::test]
async fn a_variable_that_leads_to_a_decoy_is_one_that_finds_nothing_and_a_touch() {
    let actors = Actors::new().await;
    plant(
        &actors,
        "prod/fake",
        json!({"shape": "stripe", "env": "FAKED"}),
    )
    .await;
    let bait = json!({"shape": "openai", "mode": "bait", "env": "BAITED"});
    plant(&actors, "prod/bait", bait).await;
    for (name, variable) in [
        ("A", "FAKED"),
        ("B", "MAPPED"),
        ("C", "BAITED"),
        ("D", "NONE"),
    ] {
        let text = format!("x={{{{procura:{variable}}}}}");
        let body = json!({"value_b64": encoding::b64url(text.as_bytes()), "kind": "template"});
        let target = format!("{NS}/secrets/text/{name}");
        actors.ok("adam", "PUT", &target, body).await;
    }
    let project = json!({"agents": ["scribe"], "env": {
        "A": "text/A", "B": "text/B", "C": "text/C", "D": "text/D",
        "DB": "db/password", "MAPPED": "prod/fake"}});
    let target = format!("{NS}/projects/web");
    actors.ok("adam", "PUT", &target, project).await;
    let none = async |name: &str, variable: &str, key: &procura_crypto::SigningKey| {
        let answer = run(&actors, key, &[name]).await;
        answer.expect("value_missing", None, None, name);
        let text = answer.json()["detail"].as_str().unwrap().to_owned();
        text.replace(&format!("of {name} "), "of T ")
            .replace(variable, "V")
    };
    let missing = none("D", "NONE", actors.key("scribe")).await;
    for (name, variable) in [("A", "FAKED"), ("B", "MAPPED"), ("C", "BAITED")] {
        let key = actors.join_as("adam", "shop", "scribe").await;
        assert_eq!(none(name, variable, &key).await, missing, "{name}");
        held(&run(&actors, &key, &["DB"]).await, name);
        until_held(&actors, &key.public().thumbprint().to_string()).await;
    }
    // What is not there stays what it is, and nobody else is held.
    assert_eq!(none("D", "NONE", actors.key("scribe")).await, missing);
    assert_eq!(
        run(&actors, actors.key("scribe"), &["DB"]).await.status,
        200
    );
}

#[tokio::test]
async fn a_name_that_a_secret_and_a_decoy_declare_is_ambiguous_as_between_secrets() {
    let actors = Actors::new().await;
    plant(
        &actors,
        "prod/fake",
        json!({"shape": "stripe", "env": "PAY"}),
    )
    .await;
    for (path, name) in [
        ("real/pay", "PAY"),
        ("real/one", "TWICE"),
        ("real/two", "TWICE"),
    ] {
        let body = json!({"value_b64": secret_b64(), "env": name});
        let target = format!("{NS}/secrets/{path}");
        actors.ok("adam", "PUT", &target, body).await;
    }
    let scribe = actors.key("scribe");
    let secrets = run(&actors, scribe, &["TWICE"]).await;
    secrets.expect("ambiguous_name", None, None, "two secrets");
    let decoy = run(&actors, scribe, &["PAY"]).await;
    assert_eq!(words(&secrets, "TWICE"), words(&decoy, "PAY"));
    untouched(&actors, "an honest name").await;
    // Once the secret is gone, only the decoy declares it.
    let gone = call(&actors, "adam", "DELETE", &format!("{NS}/secrets/real/pay")).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let answer = run(&actors, scribe, &["PAY"]).await;
    answer.expect("nothing_to_deliver", None, None, "a decoy alone");
    until_held(&actors, &actors.device("scribe")).await;
    // None is planted beside a secret that declares its name.
    let body = json!({"shape": "aws", "env": "TWICE"});
    let beside = actors
        .world
        .call(
            actors.key("alice"),
            "PUT",
            "/v1/honey/shop/prod/other",
            Some(&body),
        )
        .await;
    beside.expect("conflict", Some("env_taken"), None, "beside a secret");
}

#[tokio::test]
async fn the_record_of_a_namespace_has_the_birth_and_the_end_of_a_decoy() {
    let actors = Actors::new().await;
    let looks = json!({"description": "key", "tags": ["pay"]});
    let mut real = looks.clone();
    real["value_b64"] = secret_b64().into();
    let mut fake = looks;
    fake["value_b64"] = decoy_b64().into();
    let target = format!("{NS}/secrets/prod/real");
    actors.ok("alice", "PUT", &target, real).await;
    let planted = plant(&actors, "prod/fake", fake).await;
    let births = record(&actors, "prod/real").await;
    assert_eq!(births.len(), 1);
    assert_eq!(births[0]["action"], "secret.write");
    assert_eq!(births, record(&actors, "prod/fake").await);
    // Stewards see which of them was planted.
    let target = "/v1/ledger/entries?action=honey.plant&limit=10";
    let found = actors
        .ok("alice", "GET", target, Value::Null)
        .await
        .to_string();
    assert!(found.contains("honey/shop/prod/fake"), "{found}");
    assert!(
        found.contains(planted["canary"].as_str().unwrap()),
        "{found}"
    );
    let target = format!("{NS}/secrets/prod/real?destroy=true");
    assert_eq!(call(&actors, "alice", "DELETE", &target).await.status, 204);
    let target = "/v1/honey/shop/prod/fake";
    assert_eq!(call(&actors, "alice", "DELETE", target).await.status, 204);
    let ends = record(&actors, "prod/real").await;
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0]["action"], "secret.destroy");
    assert_eq!(ends, record(&actors, "prod/fake").await);
}

#[tokio::test]
async fn what_a_run_without_names_leads_to_is_the_touch_of_who_mapped_it() {
    let actors = Actors::new().await;
    plant(&actors, "prod/fake", json!({"shape": "stripe"})).await;
    let write = async |by: &str, env: Value| {
        let project = json!({"agents": ["scribe"], "env": env});
        actors
            .ok(by, "PUT", &format!("{NS}/projects/web"), project)
            .await;
    };
    // To map a name to it tells nothing, and is none.
    write("adam", json!({"DB": "db/password", "PAY": "prod/fake"})).await;
    untouched(&actors, "the mapping").await;
    // Who writes it once more as it is has not mapped it.
    write(
        "alice",
        json!({"DB": "db/password", "API": "api/key", "PAY": "prod/fake"}),
    )
    .await;
    let answer = run(&actors, actors.key("scribe"), &[]).await;
    answer.expect("value_missing", None, None, "the whole mapping");
    touched(&actors, "the mapping is used").await;
    let touch = touches(&actors).await.remove(0);
    let found = (&touch["device"], &touch["how"], &touch["name"]);
    let adam = json!(actors.device("adam"));
    assert_eq!(found, (&adam, &json!("project.write"), &json!("adam")));
    assert_eq!(
        run(&actors, actors.key("scribe"), &["DB"]).await.status,
        200
    );
    // A steward's own mapping is nobody's touch, unless a device asks for it by name.
    write("adam", json!({"DB": "db/password"})).await;
    write("alice", json!({"DB": "db/password", "PAY": "prod/fake"})).await;
    run(&actors, actors.key("scribe"), &[]).await;
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert!(quarantined(&actors).await.is_empty());
    run(&actors, actors.key("scribe"), &["PAY"]).await;
    until_held(&actors, &actors.device("scribe")).await;
}

/// The use of a project token looks for nothing that was not issued: what a name leads
/// to by now is not told, and touches nothing.
#[tokio::test]
async fn a_project_token_meets_no_decoy() {
    let actors = Actors::new().await;
    plant(
        &actors,
        "prod/fake",
        json!({"shape": "stripe", "env": "DECLARED"}),
    )
    .await;
    let scribe = actors.key("scribe");
    let issued = json!({"kind": "opaque", "names": ["DB"], "delivery": "env"});
    let target = format!("{NS}/projects/web/tokens");
    let issued = actors.ok("scribe", "POST", &target, issued).await;
    let token = issued["token"].as_str().unwrap().to_owned();
    let shown = async |names: Value| {
        let target = format!("{NS}/projects/web/values");
        let body = serde_json::to_vec(&names).unwrap();
        let mut sent = crate::world::Sent::new("POST", &target, Some(&body));
        let field = ("authorization".to_owned(), format!("Bearer {token}"));
        sent.headers.push(field);
        let signer = procura_proof::sign::Signer::Device(scribe);
        actors
            .world
            .send(&sent.signed(signer, actors.world.now()))
            .await
    };
    let good = shown(json!({})).await;
    assert_eq!(good.status, 200, "{}", good.text());
    let map = async |path: &str| {
        let env = json!({"DB": path, "OTHER": "prod/fake"});
        let project = json!({"agents": ["scribe"], "env": env});
        actors
            .ok("adam", "PUT", &format!("{NS}/projects/web"), project)
            .await;
    };
    map("api/key").await;
    let elsewhere = shown(json!({})).await;
    assert_ne!(elsewhere.status, 200);
    for path in ["prod/none", "prod/fake"] {
        map(path).await;
        for names in [json!({}), json!({"names": ["DB"]})] {
            let answer = shown(names).await;
            assert_eq!(words(&elsewhere, "-"), words(&answer, "-"), "{path}");
        }
    }
    untouched(&actors, "uses of the token").await;
    map("db/password").await;
    assert_eq!(shown(json!({})).await.status, 200);
}
