//! What operators sign in with in a browser, when an older state comes back: nobody knows
//! what of it was changed or used since, so it is gone, and each operator sets it anew with
//! their device key.

use crate::backup::{Backed, path};
use crate::browser::{Browser, code};
use crate::installed::{Cli, PASSPHRASE};
use crate::restore::{activated, at, copied, joined_as, ok_at, served, settled};
use crate::{Ran, fed, run_with_input};
use serde_json::{Value, json};

const PASSWORD: &str = "the password of before";

/// The pages are served from a home with this as its configuration, which no backup has.
const PAGES: &str = "[web]\nenabled = true\n";

/// An installation with pages and a backup.
fn with_pages() -> Backed {
    let mut backed = Backed::new();
    let home = backed.installed.cli.home.clone();
    backed.installed.server.take().unwrap().stop();
    std::fs::write(home.join("procura.toml"), PAGES).unwrap();
    backed.installed.serve();
    backed
}

/// Another backup, of what there is by now.
fn backed_up(backed: &mut Backed) {
    let file = backed.place("tuesday.procura");
    backed.installed.cli.ok(&["backup", path(&file)], b"");
    backed.file = file;
}

/// A new password, which may be refused.
fn password(of: &Cli, url: &str, password: &str) -> Ran {
    let mut set = of.command(&["operator", "password", "--passphrase-fd", "0"]);
    set.env("PROCURA_SERVER", url);
    fed(&mut set, format!("{password}\n").as_bytes())
}

/// An operator sets all that they sign in with; the recovery codes.
fn set(of: &Cli, url: &str, text: &str) -> Vec<String> {
    let done = password(of, url, text);
    assert_eq!(done.code, 0, "{}", done.err);
    let app = ok_at(of, url, &["--json", "operator", "totp"]);
    let app: Value = serde_json::from_str(&app).unwrap();
    let code = code(app["secret"].as_str().unwrap());
    ok_at(of, url, &["operator", "totp", "--confirm", &code]);
    let codes = ok_at(of, url, &["operator", "recovery-codes"]);
    codes.lines().map(str::to_owned).collect()
}

#[track_caller]
fn signs_in(browser: &Browser, name: &str, password: &str, code: &str) {
    let page = browser.sign_in(name, password, code);
    assert_eq!(page.status, 303, "{}", page.text);
    assert!(browser.is_signed_in());
}

#[track_caller]
fn is_refused(url: &str, name: &str, password: &str, code: &str) {
    let browser = Browser::at(url);
    let page = browser.sign_in(name, password, code);
    assert_eq!(page.status, 401, "{}", page.text);
    assert!(!browser.is_signed_in());
}

#[test]
fn nobody_signs_in_after_a_restore_until_they_set_it_anew_with_their_own_key() {
    let mut backed = with_pages();
    let bea = joined_as(&backed, "bea", "approver@default");
    let alice = &backed.installed.cli;
    let url = alice.url.clone().unwrap();
    let codes = set(alice, &url, PASSWORD);
    let of_bea = set(&bea, &url, PASSWORD);
    let browser = Browser::at(&url);
    signs_in(&browser, "alice", PASSWORD, &codes[0]);
    backed_up(&mut backed);
    // The restored home would not know that this was changed, nor that the code was used.
    signs_in(&Browser::at(&url), "bea", PASSWORD, &of_bea[0]);
    let later = set(&bea, &url, "the password of after");
    copied(&backed, "first");
    let (home, _) = backed.restored("restored");
    let own = backed.installed.cli.home.clone();
    backed.installed.server.take().unwrap().stop();
    let ledger = backed.place("ledger");
    let activate = ["--yes", "--passphrase-fd", "0", "restore", "--activate"];
    let of = ["--to", path(&home), "--ledger", path(&ledger)];
    let done = run_with_input(&own, &[&activate[..], &of].concat(), PASSPHRASE);
    assert_eq!(done.code, 0, "{}", done.err);
    // Whoever restores is told, and nobody is held for it.
    let words = "each operator sets theirs anew with their own key";
    assert!(done.err.contains(words), "{}", done.err);
    for word in ["held", "lost"] {
        let is_said = done.err.lines().any(|line| line.starts_with(word));
        assert!(!is_said, "{}", done.err);
    }

    std::fs::write(home.join("procura.toml"), PAGES).unwrap();
    let server = served(&home);
    let url = server.url.as_str();
    let browser = browser.moved(url);
    assert!(!browser.is_signed_in());
    is_refused(url, "alice", PASSWORD, &codes[1]);
    is_refused(url, "bea", PASSWORD, &of_bea[0]);
    is_refused(url, "bea", PASSWORD, &of_bea[1]);
    is_refused(url, "bea", "the password of after", &later[0]);
    let alice = &backed.installed.cli;
    settled(alice, url);
    for of in [alice, &bea] {
        let account = ok_at(of, url, &["--json", "operator", "account"]);
        let account: Value = serde_json::from_str(&account).unwrap();
        assert_eq!(account["recovery_codes"], 0, "{account}");
        for part in ["password", "totp"] {
            assert_eq!(account.get(part), None, "{account}");
        }
        let logins = ok_at(of, url, &["--json", "operator", "logins"]);
        let logins: Value = serde_json::from_str(&logins).unwrap();
        assert_eq!(logins["logins"], json!([]), "{logins}");
    }

    // A password is not enough, with whatever code of before.
    let done = password(alice, url, PASSWORD);
    assert_eq!(done.code, 0, "{}", done.err);
    is_refused(url, "alice", PASSWORD, &codes[1]);
    let codes = set(alice, url, "another password");
    signs_in(&browser, "alice", "another password", &codes[0]);
    let codes = set(&bea, url, "another password of bea");
    signs_in(
        &Browser::at(url),
        "bea",
        "another password of bea",
        &codes[0],
    );
    server.stop();
}

#[test]
fn who_is_held_after_a_restore_sets_nothing_before_a_steward_let_them_go_on() {
    let mut backed = with_pages();
    let bea = joined_as(&backed, "bea", "approver@default");
    let url = backed.installed.cli.url.clone().unwrap();
    let codes = set(&bea, &url, PASSWORD);
    backed_up(&mut backed);
    let (home, _) = backed.restored("restored");
    let own = backed.installed.cli.home.clone();
    backed.installed.server.take().unwrap().stop();
    let done = activated(&own, &home, &["--new-origin"]);
    let key = done["ledger_vkey"].as_str().unwrap();

    std::fs::write(home.join("procura.toml"), PAGES).unwrap();
    let server = served(&home);
    let url = server.url.as_str();
    is_refused(url, "bea", PASSWORD, &codes[0]);
    let alice = &backed.installed.cli;
    settled(alice, url);
    for of in [alice, &bea] {
        ok_at(of, url, &["--yes", "restore", "accept", "--key", key]);
    }
    let refused = password(&bea, url, PASSWORD);
    assert_eq!(refused.code, 77, "{}", refused.err);
    assert!(refused.err.contains("quarantine"), "{}", refused.err);
    is_refused(url, "bea", PASSWORD, &codes[0]);
    // A steward lets her go on, and sets nothing for her.
    let of_bea = ["--json", "operator", "account", "--of", "bea"];
    let account: Value = serde_json::from_str(&ok_at(alice, url, &of_bea)).unwrap();
    assert_eq!(account.get("password"), None, "{account}");
    let held = ok_at(alice, url, &["--json", "restore", "held"]);
    let held: Value = serde_json::from_str(&held).unwrap();
    let device = held["quarantined"][0]["device"].as_str().unwrap();
    let said = at(alice, url, &["--yes", "restore", "release", "--", device]);
    assert_eq!(said.code, 0, "{}", said.err);
    is_refused(url, "bea", PASSWORD, &codes[0]);
    let codes = set(&bea, url, "the password of bea from now on");
    signs_in(
        &Browser::at(url),
        "bea",
        "the password of bea from now on",
        &codes[0],
    );
    server.stop();
}
