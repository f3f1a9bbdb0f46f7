//! Signing in by an identity provider that is not ours, by keyboard: the pages are at
//! `localhost`, the provider is at `127.0.0.1`, which a browser takes for another site.

use procura_acceptance::{IdentityProvider, Installation};
use procura_browser::{Browser, ENTER, SPACE, Screen};
use serde_json::{Value, json};

const BUTTON: &str = "Sign in with Example Login";

/// Presses the button of the sign-in page, and arrives at the provider's.
fn pressed(browser: &Browser, origin: &str, provider: &IdentityProvider) {
    browser.go(&format!("{origin}/sign-in"));
    browser.tab_to(BUTTON);
    browser.press(ENTER);
    browser.arrive(&format!("{}/interaction/", provider.url()));
}

/// Says who it is there, on the provider's page.
fn says(browser: &Browser, account: &str) {
    browser.is_at("Enter any login");
    browser.press(account);
    browser.tab_to("and password");
    browser.press("x");
    browser.press(ENTER);
}

/// Agrees there to what the provider is going to say of them.
fn agrees(browser: &Browser) {
    browser.is_at("Continue");
    browser.press(SPACE);
}

fn text_of(browser: &Browser, selector: &str) -> String {
    let script = format!("return document.querySelector('{selector}').textContent");
    browser.script(&script).as_str().unwrap().to_owned()
}

#[test]
fn an_operator_signs_in_by_a_provider_and_comes_back_from_another_site() {
    let mut provider = IdentityProvider::start("ES256", false);
    let server = Installation::configured(&provider.config());
    let origin = provider.leads_back(&server);
    let browser = Browser::open(Screen::Desk);
    browser.go(&format!("{origin}/sign-in"));
    browser.see(BUTTON);
    browser.look("desk-sign-in-by-provider");

    // Nobody has said yet who that is here.
    pressed(&browser, &origin, &provider);
    says(&browser, "anna");
    agrees(&browser);
    browser.arrive(&format!("{origin}/oidc/work/callback?"));
    browser.see("Not linked yet");
    browser.see("procura operator oidc link");
    // It looks, too, whether the browser refused anything on the way here.
    browser.look("desk-not-linked");
    let proof = text_of(&browser, "#proof");
    let link = ["--json", "operator", "oidc", "link"];
    let linked = server.cli_with(&link, proof.as_bytes()).ok().json();
    let found = (&linked["subject"], &linked["provider"]);
    assert_eq!(found, (&json!("anna"), &json!("work")), "{linked}");

    // The provider knows them, and leads back at once; the pages know them now.
    browser.go(&format!("{origin}/sign-in?next=%2Faccount"));
    browser.tab_to(BUTTON);
    browser.press(ENTER);
    browser.arrive(&format!("{origin}/account"));
    browser.see("This browser");
    browser.see("identity provider");
    assert_eq!(text_of(&browser, "header span"), "alice");
    browser.look("desk-account-by-provider");
    let said = "return document.cookie";
    assert_eq!(browser.script(said), "", "a script sees no cookie");

    // Whoever is signed in is asked anew there, and the web login of before is over.
    let first = login(&server);
    pressed(&browser, &origin, &provider);
    says(&browser, "anna");
    browser.arrive(&format!("{origin}/requests"));
    browser.see("Requests that wait");
    browser.look("desk-signed-in-by-provider");
    assert_ne!(login(&server), first);

    // Without the link they are nobody, at once.
    let id = linked["id"].as_str().unwrap();
    server.cli(&["operator", "oidc", "unlink", "--", id]).ok();
    browser.go(&format!("{origin}/requests"));
    browser.arrive(&format!("{origin}/sign-in"));
    let said = server.server_said();
    assert!(
        !said.contains("callback?") && !said.contains(provider.secret()),
        "{said}"
    );
}

/// The one web login that there is.
#[track_caller]
fn login(server: &Installation) -> Value {
    let list = ["--json", "operator", "logins"];
    let list = server.cli(&list).ok().json();
    let logins = list["logins"].as_array().unwrap();
    assert_eq!(logins.len(), 1, "{list}");
    assert_eq!(logins[0]["amr"], "oidc");
    logins[0]["id"].clone()
}

/// Somebody who says no at the provider is not signed in, and is told so.
#[test]
fn who_says_no_at_the_provider_is_not_signed_in() {
    let mut provider = IdentityProvider::start("RS256", true);
    let server = Installation::configured(&provider.config());
    let origin = provider.leads_back(&server);
    let browser = Browser::open(Screen::Phone);
    pressed(&browser, &origin, &provider);
    browser.is_at("Enter any login");
    browser.tab_to("[ Cancel ]");
    browser.press(ENTER);
    browser.arrive(&format!("{origin}/oidc/work/callback?"));
    browser.see("Not signed in");
    browser.see("oidc_refused");
    browser.look("phone-refused-by-provider");
    browser.go(&format!("{origin}/requests"));
    browser.arrive(&format!("{origin}/sign-in"));
}
