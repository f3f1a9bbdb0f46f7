//! Forms that are none of ours change nothing, and each is refused for exactly what is
//! wrong with it.

use super::browser::{Browser, served};
use super::{PASSWORD, Person};
use crate::actors::Actors;
use crate::world::{Answer, Sent};
use serde_json::Value;

/// That a form was refused for this.
fn assert_refused(answer: &Answer, status: u16, code: &str, reason: Option<&str>, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{what}: {text}");
    assert!(
        text.contains(&format!("<code>{code}</code>")),
        "{what}: {text}"
    );
    if let Some(reason) = reason {
        let said = format!("<code>{reason}</code>");
        assert!(text.contains(&said), "{what}: {text}");
    }
    assert!(!answer.headers.contains_key("location"), "{what}");
}

fn field(sent: &mut Sent, name: &str, value: Option<&str>) {
    sent.headers.retain(|(found, _)| found != name);
    if let Some(value) = value {
        sent.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// The forms of whoever is signed in: each with the fields that it needs.
fn forms(actors: &Actors) -> Vec<(String, Vec<(&'static str, &'static str)>)> {
    let login = "01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11";
    vec![
        ("/sign-out".to_owned(), vec![]),
        (format!("/requests/shop/{}/deny", actors.waiting[0]), vec![]),
        (format!("/grants/shop/{}/withdraw", actors.grant), vec![]),
        (format!("/account/logins/{login}/end"), vec![]),
        ("/account/logins/end".to_owned(), vec![]),
        (
            format!("/account/passkeys/{}/remove", actors.device("anna")),
            vec![],
        ),
        (
            format!("/account/passkeys/{}/name", actors.device("anna")),
            vec![("name", "blue key")],
        ),
        ("/account/passkeys/invite".to_owned(), vec![]),
        (format!("/proposals/{login}/refuse"), vec![]),
        (
            "/device".to_owned(),
            vec![("user_code", "WDJB-MJHT"), ("namespace", "shop")],
        ),
        (
            "/device/deny".to_owned(),
            vec![("user_code", "WDJB-MJHT"), ("namespace", "shop")],
        ),
        (
            "/device/approve".to_owned(),
            vec![
                ("user_code", "WDJB-MJHT"),
                ("namespace", "shop"),
                ("agent", "scribe"),
                ("answer", "{}"),
            ],
        ),
    ]
}

/// What is wrong with a form that is good otherwise, and the reason that is told.
type Wrong = (&'static str, fn(&mut Sent), &'static str);

const WRONG: [Wrong; 9] = [
    (
        "from another site",
        |sent| field(sent, "sec-fetch-site", Some("cross-site")),
        "cross_site",
    ),
    (
        "from a neighbour",
        |sent| field(sent, "sec-fetch-site", Some("same-site")),
        "cross_site",
    ),
    (
        "from nowhere",
        |sent| field(sent, "sec-fetch-site", Some("none")),
        "cross_site",
    ),
    (
        "of another origin",
        |sent| field(sent, "origin", Some("https://evil.example")),
        "other_origin",
    ),
    (
        "of another port",
        |sent| field(sent, "origin", Some("http://127.0.0.1:7311")),
        "other_origin",
    ),
    (
        "of the same over TLS",
        |sent| field(sent, "origin", Some("https://127.0.0.1:7310")),
        "other_origin",
    ),
    (
        "of another name of this machine",
        |sent| field(sent, "origin", Some("http://localhost:7310")),
        "other_origin",
    ),
    (
        "of no origin",
        |sent| field(sent, "origin", Some("null")),
        "other_origin",
    ),
    (
        "without an origin",
        |sent| field(sent, "origin", None),
        "other_origin",
    ),
];

#[tokio::test]
async fn what_no_page_of_ours_sent_changes_nothing() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    let token = browser.token("/account").await;
    let mut adam = Person::new(&actors, "adam").await;
    let others = adam.browser(&actors.world).await.token("/account").await;
    // From before the same person signed in, in the same browser.
    let before = Browser::new(&actors.world).token("/sign-in").await;
    // Of another web login of the same person.
    let second = anna.browser(&actors.world).await.token("/account").await;
    for (target, fields) in forms(&actors) {
        let good = [&[("csrf", token.as_str())], fields.as_slice()].concat();
        for (what, change, reason) in WRONG {
            let mut sent = browser.form(&target, &good);
            change(&mut sent);
            let answer = browser.send(&sent).await;
            let what = format!("{target} {what}");
            assert_refused(&answer, 403, "form_refused", Some(reason), &what);
        }
        let mut tokens = vec![("", "csrf_missing")];
        let cut = &token[1..];
        let longer = format!("{token}A");
        for other in [&others, &before, &second, cut, &longer, "x", "\u{202e}"] {
            tokens.push((other, "csrf_wrong"));
        }
        for (other, reason) in tokens {
            let answer = browser.post(&target, other, &fields).await;
            let what = format!("{target} with {other:?}");
            assert_refused(&answer, 403, "form_refused", Some(reason), &what);
        }
        let sent = browser.form(&target, &fields);
        let answer = browser.send(&sent).await;
        assert_refused(&answer, 403, "form_refused", Some("csrf_missing"), &target);
        unfit(&mut browser, &target, &good).await;
    }
    // All is as it was, and all of it is in the record.
    let shop = "/v1/namespaces/shop";
    let request = format!("{shop}/requests/{}", actors.waiting[0]);
    let request = actors.ok("anna", "GET", &request, Value::Null).await;
    assert_eq!(request["state"], "pending");
    let grant = format!("{shop}/grants/{}", actors.grant);
    let grant = actors.ok("anna", "GET", &grant, Value::Null).await;
    assert!(grant.get("withdrawn").is_none(), "{grant}");
    assert_eq!(browser.get("/account").await.status, 200);
    let open = actors.world.app.open().unwrap();
    open.recorder.drain_refusals().await;
    let entries = "/v1/ledger/entries?action=web_login.form&limit=1000";
    let entries = actors.ok("alice", "GET", entries, Value::Null).await;
    let text = entries.to_string();
    for reason in ["cross_site", "other_origin", "csrf_missing", "csrf_wrong"] {
        assert!(text.contains(reason), "{reason}");
    }
}

/// What is no form, or not the one of this page.
async fn unfit(browser: &mut Browser<'_>, target: &str, good: &[(&str, &str)]) {
    for more in [("other", "x"), ("Csrf", "x"), ("next", "/x"), ("csrf", "x")] {
        let fields = [good, &[more]].concat();
        let sent = browser.form(target, &fields);
        let answer = browser.send(&sent).await;
        let what = format!("{target} with {more:?}");
        assert_refused(&answer, 400, "malformed", None, &what);
    }
    let mut sent = browser.form(target, good);
    sent.target = format!("{target}?csrf=x");
    let answer = browser.send(&sent).await;
    assert_refused(&answer, 400, "malformed", None, target);
    for kind in [
        None,
        Some("text/plain"),
        Some("application/json"),
        Some("multipart/form-data; boundary=x"),
    ] {
        let mut sent = browser.form(target, good);
        field(&mut sent, "content-type", kind);
        let answer = browser.send(&sent).await;
        let what = format!("{target} as {kind:?}");
        assert_refused(&answer, 400, "malformed", Some("content-type"), &what);
    }
    let mut sent = browser.form(target, good);
    sent.body = vec![b'x'; 17 * 1024];
    let answer = browser.send(&sent).await;
    assert_refused(&answer, 413, "too_large", None, target);
}

#[tokio::test]
async fn nobody_is_signed_in_by_another_site() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let code = anna.code();
    let typed = [("name", "anna"), ("password", PASSWORD), ("code", &code)];
    let mut browser = Browser::new(&actors.world);
    let token = browser.token("/sign-in").await;
    let good = [&[("csrf", token.as_str())], &typed[..]].concat();
    for (what, change, reason) in WRONG {
        let mut sent = browser.form("/sign-in", &good);
        change(&mut sent);
        let answer = browser.send(&sent).await;
        assert_refused(&answer, 403, "form_refused", Some(reason), what);
    }
    // The form of another browser, of one that brings no cookie, and of one that brings two.
    let other = Browser::new(&actors.world).token("/sign-in").await;
    let answer = browser.post("/sign-in", &other, &typed).await;
    assert_refused(&answer, 403, "form_refused", Some("csrf_wrong"), "another");
    let mut bare = Browser::new(&actors.world);
    let answer = bare.post("/sign-in", &token, &typed).await;
    assert_refused(&answer, 403, "form_refused", Some("no_visit"), "bare");
    let visit = browser.cookies["procura-visit"].clone();
    for planted in [
        format!("procura-visit={visit}; procura-visit={visit}"),
        "procura-visit=short".to_owned(),
        "procura-visit=".to_owned(),
        format!("__Host-procura-visit={visit}"),
    ] {
        let mut sent = browser.form("/sign-in", &good);
        field(&mut sent, "cookie", Some(&planted));
        let answer = browser.clone().send(&sent).await;
        assert_refused(&answer, 403, "form_refused", Some("no_visit"), &planted);
    }
    unfit_sign_in(&mut browser, &good).await;
    // None of that used the code up.
    let answer = browser.post("/sign-in", &token, &typed).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

async fn unfit_sign_in(browser: &mut Browser<'_>, good: &[(&str, &str)]) {
    for more in [("other", "x"), ("name", "adam"), ("password", "x")] {
        let fields = [good, &[more]].concat();
        let sent = browser.form("/sign-in", &fields);
        let answer = browser.send(&sent).await;
        assert_refused(&answer, 400, "malformed", None, &format!("{more:?}"));
    }
}
