//! Project tokens by a client that was written from the protocol alone: an agent with
//! a key of its own, and no daemon.

use super::Program;
use crate::scene::{CANARY, agent, orders, requests, shop};
use procura_acceptance::Installation;
use serde_json::{Value, json};

/// Has the client do one thing, and gives what it says of it.
fn does(client: &mut Program, line: &str) -> Value {
    client.tell(line);
    let said = client.hear();
    assert_eq!(said["step"], line, "{said}");
    said
}

/// That the client has the value by this token.
#[track_caller]
fn has(client: &mut Program, kind: &str) {
    let said = does(client, &format!("values {kind}"));
    assert_eq!(
        (&said["status"], &said["values"]),
        (&json!(200), &json!({"API_KEY": CANARY}))
    );
}

/// That it has nothing by it, for this reason.
#[track_caller]
fn has_not(client: &mut Program, kind: &str, reason: &str) {
    let said = does(client, &format!("values {kind}"));
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&json!(401), &json!(reason)),
        "{kind}"
    );
    assert_eq!(said["values"], json!({}));
}

fn cli(server: &Installation, words: &[&str]) -> procura_acceptance::Outcome {
    server.cli(&[&["-n", "shop"], words].concat())
}

/// Ids of the tokens that operators see as live.
fn listed(server: &Installation, more: &[&str]) -> Vec<String> {
    let list = [&["--json", "project", "token", "list"], more].concat();
    let list = cli(server, &list).ok().json();
    let rows = list["tokens"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A token issued and used by `procura request`, and revoked.
fn as_the_help_says(server: &Installation, client: &mut Program) {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (key, header) = (file("key"), file("header"));
    does(client, &format!("keep {key}"));
    let target = "/v1/namespaces/shop/projects/orders";
    let issue = format!("{target}/tokens");
    let kind = "{\"kind\":\"opaque\"}";
    let issued = cli(server, &["request", "POST", &issue, kind, "--key", &key]);
    let issued = issued.ok().json();
    let line = format!(
        "Authorization: Bearer {}\n",
        issued["token"].as_str().unwrap()
    );
    std::fs::write(&header, line).unwrap();
    let header = format!("@{header}");
    let values = format!("{target}/values");
    let use_it = [
        "request", "POST", &values, "{}", "-H", &header, "--key", &key,
    ];
    let used = cli(server, &use_it).ok().json();
    let value = used["values"]["API_KEY"]["value_b64"].as_str().unwrap();
    assert_eq!(value, procura_types::encoding::b64url(CANARY.as_bytes()));
    let id = issued["id"].as_str().unwrap();
    cli(server, &["project", "token", "revoke", id]).ok();
    let refused = cli(server, &use_it).code(77).text();
    assert!(refused.contains("token_revoked"), "{refused}");
}

#[test]
fn an_agent_of_another_language_has_values_by_tokens_until_they_end() {
    let mut server = shop();
    server.put("shop", "api/key", CANARY.as_bytes());
    let code = agent(&server, "shop", "scribe");
    orders(&server, "shop", "scribe");
    let url = server.url().to_owned();
    let mut client = Program::python("project_token.py", &[&code, &url]);
    assert_eq!(client.hear(), json!({"step": "joined", "status": 200}));

    // Nobody said yes yet: none is issued, and nobody is asked by that.
    assert_eq!(does(&mut client, "issue opaque API_KEY")["status"], 403);
    assert!(requests(&server, "shop").is_empty());
    assert_eq!(does(&mut client, "ask API_KEY")["status"], 202);
    let waiting = requests(&server, "shop");
    let id = waiting[0]["id"].as_str().unwrap();
    cli(&server, &["request", "approve", id]).ok();

    let mut ids = Vec::new();
    for kind in ["opaque", "signed"] {
        let said = does(&mut client, &format!("issue {kind} API_KEY"));
        assert_eq!(said["status"], 201, "{said}");
        ids.push(said["id"].as_str().unwrap().to_owned());
        has(&mut client, kind);
        let stolen = does(&mut client, &format!("stolen {kind}"));
        assert_eq!(
            (&stolen["status"], &stolen["reason"]),
            (&json!(401), &json!("unknown_agent"))
        );
    }
    assert_eq!(listed(&server, &[]), ids);
    let claims = does(&mut client, "verify");
    assert_eq!(
        claims,
        json!({
            "step": "verify", "aud": "procura-project", "scope": "API_KEY=api/key",
            "project": "orders", "namespace": "shop", "is_mine": true, "id": ids[1],
        })
    );

    as_the_help_says(&server, &mut client);

    // Exchanged: the one from before ends, also over a kill of the server.
    let said = does(&mut client, "rotate signed");
    let next = said["id"].as_str().unwrap().to_owned();
    has_not(&mut client, "old", "token_revoked");
    server.kill();
    server.start_again();
    server.unseal().ok();
    has_not(&mut client, "old", "token_revoked");
    has(&mut client, "signed");
    has(&mut client, "opaque");

    // Revoked by an operator, each by itself and all together.
    cli(&server, &["project", "token", "revoke", &ids[0]]).ok();
    has_not(&mut client, "opaque", "token_revoked");
    assert_eq!(
        listed(&server, &["--project", "orders", "--agent", "scribe"]),
        [next]
    );
    let unknown = "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11";
    cli(&server, &["project", "token", "revoke", unknown])
        .code(77)
        .says("procura project token list");
    cli(&server, &["project", "token", "revoke-all", "orders"]).ok();
    has_not(&mut client, "signed", "token_revoked");
    assert_eq!(listed(&server, &[]), [""; 0]);
    assert_eq!(listed(&server, &["--all"]).len(), 4);
    // Where there never was such a project, nothing was revoked.
    cli(&server, &["project", "token", "revoke-all", "nope"])
        .code(77)
        .says("there is no project nope")
        .says("procura project list");

    // The record knows who had what by which token, and no token.
    let used = ["--json", "audit", "list", "--action", "project_token.use"];
    let entries = cli(&server, &used).ok().text();
    assert!(
        entries.contains(&ids[0]) && entries.contains("api/key@1"),
        "{entries}"
    );
    assert!(
        !entries.contains("pcp1_") && !entries.contains("eyJ"),
        "{entries}"
    );
    assert!(!server.server_said().contains("pcp1_"));
    assert!(client.rest().is_empty());
}
