//! Signing in, saying no and taking back, without a mouse.

use crate::restored::with_passkey;
use crate::site::Site;
use procura_browser::{Browser, ENTER, SPACE, Screen};

#[test]
fn everything_goes_by_keyboard_on_a_desk() {
    let site = Site::new();
    site.ask(&["API_KEY"]);
    let browser = Browser::open(Screen::Desk);
    browser.go(&site.page("/requests"));
    browser.see("Sign in");
    browser.look("desk-sign-in");
    // The first key leads past the navigation.
    browser.tab_to("Skip to the content");
    browser.press(ENTER);
    site.sign_in_by_app(&browser);
    browser.see("Requests that wait");
    browser.see("alice//scribe for project orders");
    browser.look("desk-requests");
    browser.tab_to("alice//scribe for project orders");
    browser.leave(|browser| browser.press(ENTER));
    browser.see("API_KEY");
    browser.see("api/key");
    browser.see("procura -n shop request approve");
    browser.look("desk-request");
    browser.tab_to("Deny");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("is over: denied");
    browser.look("desk-denied");
    let list = ["-n", "shop", "--json", "request", "list", "--all"];
    let list = site.server.cli(&list).ok().json();
    assert_eq!(list["requests"][0]["state"], "denied", "{list}");
    // The other pages, and the way out.
    for (link, words, name) in [
        ("Grants", "No grant holds here.", "desk-no-grants"),
        ("Alarms", "There is no alarm", "desk-no-alarms"),
        ("Device", "A device asks to join", "desk-device"),
        ("Account", "This browser", "desk-account"),
    ] {
        browser.tab_to(link);
        browser.leave(|browser| browser.press(ENTER));
        browser.see(words);
        browser.look(name);
    }
    browser.darken();
    browser.look("desk-account-dark");
    browser.tab_to("Sign out");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("Sign in");
    assert!(
        browser.address().ends_with("/sign-in"),
        "{}",
        browser.address()
    );
    // What the browser kept of the pages before is nothing.
    browser.go(&site.page("/account"));
    assert!(
        browser.address().contains("/sign-in"),
        "{}",
        browser.address()
    );
}

#[test]
fn everything_fits_on_a_phone() {
    let mut site = Site::new();
    site.ask(&["API_KEY"]);
    let waiting = ["-n", "shop", "--json", "request", "list"];
    let waiting = site.server.cli(&waiting).ok().json();
    let id = waiting["requests"][0]["id"].as_str().unwrap().to_owned();
    site.server
        .cli(&["-n", "shop", "request", "approve", &id])
        .ok();
    site.ask(&["DB_URL"]);
    let browser = Browser::open(Screen::Phone);
    browser.go(&site.page("/grants"));
    browser.look("phone-sign-in");
    site.sign_in(&browser);
    // It goes on to where it wanted to go.
    browser.see("Grants that hold");
    browser.see("API_KEY");
    browser.look("phone-grants");
    for (path, words, name) in [
        ("/requests", "Requests that wait", "phone-requests"),
        ("/account", "Web logins", "phone-account"),
        ("/alarms", "Alarms", "phone-alarms"),
        ("/device?user_code=WDJB-MJHT", "Look", "phone-device"),
        (
            "/requests/shop/7",
            "The request is malformed",
            "phone-refused",
        ),
    ] {
        browser.go(&site.page(path));
        browser.see(words);
        browser.look(name);
    }
    browser.go(&site.page("/requests"));
    browser.tab_to("alice//scribe for project orders");
    browser.leave(|browser| browser.press(ENTER));
    browser.see("DB_URL");
    // What it has already stands beside what it asks for.
    browser.see("API_KEY");
    browser.look("phone-request");
    browser.go(&site.page("/grants"));
    browser.tab_to("Withdraw the grant of alice//scribe for project orders");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("No grant holds here.");
    browser.look("phone-withdrawn");
    let grants = ["-n", "shop", "--json", "grant", "list", "--all"];
    let grants = site.server.cli(&grants).ok().json();
    assert!(grants["grants"][0]["withdrawn"].is_string(), "{grants}");
}

/// Whoever runs no scripts does everything but what takes a passkey, and where one is
/// offered is told so, with what goes instead.
#[test]
fn everything_but_passkeys_goes_without_scripts() {
    const TOLD: &str = "Passkeys take a script, which this browser does not run.";
    let mut site = Site::new();
    site.ask(&["API_KEY"]);
    let list = ["-n", "shop", "--json", "request", "list"];
    let waiting = site.server.cli(&list).ok().json();
    let id = waiting["requests"][0]["id"].as_str().unwrap().to_owned();
    let approve = ["-n", "shop", "request", "approve", &id];
    site.server.cli(&approve).ok();
    site.ask(&["DB_URL"]);
    // A passkey is offered to whoever has one.
    drop(with_passkey(&site, "Key of the test"));
    let browser = Browser::without_scripts(Screen::Desk);
    browser.go(&site.page("/requests"));
    browser.see("Sign in");
    assert!(!browser.text().contains("With a passkey"));
    browser.look("desk-sign-in-without-scripts");
    site.sign_in(&browser);
    browser.see("Requests that wait");
    browser.tab_to("alice//scribe for project orders");
    browser.leave(|browser| browser.press(ENTER));
    browser.see("DB_URL");
    browser.see(TOLD);
    browser.see("procura -n shop request approve");
    browser.look("desk-request-without-scripts");
    browser.tab_to("Deny");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("is over: denied");
    let all = ["-n", "shop", "--json", "request", "list", "--all"];
    let all = site.server.cli(&all).ok().json();
    let mut all = all["requests"].as_array().unwrap().iter();
    let denied = all.find(|request| request["id"] != id.as_str()).unwrap();
    assert_eq!(denied["state"], "denied", "{denied}");
    browser.go(&site.page("/grants"));
    browser.tab_to("Withdraw the grant of alice//scribe for project orders");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("No grant holds here.");
    let grants = ["-n", "shop", "--json", "grant", "list", "--all"];
    let grants = site.server.cli(&grants).ok().json();
    assert!(grants["grants"][0]["withdrawn"].is_string(), "{grants}");
    browser.go(&site.page("/passkey/enrol"));
    browser.see(TOLD);
    browser.look("desk-enrol-without-scripts");
    browser.go(&site.page("/account"));
    browser.tab_to("Sign out");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("Sign in");
}

/// A link in a message of another site leads to the page, for whoever is signed in.
#[test]
fn a_link_of_another_site_leads_to_the_page() {
    let mut site = Site::new();
    let browser = Browser::open(Screen::Desk);
    browser.go(&site.page("/grants"));
    site.sign_in(&browser);
    browser.see("Grants that hold");
    // Another site, as browsers see it, is another name: the same server by its number.
    let other = format!("{}/nothing", site.server.url());
    browser.go(&other);
    let there = site.page("/alarms");
    let follow = format!("location.href = '{there}'; return true");
    browser.leave(|browser| assert_eq!(browser.script(&follow), true));
    browser.see("There is no alarm");
    assert_eq!(browser.address(), there);
}
