//! The command line and the daemon of CortexAuth, an imitation by its documented formats, while
//! their host is moved: they log in, wait for people, run a program and give its exit code.

use super::Program;
use crate::scene::{CANARY, PATIENCE, orders, requests};
use procura_acceptance::{Guide, Installation, Outcome, until};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The id of the agent of the old system. It is no name here: the import makes `scribe-1` of it.
const ID: &str = "scribe_1";
/// What the client's programs do with a value.
const SHOWS: &str = "run orders printf %s \"$API_KEY\"; exit 7";
/// The same, for the project of the guide.
const SHOWS_SHOP: &str = "run \"My Shop\" printf %s \"$API_KEY\"; exit 7";

/// Has the client do one thing, and gives what it says of it.
#[track_caller]
fn does(client: &mut Program, line: &str) -> Value {
    client.tell(line);
    let said = client.hear();
    assert_eq!(said["step"], line.split(' ').next().unwrap(), "{said}");
    said
}

#[track_caller]
fn refused(client: &mut Program, line: &str, status: u16, code: &str) -> Value {
    let said = does(client, line);
    let found = (&said["status"], &said["code"]);
    assert_eq!(found, (&json!(status), &json!(code)), "{line}: {said}");
    said
}

/// A program runs with the value, and its exit code is told.
#[track_caller]
fn does_run(client: &mut Program, line: &str) -> Value {
    let ran = does(client, line);
    let found = (&ran["exit_code"], &ran["out"], &ran["names"]);
    let expected = (&json!(7), &json!(CANARY), &json!(["API_KEY"]));
    assert_eq!(found, expected, "{ran}");
    ran
}

/// The same, after so many discoveries.
#[track_caller]
fn runs(client: &mut Program, line: &str, discoveries: u32) {
    let ran = does_run(client, line);
    assert_eq!(ran["discovered"], discoveries, "{ran}");
}

fn cli(server: &Installation, words: &[&str]) -> Outcome {
    server.cli(&[&["-n", "shop"], words].concat())
}

/// An installation that serves such clients, with an agent as the import leaves it.
struct Moving {
    server: Installation,
    client: Program,
    file: PathBuf,
}

impl Moving {
    fn begin() -> Self {
        let server = Installation::configured("cortexauth = true\n");
        server.cli(&["namespace", "create", "shop"]).ok();
        server.put("shop", "api/key", CANARY.as_bytes());
        cli(&server, &["agent", "add", "scribe", "--no-code"]).ok();
        cli(&server, &["agent", "foreign", "bind", ID, "scribe"]).ok();
        orders(&server, "shop", "scribe");
        let folder = server.folder().join("cortex");
        let words = [server.url(), folder.to_str().unwrap(), ID];
        let mut client = Program::python("cortexauth.py", &words);
        let line = does(&mut client, "key")["line"]
            .as_str()
            .unwrap()
            .to_owned();
        let file = crate::verify::file(&server, ID);
        std::fs::write(&file, line + "\n").unwrap();
        std::fs::write(folder.join(".env"), "# before\nAPI_KEY=old-value\n").unwrap();
        Self {
            server,
            client,
            file,
        }
    }

    /// Logs in, with a yes of an operator, and starts the daemon.
    fn in_with_a_yes(&mut self) {
        let asked = does(&mut self.client, "login");
        let code = asked["code"].as_str().unwrap();
        let approve = ["device", "approve", code, "--agent", "scribe"];
        cli(&self.server, &approve).ok();
        assert_eq!(does(&mut self.client, "poll")["status"], 200);
        assert_eq!(does(&mut self.client, "start")["status"], 200);
    }

    /// The client asks, an operator says yes, and the request is the grant from then on.
    fn granted(&mut self, line: &str) -> String {
        let waits = refused(&mut self.client, line, 403, "pending_approval");
        let grant = waits["grant"].as_str().unwrap().to_owned();
        cli(&self.server, &["request", "approve", &grant]).ok();
        grant
    }

    /// The client runs a program with the value, and asks so often for a token to do it.
    #[track_caller]
    fn runs_after(&mut self, discoveries: u32) {
        runs(&mut self.client, SHOWS, discoveries);
    }

    #[track_caller]
    fn runs(&mut self) {
        does_run(&mut self.client, SHOWS);
    }

    fn restart(&mut self) {
        self.server.kill();
        self.server.start_again();
        self.server.unseal().ok();
    }
}

#[test]
fn its_command_line_and_daemon_run_a_program_and_give_its_exit_code() {
    let mut moving = Moving::begin();
    let asked = does(&mut moving.client, "login");
    let url = format!("{}/device", moving.server.url());
    assert_eq!(
        (&asked["status"], &asked["url"]),
        (&json!(200), &json!(url))
    );
    let waits = does(&mut moving.client, "poll");
    let found = (&waits["status"], &waits["code"], &waits["waits"]);
    assert_eq!(
        found,
        (&json!(401), &json!("authorization_pending"), &json!(true))
    );

    let code = asked["code"].as_str().unwrap();
    let pending = cli(&moving.server, &["device", "pending"]).ok().text();
    assert!(pending.contains("cortex-cli (CortexAuth)"), "{pending}");
    assert!(!pending.contains(code));
    cli(
        &moving.server,
        &["device", "approve", code, "--agent", "scribe"],
    )
    .code(0)
    .says("A client of CortexAuth asks to log in")
    .says("cortex-cli (as it says itself)")
    .ok();
    // The yes is durable.
    moving.restart();
    let got = does(&mut moving.client, "poll");
    let found = (&got["status"], &got["type"], &got["agent"], &got["days"]);
    assert_eq!(
        found,
        (&json!(200), &json!("Bearer"), &json!(ID), &json!(30))
    );
    refused(&mut moving.client, "poll", 403, "collected");
    let verified = does(&mut moving.client, "jwks");
    assert_eq!(verified["typ"], "procura-legacy+jwt");

    let started = does(&mut moving.client, "start");
    let found = (&started["status"], &started["agent"], &started["enforced"]);
    assert_eq!(found, (&json!(200), &json!(ID), &json!(false)));
    let waits = refused(&mut moving.client, SHOWS, 403, "pending_approval");
    assert_eq!(waits["keys"], json!(["API_KEY"]));
    let waiting = requests(&moving.server, "shop");
    assert_eq!(
        (&waiting[0]["id"], &waiting[0]["delivery"]),
        (&waits["grant"], &json!("http"))
    );
    moving.granted(SHOWS);
    moving.runs();
    // Of programs that are started at once each uses the token that was asked for it.
    for (line, count) in [("together orders 2", 2), ("together orders 12", 8)] {
        let all = does(&mut moving.client, line);
        assert_eq!(
            (&all["refused"], &all["run"]),
            (&json!([]), &json!(count)),
            "{all}"
        );
    }

    // Neither session nor token is the server's to forget; a proof is used once, also behind
    // its back.
    moving.runs();
    refused(&mut moving.client, "again", 401, "nonce_replayed");
    moving.restart();
    refused(&mut moving.client, "again", 401, "nonce_replayed");
    moving.runs_after(0);
    for (what, code) in [
        ("ts", "bad_signature"),
        ("method", "bad_signature"),
        ("path", "bad_signature"),
        ("body", "bad_signature"),
        ("token", "bad_signature"),
        ("session", "session_unknown"),
    ] {
        let line = format!("forged {what} orders");
        refused(&mut moving.client, &line, 401, code);
    }

    // A daemon that is started again has the tokens of before in its file. They are over
    // with its process, which alarms nobody, and it asks anew by itself.
    assert_eq!(does(&mut moving.client, "start")["status"], 200);
    moving.runs_after(1);
    moving.runs_after(0);
    // Of one that is over by what was told of it, it does not ask for values.
    let file = moving.server.folder().join("cortex/daemon-projects.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut tokens: Value = serde_json::from_str(&text).unwrap();
    tokens["orders"]["expires_at"] = json!("2026-01-02T03:04:05Z");
    std::fs::write(&file, tokens.to_string()).unwrap();
    assert_eq!(does(&mut moving.client, "start")["status"], 200);
    moving.runs_after(1);

    // What was given is in the record, and neither value nor token is anywhere.
    let list = ["--json", "audit", "list", "--everywhere", "--limit", "1000"];
    let record = moving.server.cli(&list).ok().text();
    for text in [record.as_str(), &moving.server.server_said()] {
        for secret in [CANARY, "old-value", "pcp1_", "eyJ", code] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    for action in ["legacy.login", "legacy.attest", "project_token.use"] {
        assert!(record.contains(action), "{action}");
    }
    // What was refused is written a moment later.
    let record = until("a token of before", PATIENCE, || {
        let record = moving.server.cli(&list).ok().text();
        record.contains("token_revoked").then_some(record)
    });
    assert!(!record.contains("token_device"), "{record}");
    assert!(moving.client.rest().is_empty());
}

#[test]
fn what_is_taken_back_ends_at_the_next_request() {
    let mut moving = Moving::begin();
    moving.in_with_a_yes();
    let grant = moving.granted(SHOWS);
    moving.runs();
    // It throws its token away, asks anew, and waits.
    cli(&moving.server, &["grant", "withdraw", &grant]).ok();
    refused(&mut moving.client, SHOWS, 403, "pending_approval");
    moving.granted(SHOWS);
    moving.runs();

    // A template that the project maps, with its values.
    let text = b"listen 80;\npassword {{procura:API_KEY}};\n";
    let put = ["-n", "shop", "secret", "put", "nginx", "--kind", "template"];
    moving.server.cli_with(&put, text).ok();
    refused(&mut moving.client, "config orders nginx", 404, "not_found");
    cli(
        &moving.server,
        &["project", "set", "orders", "--env", "NGINX=nginx"],
    )
    .ok();
    moving.granted("config orders nginx");
    let got = does(&mut moving.client, "config orders nginx");
    let expected = format!("listen 80;\npassword {CANARY};\n");
    assert_eq!(got["text"], expected, "{got}");

    // Its key is removed, and put back: what was given to it is over, the login is not.
    let key = std::fs::read(&moving.file).unwrap();
    std::fs::remove_file(&moving.file).unwrap();
    refused(&mut moving.client, SHOWS, 401, "unknown_agent");
    std::fs::write(&moving.file, key).unwrap();
    refused(&mut moving.client, SHOWS, 401, "session_unknown");
    assert_eq!(does(&mut moving.client, "start")["status"], 200);
    moving.runs();
    cli(&moving.server, &["agent", "foreign", "release", ID]).ok();
    refused(&mut moving.client, "start", 401, "unknown_agent");
}

/// From a database of the old system to its last host, as the guide says, with a project
/// whose name has a space.
#[test]
fn the_guide_leads_from_a_database_to_the_end_of_the_adapter() {
    const PASSWORD: &str = "the password of the old vault";
    let mut server = Installation::configured("");
    let folder = server.folder().to_owned();
    let cortex = folder.join("cortex");
    let words = [server.url(), cortex.to_str().unwrap(), ID];
    let mut client = Program::python("cortexauth.py", &words);
    let key = does(&mut client, "key");
    let database = folder.join("cortex.db");
    let (file, public) = (database.to_str().unwrap(), key["public"].as_str().unwrap());
    let words = [file, PASSWORD, ID, public, CANARY];
    let made = Program::python("cortexauth_database.py", &words).rest();
    assert_eq!(made[0]["step"], "made", "{made:?}");
    std::fs::write(folder.join("cortex-password.txt"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(cortex.join(".env"), "API_KEY=old-value\n").unwrap();

    let mut guide = Guide::open("guides/from-cortexauth.md", &folder);
    guide.set("PROCURA_HOME", server.home().to_str().unwrap());
    guide.set("PROCURA_SERVER", server.url());
    // 1: all of it, and who may ask.
    let said = guide.block();
    for part in [ID, "my-shop", "api/key"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = guide.block();
    for part in ["API_KEY", "NGINX"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // 2: the adapter, and the page that its clients send people to.
    let page = |server: &Installation| crate::verify::curl(server, "/device", &[], b"").0;
    assert_eq!(page(&server), 404);
    guide.block();
    server.kill();
    server.start_again();
    server.unseal().ok();
    assert_ne!(page(&server), 404);
    // 3: a login.
    let asked = does(&mut client, "login");
    assert_eq!(asked["url"], format!("{}/device", server.url()));
    guide.set("CODE", asked["code"].as_str().unwrap());
    let said = guide.block();
    assert!(said.contains("cortex-cli (CortexAuth)"), "{said}");
    assert_eq!(does(&mut client, "poll")["status"], 200);
    assert_eq!(does(&mut client, "start")["status"], 200);
    // 4: a yes, for the values and for the template.
    let waits = refused(&mut client, SHOWS_SHOP, 403, "pending_approval");
    guide.set("REQUEST", waits["grant"].as_str().unwrap());
    let said = guide.block();
    assert!(said.contains("my-shop"), "{said}");
    runs(&mut client, SHOWS_SHOP, 1);
    runs(&mut client, SHOWS_SHOP, 0);
    let config = "config \"My Shop\" nginx";
    let waits = refused(&mut client, config, 403, "pending_approval");
    let approve = ["request", "approve", waits["grant"].as_str().unwrap()];
    cli(&server, &approve).ok();
    let got = does(&mut client, config);
    let expected = format!("listen 80;\npassword {CANARY};\n");
    assert_eq!(got["text"], expected, "{got}");
    // 5: the host is moved.
    guide.block();
    refused(&mut client, SHOWS_SHOP, 401, "unknown_agent");
    refused(&mut client, "start", 401, "unknown_agent");
    // 6 and 7: nobody is left.
    let said = guide.block();
    assert!(said.contains("legacy.attest"), "{said}");
    guide.block();
    guide.is_done();
    server.kill();
    server.start_again();
    server.unseal().ok();
    let (status, _, _) = crate::verify::curl(&server, "/device/authorize", &[], b"");
    assert_eq!(status, 404);
    assert!(client.rest().is_empty());
}

#[test]
fn switched_off_it_is_gone() {
    let mut moving = Moving::begin();
    moving.in_with_a_yes();
    moving.granted(SHOWS);
    moving.runs();
    moving.server.kill();
    std::fs::write(moving.server.home().join("procura.toml"), "").unwrap();
    moving.server.start_again();
    moving.server.unseal().ok();
    for path in ["/device/authorize", "/project/secrets/orders"] {
        let (status, _, _) = crate::verify::curl(&moving.server, path, &[], b"");
        assert_eq!(status, 404, "{path}");
    }
}
