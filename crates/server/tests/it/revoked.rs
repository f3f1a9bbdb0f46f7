//! What is left of an agent that was revoked: nothing that holds or waits.

use crate::actors::Actors;
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";

fn of<'a>(list: &'a Value, id: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter();
    found.into_iter().find(|row| row["id"] == id).unwrap()
}

#[tokio::test]
async fn grants_and_requests_say_that_their_agent_is_revoked() {
    let actors = Actors::new().await;
    let (grants, requests) = (format!("{NS}/grants"), format!("{NS}/requests"));
    let (grant, waiting) = (&actors.grant, &actors.waiting[0]);
    let before = actors.ok("anna", "GET", &grants, Value::Null).await;
    assert_eq!(of(&before["grants"], grant)["agent_revoked"], Value::Null);
    let before = actors.ok("anna", "GET", &requests, Value::Null).await;
    assert_eq!(of(&before["requests"], waiting)["state"], "pending");
    let approval = actors.approval(waiting, "anna").await;

    let agent = format!("{NS}/agents/scribe");
    actors.ok("adam", "DELETE", &agent, Value::Null).await;

    let after = actors.ok("anna", "GET", &grants, Value::Null).await;
    assert_eq!(of(&after["grants"], grant)["agent_revoked"], true);
    let after = actors.ok("anna", "GET", &requests, Value::Null).await;
    let request = of(&after["requests"], waiting);
    assert_eq!(
        (&request["state"], &request["already"]),
        (&json!("revoked"), &json!([]))
    );
    // What was answered before stays so.
    assert_eq!(of(&after["requests"], grant)["state"], "approved");
    let answer = actors
        .world
        .call(
            actors.key("anna"),
            "POST",
            &format!("{requests}/{waiting}/approve"),
            Some(&approval),
        )
        .await;
    let problem = answer.problem("approve");
    assert_eq!(
        (problem.code.as_str(), problem.detail.as_str()),
        ("conflict", "the agent is revoked")
    );
}
