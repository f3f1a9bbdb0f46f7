//! Planted words: what receivers let messages in by, and values of secrets, are in no
//! message, no answer, no entry of the record and no row that is not sealed.

use super::receiver::{Receiver, status};
use super::{SECRET, actors, eventually, queue, remind, tried, webhook};
use crate::world::CANARY;
use procura_record::tables::LEDGER;
use serde_json::Value;

#[tokio::test]
async fn planted_words_are_nowhere() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    webhook(&actors, &receiver.url, 100).await;
    // All that can go wrong, and all that is said of it.
    let mut said = Vec::new();
    for line in ["404 Not Found", "302 Found", "500 Broken", "418 Teapot"] {
        receiver.says(status(line));
        said.push(tried(&actors).await.text());
    }
    receiver.says(status("403 Forbidden"));
    remind(&actors, 0..2).await;
    eventually("they are given up", async || {
        (queue(&actors).await["dead"] == 2).then_some(())
    })
    .await;
    receiver.says(status("200 OK"));
    let body = serde_json::json!({"names": ["DB"], "delivery": "env"});
    let target = "/v1/namespaces/shop/projects/web/runs";
    actors.ok("scribe", "POST", target, body).await;
    let agent = "/v1/namespaces/shop/agents/baker";
    actors.ok("adam", "DELETE", agent, Value::Null).await;
    eventually("it arrives", async || {
        (queue(&actors).await["waiting"] == 0).then_some(())
    })
    .await;
    for target in [
        "/v1/notify/channels?namespace=shop",
        "/v1/notify/routes?namespace=shop",
        "/v1/notify/queue?namespace=shop",
        "/v1/notify/dead?namespace=shop",
    ] {
        let answer = actors.ok("adam", "GET", target, Value::Null).await;
        said.push(answer.to_string());
    }
    let open = actors.world.app.open().unwrap();
    let store = open.vault.store();
    let len = usize::try_from(store.log_len(LEDGER).unwrap()).unwrap();
    for entry in store.log_read(LEDGER, 0, len).unwrap() {
        said.push(String::from_utf8(entry.bytes.expose().clone()).unwrap());
    }
    let got = receiver.got();
    assert!(got.len() > 5);
    for got in &got {
        said.push(got.text());
        for (name, value) in &got.fields {
            said.push(format!("{name}: {value}"));
        }
    }
    for text in &said {
        for planted in [SECRET, CANARY] {
            assert!(!text.contains(planted), "{text}");
        }
    }
    drop(open);
    actors.world.seal().await;
    let files = std::fs::read_dir(actors.world.home.path()).unwrap();
    let mut looked = 0;
    for file in files.map(|file| file.unwrap().path()) {
        let Ok(bytes) = std::fs::read(&file) else {
            continue;
        };
        looked += 1;
        let planted = SECRET.as_bytes();
        let found = bytes.windows(planted.len()).any(|window| window == planted);
        assert!(!found, "{}", file.display());
    }
    assert!(looked > 0);
}

#[tokio::test]
async fn strangers_cannot_write_to_people_by_being_refused() {
    let receiver = Receiver::start().await;
    let actors = actors().await;
    webhook(&actors, &receiver.url, 100).await;
    let target = "/v1/namespaces/shop/secrets/visit-evil.example";
    let scribe = actors.key("scribe");
    let mut forged = actors.world.signed(scribe, "GET", target, None);
    forged.set("signature-input", |input| {
        input.replacen("nonce=\"", "nonce=\"AAAA", 1)
    });
    let answer = actors.world.send(&forged).await;
    answer.expect("unauthorized", Some("bad_signature"), None, "forged");
    let got = eventually("the alarm", async || receiver.got().first().cloned()).await;
    let text = got.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("ALARM: authenticate"), "{text}");
    assert!(text.contains("reason: bad_signature"), "{text}");
    assert!(!got.text().contains("evil"), "{}", got.text());
    // Anybody can write the name of a key that they have seen.
    assert_eq!(got.json()["events"][0]["cause"], "named");
}
