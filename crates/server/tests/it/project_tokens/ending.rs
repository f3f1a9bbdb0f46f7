//! What ends a token, and that nothing brings it back.

use super::{ISSUE, KINDS, NS, grant, issue, newest, opens, read, refused, show, token, withdraw};
use crate::actors::Actors;
use procura_types::Duration;
use serde_json::{Value, json};

async fn revoke(actors: &Actors, by: &str, id: &str) {
    let target = format!("{NS}/tokens/{id}");
    actors.ok(by, "DELETE", &target, Value::Null).await;
}

async fn state(actors: &Actors, id: &str) -> String {
    let target = format!("{NS}/tokens?limit=1000");
    let list = actors.ok("otto", "GET", &target, Value::Null).await;
    let rows = list["tokens"].as_array().unwrap().iter();
    let found = rows.into_iter().find(|row| row["id"] == id).unwrap();
    found["state"].as_str().unwrap().to_owned()
}

async fn restart(actors: &Actors) {
    actors.world.seal().await;
    actors.world.unseal().await;
}

#[tokio::test]
async fn a_withdrawn_grant_ends_its_tokens_for_good() {
    for kind in KINDS {
        let actors = Actors::new().await;
        let token = token(&actors, kind).await;
        opens(&actors, &token.text, kind).await;
        withdraw(&actors, &actors.grant).await;
        refused(&actors, &token.text, "token_grant", kind).await;
        assert_eq!(state(&actors, &token.id).await, "ended");
        // A later yes to the same is another yes.
        grant(&actors, &["DB"]).await;
        refused(&actors, &token.text, "token_grant", kind).await;
        let rotate = format!("{NS}/tokens/{}/rotate", token.id);
        let answer = actors
            .world
            .call(actors.key("scribe"), "POST", &rotate, Some(&json!({})))
            .await;
        answer.expect(
            "token_refused",
            Some("token_grant"),
            None,
            "exchanged after it",
        );
        let fresh = super::token(&actors, kind).await;
        opens(&actors, &fresh.text, "issued by the later yes").await;
        restart(&actors).await;
        refused(&actors, &token.text, "token_grant", "after a restart").await;
        opens(&actors, &fresh.text, "after a restart").await;
    }
}

#[tokio::test]
async fn who_is_gone_has_no_token() {
    let agent = format!("{NS}/agents/scribe");
    for (what, by, method, target) in [
        ("the agent", "adam", "DELETE", agent),
        (
            "its device",
            "adam",
            "POST",
            "/v1/devices/{device}/revoke".to_owned(),
        ),
        (
            "the operator above it",
            "alice",
            "DELETE",
            "/v1/operators/adam".to_owned(),
        ),
    ] {
        let actors = Actors::new().await;
        let tokens = [
            token(&actors, "opaque").await,
            token(&actors, "signed").await,
        ];
        let target = target.replace("{device}", &actors.device("scribe"));
        actors.ok(by, method, &target, Value::Null).await;
        for token in &tokens {
            let answer = show(&actors, &token.text).await;
            answer.expect("unauthorized", Some("revoked"), None, what);
            assert_eq!(state(&actors, &token.id).await, "ended", "{what}");
        }
    }
}

/// The label comes back as another agent with another device: nothing is inherited.
#[tokio::test]
async fn another_of_the_same_label_has_none_of_it() {
    let actors = Actors::new().await;
    let token = token(&actors, "signed").await;
    let agents = format!("{NS}/agents");
    actors
        .ok("adam", "DELETE", &format!("{agents}/scribe"), Value::Null)
        .await;
    actors
        .ok("adam", "POST", &agents, json!({"label": "scribe"}))
        .await;
    let next = actors.join_as("adam", "shop", "scribe").await;
    let field = format!("Bearer {}", token.text);
    let sent = super::showing(&actors, &next, &[&field], &json!({}));
    let answer = actors.world.send(&sent).await;
    answer.expect(
        "token_refused",
        Some("token_device"),
        None,
        "the next scribe",
    );
    let list = actors
        .world
        .ok(&next, "GET", &format!("{NS}/tokens"), Value::Null)
        .await;
    assert_eq!(list["tokens"], json!([]));
}

#[tokio::test]
async fn what_was_revoked_stays_so_through_restarts_rolls_and_issues_anew() {
    let actors = Actors::new().await;
    for (kind, by) in [("opaque", "anna"), ("signed", "adam"), ("signed", "scribe")] {
        let (old, kept) = (token(&actors, kind).await, token(&actors, kind).await);
        revoke(&actors, by, &old.id).await;
        let entry = newest(&actors, "project_token.revoke").await;
        assert_eq!(
            (&entry["token"], &entry["resource"]),
            (
                &json!(old.id),
                &json!(format!("project_token/{} project:web", old.id))
            )
        );
        refused(&actors, &old.text, "token_revoked", by).await;
        // Doing it again is no other thing.
        revoke(&actors, by, &old.id).await;
        let fresh = token(&actors, kind).await;
        refused(
            &actors,
            &old.text,
            "token_revoked",
            "after another was issued",
        )
        .await;
        restart(&actors).await;
        refused(&actors, &old.text, "token_revoked", "after a restart").await;
        let roll = "/v1/signing-keys/roll?tokens=project";
        actors.world.clock.turn(Duration::from_secs(361));
        actors.ok("alice", "POST", roll, Value::Null).await;
        refused(&actors, &old.text, "token_revoked", "after a roll").await;
        for token in [&kept, &fresh] {
            opens(&actors, &token.text, "the others, after all that").await;
        }
        let next = super::token(&actors, kind).await;
        opens(&actors, &next.text, "by the next key").await;
        refused(&actors, &old.text, "token_revoked", "at the end").await;
    }
}

#[tokio::test]
async fn a_key_in_other_hands_ends_what_it_signed() {
    let actors = Actors::new().await;
    let (opaque, signed) = (
        token(&actors, "opaque").await,
        token(&actors, "signed").await,
    );
    let keys = "/v1/signing-keys?tokens=project";
    let list = actors.ok("alice", "GET", keys, Value::Null).await;
    let rows = list["keys"].as_array().unwrap();
    let active = rows.iter().find(|key| key["state"] == "active").unwrap();
    let kid = active["kid"].as_str().unwrap();
    let retire = format!("/v1/signing-keys/{kid}/retire");
    actors.ok("alice", "POST", &retire, Value::Null).await;
    refused(&actors, &signed.text, "token_key", "signed by it").await;
    opens(&actors, &opaque.text, "which no key signed").await;
    // The keys of agents' tokens are others, and untouched.
    let agents = actors
        .ok("alice", "GET", "/v1/signing-keys", Value::Null)
        .await;
    assert_eq!(agents["keys"].as_array().unwrap().len(), 2);
    // By its id it is exchanged for one that the next key signs.
    let rotate = format!("{NS}/tokens/{}/rotate", signed.id);
    let next = read(actors.ok("scribe", "POST", &rotate, json!({})).await);
    opens(&actors, &next.text, "signed by the next key").await;
}

#[tokio::test]
async fn retiring_keys_count_for_as_long_as_their_tokens() {
    let actors = Actors::new().await;
    // The grant is for a day; the keys of tokens that count an hour would be gone.
    let token = token(&actors, "signed").await;
    let roll = "/v1/signing-keys/roll?tokens=project";
    for _ in 0..3 {
        actors.world.clock.turn(Duration::from_secs(4 * 3600));
        actors.ok("alice", "POST", roll, Value::Null).await;
        opens(&actors, &token.text, "by a key that is retiring").await;
    }
    let list = actors
        .ok(
            "alice",
            "GET",
            "/v1/signing-keys?tokens=project",
            Value::Null,
        )
        .await;
    let states: Vec<_> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["state"].clone())
        .collect();
    assert_eq!(
        states,
        ["next", "active", "retiring", "retiring", "retiring"]
    );
}

#[tokio::test]
async fn one_that_is_exchanged_ends_at_once_and_the_other_opens_the_same() {
    let actors = Actors::new().await;
    let granted = grant(&actors, &["API", "DB", "MAIL"]).await;
    for kind in KINDS {
        let body = json!({"kind": kind, "names": ["API", "DB"], "life": 600});
        let old = issue(&actors, body).await;
        // What the project maps meanwhile is not what it is exchanged for.
        let env =
            json!({"DB": "db/password", "API": "api/key", "MAIL": "mail/key", "MORE": "mail/key"});
        let project = json!({"agents": ["scribe"], "env": env});
        actors
            .ok("adam", "PUT", &format!("{NS}/projects/web"), project)
            .await;
        actors.world.clock.turn(Duration::from_secs(60));
        let rotate = format!("{NS}/tokens/{}/rotate", old.id);
        let next = read(actors.ok("scribe", "POST", &rotate, json!({})).await);
        let entry = newest(&actors, "project_token.rotate").await;
        assert_eq!(entry["token"], next.id);
        assert!(
            entry["resource"]
                .as_str()
                .unwrap()
                .starts_with(&format!("project_token/{} {kind} ", old.id))
        );
        refused(&actors, &old.text, "token_revoked", kind).await;
        opens(&actors, &next.text, kind).await;
        assert_ne!(old.id, next.id);
        for same in ["items", "kind", "device", "delivery", "project"] {
            assert_eq!(old.about[same], next.about[same], "{same}");
        }
        assert_eq!(next.about["grant"], granted);
        // For as long again as the old one was for, from now on.
        let until = actors.world.now().plus(Duration::from_secs(600));
        assert_eq!(next.about["expires"], json!(until));
        let again = actors
            .world
            .call(actors.key("scribe"), "POST", &rotate, Some(&json!({})))
            .await;
        again.expect("token_refused", Some("token_revoked"), None, "twice");
        // The agent's other device has no part in it.
        let second = actors.join_as("adam", "shop", "scribe").await;
        let rotate = format!("{NS}/tokens/{}/rotate", next.id);
        let other = actors
            .world
            .call(&second, "POST", &rotate, Some(&json!({})))
            .await;
        other.expect(
            "token_refused",
            Some("token_device"),
            None,
            "another device",
        );
        // Never longer than the grant, and never than 14 days.
        let long = json!({"life": 1_209_600});
        let last = read(actors.ok("scribe", "POST", &rotate, long).await);
        let grant = actors
            .ok(
                "otto",
                "GET",
                &format!("{NS}/grants/{granted}"),
                Value::Null,
            )
            .await;
        assert_eq!(last.about["expires"], grant["until"]);
    }
}

#[tokio::test]
async fn all_tokens_of_a_project_end_together() {
    let actors = Actors::new().await;
    let tokens = [
        token(&actors, "opaque").await,
        token(&actors, "signed").await,
    ];
    let revoked = actors.ok("anna", "DELETE", ISSUE, Value::Null).await;
    assert_eq!(revoked, json!({"revoked": 2}));
    let entry = newest(&actors, "project_token.revoke_all").await;
    assert_eq!(entry["resource"], "project/web tokens:2");
    for token in &tokens {
        refused(&actors, &token.text, "token_revoked", "with all of them").await;
        assert_eq!(state(&actors, &token.id).await, "revoked");
    }
    let fresh = token(&actors, "signed").await;
    opens(&actors, &fresh.text, "issued after it").await;
    restart(&actors).await;
    for token in &tokens {
        refused(&actors, &token.text, "token_revoked", "after a restart").await;
    }
    opens(&actors, &fresh.text, "issued after it, after a restart").await;
    let revoked = actors.ok("anna", "DELETE", ISSUE, Value::Null).await;
    assert_eq!(revoked, json!({"revoked": 1}));
    refused(&actors, &fresh.text, "token_revoked", "the second time").await;
}

#[tokio::test]
async fn operators_see_all_of_a_namespace_and_agents_their_own() {
    let actors = Actors::new().await;
    let own = token(&actors, "opaque").await;
    let list = async |by: &str, query: &str| {
        let target = format!("{NS}/tokens{query}");
        let list = actors.ok(by, "GET", &target, Value::Null).await;
        let rows = list["tokens"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for by in ["adam", "anna", "otto", "scribe"] {
        assert_eq!(list(by, "").await, own.id, "{by}");
        assert_eq!(list(by, "?project=web&agent=scribe").await, own.id, "{by}");
        assert_eq!(list(by, "?project=cron").await, "", "{by}");
    }
    assert_eq!(list("baker", "").await, "");
    assert_eq!(list("otto", "?agent=baker").await, "");
    // Pages in the order in which they were issued.
    actors.world.clock.turn(Duration::from_secs(1));
    let second = token(&actors, "signed").await;
    assert_eq!(list("otto", "?limit=1").await, own.id);
    let after = format!("?after={}&limit=1", own.id);
    assert_eq!(list("otto", &after).await, second.id);
    // An agent revokes its own and no other's.
    let target = format!("{NS}/tokens/{}", own.id);
    let answer = actors
        .world
        .call(actors.key("baker"), "DELETE", &target, None)
        .await;
    answer.expect("forbidden", None, None, "another agent's");
    opens(&actors, &own.text, "not revoked by that").await;
}
