//! A server with pages, an owner who can sign in, and an agent that waits.

use procura_acceptance::{Daemon, Installation, PASSPHRASE};
use procura_browser::{Browser, ENTER};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// One server, one host of the agent `scribe` of project `orders`.
pub(crate) struct Site {
    pub(crate) daemon: Daemon,
    pub(crate) server: Installation,
    /// What alice's authenticator app scanned.
    app: String,
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
        let app = app["uri"].as_str().unwrap().to_owned();
        let code = app_code(&app, 0);
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
            app,
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

    /// Signs in by keyboard alone, from the page that is shown, with a recovery code.
    pub(crate) fn sign_in(&mut self, browser: &Browser) {
        let code = self.codes.pop().expect("a code is left");
        sign_in(browser, &code);
    }

    /// The same with the code of the app: of the step after this one, as the one of now may
    /// have been used when the app was set up.
    pub(crate) fn sign_in_by_app(&self, browser: &Browser) {
        sign_in(browser, &app_code(&self.app, 1));
    }
}

fn sign_in(browser: &Browser, code: &str) {
    for (field, typed) in [("Name", "alice"), ("Password", PASSPHRASE), ("Code", code)] {
        browser.tab_to(field);
        browser.press(typed);
    }
    browser.leave(|browser| browser.press(ENTER));
}

/// The code that an authenticator app which scanned this shows so many steps from now. The
/// app is a program of others.
pub(crate) fn app_code(scanned: &str, steps: u32) -> String {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../acceptance/clients");
    // The Python that the packages of the system are for.
    let mut app = Command::new("/usr/bin/python3")
        .arg("-B")
        .arg(clients.join("totp.py"))
        .arg(steps.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("python3: {error}; run ./x setup first"));
    let mut stdin = app.stdin.take().unwrap();
    stdin.write_all(scanned.as_bytes()).unwrap();
    drop(stdin);
    let shown = app.wait_with_output().unwrap();
    assert!(shown.status.success(), "{}", shown.status);
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}
