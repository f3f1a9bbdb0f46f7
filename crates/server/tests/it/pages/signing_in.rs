//! Signing in and out, and where that leads.

use super::browser::{Browser, LOGIN, VISIT, served, token};
use super::{PASSWORD, Person};
use crate::world::Sent;
use http::StatusCode;
use procura_proof::sign::Signer;

#[tokio::test]
async fn whoever_signs_in_goes_on_to_where_they_wanted() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = Browser::new(&actors.world);
    let there = format!("/requests/shop/{}", actors.waiting[0]);
    let answer = browser.get(&there).await;
    assert_eq!(answer.status, 303);
    let to = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(to, format!("/sign-in?next={}", there.replace('/', "%2F")));
    let page = browser.get(&to).await;
    assert!(page.text().contains(&format!("value=\"{there}\"")));
    let csrf = token(&page);
    let code = anna.code();
    let typed = [
        ("next", there.as_str()),
        ("name", "anna"),
        ("password", PASSWORD),
        ("code", code.as_str()),
    ];
    let answer = browser.post("/sign-in", &csrf, &typed).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.headers["location"], there.as_str());
    let page = browser.get(&there).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("adam//scribe") && text.contains("<span>anna</span>"));
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    for next in [
        "//evil.example/requests",
        "https://evil.example",
        "/\\evil.example",
        "/v1/seal",
        "/requests\r\nlocation: x",
        "javascript:alert(1)",
    ] {
        let mut browser = Browser::new(&actors.world);
        let query = super::browser::encoded(&[("next", next)]);
        let page = browser.get(&format!("/sign-in?{query}")).await;
        assert_eq!(page.status, 200, "{next}");
        assert!(page.text().contains("name=\"next\" value=\"\""), "{next}");
        let csrf = token(&page);
        let code = anna.code();
        let typed = [
            ("next", next),
            ("name", "anna"),
            ("password", PASSWORD),
            ("code", code.as_str()),
        ];
        let answer = browser.post("/sign-in", &csrf, &typed).await;
        assert_eq!(answer.status, 303, "{next}: {}", answer.text());
        assert_eq!(answer.headers["location"], "/requests", "{next}");
    }
}

#[tokio::test]
async fn whoever_is_refused_learns_nothing_and_keeps_nothing() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let code = anna.code();
    for (name, password, code) in [
        ("anna", "wrong horse battery 7", code.as_str()),
        ("nobody", PASSWORD, code.as_str()),
        ("", "", ""),
    ] {
        let mut browser = Browser::new(&actors.world);
        let answer = browser.sign_in(name, password, code).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        let text = answer.text();
        assert!(text.contains("The name, the password or the code is wrong."));
        assert!(!browser.cookies.contains_key(LOGIN));
        for typed in [password, code].iter().filter(|typed| !typed.is_empty()) {
            assert!(!text.contains(*typed), "{name}");
        }
        // The form can be sent again as it is.
        assert!(text.contains("name=\"csrf\""));
        actors
            .world
            .clock
            .turn(procura_types::Duration::from_secs(60));
    }
}

/// A cookie that somebody planted is never taken over, neither as a web login nor as the
/// beginning of one.
#[tokio::test]
async fn a_planted_cookie_becomes_no_web_login() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut adam = Person::new(&actors, "adam").await;
    let adams = adam.browser(&actors.world).await;
    let planted = adams.cookies[LOGIN].clone();
    let mut browser = Browser::new(&actors.world);
    browser.cookies.insert(LOGIN.to_owned(), planted.clone());
    let visit = browser.get("/sign-in").await;
    assert_eq!(visit.status, 200);
    let before = browser.cookies[VISIT].clone();
    let code = anna.code();
    let answer = browser.sign_in("anna", PASSWORD, &code).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let own = browser.cookies[LOGIN].clone();
    assert!(own != planted && own != before && !browser.cookies.contains_key(VISIT));
    // What was before the sign-in is no web login.
    let mut stranger = Browser::new(&actors.world);
    stranger.cookies.insert(LOGIN.to_owned(), before);
    assert_eq!(stranger.get("/requests").await.status, 303);
    // Whose it was has it still.
    assert_eq!(adams.clone().get("/requests").await.status, 200);
    // Signing in again in the same browser ends what was there.
    let mut old = browser.clone();
    let code = anna.code();
    assert_eq!(browser.sign_in("anna", PASSWORD, &code).await.status, 303);
    assert_ne!(browser.cookies[LOGIN], own);
    let answer = old.get("/requests").await;
    assert_eq!(answer.status, 303);
    assert!(
        !old.cookies.contains_key(LOGIN),
        "the dead cookie is cleared"
    );
}

#[tokio::test]
async fn who_signs_out_is_out() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let mut copy = browser.clone();
    let csrf = browser.token("/requests").await;
    let answer = browser.post("/sign-out", &csrf, &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.headers["location"], "/sign-in");
    assert!(!browser.cookies.contains_key(LOGIN));
    // Whoever kept the cookie has nothing, and cannot send the form again.
    assert_eq!(
        copy.get("/requests").await.headers["location"],
        "/sign-in?next=%2Frequests"
    );
    let again = copy.post("/sign-out", &csrf, &[]).await;
    assert_eq!(again.headers["location"], "/sign-in");
}

/// What proves a device opens no page, and what proves a browser makes no call.
#[tokio::test]
async fn each_proof_is_for_its_own_door() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let browser = anna.browser(&actors.world).await;
    let now = actors.world.now();
    let signed = Sent::new("GET", "/requests", None);
    let signed = signed.signed(Signer::Device(actors.key("anna")), now);
    assert_eq!(actors.world.send(&signed).await.status, 303);
    for target in [
        "/v1/namespaces/shop/requests",
        "/v1/namespaces",
        "/v1/operators/anna/logins",
    ] {
        let answer = browser
            .clone()
            .send(&browser.sent("GET", target, &[]))
            .await;
        answer.expect("unauthorized", Some("missing_headers"), None, target);
    }
}

/// A link in a message is followed without the cookie of the web login; the page leads on
/// to itself, from where the browser brings it.
#[tokio::test]
async fn a_link_of_another_site_leads_on() {
    let actors = served().await;
    let target = format!("/requests/shop/{}", actors.waiting[0]);
    let mut browser = Browser::new(&actors.world);
    let from = |site: &str| {
        let mut sent = browser.sent("GET", &target, &[]);
        let field = ("sec-fetch-site".to_owned(), site.to_owned());
        sent.headers.push(field);
        sent
    };
    for site in ["cross-site", "same-site"] {
        let answer = actors.world.send(&from(site)).await;
        assert_eq!(answer.status, 200, "{site}");
        assert_eq!(
            answer.headers["refresh"],
            format!("0; url={target}").as_str()
        );
        assert!(!answer.text().contains("scribe"));
    }
    for site in ["same-origin", "none"] {
        let answer = actors.world.send(&from(site)).await;
        assert_eq!(answer.status, 303, "{site}");
    }
    let mut sent = from("cross-site");
    sent.target = "/requests//evil.example".to_owned();
    let answer = browser.send(&sent).await;
    assert!(!answer.headers.contains_key("refresh"));
}

/// A passkey is bound to a name: pages that were opened by another say where it can be
/// used, and offer nothing that fails.
#[tokio::test]
async fn passkeys_are_offered_where_they_can_be_used() {
    let actors = served().await;
    let mut browser = Browser::new(&actors.world);
    let page = browser.get("/sign-in").await.text();
    assert!(
        page.contains("href=\"http://localhost:7310/sign-in\""),
        "{page}"
    );
    assert!(!page.contains("data-ceremony"), "{page}");
    let mut sent = browser.sent("GET", "/sign-in", &[]);
    sent.set("host", |_| "localhost:7310".to_owned());
    let page = actors.world.send(&sent).await.text();
    assert!(page.contains("data-ceremony=\"sign-in\""), "{page}");
}
