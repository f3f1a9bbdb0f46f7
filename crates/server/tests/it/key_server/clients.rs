//! From where the service may be asked.

use super::agent::{Agent, ask, question, served_by, serving};
use crate::world::{Sent, World};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

fn list(world: &World) -> PathBuf {
    let folder = world.home.path().join("auth");
    fs::create_dir_all(&folder).unwrap();
    folder.join("allowed-clients.json")
}

fn degraded(world: &World) -> Vec<String> {
    procura_server::api::status::status(&world.app).degraded
}

/// Whether the address gets as far as to be told about identities.
async fn admitted(world: &World, peer: &str) -> bool {
    let peer = peer.parse().unwrap();
    let sent = Sent::new("GET", "/api/agents/identity", None);
    let answer = world.send_from(&sent, peer).await;
    let refused = json!({"error": "Forbidden", "reason": "IP not whitelisted"});
    match answer.status.as_u16() {
        200 => true,
        _ => {
            answer.says(403, &refused, &peer.to_string());
            false
        }
    }
}

#[tokio::test]
async fn without_a_list_this_machine_alone_may_ask() {
    let world = serving(&[]).await;
    for (peer, may) in [
        ("127.0.0.1", true),
        ("127.8.8.8", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.5", false),
        ("192.168.0.1", false),
        ("::ffff:10.0.0.5", false),
        ("fe80::1", false),
        ("::", false),
        ("0.0.0.0", false),
    ] {
        assert_eq!(admitted(&world, peer).await, may, "{peer}");
    }
    assert_eq!(degraded(&world), [""; 0]);
}

#[tokio::test]
async fn a_list_lets_in_whom_it_names_by_their_bits() {
    let world = serving(&[]).await;
    let text = json!({"allowed_ips": [
        "10.0.0.5/32", "172.17.0.0/16", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120",
    ], "note": "whose they are"});
    fs::write(list(&world), text.to_string()).unwrap();
    for (peer, may) in [
        ("10.0.0.5", true),
        ("::ffff:10.0.0.5", true),
        ("10.0.0.77", false),
        ("10.0.0.50", false),
        ("172.17.5.9", true),
        ("172.18.5.9", false),
        ("192.0.2.7", true),
        ("192.0.2.70", false),
        ("2001:db8:7::1", true),
        ("2001:db9::1", false),
        ("198.51.100.9", true),
        ("198.51.101.9", false),
        // The list is all there is: this machine has to be on it as well.
        ("127.0.0.1", false),
        ("::1", false),
    ] {
        assert_eq!(admitted(&world, peer).await, may, "{peer}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_used_lets_nobody_in() {
    let world = serving(&[]).await;
    let path = list(&world);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"allowed_ips": null}"#,
        r#"{"allowed_ips": "127.0.0.1"}"#,
        r#"{"allowed_ips": [7]}"#,
        r#"{"allowed_ips": ["localhost"]}"#,
        r#"{"allowed_ips": ["127.0.0.1", "10.0.0.0/33"]}"#,
        r#"{"allowed_ips": ["127.0.0.1"]} {}"#,
        r#"{"allowed_ips": ["10.0.0.1"], "allowed_ips": ["127.0.0.1"]}"#,
        r#"["127.0.0.1"]"#,
        r#"[["127.0.0.1"]]"#,
    ] {
        fs::write(&path, text).unwrap();
        assert!(!admitted(&world, "127.0.0.1").await, "{text}");
        assert!(!admitted(&world, "10.0.0.1").await, "{text}");
        let why = degraded(&world);
        assert_eq!(why.len(), 1, "{text}");
        assert!(
            why[0].starts_with("allow-list: ") && why[0].contains("allowed-clients.json"),
            "{why:?}"
        );
        // Put right, it counts at once.
        fs::write(&path, r#"{"allowed_ips": ["127.0.0.1"]}"#).unwrap();
        assert!(admitted(&world, "127.0.0.1").await, "{text}");
        assert_eq!(degraded(&world), [""; 0]);
    }
    fs::write(&path, r#"{"allowed_ips": []}"#).unwrap();
    assert!(
        !admitted(&world, "127.0.0.1").await,
        "an empty list is a list"
    );
    assert_eq!(degraded(&world), [""; 0]);
    fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
    assert!(!admitted(&world, "127.0.0.1").await, "too long");

    // A link, wherever it leads, and whatever else is no file.
    let elsewhere = world.home.path().join("elsewhere.json");
    fs::write(&elsewhere, r#"{"allowed_ips": ["127.0.0.1"]}"#).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(!admitted(&world, "127.0.0.1").await, "a link");
    fs::remove_file(&elsewhere).unwrap();
    assert!(
        !admitted(&world, "127.0.0.1").await,
        "a link to nothing is no missing file"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!admitted(&world, "127.0.0.1").await, "a directory");
    fs::remove_dir_all(world.home.path().join("auth")).unwrap();
    assert!(admitted(&world, "127.0.0.1").await, "nothing at all");
    fs::write(world.home.path().join("auth"), "").unwrap();
    assert!(!admitted(&world, "127.0.0.1").await, "a file for a folder");
}

#[tokio::test]
async fn a_change_counts_at_the_next_request() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let path = list(&world);
    for round in 0..50 {
        // Of one length, many times within one tick of the clock of files.
        fs::write(&path, r#"{"allowed_ips": ["10.0.0.1"]}"#).unwrap();
        assert!(!admitted(&world, "10.0.0.2").await, "{round}");
        fs::write(&path, r#"{"allowed_ips": ["10.0.0.2"]}"#).unwrap();
        assert!(admitted(&world, "10.0.0.2").await, "{round}");
    }
    for _ in 0..3 {
        world.clock.turn(std::time::Duration::from_secs(10));
        assert!(admitted(&world, "10.0.0.2").await);
    }
    fs::write(&path, r#"{"allowed_ips": ["10.0.0.3"]}"#).unwrap();
    assert!(!admitted(&world, "10.0.0.2").await, "after it had settled");
    fs::remove_file(&path).unwrap();
    assert!(!admitted(&world, "10.0.0.3").await);
    ask(&world, &scribe.asks_now(&world))
        .await
        .valid("scribe", "loopback");
}

#[tokio::test]
async fn what_a_stranger_says_of_its_way_changes_nothing() {
    let scribe = Agent::new("scribe");
    let world = serving(&[&scribe]).await;
    let peer = "203.0.113.9".parse().unwrap();
    let refused = json!({"error": "Forbidden", "reason": "IP not whitelisted"});
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", "::1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-client-ip", "127.0.0.1"),
        ("true-client-ip", "127.0.0.1"),
    ] {
        let asked = scribe.asks_now(&world).to_string();
        let mut sent = question(asked.as_bytes());
        sent.headers.push((name.to_owned(), value.to_owned()));
        world.send_from(&sent, peer).await.says(403, &refused, name);
        // Nor does it take a place away.
        sent.headers.pop();
        sent.headers
            .push((name.to_owned(), "203.0.113.9".to_owned()));
        world.send(&sent).await.valid("scribe", name);
    }
}

#[tokio::test]
async fn through_a_trusted_proxy_its_client_is_on_the_list_or_not() {
    let scribe = Agent::new("scribe");
    let world = World::configured(|config| {
        config.trusted_proxies = vec!["10.0.0.1".parse().unwrap()];
    });
    let world = served_by(world, &[&scribe]).await;
    let text = json!({"allowed_ips": ["203.0.113.0/24", "10.0.0.1", "10.0.0.2"]});
    fs::write(list(&world), text.to_string()).unwrap();
    let refused = json!({"error": "Forbidden", "reason": "IP not whitelisted"});
    let unproven = json!({"error": "unauthorized", "reason": "missing_headers"});
    for (peer, field, value, may) in [
        // A trusted proxy: what it says counts, and its own address only where it says
        // nothing.
        ("10.0.0.1", "x-forwarded-for", "203.0.113.7", true),
        ("10.0.0.1", "x-forwarded-for", "198.51.100.1", false),
        ("10.0.0.1", "forwarded", "for=198.51.100.1", false),
        (
            "10.0.0.1",
            "x-forwarded-for",
            "203.0.113.7, 198.51.100.1",
            false,
        ),
        ("10.0.0.1", "x-real-ip", "198.51.100.1", true),
        // One that is not: its own address counts, whatever it says.
        ("10.0.0.2", "x-forwarded-for", "198.51.100.1", true),
        ("10.0.0.3", "x-forwarded-for", "203.0.113.7", false),
        ("10.0.0.3", "forwarded", "for=10.0.0.1", false),
    ] {
        let what = format!("{peer} {field}: {value}");
        let peer = peer.parse().unwrap();
        let field = (field.to_owned(), value.to_owned());
        let mut sent = question(scribe.asks_now(&world).to_string().as_bytes());
        sent.headers.push(field.clone());
        let answer = world.send_from(&sent, peer).await;
        let mut sent = Sent::new("GET", "/keys/list", None);
        sent.headers.push(field);
        let keys = world.send_from(&sent, peer).await;
        if may {
            answer.valid("scribe", &what);
            keys.says(401, &unproven, &what);
        } else {
            answer.says(403, &refused, &what);
            keys.says(403, &refused, &what);
        }
    }
    let mut sent = question(scribe.asks_now(&world).to_string().as_bytes());
    let field = ("x-forwarded-for".to_owned(), "unknown".to_owned());
    sent.headers.push(field);
    let proxy = "10.0.0.1".parse().unwrap();
    let answer = world.send_from(&sent, proxy).await;
    answer.bad_request("forwarded", "of nobody");
}

#[tokio::test]
async fn who_may_not_ask_learns_nothing_of_any_path() {
    let world = serving(&[]).await;
    let refused = json!({"error": "Forbidden", "reason": "IP not whitelisted"});
    let peer = "192.0.2.1".parse().unwrap();
    let asked = [
        ("POST", "/api/verify"),
        ("GET", "/api/verify"),
        ("GET", "/api/agents/identity"),
        ("GET", "/api/agents/identity/scribe"),
        ("GET", "/api/agents/identity/.."),
        ("GET", "/api"),
        ("GET", "/api/"),
        ("GET", "/api/nothing"),
        ("OPTIONS", "/api/verify"),
    ];
    for sealed in [false, true] {
        if sealed {
            world.seal().await;
        }
        for (method, target) in asked {
            let mut sent = Sent::new(method, target, Some(b"{"));
            world
                .send_from(&sent, peer)
                .await
                .says(403, &refused, target);
            sent.set("host", |_| "elsewhere.example".to_owned());
            world
                .send_from(&sent, peer)
                .await
                .says(403, &refused, target);
        }
    }
}
