//! Project tokens: what they open, for whom, until when, and every way in which they do
//! not.

mod doors;
mod ending;
mod issuing;
mod shown;
mod using;

use crate::actors::Actors;
use crate::world::{Answer, Sent};
use procura_crypto::SigningKey;
use procura_proof::sign::Signer;
use serde_json::{Value, json};

pub(super) const NS: &str = "/v1/namespaces/shop";
pub(super) const ISSUE: &str = "/v1/namespaces/shop/projects/web/tokens";
pub(super) const VALUES: &str = "/v1/namespaces/shop/projects/web/values";
pub(super) const KINDS: [&str; 2] = ["opaque", "signed"];

/// A token as its device has it.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) id: String,
    pub(super) about: Value,
}

/// A token of `scribe` for the project `web`.
pub(super) async fn issue(actors: &Actors, body: Value) -> Token {
    read(actors.ok("scribe", "POST", ISSUE, body).await)
}

/// A token of this kind for `DB`.
pub(super) async fn token(actors: &Actors, kind: &str) -> Token {
    issue(actors, json!({"kind": kind, "names": ["DB"]})).await
}

pub(super) fn read(answer: Value) -> Token {
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Token {
        text: text("token"),
        id: text("id"),
        about: answer,
    }
}

/// A request for values that shows these fields, signed by `key`.
pub(super) fn showing(actors: &Actors, key: &SigningKey, fields: &[&str], body: &Value) -> Sent {
    let body = serde_json::to_vec(body).unwrap();
    let mut sent = Sent::new("POST", VALUES, Some(&body));
    for field in fields {
        let field = ("authorization".to_owned(), (*field).to_owned());
        sent.headers.push(field);
    }
    sent.signed(Signer::Device(key), actors.world.now())
}

/// What the server says to `scribe` who shows this token for all of its names.
pub(super) async fn show(actors: &Actors, token: &str) -> Answer {
    show_for(actors, token, &json!({})).await
}

pub(super) async fn show_for(actors: &Actors, token: &str, body: &Value) -> Answer {
    let field = format!("Bearer {token}");
    let sent = showing(actors, actors.key("scribe"), &[&field], body);
    actors.world.send(&sent).await
}

/// That the token opens `DB`.
pub(super) async fn opens(actors: &Actors, token: &str, what: &str) {
    let answer = show(actors, token).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    let value = &answer.json()["values"]["DB"];
    assert_eq!(value["value_b64"], crate::actors::value_b64(), "{what}");
}

/// That the token opens nothing, for this reason.
pub(super) async fn refused(actors: &Actors, token: &str, reason: &str, what: &str) {
    let answer = show(actors, token).await;
    answer.expect("token_refused", Some(reason), None, what);
}

/// Has `scribe` ask for these names, and `anna` say yes; the grant.
pub(super) async fn grant(actors: &Actors, names: &[&str]) -> String {
    let run = json!({"names": names, "delivery": "env"});
    let target = format!("{NS}/projects/web/runs");
    let asked = actors
        .world
        .call(actors.key("scribe"), "POST", &target, Some(&run))
        .await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let request = asked.json()["request"].as_str().unwrap().to_owned();
    let approval = actors.approval(&request, "anna").await;
    let target = format!("{NS}/requests/{request}/approve");
    let granted = actors.ok("anna", "POST", &target, approval).await;
    granted["id"].as_str().unwrap().to_owned()
}

pub(super) async fn withdraw(actors: &Actors, grant: &str) {
    let target = format!("{NS}/grants/{grant}/withdraw");
    actors.ok("anna", "POST", &target, Value::Null).await;
}

/// The newest entry of an action.
pub(super) async fn newest(actors: &Actors, action: &str) -> Value {
    actors.recorded(action).await.swap_remove(0)
}

/// All entries of the record, as text.
pub(super) async fn record(actors: &Actors) -> String {
    let target = "/v1/ledger/entries?limit=1000";
    let found = actors.ok("alice", "GET", target, Value::Null).await;
    found.to_string()
}
