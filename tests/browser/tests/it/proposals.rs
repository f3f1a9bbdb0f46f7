//! What takes two stewards: one proposes it at the command line, the other says yes or no on
//! the page, by keyboard and a passkey.

use crate::restored::{enrolled, with_passkey};
use crate::site::Site;
use procura_acceptance::{Outcome, PASSPHRASE};
use procura_browser::{Browser, SPACE};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Another steward, `bea`, with a key in a home of her own.
fn bea(site: &Site) -> PathBuf {
    let invite = ["operator", "invite", "bea", "--role", "steward"];
    let code = site.server.cli(&invite).ok().text();
    let home = site.server.folder().join("bea");
    let join = ["operator", "join", &code];
    site.server.cli_in(&home, PASSPHRASE, &join, b"").ok();
    home
}

/// Her browser, in which she signed in with a passkey.
fn browser_of_bea(site: &Site) -> Browser {
    let home = bea(site);
    let invite = ["operator", "passkey", "invite"];
    let invited = site.server.cli_in(&home, PASSPHRASE, &invite, b"").ok();
    enrolled(site, "Key of bea", &invited.text())
}

/// alice proposes that the namespace end; what that is.
fn proposed(site: &Site, name: &str) -> (String, String) {
    let propose = ["--json", "proposal", "end-namespace", name];
    let proposal = site.server.cli(&propose).ok().json();
    assert_eq!(proposal["needs"], 2, "{proposal}");
    let id = proposal["id"].as_str().unwrap().to_owned();
    (
        id,
        format!("end the namespace {name} with all that is in it"),
    )
}

/// alice ends it, as it was agreed.
#[must_use]
fn ends(site: &Site, name: &str, id: &str) -> Outcome {
    let delete = ["--json", "namespace", "delete", name, "--confirm", name];
    site.server
        .cli(&[&delete[..], &["--proposal", id]].concat())
}

/// The proposal as the server has it.
fn found(site: &Site, id: &str) -> Value {
    let list = ["--json", "proposal", "list"];
    let list = site.server.cli(&list).ok().json();
    let proposals = list["proposals"].as_array().unwrap();
    let proposal = proposals.iter().find(|proposal| proposal["id"] == id);
    proposal.unwrap_or_else(|| panic!("{list}")).clone()
}

#[track_caller]
fn assert_refused(outcome: Outcome, reason: &str) {
    let outcome = outcome.code(77);
    let said: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!(said["problem"]["reason"], reason, "{said}");
}

#[test]
fn a_second_steward_says_yes_on_the_page_and_the_first_is_never_two() {
    let site = Site::new();
    let hers = browser_of_bea(&site);
    let own = with_passkey(&site, "Key of alice");
    let (id, words) = proposed(&site, "shop");
    assert_refused(ends(&site, "shop", &id), "not_agreed");
    let button = format!("Sign with a passkey: {words}");

    // The page of before she signs has a button yet, which is pressed afterwards: by her
    // own key and by her passkey alice is one all the same.
    own.go(&site.page("/proposals"));
    own.see(&words);
    own.tab_to(&button);
    site.server.cli(&["proposal", "sign", &id]).ok();
    own.leave(|browser| browser.press(SPACE));
    own.see("You said yes to it.");
    own.see("waits for signatures");
    let proposal = found(&site, &id);
    assert_eq!(
        proposal["signed"].as_array().unwrap().len(),
        1,
        "{proposal}"
    );
    assert_eq!(proposal["state"], "open", "{proposal}");
    assert_refused(ends(&site, "shop", &id), "not_agreed");

    hers.go(&site.page("/proposals"));
    hers.see(&words);
    hers.see("procura proposal sign");
    hers.look("desk-proposal");
    hers.tab_to(&button);
    hers.leave(|browser| browser.press(SPACE));
    hers.see("is agreed to, and waits to be carried out");
    hers.look("desk-proposal-agreed");
    let proposal = found(&site, &id);
    let signed = proposal["signed"].as_array().unwrap();
    assert_eq!(
        (signed.len(), &signed[1]["by_passkey"]),
        (2, &json!(true)),
        "{proposal}"
    );

    ends(&site, "shop", &id).ok();
    let list = site
        .server
        .cli(&["--json", "namespace", "list"])
        .ok()
        .text();
    assert!(!list.contains("\"shop\""), "{list}");
    hers.go(&site.page("/proposals"));
    hers.see("was carried out");
    let action = [
        "--json",
        "audit",
        "list",
        "--everywhere",
        "--action",
        "proposal.sign",
    ];
    let record = site.server.cli(&action).ok().text();
    assert!(record.contains(&id) && record.contains(&words), "{record}");
}

#[test]
fn a_no_on_the_page_takes_a_yes_back_and_is_seen() {
    let site = Site::new();
    let hers = browser_of_bea(&site);
    let (id, words) = proposed(&site, "shop");
    site.server.cli(&["proposal", "sign", &id]).ok();
    hers.go(&site.page("/proposals"));
    hers.tab_to(&format!("Sign with a passkey: {words}"));
    hers.leave(|browser| browser.press(SPACE));
    hers.see("is agreed to, and waits to be carried out");
    hers.tab_to(&format!("Refuse: {words}"));
    hers.leave(|browser| browser.press(SPACE));
    hers.see("waits for signatures");
    hers.see("Refused by");
    hers.look("desk-proposal-refused");
    let proposal = found(&site, &id);
    assert_eq!(
        proposal["refused"].as_array().unwrap().len(),
        1,
        "{proposal}"
    );
    assert_refused(ends(&site, "shop", &id), "not_agreed");
}
