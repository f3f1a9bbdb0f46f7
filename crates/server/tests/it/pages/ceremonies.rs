//! Passkeys, all the way: enrolled, signed in with, approved with, refused and recorded, as
//! the script of our pages drives them.

use super::browser::{Browser, LOGIN, served};
use crate::actors::Actors;
use crate::share_quorum;
use crate::world::Answer;
use procura_crypto::SystemEntropy;
use procura_crypto::webauthn::SoftwarePasskey;
use procura_types::encoding::{b64url, from_b64url_fixed};
use procura_types::wire::{Grant, Proposal};
use serde_json::{Value, json};

/// Where a browser on this machine finds the pages when it uses passkeys.
const SITE: &str = "http://localhost:7310";
/// The name in that.
pub(super) const NAMED: &str = "localhost:7310";

fn challenge(options: &Value) -> [u8; 32] {
    let text = options["publicKey"]["challenge"].as_str().unwrap();
    from_b64url_fixed("challenge", text).unwrap()
}

/// What the browser gives of an assertion.
pub(super) fn assertion(passkey: &mut SoftwarePasskey, options: &Value) -> Value {
    let answered = passkey.answer(&challenge(options)).unwrap();
    json!({
        "id": b64url(&passkey.credential_id),
        "rawId": b64url(&passkey.credential_id),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": b64url(&answered.client_data),
            "authenticatorData": b64url(&answered.authenticator_data),
            "signature": b64url(&answered.signature),
            "userHandle": null,
        },
    })
}

/// Enrols a passkey by this code, in a browser where nobody is signed in.
pub(super) async fn enrol(browser: &mut Browser<'_>, code: &str) -> SoftwarePasskey {
    let token = browser.token("/passkey/enrol").await;
    let ask = json!({"code": code});
    let options = browser.call("/passkey/enrol/options", &token, &ask).await;
    assert_eq!(options.status, 200, "{}", options.text());
    let options = options.json();
    let key = &options["publicKey"];
    assert_eq!(key["rp"]["id"], "localhost");
    assert_eq!(key["attestation"], "none");
    assert_eq!(
        key["authenticatorSelection"]["userVerification"],
        "required"
    );
    assert_eq!(
        key["pubKeyCredParams"],
        json!([{"type": "public-key", "alg": -7}])
    );
    let passkey = SoftwarePasskey::generate(SITE, "localhost", &SystemEntropy).unwrap();
    let made = passkey.make(&challenge(&options));
    let credential = json!({
        "id": b64url(&passkey.credential_id),
        "rawId": b64url(&passkey.credential_id),
        "type": "public-key",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": b64url(&made.client_data),
            "attestationObject": b64url(&made.attestation_object),
            "transports": ["internal"],
            "publicKeyAlgorithm": -7,
        },
    });
    let answer = json!({
        "code": code,
        "name": "Laptop",
        "state": options["state"],
        "credential": credential,
    });
    let enrolled = browser.call("/passkey/enrol", &token, &answer).await;
    assert!(enrolled.status.is_success(), "{}", enrolled.text());
    // The code is used up.
    let again = browser.call("/passkey/enrol", &token, &answer).await;
    again.expect("code_refused", Some("unknown_code"), None, "a used code");
    passkey
}

/// The code that an operator makes with their device.
pub(super) async fn code(actors: &Actors, name: &str) -> String {
    let path = format!("/v1/operators/{name}/passkey-code");
    let made = actors.ok(name, "POST", &path, Value::Null).await;
    made["code"].as_str().unwrap().to_owned()
}

/// Shows a passkey at the sign-in, by the page that this token was given to.
async fn shown(browser: &mut Browser<'_>, token: &str, passkey: &mut SoftwarePasskey) -> Answer {
    let options = browser
        .call("/passkey/sign-in/options", token, &json!({}))
        .await
        .json();
    assert_eq!(options["publicKey"]["allowCredentials"], json!([]));
    let credential = assertion(passkey, &options);
    let answer = json!({"state": options["state"], "credential": credential});
    browser.call("/passkey/sign-in", token, &answer).await
}

pub(super) async fn sign_in(browser: &mut Browser<'_>, passkey: &mut SoftwarePasskey) {
    let token = browser.token("/sign-in").await;
    let signed_in = shown(browser, &token, passkey).await;
    assert!(signed_in.status.is_success(), "{}", signed_in.text());
    assert!(browser.cookies.contains_key(LOGIN));
}

/// The reasons that the record has for refusals of this action, sorted.
pub(super) async fn refusals(actors: &Actors, action: &str) -> Vec<String> {
    let entries = actors.recorded(action).await;
    let mut reasons: Vec<String> = entries
        .iter()
        .filter(|entry| entry["decision"] == "deny")
        .map(|entry| entry["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    reasons
}

#[tokio::test]
async fn a_passkey_is_enrolled_signs_in_and_approves() {
    let actors = served().await;
    let made = code(&actors, "anna").await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let mut passkey = enrol(&mut browser, &made).await;
    sign_in(&mut browser, &mut passkey).await;
    let id = actors.waiting[0].clone();
    let approve = format!("/requests/shop/{id}/approve");
    let token = browser.token("/account").await;
    let options = browser
        .call(&format!("{approve}/options"), &token, &json!({}))
        .await;
    assert_eq!(options.status, 200, "{}", options.text());
    let options = options.json();
    assert_eq!(options["digest"], options["publicKey"]["challenge"]);
    assert_eq!(options["summary"]["id"], json!(id));
    let credential = assertion(&mut passkey, &options);
    // Without what it is a yes to.
    let incomplete = json!({"credential": credential});
    let refused = browser.call(&approve, &token, &incomplete).await;
    refused.expect("invalid_json", None, Some("terms"), "no terms");
    // Other terms than those that were shown.
    let mut other = options["terms"].clone();
    other["until"] = json!("2027-01-01T00:00:00.000Z");
    let answer = json!({"terms": other, "credential": credential});
    let refused = browser.call(&approve, &token, &answer).await;
    refused.expect(
        "passkey_refused",
        Some("wrong_challenge"),
        None,
        "other terms",
    );
    let answer = json!({"terms": options["terms"], "credential": credential});
    let approved = browser.call(&approve, &token, &answer).await;
    assert!(approved.status.is_success(), "{}", approved.text());
    // Clicked twice.
    let again = browser.call(&approve, &token, &answer).await;
    again.expect("conflict", None, None, "clicked twice");
    let path = format!("/v1/namespaces/shop/grants/{id}");
    let grant = actors.ok("anna", "GET", &path, Value::Null).await;
    let grant: Grant = serde_json::from_value(grant).unwrap();
    assert_eq!(grant.receipt.device, passkey.key.public().thumbprint());
    assert!(grant.receipt.assertion.is_some());
    // And once more when it was withdrawn: that brings nothing back.
    let withdraw = format!("{path}/withdraw");
    actors.ok("anna", "POST", &withdraw, Value::Null).await;
    let again = browser.call(&approve, &token, &answer).await;
    again.expect("conflict", None, None, "after withdrawal");
    let grant = actors.ok("anna", "GET", &path, Value::Null).await;
    assert!(grant["withdrawn"].is_string(), "{grant}");
    assert_eq!(
        refusals(&actors, "request.approve").await,
        ["wrong_challenge"]
    );
}

#[tokio::test]
async fn a_steward_says_yes_by_a_passkey_to_what_was_proposed_and_no() {
    let actors = served().await;
    let bea = share_quorum::steward(&actors, "bea").await;
    let made = code(&actors, "alice").await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let mut passkey = enrol(&mut browser, &made).await;
    sign_in(&mut browser, &mut passkey).await;
    let mut proposals = Vec::new();
    for name in ["bank", "shop"] {
        let body = json!({"act": {"end_namespace": {"name": name}}});
        let made = actors.ok("alice", "POST", "/v1/proposals", body).await;
        proposals.push(serde_json::from_value::<Proposal>(made).unwrap());
    }
    let [proposal, other] = &proposals[..] else {
        panic!("there are two");
    };
    let page = browser.get("/proposals").await.text();
    for part in [
        "end the namespace bank with all that is in it",
        "waits for signatures",
        "2 stewards",
        &format!("procura proposal sign {}", proposal.id),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let token = browser.token("/proposals").await;
    let sign = format!("/proposals/{}/sign", proposal.id);
    let ask = format!("{sign}/options");
    let another = format!("/proposals/{}/sign/options", other.id);
    let options = browser.call(&another, &token, &json!({})).await.json();
    let credential = assertion(&mut passkey, &options);
    let answer = json!({"credential": credential});
    let refused = browser.call(&sign, &token, &answer).await;
    refused.expect(
        "passkey_refused",
        Some("wrong_challenge"),
        None,
        "another proposal",
    );
    let options = browser.call(&ask, &token, &json!({})).await;
    assert_eq!(options.status, 200, "{}", options.text());
    let options = options.json();
    assert_eq!(options["proposal"]["id"], json!(proposal.id));
    let credential = assertion(&mut passkey, &options);
    let answer = json!({"credential": credential});
    let signed = browser.call(&sign, &token, &answer).await;
    assert_eq!(signed.status, 200, "{}", signed.text());
    let signed = signed.json();
    assert_eq!(signed["signed"][0]["by_passkey"], true);
    assert_eq!(signed["state"], "open");
    let page = browser.get("/proposals").await.text();
    assert!(page.contains("You said yes to it."), "{page}");
    let agreed = share_quorum::sign(&actors, &bea, proposal).await;
    assert_eq!(agreed.signed.len(), 2);
    let page = browser.get("/proposals").await.text();
    assert!(page.contains("is agreed to"), "{page}");
    // The no takes the yes back.
    let refuse = format!("/proposals/{}/refuse", proposal.id);
    let answer = browser.post(&refuse, &token, &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let page = browser.get("/proposals").await.text();
    assert!(!page.contains("You said yes to it."), "{page}");
    assert!(!page.contains("is agreed to"), "{page}");
    assert_eq!(
        refusals(&actors, "proposal.sign").await,
        ["wrong_challenge"]
    );

    // It is for stewards.
    let annas = code(&actors, "anna").await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let mut passkey = enrol(&mut browser, &annas).await;
    sign_in(&mut browser, &mut passkey).await;
    let token = browser.token("/account").await;
    assert_eq!(browser.get("/proposals").await.status, 403);
    let refused = browser.call(&ask, &token, &json!({})).await;
    refused.expect("forbidden", None, None, "anna is no steward");
}

#[tokio::test]
async fn one_more_passkey_takes_one_that_answers_for_it() {
    let actors = served().await;
    let made = code(&actors, "anna").await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let mut passkey = enrol(&mut browser, &made).await;
    sign_in(&mut browser, &mut passkey).await;
    let token = browser.token("/account").await;
    let later = std::time::Duration::from_secs(5 * 60);
    actors.world.clock.turn(later);
    let answer = browser.post("/account/passkeys/invite", &token, &[]).await;
    assert!(!answer.status.is_success(), "{}", answer.text());
    // Proven anew: another cookie, and the one of before is over.
    let before = browser.clone();
    let options = browser
        .call("/passkey/again/options", &token, &json!({}))
        .await
        .json();
    let allowed = &options["publicKey"]["allowCredentials"];
    assert_eq!(allowed[0]["id"], json!(b64url(&passkey.credential_id)));
    let credential = assertion(&mut passkey, &options);
    let answer = json!({"state": options["state"], "credential": credential});
    let again = browser.call("/passkey/again", &token, &answer).await;
    assert!(again.status.is_success(), "{}", again.text());
    assert_ne!(before.cookies[LOGIN], browser.cookies[LOGIN]);
    let mut before = before;
    assert_eq!(before.get("/account").await.status, 303);
    let token = browser.token("/account").await;
    // The cookie, the token and a fresh sign-in are all that a thief of the cookie has.
    let invite = "/account/passkeys/invite";
    let refused = browser.post(invite, &token, &[]).await;
    assert_refused(&refused, "not_shown");
    // What was shown for something else is not for this.
    let options = "/passkey/again/options";
    let again = answered(&mut browser, options, &token, &mut passkey).await;
    let fields = [("answer", again.as_str())];
    let refused = browser.post(invite, &token, &fields).await;
    assert_refused(&refused, "challenge_unknown");
    let unread = browser.post(invite, &token, &[("answer", "{}")]).await;
    assert_eq!(unread.status, 400, "{}", unread.text());
    let options = format!("{invite}/options");
    let own = answered(&mut browser, &options, &token, &mut passkey).await;
    let fields = [("answer", own.as_str())];
    let page = browser.post(invite, &token, &fields).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let again = browser.post(invite, &token, &fields).await;
    assert_refused(&again, "challenge_used");
    // A page with the code, which is the only place that has it.
    let page = page.text();
    let (_, rest) = page.split_once("name=\"code\" value=\"").unwrap();
    let made = rest.split('"').next().unwrap().to_owned();
    let mut other = Browser::at(&actors.world, NAMED);
    enrol(&mut other, &made).await;
    let expected = ["challenge_unknown", "challenge_used", "not_shown"];
    let reasons = refusals(&actors, "operator.passkey.invite").await;
    for reason in expected {
        assert!(reasons.iter().any(|said| said == reason), "{reasons:?}");
    }
    // Its operator is told of each.
    let mut seen = String::new();
    for _ in 0..200 {
        seen = browser.get("/alarms").await.text();
        if seen.matches("An operator has one more passkey").count() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let told = seen.matches("An operator has one more passkey").count();
    assert_eq!(told, 2, "{seen}");
}

/// What a passkey answers to what this call asks it, as the script fills it into a form.
async fn answered(
    browser: &mut Browser<'_>,
    ask: &str,
    token: &str,
    passkey: &mut SoftwarePasskey,
) -> String {
    let options = browser.call(ask, token, &json!({})).await;
    assert_eq!(options.status, 200, "{ask}: {}", options.text());
    let options = options.json();
    let credential = assertion(passkey, &options);
    json!({"state": options["state"], "credential": credential}).to_string()
}

/// That a form was refused for what a passkey did not answer.
pub(super) fn assert_refused(answer: &Answer, reason: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 401, "{reason}: {text}");
    for word in ["passkey_refused", reason] {
        assert!(text.contains(&format!("<code>{word}</code>")), "{text}");
    }
    assert!(!answer.headers.contains_key("location"), "{reason}");
}

#[tokio::test]
async fn a_passkey_is_removed_in_a_browser_by_one_that_answers_for_it() {
    let actors = served().await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let made = code(&actors, "anna").await;
    let mut passkey = enrol(&mut browser, &made).await;
    let made = code(&actors, "anna").await;
    let lost = enrol(&mut browser, &made).await;
    let made = code(&actors, "adam").await;
    let adams = enrol(&mut browser, &made).await;
    sign_in(&mut browser, &mut passkey).await;
    let token = browser.token("/account").await;
    let path = |one: &SoftwarePasskey| {
        format!("/account/passkeys/{}/remove", one.key.public().thumbprint())
    };
    let (own, gone, others) = (path(&passkey), path(&lost), path(&adams));
    let refused = browser.post(&gone, &token, &[]).await;
    assert_refused(&refused, "not_shown");
    // What was shown for another passkey, or for one more, removes none.
    for ask in [
        format!("{own}/options"),
        "/account/passkeys/invite/options".to_owned(),
    ] {
        let answer = answered(&mut browser, &ask, &token, &mut passkey).await;
        let fields = [("answer", answer.as_str())];
        let refused = browser.post(&gone, &token, &fields).await;
        assert_refused(&refused, "challenge_unknown");
    }
    // Of somebody else's nothing is known, whatever is shown.
    let options = format!("{others}/options");
    let asked = browser.call(&options, &token, &json!({})).await;
    asked.expect("not_found", None, None, "somebody else's");
    let answer = browser.post(&others, &token, &[]).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let options = format!("{gone}/options");
    let answer = answered(&mut browser, &options, &token, &mut passkey).await;
    let fields = [("answer", answer.as_str())];
    let removed = browser.post(&gone, &token, &fields).await;
    assert_eq!(removed.status, 303, "{}", removed.text());
    assert_eq!(removed.headers["location"], "/account");
    let again = browser.post(&gone, &token, &fields).await;
    assert_refused(&again, "challenge_used");
    let page = browser.get("/account").await.text();
    let id = lost.key.public().thumbprint().to_string();
    assert!(!page.contains(&id), "{page}");
    let id = passkey.key.public().thumbprint().to_string();
    assert!(page.contains(&id), "{page}");
}

#[tokio::test]
async fn what_a_passkey_is_refused_for_is_told_and_recorded() {
    let actors = served().await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let annas = code(&actors, "anna").await;
    let mut passkey = enrol(&mut browser, &annas).await;
    let token = browser.token("/sign-in").await;
    let mut expected = Vec::new();
    let mut stranger = SoftwarePasskey::generate(SITE, "localhost", &SystemEntropy).unwrap();
    type Bend = fn(&mut SoftwarePasskey);
    let cases: [(&str, Bend); 5] = [
        ("wrong_origin", |one| {
            one.origin = "https://evil.example".to_owned()
        }),
        ("wrong_relying_party", |one| {
            one.rp_id = "evil.example".to_owned()
        }),
        ("not_verified", |one| one.flags = 0x01),
        ("not_present", |one| one.flags = 0x04),
        ("backup_flags", |one| one.flags = 0x15),
    ];
    for (reason, bend) in cases {
        let (origin, rp_id) = (passkey.origin.clone(), passkey.rp_id.clone());
        bend(&mut passkey);
        let refused = shown(&mut browser, &token, &mut passkey).await;
        (passkey.origin, passkey.rp_id) = (origin, rp_id);
        passkey.flags = SoftwarePasskey::PRESENT_AND_VERIFIED;
        refused.expect("passkey_refused", Some(reason), None, reason);
        expected.push(reason);
    }
    // A challenge that was answered, a stranger's passkey, one that counts back.
    let refused = shown(&mut browser, &token, &mut stranger).await;
    refused.expect(
        "passkey_refused",
        Some("unknown_passkey"),
        None,
        "a stranger",
    );
    expected.push("unknown_passkey");
    let mut other = Browser::at(&actors.world, NAMED);
    sign_in(&mut other, &mut passkey).await;
    passkey.counter = 1;
    let refused = shown(&mut browser, &token, &mut passkey).await;
    refused.expect("passkey_refused", Some("counter_back"), None, "a copy");
    expected.push("counter_back");
    assert!(!browser.cookies.contains_key(LOGIN));
    expected.sort_unstable();
    assert_eq!(refusals(&actors, "operator.passkey.use").await, expected);
}

#[tokio::test]
async fn a_removed_passkey_ends_what_was_made_with_it() {
    let actors = served().await;
    let mut browser = Browser::at(&actors.world, NAMED);
    let annas = code(&actors, "anna").await;
    let mut passkey = enrol(&mut browser, &annas).await;
    sign_in(&mut browser, &mut passkey).await;
    assert_eq!(browser.get("/account").await.status, 200);
    let path = format!("/v1/passkeys/{}", passkey.key.public().thumbprint());
    actors.ok("anna", "DELETE", &path, Value::Null).await;
    assert_eq!(browser.get("/account").await.status, 303);
    let mut other = Browser::at(&actors.world, NAMED);
    let token = other.token("/sign-in").await;
    let refused = shown(&mut other, &token, &mut passkey).await;
    refused.expect(
        "passkey_refused",
        Some("removed"),
        None,
        "a removed passkey",
    );
}
