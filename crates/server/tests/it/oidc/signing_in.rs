//! From the button to the web login, and from a stranger to somebody who is linked.

use super::provider::SECRET;
use super::{ACCESS, CLIENT, FLOW, Site, from_elsewhere, link_proof, proof_in};
use crate::actors::Actors;
use crate::pages::{LOGIN, ORIGIN};
use procura_crypto::sha256;
use procura_types::Duration;
use procura_types::encoding::b64url;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_provider_has_a_button_that_needs_no_script() {
    let site = Site::new().await;
    let mut browser = site.browser();
    let page = browser.get("/sign-in?next=%2Fgrants").await.text();
    for words in [
        "<form method=\"post\" action=\"/oidc/work\">",
        "Sign in with Example Login",
        "action=\"/oidc/home\"",
        "Sign in with home",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.matches("name=\"next\" value=\"/grants\"").count(), 3);
    // By another name of this machine nobody would come back to the cookie.
    let mut sent = browser.sent("GET", "/sign-in", &[]);
    sent.set("host", |_| "localhost:7310".to_owned());
    let page = site.actors.world.send(&sent).await.text();
    assert!(!page.contains("action=\"/oidc/") && page.contains(&format!("{ORIGIN}/sign-in")));
}

#[tokio::test]
async fn what_a_provider_is_asked_is_what_the_standards_say() {
    let site = Site::new().await;
    let mut browser = site.browser();
    let asked = site.begins(&mut browser, "/grants").await;
    assert!(
        asked
            .url
            .starts_with(&format!("{}/auth?", site.provider.url))
    );
    let query = |name: &str| asked.query[name].as_str();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "http://127.0.0.1:7310/oidc/work/callback"),
        ("scope", "openid"),
        ("code_challenge_method", "S256"),
        ("max_age", "43200"),
    ] {
        assert_eq!(query(name), value, "{name}");
    }
    assert_eq!(asked.query.len(), 9);
    // Nothing is asked twice in the same way.
    let again = site.begins(&mut browser, "").await;
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(query(name).len(), 43, "{name}");
        assert_ne!(query(name), again.query[name], "{name}");
    }
    // The cookie comes back from elsewhere, and no script and no neighbour sees it.
    let csrf = browser.token("/sign-in").await;
    let answer = browser.post("/oidc/work", &csrf, &[("next", "")]).await;
    let field = answer.headers["set-cookie"].to_str().unwrap();
    let (pair, rest) = field.split_once(';').unwrap();
    assert!(pair.starts_with("procura-oidc="), "{field}");
    assert_eq!(rest, " Max-Age=600; Path=/; HttpOnly; SameSite=Lax");
    assert!(answer.text().contains("Go on to Example Login"));
}

#[tokio::test]
async fn a_stranger_is_linked_by_a_device_key_and_signed_in_from_then_on() {
    let site = Site::new().await;
    let mut browser = site.browser();
    let more = json!({"preferred_username": "Anna <b>", "email": "alice@example.com"});
    let answer = site.signs_in(&mut browser, "anna-7", more).await;
    assert_eq!(answer.status, 401);
    let text = answer.text();
    for words in [
        "Not linked yet",
        "Anna &#60;b&#62;",
        "anna-7",
        "procura operator oidc link",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!browser.cookies.contains_key(LOGIN) && !browser.cookies.contains_key(FLOW));
    let proof = proof_in(&answer);
    let target = "/v1/operators/anna/identities";
    let body = json!({"proof": proof});
    let linked = site.actors.ok("anna", "POST", target, body).await;
    assert_eq!(linked["subject"], "anna-7");
    assert_eq!(linked["issuer"], site.provider.url);
    assert_eq!(linked["called"], "Anna <b>");

    // On to where they wanted, in a page that leads on: the web login's cookie is strict.
    let asked = site.begins(&mut browser, "/grants").await;
    let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
    let answer = from_elsewhere(&mut browser, &back).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["refresh"], "0; url=/grants");
    assert!(browser.cookies.contains_key(LOGIN) && !browser.cookies.contains_key(FLOW));
    let page = browser.get("/grants").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<span>anna</span>"));
    let target = "/v1/operators/anna/logins";
    let logins = site.actors.ok("anna", "GET", target, Value::Null).await;
    assert_eq!(logins["logins"][0]["amr"], "oidc");

    // What went to the provider, and what did not.
    let got = site.provider.got("/token");
    let last = got.last().unwrap();
    assert_eq!(
        last.form["redirect_uri"],
        format!("{ORIGIN}/oidc/work/callback")
    );
    let challenge = b64url(&sha256(last.form["code_verifier"].as_bytes()));
    assert_eq!(challenge, asked.query["code_challenge"]);
    assert!(last.authorization.is_some() && !last.form.contains_key("client_secret"));
    // What is secret is in no row of the record.
    let entries = "/v1/ledger/entries?limit=1000";
    let entries = site
        .actors
        .ok("alice", "GET", entries, Value::Null)
        .await
        .to_string();
    let code = back.split(['=', '&']).nth(1).unwrap();
    for secret in [
        SECRET,
        ACCESS,
        code,
        &asked.query["state"],
        &asked.query["nonce"],
    ] {
        assert!(!entries.contains(secret), "{secret}");
    }
    let recorded = site.recorded().await;
    let id = linked["id"].as_str().unwrap();
    let about = format!("oidc/work identity/{id}");
    assert!(
        recorded.contains(&("not_linked".to_owned(), about.clone())),
        "{recorded:?}"
    );
    assert!(
        recorded.contains(&(String::new(), format!("operator/anna {about}"))),
        "{recorded:?}"
    );
}

#[tokio::test]
async fn a_secret_goes_into_the_body_where_the_provider_says_so() {
    let site = Site::new().await;
    site.provider.change(|state| {
        state.metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    });
    let answer = site
        .signs_in(&mut site.browser(), "anna-7", json!({}))
        .await;
    assert_eq!(answer.status, 401);
    let got = site.provider.got("/token").pop().unwrap();
    assert!(got.authorization.is_none() && got.form["client_secret"] == SECRET);
    assert_eq!(got.form["client_id"], CLIENT);
}

/// RFC 9126: what is asked goes to the provider, and the browser brings its name.
#[tokio::test]
async fn what_is_asked_is_pushed_where_the_provider_takes_it() {
    let site = Site::new().await;
    site.provider.change(|state| {
        let at = format!("{}/par", state.metadata["issuer"].as_str().unwrap());
        state.metadata["pushed_authorization_request_endpoint"] = json!(at);
    });
    let asked = site.begins(&mut site.browser(), "").await;
    let expected = BTreeMap::from([
        ("client_id".to_owned(), CLIENT.to_owned()),
        ("request_uri".to_owned(), "urn:x:1".to_owned()),
    ]);
    assert_eq!(asked.query, expected);
    let got = site.provider.got("/par").pop().unwrap();
    assert!(got.authorization.is_some());
    for name in [
        "state",
        "nonce",
        "code_challenge",
        "redirect_uri",
        "scope",
        "max_age",
    ] {
        assert!(got.form.contains_key(name), "{name}");
    }
    assert_eq!(got.form["response_type"], "code");
}

/// A sign-in at the provider of before proves nothing anew.
#[tokio::test]
async fn who_is_signed_in_proves_it_anew_there() {
    let site = Site::new().await;
    site.link("anna", "anna-7").await;
    site.link("adam", "adam-1").await;
    let mut browser = site.browser();
    let answer = site.signs_in(&mut browser, "anna-7", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let first = browser.cookies[LOGIN].clone();
    site.actors.world.clock.turn(Duration::from_secs(600));
    let asked = site.begins(&mut browser, "").await;
    assert_eq!(
        (&*asked.query["max_age"], &*asked.query["prompt"]),
        ("0", "login")
    );
    // It was a while ago.
    let mut claims = site.claims(&asked, "anna-7");
    claims["auth_time"] = json!(claims["iat"].as_u64().unwrap() - 600);
    let back = site.answers(&asked, &claims);
    assert_eq!(from_elsewhere(&mut browser, &back).await.status, 401);
    // It is somebody else.
    let asked = site.begins(&mut browser, "").await;
    let back = site.answers(&asked, &site.claims(&asked, "adam-1"));
    assert_eq!(from_elsewhere(&mut browser, &back).await.status, 401);
    assert_eq!(browser.cookies[LOGIN], first);
    let asked = site.begins(&mut browser, "").await;
    let back = site.answers(&asked, &site.claims(&asked, "anna-7"));
    assert_eq!(from_elsewhere(&mut browser, &back).await.status, 200);
    assert_ne!(browser.cookies[LOGIN], first);
    // The one of before is over.
    let mut old = site.browser();
    old.cookies.insert(LOGIN.to_owned(), first);
    assert_eq!(old.get("/requests").await.status, 303);
    let reasons: Vec<String> = site.recorded().await.into_iter().map(|row| row.0).collect();
    assert!(
        reasons.contains(&"id_token_not_anew".to_owned()),
        "{reasons:?}"
    );
    assert!(reasons.contains(&"other_user".to_owned()), "{reasons:?}");
}

#[tokio::test]
async fn a_link_ends_with_its_web_logins_by_its_operator_or_a_steward() {
    let site = Site::new().await;
    for by in ["anna", "alice"] {
        let linked = site.link("anna", "anna-7").await;
        let mut browser = site.browser();
        site.signs_in(&mut browser, "anna-7", json!({})).await;
        assert_eq!(browser.get("/requests").await.status, 200);
        let one = format!(
            "/v1/operators/anna/identities/{}",
            linked["id"].as_str().unwrap()
        );
        let list = "/v1/operators/anna/identities";
        let found = site.actors.ok(by, "GET", list, Value::Null).await;
        assert_eq!(found["identities"], json!([linked]));
        site.actors.ok(by, "DELETE", &one, Value::Null).await;
        assert_eq!(browser.get("/requests").await.status, 303);
        let answer = site.signs_in(&mut browser, "anna-7", json!({})).await;
        assert!(answer.text().contains("Not linked yet"));
        let gone = site
            .actors
            .world
            .call(site.actors.key(by), "DELETE", &one, None)
            .await;
        gone.expect("not_found", None, None, by);
    }
}

#[tokio::test]
async fn a_link_proof_is_for_ten_minutes_for_whose_key_it_is_and_for_one() {
    let actors = Actors::new().await;
    let target = "/v1/operators/otto/identities";
    let post = async |by: &str, proof: &str| {
        let body = json!({"proof": proof});
        let key = actors.key(by);
        actors.world.call(key, "POST", target, Some(&body)).await
    };
    let proof = link_proof(&actors, "otto-1");
    for by in ["adam", "alice", "scribe"] {
        post(by, &proof).await.expect("not_found", None, None, by);
    }
    let (body, seal) = proof.split_once('.').unwrap();
    let unknown = Some("proof_unknown");
    for bad in [
        "",
        "x",
        body,
        &format!("{body}.{}", &seal[1..]),
        &format!("{body}a.{seal}"),
    ] {
        post("otto", bad)
            .await
            .expect("oidc_refused", unknown, None, bad);
    }
    let late = link_proof(&actors, "otto-2");
    actors.world.clock.turn(Duration::from_secs(600));
    let expired = Some("proof_expired");
    post("otto", &late)
        .await
        .expect("oidc_refused", expired, None, "late");
    let proof = link_proof(&actors, "otto-1");
    assert_eq!(post("otto", &proof).await.status, 201);
    let target = "/v1/operators/adam/identities";
    let body = json!({"proof": proof});
    let taken = actors
        .world
        .call(actors.key("adam"), "POST", target, Some(&body))
        .await;
    taken.expect("conflict", Some("identity_taken"), None, "of another");
    let list = "/v1/ledger/entries?action=operator.oidc.link&limit=100";
    let entries = actors
        .ok("alice", "GET", list, Value::Null)
        .await
        .to_string();
    for reason in [
        "not_own",
        "proof_unknown",
        "proof_expired",
        "identity_taken",
    ] {
        assert!(entries.contains(reason), "{reason}: {entries}");
    }
    assert!(!entries.contains(proof.split('.').next().unwrap()));
}
