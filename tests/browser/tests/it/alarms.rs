//! An alarm, as a steward sees it on a desk and on a phone.

use crate::site::Site;
use procura_acceptance::until;
use procura_browser::{Browser, Screen};
use std::time::Duration;

#[test]
fn a_touched_decoy_is_seen_on_a_desk_and_on_a_phone() {
    let mut site = Site::new();
    let plant = [
        "-n", "shop", "honey", "plant", "--shape", "aws", "--env", "AWS_KEY", "aws/key",
    ];
    site.server.cli(&plant).ok();
    let alarms = site.page("/alarms");
    let (desk, phone) = (Browser::open(Screen::Desk), Browser::open(Screen::Phone));
    for browser in [&desk, &phone] {
        browser.go(&alarms);
        site.sign_in(browser);
        browser.see("There is no alarm");
    }
    // The agent asks for what nobody gave it a reason to ask for, and gets nothing.
    let folder = site.server.folder();
    let asked = site
        .daemon
        .run_for(folder, "orders", &["AWS_KEY"], &["true"]);
    assert_ne!(asked.code, 0, "{asked:?}");
    for (browser, name) in [(&desk, "desk-alarm"), (&phone, "phone-alarm")] {
        until("the alarm", Duration::from_secs(60), || {
            browser.go(&alarms);
            browser.text().contains("A decoy was touched").then_some(())
        });
        browser.see("alice//scribe");
        browser.see("honey.touch");
        // Where decoys lie only their list says.
        assert!(!browser.text().contains("aws/key"), "{}", browser.text());
        browser.look(name);
    }
}
