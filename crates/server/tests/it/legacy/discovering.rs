//! A token of a project: for what a grant covers, asked for once and given again.

use super::{BAKER, CONFIG, Daemon, SECRETS, Scene, TILL};
use crate::world::{Answer, CANARY};
use procura_directory::TokenRefusal;
use procura_types::encoding::b64url;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = "# of the old system\nDB=postgres://old\nexport API='x'\n";

#[tokio::test]
async fn a_person_says_yes_once_and_the_same_names_go_on() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let waits = scene.discovers(&daemon, FILE).await;
    let request = waits.waits("at first");
    assert_eq!(
        waits.json()["details"]["requested_keys"],
        json!(["API", "DB"])
    );
    // Asked again and again it is the same question.
    let again = scene.discovers(&daemon, FILE).await;
    assert_eq!(again.waits("again"), request);
    let target = format!("/v1/namespaces/shop/requests/{request}");
    let seen = scene.actors.ok("anna", "GET", &target, Value::Null).await;
    assert_eq!(
        (&seen["delivery"], &seen["project"]),
        (&json!("http"), &json!("site"))
    );
    scene.grants(&request).await;

    let answer = scene.discovers(&daemon, FILE).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let got = answer.json();
    let token = got["project_token"].as_str().unwrap();
    assert!(token.starts_with("pcp1_"), "{token}");
    for (member, expected) in [
        (
            "mapped_keys",
            json!({"API": "api/key", "DB": "db/password"}),
        ),
        ("full_matched", json!(true)),
        ("unmatched_keys", json!([])),
        ("token_ttl_seconds", json!(7200)),
        ("namespace", json!("shop")),
        ("scope", json!(["api/key", "db/password"])),
    ] {
        assert_eq!(got[member], expected, "{member}");
    }
    assert!(got.get("signed_project_token").is_none());
    let until = scene
        .world()
        .now()
        .plus(procura_types::Duration::from_secs(7200));
    assert_eq!(got["token_expires_at"], json!(until.to_string()));

    let answer = scene.gets(&daemon, SECRETS, token).await;
    let values = json!({"env_vars": {"API": CANARY, "DB": CANARY}});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, values));
    assert_eq!(answer.headers["cache-control"], "no-store");

    // All of it is in the record, under this profile and with the id.
    for (action, count) in [
        ("legacy.login", 1),
        ("legacy.attest", 1),
        ("request.create", 1),
        ("project_token.issue", 1),
        ("project_token.use", 1),
    ] {
        let entries = scene.entries(action).await;
        let allowed = entries.iter().filter(|entry| entry["decision"] == "allow");
        assert_eq!(allowed.count(), count, "{action}");
    }
    // Operators see the token as any other, bound to the key of the process.
    let target = "/v1/namespaces/shop/tokens?project=site";
    let list = scene.actors.ok("adam", "GET", target, Value::Null).await;
    let process = daemon.process.public().thumbprint().to_string();
    assert_eq!(list["tokens"][0]["device"], process);
    assert_eq!(list["tokens"][0]["delivery"], "http");
}

#[tokio::test]
async fn a_signed_token_is_the_same_and_known_by_its_id() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    scene.opened(&daemon, FILE).await;
    let mut question = scene.question(BAKER, "Site", FILE);
    question["signed_token"] = json!(true);
    let answer = scene.asks_with(&daemon, &question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = answer.json();
    assert_eq!(got["project_token"], got["signed_project_token"]);
    let token = got["project_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let payload = procura_types::encoding::from_b64url("payload", payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let jti = claims["jti"].as_str().unwrap();
    let proof = scene.proof("GET", SECRETS, b"", jti);
    let sent = super::bearing(daemon.signed(&proof), token);
    let answer = scene.world().send(&sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // By the hash of it, it is another.
    let answer = scene.gets(&daemon, SECRETS, token).await;
    answer.is_refused(401, "digest_mismatch", "by its hash");
}

#[tokio::test]
async fn names_that_stand_for_nothing_are_told_and_the_rest_is_given() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let some = "DB=\nNOTHING=1\n";
    let request = scene.discovers(&daemon, some).await.waits("some of it");
    scene.grants(&request).await;
    let got = scene.discovers(&daemon, some).await.json();
    assert_eq!(got["full_matched"], false);
    assert_eq!(got["unmatched_keys"], json!(["NOTHING"]));
    assert_eq!(got["mapped_keys"], json!({"DB": "db/password"}));
    // Of none of them anything is told.
    let none = scene.discovers(&daemon, "NOTHING=1\n").await;
    none.is_refused(422, "nothing_to_deliver", "none of it");
    // What nobody understands is not everything.
    for nothing in ["1C=3\n", "what is this\n"] {
        let none = scene.discovers(&daemon, nothing).await;
        none.is_refused(422, "nothing_to_deliver", nothing);
    }
    // Without names it is all that the project maps, which nobody said yes to.
    for all in ["", "# nothing\n"] {
        let waits = scene.discovers(&daemon, all).await;
        waits.waits("all");
        assert_eq!(
            waits.json()["details"]["requested_keys"],
            json!(["API", "DB"])
        );
    }
}

async fn discovers(scene: &Scene, daemon: &Daemon, project: &str) -> Answer {
    let question = scene.question(daemon.id, project, "DB=\n");
    scene.asks_with(daemon, &question).await
}

#[tokio::test]
async fn an_agent_discovers_for_projects_that_name_it() {
    let scene = Scene::set().await;
    let (baker, till) = (scene.daemon(BAKER).await, scene.daemon(TILL).await);
    for (daemon, project) in [(&till, "site"), (&baker, "web"), (&baker, "nowhere")] {
        let answer = discovers(&scene, daemon, project).await;
        answer.is_refused(404, "not_found", project);
        assert_eq!(scene.refusal("project_token.issue").await, "not_found");
    }
    let answer = discovers(&scene, &baker, "si/te").await;
    answer.is_refused(400, "malformed", "no name");
    assert_eq!(answer.json()["details"]["field"], "project");
    // As the import calls it.
    for project in ["site", "Site", "SITE"] {
        discovers(&scene, &baker, project).await.waits(project);
    }
    // What `scribe` was granted for a run by a daemon of ours opens nothing here.
    let answer = discovers(&scene, &till, "web").await;
    answer.waits("granted for a run");
}

/// Nothing of theirs attests anything: what requires a grade is closed to them.
#[tokio::test]
async fn a_project_that_requires_a_grade_is_closed_to_them() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let (token, _) = scene.opened(&daemon, "DB=\n").await;
    let target = "/v1/namespaces/shop/projects/site/require-grade";
    let grade = json!({"grade": "self-reported"});
    scene.actors.ok("adam", "PUT", target, grade).await;
    let answer = scene.gets(&daemon, SECRETS, &token).await;
    answer.is_refused(403, "attestation_required", "a use");
    let answer = scene.discovers(&daemon, "DB=\n").await;
    answer.is_refused(403, "attestation_required", "a discovery");
    let refused = scene.refusal("project_token.issue").await;
    assert_eq!(refused, "attestation_required");
}

/// Of one process for one project there is one token, but for those of a moment ago: programs
/// that are started together discover together.
#[tokio::test]
async fn who_discovers_again_has_one_token() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let (first, _) = scene.opened(&daemon, "DB=\n").await;
    let other = scene.daemon_by(BAKER, daemon.login.clone()).await;
    let token = |answer: Answer| answer.json()["project_token"].as_str().unwrap().to_owned();
    let theirs = token(scene.discovers(&other, "DB=\n").await);
    let beside = token(scene.discovers(&daemon, "DB=\n").await);
    for token in [&first, &beside] {
        assert_eq!(scene.gets(&daemon, SECRETS, token).await.status, 200);
    }
    scene.turn(30);
    let issued = async || {
        let entries = scene.entries("project_token.issue").await;
        entries.into_iter().map(|entry| {
            let (id, words) = (&entry["token"], &entry["resource"]);
            let ended = words.as_str().unwrap().split(' ');
            let ended = ended.filter_map(|word| word.strip_prefix("ended:"));
            (
                id.as_str().unwrap().to_owned(),
                ended.map(str::to_owned).collect(),
            )
        })
    };
    let before: BTreeMap<String, BTreeSet<String>> = issued().await.collect();
    let second = token(scene.discovers(&daemon, "DB=\n").await);
    // What it took the place of is in its entry, and is the two of this process.
    let (_, ended) = issued()
        .await
        .find(|(id, _)| !before.contains_key(id))
        .unwrap();
    assert!(ended.iter().all(|id| before.contains_key(id)), "{ended:?}");
    assert_eq!((before.len(), ended.len()), (3, 2));
    assert!(before.values().all(BTreeSet::is_empty), "{before:?}");
    for token in [&first, &beside] {
        let answer = scene.gets(&daemon, SECRETS, token).await;
        answer.is_refused(401, "token_revoked", "of a moment ago");
    }
    for (daemon, token) in [(&daemon, &second), (&other, &theirs)] {
        assert_eq!(scene.gets(daemon, SECRETS, token).await.status, 200);
    }
    // Each is for its own process: what was another's of the same agent is over, as for a
    // daemon that was started again and has the tokens of before in its file.
    let alarms = scene.alarms().await;
    for (daemon, token) in [(&daemon, &theirs), (&other, &second)] {
        for target in [SECRETS, CONFIG] {
            let answer = scene.gets(daemon, target, token).await;
            answer.is_refused(401, "token_revoked", "another process's");
        }
    }
    assert_eq!(
        scene.refusal("project_token.use").await,
        TokenRefusal::Revoked.as_str()
    );
    assert_eq!(scene.alarms().await, alarms);
    // So it discovers anew, and nobody has to say yes to that.
    let restarted = scene.daemon_by(BAKER, daemon.login.clone()).await;
    let answer = scene.gets(&restarted, SECRETS, &second).await;
    answer.is_refused(401, "token_revoked", "before it was started again");
    let anew = token(scene.discovers(&restarted, "DB=\n").await);
    assert_eq!(scene.gets(&restarted, SECRETS, &anew).await.status, 200);
    assert_eq!(scene.alarms().await, alarms);
    // What another agent shows somebody took.
    let till = scene.daemon(TILL).await;
    let alarms = scene.alarms().await;
    let answer = scene.gets(&till, SECRETS, &second).await;
    answer.is_refused(401, "token_device", "another agent's");
    assert_eq!(
        scene.refusal("project_token.use").await,
        TokenRefusal::Device.as_str()
    );
    assert_eq!(scene.alarms().await, alarms + 1);
}

/// A project is called by its name there, which is signed as it is and sent escaped.
#[tokio::test]
async fn a_name_with_a_space_is_signed_as_it_is() {
    let scene = Scene::set().await;
    let body = json!({"agents": ["baker"], "env": {"DB": "db/password"}});
    let project = "/v1/namespaces/shop/projects/my-shop";
    scene.actors.ok("adam", "PUT", project, body).await;
    let daemon = scene.daemon(BAKER).await;
    let request = discovers(&scene, &daemon, "My Shop").await.waits("My Shop");
    scene.grants(&request).await;
    let got = discovers(&scene, &daemon, "My Shop").await.json();
    let token = got["project_token"].as_str().unwrap();
    let signed = "/project/secrets/My Shop";
    let answer = scene.gets(&daemon, signed, token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({"env_vars": {"DB": CANARY}}));
    // However it is escaped, it is one path, and no other is signed for.
    let escaped = (signed, "/project/secrets/%4D%79%20Shop");
    let answer = scene.gets_sent(&daemon, escaped, token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (signed, sent) in [
        ("/project/secrets/My%20Shop", "/project/secrets/My%20Shop"),
        (signed, "/project/secrets/My-Shop"),
        ("/project/secrets/my-shop", "/project/secrets/My%20Shop"),
    ] {
        let answer = scene.gets_sent(&daemon, (signed, sent), token).await;
        answer.is_refused(401, "bad_signature", sent);
    }
    let config = |name: &str| format!("/project/config/my-shop/{name}");
    for (signed, sent) in [
        ("a/b", "a%2Fb"),
        ("a|b", "a%7Cb"),
        ("a\0", "a%00"),
        ("a%zz", "a%zz"),
    ] {
        let (signed, path) = (config(signed), config(sent));
        let answer = scene.gets_sent(&daemon, (&signed, &path), token).await;
        answer.is_refused(400, "malformed", sent);
        assert_eq!(answer.json()["details"]["field"], "path", "{sent}");
    }
}

/// Values of the file that is sent along are in no answer and in no record.
#[tokio::test]
async fn what_the_file_holds_is_looked_at_by_nobody() {
    let scene = Scene::set().await;
    let daemon = scene.daemon(BAKER).await;
    let file = format!("DB={CANARY}\nNOTHING='{CANARY}\n{CANARY}=\n'\n");
    let answer = scene.discovers(&daemon, &file).await;
    answer.waits("a canary");
    let record = "/v1/ledger/entries?limit=1000";
    let record = scene
        .actors
        .ok("alice", "GET", record, Value::Null)
        .await
        .to_string();
    for secret in [CANARY.to_owned(), b64url(CANARY.as_bytes())] {
        assert!(!answer.text().contains(&secret) && !record.contains(&secret));
    }
}
