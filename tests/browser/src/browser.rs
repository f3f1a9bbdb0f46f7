//! One window of a browser, and somebody before it who has a keyboard.

use crate::driver::Driver;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use procura_acceptance::until;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Keys that have no letter (WebDriver §17.4.2).
pub const TAB: &str = "\u{e004}";
/// The key that sends a form.
pub const ENTER: &str = "\u{e007}";
/// The key that presses a button.
pub const SPACE: &str = "\u{e00d}";

/// How long a page may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of an element's id in answers (WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How large the window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A window on a desk.
    Desk,
    /// A small phone, 360 pixels wide.
    Phone,
}

/// A window.
pub struct Browser {
    // Ended before its profile is removed.
    session: String,
    driver: Driver,
    _profile: TempDir,
}

impl Browser {
    /// Opens one, in a profile of its own.
    ///
    /// # Panics
    /// When Chromium or its driver is not installed, with what to type.
    #[must_use]
    pub fn open(screen: Screen) -> Self {
        Self::with(screen, &json!({}))
    }

    /// One that runs no script of any page. What drives it still asks it by scripts of its
    /// own.
    ///
    /// # Panics
    /// As [`Self::open`].
    #[must_use]
    pub fn without_scripts(screen: Screen) -> Self {
        // 2 is "block", as an administrator sets it for all sites.
        let blocked = json!({ "profile.managed_default_content_settings.javascript": 2 });
        Self::with(screen, &blocked)
    }

    /// One with these preferences.
    fn with(screen: Screen, preferences: &Value) -> Self {
        let driver = Driver::start();
        let profile = tempfile::Builder::new()
            .prefix("procura-browser-")
            .tempdir()
            .unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--no-first-run".to_owned(),
            // Whatever a page of others wants from elsewhere, nobody outside is asked.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
                .to_owned(),
            "--window-size=1100,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        // Chromium's sandbox does not work for root, as which containers run.
        if rustix::process::getuid().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let mut options = json!({ "args": arguments, "prefs": preferences });
        if screen == Screen::Phone {
            options["mobileEmulation"] = json!({
                "deviceMetrics": { "width": 360, "height": 740, "pixelRatio": 2.0, "touch": true }
            });
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "webauthn:virtualAuthenticators": true,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": options,
        }}});
        let made = driver.ask("POST", "/session", Some(&wanted));
        let session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        Self {
            session,
            driver,
            _profile: profile,
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("{}{path}", self.session);
        self.driver.ask(method, &path, body)
    }

    /// Opens an address.
    pub fn go(&self, url: &str) {
        self.ask("POST", "/url", Some(&json!({ "url": url })));
    }

    /// The address of the page.
    #[must_use]
    pub fn address(&self) -> String {
        self.ask("GET", "/url", None).as_str().unwrap().to_owned()
    }

    /// What a script says; for what only a script can see.
    #[must_use]
    pub fn script(&self, text: &str) -> Value {
        let body = json!({ "script": text, "args": [] });
        self.ask("POST", "/execute/sync", Some(&body))
    }

    /// The text that a person sees.
    #[must_use]
    pub fn text(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : ''");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a person sees this.
    pub fn see(&self, words: &str) {
        until(words, PATIENCE, || {
            self.text().contains(words).then_some(())
        });
    }

    /// Presses keys, one after the other.
    pub fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                let value = key.to_string();
                [
                    json!({ "type": "keyDown", "value": value }),
                    json!({ "type": "keyUp", "value": value }),
                ]
            })
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.ask("POST", "/actions", Some(&body));
    }

    /// What has the focus, by the name that a screen reader says.
    #[must_use]
    pub fn focused(&self) -> String {
        let path = format!("{}/element/active", self.session);
        let (status, answer) = self.driver.exchange("GET", &path, None);
        let Some(id) = answer["value"][ELEMENT].as_str().filter(|_| status == 200) else {
            return String::new();
        };
        let label = format!("{}/element/{id}/computedlabel", self.session);
        let (status, answer) = self.driver.exchange("GET", &label, None);
        let label = answer["value"].as_str().filter(|_| status == 200);
        label.unwrap_or_default().to_owned()
    }

    /// Goes on by the tabulator until something of this name has the focus, which must be
    /// seen.
    ///
    /// # Panics
    /// When no keyboard leads there, or nothing shows where the focus is.
    pub fn tab_to(&self, name: &str) {
        let mut passed = Vec::new();
        for _ in 0..80 {
            self.press(TAB);
            let focused = self.focused();
            if focused == name {
                let outline = self.script(
                    "const style = getComputedStyle(document.activeElement); return parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none'",
                );
                assert_eq!(outline, true, "nothing shows that {name} has the focus");
                return;
            }
            passed.push(focused);
        }
        panic!("the tabulator does not lead to {name}: {passed:?}");
    }

    /// Does what leads to another page, and waits until that is there.
    pub fn leave(&self, act: impl FnOnce(&Self)) {
        let mark = "window.leftBehind = true; return true";
        assert_eq!(self.script(mark), true);
        act(self);
        until("another page", PATIENCE, || {
            let there = "return document.readyState === 'complete' && window.leftBehind !== true";
            let path = format!("{}/execute/sync", self.session);
            let body = json!({ "script": there, "args": [] });
            // Between two pages there is none to ask.
            let (status, answer) = self.driver.exchange("POST", &path, Some(&body));
            (status == 200 && answer["value"] == true).then_some(())
        });
    }

    /// Waits until a page is there whose address begins so; what leads on by itself may lie
    /// between.
    pub fn arrive(&self, at: &str) {
        until(at, PATIENCE, || {
            let there = "return document.readyState === 'complete' ? location.href : ''";
            let path = format!("{}/execute/sync", self.session);
            let body = json!({ "script": there, "args": [] });
            // Between two pages there is none to ask.
            let (status, answer) = self.driver.exchange("POST", &path, Some(&body));
            let address = answer["value"].as_str().filter(|_| status == 200);
            address
                .is_some_and(|address| address.starts_with(at))
                .then_some(())
        });
    }

    /// Waits until something of this name has the focus, which a page gives it by itself.
    pub fn is_at(&self, name: &str) {
        until(name, PATIENCE, || (self.focused() == name).then_some(()));
    }

    /// Keeps a picture of the page, and holds that it is one that people can use: nothing
    /// is wider than the window, every field has a name, and the browser refused nothing
    /// that the page wanted to load or do.
    ///
    /// # Panics
    /// When it is none.
    pub fn look(&self, name: &str) {
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.ask("GET", "/screenshot", None);
        let picture = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
        let wider = self.script(
            "const root = document.documentElement; return root.scrollWidth - root.clientWidth",
        );
        assert!(
            wider.as_i64().unwrap() <= 0,
            "{name} scrolls by {wider} pixels"
        );
        let nameless = self.script(
            "return [...document.querySelectorAll('input:not([type=hidden]), select')].filter(field => field.labels.length === 0).length",
        );
        assert_eq!(nameless, 0, "{name} has fields without a label");
        let landmarks = self.script(
            "return document.querySelectorAll('main').length === 1 && document.querySelectorAll('h1').length === 1 && document.documentElement.lang === 'en' && document.title !== ''",
        );
        assert_eq!(landmarks, true, "{name} lacks a landmark");
        let mut refused = self.said();
        refused
            .retain(|text| text.contains("Content Security Policy") || text.contains("Uncaught"));
        assert!(refused.is_empty(), "{name}: {refused:?}");
    }

    /// The address and the text of a frame in the page, by its place among them.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn framed(&self, place: u32) -> (String, String) {
        self.ask("POST", "/frame", Some(&json!({ "id": place })));
        let address = self.script("return location.href");
        let text = self.text();
        self.ask("POST", "/frame/parent", None);
        (address.as_str().unwrap_or_default().to_owned(), text)
    }

    /// What the browser said to developers since it was asked last.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let said = self.ask("POST", "/se/log", Some(&body));
        let lines = said.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The browser as somebody has it who likes dark pages.
    pub fn darken(&self) {
        let body = json!({
            "cmd": "Emulation.setEmulatedMedia",
            "params": { "features": [{ "name": "prefers-color-scheme", "value": "dark" }] },
        });
        self.ask("POST", "/goog/cdp/execute", Some(&body));
    }

    /// Plugs a passkey in that says who is there, and keeps what it is given (WebAuthn
    /// §11).
    pub fn plug_in_passkeys(&self) -> String {
        let body = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        let id = self.ask("POST", "/webauthn/authenticator", Some(&body));
        id.as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.exchange("DELETE", &self.session, None);
    }
}

/// Where pictures are kept.
fn pictures() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .and_then(|folder| folder.parent()?.parent());
    target.unwrap().join("browser")
}
