//! What the API did and refused is in the record.

use crate::actors::Actors;
use crate::world::Sent;
use serde_json::{Value, json};

/// The newest entries, newest first, as the steward sees them.
async fn entries(actors: &Actors) -> Vec<Value> {
    let list = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1000", Value::Null)
        .await;
    let rows = list["entries"].as_array().unwrap().iter();
    rows.map(|row| serde_json::from_str(row["entry"].as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_read_of_an_operator_and_a_run_are_in_it() {
    let actors = Actors::new().await;
    actors
        .ok(
            "adam",
            "GET",
            "/v1/namespaces/shop/secrets/db/password",
            Value::Null,
        )
        .await;
    let found = entries(&actors).await;
    let read = found
        .iter()
        .find(|entry| entry["action"] == "secret.read")
        .unwrap();
    assert_eq!(
        (&read["phase"], &read["decision"]),
        (&json!("intent"), &json!("allow"))
    );
    assert_eq!(read["resource"], "secret/db/password @1");
    assert_eq!(read["profile"], "native");
    assert_eq!(read["ip"], "127.0.0.1");
    let run = found
        .iter()
        .find(|entry| entry["action"] == "run.deliver" && entry["decision"] == "allow")
        .unwrap();
    assert_eq!(
        (&run["grant"], &run["run"]),
        (&json!(actors.grant), &json!(actors.run))
    );
    let approve = found
        .iter()
        .find(|entry| entry["action"] == "request.approve")
        .unwrap();
    assert!(approve["approval"].is_object());
    for entry in &found {
        assert!(!entry.to_string().contains(crate::world::CANARY));
    }
}

#[tokio::test]
async fn refusals_are_in_it_with_the_request_and_the_reason() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let secret = "/v1/namespaces/shop/secrets/db/password";
    let target = "/v1/namespaces/shop/projects/web/runs";
    let body = json!({"names": ["DB"], "delivery": "env"});
    let cases = [
        (
            world.send(&Sent::new("GET", secret, None)).await,
            "authenticate",
            "missing_headers",
        ),
        (
            world.call(actors.key("gone"), "GET", secret, None).await,
            "authenticate",
            "revoked",
        ),
        (
            world.call(actors.key("otto"), "GET", secret, None).await,
            "secret.read",
            "no_role",
        ),
        (
            world.call(actors.key("bert"), "GET", secret, None).await,
            "secret.read",
            "no_role",
        ),
        // Signed for another server, which is as far as anybody looks.
        (
            {
                let mut lured = world.signed(actors.key("adam"), "GET", secret, None);
                lured.set("host", |_| "vault.example".to_owned());
                world.send(&lured).await
            },
            "authenticate",
            "malformed",
        ),
        // Not named by the project: refused before there is anything to decide.
        (
            world
                .call(actors.key("baker"), "POST", target, Some(&body))
                .await,
            "run.deliver",
            "not_found",
        ),
    ];
    let found = entries(&actors).await;
    for (answer, action, reason) in cases {
        let id = answer.problem(reason).request_id;
        let entry = found
            .iter()
            .find(|entry| entry["trace"] == id.as_str())
            .unwrap_or_else(|| panic!("{action} {reason}"));
        assert_eq!(
            (&entry["action"], &entry["reason"]),
            (&json!(action), &json!(reason))
        );
        assert_eq!(entry["decision"], "deny");
    }
}

#[tokio::test]
async fn withdrawal_stops_the_next_read() {
    let actors = Actors::new().await;
    let run = json!({"names": ["DB"], "delivery": "env"});
    let target = "/v1/namespaces/shop/projects/web/runs";
    let before = actors
        .world
        .call(actors.key("scribe"), "POST", target, Some(&run))
        .await;
    assert_eq!(before.status, 200, "{}", before.text());
    let withdraw = format!("/v1/namespaces/shop/grants/{}/withdraw", actors.grant);
    let withdrawn = actors.ok("anna", "POST", &withdraw, Value::Null).await;
    assert_eq!(withdrawn["running"].as_array().unwrap().len(), 2);
    let after = actors
        .world
        .call(actors.key("scribe"), "POST", target, Some(&run))
        .await;
    assert_eq!(after.status, 202, "{}", after.text());
    assert!(after.json()["values"].is_null());
}

#[tokio::test]
async fn turning_a_dial_is_in_it_and_a_turn_by_who_saw_another_version_is_none() {
    let actors = Actors::new().await;
    let target = "/v1/namespaces/shop/services/till";
    let put = async |expect_version: &Value, mode: &str| {
        let body = json!({"expect_version": expect_version, "mode": mode});
        actors
            .world
            .call(actors.key("adam"), "PUT", target, Some(&body))
            .await
    };
    let made = put(&json!(0), "observe").await.json();
    assert_eq!(
        (&made["name"], &made["mode"]),
        (&json!("till"), &json!("observe"))
    );
    let turned = put(&made["version"], "enforce").await.json();
    assert_eq!(
        actors.ok("otto", "GET", target, Value::Null).await,
        turned.clone()
    );
    put(&made["version"], "off").await.expect(
        "version_mismatch",
        None,
        None,
        "seen before the turn",
    );
    let remove = format!("{target}?expect_version={}", made["version"]);
    let answer = actors
        .world
        .call(actors.key("adam"), "DELETE", &remove, None)
        .await;
    answer.expect("version_mismatch", None, None, "not the newest");
    let list = "/v1/namespaces/shop/services";
    let list = actors.ok("anna", "GET", list, Value::Null).await;
    assert_eq!(list, json!({ "services": [turned] }));

    let found = entries(&actors).await;
    let said: Vec<&Value> = found
        .iter()
        .filter(|entry| entry["action"] == "service.write" && entry["decision"] == "allow")
        .map(|entry| &entry["resource"])
        .collect();
    assert_eq!(
        said,
        [
            &json!("service/till changed mode:observe>enforce"),
            &json!("service/till added mode:none>observe"),
        ]
    );
}
