//! What stands in the head of every answer that a browser shows.

use super::browser::{Browser, LOGIN, ORIGIN, VISIT, served};
use super::{PASSWORD, Person};
use crate::actors::Actors;
use crate::world::{Answer, World};
use procura_server::Web;
use procura_types::RateLimit;

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; script-src 'self'; connect-src 'self'";

/// That an answer has all that a page needs, and nothing inline.
pub(crate) fn assert_protected(answer: &Answer, what: &str) {
    let field = |name: &str| {
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{what}: {name}");
        values[0].to_str().unwrap().to_owned()
    };
    assert_eq!(field("content-security-policy"), POLICY, "{what}");
    assert_eq!(field("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(field("x-frame-options"), "DENY", "{what}");
    assert_eq!(field("referrer-policy"), "same-origin", "{what}");
    assert_eq!(field("cross-origin-opener-policy"), "same-origin", "{what}");
    assert_eq!(
        field("cross-origin-resource-policy"),
        "same-origin",
        "{what}"
    );
    assert!(field("permissions-policy").contains("camera=()"), "{what}");
    let text = answer.text();
    for inline in ["<style", " style=", "<script>", "javascript:", " onclick="] {
        assert!(!text.contains(inline), "{what}: {inline}");
    }
    let cached = field("cache-control");
    if what.contains("/assets/") && answer.status == 200 {
        assert_eq!(cached, "no-cache", "{what}");
    } else {
        assert_eq!(cached, "no-store", "{what}");
        assert!(field("content-type").starts_with("text/html"), "{what}");
        assert!(answer.headers.contains_key("x-request-id"), "{what}");
    }
}

/// Pages, and what is refused on the way to them.
fn targets(actors: &Actors) -> Vec<(&'static str, String, u16)> {
    let waiting = &actors.waiting[0];
    let get = |target: &str, status| ("GET", target.to_owned(), status);
    vec![
        get("/", 303),
        get("/requests", 200),
        get("/requests?namespace=shop", 200),
        get(&format!("/requests/shop/{waiting}"), 200),
        get("/grants", 200),
        get("/alarms", 200),
        get("/proposals", 403),
        get("/account", 200),
        get("/device", 200),
        get("/sign-in", 200),
        get("/passkey/enrol", 200),
        get("/assets/style.css", 200),
        get("/assets/passkey.js", 200),
        get("/assets/icon.svg", 200),
        get("/assets/other.css", 404),
        get("/requests/shop", 404),
        get("/requests/shop/7", 400),
        get("/requests/Shop/01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11", 400),
        get("/requests/shop/01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11", 404),
        get("/requests?x=1", 400),
        get("/requests?namespace=bank", 404),
        get("/requests?namespace=shop&namespace=shop", 400),
        get("/alarms?before=x", 400),
        get("/account/nothing", 404),
        ("DELETE", "/requests".to_owned(), 405),
        ("POST", "/requests".to_owned(), 405),
        ("GET", "/sign-out".to_owned(), 405),
        ("PUT", "/assets/style.css".to_owned(), 405),
        ("POST", "/sign-out".to_owned(), 403),
        ("POST", "/sign-in".to_owned(), 403),
        ("POST", "/oidc/work".to_owned(), 403),
        ("GET", "/oidc/work".to_owned(), 405),
        ("POST", format!("/requests/shop/{waiting}/deny"), 403),
        (
            "POST",
            "/proposals/01997a3e-5a6c-7d21-9d0e-3f6f2f6f0a11/refuse".to_owned(),
            403,
        ),
    ]
}

#[tokio::test]
async fn every_answer_is_protected() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let browser = anna.browser(&actors.world).await;
    for (method, target, status) in targets(&actors) {
        let sent = browser.sent(method, &target, &[]);
        let what = format!("{method} {target}");
        let answer = browser.clone().send(&sent).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        if target != "/" {
            assert_protected(&answer, &what);
        }
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "{what}");
        }
        let head = browser.sent("HEAD", &target, &[]);
        if method == "GET" {
            let answer = browser.clone().send(&head).await;
            assert_eq!(answer.status, status, "HEAD {target}");
            assert!(answer.body.is_empty(), "HEAD {target}");
            assert!(answer.headers.contains_key("content-security-policy"));
        }
        // Whoever is not signed in sees nothing but where to do it.
        let mut stranger = Browser::new(&actors.world);
        let sent = stranger.sent(method, &target, &[]);
        let answer = stranger.send(&sent).await;
        let answers: [u16; 5] = [200, 303, 403, 404, 405];
        assert!(answers.contains(&answer.status.as_u16()), "{what}");
        // `aria-describedby` is no name.
        let text = answer.text().replace("describedby", "");
        assert!(!text.contains("scribe"), "{what}: {text}");
    }
}

#[tokio::test]
async fn what_comes_before_any_page_is_protected_too() {
    let actors = served().await;
    let mut browser = Browser::new(&actors.world);
    // Another name: whoever was led here by a name of their own sees nothing.
    let mut sent = browser.sent("GET", "/sign-in", &[]);
    sent.set("host", |_| "evil.example".to_owned());
    let answer = browser.send(&sent).await;
    assert_eq!(answer.status, 400);
    assert_protected(&answer, "another host");
    assert!(!answer.headers.contains_key("set-cookie"));
    // Where nobody serves anything a browser gets a page, and a program a problem.
    let mut sent = browser.sent("GET", "/nothing", &[]);
    let answer = browser.send(&sent).await;
    answer.expect("not_found", None, None, "a program");
    sent.headers
        .push(("accept".to_owned(), "text/html,*/*;q=0.8".to_owned()));
    let answer = browser.send(&sent).await;
    assert_eq!(answer.status, 404);
    assert_protected(&answer, "nothing");
    // A body that is too long is not read.
    let mut sent = browser.form("/sign-in", &[("name", &"x".repeat(17 * 1024))]);
    let answer = browser.send(&sent).await;
    assert_eq!(answer.status, 413);
    assert_protected(&answer, "too long");
    sent.headers
        .push(("content-length".to_owned(), "999999999".to_owned()));
    assert_eq!(browser.send(&sent).await.status, 413);
    actors.world.seal().await;
    let answer = browser.get("/requests").await;
    assert_eq!(answer.status, 503);
    assert_protected(&answer, "sealed");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(browser.get("/assets/style.css").await.status, 200);
}

#[tokio::test]
async fn who_asks_too_often_gets_a_page() {
    let world = World::standing(|config| {
        config.web = Web {
            enabled: true,
            origin: None,
        };
        config.rate_address = Some("1/s burst 3".parse::<RateLimit>().unwrap());
    });
    let mut browser = Browser::new(&world);
    let mut last = browser.get("/assets/style.css").await;
    for _ in 0..3 {
        last = browser.get("/sign-in").await;
    }
    assert_eq!(last.status, 429);
    assert_protected(&last, "too often");
    assert!(last.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_file_is_sent_once() {
    let actors = served().await;
    let mut browser = Browser::new(&actors.world);
    let answer = browser.get("/assets/style.css").await;
    assert_eq!(answer.headers["content-type"], "text/css; charset=utf-8");
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let mut sent = browser.sent("GET", "/assets/style.css", &[]);
    sent.headers.push(("if-none-match".to_owned(), tag));
    let answer = browser.send(&sent).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
}

/// The attributes of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> String {
    let lines = answer.headers.get_all("set-cookie").iter();
    let mut lines = lines.map(|line| line.to_str().unwrap());
    let mark = format!("{name}=");
    let line = lines.find(|line| line.starts_with(&mark));
    let line = line.unwrap_or_else(|| panic!("{name} is not set"));
    line.split_once(';').unwrap().1.to_owned()
}

#[tokio::test]
async fn cookies_are_for_this_server_alone() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = Browser::new(&actors.world);
    let page = browser.get("/sign-in").await;
    let flags = " Path=/; HttpOnly; SameSite=Strict";
    assert_eq!(cookie(&page, VISIT), flags);
    let code = anna.code();
    let answer = browser.sign_in("anna", PASSWORD, &code).await;
    assert_eq!(cookie(&answer, LOGIN), flags);
    assert!(cookie(&answer, VISIT).contains("Max-Age=0"));
    assert_eq!(answer.headers["location"], "/requests");
    assert!(answer.headers.get("strict-transport-security").is_none());
}

#[tokio::test]
async fn behind_tls_a_cookie_never_goes_without() {
    let world = World::configured(|config| {
        config.web.enabled = true;
        config.public_url = Some("https://procura.example".to_owned());
    });
    let actors = Actors::within(world).await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = Browser::new(&actors.world);
    let mut sent = browser.sent("GET", "/sign-in", &[]);
    sent.set("host", |_| "procura.example".to_owned());
    let page = browser.send(&sent).await;
    let flags = " Path=/; HttpOnly; SameSite=Strict; Secure";
    assert_eq!(cookie(&page, "__Host-procura-visit"), flags);
    let lasting = &page.headers["strict-transport-security"];
    assert_eq!(lasting, "max-age=31536000");
    let token = super::browser::token(&page);
    let code = anna.code();
    let fields = [
        ("csrf", token.as_str()),
        ("name", "anna"),
        ("password", PASSWORD),
        ("code", code.as_str()),
    ];
    let mut sent = browser.form("/sign-in", &fields);
    sent.set("host", |_| "procura.example".to_owned());
    // The origin is https, as the browser sees it.
    let refused = browser.clone().send(&sent).await;
    assert_eq!(refused.status, 403, "{ORIGIN} is another origin");
    sent.set("origin", |_| "https://procura.example".to_owned());
    let answer = browser.send(&sent).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(cookie(&answer, "__Host-procura-login"), flags);
}
