//! No operator has a value, or learns anything of one, without an entry that says who,
//! what and which version.

use crate::actors::Actors;
use procura_types::{Duration, encoding};
use serde_json::{Value, json};

const NS: &str = "/v1/namespaces/shop";

struct Entries {
    next: u64,
}

impl Entries {
    /// What the record has newly, oldest first.
    async fn come(&mut self, actors: &Actors) -> Vec<Value> {
        let target = "/v1/ledger/entries?limit=100";
        let found = actors.ok("alice", "GET", target, Value::Null).await;
        let rows = found["entries"].as_array().unwrap().iter().rev();
        let from = self.next;
        let mut new = Vec::new();
        for row in rows {
            let index = row["index"].as_u64().unwrap();
            self.next = self.next.max(index + 1);
            if index >= from {
                new.push(serde_json::from_str(row["entry"].as_str().unwrap()).unwrap());
            }
        }
        new
    }
}

#[tokio::test]
async fn every_way_of_an_operator_to_a_value_leaves_its_entry() {
    let actors = Actors::new().await;
    let then = actors.world.now();
    actors.world.clock.turn(Duration::from_secs(5));
    let put = json!({"value_b64": encoding::b64url(b"second")});
    actors
        .ok("adam", "PUT", &format!("{NS}/secrets/db/password"), put)
        .await;
    let made = std::process::Command::new("age-keygen").output().unwrap();
    let identity = procura_crypto::age::Identity::read(&made.stdout, None).unwrap();
    let to = identity[0].recipient().unwrap().fingerprint();
    let same =
        json!([{"secret": {"path": "db/password", "value_b64": encoding::b64url(b"second")}}]);
    let mut entries = Entries { next: 0 };
    entries.come(&actors).await;
    let ways = [
        (
            "GET",
            "secrets/db/password".to_owned(),
            Value::Null,
            "secret.read",
            "secret/db/password @2".to_owned(),
        ),
        (
            "GET",
            "secrets/db/password?version=1".to_owned(),
            Value::Null,
            "secret.read",
            "secret/db/password @1".to_owned(),
        ),
        (
            "GET",
            format!("secrets/db/password?at={then}"),
            Value::Null,
            "secret.read",
            "secret/db/password @1".to_owned(),
        ),
        (
            "GET",
            format!("secrets?at={then}"),
            Value::Null,
            "secret.list.at",
            format!("namespace/shop at:{then}"),
        ),
        (
            "POST",
            "export".to_owned(),
            json!({"prefix": "db/", "recipients": [to]}),
            "secret.export",
            format!("namespace/shop to:{to} db/password@2"),
        ),
        (
            "POST",
            "import".to_owned(),
            json!({"secrets": same, "dry_run": true}),
            "secret.import",
            "namespace/shop dry_run db/password@2".to_owned(),
        ),
    ];
    for (method, target, body, action, resource) in ways {
        actors
            .ok("adam", method, &format!("{NS}/{target}"), body)
            .await;
        let new = entries.come(&actors).await;
        assert_eq!(new.len(), 1, "{target}: {new:?}");
        let entry = &new[0];
        assert_eq!(
            (&entry["action"], &entry["resource"]),
            (&json!(action), &json!(resource)),
            "{target}"
        );
        assert_eq!(
            (&entry["phase"], &entry["decision"]),
            (&json!("intent"), &json!("allow"))
        );
        assert_eq!(entry["device"], actors.device("adam"), "{target}");
        assert_eq!(entry["namespace"], "shop", "{target}");
        assert!(
            entry["time"].is_string() && entry["trace"].is_string(),
            "{target}"
        );
    }
    // What is refused gives no value, and says so as well.
    for (by, reason) in [
        ("anna", "no_role"),
        ("otto", "no_role"),
        ("scribe", "no_role"),
    ] {
        let target = format!("{NS}/secrets/db/password");
        let world = &actors.world;
        let refused = world.call(actors.key(by), "GET", &target, None).await;
        refused.expect("forbidden", None, None, by);
        let open = world.app.open().unwrap();
        open.recorder.drain_refusals().await;
        drop(open);
        let new = entries.come(&actors).await;
        let denied = new
            .iter()
            .find(|entry| entry["decision"] == "deny")
            .unwrap();
        assert_eq!(
            (&denied["action"], &denied["reason"], &denied["device"]),
            (
                &json!("secret.read"),
                &json!(reason),
                &json!(actors.device(by))
            )
        );
    }
}
