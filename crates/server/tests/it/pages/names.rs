//! What others wrote stands in pages as text, whatever it looks like.

use super::browser::{Browser, served};
use super::devices::{OPTIONS, answered, approve, ask, look, signed_in};
use super::{Person, browser::encoded};
use crate::device_grants::Host;
use procura_crypto::{SigningKey, SystemEntropy};
use serde_json::{Value, json};

/// Markup, and what steers or reverses.
const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}\u{202e}gpj";

/// A name that people may give, and how it stands in a page.
const NAMED: &str = "<b>x</b> & \"7\"";
const ESCAPED: &str = "&#60;b&#62;x&#60;/b&#62; &#38; &#34;7&#34;";

/// That a page has the name in all these places, and nowhere as markup.
fn assert_named(page: &str, places: &[(&str, &str)]) {
    for (before, after) in places {
        let place = format!("{before}{ESCAPED}{after}");
        assert!(page.contains(&place), "{place}: {page}");
    }
    assert!(!page.contains("<b>") && !page.contains(NAMED), "{page}");
}

fn assert_harmless(text: &str, what: &str) {
    for raw in [
        "<script>alert",
        "<img",
        "onerror=alert(2)>&amp;",
        "\u{202e}",
    ] {
        assert!(!text.contains(raw), "{what}: {raw} in {text}");
    }
}

#[tokio::test]
async fn what_the_agents_machine_says_is_text() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let said = json!({
        "pid": 7,
        "host": HOSTILE,
        "os": HOSTILE,
        "cwd": format!("/work/{HOSTILE}\n/other"),
        "git": HOSTILE,
        "exe_sha256": HOSTILE,
        "argv_sha256": HOSTILE,
        "traced": true,
        "danger_same_uid": true,
    });
    let body = json!({"names": ["API", "MAIL"], "delivery": "env", "caller": said});
    let runs = "/v1/namespaces/shop/projects/web/runs";
    let asked = actors.ok("scribe", "POST", runs, body).await;
    let id = asked["request"].as_str().unwrap();
    let mut browser = anna.browser(&actors.world).await;
    let page = browser.get(&format!("/requests/shop/{id}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    assert_harmless(&text, "the request");
    let escaped = text
        .matches("&#60;script&#62;alert(1)&#60;/script&#62;")
        .count();
    assert!(escaped >= 6, "{escaped}: {text}");
    assert!(text.contains("\\u{202e}gpj"), "{text}");
    // Once told, it is all there for whoever answers.
    for fact in [
        "adam//scribe",
        &actors.device("scribe"),
        "The process was being traced.",
        "who can read its key",
        "<code>API</code>",
        "<code>api/key</code>",
        "<code>DB</code>",
        "<code>env</code>",
        "project web",
    ] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    // Since when it waits and until when, as programs read it and as people do.
    let request = format!("/v1/namespaces/shop/requests/{id}");
    let request = actors.ok("anna", "GET", &request, Value::Null).await;
    let now = actors.world.now().to_string();
    assert_eq!(request["created"], json!(now));
    for (fact, field, distance) in [
        ("Asked", "created", "less than a second ago"),
        ("Expires", "expires", "in "),
    ] {
        let exact = request[field].as_str().unwrap();
        let (day, clock) = exact.split_once('T').unwrap();
        let fact = format!(
            "<dt>{fact}</dt><dd><time datetime=\"{exact}\">{day} {} UTC</time> ({distance}",
            &clock[..5]
        );
        assert!(text.contains(&fact), "{fact}: {text}");
    }
    // A run under a grant shows what its machine said when the grant is withdrawn.
    let body =
        json!({"names": ["DB"], "delivery": "env", "caller": {"host": HOSTILE, "cwd": HOSTILE}});
    actors.ok("scribe", "POST", runs, body).await;
    let csrf = browser.token("/grants").await;
    let withdraw = format!("/grants/shop/{}/withdraw", actors.grant);
    let page = browser.post(&withdraw, &csrf, &[]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_harmless(&page.text(), "withdrawn");
    assert!(page.text().contains("&#60;script&#62;"));
}

#[tokio::test]
async fn what_is_typed_comes_back_as_text() {
    let actors = served().await;
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = Browser::new(&actors.world);
    let answer = browser.sign_in(HOSTILE, "not a password 1", "000000").await;
    assert_eq!(answer.status, 401);
    assert_harmless(&answer.text(), "a name");
    let mut browser = anna.browser(&actors.world).await;
    let code = encoded(&[("user_code", HOSTILE)]);
    let page = browser.get(&format!("/device?{code}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_harmless(&page.text(), "a code");
    let query = encoded(&[("namespace", HOSTILE)]);
    for target in ["/requests", "/grants"] {
        let page = browser.get(&format!("{target}?{query}")).await;
        assert_eq!(page.status, 400);
        assert_harmless(&page.text(), target);
    }
    let path: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let page = browser.get(&format!("/requests/{path}/x")).await;
    assert_eq!(page.status, 400);
    assert_harmless(&page.text(), "a path");
}

/// Names for people may hold markup, by their own rules; none of our pages shows it as
/// anything but text.
#[tokio::test]
async fn display_names_are_text() {
    let actors = served().await;
    let name = json!({"display_name": "<b>Scribe</b> & \"co\""});
    for target in [
        "/v1/namespaces/shop/agents/scribe/display-name",
        "/v1/namespaces/shop/projects/web/display-name",
        "/v1/namespaces/shop/display-name",
    ] {
        actors.ok("adam", "PUT", target, name.clone()).await;
    }
    let mut anna = Person::new(&actors, "anna").await;
    let mut browser = anna.browser(&actors.world).await;
    for target in ["/requests", "/grants", "/alarms", "/account", "/device"] {
        let page = browser.get(target).await;
        assert_eq!(page.status, 200, "{target}");
        assert!(!page.text().contains("<b>Scribe"), "{target}");
    }
    let listed = actors
        .ok("anna", "GET", "/v1/namespaces/shop/requests", Value::Null)
        .await;
    assert_eq!(listed["requests"].as_array().unwrap().len(), 3);
}

/// A host says itself what it is called, and whoever answers reads it on every page.
#[tokio::test]
async fn what_a_host_calls_itself_is_text() {
    const PLACES: [(&str, &str); 3] = [
        ("<title>Device ", " · Procura</title>"),
        ("<h1>", " asks to join</h1>"),
        ("<dt>Host</dt><dd>", " <span"),
    ];
    let actors = served().await;
    let (mut browser, mut passkey, token) = signed_in(&actors, "adam").await;
    let named = async || {
        let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
        Host::asks_called(&actors.world, key, NAMED).await
    };
    let (welcome, other) = (named().await, named().await);
    let grants = "/v1/namespaces/shop/device-grants";
    let listed = actors.ok("adam", "GET", grants, Value::Null).await;
    let hosts: Vec<&Value> = listed["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| &grant["host"])
        .collect();
    assert_eq!(hosts, [NAMED, NAMED], "{listed}");
    let page = look(&mut browser, &token, &welcome).await.text();
    assert_named(&page, &PLACES);
    let asked = ask(&welcome, "baker");
    let answer = answered(&mut browser, &token, &mut passkey, (OPTIONS, &asked)).await;
    let page = approve(&mut browser, &token, &asked, &answer).await.text();
    assert!(page.contains("is approved"), "{page}");
    assert_named(&page, &PLACES);
    let fields = [
        ("user_code", other.user_code.as_str()),
        ("namespace", "shop"),
    ];
    let page = browser.post("/device/deny", &token, &fields).await.text();
    assert!(page.contains("is denied"), "{page}");
    assert_named(&page, &PLACES);
    // A page that refuses shows nothing of it.
    let again = approve(&mut browser, &token, &asked, &answer).await;
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(!again.text().contains("<b>"), "{}", again.text());
}

/// What somebody calls a passkey stands on the page of their account, in its buttons and
/// fields too.
#[tokio::test]
async fn what_a_passkey_is_called_is_text() {
    let actors = served().await;
    let (mut browser, passkey, token) = signed_in(&actors, "adam").await;
    let id = passkey.key.public().thumbprint();
    let rename = format!("/account/passkeys/{id}/name");
    let answer = browser.post(&rename, &token, &[("name", NAMED)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let list = actors
        .ok("adam", "GET", "/v1/operators/adam/passkeys", Value::Null)
        .await;
    assert_eq!(list["passkeys"][0]["name"], json!(NAMED), "{list}");
    let page = browser.get("/account").await.text();
    let places = [
        ("<h3>", "</h3>"),
        ("value=\"", "\""),
        ("aria-label=\"Remove the passkey ", "\""),
    ];
    assert_named(&page, &places);
    // What is no name is none, and is not shown either.
    let answer = browser.post(&rename, &token, &[("name", HOSTILE)]).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_harmless(&answer.text(), "a name of a passkey");
}
