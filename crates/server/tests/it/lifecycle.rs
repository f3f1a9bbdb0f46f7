//! The end of namespaces and projects, and what a label has that comes back: over the
//! API, as those see it who depended on it.

use crate::actors::{Actors, join_body, value_b64};
use crate::sessions::{list, started, unauthorized};
use crate::world::{Answer, Sent};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::{LinkCodeText, encoding};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";
const WEB: &str = "/v1/namespaces/shop/projects/web";
const RUNS: &str = "/v1/namespaces/shop/projects/web/runs";

async fn call(actors: &Actors, by: &str, method: &str, target: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(&body);
    actors
        .world
        .call(actors.key(by), method, target, body)
        .await
}

/// What has an id in a list.
fn of<'a>(list: &'a Value, id: &str) -> &'a Value {
    let mut rows = list.as_array().unwrap().iter();
    rows.find(|row| row["id"] == id).unwrap()
}

/// The entries of an action that was done, the newest first.
async fn entries(actors: &Actors, action: &str) -> Vec<Value> {
    let target = format!("/v1/ledger/entries?action={action}&limit=10");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    let found = found["entries"].as_array().unwrap().iter();
    found
        .map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .filter(|entry: &Value| entry["decision"] == "allow")
        .collect()
}

#[tokio::test]
async fn a_namespace_in_use_ends_by_its_name_alone() {
    let actors = Actors::new().await;
    for body in [Value::Null, json!({})] {
        let refused = call(&actors, "alice", "DELETE", NS, body).await;
        refused.expect("conflict", Some("in_use"), None, "without its name");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("2 agents, 3 secrets, 1 project, 1 grant"),
            "{detail}"
        );
    }
    // A key that wrapped what another vault opens with is in use, if nothing else is.
    let alone = json!({"name": "keys"});
    actors.ok("alice", "POST", "/v1/namespaces", alone).await;
    let target = "/v1/namespaces/keys/transit/vault";
    actors
        .ok("alice", "PUT", target, json!({"agents": []}))
        .await;
    let refused = call(
        &actors,
        "alice",
        "DELETE",
        "/v1/namespaces/keys",
        Value::Null,
    )
    .await;
    refused.expect("conflict", Some("in_use"), None, "a transit key");
    let refused = call(&actors, "alice", "DELETE", NS, json!({"confirm": "bank"})).await;
    refused.expect("malformed", None, Some("confirm"), "another name");
    actors
        .ok(
            "adam",
            "GET",
            &format!("{NS}/secrets/db/password"),
            Value::Null,
        )
        .await;
    let shown = actors.ok("alice", "GET", NS, Value::Null).await;
    assert_eq!(
        shown["holds"],
        json!({"agents": 2, "secrets": 3, "projects": 1, "services": 0, "grants": 1, "transit_keys": 0})
    );
    assert!(entries(&actors, "namespace.delete").await.is_empty());
}

#[tokio::test]
async fn its_end_stops_at_once_what_depended_on_it() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("scribe"), None).await;
    let (others, _) = started(world, actors.key("robber"), None).await;
    assert_eq!(list(world, &session, 1).await.status, 200);
    let code = actors
        .ok(
            "adam",
            "POST",
            &format!("{NS}/agents/baker/link-code"),
            Value::Null,
        )
        .await;
    let approval = actors.approval(&actors.waiting[0], "anna").await;
    let ended = actors
        .ok("alice", "DELETE", NS, json!({"confirm": "shop"}))
        .await;
    assert_eq!(ended["held"]["agents"], 2);

    // Its agents prove nothing any more, by key or by session.
    unauthorized(&list(world, &session, 2).await, "revoked");
    let run = json!({"names": ["DB"], "delivery": "env"});
    unauthorized(&call(&actors, "scribe", "POST", RUNS, run).await, "revoked");
    // Its operators find nothing; those who had no role elsewhere are still operators.
    for (by, method, target, body) in [
        ("adam", "GET", format!("{NS}/secrets"), Value::Null),
        (
            "adam",
            "GET",
            format!("{NS}/secrets/db/password"),
            Value::Null,
        ),
        (
            "adam",
            "POST",
            format!("{NS}/undelete/db/password"),
            Value::Null,
        ),
        (
            "adam",
            "PUT",
            format!("{NS}/secrets/db/password"),
            json!({"value_b64": value_b64()}),
        ),
        (
            "anna",
            "POST",
            format!("{NS}/requests/{}/approve", actors.waiting[0]),
            approval,
        ),
        (
            "anna",
            "POST",
            format!("{NS}/grants/{}/withdraw", actors.grant),
            Value::Null,
        ),
        (
            "otto",
            "GET",
            "/v1/ledger/entries?namespace=shop".to_owned(),
            Value::Null,
        ),
        ("alice", "GET", NS.to_owned(), Value::Null),
        ("alice", "PUT", format!("{NS}/quota"), json!({"secrets": 1})),
        ("alice", "DELETE", NS.to_owned(), json!({"confirm": "shop"})),
    ] {
        let refused = call(&actors, by, method, &target, body).await;
        refused.expect("not_found", None, None, &format!("{by} {method} {target}"));
    }
    let namespaces = actors
        .ok("adam", "GET", "/v1/namespaces", Value::Null)
        .await;
    assert_eq!(namespaces["namespaces"], json!([]));
    // A code of before lets nobody in.
    let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
    let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &key)).unwrap();
    let joined = world
        .send(&Sent::new("POST", "/v1/join", Some(&body)))
        .await;
    joined.expect(
        "code_refused",
        Some("unknown_code"),
        None,
        "a code of before",
    );
    // Another namespace goes on.
    assert_eq!(list(world, &others, 1).await.status, 200);
    actors
        .ok("bert", "GET", "/v1/namespaces/bank/agents", Value::Null)
        .await;
    // Its name stays with what it was.
    let again = call(
        &actors,
        "alice",
        "POST",
        "/v1/namespaces",
        json!({"name": "shop"}),
    )
    .await;
    again.expect("conflict", Some("deleted"), None, "the name once more");
    // The id of another system is free again.
    let bind = json!({"agent": "robber"});
    actors
        .ok(
            "bert",
            "PUT",
            "/v1/namespaces/bank/foreign-ids/till.7",
            bind,
        )
        .await;
    let said = entries(&actors, "namespace.delete").await;
    assert_eq!((said.len(), &said[0]["namespace"]), (1, &json!("shop")));
}

#[tokio::test]
async fn what_is_left_of_it_goes_also_after_a_restart() {
    let actors = Actors::new().await;
    let world = &actors.world;
    actors
        .ok("alice", "DELETE", NS, json!({"confirm": "shop"}))
        .await;
    world.seal().await;
    world.unseal().await;
    for _ in 0..10_000 {
        if !entries(&actors, "namespace.sweep").await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let swept = entries(&actors, "namespace.sweep").await;
    assert_eq!((swept.len(), &swept[0]["reason"]), (1, &json!("summary")));
    assert!(swept[0]["count"].as_u64().unwrap() >= 10, "{}", swept[0]);
    let refused = call(
        &actors,
        "adam",
        "GET",
        &format!("{NS}/secrets"),
        Value::Null,
    )
    .await;
    refused.expect("not_found", None, None, "after the restart");
    let whole = actors
        .ok("alice", "GET", "/v1/status?deep=true", Value::Null)
        .await;
    assert_eq!(whole["deep"], json!([]));
}

#[tokio::test]
async fn a_deleted_project_takes_its_grants_and_questions_along() {
    let actors = Actors::new().await;
    let deleted = actors.ok("adam", "DELETE", WEB, Value::Null).await;
    assert_eq!(deleted["withdrawn"], json!([actors.grant]));
    let mut waited = actors.waiting.to_vec();
    waited.sort();
    assert_eq!(deleted["ended"], json!(waited));
    assert_eq!(deleted["running"][0]["run"], actors.run);
    let run = || json!({"names": ["DB"], "delivery": "env"});
    let refused = call(&actors, "scribe", "POST", RUNS, run()).await;
    refused.expect("not_found", None, None, "a run");
    let grants = actors
        .ok("anna", "GET", &format!("{NS}/grants"), Value::Null)
        .await;
    assert!(of(&grants["grants"], &actors.grant)["withdrawn"].is_string());
    let requests = actors
        .ok("anna", "GET", &format!("{NS}/requests"), Value::Null)
        .await;
    assert_eq!(
        of(&requests["requests"], &actors.waiting[0])["state"],
        "ended"
    );
    // Made again it is another: the same run waits for somebody's yes.
    let project = json!({"agents": ["scribe"], "env": {"DB": "db/password"}});
    actors.ok("adam", "PUT", WEB, project).await;
    let asked = call(&actors, "scribe", "POST", RUNS, run()).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let again = call(
        &actors,
        "adam",
        "DELETE",
        &format!("{NS}/projects/none"),
        Value::Null,
    )
    .await;
    again.expect("not_found", None, None, "no project");
}

#[tokio::test]
async fn a_rebound_project_is_nothing_to_who_left() {
    let actors = Actors::new().await;
    let rebound = actors
        .ok(
            "adam",
            "POST",
            &format!("{WEB}/rebind"),
            json!({"agents": ["baker"]}),
        )
        .await;
    assert_eq!(rebound["project"]["agents"], json!(["baker"]));
    assert_eq!(rebound["withdrawn"], json!([actors.grant]));
    let run = || json!({"names": ["DB"], "delivery": "env"});
    call(&actors, "scribe", "POST", RUNS, run())
        .await
        .expect("not_found", None, None, "who left");
    let asked = call(&actors, "baker", "POST", RUNS, run()).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
}

/// Every kind of thing that an agent can have; none of it is the next one's of its label.
#[tokio::test]
async fn a_label_that_comes_back_inherits_nothing() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let agent = format!("{NS}/agents/scribe");
    for (method, target, body) in [
        (
            "PUT",
            format!("{agent}/display-name"),
            json!({"display_name": "The scribe"}),
        ),
        (
            "PUT",
            format!("{agent}/sources"),
            json!({"sources": ["10.0.0.0/8"]}),
        ),
        (
            "PUT",
            format!("{NS}/services/till"),
            json!({"expect_version": 0, "gates": ["scribe"]}),
        ),
        (
            "POST",
            format!("{NS}/agents"),
            json!({"label": "task", "parent": "scribe"}),
        ),
        ("POST", format!("{NS}/foreign-ids/till.7/secret"), json!({})),
    ] {
        actors.ok("adam", method, &target, body).await;
    }
    let old_code = actors
        .ok("adam", "POST", &format!("{agent}/link-code"), Value::Null)
        .await;
    let before = agent_row(&actors, "scribe").await;
    actors.ok("adam", "DELETE", &agent, Value::Null).await;
    actors
        .ok(
            "adam",
            "POST",
            &format!("{NS}/agents"),
            json!({"label": "scribe"}),
        )
        .await;
    let key = actors.join_as("adam", "shop", "scribe").await;
    let after = agent_row(&actors, "scribe").await;

    assert_eq!(
        (
            before["incarnation"].as_u64(),
            after["incarnation"].as_u64()
        ),
        (Some(1), Some(2))
    );
    assert_ne!(before["actor_id"], after["actor_id"]);
    assert_eq!(
        (&before["display_name"], after.get("display_name")),
        (&json!("The scribe"), None)
    );
    assert_eq!(
        (&before["sources"], after.get("sources")),
        (&json!(["10.0.0.0/8"]), None)
    );
    assert_eq!(after["devices"].as_array().unwrap().len(), 1);
    // Children ended with their parent, and are not the new one's.
    let mut names = actors
        .ok("adam", "GET", &format!("{NS}/agents"), Value::Null)
        .await["agents"]
        .as_array()
        .unwrap()
        .clone();
    names.retain(|row| row["label"] == "task");
    assert!(names[0]["revoked"].is_string());
    assert_eq!(names[0]["parent"], before["actor_id"]);
    for (what, method, target, body, code) in [
        (
            "projects and grants",
            "POST",
            RUNS.to_owned(),
            json!({"names": ["DB"], "delivery": "env"}),
            "not_found",
        ),
        (
            "runs",
            "POST",
            format!("{RUNS}/{}/end", actors.run),
            json!({}),
            "forbidden",
        ),
        (
            "requests",
            "GET",
            format!("{NS}/requests/{}", actors.waiting[0]),
            Value::Null,
            "forbidden",
        ),
        (
            "gates",
            "GET",
            format!(
                "{NS}/services/till/feed?instance=01234567-89ab-7fff-bfff-ffffffffffff&nonce=AAAAAAAAAAAAAAAAAAAAAA&wait=0"
            ),
            Value::Null,
            "not_found",
        ),
        (
            "ids",
            "POST",
            format!("{NS}/foreign-ids/till.7/secret"),
            json!({}),
            "forbidden",
        ),
    ] {
        let body = (!body.is_null()).then_some(&body);
        let refused = world.call(&key, method, &target, body).await;
        let found = refused.problem(what).code;
        assert_eq!(found, code, "{what}: {}", refused.text());
    }
    let service = actors
        .ok("otto", "GET", &format!("{NS}/services/till"), Value::Null)
        .await;
    assert_eq!(service["gates"], json!([]));
    let project = actors.ok("otto", "GET", WEB, Value::Null).await;
    assert_eq!(project["agents"], json!([]));
    let bound = actors
        .ok(
            "anna",
            "GET",
            &format!("{NS}/foreign-ids/till.7"),
            Value::Null,
        )
        .await;
    assert_eq!(
        (&bound["actor_id"], &bound["revoked"]),
        (&before["actor_id"], &json!(true))
    );
    let grants = actors
        .ok("anna", "GET", &format!("{NS}/grants"), Value::Null)
        .await;
    assert_eq!(
        of(&grants["grants"], &actors.grant)["agent"],
        before["actor_id"]
    );
    // Neither its key nor a code of it lets anybody in as the new one.
    unauthorized(
        &call(&actors, "scribe", "GET", "/v1/namespaces", Value::Null).await,
        "revoked",
    );
    let code = LinkCodeText::parse(old_code["code"].as_str().unwrap()).unwrap();
    let other = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let body = serde_json::to_vec(&join_body(&code, &other)).unwrap();
    let joined = world
        .send(&Sent::new("POST", "/v1/join", Some(&body)))
        .await;
    assert_eq!(joined.problem("a code of before").code, "code_refused");
}

/// The newest agent of a label.
async fn agent_row(actors: &Actors, label: &str) -> Value {
    let list = actors
        .ok("adam", "GET", &format!("{NS}/agents"), Value::Null)
        .await;
    let mut rows = list["agents"].as_array().unwrap().iter().rev();
    rows.find(|row| row["label"] == label).unwrap().clone()
}

#[tokio::test]
async fn display_names_change_and_labels_do_not() {
    let actors = Actors::new().await;
    for (by, target, row) in [
        ("adam", format!("{NS}/agents/scribe"), "label"),
        ("adam", WEB.to_owned(), "name"),
        ("alice", NS.to_owned(), "name"),
    ] {
        let named = format!("{target}/display-name");
        for name in ["Zoë's (1)", "<b>x</b> & {{y}}", "ERROR refused alice"] {
            let after = actors
                .ok(by, "PUT", &named, json!({"display_name": name}))
                .await;
            assert_eq!(after["display_name"], name);
            let label = after[row].as_str().unwrap();
            assert!(target.ends_with(label), "{label}");
        }
        let after = actors
            .ok(by, "PUT", &named, json!({"display_name": null}))
            .await;
        assert_eq!(after.get("display_name"), None);
        for bad in [
            "",
            "a\nb",
            "\u{1b}[31m",
            "a\u{202e}b",
            "a\u{200b}b",
            " a",
            &"x".repeat(65),
        ] {
            let refused = call(&actors, by, "PUT", &named, json!({"display_name": bad})).await;
            refused.expect("invalid_json", None, Some("display_name"), bad);
        }
    }
    // A change of a project leaves its name as it is.
    actors
        .ok(
            "adam",
            "PUT",
            &format!("{WEB}/display-name"),
            json!({"display_name": "Web"}),
        )
        .await;
    let project = json!({"agents": ["scribe"], "env": {"DB": "db/password"}});
    let after = actors.ok("adam", "PUT", WEB, project).await;
    assert_eq!(after["display_name"], "Web");
    // No entry says it: what people call something decides nothing.
    let said = entries(&actors, "agent.display_name").await;
    assert!(said.iter().all(|entry| entry["resource"] == "agent/scribe"));
}

#[tokio::test]
async fn deleting_the_newest_version_makes_no_older_one_the_newest() {
    let actors = Actors::new().await;
    let secret = format!("{NS}/secrets/db/password");
    let other = json!({"value_b64": encoding::b64url(b"the second")});
    actors.ok("adam", "PUT", &secret, other).await;
    let deleted = call(
        &actors,
        "adam",
        "DELETE",
        &format!("{secret}?version=2"),
        Value::Null,
    )
    .await;
    assert_eq!(deleted.status, 204);
    let refused = call(&actors, "adam", "GET", &secret, Value::Null).await;
    refused.expect("not_found", None, None, "the newest");
    // The agent has a grant for it, and gets no older value instead.
    let run = json!({"names": ["DB"], "delivery": "env"});
    let refused = call(&actors, "scribe", "POST", RUNS, run.clone()).await;
    refused.expect("value_missing", None, None, "a run");
    let listed = actors
        .ok(
            "otto",
            "GET",
            &format!("{NS}/secrets?prefix=db/"),
            Value::Null,
        )
        .await;
    assert_eq!(listed["secrets"], json!([]));
    // By its number an admin has it, and writing goes on behind the newest.
    let first = actors
        .ok("adam", "GET", &format!("{secret}?version=1"), Value::Null)
        .await;
    assert_eq!(first["value_b64"], value_b64());
    let third = actors
        .ok("adam", "PUT", &secret, json!({"value_b64": value_b64()}))
        .await;
    assert_eq!(third["version"], 3);
    let delivered = actors.ok("scribe", "POST", RUNS, run).await;
    assert_eq!(delivered["values"]["DB"]["version"], 3);
}
