//! What the script calls: from our pages alone, and what it is refused is told to it.

use super::Person;
use super::browser::{Browser, served};
use crate::world::Sent;
use serde_json::json;

/// What is wrong with a call that is good otherwise, and the reason that is told.
type Wrong = (&'static str, fn(&mut Sent), &'static str);

const WRONG: [Wrong; 5] = [
    (
        "from another site",
        |sent| sent.set("sec-fetch-site", |_| "cross-site".to_owned()),
        "cross_site",
    ),
    (
        "of another origin",
        |sent| sent.set("origin", |_| "https://evil.example".to_owned()),
        "other_origin",
    ),
    (
        "without a token",
        |sent| {
            sent.headers.retain(|(name, _)| name != "x-procura-csrf");
        },
        "csrf_missing",
    ),
    (
        "with two tokens",
        |sent| {
            let twice = ("x-procura-csrf".to_owned(), "x".to_owned());
            sent.headers.push(twice);
        },
        "csrf_missing",
    ),
    (
        "with another token",
        |sent| sent.set("x-procura-csrf", |_| "x".repeat(43)),
        "csrf_wrong",
    ),
];

fn call(browser: &Browser<'_>, target: &str, token: &str) -> Sent {
    let mut sent = browser.form(target, &[]);
    sent.set("content-type", |_| "application/json".to_owned());
    let field = ("x-procura-csrf".to_owned(), token.to_owned());
    sent.headers.push(field);
    sent.body = b"{}".to_vec();
    sent
}

#[tokio::test]
async fn the_script_of_another_site_calls_nothing() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut signed_in = anna.browser(&actors.world).await;
    let own = signed_in.token("/account").await;
    let mut visitor = Browser::new(&actors.world);
    let visit = visitor.token("/sign-in").await;
    let approve = format!("/requests/shop/{}/approve", actors.waiting[0]);
    let options = format!("{approve}/options");
    let remove = format!("/account/passkeys/{}/remove/options", actors.device("anna"));
    let sign = "/proposals/01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a01/sign";
    let draft = format!("{sign}/options");
    for (target, mine) in [
        ("/passkey/sign-in/options", false),
        ("/passkey/sign-in", false),
        ("/passkey/enrol/options", false),
        ("/passkey/enrol", false),
        ("/passkey/again/options", true),
        ("/passkey/again", true),
        ("/account/passkeys/invite/options", true),
        (remove.as_str(), true),
        ("/device/approve/options", true),
        (approve.as_str(), true),
        (options.as_str(), true),
        (sign, true),
        (draft.as_str(), true),
    ] {
        let (browser, token) = match mine {
            true => (&mut signed_in, &own),
            false => (&mut visitor, &visit),
        };
        for (what, change, reason) in WRONG {
            let mut sent = call(browser, target, token);
            change(&mut sent);
            let answer = browser.send(&sent).await;
            let what = format!("{target} {what}");
            answer.expect("form_refused", Some(reason), None, &what);
            assert!(answer.headers.contains_key("content-security-policy"));
        }
        // As a form, which other sites can send without asking.
        let mut sent = call(browser, target, token);
        sent.set("content-type", |_| "text/plain".to_owned());
        let answer = browser.send(&sent).await;
        answer.expect("malformed", None, Some("content-type"), target);
        let mut sent = call(browser, target, token);
        sent.body = vec![b' '; 17 * 1024];
        let answer = browser.send(&sent).await;
        answer.expect("too_large", None, None, target);
    }
    // Whoever is not signed in approves nothing.
    for target in [
        approve.as_str(),
        options.as_str(),
        sign,
        "/passkey/again",
        "/device/approve/options",
    ] {
        let answer = visitor.send(&call(&visitor, target, &visit)).await;
        answer.expect("unauthorized", Some("web_login_unknown"), None, target);
    }
}

/// Without a passkey there is nothing to show, and the request waits on.
#[tokio::test]
async fn who_has_no_passkey_approves_nothing_in_a_browser() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let token = browser.token("/account").await;
    let options = format!("/requests/shop/{}/approve/options", actors.waiting[0]);
    for target in [options.as_str(), "/passkey/again/options"] {
        let answer = browser.call(target, &token, &json!({})).await;
        answer.expect("conflict", Some("no_passkey"), None, target);
    }
    // One more passkey is for whoever signed in by one.
    let answer = browser.post("/account/passkeys/invite", &token, &[]).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let page = browser.get("/account").await.text();
    assert!(page.contains("procura operator passkey invite"), "{page}");
    assert!(!page.contains("/account/passkeys/invite"), "{page}");
}
