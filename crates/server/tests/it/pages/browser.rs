//! A browser: it keeps cookies, says where a form comes from, and fills one in.

use crate::actors::Actors;
use crate::world::{AUTHORITY, Answer, Sent, World};
use procura_crypto::{TotpSecret, totp_step};
use procura_server::Web;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The origin of the pages in a [`World`].
pub(crate) const ORIGIN: &str = "http://127.0.0.1:7310";
/// The cookie of a web login there.
pub(crate) const LOGIN: &str = "procura-login";
/// The cookie of before a sign-in there.
pub(crate) const VISIT: &str = "procura-visit";
/// Every operator's here.
pub(crate) const PASSWORD: &str = "correct horse battery 7";

/// Everybody, on a server with pages.
pub(crate) async fn served() -> Actors {
    Actors::within(World::configured(|config| {
        config.web = Web {
            enabled: true,
            origin: None,
        };
    }))
    .await
}

/// Somebody who can sign in: a name, an authenticator app, and recovery codes that are left.
pub(crate) struct Person {
    name: &'static str,
    app: TotpSecret,
    codes: Vec<String>,
}

impl Person {
    /// Sets an operator's password, authenticator app and recovery codes, by their device.
    pub(crate) async fn new(actors: &Actors, name: &'static str) -> Self {
        let at = format!("/v1/operators/{name}");
        let password = json!({"password": PASSWORD});
        actors
            .ok(name, "PUT", &format!("{at}/password"), password)
            .await;
        let app = actors
            .ok(name, "POST", &format!("{at}/totp"), Value::Null)
            .await;
        let app = TotpSecret::from_base32(app["secret"].as_str().unwrap()).unwrap();
        let code = app.code(totp_step(actors.world.now()));
        let confirm = json!({"code": code.expose()});
        actors
            .ok(name, "POST", &format!("{at}/totp/confirm"), confirm)
            .await;
        let codes = actors
            .ok(name, "POST", &format!("{at}/recovery-codes"), Value::Null)
            .await;
        let codes = codes["codes"].as_array().unwrap().iter();
        Self {
            name,
            app,
            codes: codes
                .map(|code| code.as_str().unwrap().to_owned())
                .collect(),
        }
    }

    /// A recovery code that was not used yet: as many sign in with these at one moment as
    /// there are, where the app has one code for each.
    pub(crate) fn code(&mut self) -> String {
        self.codes.pop().expect("a recovery code is left")
    }

    /// The code that the app shows so many steps of 30 seconds from now. The one of the
    /// moment when it was set up was used by that.
    pub(crate) fn app_code(&self, world: &World, steps: i64) -> String {
        let step = totp_step(world.now()).checked_add_signed(steps).unwrap();
        self.app.code(step).expose().clone()
    }

    /// Another browser, in which this person is signed in.
    pub(crate) async fn browser<'a>(&mut self, world: &'a World) -> Browser<'a> {
        let mut browser = Browser::new(world);
        let code = self.code();
        let answer = browser.sign_in(self.name, PASSWORD, &code).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        browser
    }
}

/// A browser.
#[derive(Clone)]
pub(crate) struct Browser<'a> {
    world: &'a World,
    /// By which of its names it has the server in its address bar.
    authority: &'static str,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) const fn new(world: &'a World) -> Self {
        Self::at(world, AUTHORITY)
    }

    /// One that opens the pages by another name of the server.
    pub(crate) const fn at(world: &'a World, authority: &'static str) -> Self {
        Self {
            world,
            authority,
            cookies: BTreeMap::new(),
        }
    }

    /// A request as this browser would send it, without what says where it comes from.
    pub(crate) fn sent(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Sent {
        let mut sent = Sent::new(method, target, None);
        sent.set("host", |_| self.authority.to_owned());
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            sent.headers.push(("cookie".to_owned(), cookies.join("; ")));
        }
        if method == "POST" {
            let kind = "application/x-www-form-urlencoded";
            sent.headers
                .push(("content-type".to_owned(), kind.to_owned()));
            sent.body = encoded(fields).into_bytes();
        }
        sent
    }

    /// Sends it, and keeps the cookies of the answer.
    pub(crate) async fn send(&mut self, sent: &Sent) -> Answer {
        let answer = self.world.send(sent).await;
        for line in answer.headers.get_all("set-cookie") {
            let (pair, attributes) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Looks at a page, by its address or a link of ours.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        let sent = self.sent("GET", target, &[]);
        self.send(&sent).await
    }

    /// A form as one of our pages sends it.
    pub(crate) fn form(&self, target: &str, fields: &[(&str, &str)]) -> Sent {
        let mut sent = self.sent("POST", target, fields);
        let origin = format!("http://{}", self.authority);
        let own = [
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        for (name, value) in own {
            sent.headers.push((name.to_owned(), value.to_owned()));
        }
        sent
    }

    /// Sends a form with the token of a page.
    pub(crate) async fn post(
        &mut self,
        target: &str,
        token: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let fields = [&[("csrf", token)], fields].concat();
        let sent = self.form(target, &fields);
        self.send(&sent).await
    }

    /// What the script sends.
    pub(crate) async fn call(&mut self, target: &str, token: &str, body: &Value) -> Answer {
        let mut sent = self.form(target, &[]);
        sent.set("content-type", |_| "application/json".to_owned());
        let field = ("x-procura-csrf".to_owned(), token.to_owned());
        sent.headers.push(field);
        sent.body = serde_json::to_vec(body).unwrap();
        self.send(&sent).await
    }

    /// The token that the forms of a page carry.
    pub(crate) async fn token(&mut self, page: &str) -> String {
        let answer = self.get(page).await;
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        token(&answer)
    }

    /// Fills in the form of the sign-in.
    pub(crate) async fn sign_in(&mut self, name: &str, password: &str, code: &str) -> Answer {
        let token = self.token("/sign-in").await;
        let typed = [
            ("next", ""),
            ("name", name),
            ("password", password),
            ("code", code),
        ];
        self.post("/sign-in", &token, &typed).await
    }
}

/// The token in a page: in a form, or on the button of a ceremony.
pub(crate) fn token(answer: &Answer) -> String {
    let text = answer.text();
    let marks = ["name=\"csrf\" value=\"", "data-csrf=\""];
    let (_, rest) = marks
        .iter()
        .find_map(|mark| text.split_once(mark))
        .unwrap_or_else(|| panic!("no form: {text}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Fields as browsers send them.
pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let bytes = text.bytes();
        bytes
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    char::from(byte).to_string()
                }
                b' ' => "+".to_owned(),
                other => format!("%{other:02X}"),
            })
            .collect::<String>()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    pairs.join("&")
}
