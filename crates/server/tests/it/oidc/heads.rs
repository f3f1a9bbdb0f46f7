//! What stands in the head of each page on the way to a provider and back: what they show
//! (a link proof, a subject, a way there that counts once) is kept by nobody.

use super::{Site, from_elsewhere};
use crate::pages::assert_protected;
use procura_types::Duration;
use serde_json::json;

#[tokio::test]
async fn every_page_of_a_sign_in_by_a_provider_is_protected() {
    let site = Site::new().await;
    let mut browser = site.browser();
    let csrf = browser.token("/sign-in").await;
    let fields = [("next", "/grants")];
    let go = browser.post("/oidc/work", &csrf, &fields).await;
    assert_eq!(go.status, 200, "{}", go.text());
    assert!(go.text().contains("Go on to Example Login"));
    assert_protected(&go, "on to the provider");

    let unlinked = site.signs_in(&mut browser, "anna-7", json!({})).await;
    assert_eq!(unlinked.status, 401);
    assert!(unlinked.text().contains("Not linked yet"));
    assert_protected(&unlinked, "nobody linked it");

    // What is no answer to anything, and what is none at all.
    for (target, status) in [
        ("/oidc/work/callback?code=c&state=s", 401),
        ("/oidc/work/callback?error=access_denied&state=s", 401),
        ("/oidc/nobody/callback?code=c&state=s", 404),
        ("/oidc/work", 405),
    ] {
        let refused = from_elsewhere(&mut browser, target).await;
        assert_eq!(refused.status, status, "{target}: {}", refused.text());
        assert_protected(&refused, target);
    }
    let csrf = browser.token("/sign-in").await;
    let unknown = browser.post("/oidc/nobody", &csrf, &fields).await;
    assert_eq!(unknown.status, 404);
    assert_protected(&unknown, "no such provider");
    let foreign = browser.post("/oidc/work", "x", &fields).await;
    assert_eq!(foreign.status, 403);
    assert_protected(&foreign, "a form of somebody else");

    site.link("anna", "anna-7").await;
    let on = site.signs_in(&mut browser, "anna-7", json!({})).await;
    assert_eq!(on.status, 200, "{}", on.text());
    assert_eq!(on.headers["refresh"], "0; url=/requests");
    assert_protected(&on, "signed in");

    // Whoever only looks at the head of it uses nothing up, and keeps nothing either.
    let sent = browser.sent("HEAD", "/oidc/work/callback?code=c&state=s", &[]);
    let head = browser.send(&sent).await;
    assert_eq!(head.status, 405);
    assert_eq!(head.headers["cache-control"], "no-store");
    assert!(head.headers.contains_key("content-security-policy") && head.body.is_empty());

    // What it said of itself counts for an hour.
    site.actors.world.clock.turn(Duration::from_secs(60 * 60));
    let path = "/.well-known/openid-configuration";
    site.provider.change(|state| {
        let gone = ("503 Service Unavailable", String::new());
        state.instead.insert(path, gone);
    });
    let mut browser = site.browser();
    let csrf = browser.token("/sign-in").await;
    let away = browser.post("/oidc/work", &csrf, &fields).await;
    assert_eq!(away.status, 502, "{}", away.text());
    assert_protected(&away, "the provider is away");
}
