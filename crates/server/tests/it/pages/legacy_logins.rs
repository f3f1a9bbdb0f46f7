//! A client of CortexAuth that asks to log in is answered on the page of devices: the yes
//! takes a passkey, over just this login and the agent by its one id.

use super::browser::Browser;
use super::ceremonies::{assert_refused, refusals};
use super::devices::{APPROVE, OPTIONS, SHOW, answered, approve, assert_failed, signed_in};
use crate::actors::Actors;
use crate::world::{Answer, Sent, World};
use procura_server::Web;
use serde_json::{Value, json};

/// The id of `scribe`, which is the one agent of `shop` that has one here.
const ID: &str = "till.7";
const IDS: &str = "/v1/namespaces/shop/foreign-ids";

/// Everybody, on a server with pages that serves these clients.
async fn served() -> Actors {
    Actors::within(World::configured(|config| {
        config.cortexauth = true;
        config.web = Web {
            enabled: true,
            origin: None,
        };
    }))
    .await
}

/// A login that waits: the code that its client shows, and what stands in the place of a
/// device.
struct Login {
    user_code: String,
    stands_for: Value,
}

impl Login {
    async fn asked(actors: &Actors) -> Self {
        let body = serde_json::to_vec(&json!({"client_id": "cortex-cli"})).unwrap();
        let sent = Sent::new("POST", "/device/authorize", Some(&body));
        let answer = actors.world.send(&sent).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let user_code = answer.json()["user_code"].as_str().unwrap().to_owned();
        let shown = shown(actors, &user_code).await;
        Self {
            user_code,
            stands_for: shown["device"].clone(),
        }
    }

    /// What a yes is to, as the script says it.
    fn as_agent(&self, agent: &str) -> Value {
        json!({
            "namespace": "shop",
            "user_code": self.user_code,
            "agent": agent,
            "device": self.stands_for,
        })
    }

    async fn look(&self, browser: &mut Browser<'_>, token: &str) -> Answer {
        let fields = [
            ("user_code", self.user_code.as_str()),
            ("namespace", "shop"),
        ];
        browser.post("/device", token, &fields).await
    }
}

/// What an operator sees of a code.
async fn shown(actors: &Actors, user_code: &str) -> Value {
    let body = json!({"user_code": user_code});
    actors.ok("adam", "POST", SHOW, body).await
}

#[tokio::test]
async fn a_login_is_approved_on_the_page_by_a_passkey() {
    let actors = served().await;
    let (mut browser, mut passkey, token) = signed_in(&actors, "adam").await;
    let login = Login::asked(&actors).await;
    let page = login.look(&mut browser, &token).await.text();
    for said in [
        "cortex-cli asks to log in",
        "it shows no key",
        &format!("<option value=\"scribe\">scribe (adam//scribe), there {ID}</option>"),
        "/assets/passkey.js",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Whom no client of these would know is not offered, and refused when asked for.
    assert!(!page.contains("<option value=\"baker\""), "{page}");
    let baker = login.as_agent("baker");
    let options = browser.call(OPTIONS, &token, &baker).await;
    options.expect("conflict", Some("no_one_id"), None, "no id");
    let ask = login.as_agent("scribe");
    let answer = answered(&mut browser, &token, &mut passkey, (OPTIONS, &ask)).await;
    let page = approve(&mut browser, &token, &ask, &answer).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    for said in ["is approved", "It becomes one as scribe in shop"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains(&format!("\"{APPROVE}\"")), "{text}");
    let again = approve(&mut browser, &token, &ask, &answer).await;
    assert_failed(&again, 409, "conflict", "answered");
    assert_eq!(shown(&actors, &login.user_code).await["state"], "approved");
    let entries = actors.recorded("device_grant.approve").await;
    let entry = entries.iter().find(|entry| entry["decision"] == "allow");
    let (device, with) = (
        login.stands_for.as_str().unwrap(),
        passkey.key.public().thumbprint(),
    );
    let said = format!("agent/scribe device/{device} legacy passkey/{with}");
    assert_eq!(entry.unwrap()["resource"], json!(said));
}

#[tokio::test]
async fn what_was_signed_for_another_login_or_another_id_approves_none() {
    let actors = served().await;
    let (mut browser, mut passkey, token) = signed_in(&actors, "adam").await;
    let login = Login::asked(&actors).await;
    let other = Login::asked(&actors).await;
    let own = login.as_agent("scribe");
    let refused = approve(&mut browser, &token, &own, "").await;
    assert_refused(&refused, "not_shown");
    let beside = other.as_agent("scribe");
    let answer = answered(&mut browser, &token, &mut passkey, (OPTIONS, &beside)).await;
    let refused = approve(&mut browser, &token, &own, &answer).await;
    assert_refused(&refused, "wrong_challenge");
    // The place of another device.
    let mut seen = own.clone();
    seen["device"] = other.stands_for.clone();
    let options = browser.call(OPTIONS, &token, &seen).await;
    options.expect("conflict", Some("other_device"), None, "another login");
    // While the passkey was asked the agent got another id.
    let answer = answered(&mut browser, &token, &mut passkey, (OPTIONS, &own)).await;
    let target = format!("{IDS}/{ID}");
    actors.ok("adam", "DELETE", &target, Value::Null).await;
    let bind = json!({"agent": "scribe"});
    let target = format!("{IDS}/till.8");
    actors.ok("adam", "PUT", &target, bind).await;
    let refused = approve(&mut browser, &token, &own, &answer).await;
    assert_refused(&refused, "wrong_challenge");
    assert_eq!(shown(&actors, &login.user_code).await["state"], "pending");
    let reasons = refusals(&actors, "device_grant.approve").await;
    let told = reasons.iter().filter(|said| *said == "wrong_challenge");
    assert_eq!(told.count(), 2);
}
