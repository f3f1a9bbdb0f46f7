//! A server with pages, an owner who can sign in, and an agent that waits.

use procura_acceptance::{Daemon, Installation, PASSPHRASE};
use procura_browser::{Browser, ENTER};
use procura_crypto::{TotpSecret, totp_step};
use procura_types::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// One server, one host of the agent `scribe` of project `orders`.
pub(crate) struct Site {
    pub(crate) daemon: Daemon,
    pub(crate) server: Installation,
    codes: Vec<String>,
}

impl Site {
    /// The owner `alice` has a password, an authenticator app and recovery codes.
    pub(crate) fn new() -> Self {
        let server = Installation::configured("[web]\nenabled = true\n");
        server.cli(&["namespace", "create", "shop"]).ok();
        server.put("shop", "api/key", b"value-of-the-shop");
        server.put("shop", "db/url", b"url-of-the-shop");
        let daemon = Daemon::start(server.folder(), "host");
        let code = server
            .cli(&["-n", "shop", "agent", "add", "scribe"])
            .ok()
            .text();
        daemon.join(&code).ok();
        let project = [
            "-n",
            "shop",
            "project",
            "set",
            "orders",
            "--agent",
            "scribe",
            "--env",
            "API_KEY=api/key",
            "--env",
            "DB_URL=db/url",
        ];
        server.cli(&project).ok();
        let home = server.home();
        // The password is the passphrase: whichever line is read first is the right one.
        let lines = [PASSPHRASE, PASSPHRASE];
        server
            .cli_lines(&home, &lines, &["operator", "password"])
            .ok();
        let app = server.cli(&["--json", "operator", "totp"]).ok().json();
        let code = app_code(app["secret"].as_str().unwrap());
        server.cli(&["operator", "totp", "--confirm", &code]).ok();
        let codes = server
            .cli(&["--json", "operator", "recovery-codes"])
            .ok()
            .json();
        let codes = codes["codes"].as_array().unwrap().iter();
        let codes = codes
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        Self {
            daemon,
            server,
            codes,
        }
    }

    /// Where the pages are: by the name to which passkeys can be bound.
    pub(crate) fn page(&self, path: &str) -> String {
        let url = self.server.url().replace("127.0.0.1", "localhost");
        format!("{url}{path}")
    }

    /// The agent asks for names of the project.
    pub(crate) fn ask(&self, names: &[&str]) {
        let _ = self
            .daemon
            .run_for(self.server.folder(), "orders", names, &["true"])
            .code(75);
    }

    /// Signs in by keyboard alone, from the page that is shown.
    pub(crate) fn sign_in(&mut self, browser: &Browser) {
        browser.tab_to("Name");
        browser.press("alice");
        browser.tab_to("Password");
        browser.press(PASSPHRASE);
        browser.tab_to("Code");
        browser.press(&self.codes.pop().expect("a code is left"));
        browser.leave(|browser| browser.press(ENTER));
    }
}

/// The code that an authenticator app with this secret shows now.
pub(crate) fn app_code(secret: &str) -> String {
    let secret = TotpSecret::from_base32(secret).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let code = secret.code(totp_step(Timestamp::from_secs(now.as_secs())));
    code.expose().clone()
}
