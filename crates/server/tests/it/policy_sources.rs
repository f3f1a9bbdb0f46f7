//! Policies by where a request comes from: what decides is the peer that the server sees,
//! also right after the same was decided for another.

use crate::actors::Actors;
use crate::world::{Answer, World};
use serde_json::{Value, json};

const HERE: &str = "/v1/namespaces/shop/policies";

/// Whether a caller is let in from an address, with what a proxy says of its way.
type Case = (&'static str, Option<&'static str>, bool);

/// Has this decide in the namespace.
async fn enforce(actors: &Actors, text: &str) {
    let made = actors.ok("adam", "POST", HERE, json!({"text": text})).await;
    let target = format!("{HERE}/{}/state", made["version"]);
    let state = json!({"state": "enforce"});
    actors.ok("adam", "PUT", &target, state).await;
}

/// Agents may nothing but from this network.
fn only_from(network: &str) -> String {
    format!(
        "@id(\"all\") permit(principal, action, resource);\n\
         @id(\"outside\") forbid(principal is Procura::Agent, action, resource)\n\
         unless {{ context has source && context.source.isInRange(ip(\"{network}\")) }};\n"
    )
}

/// What an agent asks for, from an address.
async fn asks(actors: &Actors, case: Case, method: &str, target: &str, body: Value) -> Answer {
    let (from, forwarded, _) = case;
    let body = (!body.is_null()).then(|| serde_json::to_vec(&body).unwrap());
    let key = actors.key("scribe");
    let mut sent = actors.world.signed(key, method, target, body.as_deref());
    if let Some(value) = forwarded {
        let field = ("x-forwarded-for".to_owned(), value.to_owned());
        sent.headers.push(field);
    }
    actors.world.send_from(&sent, from.parse().unwrap()).await
}

/// Asks each in turn: for values, and for what nothing is recorded of, so that the answer
/// to the one before is still kept.
async fn decided(actors: &Actors, cases: &[Case]) {
    let own = format!("/v1/namespaces/shop/requests/{}", actors.waiting[0]);
    let runs = "/v1/namespaces/shop/projects/web/runs";
    let names = json!({"names": ["DB"], "delivery": "env"});
    for (method, target, body) in [("GET", own.as_str(), Value::Null), ("POST", runs, names)] {
        for case in cases {
            let answer = asks(actors, *case, method, target, body.clone()).await;
            let what = format!("{target} {case:?}");
            if case.2 {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            } else {
                answer.expect("forbidden", Some("policy_forbids"), None, &what);
            }
        }
    }
}

#[tokio::test]
async fn a_network_is_held_against_the_peer_of_each_request() {
    let actors = Actors::new().await;
    enforce(&actors, &only_from("127.0.0.1/32")).await;
    decided(
        &actors,
        &[
            ("127.0.0.1", None, true),
            ("127.0.0.2", None, false),
            ("127.0.0.1", None, true),
            ("127.0.0.2", None, false),
            ("127.0.0.2", None, false),
            // The same address in another form, and others.
            ("::ffff:127.0.0.1", None, true),
            ("::1", None, false),
            ("192.0.2.1", None, false),
            // A stranger's word about its way is nothing.
            ("127.0.0.2", Some("127.0.0.1"), false),
            ("127.0.0.1", Some("127.0.0.2"), true),
        ],
    )
    .await;
    let refused = &actors.recorded("run.deliver").await;
    let refused = refused.iter().find(|entry| entry["decision"] == "deny");
    assert_eq!(refused.unwrap()["policies"], "shop@1:outside");
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_held_against_its_client() {
    let proxies = vec!["10.0.0.1".parse().unwrap()];
    let world = World::configured(|config| config.trusted_proxies = proxies);
    let actors = Actors::within(world).await;
    enforce(&actors, &only_from("203.0.113.0/24")).await;
    decided(
        &actors,
        &[
            ("10.0.0.1", Some("203.0.113.7"), true),
            ("10.0.0.1", Some("198.51.100.1"), false),
            ("10.0.0.1", Some("203.0.113.8"), true),
            // The proxy's own word is its last.
            ("10.0.0.1", Some("203.0.113.7, 198.51.100.1"), false),
            ("10.0.0.2", Some("203.0.113.7"), false),
            ("203.0.113.7", None, true),
            ("203.0.113.7", Some("198.51.100.1"), true),
        ],
    )
    .await;
}

#[tokio::test]
async fn where_no_policy_looks_at_it_every_peer_hears_the_same() {
    let actors = Actors::new().await;
    enforce(&actors, "permit(principal, action, resource);").await;
    let everywhere = ["127.0.0.1", "127.0.0.2", "::1", "192.0.2.1"];
    let cases = everywhere.map(|from| -> Case { (from, None, true) });
    decided(&actors, &cases).await;
}
