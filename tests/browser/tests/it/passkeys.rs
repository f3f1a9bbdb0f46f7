//! A passkey is enrolled, signs in, and says yes.

use crate::site::Site;
use procura_browser::{Browser, ENTER, SPACE, Screen};

#[test]
fn a_passkey_signs_in_and_approves() {
    let site = Site::new();
    site.ask(&["API_KEY", "DB_URL"]);
    let browser = Browser::open(Screen::Phone);
    browser.plug_in_passkeys();
    let code = site
        .server
        .cli(&["operator", "passkey", "invite"])
        .ok()
        .text();
    browser.go(&site.page("/passkey/enrol"));
    browser.see("Enrol a passkey");
    browser.tab_to("Code");
    browser.press(&code);
    browser.tab_to("Name of the passkey");
    browser.press("Phone of the test");
    browser.look("phone-enrol");
    browser.tab_to("Enrol a passkey");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("With a passkey");
    browser.tab_to("Sign in with a passkey");
    browser.look("phone-sign-in-by-passkey");
    browser.leave(|browser| browser.press(ENTER));
    browser.see("Requests that wait");
    browser.tab_to("alice//scribe for project orders");
    browser.leave(|browser| browser.press(ENTER));
    browser.see("Approve with a passkey");
    browser.look("phone-approve");
    browser.tab_to("Approve with a passkey");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("is over: approved");
    browser.look("phone-approved");
    // The agent has its values, and anybody can check the yes.
    let folder = site.server.folder();
    let names = ["API_KEY", "DB_URL"];
    let said = site
        .daemon
        .run_for(folder, "orders", &names, &["printenv", "API_KEY"])
        .ok();
    assert!(said.text().contains("value-of-the-shop"), "{said:?}");
    let record = folder.join("record");
    let record = record.to_str().unwrap();
    site.server.cli(&["audit", "export", record]).ok();
    let known = std::fs::read_to_string(site.server.home().join("operator/server.json")).unwrap();
    let known: serde_json::Value = serde_json::from_str(&known).unwrap();
    let key = known["ledger_vkey"].as_str().unwrap();
    site.server
        .cli(&["audit", "verify", record, "--key", key])
        .ok();
    browser.go(&site.page("/account"));
    browser.see("Phone of the test");
    browser.look("phone-account-with-passkey");
    // One more, and a removal, take a touch for just that, whose answer goes with the form.
    browser.tab_to("Enrol one more passkey");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("Name of the passkey");
    browser.go(&site.page("/account"));
    browser.see("Phone of the test");
    browser.tab_to("Remove the passkey Phone of the test");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("With a passkey");
}
