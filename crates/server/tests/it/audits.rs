//! An auditor reads the record of the namespace, and nothing else of it.

use crate::actors::Actors;
use serde_json::{Value, json};

/// The newest entry of an action, as `alice` finds it.
async fn newest(actors: &Actors, action: &str) -> Value {
    let target = format!("/v1/ledger/entries?action={action}&limit=1");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap()
}

fn proof_of(entry: &Value) -> String {
    format!("/v1/ledger/proof/{}", entry["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_auditor_proves_the_entries_of_the_namespace() {
    let actors = Actors::new().await;
    let entry = newest(&actors, "secret.write").await;
    assert_eq!(entry["namespace"], "shop");
    let target = proof_of(&entry);
    let mine = actors.ok("otto", "GET", &target, Value::Null).await;
    let text: Value = serde_json::from_str(mine["entry"].as_str().unwrap()).unwrap();
    assert_eq!(text, entry);
    assert!(mine["checkpoint"].as_str().unwrap().starts_with("procura/"));
    // The steward gets the same entry by the other rule.
    let all = actors.ok("alice", "GET", &target, Value::Null).await;
    assert_eq!(
        (&all["id"], &all["index"], &all["entry"]),
        (&mine["id"], &mine["index"], &mine["entry"])
    );
}

#[tokio::test]
async fn other_entries_are_as_none_to_an_auditor() {
    let actors = Actors::new().await;
    let of_shop = proof_of(&newest(&actors, "secret.write").await);
    let installation = newest(&actors, "operator.invite").await;
    assert_eq!(installation["namespace"], Value::Null);
    let installation = proof_of(&installation);
    let none = "/v1/ledger/proof/01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11".to_owned();
    for (who, target) in [
        // All roles of another namespace.
        ("bert", &of_shop),
        ("bert", &installation),
        ("otto", &installation),
        ("otto", &none),
    ] {
        let answer = actors
            .world
            .call(actors.key(who), "GET", target, None)
            .await;
        let problem = answer.problem(target);
        assert_eq!(
            (problem.code.as_str(), problem.detail.as_str()),
            (
                "not_found",
                "There is no such thing here, or it is not for you to know."
            ),
            "{who} {target}"
        );
        let refused = newest(&actors, "ledger.export").await;
        assert_eq!(
            (&refused["reason"], &refused["namespace"]),
            (&json!("no_role"), &Value::Null),
            "{who} {target}"
        );
    }
    // Whoever audits nothing is told what it takes, and has nothing searched.
    for who in ["adam", "scribe", "robber"] {
        for target in [&of_shop, &none] {
            let answer = actors
                .world
                .call(actors.key(who), "GET", target, None)
                .await;
            answer.expect("forbidden", None, None, who);
            assert_eq!(answer.json()["action"], "ledger.export");
        }
    }
}
