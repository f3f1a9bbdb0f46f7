//! `/v1/events`: who is told what, from when on, and until when.

use crate::actors::{Actors, join_body};
use crate::process::{Home, PATIENCE, Server, Still, admin, start};
use crate::sessions::started;
use crate::world::{PASSPHRASE, Sent, TestSession, World};
use axum::body::Body;
use http_body_util::BodyExt as _;
use procura_client::sse::{Message, Messages};
use procura_client::{Client, ClientOptions, SessionClient, Told};
use procura_crypto::{PublicKey, SigningKey, SystemEntropy};
use procura_proof::sign::Signer;
use procura_proof::{ANSWER_FIELD, AnswerView};
use procura_types::wire::EventKind;
use procura_types::{Duration, LinkCodeText};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

const EVENTS: &str = "/v1/events";
const REQUESTS: &str = "/v1/namespaces/shop/requests";

/// A stream as it is read.
struct Stream {
    body: Body,
    messages: Messages,
    told: VecDeque<Message>,
}

impl Stream {
    /// The next message that has data; none when it is over.
    async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some(message) = self.told.pop_front() {
                if !message.data.is_empty() {
                    return Some(message);
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame())
                .await
                .expect("something is told, or it is over")?
                .unwrap();
            let read = self.messages.read(frame.data_ref().unwrap()).unwrap();
            self.told.extend(read);
        }
    }

    /// The place that it begins at.
    async fn place(&mut self) -> u64 {
        let frame = self.body.frame().await.unwrap().unwrap();
        let read = self.messages.read(frame.data_ref().unwrap()).unwrap();
        self.told.extend(read);
        let first = self.told.front().unwrap();
        first.id.as_ref().unwrap().parse().unwrap()
    }

    /// What is told next, as its kind, action and resource.
    async fn line(&mut self) -> (String, String, String) {
        let message = self.next().await.expect("it goes on");
        let data: Value = serde_json::from_str(&message.data).unwrap();
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        (message.event.clone(), text("action"), text("resource"))
    }

    async fn is_over(&mut self) {
        assert_eq!(self.next().await, None);
    }
}

fn reading(response: axum::response::Response) -> Stream {
    let (head, body) = response.into_parts();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "text/event-stream");
    assert_eq!(head.headers["cache-control"], "no-store");
    Stream {
        body,
        messages: Messages::default(),
        told: VecDeque::new(),
    }
}

async fn follow_at(actors: &Actors, who: &str, target: &str) -> Stream {
    let sent = actors.world.signed(actors.key(who), "GET", target, None);
    reading(actors.world.response(&sent).await)
}

async fn follow(actors: &Actors, who: &str) -> Stream {
    follow_at(actors, who, EVENTS).await
}

/// Everything that is kept, for somebody.
async fn kept(actors: &Actors, who: &str, after: Option<u64>) -> Vec<Message> {
    let mut target = format!("{EVENTS}?follow=false");
    if let Some(after) = after {
        target.push_str(&format!("&after={after}"));
    }
    let mut stream = follow_at(actors, who, &target).await;
    let mut all = Vec::new();
    while let Some(message) = stream.next().await {
        all.push(message);
    }
    all
}

async fn revoke_device(actors: &Actors, by: &str, whose: &str) -> String {
    let device = actors.device(whose);
    let target = format!("/v1/devices/{device}/revoke");
    actors.ok(by, "POST", &target, Value::Null).await;
    format!("device/{device}")
}

async fn withdraw(actors: &Actors) -> String {
    let target = format!("/v1/namespaces/shop/grants/{}/withdraw", actors.grant);
    actors.ok("anna", "POST", &target, Value::Null).await;
    format!("grant/{}", actors.grant)
}

fn line(kind: &str, action: &str, resource: &str) -> (String, String, String) {
    (kind.to_owned(), action.to_owned(), resource.to_owned())
}

#[tokio::test]
async fn what_happens_is_told_under_the_index_of_its_entry() {
    let actors = Actors::new().await;
    let mut stream = follow(&actors, "alice").await;
    let place = stream.place().await;
    let [first, second] = actors.waiting.clone();
    let yes = actors.approval(&first, "anna").await;
    let target = format!("{REQUESTS}/{first}/approve");
    actors.ok("anna", "POST", &target, yes).await;
    let target = format!("{REQUESTS}/{second}/deny");
    actors.ok("anna", "POST", &target, Value::Null).await;
    let grant = withdraw(&actors).await;
    let device = revoke_device(&actors, "adam", "baker").await;
    let agent = "/v1/namespaces/shop/agents/scribe";
    actors.ok("adam", "DELETE", agent, Value::Null).await;
    actors
        .ok("alice", "DELETE", "/v1/operators/otto", Value::Null)
        .await;
    let scribe = kept(&actors, "alice", None)
        .await
        .iter()
        .map(|message| serde_json::from_str::<Value>(&message.data).unwrap())
        .find(|data| data["action"] == "request.create")
        .map(|data| data["actor"].as_str().unwrap().to_owned())
        .unwrap();

    let mut ids = vec![place];
    for (kind, action, resource, has_id) in [
        (
            "request",
            "request.approve",
            format!("request/{first}"),
            false,
        ),
        ("grant", "request.approve", format!("request/{first}"), true),
        (
            "request",
            "request.deny",
            format!("request/{second} agent:{scribe}"),
            true,
        ),
        ("grant", "grant.withdraw", grant, true),
        ("revocation", "device.revoke", device, true),
        (
            "revocation",
            "agent.revoke",
            "agent/scribe".to_owned(),
            true,
        ),
        (
            "revocation",
            "operator.revoke",
            "operator/otto".to_owned(),
            true,
        ),
    ] {
        let message = stream.next().await.unwrap();
        let data: Value = serde_json::from_str(&message.data).unwrap();
        assert_eq!(message.event, kind, "{data}");
        assert_eq!(
            (&data["action"], &data["resource"]),
            (&json!(action), &json!(resource))
        );
        if action != "operator.revoke" {
            assert_eq!(data["namespace"], "shop", "{data}");
            assert!(data["subject"].is_string(), "{data}");
        }
        assert_eq!(message.id.is_some(), has_id, "{data}");
        let Some(id) = message.id else { continue };
        let id: u64 = id.parse().unwrap();
        // The entry is the one of this index.
        let target = format!("/v1/ledger/entries?before={}&limit=1", id + 1);
        let found = actors.ok("alice", "GET", &target, Value::Null).await;
        assert_eq!(found["entries"][0]["index"], id);
        let entry: Value =
            serde_json::from_str(found["entries"][0]["entry"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&entry["id"], &entry["time"]),
            (&data["entry"], &data["time"])
        );
        ids.push(id);
    }
    assert!(ids.is_sorted(), "{ids:?}");
}

#[tokio::test]
async fn everybody_sees_their_own_part_and_no_other() {
    let actors = Actors::new().await;
    let parent = json!({"label": "clerk", "parent": "baker"});
    actors
        .ok("adam", "POST", "/v1/namespaces/shop/agents", parent)
        .await;
    let mut streams = Vec::new();
    for who in [
        "alice", "adam", "anna", "otto", "bert", "scribe", "baker", "robber",
    ] {
        let mut stream = follow(&actors, who).await;
        stream.place().await;
        streams.push((who, stream));
    }
    // Of scribe; of one below baker; of the bank; of everybody's operators.
    let grant = withdraw(&actors).await;
    let clerk = "/v1/namespaces/shop/agents/clerk";
    actors.ok("adam", "DELETE", clerk, Value::Null).await;
    let robber = "/v1/namespaces/bank/agents/robber";
    actors.ok("bert", "DELETE", robber, Value::Null).await;
    let gone = "/v1/operators/gone";
    actors.ok("alice", "DELETE", gone, Value::Null).await;
    // The last ones, after which nothing more can come for each of them.
    let scribe = revoke_device(&actors, "adam", "scribe").await;
    let baker = revoke_device(&actors, "adam", "baker").await;

    let grant = line("grant", "grant.withdraw", &grant);
    let clerk = line("revocation", "agent.revoke", "agent/clerk");
    let robbed = line("revocation", "agent.revoke", "agent/robber");
    let gone = line("revocation", "operator.revoke", "operator/gone");
    let scribe = line("revocation", "device.revoke", &scribe);
    let baker = line("revocation", "device.revoke", &baker);
    for (who, mut stream) in streams {
        let shop = [&grant, &clerk, &scribe, &baker];
        let expected: Vec<&(String, String, String)> = match who {
            "alice" => vec![&grant, &clerk, &robbed, &gone, &scribe, &baker],
            "adam" | "anna" | "otto" => shop.to_vec(),
            "bert" => vec![&robbed],
            // Whose device or actor is revoked hears nothing more, not even of that.
            "scribe" => vec![],
            "baker" => vec![],
            _ => vec![],
        };
        // What an agent was told before is what it had read by then.
        let is_agent = ["scribe", "baker", "robber"].contains(&who);
        for expected in expected {
            assert_eq!(&stream.line().await, expected, "{who}");
        }
        if is_agent {
            stream.is_over().await;
        }
    }
}

#[tokio::test]
async fn an_agent_sees_itself_and_those_below_it() {
    let actors = Actors::new().await;
    let parent = json!({"label": "clerk", "parent": "baker"});
    actors
        .ok("adam", "POST", "/v1/namespaces/shop/agents", parent)
        .await;
    let mut baker = follow(&actors, "baker").await;
    let mut scribe = follow(&actors, "scribe").await;
    baker.place().await;
    scribe.place().await;
    let clerk = "/v1/namespaces/shop/agents/clerk";
    actors.ok("adam", "DELETE", clerk, Value::Null).await;
    let grant = withdraw(&actors).await;
    let clerk = line("revocation", "agent.revoke", "agent/clerk");
    assert_eq!(baker.line().await, clerk);
    // Not the clerk's, though that came before.
    assert_eq!(scribe.line().await, line("grant", "grant.withdraw", &grant));
    // Who asks for what is kept gets the same part of it.
    let seen = kept(&actors, "baker", None).await;
    assert!(
        seen.iter()
            .all(|message| message.data.contains("agent/clerk")),
        "{seen:?}"
    );
    let theirs = kept(&actors, "robber", None).await;
    assert_eq!(theirs, []);
}

#[tokio::test]
async fn an_operator_without_a_role_is_refused() {
    let actors = Actors::new().await;
    let none = json!({"roles": []});
    actors
        .ok("alice", "PUT", "/v1/operators/otto/roles", none)
        .await;
    let answer = actors
        .world
        .call(actors.key("otto"), "GET", EVENTS, None)
        .await;
    answer.expect("forbidden", None, None, "otto");
}

#[tokio::test]
async fn a_stream_ends_with_what_let_it_begin() {
    let actors = Actors::new().await;
    let mut agent = follow(&actors, "scribe").await;
    let mut device = follow(&actors, "baker").await;
    let mut role = follow(&actors, "otto").await;
    let mut other = follow(&actors, "bert").await;
    for stream in [&mut agent, &mut device, &mut role, &mut other] {
        stream.place().await;
    }
    let scribe = "/v1/namespaces/shop/agents/scribe";
    actors.ok("adam", "DELETE", scribe, Value::Null).await;
    agent.is_over().await;
    revoke_device(&actors, "adam", "baker").await;
    device.is_over().await;
    for action in ["agent.revoke", "device.revoke"] {
        assert_eq!(role.line().await.1, action);
    }
    // Still an operator, of another part.
    let roles = json!({"roles": [{"role": "auditor", "namespace": "bank"}]});
    actors
        .ok("alice", "PUT", "/v1/operators/otto/roles", roles)
        .await;
    role.is_over().await;
    // Those of whom none of this was true go on, until all of it ends.
    actors.world.seal().await;
    other.is_over().await;
    let sealed = actors
        .world
        .call(actors.key("bert"), "GET", EVENTS, None)
        .await;
    sealed.expect("sealed", None, None, "bert");
}

async fn in_session(
    world: &World,
    session: &TestSession,
    counter: u64,
) -> axum::response::Response {
    let signer = Signer::Session {
        id: &session.id,
        mac_key: &session.key,
        counter,
    };
    let sent = Sent::new("GET", EVENTS, None).signed(signer, world.now());
    world.response(&sent).await
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, ends) = started(world, actors.key("otto"), None).await;
    let response = in_session(world, &session, 1).await;
    // The head is signed, so that whoever took the port is found out.
    let tag = response.headers()[ANSWER_FIELD]
        .to_str()
        .unwrap()
        .to_owned();
    let head = AnswerView {
        status: 200,
        content_type: "text/event-stream",
        body: b"",
    };
    assert!(head.is_signed(&session.key, 1, &tag));
    let mut by_session = reading(response);
    let mut by_key = follow(&actors, "anna").await;
    by_session.place().await;
    by_key.place().await;
    let left = ends.since(world.now());
    world.clock.turn(left - Duration::from_millis(1));
    let grant = line("grant", "grant.withdraw", &withdraw(&actors).await);
    assert_eq!(by_session.line().await, grant);
    world.clock.turn(Duration::from_millis(1));
    revoke_device(&actors, "adam", "baker").await;
    by_session.is_over().await;
    // A proof by the key itself is good for as long as sessions can be renewed.
    assert_eq!(by_key.line().await, grant);
    assert_eq!(by_key.line().await.1, "device.revoke");
    world.clock.turn(Duration::from_secs(12 * 3600));
    revoke_device(&actors, "alice", "bert").await;
    by_key.is_over().await;
}

#[tokio::test]
async fn a_stream_of_a_session_ends_with_the_root_of_that_session() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let (session, _) = started(world, actors.key("otto"), None).await;
    let mut by_session = reading(in_session(world, &session, 1).await);
    let mut by_key = follow(&actors, "otto").await;
    by_session.place().await;
    by_key.place().await;
    let body = json!({"current": PASSPHRASE, "new": "canary passphrase 55aa"});
    let changed = world.admin("POST", "/admin/passphrase", &body).await;
    assert_eq!(changed.status, 204, "{}", changed.text());
    by_session.is_over().await;
    withdraw(&actors).await;
    assert_eq!(by_key.line().await.1, "grant.withdraw");
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_nothing_twice() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let mut stream = follow(&actors, "anna").await;
    let place = stream.place().await;
    let grant = withdraw(&actors).await;
    let seen = stream.next().await.unwrap().id.unwrap();
    drop(stream);
    let device = revoke_device(&actors, "adam", "baker").await;

    let mut sent = Sent::new("GET", EVENTS, None);
    sent.headers
        .push(("last-event-id".to_owned(), seen.clone()));
    let sent = sent.signed(Signer::Device(actors.key("anna")), world.now());
    let mut back = reading(world.response(&sent).await);
    assert_eq!(
        back.line().await,
        line("revocation", "device.revoke", &device)
    );
    // The same by the query, from the place that was told when nothing had been.
    let missed = kept(&actors, "anna", Some(place)).await;
    assert_eq!(missed.len(), 2);
    assert!(missed[0].data.contains(&grant) && missed[1].data.contains(&device));
    // Through a seal too.
    world.seal().await;
    world.unseal().await;
    assert_eq!(kept(&actors, "anna", Some(place)).await, missed);
}

#[tokio::test]
async fn an_id_that_is_not_known_begins_anew() {
    let actors = Actors::new().await;
    let mut stream = follow_at(&actors, "anna", "/v1/events?after=4711000").await;
    let reset = stream.next().await.unwrap();
    assert_eq!((reset.event.as_str(), reset.data.as_str()), ("reset", "{}"));
    let device = revoke_device(&actors, "adam", "baker").await;
    assert_eq!(
        stream.line().await,
        line("revocation", "device.revoke", &device)
    );
}

#[tokio::test]
async fn a_last_event_that_is_none_is_malformed() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let with = |target: &str, ids: &[&str]| {
        let mut sent = Sent::new("GET", target, None);
        for id in ids {
            sent.headers
                .push(("last-event-id".to_owned(), (*id).to_owned()));
        }
        sent.signed(Signer::Device(actors.key("anna")), world.now())
    };
    for (target, ids) in [
        (EVENTS, &["x"][..]),
        (EVENTS, &["-1"]),
        (EVENTS, &["1", "2"]),
        ("/v1/events?after=1", &["1"]),
    ] {
        let answer = world.send(&with(target, ids)).await;
        answer.expect(
            "malformed",
            None,
            Some("last-event-id"),
            &format!("{target} {ids:?}"),
        );
    }
    // As browsers send it at first.
    let empty = world.send(&with("/v1/events?follow=false", &[""])).await;
    assert_eq!(empty.status, 200);
}

#[tokio::test]
async fn alarms_are_told_to_whom_they_concern() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let mut steward = follow(&actors, "alice").await;
    let mut agent = follow(&actors, "scribe").await;
    let mut other = follow(&actors, "bert").await;
    for stream in [&mut steward, &mut agent, &mut other] {
        stream.place().await;
    }
    let mut forged = world.signed(actors.key("scribe"), "GET", "/v1/namespaces", None);
    forged.target = "/v1/operators".to_owned();
    let refused = world.send(&forged).await;
    refused.expect("unauthorized", Some("bad_signature"), None, "forged");
    world.app.open().unwrap().recorder.drain_refusals().await;
    for stream in [&mut steward, &mut agent] {
        let message = stream.next().await.unwrap();
        let data: Value = serde_json::from_str(&message.data).unwrap();
        assert_eq!(message.event, "alarm");
        assert_eq!(
            (&data["reason"], &data["resource"]),
            (&json!("bad_signature"), &json!("http//v1/operators"))
        );
        assert_eq!(
            (&data["namespace"], &data["actor"]),
            (&json!("shop"), &Value::Null)
        );
    }
    let robber = "/v1/namespaces/bank/agents/robber";
    actors.ok("bert", "DELETE", robber, Value::Null).await;
    assert_eq!(other.line().await.1, "agent.revoke");
}

/// A server on a real listener, open.
fn served() -> (Home, Server) {
    let home = Home::new();
    let server = start(home.config()).unwrap();
    let unsealed = admin(
        home.path(),
        "/admin/unseal",
        &json!({"passphrase": PASSPHRASE}),
    );
    assert_eq!(unsealed.status(), 204);
    (home, server)
}

/// The calls of `alice` by her first device, and by one that she joins now.
async fn both(home: &Home, server: &Server) -> (SessionClient, SessionClient) {
    let installation = std::fs::read(home.path().join("installation.json")).unwrap();
    let installation: Value = serde_json::from_slice(&installation).unwrap();
    let key = serde_json::from_value(installation["server_key"].clone()).unwrap();
    let options = ClientOptions {
        pinned_server_key: Some(PublicKey::from_jwk(&key).unwrap()),
        ..ClientOptions::default()
    };
    let url = server.ready["api"].as_str().unwrap();
    let client = Client::new(url, options, Arc::new(Still), Arc::new(SystemEntropy)).unwrap();
    let root = SigningKey::from_secret_bytes(home.root.to_secret_bytes().expose()).unwrap();
    let alice = SessionClient::new(client.clone(), Arc::new(root));
    let code = alice
        .operator_code(&"alice".parse().unwrap())
        .await
        .unwrap();
    let code = LinkCodeText::parse(&code.code).unwrap();
    let fresh = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let actor = serde_json::from_value(join_body(&code, &fresh)["actor_id"].clone()).unwrap();
    client.join(&code, &actor, &fresh).await.unwrap();
    (alice, SessionClient::new(client, Arc::new(fresh)))
}

fn in_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

#[test]
fn a_revoked_session_is_cut_off_within_a_second() {
    let (home, server) = served();
    in_runtime(async {
        let (alice, second) = both(&home, &server).await;
        let device = second.signer().public().thumbprint();
        let mut watched = alice.events(None, true).await.unwrap();
        let mut stream = second.events(None, true).await.unwrap();
        let began = Instant::now();
        alice.revoke_device(&device).await.unwrap();
        assert_eq!(stream.next().await.unwrap(), None);
        let told = watched.next().await.unwrap().unwrap();
        let took = began.elapsed();
        assert!(took < crate::servers::PROMISED, "{took:?}");
        let Told::Event(EventKind::Revocation, event) = told else {
            panic!("{told:?}");
        };
        assert_eq!(event.resource.unwrap(), format!("device/{device}"));
        let refused = second.events(watched.last(), true).await.err().unwrap();
        assert!(refused.is_refusal("revoked"), "{refused}");
    });
}

#[test]
fn a_server_that_stops_waits_for_no_stream() {
    let (home, mut server) = served();
    in_runtime(async {
        let (alice, _) = both(&home, &server).await;
        let mut stream = alice.events(None, true).await.unwrap();
        let began = Instant::now();
        server.terminate();
        assert_eq!(stream.next().await.unwrap(), None);
        server.wait();
        // Requests that run would be given ten.
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    });
}

#[tokio::test]
async fn open_streams_are_counted() {
    let actors = Actors::new().await;
    let counted = |count: u32| {
        let seen = actors.world.app.metrics.render(&actors.world.app);
        assert!(
            seen.contains(&format!("\nprocura_event_streams {count}\n")),
            "{seen}"
        );
    };
    counted(0);
    let (first, second) = (
        follow(&actors, "alice").await,
        follow(&actors, "anna").await,
    );
    counted(2);
    drop(first);
    counted(1);
    drop(second);
    counted(0);
}

#[tokio::test]
async fn a_stream_ends_with_the_namespace_of_whoever_follows() {
    let actors = Actors::new().await;
    let mut watched = follow(&actors, "alice").await;
    let mut of_agent = follow(&actors, "scribe").await;
    let mut of_admin = follow(&actors, "adam").await;
    let body = json!({"confirm": "shop"});
    actors
        .ok("alice", "DELETE", "/v1/namespaces/shop", body)
        .await;
    assert!(of_agent.next().await.is_none());
    assert!(of_admin.next().await.is_none());
    let (kind, action, resource) = watched.line().await;
    assert_eq!(
        (kind.as_str(), action.as_str()),
        ("revocation", "namespace.delete")
    );
    assert!(
        resource.starts_with("namespace/shop agents:2 "),
        "{resource}"
    );
}
