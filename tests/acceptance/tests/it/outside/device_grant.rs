//! A host that joins by a device grant with somebody else's client of RFC 8628, and a
//! server that is killed between the yes and its collection.

use super::Program;
use procura_acceptance::{Guide, Installation, Outcome};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Has the client do one thing, and gives what it says of it.
#[track_caller]
fn does(client: &mut Program, line: &str) -> Value {
    client.tell(line);
    let said = client.hear();
    assert_eq!(said["step"], line, "{said}");
    said
}

#[track_caller]
fn refused(client: &mut Program, line: &str, error: &str) {
    let said = does(client, line);
    assert_eq!(
        (&said["status"], &said["error"]),
        (&json!(400), &json!(error)),
        "{line}"
    );
}

fn cli(server: &Installation, words: &[&str]) -> Outcome {
    server.cli(&[&["-n", "shop"], words].concat())
}

#[test]
fn a_standard_client_joins_once_though_the_server_is_killed_in_between() {
    let mut server = Installation::ready();
    server.cli(&["namespace", "create", "shop"]).ok();
    cli(&server, &["agent", "add", "scribe", "--no-code"]).ok();
    let url = server.url().to_owned();
    let mut client = Program::python("device_grant.py", &[&url]);

    let asked = does(&mut client, "ask");
    assert_eq!(asked["status"], 200, "{asked}");
    assert_eq!(
        (&asked["interval"], &asked["expires_in"]),
        (&json!(5), &json!(600))
    );
    let code = asked["user_code"].as_str().unwrap();
    let complete = asked["complete"].as_str().unwrap();
    assert!(
        complete.ends_with(&format!("/device?user_code={code}")),
        "{complete}"
    );
    refused(&mut client, "look", "authorization_pending");
    refused(&mut client, "look", "slow_down");

    let pending = cli(&server, &["--json", "device", "pending"]).ok().json();
    assert_eq!(pending["grants"][0]["host"], "build-7");
    let wrong = if code.starts_with('B') {
        "CCCC-CCCC"
    } else {
        "BBBB-BBBB"
    };
    let _ = cli(&server, &["device", "approve", wrong, "--agent", "scribe"])
        .code(77)
        .says("unknown_code");
    // The same fingerprint on both ends.
    cli(&server, &["device", "approve", code, "--agent", "scribe"])
        .code(0)
        .says(asked["fingerprint"].as_str().unwrap())
        .says("build-7")
        .ok();

    // The yes is durable, and so is that it was used.
    server.kill();
    server.start_again();
    server.unseal().ok();
    refused(&mut client, "steal", "invalid_grant");
    let got = does(&mut client, "look");
    assert_eq!(got["status"], 200, "{got}");
    assert_eq!(
        (&got["token_type"], &got["is_mine"]),
        (&json!("PoP"), &json!(true))
    );
    assert_eq!(
        (&got["agent"], &got["name"]),
        (&json!("alice//scribe"), &json!("alice//scribe"))
    );
    server.kill();
    server.start_again();
    server.unseal().ok();
    refused(&mut client, "look", "invalid_grant");

    // The token alone opens nothing; the key does.
    let used = does(&mut client, "use");
    assert_eq!(
        (&used["alone"], &used["proven"]),
        (&json!(401), &json!(200))
    );
    let agents = cli(&server, &["--json", "agent", "list"]).ok().json();
    let devices = agents["agents"][0]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{agents}");
    assert_eq!(devices[0]["thumbprint"], got["device"]);

    // What another key tried is in the record, and neither code is anywhere.
    let list = ["--json", "audit", "list", "--everywhere", "--limit", "1000"];
    let record = server.cli(&list).ok().text();
    assert!(record.contains("other_device"), "{record}");
    for text in [&record, &server.server_said()] {
        assert!(!text.contains(code) && !text.contains("eyJhbGci"), "{text}");
    }
    assert!(client.rest().is_empty());
}

/// The client of the guide, as it stands there.
struct OfTheGuide {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl OfTheGuide {
    fn begin(server: &Installation, key_file: &Path) -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/device-grant.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, code) = page.split_once("```python\n").unwrap();
        let (code, _) = code.split_once("\n```").unwrap();
        let file = server.folder().join("join.py");
        std::fs::write(&file, code).unwrap();
        // What the packages of the system are for. Its library wants TLS, and the server is
        // on this machine.
        let mut child = Command::new("/usr/bin/python3")
            .arg("-B")
            .arg(file)
            .args([server.url(), "build-7"])
            .arg(key_file)
            .env_clear()
            .env("OAUTHLIB_INSECURE_TRANSPORT", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// What its next line says of this.
    #[track_caller]
    fn says(&mut self, name: &str) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        match line.strip_prefix(name) {
            Some(said) => said.trim().to_owned(),
            None => {
                // It has ended, or it will say no more: what it said instead is wanted.
                let _ = self.child.kill();
                let mut stderr = String::new();
                let mut pipe = self.child.stderr.take().unwrap();
                pipe.read_to_string(&mut stderr).unwrap();
                panic!("not {name:?}: {line:?} {stderr}");
            }
        }
    }
}

impl Drop for OfTheGuide {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_client_of_the_guide_joins_as_it_stands_there() {
    let server = Installation::ready();
    server.cli(&["namespace", "create", "shop"]).ok();
    cli(&server, &["agent", "add", "scribe", "--no-code"]).ok();
    let key_file = server.folder().join("device.key");
    let mut client = OfTheGuide::begin(&server, &key_file);
    let open = client.says("open");
    let code = client.says("code");
    assert!(
        open.ends_with(&format!("/device?user_code={code}")),
        "{open}"
    );
    let fingerprint = client.says("fingerprint");
    let looked = ["device", "approve", &code, "--agent", "nobody"];
    let _ = cli(&server, &looked).says(&fingerprint);

    let mut guide = Guide::open("guides/device-grant.md", server.folder());
    guide.set("PROCURA_HOME", server.home().to_str().unwrap());
    guide.set("PROCURA_SERVER", server.url());
    guide.set("CODE", &code);
    guide.block();
    assert_eq!(client.says("joined as"), "alice//scribe");
    assert!(client.child.wait().unwrap().success());
    // The host has no home of an operator: what signs is the device's key alone.
    let home = server.folder().join("home-of-the-host");
    std::fs::create_dir(&home).unwrap();
    guide.set("PROCURA_HOME", home.to_str().unwrap());
    let said = guide.block();
    guide.is_done();
    assert!(said.contains("\"shop\""), "{said}");
    let mode = std::fs::metadata(&key_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let agents = cli(&server, &["--json", "agent", "list"]).ok().json();
    let devices = agents["agents"][0]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{agents}");
}
