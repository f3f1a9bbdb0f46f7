//! Alarms in a browser.

use super::Person;
use super::browser::served;
use crate::world::Sent;
use procura_proof::sign::Signer;
use serde_json::json;

#[tokio::test]
async fn whoever_may_know_sees_alarms() {
    let actors = served().await;
    let mut alice = Person::new(&actors, "alice").await;
    let mut bert = Person::new(&actors, "bert").await;
    let mut steward = alice.browser(&actors.world).await;
    let page = steward.get("/alarms").await.text();
    assert!(
        page.contains("There is no alarm that is for you to see."),
        "{page}"
    );
    // A proof of scribe's for another body.
    let runs = "/v1/namespaces/shop/projects/web/runs";
    let body = json!({"names": ["DB"], "delivery": "env"}).to_string();
    let mut sent = Sent::new("POST", runs, Some(body.as_bytes()));
    sent = sent.signed(Signer::Device(actors.key("scribe")), actors.world.now());
    sent.body = body.replace("DB", "API").into_bytes();
    let answer = actors.world.send(&sent).await;
    answer.expect(
        "unauthorized",
        Some("digest_mismatch"),
        None,
        "another body",
    );
    let open = actors.world.app.open().unwrap();
    open.recorder.drain_refusals().await;
    let page = steward.get("/alarms").await.text();
    for fact in [
        "A proof came with another body than the one that was signed",
        "<code>digest_mismatch</code>",
        "adam//scribe",
    ] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
    // It is of shop, and bert of bank.
    let mut other = bert.browser(&actors.world).await;
    let page = other.get("/alarms").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(!page.text().contains("digest_mismatch"));
}

/// What an agent touched is for the operators of its namespace and for stewards, what an
/// operator touched for stewards alone; where the decoy lies is for neither page.
#[tokio::test]
async fn a_touched_decoy_is_for_those_who_look_after_whoever_touched_it() {
    let actors = served().await;
    let mut alice = Person::new(&actors, "alice").await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut bert = Person::new(&actors, "bert").await;
    let plant = json!({"shape": "aws"});
    actors
        .ok("alice", "PUT", "/v1/honey/shop/aws/key", plant)
        .await;
    let key = actors.key("scribe");
    let map = json!({"agents": ["scribe"], "env": {"AWS": "aws/key"}});
    actors
        .ok("adam", "PUT", "/v1/namespaces/shop/projects/web", map)
        .await;
    let run = json!({"names": ["AWS"], "delivery": "env"});
    let target = "/v1/namespaces/shop/projects/web/runs";
    actors.world.call(key, "POST", target, Some(&run)).await;
    let read = "/v1/namespaces/shop/secrets/aws/key";
    let adam = actors.key("adam");
    let answer = actors.world.call(adam, "GET", read, None).await;
    answer.expect("not_found", None, None, "a decoy");
    let told = |page: &str| page.matches("A decoy was touched").count();
    let mut steward = alice.browser(&actors.world).await;
    let mut seen = String::new();
    for _ in 0..200 {
        seen = steward.get("/alarms").await.text();
        if told(&seen) == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(told(&seen), 2, "{seen}");
    for who in ["<dd>adam//scribe</dd>", "<dd>adam</dd>"] {
        assert!(seen.contains(who), "{who}: {seen}");
    }
    let mut approver = anna.browser(&actors.world).await;
    let page = approver.get("/alarms").await.text();
    assert_eq!(told(&page), 1, "{page}");
    assert!(page.contains("<dd>adam//scribe</dd>"), "{page}");
    assert!(!page.contains("<dd>adam</dd>"), "{page}");
    for page in [seen, page] {
        assert!(
            !page.contains("aws/key"),
            "the path is told by the list of decoys alone"
        );
    }
    // Of another namespace.
    let mut other = bert.browser(&actors.world).await;
    let page = other.get("/alarms").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.text();
    assert!(!page.contains("decoy") && !page.contains("honey"), "{page}");
}

#[tokio::test]
async fn many_alarms_have_pages() {
    let actors = served().await;
    let mut alice = Person::new(&actors, "alice").await;
    let mut steward = alice.browser(&actors.world).await;
    for number in 0..60 {
        let mut sent = Sent::new("GET", "/v1/namespaces", None);
        sent = sent.signed(Signer::Device(actors.key("scribe")), actors.world.now());
        sent.target = format!("/v1/namespaces?x={number}");
        let answer = actors.world.send(&sent).await;
        answer.expect("unauthorized", Some("bad_signature"), None, "a query");
        // Nobody has to wait for it.
        actors.world.clock.turn(std::time::Duration::from_secs(60));
    }
    let open = actors.world.app.open().unwrap();
    open.recorder.drain_refusals().await;
    // That was an hour, and a web login is over after a quarter of it without use.
    let mut steward_again = alice.browser(&actors.world).await;
    assert_eq!(steward.get("/alarms").await.status, 303);
    let page = steward_again.get("/alarms").await.text();
    assert_eq!(page.matches("class=\"card\"").count(), 50, "{page}");
    let (_, rest) = page.split_once("href=\"/alarms?before=").unwrap();
    let earlier = format!("/alarms?before={}", rest.split('"').next().unwrap());
    let page = steward_again.get(&earlier).await.text();
    assert_eq!(page.matches("class=\"card\"").count(), 10, "{page}");
    assert!(!page.contains("Earlier alarms") && page.contains("The last alarms"));
    let page = steward_again.get("/alarms?before=1").await.text();
    assert!(page.contains("There are no earlier alarms here."), "{page}");
}
