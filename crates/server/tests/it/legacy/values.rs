//! What a token opens, what ends it, and templates.

use super::{BAKER, CONFIG, SECRETS, Scene};
use procura_types::encoding::b64url;
use serde_json::{Value, json};

async fn put(scene: &Scene, path: &str, value: &[u8], kind: &str) {
    let target = format!("/v1/namespaces/shop/secrets/{path}");
    let body = json!({"value_b64": b64url(value), "kind": kind});
    scene.actors.ok("adam", "PUT", &target, body).await;
}

#[tokio::test]
async fn a_token_opens_nothing_once_it_is_over() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let (token, grant) = scene.opened(&daemon, "DB=\n").await;
    for (target, status, code) in [
        (SECRETS, 200, ""),
        ("/project/secrets/Site", 200, ""),
        ("/project/secrets/web", 401, "token_project"),
        ("/project/secrets/si%2Fte", 400, "malformed"),
    ] {
        let answer = scene.gets(&daemon, target, &token).await;
        match status {
            200 => assert_eq!(answer.status, 200, "{target}: {}", answer.text()),
            _ => answer.is_refused(status, code, target),
        }
    }
    let unknown = format!("pcp1_{}", "A".repeat(43));
    for (shown, code) in [
        ("pcp1_AAAA", "token_malformed"),
        ("a.b.c", "token_malformed"),
        (unknown.as_str(), "token_unknown"),
    ] {
        let answer = scene.gets(&daemon, SECRETS, shown).await;
        answer.is_refused(401, code, shown);
        assert_eq!(scene.refusal("project_token.use").await, code, "{shown}");
    }
    // The login opens nothing here, nor does a token anything there.
    let jti = login_id(&daemon.login);
    let proof = scene.proof("GET", SECRETS, b"", &jti);
    let sent = super::bearing(daemon.signed(&proof), &daemon.login);
    let answer = scene.world().send(&sent).await;
    answer.is_refused(401, "token_type", "a login");
    let statement = scene.statement(&super::new_key());
    let answer = scene.attests(&token, &statement).await;
    answer.is_refused(401, "token_malformed", "a token");

    // The grant is withdrawn: for the client that is a token that was revoked.
    scene.withdraw(&grant).await;
    for target in [SECRETS, CONFIG] {
        let answer = scene.gets(&daemon, target, &token).await;
        answer.is_refused(401, "token_revoked", target);
        assert_eq!(
            answer.json()["details"]["reason"],
            "token_grant",
            "{target}"
        );
    }
    assert_eq!(scene.refusal("project_token.use").await, "token_grant");
    // So it asks anew, and waits.
    let answer = scene.discovers(&daemon, "DB=\n").await;
    let grant = answer.waits("anew");
    scene.grants(&grant).await;
    let answer = scene.discovers(&daemon, "DB=\n").await;
    let token = answer.json()["project_token"].as_str().unwrap().to_owned();
    scene.turn(7199);
    assert_eq!(scene.gets(&daemon, SECRETS, &token).await.status, 200);
    scene.turn(1);
    for target in [SECRETS, CONFIG] {
        let answer = scene.gets(&daemon, target, &token).await;
        answer.is_refused(401, "token_expired", target);
    }
}

fn login_id(login: &str) -> String {
    let payload = login.split('.').nth(1).unwrap();
    let payload = procura_types::encoding::from_b64url("payload", payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

/// Operators end such a token as they end any other.
#[tokio::test]
async fn an_operator_revokes_it() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let (token, _) = scene.opened(&daemon, "DB=\n").await;
    let list = "/v1/namespaces/shop/tokens?project=site";
    let list = scene.actors.ok("adam", "GET", list, Value::Null).await;
    let id = list["tokens"][0]["id"].as_str().unwrap();
    let target = format!("/v1/namespaces/shop/tokens/{id}");
    scene
        .actors
        .ok("adam", "DELETE", &target, Value::Null)
        .await;
    let answer = scene.gets(&daemon, SECRETS, &token).await;
    answer.is_refused(401, "token_revoked", "revoked");
}

#[tokio::test]
async fn a_value_that_is_no_text_is_not_given() {
    let scene = Scene::set().await;
    put(&scene, "api/key", &[0xff, 0xfe], "key-value").await;
    let daemon = scene.daemon(BAKER).await;
    let (token, _) = scene.opened(&daemon, "DB=\nAPI=\n").await;
    let answer = scene.gets(&daemon, SECRETS, &token).await;
    answer.is_refused(422, "not_text", "no text");
}

#[tokio::test]
async fn a_template_is_rendered_for_a_grant_of_its_own() {
    let scene = Scene::set().await;
    let text = b"listen 80;\npassword {{procura:DB}};\n";
    put(&scene, "nginx", text, "template").await;
    put(&scene, "other", text, "template").await;
    let daemon = scene.daemon(BAKER).await;
    let (token, _) = scene.opened(&daemon, "DB=\n").await;
    // No project maps it, so there is none.
    let dots = "/project/config/site/%2e%2e";
    for (signed, target) in [
        (CONFIG, CONFIG),
        ("/project/config/site/none", "/project/config/site/none"),
        ("/project/config/site/..", dots),
    ] {
        let answer = scene.gets_sent(&daemon, (signed, target), &token).await;
        answer.is_refused(404, "not_found", target);
        assert_eq!(scene.refusal("run.deliver").await, "not_found", "{target}");
    }
    let env = json!({"DB": "db/password", "API": "api/key", "NGINX": "nginx"});
    scene.project(env).await;
    let waits = scene.gets(&daemon, CONFIG, &token).await;
    let grant = waits.waits("a template");
    let asked = &waits.json()["details"]["requested_keys"];
    assert_eq!(asked, &json!(["DB", "NGINX"]));
    scene.grants(&grant).await;
    let answer = scene.gets(&daemon, CONFIG, &token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = format!("listen 80;\npassword {};\n", crate::world::CANARY);
    assert_eq!(answer.text(), expected);
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "no-store");
    // What is not mapped is not rendered, whatever token is shown.
    let answer = scene
        .gets(&daemon, "/project/config/site/other", &token)
        .await;
    answer.is_refused(404, "not_found", "not mapped");
    let entries = scene.entries("run.deliver").await;
    let made: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["decision"] == "allow")
        .collect();
    assert_eq!(made.len(), 1);
    scene.withdraw(&grant).await;
    let answer = scene.gets(&daemon, CONFIG, &token).await;
    answer.waits("withdrawn");
}

/// Decoys are handed to nobody here, and whoever asks for one is found.
#[tokio::test]
async fn whoever_asks_for_a_decoy_waits_in_quarantine() {
    let scene = Scene::set().await;
    let decoy = json!({"shape": "stripe", "env": "ADMIN_KEY", "mode": "bait"});
    let target = "/v1/honey/shop/admin/key";
    scene.actors.ok("alice", "PUT", target, decoy).await;
    let daemon = scene.daemon(BAKER).await;
    scene.opened(&daemon, "DB=\n").await;
    let answer = scene.discovers(&daemon, "DB=\nADMIN_KEY=\n").await;
    // As if it were nothing.
    let got = answer.json();
    assert_eq!(got["unmatched_keys"], json!(["ADMIN_KEY"]), "{got}");
    let token = got["project_token"].as_str().unwrap();
    until_held(&scene).await;
    let answer = scene.gets(&daemon, SECRETS, token).await;
    answer.is_refused(403, "quarantined", "a token");
    let statement = scene.statement(&super::new_key());
    let answer = scene.attests(&daemon.login, &statement).await;
    answer.is_refused(403, "quarantined", "a login");

    // Let out, it begins anew: neither session nor token of before comes back.
    let target = format!("/v1/quarantine/{BAKER}/reinstate");
    scene.actors.ok("alice", "POST", &target, Value::Null).await;
    let answer = scene.gets(&daemon, SECRETS, token).await;
    answer.is_refused(401, "session_unknown", "a session of before");
    let next = scene.daemon_by(BAKER, daemon.login).await;
    let alarms = scene.alarms().await;
    let answer = scene.gets(&next, SECRETS, token).await;
    answer.is_refused(401, "token_revoked", "a token of before");
    assert_eq!(scene.alarms().await, alarms);
    let answer = scene.discovers(&next, "DB=\n").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Until the record has the quarantine of the id.
async fn until_held(scene: &Scene) {
    for _ in 0..3000 {
        let list = scene
            .actors
            .ok("alice", "GET", "/v1/quarantine", Value::Null);
        let list = list.await;
        let mut all = list["quarantined"].as_array().unwrap().iter();
        if all.any(|held| held["agent_id"] == BAKER) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{BAKER} is not in quarantine");
}
