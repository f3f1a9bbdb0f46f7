//! A device that asks to join is answered on the page: the yes takes a passkey, over just
//! this device, this code and this agent.

use super::Person;
use super::browser::{Browser, served};
use super::ceremonies::{NAMED, assert_refused, assertion, code, enrol, refusals, sign_in};
use crate::actors::Actors;
use crate::device_grants::{Host, refused};
use crate::world::{Answer, World};
use procura_crypto::webauthn::SoftwarePasskey;
use procura_server::Web;
use procura_types::Duration;
use serde_json::{Value, json};

pub(super) const APPROVE: &str = "/device/approve";
pub(super) const OPTIONS: &str = "/device/approve/options";
pub(super) const SHOW: &str = "/v1/namespaces/shop/device-grants/show";

/// Somebody who signed in by a passkey of theirs, and the token of their forms.
pub(super) async fn signed_in<'a>(
    actors: &'a Actors,
    name: &str,
) -> (Browser<'a>, SoftwarePasskey, String) {
    let mut browser = Browser::at(&actors.world, NAMED);
    let made = code(actors, name).await;
    let mut passkey = enrol(&mut browser, &made).await;
    sign_in(&mut browser, &mut passkey).await;
    let token = browser.token("/account").await;
    (browser, passkey, token)
}

/// What a yes is to that makes a host one of an agent's, as the script says it.
pub(super) fn ask(host: &Host, agent: &str) -> Value {
    json!({
        "namespace": "shop",
        "user_code": host.user_code,
        "agent": agent,
        "device": host.device(),
    })
}

/// Looks at the device of a host.
pub(super) async fn look(browser: &mut Browser<'_>, token: &str, host: &Host) -> Answer {
    let fields = [
        ("user_code", host.user_code.as_str()),
        ("namespace", "shop"),
    ];
    browser.post("/device", token, &fields).await
}

/// What a passkey answers to what these options ask.
pub(super) async fn answered(
    browser: &mut Browser<'_>,
    token: &str,
    passkey: &mut SoftwarePasskey,
    (options, body): (&str, &Value),
) -> String {
    let options = browser.call(options, token, body).await;
    assert_eq!(options.status, 200, "{}", options.text());
    let credential = assertion(passkey, &options.json());
    json!({ "credential": credential }).to_string()
}

/// Sends the form, with what the script filled into it.
pub(super) async fn approve(
    browser: &mut Browser<'_>,
    token: &str,
    ask: &Value,
    answer: &str,
) -> Answer {
    let mut fields: Vec<(&str, &str)> = ["namespace", "user_code", "agent", "device"]
        .into_iter()
        .map(|name| (name, ask[name].as_str().unwrap()))
        .collect();
    fields.push(("answer", answer));
    browser.post(APPROVE, token, &fields).await
}

/// That a form was refused for this.
pub(super) fn assert_failed(answer: &Answer, status: u16, code: &str, reason: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{reason}: {text}");
    for word in [code, reason] {
        assert!(text.contains(&format!("<code>{word}</code>")), "{text}");
    }
}

async fn state(actors: &Actors, host: &Host) -> Value {
    let body = json!({"user_code": host.user_code});
    let shown = actors.ok("anna", "POST", SHOW, body).await;
    shown["state"].clone()
}

#[tokio::test]
async fn a_device_is_let_in_on_the_page_by_a_passkey() {
    let actors = served().await;
    let (mut browser, mut passkey, token) = signed_in(&actors, "adam").await;
    let host = Host::asks(&actors.world).await;
    let page = look(&mut browser, &token, &host).await.text();
    // What the host shows too, and the agents that there are, of this namespace.
    assert!(page.contains(&host.fingerprint()), "{page}");
    for agent in ["baker", "scribe"] {
        let option = format!("<option value=\"{agent}\">{agent} (adam//{agent})</option>");
        assert!(page.contains(&option), "{page}");
    }
    for gone in ["\"dead\"", "\"robber\""] {
        assert!(!page.contains(gone), "{page}");
    }
    assert!(page.contains("/assets/passkey.js"), "{page}");
    let ask = ask(&host, "baker");
    let answer = answered(&mut browser, &token, &mut passkey, (OPTIONS, &ask)).await;
    let page = approve(&mut browser, &token, &ask, &answer).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    for said in ["is approved", "It becomes one of baker in shop"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("/device/approve\""), "{text}");
    assert!(!text.contains("/device/deny\""), "{text}");
    // Clicked twice.
    let again = approve(&mut browser, &token, &ask, &answer).await;
    assert_failed(&again, 409, "conflict", "answered");
    let options = browser.call(OPTIONS, &token, &ask).await;
    options.expect("conflict", Some("answered"), None, "asked once more");
    let joined = host.looks(&actors.world).await;
    assert_eq!(joined.status, 200, "{}", joined.text());
    assert_eq!(joined.json()["device"], json!(host.device()));
    let entries = actors.recorded("device_grant.approve").await;
    let entry = entries.iter().find(|entry| entry["decision"] == "allow");
    let entry = entry.unwrap();
    let with = passkey.key.public().thumbprint();
    let said = format!("agent/baker device/{} passkey/{with}", host.device());
    assert_eq!(entry["resource"], json!(said));
    assert_eq!(entry["profile"], "web_login_passkey");
    assert!(!entry.to_string().contains(&host.user_code));
}

#[tokio::test]
async fn what_no_passkey_signed_for_just_this_lets_nothing_in() {
    let actors = served().await;
    let (mut browser, mut passkey, token) = signed_in(&actors, "adam").await;
    let (_, mut annas, _) = signed_in(&actors, "anna").await;
    let host = Host::asks(&actors.world).await;
    let other = Host::asks(&actors.world).await;
    let own = ask(&host, "baker");
    // The cookie and the token alone, and what is no answer.
    let refused = approve(&mut browser, &token, &own, "").await;
    assert_refused(&refused, "not_shown");
    let refused = approve(&mut browser, &token, &own, "{}").await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    // What was signed to prove anew who is there, to let in another host, or this one for
    // another agent.
    let (beside, elsewhere) = (ask(&other, "baker"), ask(&host, "scribe"));
    for what in [
        ("/passkey/again/options", &json!({})),
        (OPTIONS, &beside),
        (OPTIONS, &elsewhere),
    ] {
        let answer = answered(&mut browser, &token, &mut passkey, what).await;
        let refused = approve(&mut browser, &token, &own, &answer).await;
        assert_refused(&refused, "wrong_challenge");
    }
    // Somebody else's passkey, over just this.
    let answer = answered(&mut browser, &token, &mut annas, (OPTIONS, &own)).await;
    let refused = approve(&mut browser, &token, &own, &answer).await;
    assert_refused(&refused, "other_user");
    // Another device than was looked at; agents that are not there, or are of others.
    let mut seen = own.clone();
    seen["device"] = json!(other.device());
    let options = browser.call(OPTIONS, &token, &seen).await;
    options.expect("conflict", Some("other_device"), None, "another device");
    for agent in ["nobody", "dead", "robber"] {
        let options = browser.call(OPTIONS, &token, &ask(&host, agent)).await;
        options.expect("not_found", None, None, agent);
    }
    let mut bank = ask(&host, "robber");
    bank["namespace"] = json!("bank");
    let options = browser.call(OPTIONS, &token, &bank).await;
    assert_eq!(options.status, 404, "{}", options.text());
    let refused = approve(&mut browser, &token, &bank, "").await;
    assert_eq!(refused.status, 404, "{}", refused.text());
    // All the while it waits.
    assert_eq!(state(&actors, &host).await, "pending");
    let reasons = refusals(&actors, "device_grant.approve").await;
    for reason in [
        "not_shown",
        "wrong_challenge",
        "other_user",
        "other_device",
        "no_role",
    ] {
        assert!(reasons.iter().any(|said| said == reason), "{reasons:?}");
    }
    let told = reasons.iter().filter(|said| *said == "wrong_challenge");
    assert_eq!(told.count(), 3);
}

#[tokio::test]
async fn a_yes_after_a_no_or_too_late_is_none() {
    let actors = served().await;
    let (mut browser, mut passkey, token) = signed_in(&actors, "adam").await;
    let (denied, late) = (
        Host::asks(&actors.world).await,
        Host::asks(&actors.world).await,
    );
    let (of_denied, of_late) = (ask(&denied, "baker"), ask(&late, "baker"));
    let first = answered(&mut browser, &token, &mut passkey, (OPTIONS, &of_denied)).await;
    let second = answered(&mut browser, &token, &mut passkey, (OPTIONS, &of_late)).await;
    let fields = [
        ("user_code", denied.user_code.as_str()),
        ("namespace", "shop"),
    ];
    let page = browser.post("/device/deny", &token, &fields).await;
    assert!(page.text().contains("is denied"), "{}", page.text());
    let answer = approve(&mut browser, &token, &of_denied, &first).await;
    assert_failed(&answer, 409, "conflict", "answered");
    refused(
        &denied.looks(&actors.world).await,
        400,
        "access_denied",
        "denied",
    );
    actors.world.clock.turn(Duration::from_secs(600));
    let answer = approve(&mut browser, &token, &of_late, &second).await;
    assert_failed(&answer, 404, "not_found", "code_expired");
    let options = browser.call(OPTIONS, &token, &of_late).await;
    options.expect("not_found", Some("code_expired"), None, "too late");
}

#[tokio::test]
async fn who_has_no_passkey_or_not_the_role_is_told_what_to_do() {
    let actors = served().await;
    let host = Host::asks(&actors.world).await;
    let own = ask(&host, "baker");
    let command = format!("device approve {} --agent NAME", host.user_code);
    let mut adam = Person::new(&actors, "adam").await;
    let mut browser = adam.browser(&actors.world).await;
    let token = browser.token("/account").await;
    let page = look(&mut browser, &token, &host).await.text();
    assert!(page.contains("You have no passkey"), "{page}");
    assert!(page.contains(&command), "{page}");
    assert!(!page.contains(APPROVE), "{page}");
    let options = browser.call(OPTIONS, &token, &own).await;
    options.expect("conflict", Some("no_passkey"), None, "no passkey");
    let answer = approve(&mut browser, &token, &own, "").await;
    assert_refused(&answer, "not_shown");
    // Whoever says yes to requests lets no devices in, whatever they show.
    let (mut browser, _, token) = signed_in(&actors, "anna").await;
    let page = look(&mut browser, &token, &host).await.text();
    assert!(page.contains("Admins of shop say yes"), "{page}");
    assert!(page.contains("/device/deny"), "{page}");
    assert!(
        !page.contains(APPROVE) && !page.contains(&command),
        "{page}"
    );
    let options = browser.call(OPTIONS, &token, &own).await;
    assert_eq!(options.status, 403, "{}", options.text());
    let answer = approve(&mut browser, &token, &own, "").await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(state(&actors, &host).await, "pending");
}

/// Names for people may hold markup.
#[tokio::test]
async fn what_agents_are_called_is_text() {
    let actors = served().await;
    let target = "/v1/namespaces/shop/agents/baker/display-name";
    let name = json!({"display_name": "<b>Baker</b> \"x\""});
    actors.ok("adam", "PUT", target, name).await;
    let (mut browser, _, token) = signed_in(&actors, "adam").await;
    let host = Host::asks(&actors.world).await;
    let page = look(&mut browser, &token, &host).await.text();
    assert!(!page.contains("<b>Baker"), "{page}");
    assert!(page.contains("baker, &#60;b&#62;Baker"), "{page}");
}

/// The page is no way around the wait after wrong codes.
#[tokio::test]
async fn wrong_codes_slow_down_here_too() {
    let world = World::standing(|config| {
        config.web = Web {
            enabled: true,
            origin: None,
        };
    });
    let actors = Actors::within(world).await;
    let (mut browser, _, token) = signed_in(&actors, "adam").await;
    let host = Host::asks(&actors.world).await;
    let own = ask(&host, "baker");
    let mut wrong = own.clone();
    wrong["user_code"] = json!("BBBB-BBBB");
    for place in 0..3 {
        let options = browser.call(OPTIONS, &token, &wrong).await;
        options.expect("not_found", Some("unknown_code"), None, &place.to_string());
    }
    for _ in 0..2 {
        let answer = approve(&mut browser, &token, &wrong, "").await;
        assert_failed(&answer, 404, "not_found", "unknown_code");
    }
    let options = browser.call(OPTIONS, &token, &own).await;
    options.expect("rate_limited", None, None, "the sixth");
    let answer = approve(&mut browser, &token, &own, "").await;
    assert_eq!(answer.status, 429, "{}", answer.text());
}
