//! An older state comes back: nobody is signed in any more, passkeys go on, and one that was
//! removed since is removed again.

use crate::site::Site;
use procura_acceptance::until;
use procura_browser::{Browser, ENTER, SPACE, Screen};
use std::process::Command;
use std::time::Duration;

/// A browser with a passkey of the owner's, of this name, that has signed in with it.
pub(crate) fn with_passkey(site: &Site, name: &str) -> Browser {
    let invite = ["operator", "passkey", "invite"];
    let code = site.server.cli(&invite).ok().text();
    enrolled(site, name, &code)
}

/// The same of whoever made this code.
pub(crate) fn enrolled(site: &Site, name: &str, code: &str) -> Browser {
    let browser = Browser::open(Screen::Desk);
    browser.plug_in_passkeys();
    browser.go(&site.page("/passkey/enrol"));
    browser.tab_to("Code");
    browser.press(code);
    browser.tab_to("Name of the passkey");
    browser.press(name);
    browser.tab_to("Enrol a passkey");
    browser.leave(|browser| browser.press(SPACE));
    sign_in(&browser);
    browser
}

/// Signs in by the passkey, from the page that is shown.
fn sign_in(browser: &Browser) {
    browser.tab_to("Sign in with a passkey");
    browser.leave(|browser| browser.press(ENTER));
    browser.see("Requests that wait");
}

/// Takes the server back to a backup, with the record from behind it; what was done again.
fn restored(site: &mut Site) -> Vec<String> {
    let own = |words: &[&str]| site.server.cli(words).ok();
    let copy = [
        "backup",
        "since.procura",
        "--ledger-since",
        "monday.procura",
    ];
    own(&copy);
    own(&["restore", "monday.procura", "--to", "restored", "--verify"]);
    own(&["logout"]);
    assert_eq!(site.server.stop(), Some(0));
    let activate = ["--json", "restore", "--activate", "--to", "restored"];
    let ledger = ["--ledger", "since.procura"];
    let done = site.server.cli(&[&activate[..], &ledger].concat()).ok();
    let done = done.json();
    assert_eq!(done["held"], serde_json::json!([]), "{done}");
    // It takes the place of the one that is lost; the owner's own key and the configuration
    // are in no backup.
    let place = site.server.folder().to_owned();
    std::fs::rename(site.server.home(), place.join("before")).unwrap();
    std::fs::rename(place.join("restored"), site.server.home()).unwrap();
    let kept = Command::new("cp")
        .args(["-a", "before/operator", "before/procura.toml", "home/"])
        .current_dir(&place)
        .status();
    assert!(kept.unwrap().success());
    site.server.start_again();
    site.server.unseal().ok();
    site.server.cli(&["login"]).ok();
    // For a while nobody knows which proofs were used before.
    until(
        "the server believes proofs",
        Duration::from_secs(180),
        || {
            let said = site.server.cli(&["namespace", "list"]);
            (said.code == 0).then_some(())
        },
    );
    let again = done["again"].as_array().unwrap().iter();
    again
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn passkeys_go_on_after_a_restore_but_for_those_that_were_removed() {
    let mut site = Site::new();
    site.ask(&["API_KEY"]);
    let kept = with_passkey(&site, "Kept");
    let lost = with_passkey(&site, "Lost");
    site.server.cli(&["backup", "monday.procura"]).ok();
    let list = ["--json", "operator", "passkey", "list"];
    let list = site.server.cli(&list).ok().json();
    let mut passkeys = list["passkeys"].as_array().unwrap().iter();
    let id = passkeys.find(|passkey| passkey["name"] == "Lost").unwrap();
    let id = id["id"].as_str().unwrap().to_owned();
    let remove = ["operator", "passkey", "remove", "--", &id];
    site.server.cli(&remove).ok();

    let again = restored(&mut site);
    assert_eq!(again, [format!("passkey {id} is removed")]);

    for browser in [&kept, &lost] {
        browser.go(&site.page("/account"));
        assert!(
            browser.address().contains("/sign-in"),
            "{}",
            browser.address()
        );
    }
    lost.tab_to("Sign in with a passkey");
    lost.press(ENTER);
    until("a refusal", Duration::from_secs(60), || {
        let shown = "const problem = document.querySelector('[data-problem]'); return problem !== null && !problem.hidden && problem.textContent !== ''";
        (lost.script(shown) == true).then_some(())
    });
    assert!(lost.address().contains("/sign-in"), "{}", lost.address());

    kept.tab_to("Sign in with a passkey");
    kept.leave(|browser| browser.press(ENTER));
    // It goes on to where it wanted to go.
    kept.see("Web logins");
    kept.go(&site.page("/requests"));
    kept.tab_to("alice//scribe for project orders");
    kept.leave(|browser| browser.press(ENTER));
    kept.tab_to("Approve with a passkey");
    kept.leave(|browser| browser.press(SPACE));
    kept.see("is over: approved");
}
