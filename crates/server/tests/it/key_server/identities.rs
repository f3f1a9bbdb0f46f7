//! Whose keys there are.

use super::agent::{Agent, enrol, file, serving};
use crate::world::{Answer, Sent, World};
use procura_types::Timestamp;
use serde_json::json;
use std::fs;

async fn get(world: &World, target: &str) -> Answer {
    world.send(&Sent::new("GET", target, None)).await
}

#[tokio::test]
async fn ids_are_listed_in_their_order() {
    let world = serving(&[]).await;
    let none = json!({"agents": [], "count": 0});
    get(&world, "/api/agents/identity")
        .await
        .says(200, &none, "no directory");
    let agents = ["zoe", "a.b", "A-1", "_x", "scribe"].map(Agent::new);
    for agent in &agents {
        enrol(world.home.path(), agent.id, &agent.line());
    }
    // What is no key, or not under the name of an id, is nobody.
    let folder = world.home.path().join("keys/agents");
    let key = agents[0].line();
    for name in [
        "a..b.pub",
        "a b.pub",
        ".pub",
        "scribe.pub.bak",
        "notes.txt",
        "é.pub",
    ] {
        fs::write(folder.join(name), &key).unwrap();
    }
    fs::write(folder.join("broken.pub"), "ssh-ed25519 AAAA\n").unwrap();
    fs::create_dir(folder.join("folder.pub")).unwrap();
    std::os::unix::fs::symlink(folder.join("zoe.pub"), folder.join("link.pub")).unwrap();
    get(&world, "/api/agents/identity").await.says(
        200,
        &json!({"agents": ["A-1", "_x", "a.b", "scribe", "zoe"], "count": 5}),
        "five",
    );
    fs::remove_file(file(world.home.path(), "a.b")).unwrap();
    get(&world, "/api/agents/identity").await.says(
        200,
        &json!({"agents": ["A-1", "_x", "scribe", "zoe"], "count": 4}),
        "four",
    );
}

#[tokio::test]
async fn an_identity_is_the_key_with_its_fingerprint_and_time() {
    let world = serving(&[]).await;
    let home = world.home.path();
    // A key of the test vectors, with the fingerprint that OpenSSH shows for it.
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    let fingerprint = "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg";
    enrol(
        home,
        "scribe",
        &format!("{key} alice@laptop, made in \u{1b}[2Jmay\n"),
    );
    let made = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_776_636_000_123);
    let opened = fs::File::options().write(true).open(file(home, "scribe"));
    opened.unwrap().set_modified(made).unwrap();
    let identity = json!({
        "agent_id": "scribe",
        "pub_key": key,
        "fingerprint": fingerprint,
        "registered_at": "2026-04-19T22:00:00.123Z",
    });
    get(&world, "/api/agents/identity/scribe")
        .await
        .says(200, &identity, "scribe");
    let head = Sent::new("HEAD", "/api/agents/identity/scribe", None);
    assert_eq!(world.send(&head).await.status, 200);

    let clerk = Agent::new("clerk");
    let hint = "Put the agent's OpenSSH public key (Ed25519) into keys/agents/clerk.pub in the home of the server.";
    let unknown = json!({"error": "Agent identity not registered", "hint": hint});
    get(&world, "/api/agents/identity/clerk")
        .await
        .says(404, &unknown, "clerk");
    enrol(home, "clerk", "ssh-ed25519 AAAA");
    get(&world, "/api/agents/identity/clerk")
        .await
        .says(404, &unknown, "no key");
    enrol(home, "clerk", &clerk.line());
    let found = get(&world, "/api/agents/identity/clerk").await;
    assert_eq!(found.status, 200);
    let line = clerk.line();
    assert_eq!(
        found.json()["pub_key"],
        line.trim_end().trim_end_matches(" agent@host")
    );
    let time: Timestamp = found.json()["registered_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(time.as_millis() > 0);
}

#[tokio::test]
async fn what_is_no_id_is_not_looked_up() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let long = "a".repeat(65);
    for id in [
        "",
        "..",
        "a..b",
        "%2e%2e",
        "scribe%2f",
        "scribe/",
        "../agents/scribe",
        "..%2fagents%2fscribe",
        "scribe%00",
        "scr%69be",
        "a%20b",
        "a:b",
        long.as_str(),
    ] {
        get(&world, &format!("/api/agents/identity/{id}"))
            .await
            .bad_request("missing_or_invalid_fields", id);
    }
    // A query changes nothing, and an id of 34 characters is one.
    let id = "agent-0123456789-0123456789-012345";
    get(&world, "/api/agents/identity/scribe?x=..%2f")
        .await
        .says(
            200,
            &get(&world, "/api/agents/identity/scribe").await.json(),
            "query",
        );
    let answer = get(&world, &format!("/api/agents/identity/{id}")).await;
    assert_eq!((answer.status.as_u16(), id.len()), (404, 34));
}

#[tokio::test]
async fn sealed_or_blind_it_knows_nobody() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let targets = ["/api/agents/identity", "/api/agents/identity/scribe"];
    world.seal().await;
    for target in targets {
        get(&world, target).await.unavailable("sealed", target);
    }
    world.unseal().await;
    let keys = world.home.path().join("keys");
    fs::remove_dir_all(&keys).unwrap();
    fs::write(&keys, "").unwrap();
    for target in targets {
        get(&world, target)
            .await
            .unavailable("verifier_unavailable", target);
    }
    let world = World::empty();
    for target in targets {
        get(&world, target)
            .await
            .unavailable("not_initialised", target);
    }
}
