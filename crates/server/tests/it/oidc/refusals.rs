//! Answers that are not to what this browser asked, or not believed: each is refused for
//! exactly what is wrong with it, and nobody is signed in.

use super::provider::{SECRET, jwk, token};
use super::{Asked, FLOW, Site, from_elsewhere};
use crate::pages::{Browser, LOGIN};
use crate::world::Answer;
use procura_crypto::{MacKey, SigningKey, SystemEntropy};
use procura_types::Duration;
use procura_types::encoding::b64url;
use serde_json::{Value, json};

/// That nobody was signed in, and why; what it is about is never on the page.
fn assert_refused(browser: &Browser<'_>, answer: &Answer, reason: &str, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 401, "{what}: {text}");
    for word in ["oidc_refused", reason] {
        let said = format!("<code>{word}</code>");
        assert!(text.contains(&said), "{what}: {text}");
    }
    assert!(!browser.cookies.contains_key(LOGIN), "{what}");
    assert!(!text.contains(SECRET), "{what}");
}

/// A way back that is good, of somebody who is linked.
async fn good(site: &Site, browser: &mut Browser<'_>) -> (Asked, String) {
    let asked = site.begins(browser, "").await;
    let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
    (asked, back)
}

async fn linked() -> Site {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    site
}

/// Another site leads a browser back with an answer of its own: nobody is signed in by it,
/// not even in a browser that is on its way.
#[tokio::test]
async fn an_answer_is_to_what_this_browser_asked_last() {
    let site = linked().await;
    let mut mallory = site.browser();
    let (_, theirs) = good(&site, &mut mallory).await;
    let mut victim = site.browser();
    let answer = from_elsewhere(&mut victim, &theirs).await;
    assert_refused(&victim, &answer, "flow_missing", "who asked nothing");
    let (asked, own) = good(&site, &mut victim).await;
    let before = site.provider.got("/token").len();
    let answer = from_elsewhere(&mut victim, &theirs).await;
    assert_refused(&victim, &answer, "wrong_state", "who asked something else");
    for state in [
        "",
        "x",
        &asked.query["nonce"],
        &format!("{}=", asked.query["state"]),
    ] {
        let target = format!("/oidc/work/callback?code=c&state={state}");
        let answer = from_elsewhere(&mut victim, &target).await;
        assert_refused(&victim, &answer, "wrong_state", state);
    }
    // The provider was not asked, and what is under way goes on.
    assert_eq!(site.provider.got("/token").len(), before);
    assert!(victim.cookies.contains_key(FLOW));
    assert_eq!(from_elsewhere(&mut victim, &own).await.status, 200);
    assert!(victim.cookies.contains_key(LOGIN));
}

#[tokio::test]
async fn an_answer_is_good_once() {
    let site = linked().await;
    let mut browser = site.browser();
    let (asked, back) = good(&site, &mut browser).await;
    let flow = browser.cookies[FLOW].clone();
    assert_eq!(from_elsewhere(&mut browser, &back).await.status, 200);
    // The same once more, as from the history of a browser.
    let mut other = site.browser();
    let answer = from_elsewhere(&mut other, &back).await;
    assert_refused(&other, &answer, "flow_missing", "without its cookie");
    other.cookies.insert(FLOW.to_owned(), flow.clone());
    let answer = from_elsewhere(&mut other, &back).await;
    assert_refused(&other, &answer, "flow_used", "the same code");
    // Even where a provider gives something for the same question again.
    let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
    other.cookies.insert(FLOW.to_owned(), flow);
    let answer = from_elsewhere(&mut other, &back).await;
    assert_refused(&other, &answer, "flow_used", "a code of its own");
}

#[tokio::test]
async fn a_sign_in_takes_ten_minutes_at_most_and_ends_with_its_cookie() {
    let site = linked().await;
    let mut browser = site.browser();
    let (_, back) = good(&site, &mut browser).await;
    site.actors.world.clock.turn(Duration::from_secs(600));
    let answer = from_elsewhere(&mut browser, &back).await;
    assert_refused(&browser, &answer, "flow_expired", "late");
    assert!(!browser.cookies.contains_key(FLOW));
    let (_, back) = good(&site, &mut browser).await;
    let own = browser.cookies[FLOW].clone();
    for (what, cookie) in [
        ("changed", format!("B{}", &own[1..])),
        ("cut", own[1..].to_owned()),
        ("longer", format!("{own}A")),
        ("padded", format!("{own}=")),
        ("another", "A".repeat(own.len())),
    ] {
        browser.cookies.insert(FLOW.to_owned(), cookie);
        let answer = from_elsewhere(&mut browser, &back).await;
        assert_refused(&browser, &answer, "flow_unknown", what);
    }
    // Of two cookies none is one.
    let mut sent = browser.sent("GET", &back, &[]);
    let twice = format!("{FLOW}={own}; {FLOW}={own}");
    sent.headers.push(("cookie".to_owned(), twice));
    let answer = browser.send(&sent).await;
    assert_refused(&browser, &answer, "flow_missing", "two cookies");
}

/// What one provider answers is none of another's (RFC 9700 §4.4).
#[tokio::test]
async fn providers_are_not_mixed_up() {
    let site = linked().await;
    let mut browser = site.browser();
    let (_, back) = good(&site, &mut browser).await;
    let before = site.provider.got("/token").len();
    let elsewhere = back.replace("/oidc/work/", "/oidc/home/");
    let answer = from_elsewhere(&mut browser, &elsewhere).await;
    assert_refused(
        &browser,
        &answer,
        "flow_unknown",
        "at another provider's place",
    );
    for (what, iss) in [
        ("of another", "https://evil.example".to_owned()),
        ("with a slash", format!("{}/", site.provider.url)),
        ("of nobody", String::new()),
    ] {
        let (_, back) = good(&site, &mut browser).await;
        let answer = from_elsewhere(&mut browser, &format!("{back}&iss={iss}")).await;
        assert_refused(&browser, &answer, "iss_wrong", what);
    }
    // Who says that it says so has to (RFC 9207).
    site.provider.change(|state| {
        state.metadata["authorization_response_iss_parameter_supported"] = json!(true);
    });
    site.actors.world.clock.turn(Duration::from_secs(60 * 60));
    let (_, back) = good(&site, &mut browser).await;
    let answer = from_elsewhere(&mut browser, &back).await;
    assert_refused(&browser, &answer, "iss_missing", "without it");
    assert_eq!(site.provider.got("/token").len(), before);
    let (_, back) = good(&site, &mut browser).await;
    let named = format!("{back}&iss={}", site.provider.url);
    assert_eq!(from_elsewhere(&mut browser, &named).await.status, 200);
}

#[tokio::test]
async fn what_the_provider_refuses_or_sends_twice_signs_nobody_in() {
    let site = linked().await;
    let mut browser = site.browser();
    for (query, reason) in [
        (
            "error=access_denied&error_description=%3Cscript%3E",
            "provider_refused",
        ),
        ("error=login_required&code=c", "provider_refused"),
        ("", "answer_malformed"),
        ("code=", "answer_malformed"),
        ("code=c&code=d", "answer_malformed"),
        ("code=c&state=x", "answer_malformed"),
        ("code=nobody-gave-it", "code_refused"),
    ] {
        let asked = site.begins(&mut browser, "").await;
        let state = &asked.query["state"];
        let target = format!("/oidc/work/callback?state={state}&{query}");
        let answer = from_elsewhere(&mut browser, &target).await;
        assert_refused(&browser, &answer, reason, query);
        assert!(!answer.text().contains("script&#62;") && !browser.cookies.contains_key(FLOW));
    }
    // Looking at the head uses nothing up.
    let (_, back) = good(&site, &mut browser).await;
    let head = browser.sent("HEAD", &back, &[]);
    assert_eq!(browser.send(&head).await.status, 405);
    assert_eq!(from_elsewhere(&mut browser, &back).await.status, 200);
}

#[tokio::test]
async fn every_token_that_is_not_right_is_refused_for_what_is_wrong() {
    let site = linked().await;
    let mut browser = site.browser();
    let other = SigningKey::generate_p256(&SystemEntropy).unwrap();
    let now = site.actors.world.now().as_secs();
    let es256 = json!({"alg": "ES256", "kid": "k1"});
    for (name, value, reason) in [
        (
            "iss",
            json!("https://evil.example"),
            "id_token_wrong_issuer",
        ),
        ("aud", json!("another"), "id_token_wrong_audience"),
        (
            "aud",
            json!(["procura", "another"]),
            "id_token_wrong_audience",
        ),
        ("azp", json!("another"), "id_token_wrong_azp"),
        ("nonce", json!("another"), "id_token_wrong_nonce"),
        ("nonce", json!(null), "id_token_wrong_nonce"),
        ("exp", json!(now - 60), "id_token_expired"),
        ("iat", json!(now - 700), "id_token_too_old"),
        ("iat", json!(now + 61), "id_token_not_yet"),
        (
            "at_hash",
            json!("AAAAAAAAAAAAAAAAAAAAAA"),
            "id_token_at_hash",
        ),
        ("auth_time", json!(now - 13 * 60 * 60), "id_token_not_anew"),
        ("sub", json!(7), "id_token_claims"),
        ("groups", json!({"ops": true}), "id_token_claims"),
    ] {
        let asked = site.begins(&mut browser, "").await;
        let mut claims = site.claims(&asked, "anna-7");
        claims[name] = value;
        let back = site.answers(&asked, &claims);
        let answer = from_elsewhere(&mut browser, &back).await;
        assert_refused(
            &browser,
            &answer,
            reason,
            &format!("{name} {}", claims[name]),
        );
    }
    for (key, header, reason) in [
        (&other, &es256, "id_token_bad_signature"),
        (
            &site.provider.key,
            &json!({"alg": "none"}),
            "id_token_algorithm",
        ),
        (
            &site.provider.key,
            &json!({"alg": "HS256", "kid": "k1"}),
            "id_token_algorithm",
        ),
        (
            &site.provider.key,
            &json!({"alg": "RS256", "kid": "k1"}),
            "id_token_algorithm",
        ),
        (
            &site.provider.key,
            &json!({"alg": "ES256", "kid": "k1", "crit": ["x"]}),
            "id_token_header",
        ),
        (
            &other,
            &json!({"alg": "ES256", "kid": "k2", "jwk": jwk(&other, "k2")}),
            "id_token_unknown_key",
        ),
    ] {
        let asked = site.begins(&mut browser, "").await;
        let claims = site.claims(&asked, "anna-7");
        let code = site
            .provider
            .grant(&asked.query, token(key, header, &claims));
        let answer = from_elsewhere(&mut browser, &asked.returned(&code)).await;
        assert_refused(&browser, &answer, reason, &header.to_string());
    }
    // A MAC by what everybody knows of the provider, and by what only it and we know.
    let header = json!({"alg": "HS256", "kid": "k1"}).to_string();
    let public = site.provider.key.public().as_bytes();
    for secret in [public, SECRET.as_bytes()] {
        let asked = site.begins(&mut browser, "").await;
        let claims = site.claims(&asked, "anna-7").to_string();
        let message = format!(
            "{}.{}",
            b64url(header.as_bytes()),
            b64url(claims.as_bytes())
        );
        let tag = MacKey::from_bytes(secret)
            .unwrap()
            .sign(&[message.as_bytes()]);
        let id_token = format!("{message}.{}", b64url(&tag));
        let code = site.provider.grant(&asked.query, id_token);
        let answer = from_elsewhere(&mut browser, &asked.returned(&code)).await;
        assert_refused(&browser, &answer, "id_token_algorithm", "HS256");
    }
    let recorded = site.recorded().await;
    for reason in [
        "id_token_wrong_nonce",
        "id_token_bad_signature",
        "id_token_algorithm",
    ] {
        let found = recorded.iter().find(|row| row.0 == reason);
        assert_eq!(found.unwrap().1, "oidc/work", "{reason}");
    }
}

/// A code that was given for another question of the same provider's, injected into this
/// browser's way back: PKCE and the nonce are of the browser that asked.
#[tokio::test]
async fn a_code_of_somebody_elses_is_worth_nothing() {
    let site = linked().await;
    let (mut anna, mut mallory) = (site.browser(), site.browser());
    let theirs = site.begins(&mut mallory, "").await;
    let header = json!({"alg": "ES256", "kid": "k1"});
    let claims = site.claims(&theirs, "anna-7");
    let stolen = site
        .provider
        .grant(&theirs.query, token(&site.provider.key, &header, &claims));
    let own = site.begins(&mut anna, "").await;
    let answer = from_elsewhere(&mut anna, &own.returned(&stolen)).await;
    assert_refused(&anna, &answer, "code_refused", "another verifier");
    // A provider that does not look at PKCE still says for whom it made the token.
    let own = site.begins(&mut anna, "").await;
    let code = site
        .provider
        .grant(&own.query, token(&site.provider.key, &header, &claims));
    let answer = from_elsewhere(&mut anna, &own.returned(&code)).await;
    assert_refused(&anna, &answer, "id_token_wrong_nonce", "another nonce");
}

/// The button is a form of ours, and the place to come back to is one.
#[tokio::test]
async fn nobody_begins_from_elsewhere_or_comes_back_elsewhere() {
    let site = linked().await;
    let mut browser = site.browser();
    let csrf = browser.token("/sign-in").await;
    let fields = [("csrf", csrf.as_str()), ("next", "")];
    let mut sent = browser.form("/oidc/work", &fields);
    sent.set("sec-fetch-site", |_| "cross-site".to_owned());
    assert_eq!(browser.send(&sent).await.status, 403);
    assert_eq!(
        browser
            .post("/oidc/work", "x", &[("next", "")])
            .await
            .status,
        403
    );
    assert_eq!(browser.get("/oidc/work").await.status, 405);
    let answer = browser.post("/oidc/nobody", &csrf, &[("next", "")]).await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        browser
            .get("/oidc/nobody/callback?state=x&code=y")
            .await
            .status,
        404
    );
    let mut sent = browser.form("/oidc/work", &fields);
    sent.set("host", |_| "localhost:7310".to_owned());
    sent.set("origin", |_| "http://localhost:7310".to_owned());
    let answer = browser.send(&sent).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("<code>elsewhere</code>"));
    assert!(!browser.cookies.contains_key(FLOW));
    // And nobody is led to another site afterwards.
    for next in [
        "//evil.example",
        "https://evil.example",
        "/oidc/work/callback?code=x",
    ] {
        let asked = site.begins(&mut browser, next).await;
        let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
        let answer = from_elsewhere(&mut browser, &back).await;
        assert_eq!(answer.headers["refresh"], "0; url=/requests", "{next}");
    }
}

#[tokio::test]
async fn who_is_revoked_is_a_stranger() {
    let site = linked().await;
    site.link("bert", "bert-1").await;
    let bert = "/v1/operators/bert";
    site.actors.ok("alice", "DELETE", bert, Value::Null).await;
    let mut browser = site.browser();
    let answer = site.signs_in(&mut browser, "bert-1", json!({})).await;
    assert!(answer.text().contains("Not linked yet") && !browser.cookies.contains_key(LOGIN));
}
