//! Who is forbidden something learns what it takes; who may not know that it is
//! there learns nothing.

use crate::actors::{Actors, value_b64};
use crate::calls::cases;
use serde_json::{Value, json};

async fn refused(actors: &Actors, by: &str, method: &str, target: &str, body: Value) -> Value {
    let body = (!body.is_null()).then_some(body);
    let answer = actors
        .world
        .call(actors.key(by), method, target, body.as_ref())
        .await;
    answer.problem(target);
    answer.json()
}

fn told(problem: &Value) -> (&str, &str, &Value, &Value, &Value) {
    (
        problem["code"].as_str().unwrap(),
        problem["detail"].as_str().unwrap(),
        &problem["action"],
        &problem["namespace"],
        &problem["roles"],
    )
}

#[tokio::test]
async fn the_refusal_names_the_action_and_the_roles_that_open_it() {
    let actors = Actors::new().await;
    let secret = "/v1/namespaces/shop/secrets/db/password";
    let write = json!({"value_b64": value_b64()});
    let device = format!("/v1/devices/{}/revoke", actors.device("alice"));
    let agents = "/v1/namespaces/shop/agents";
    for (by, method, target, body, detail, action, namespace, roles) in [
        (
            "otto",
            "PUT",
            secret,
            write.clone(),
            "secret.write in namespace shop needs the role admin.",
            "secret.write",
            json!("shop"),
            json!(["admin"]),
        ),
        (
            "scribe",
            "GET",
            agents,
            Value::Null,
            "agent.list in namespace shop needs the role admin or approver or auditor.",
            "agent.list",
            json!("shop"),
            json!(["admin", "approver", "auditor"]),
        ),
        (
            "adam",
            "GET",
            "/v1/operators",
            Value::Null,
            "operator.list needs the role steward.",
            "operator.list",
            Value::Null,
            json!(["steward"]),
        ),
        (
            "adam",
            "POST",
            &device,
            Value::Null,
            "operator.device.revoke is for whom it belongs to or the role steward.",
            "operator.device.revoke",
            Value::Null,
            json!(["steward"]),
        ),
    ] {
        let problem = refused(&actors, by, method, target, body).await;
        let detail = format!("Your roles and grants do not allow this: {detail}");
        assert_eq!(
            told(&problem),
            (
                "forbidden",
                detail.as_str(),
                &json!(action),
                &namespace,
                &roles
            )
        );
    }
    // In another namespace there is nothing to know.
    for outsider in ["bert", "robber"] {
        let problem = refused(&actors, outsider, "PUT", secret, write.clone()).await;
        let detail = "There is no such thing here, or it is not for you to know.";
        let none = Value::Null;
        assert_eq!(told(&problem), ("not_found", detail, &none, &none, &none));
    }
}

#[tokio::test]
async fn every_call_that_forbids_says_what_it_takes() {
    let actors = Actors::new().await;
    for case in cases(&actors).await {
        let Some((who, code)) = case.refused else {
            continue;
        };
        let body = case.body.clone().unwrap_or_default();
        let problem = refused(&actors, who, case.method, &case.target, body).await;
        let (found, detail, action, _, _) = told(&problem);
        assert_eq!(found, code, "{}", case.target);
        assert_eq!(action.is_string(), code == "forbidden", "{detail}");
    }
}
