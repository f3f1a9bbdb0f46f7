//! What others wrote stands in pages as text, whatever it looks like.

use super::browser::{Browser, served};
use super::{Person, browser::encoded};
use serde_json::{Value, json};

/// Markup, and what steers or reverses.
const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}\u{202e}gpj";

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
