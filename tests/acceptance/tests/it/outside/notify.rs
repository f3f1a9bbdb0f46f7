//! Notifications against receivers that are not ours: webhooks looked at by another
//! implementation of RFC 9421 and by the code of the guide, and a mail server.

use super::Program;
use crate::scene::{CANARY, PATIENCE, Scene};
use procura_acceptance::{Guide, Installation, Receiver, Search, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The password at the mail server, and a part of each URL.
pub(super) const PASSWORD: &str = "password-canary-1f6b0c93d2aa";

const NETWORKS: &str = "notify_networks = [\"127.0.0.0/8\", \"::1\"]\n";

/// Where `./x setup` puts the library that looks at signatures.
fn library() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let venv = target.join("http-signatures/lib");
    let python = std::fs::read_dir(&venv)
        .unwrap_or_else(|_| panic!("{} is missing; run ./x setup", venv.display()));
    let python = python.map(|entry| entry.unwrap().path()).next().unwrap();
    python.join("site-packages")
}

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/notifications.md")
}

pub(super) fn server() -> Installation {
    let server = Installation::configured(NETWORKS);
    server.cli(&["namespace", "create", "shop"]).ok();
    server
}

/// An agent that is made and revoked: something to tell of.
pub(super) fn revocation(server: &Installation, label: &str) {
    server.cli(&["-n", "shop", "agent", "add", label]).ok();
    server.cli(&["-n", "shop", "agent", "revoke", label]).ok();
}

pub(super) fn route(server: &Installation, events: &[&str]) {
    let add = ["-n", "shop", "notify", "route", "add", "all"];
    let events: Vec<&str> = events.iter().flat_map(|event| ["--event", event]).collect();
    let words = [&add[..], &["--channel", "ops"], &events[..]].concat();
    server.cli(&words).ok();
}

#[test]
fn webhooks_are_believed_as_they_are_and_not_changed() {
    let server = server();
    let (library, guide) = (library(), guide());
    let words = [library.to_str().unwrap(), guide.to_str().unwrap(), "shop"];
    let mut receiver = Program::python("webhook_receiver.py", &words);
    let url = receiver.url();
    let set = Command::new("curl")
        .args(["-sS", "--fail"])
        .arg(format!(
            "{}/.well-known/jwks/procura-webhook.json",
            server.url()
        ))
        .output()
        .unwrap();
    receiver.tell(String::from_utf8(set.stdout).unwrap().trim());
    let add = ["-n", "shop", "notify", "channel", "add", "ops"];
    let add = [&add[..], &["--kind", "webhook"]].concat();
    let hook = format!("{url}/hook?key={PASSWORD}\n");
    server.cli_with(&add, hook.as_bytes()).ok();
    route(&server, &["revocation"]);
    server
        .cli(&["-n", "shop", "notify", "channel", "test", "ops"])
        .ok();
    revocation(&server, "scribe");
    for (kind, action) in [("test", None), ("one", Some("agent.revoke"))] {
        let said = receiver.hear();
        assert_eq!(said["library"], true, "{said}");
        let id = said["body"]["id"].as_str().unwrap();
        assert_eq!(said["guide"], format!("\"{id}\""), "{said}");
        assert_eq!(said["again"], Value::Null, "{said}");
        assert_eq!(said["late"], Value::Null, "{said}");
        for (change, answers) in said["changed"].as_object().unwrap() {
            assert_eq!(answers[0], "InvalidSignature", "{change}: {said}");
            assert_eq!(answers[1], Value::Null, "{change}: {said}");
        }
        assert_eq!(said["body"]["kind"], kind);
        assert_eq!(
            said["body"]["events"][0]["action"].as_str(),
            action,
            "{said}"
        );
    }
    let mut search = Search::new(PASSWORD);
    search.bytes("the log", server.server_said().as_bytes());
    search.folder(&server.home());
    search.assert_nowhere();
}

/// A mail server with a certificate for a name.
pub(super) struct Mail {
    pub(super) program: Program,
    port: String,
    ca: String,
    /// What it was started with, but for the port.
    words: Vec<String>,
}

impl Mail {
    pub(super) fn start(server: &Installation, way: &str, name: &str) -> Self {
        let file = |end: &str| server.folder().join(format!("{way}-{name}.{end}"));
        let (certificate, key) = (file("crt"), file("key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
            .args([
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-subj",
                "/CN=mail",
            ])
            .args(["-addext", &format!("subjectAltName=DNS:{name}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let words = [way, certificate, key, "procura", PASSWORD];
        Self::running(words.map(str::to_owned).to_vec(), "0")
    }

    fn running(words: Vec<String>, port: &str) -> Self {
        let all: Vec<&str> = words.iter().map(String::as_str).chain([port]).collect();
        let program = Program::python("mail_server.py", &all);
        let port = program.hear()["port"].to_string();
        Self {
            program,
            port,
            ca: words[1].clone(),
            words,
        }
    }

    /// Ends it as a failure of power would, and starts it where it was once something has
    /// happened meanwhile.
    pub(super) fn down(self, meanwhile: impl FnOnce()) -> Self {
        let Self {
            program,
            port,
            words,
            ..
        } = self;
        drop(program);
        meanwhile();
        Self::running(words, &port)
    }

    /// Has it answer so from here on.
    pub(super) fn answers(&mut self, line: &str) {
        self.program.tell(line);
        // On a slow machine somebody tries it again meanwhile, and hears what was so before.
        loop {
            let said = self.program.hear();
            if said == json!({"answers": line}) {
                return;
            }
            assert!(said["turned_away"].is_u64(), "{said}");
        }
    }

    /// Its next message, which has to tell of the revocation of this agent.
    pub(super) fn hears_of(&self, agent: &str) -> Value {
        let got = self.program.hear();
        let subject = "[procura] revocation in shop: agent.revoke";
        assert_eq!(got["subject"], subject, "{got}");
        let text = got["text"].as_str().unwrap();
        assert!(text.contains(agent), "{agent}: {text}");
        got
    }

    pub(super) fn channel(&self, server: &Installation, way: &str, password: &str) {
        let add = ["-n", "shop", "notify", "channel", "add", "ops", "--kind"];
        let of = ["mail", "--host", "localhost", "--port", &self.port];
        let from = ["--from", "procura@example.com", "--user", "procura"];
        let to = ["--to", "ops@example.com", "--to", "sec@example.com"];
        let tls = ["--tls", way, "--receiver-ca", &self.ca];
        let words = [&add[..], &of[..], &from[..], &to[..], &tls[..]].concat();
        server.cli_with(&words, password.as_bytes()).ok();
    }
}

fn tried(server: &Installation) -> procura_acceptance::Outcome {
    server.cli(&["-n", "shop", "notify", "channel", "test", "ops"])
}

#[test]
fn a_mail_server_gets_messages_encrypted_and_after_a_login() {
    for way in ["starttls", "tls"] {
        let server = server();
        let mail = Mail::start(&server, way, "localhost");
        mail.channel(&server, way, PASSWORD);
        tried(&server).ok();
        let got = mail.program.hear();
        assert_eq!(got["from"], "procura@example.com", "{got}");
        assert_eq!(got["to"], json!(["ops@example.com", "sec@example.com"]));
        assert_eq!(
            (&got["encrypted"], &got["login"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(got["subject"], "[procura] test");
        let text = got["text"].as_str().unwrap();
        assert!(text.contains("a test of the channel ops"), "{got}");
        route(&server, &[]);
        revocation(&server, "scribe");
        let got = mail.program.hear();
        assert_eq!(got["subject"], "[procura] revocation in shop: agent.revoke");
        let names: Vec<&str> = got["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let expected = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ];
        assert_eq!(names, expected);
        let id = got["id"].as_str().unwrap();
        assert!(id.ends_with(".shop.ops@example.com>"), "{id}");
        // A wrong password is said, and neither it nor the right one.
        mail.channel(&server, way, "wrong-password-canary-000000");
        let refused = tried(&server).code(69);
        let refused = refused.says("refused the login (535)");
        let said = format!("{}{}", refused.text(), refused.stderr);
        for secret in [PASSWORD, "wrong-password-canary"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert_eq!(mail.program.hear(), json!({"refused": "procura"}));
        let mut search = Search::new(PASSWORD);
        search.bytes("the log", server.server_said().as_bytes());
        search.folder(&server.home());
        search.assert_nowhere();
    }
}

#[test]
fn a_mail_server_that_is_not_what_it_should_be_gets_nothing() {
    let server = server();
    let other = Mail::start(&server, "starttls", "mail.example.com");
    other.channel(&server, "starttls", PASSWORD);
    let _ = tried(&server)
        .code(69)
        .says("its certificate is for another name");
    // What begins with TLS does not answer one that begins in clear, and the other way.
    let way = Mail::start(&server, "tls", "localhost");
    way.channel(&server, "starttls", PASSWORD);
    let _ = tried(&server).code(69);
    let plain = Mail::start(&server, "starttls", "localhost");
    plain.channel(&server, "tls", PASSWORD);
    let _ = tried(&server)
        .code(69)
        .says("TLS with the mail server failed");
    for mail in [other, way, plain] {
        assert_eq!(mail.program.unheard(), Vec::<Value>::new());
    }
}

#[test]
fn a_request_is_told_with_its_command_and_without_its_value() {
    let scene = Scene::configured(NETWORKS);
    let server = &scene.server;
    let mail = Mail::start(server, "starttls", "localhost");
    mail.channel(server, "starttls", PASSWORD);
    route(server, &["request"]);
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    let got = mail.program.hear();
    let text = got["text"].as_str().unwrap();
    let request = scene.waiting();
    let command = format!("procura request approve {request} --namespace shop");
    assert!(text.contains("asks for API_KEY"), "{text}");
    assert!(text.contains(&command), "{text}");
    assert!(!got.to_string().contains(CANARY), "{got}");
    // What it says is what can be typed.
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    server.cli(&words).ok();
    until("nothing waits", PATIENCE, || {
        let queue = ["-n", "shop", "--json", "notify", "queue"];
        let queue = server.cli(&queue).ok().json();
        (queue["channels"][0]["waiting"] == 0).then_some(())
    });
}

#[test]
fn what_was_given_up_is_listed_tried_again_and_forgotten() {
    let server = server();
    let notify = |words: &[&str]| {
        let all = [&["-n", "shop", "--json", "notify"][..], words].concat();
        server.cli(&all).ok().json()
    };
    // The server's own API, where nothing takes messages.
    let hook = format!("{}/nothing\n", server.url());
    let add = ["-n", "shop", "notify", "channel", "add", "ops"];
    let add = [&add[..], &["--kind", "webhook"]].concat();
    server.cli_with(&add, hook.as_bytes()).ok();
    route(&server, &["revocation"]);
    for label in ["scribe", "baker"] {
        revocation(&server, label);
    }
    let given_up = |count: u64| {
        until("they are given up", PATIENCE, || {
            let queue = notify(&["queue"]);
            (queue["channels"][0]["dead"] == count && queue["channels"][0]["waiting"] == 0)
                .then_some(())
        });
    };
    given_up(2);
    let dead = notify(&["dead", "list"]);
    let first = dead["deliveries"][0].clone();
    assert_eq!(first["action"], "agent.revoke");
    let why = "the receiver does not know the channel's credential (404)";
    assert_eq!(first["failure"], why);
    let table = server.cli(&["-n", "shop", "notify", "dead", "list"]).ok();
    assert!(table.text().contains(why), "{}", table.text());
    let id = first["id"].as_str().unwrap();
    assert_eq!(notify(&["dead", "drop", id]), json!({"dropped": 1}));
    let again = notify(&["dead", "retry", "--channel", "ops"]);
    assert_eq!(again, json!({"retried": 1}));
    given_up(1);
    // A channel that a route leads to stays; without it, it goes.
    let remove = ["-n", "shop", "notify", "channel", "remove", "ops"];
    let _ = server.cli(&remove).code(77).says("leads to the channel");
    assert_eq!(
        notify(&["route", "remove", "all"]),
        json!({"removed": "all"})
    );
    assert_eq!(
        notify(&["channel", "remove", "ops"]),
        json!({"removed": "ops"})
    );
    assert_eq!(notify(&["channel", "list"]), json!({"channels": []}));
}

#[test]
fn people_are_told_as_the_guide_says() {
    let receiver = Receiver::start();
    let bots = receiver.url("/telegram");
    let networks = format!("{NETWORKS}danger_telegram_api = \"{bots}\"\n");
    let scene = Scene::configured(&networks);
    let server = &scene.server;
    let mail = Mail::start(server, "starttls", "localhost");
    let keep = |name: &str, text: &str| std::fs::write(server.folder().join(name), text).unwrap();
    keep("url.txt", &format!("{}\n", receiver.url("/slack")));
    keep("token.txt", "7:token-of-the-bot\n");
    keep("hook.txt", &format!("{}\n", receiver.url("/hook")));
    keep("password.txt", &format!("{PASSWORD}\n"));
    std::fs::copy(&mail.ca, server.folder().join("mail-ca.pem")).unwrap();
    let mut guide = Guide::open("guides/notifications.md", server.folder());
    for (name, value) in [
        ("PROCURA_HOME", server.home().to_str().unwrap()),
        ("PROCURA_SERVER", server.url()),
        ("PROCURA_NAMESPACE", "shop"),
        ("MAIL_HOST", "localhost"),
        ("MAIL_PORT", &mail.port),
    ] {
        guide.set(name, value);
    }
    guide.block();
    let (path, said) = receiver.hear();
    assert_eq!(path, "/slack", "{said}");
    assert!(said["text"].as_str().unwrap().contains("a test"), "{said}");
    let (path, said) = receiver.hear();
    assert_eq!(path, "/telegram/bot7:token-of-the-bot/sendMessage");
    assert_eq!(said["chat_id"], "-1001234", "{said}");
    guide.block();
    assert_eq!(mail.program.hear()["subject"], "[procura] test");
    let said = guide.block();
    assert!(
        said.contains("requests") && said.contains("critical"),
        "{said}"
    );

    // The URL is not known there any more, and then again.
    receiver.answer(404);
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    until("it is given up", PATIENCE, || {
        let queue = ["-n", "shop", "--json", "notify", "queue"];
        let queue = server.cli(&queue).ok().json();
        let channels = queue["channels"].as_array().unwrap().iter();
        let mut ops = channels.filter(|channel| channel["channel"] == "ops");
        (ops.next()?["dead"] == 1).then_some(())
    });
    let said = guide.block();
    assert!(said.contains("ops/") && said.contains("404"), "{said}");
    assert_eq!(receiver.unheard(), Vec::new());
    receiver.answer(200);
    guide.block();
    let (path, said) = receiver.hear();
    assert_eq!(path, "/slack");
    let text = said["text"].as_str().unwrap();
    let command = format!(
        "procura request approve {} --namespace shop",
        scene.waiting()
    );
    assert!(
        text.contains("asks for API_KEY") && text.contains(&command),
        "{text}"
    );
    assert!(!text.contains(CANARY), "{text}");

    guide.block();
    guide.is_done();
    let (path, said) = receiver.hear();
    assert_eq!((path.as_str(), &said["kind"]), ("/hook", &json!("test")));
    let keys: Value = serde_json::from_str(&guide.file("jwks.json")).unwrap();
    assert_eq!(keys["keys"][0]["alg"], "EdDSA", "{keys}");
}
