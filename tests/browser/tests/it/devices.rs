//! A host asks to join, and is let in on the page, by keyboard and a passkey.

use crate::restored::with_passkey;
use crate::site::Site;
use procura_acceptance::{Daemon, until};
use procura_browser::SPACE;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

/// A host that waits for an answer.
struct Waiting {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it shows.
    said: Value,
}

impl Waiting {
    fn begin(site: &Site, host: &Daemon) -> Self {
        let server = ["--json", "--server", site.server.url()];
        let join = ["join", "--device", "--host", "build-7"];
        let mut child = host
            .procura(&[&server[..], &join].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or(Value::Null);
        Self {
            child,
            stdout,
            said,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap()
    }

    /// What it is when it was let in.
    fn joined(mut self) -> Value {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_host_is_let_in_on_the_page_by_a_passkey() {
    let site = Site::new();
    let browser = with_passkey(&site, "Key of the test");
    let host = Daemon::start(site.server.folder(), "build");
    let waiting = Waiting::begin(&site, &host);
    let code = waiting.text("user_code");
    browser.go(&site.page(&format!("/device?user_code={code}")));
    // The code is of no namespace: whose agents are asked about is chosen.
    browser.tab_to("Namespace");
    browser.press("shop");
    browser.tab_to("Look");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("build-7 asks to join");
    browser.see(waiting.text("fingerprint"));
    browser.look("desk-device-asks");
    // Nobody is chosen until a person chooses.
    browser.tab_to("Agent");
    let chosen = "return document.activeElement.value";
    assert_eq!(browser.script(chosen), "");
    browser.press("scribe");
    until("the agent is chosen", Duration::from_secs(60), || {
        (browser.script(chosen) == "scribe").then_some(())
    });
    browser.tab_to("Approve with a passkey");
    browser.leave(|browser| browser.press(SPACE));
    browser.see("is approved");
    browser.see("It becomes one of scribe in shop");
    browser.look("desk-device-approved");
    let device = waiting.text("device").to_owned();
    let joined = waiting.joined();
    assert_eq!(joined["lineage"], "alice//scribe", "{joined}");
    assert_eq!(joined["device"], device.as_str(), "{joined}");
    // The record has the device, and by which passkey.
    let list = ["--json", "operator", "passkey", "list"];
    let list = site.server.cli(&list).ok().json();
    let passkey = list["passkeys"][0]["id"].as_str().unwrap();
    let action = "device_grant.approve";
    let said = ["-n", "shop", "--json", "audit", "list", "--action", action];
    let said = site.server.cli(&said).ok().text();
    let with = format!("device/{device} passkey/{passkey}");
    assert!(said.contains(&with), "{said}");
}
