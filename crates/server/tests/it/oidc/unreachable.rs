//! Providers that cannot be used: where they must not be, that say what is not safe, that
//! change their keys, that do not answer. Nobody is signed in, nobody else waits, and what
//! went wrong is for the log alone.

use super::provider::{SECRET, jwk, token};
use super::{FLOW, Site, from_elsewhere};
use crate::pages::{Browser, LOGIN};
use crate::world::Answer;
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::Duration;
use serde_json::json;

async fn pressed(browser: &mut Browser<'_>) -> Answer {
    let csrf = browser.token("/sign-in").await;
    browser.post("/oidc/work", &csrf, &[("next", "")]).await
}

/// That it cannot be used now, without a word on why.
fn assert_away(answer: &Answer, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 502, "{what}: {text}");
    assert!(
        text.contains("<code>provider_unavailable</code>"),
        "{what}: {text}"
    );
    for word in ["127.0.0.1:", "10.0.0.1", SECRET, "networks"] {
        assert!(!text.contains(word), "{what} {word}: {text}");
    }
}

#[tokio::test]
async fn a_provider_is_where_it_may_be_and_its_documents_lead_nowhere_else() {
    let site = Site::with(|work| work.networks.clear()).await;
    let mut browser = site.browser();
    assert_away(
        &pressed(&mut browser).await,
        "a loopback address that nobody named",
    );
    assert!(
        site.provider
            .got("/.well-known/openid-configuration")
            .is_empty()
    );
    for name in [
        "token_endpoint",
        "jwks_uri",
        "pushed_authorization_request_endpoint",
    ] {
        let site = Site::new().await;
        site.link("anna", "anna-7").await;
        site.actors
            .world
            .clock
            .turn(Duration::from_secs(2 * 60 * 60));
        for inward in ["https://10.0.0.1/x", "https://169.254.169.254/latest"] {
            site.provider
                .change(|state| state.metadata[name] = json!(inward));
            site.actors
                .world
                .clock
                .turn(Duration::from_secs(2 * 60 * 60));
            let mut browser = site.browser();
            let answer = pressed(&mut browser).await;
            // What is pushed goes there at once; the others when somebody comes back.
            let answer = if answer.status == 200 {
                let asked = super::Asked::of(&answer);
                let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
                from_elsewhere(&mut browser, &back).await
            } else {
                answer
            };
            assert_away(&answer, &format!("{name} {inward}"));
            assert!(!browser.cookies.contains_key(LOGIN), "{name}");
        }
    }
}

#[tokio::test]
async fn a_description_that_is_of_another_or_unsafe_is_none() {
    let evil = "https://evil.example";
    for (name, value) in [
        ("issuer", json!(evil)),
        ("token_endpoint", json!("http://10.0.0.1/token")),
        ("code_challenge_methods_supported", json!(["plain"])),
        ("id_token_signing_alg_values_supported", json!(["HS256"])),
        ("response_types_supported", json!(["id_token"])),
    ] {
        let site = Site::new().await;
        site.provider.change(|state| state.metadata[name] = value);
        assert_away(&pressed(&mut site.browser()).await, name);
    }
    for (status, body) in [
        ("302 Found", String::new()),
        ("500 Internal Server Error", "{}".to_owned()),
        ("200 OK", "<html>".to_owned()),
        ("200 OK", "x".repeat(65 * 1024)),
    ] {
        let site = Site::new().await;
        let what = format!("{status} {body:.10}");
        site.provider.change(|state| {
            let path = "/.well-known/openid-configuration";
            state.instead.insert(path, (status, body));
        });
        assert_away(&pressed(&mut site.browser()).await, &what);
    }
}

/// A crowd at the button of a provider that is gone costs one question in some seconds.
#[tokio::test]
async fn one_that_does_not_answer_is_left_alone_for_a_while() {
    let site = Site::new().await;
    let path = "/.well-known/openid-configuration";
    let gone = ("503 Service Unavailable", String::new());
    site.provider.change(|state| {
        state.instead.insert(path, gone);
    });
    let mut browser = site.browser();
    for _ in 0..5 {
        assert_away(&pressed(&mut browser).await, "gone");
    }
    assert_eq!(site.provider.got(path).len(), 1);
    site.provider.change(|state| state.instead.clear());
    site.actors.world.clock.turn(Duration::from_secs(5));
    assert_eq!(pressed(&mut browser).await.status, 200);
    // What it says counts for an hour.
    for _ in 0..3 {
        assert_eq!(pressed(&mut browser).await.status, 200);
    }
    assert_eq!(site.provider.got(path).len(), 2);
    site.actors.world.clock.turn(Duration::from_secs(60 * 60));
    assert_eq!(pressed(&mut browser).await.status, 200);
    assert_eq!(site.provider.got(path).len(), 3);
}

#[tokio::test]
async fn keys_that_turn_are_found_and_strangers_have_none_fetched() {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    let fetched = || site.provider.got("/keys").len();
    assert_eq!(fetched(), 1);
    let next = SigningKey::generate_p256(&SystemEntropy).unwrap();
    site.provider
        .change(|state| state.keys.push(jwk(&next, "k2")));
    let sign = async |key: &SigningKey, kid: &str| {
        let mut browser = site.browser();
        let asked = site.begins(&mut browser, "").await;
        let claims = site.claims(&asked, "anna-7");
        let header = json!({"alg": "ES256", "kid": kid});
        let code = site
            .provider
            .grant(&asked.query, token(key, &header, &claims));
        from_elsewhere(&mut browser, &asked.returned(&code)).await
    };
    assert_eq!(sign(&next, "k2").await.status, 200);
    assert_eq!(fetched(), 2);
    // What names other keys has none looked for within a minute, however many come.
    let other = SigningKey::generate_p256(&SystemEntropy).unwrap();
    for number in 3..8 {
        let answer = sign(&other, &format!("k{number}")).await;
        assert!(answer.text().contains("id_token_unknown_key"), "{number}");
    }
    assert_eq!(fetched(), 2);
    site.actors.world.clock.turn(Duration::from_secs(60));
    assert_eq!(sign(&other, "k9").await.status, 401);
    assert_eq!(fetched(), 3);
    // One that was taken away is believed no longer than a quarter of an hour.
    site.provider.change(|state| state.keys.truncate(1));
    site.actors.world.clock.turn(Duration::from_secs(15 * 60));
    assert_eq!(sign(&next, "k2").await.status, 401);
}

#[tokio::test]
async fn a_token_endpoint_that_fails_is_a_failure_and_no_refusal() {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    let bearer = json!({"id_token": "x", "access_token": "y", "token_type": "DPoP"});
    for (status, body) in [
        (
            "500 Internal Server Error",
            json!({"error": "invalid_grant"}),
        ),
        ("401 Unauthorized", json!({"error": "invalid_client"})),
        ("302 Found", json!({})),
        ("200 OK", json!({})),
        ("200 OK", json!([])),
        ("200 OK", json!({"id_token": "x", "token_type": "Bearer"})),
        ("200 OK", bearer),
    ] {
        let what = format!("{status} {body}");
        let mut browser = site.browser();
        let asked = site.begins(&mut browser, "").await;
        site.provider.change(|state| {
            state.instead.insert("/token", (status, body.to_string()));
        });
        let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
        let answer = from_elsewhere(&mut browser, &back).await;
        assert_away(&answer, &what);
        assert!(!browser.cookies.contains_key(FLOW) && !browser.cookies.contains_key(LOGIN));
    }
}
