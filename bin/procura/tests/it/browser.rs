//! A browser without scripts: curl, which keeps cookies and says where a form comes from.

use procura_crypto::{TotpSecret, totp_step};
use procura_types::Timestamp;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::NamedTempFile;

/// What a browser shows.
pub(crate) struct Page {
    pub(crate) status: u16,
    /// Where it leads on to.
    pub(crate) to: String,
    pub(crate) text: String,
}

pub(crate) struct Browser {
    origin: String,
    cookies: NamedTempFile,
}

impl Browser {
    /// One that nobody is signed in with, at the pages of this server.
    pub(crate) fn at(url: &str) -> Self {
        Self {
            origin: url.to_owned(),
            cookies: NamedTempFile::new().unwrap(),
        }
    }

    /// The same browser, with all its cookies, after the server has moved.
    pub(crate) fn moved(mut self, url: &str) -> Self {
        url.clone_into(&mut self.origin);
        self
    }

    fn ask(&self, path: &str, more: &[String]) -> Page {
        let jar = self.cookies.path();
        let body = NamedTempFile::new().unwrap();
        let output = Command::new("curl")
            .args(["-sS", "-w", "%{http_code} %{redirect_url}", "-b"])
            .arg(jar)
            .arg("-c")
            .arg(jar)
            .arg("-o")
            .arg(body.path())
            .args(more)
            .arg(format!("{}{path}", self.origin))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path}: {problem}");
        let (status, to) = said.split_once(' ').unwrap();
        Page {
            status: status.parse().unwrap(),
            to: to.to_owned(),
            text: std::fs::read_to_string(body.path()).unwrap(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Page {
        self.ask(path, &[])
    }

    /// Fills in the form of the sign-in.
    pub(crate) fn sign_in(&self, name: &str, password: &str, code: &str) -> Page {
        let form = self.get("/sign-in").text;
        let (_, rest) = form
            .split_once("name=\"csrf\" value=\"")
            .unwrap_or_else(|| panic!("no form: {form}"));
        let token = rest.split('"').next().unwrap();
        let mut words = vec!["-H".to_owned(), format!("Origin: {}", self.origin)];
        for (field, typed) in [
            ("csrf", token),
            ("next", ""),
            ("name", name),
            ("password", password),
            ("code", code),
        ] {
            words.extend(["--data-urlencode".to_owned(), format!("{field}={typed}")]);
        }
        self.ask("/sign-in", &words)
    }

    /// Whether the page of the account is shown, which takes a web login.
    pub(crate) fn is_signed_in(&self) -> bool {
        let page = self.get("/account");
        assert!(
            page.status == 200 || page.to.contains("/sign-in"),
            "{} {}: {}",
            page.status,
            page.to,
            page.text
        );
        page.status == 200
    }
}

/// The code that an authenticator app with this secret shows now.
#[expect(
    clippy::disallowed_methods,
    reason = "the server of a test goes by the machine's clock"
)]
pub(crate) fn code(secret: &str) -> String {
    let secret = TotpSecret::from_base32(secret).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let step = totp_step(Timestamp::from_secs(now.as_secs()));
    secret.code(step).expose().clone()
}
