//! Ways to a process: each is granted by itself, and held to the secret's rule.

use crate::actors::{Actors, value_b64};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";

async fn run(actors: &Actors, delivery: &str) -> (u16, Value) {
    let body = json!({"names": ["DB"], "delivery": delivery});
    let target = format!("{NS}/projects/web/runs");
    let answer = actors
        .world
        .call(actors.key("scribe"), "POST", &target, Some(&body))
        .await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_grant_for_one_way_opens_no_other() {
    let actors = Actors::new().await;
    assert_eq!(run(&actors, "env").await.0, 200);
    for delivery in ["file", "stdin"] {
        let (status, pending) = run(&actors, delivery).await;
        assert_eq!(status, 202, "{delivery}");
        assert!(pending["values"].is_null());
        let id = pending["request"].as_str().unwrap();
        let target = format!("{NS}/requests/{id}");
        let request = actors.ok("anna", "GET", &target, Value::Null).await;
        assert_eq!(request["delivery"], delivery);
        let yes = actors.approval(id, "anna").await;
        let grant = actors
            .ok("anna", "POST", &format!("{target}/approve"), yes)
            .await;
        assert_eq!(grant["delivery"], delivery);
        let (status, delivered) = run(&actors, delivery).await;
        assert_eq!(status, 200, "{delivery}");
        assert_eq!(delivered["values"]["DB"]["value_b64"], value_b64());
        assert_eq!(delivered["grant"], grant["id"]);
    }
}

#[tokio::test]
async fn the_rule_of_a_secret_is_looked_at_in_each_way() {
    let actors = Actors::new().await;
    for (rule, status) in [
        (json!(["stdin"]), [422, 422, 202]),
        (json!(["file"]), [422, 202, 422]),
        (json!(["env"]), [200, 422, 422]),
        (json!(["http"]), [422, 422, 422]),
        (json!(["broker-only"]), [422, 422, 422]),
    ] {
        let metadata = format!("{NS}/metadata/db/password");
        actors
            .ok("adam", "POST", &metadata, json!({"delivery": rule}))
            .await;
        for (delivery, expected) in ["env", "file", "stdin"].into_iter().zip(status) {
            let (found, answer) = run(&actors, delivery).await;
            assert_eq!(found, expected, "{rule} {delivery}");
            if expected == 422 {
                assert_eq!(answer["code"], "delivery_not_allowed");
            }
        }
    }
}
