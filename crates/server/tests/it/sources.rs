//! Where an agent's requests may come from (`PUT …/agents/{label}/sources`).

use crate::actors::Actors;
use crate::world::{Answer, Sent, World};
use http::StatusCode;
use procura_proof::sign::Signer;
use serde_json::{Value, json};

const TARGET: &str = "/v1/namespaces/shop/agents/scribe/sources";
const LIST: &str = "/v1/namespaces";

async fn lists_from(actors: &Actors, who: &str, from: &str, forwarded: &[&str]) -> Answer {
    let mut sent = actors.world.signed(actors.key(who), "GET", LIST, None);
    for value in forwarded {
        let field = ("x-forwarded-for".to_owned(), (*value).to_owned());
        sent.headers.push(field);
    }
    actors.world.send_from(&sent, from.parse().unwrap()).await
}

fn refused(answer: &Answer, what: &str) {
    answer.expect("forbidden", Some("source_not_allowed"), None, what);
}

async fn hold(actors: &Actors, sources: &[&str]) -> Value {
    let body = json!({"sources": sources});
    actors.ok("adam", "PUT", TARGET, body).await
}

#[tokio::test]
async fn an_agent_is_let_in_from_its_sources_and_from_nowhere_else() {
    let actors = Actors::new().await;
    let agent = hold(&actors, &["172.17.0.0/16", "10.0.0.5/32", "10.0.0.5"]).await;
    // In one spelling, once each.
    assert_eq!(agent["sources"], json!(["10.0.0.5/32", "172.17.0.0/16"]));
    for (from, admitted) in [
        ("10.0.0.5", true),
        ("::ffff:10.0.0.5", true),
        ("10.0.0.77", false),
        ("10.0.0.50", false),
        ("172.17.5.9", true),
        ("172.18.5.9", false),
        ("127.0.0.1", false),
        ("2001:db8::1", false),
    ] {
        let answer = lists_from(&actors, "scribe", from, &[]).await;
        if admitted {
            assert_eq!(answer.status, StatusCode::OK, "{from}");
        } else {
            refused(&answer, from);
        }
        // A stranger's word about its way is nothing.
        let spoofed = lists_from(&actors, "scribe", from, &["10.0.0.5"]).await;
        assert_eq!(spoofed.status, answer.status, "{from}");
        let other = lists_from(&actors, "baker", from, &[]).await;
        assert_eq!(other.status, StatusCode::OK, "{from}");
    }
    let list = actors
        .ok("adam", "GET", "/v1/namespaces/shop/agents", Value::Null)
        .await;
    let agents = list["agents"].as_array().unwrap();
    let held: Vec<&Value> = agents
        .iter()
        .filter(|agent| agent.get("sources").is_some())
        .collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0]["label"], "scribe");
    assert!(hold(&actors, &[]).await.get("sources").is_none());
    let answer = lists_from(&actors, "scribe", "127.0.0.1", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_does_not_outlive_where_its_agent_may_be() {
    let actors = Actors::new().await;
    let (session, _) = crate::sessions::started(&actors.world, actors.key("scribe"), None).await;
    let ask = async |counter, from: &str| {
        let signer = Signer::Session {
            id: &session.id,
            mac_key: &session.key,
            counter,
        };
        let sent = Sent::new("GET", LIST, None).signed(signer, actors.world.now());
        actors.world.send_from(&sent, from.parse().unwrap()).await
    };
    assert_eq!(ask(0, "127.0.0.1").await.status, StatusCode::OK);
    hold(&actors, &["10.0.0.0/8"]).await;
    refused(&ask(1, "127.0.0.1").await, "elsewhere");
    // What was refused was not used up.
    assert_eq!(ask(1, "10.1.2.3").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_child_is_no_way_out() {
    let actors = Actors::new().await;
    let agents = "/v1/namespaces/shop/agents";
    let child = json!({"label": "task", "parent": "scribe"});
    actors.ok("adam", "POST", agents, child).await;
    let key = actors.join_as("adam", "shop", "task").await;
    let list = async |from: &str| {
        let sent = actors.world.signed(&key, "GET", LIST, None);
        actors.world.send_from(&sent, from.parse().unwrap()).await
    };
    assert_eq!(list("10.0.0.5").await.status, StatusCode::OK);
    hold(&actors, &["10.0.0.0/8"]).await;
    assert_eq!(list("10.0.0.5").await.status, StatusCode::OK);
    refused(&list("192.0.2.1").await, "where its parent may not be");
    let own = json!({"sources": ["192.0.2.0/24", "10.0.0.5"]});
    let target = format!("{agents}/task/sources");
    actors.ok("adam", "PUT", &target, own).await;
    assert_eq!(list("10.0.0.5").await.status, StatusCode::OK);
    refused(&list("192.0.2.1").await, "where its parent may not be");
    refused(&list("10.0.0.6").await, "where it may not be itself");
}

#[tokio::test]
async fn through_a_trusted_proxy_its_client_counts() {
    let proxies = ["10.0.0.1".parse().unwrap()];
    let world = World::configured(|config| config.trusted_proxies = proxies.to_vec());
    let actors = Actors::within(world).await;
    hold(&actors, &["203.0.113.0/24"]).await;
    for (from, forwarded, admitted) in [
        ("10.0.0.1", "203.0.113.7", true),
        ("10.0.0.1", "203.0.113.7, 198.51.100.1", false),
        ("10.0.0.2", "203.0.113.7", false),
        ("203.0.113.7", "198.51.100.1", true),
    ] {
        let answer = lists_from(&actors, "scribe", from, &[forwarded]).await;
        if admitted {
            assert_eq!(answer.status, StatusCode::OK, "{from} {forwarded}");
        } else {
            refused(&answer, forwarded);
        }
    }
}

#[tokio::test]
async fn what_was_said_of_an_agents_sources_is_in_the_record() {
    let actors = Actors::new().await;
    hold(&actors, &["172.17.0.0/16", "10.0.0.5"]).await;
    hold(&actors, &[]).await;
    let target = "/v1/ledger/entries?namespace=shop&action=agent.sources";
    let list = actors.ok("otto", "GET", target, Value::Null).await;
    let entries = list["entries"].as_array().unwrap();
    let resources: Vec<String> = entries
        .iter()
        .map(|entry| {
            let entry: Value = serde_json::from_str(entry["entry"].as_str().unwrap()).unwrap();
            entry["resource"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        resources,
        ["agent/scribe any", "agent/scribe 10.0.0.5/32 172.17.0.0/16"]
    );
}
