//! `import cortexauth`: a database that Python made as that system makes it.

use crate::installed::Installed;
use crate::{Ran, run_with_input};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const PASSWORD: &str = "vault password";

/// Makes a database of what stands in the JSON on stdin.
const MAKE: &str = r#"
import base64, json, os, sqlite3, sys
from argon2.low_level import hash_secret_raw, Type
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
want = json.load(sys.stdin)
salt = os.urandom(want.get("salt", 16))
kek = hash_secret_raw(want["password"].encode(), salt, 3, 65536, 1, 32, Type.ID, 19)
def seal(key, text):
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, text, None)).decode()
db = sqlite3.connect(want["file"])
if want.get("wal"):
    db.execute("pragma journal_mode=wal")
    db.execute("pragma wal_autocheckpoint=0")
db.executescript("""
create table kek_metadata(id integer primary key, salt text, sentinel_ciphertext text, kek_version integer);
create table secrets(id text, key_path text, secret_type text, encrypted_value text,
    wrapped_dek text, namespace text, is_honey_token integer, description text, created_at text);
create table agents(agent_id text primary key, agent_pub text);
create table project_secret_grants(project_name text, secret_id text, env_var_name text);
""")
db.execute("insert into kek_metadata(salt, sentinel_ciphertext, kek_version) values (?,?,1)",
           (base64.b64encode(salt).decode(), seal(kek, b"sentinel")))
for number, s in enumerate(want["secrets"]):
    dek = os.urandom(32)
    wrapped = seal(os.urandom(32) if s.get("lost") else kek, dek)
    db.execute("insert into secrets values (?,?,?,?,?,?,?,?,'2026')",
               (s.get("id", f"id-{number}"), s["path"], s["type"], seal(dek, bytes.fromhex(s["hex"])), wrapped,
                s.get("namespace", "default"), s.get("honey", 0), s.get("description")))
for agent in want.get("agents", []):
    db.execute("insert into agents values (?,?)", agent)
for grant in want.get("grants", []):
    db.execute("insert into project_secret_grants values (?,?,?)", grant)
for statement in want.get("then", []):
    db.execute(statement)
db.commit()
if want.get("wal"):
    # Ends without a checkpoint, as a killed process does.
    os._exit(0)
"#;

pub(crate) fn made(dir: &Path, mut what: Value) -> PathBuf {
    let file = dir.join("cortex.db");
    // Of the test before in the same folder.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("cortex.db{end}")));
    }
    what["file"] = json!(file);
    if what["password"].is_null() {
        what["password"] = json!(PASSWORD);
    }
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", MAKE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(python.stdin.take().unwrap(), &what).unwrap();
    let ran = python.wait_with_output().unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    file
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    procura_types::encoding::hex(bytes)
}

pub(crate) fn secret(path: &str, kind: &str, value: &[u8]) -> Value {
    json!({"path": path, "type": kind, "hex": hex(value)})
}

/// Tries a database without a server.
pub(crate) fn tried(home: &Path, file: &Path, args: &[&str], password: &str) -> Ran {
    let all = [
        &[
            "--passphrase-fd",
            "0",
            "import",
            "cortexauth",
            file.to_str().unwrap(),
            "--dry-run",
        ][..],
        args,
    ]
    .concat();
    run_with_input(home, &all, format!("{password}\n").as_bytes())
}

#[test]
fn what_python_sealed_comes_in_and_is_read_back() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let raw = b"<>&\"'\r\n\0\xff";
    let key = procura_types::encoding::b64url(
        &procura_types::encoding::from_hex_fixed::<32>(
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        )
        .unwrap(),
    );
    let file = made(
        installed.dir(),
        json!({
            "secrets": [
                {"path": "openai/key", "type": "KEY_VALUE", "hex": hex(raw), "description": "of the shop"},
                {"path": "app/settings", "type": "JSON_CONFIG", "hex": hex(b"{\"a\": [1, \"<>\"]}")},
                {"path": "app/conf", "type": "TEMPLATE_CONFIG",
                 "hex": hex(b"k={{ OPENAI_KEY }}&<\r\n{{DB}} {{ a-b }} {{procura:X}} ${Y}")},
                {"path": "DB", "type": "KEY_VALUE", "hex": hex(b"postgres://"), "namespace": "default"},
                {"path": "other", "type": "KEY_VALUE", "hex": hex(b"2"), "namespace": "Staging"},
            ],
            "agents": [["build-agent_7", key]],
            "grants": [["Web_Shop", "id-0", "OPENAI_KEY"], ["Web_Shop", "id-2", "APP_CONF"]],
        }),
    );
    let path = file.to_str().unwrap();
    let before = std::fs::read(&file).unwrap();
    let args = ["--passphrase-fd", "0", "import", "cortexauth", path];
    let password = format!("{PASSWORD}\n");
    let shown = cli.run(&[&args[..], &["--dry-run"]].concat(), password.as_bytes());
    assert_eq!(shown.code, 0, "{}", shown.err);
    for line in [
        "openai/key",
        "app/conf",
        "Staging",
        "staging",
        "build-agent-7",
        "web-shop",
    ] {
        assert_eq!(
            shown.out.contains(line),
            line != "Staging",
            "{line}: {}",
            shown.out
        );
    }
    assert!(
        shown.err.contains("{{ in app/conf of default"),
        "{}",
        shown.err
    );
    let wrote = cli.run(&args, password.as_bytes());
    assert_eq!(wrote.code, 0, "{}", wrote.err);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let value = |namespace: &str, path: &str| {
        let read = cli.json(&["-n", namespace, "secret", "get", path]);
        let text = read["value_b64"].as_str().unwrap().to_owned();
        procura_types::encoding::from_b64url("value", &text).unwrap()
    };
    assert_eq!(value("default", "openai/key"), raw);
    assert_eq!(value("default", "app/settings"), b"{\"a\": [1, \"<>\"]}");
    assert_eq!(
        value("default", "app/conf"),
        b"k={{procura:OPENAI_KEY}}&<\r\n{{procura:DB}} {{ a-b }} {{procura:}}X}} ${Y}"
    );
    assert_eq!(value("staging", "other"), b"2");
    let list = cli.json(&["secret", "list"]);
    let row = |path: &str| {
        let rows = list["secrets"].as_array().unwrap();
        rows.iter().find(|row| row["path"] == path).unwrap().clone()
    };
    assert_eq!(row("app/conf")["kind"], "template");
    assert_eq!(row("app/settings")["kind"], "json");
    assert_eq!(row("openai/key")["description"], "of the shop");
    assert_eq!(row("DB")["env"], "DB");
    let project = cli.json(&["project", "show", "web-shop"]);
    assert_eq!(
        project["env"],
        json!({"APP_CONF": "app/conf", "OPENAI_KEY": "openai/key"})
    );
    let agents = cli.json(&["agent", "list"]);
    assert!(agents.to_string().contains("build-agent-7"), "{agents}");
    let line = std::fs::read_to_string(cli.home.join("keys/agents/build-agent_7.pub")).unwrap();
    assert!(
        line.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv"),
        "{line}"
    );
    // Once more: there is nothing left to write.
    let again = cli.run(&args, password.as_bytes());
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.err.contains("wrote 0 of what is in"), "{}", again.err);
    // What is another by now stays, and it is said what there is to type.
    cli.ok(&["-n", "staging", "secret", "put", "other"], b"3");
    let changed = cli.run(&args, password.as_bytes());
    assert_eq!(changed.code, 64, "{}", changed.err);
    let says = "these exist already in staging: other\n  next: --replace writes new versions of them; --map and --path put them elsewhere\n";
    assert!(changed.err.contains(says), "{}", changed.err);
    assert_eq!(value("staging", "other"), b"3");
}

#[test]
fn a_wrong_password_and_what_does_not_open_have_words_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    let one = || vec![secret("a", "KEY_VALUE", b"canary")];
    let file = made(home.path(), json!({"secrets": one(), "salt": 32}));
    let ran = tried(home.path(), &file, &[], "another password");
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains("the password does not open"),
        "{}",
        ran.err
    );
    let ran = tried(home.path(), &file, &[], PASSWORD);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.out.contains("canary") && !ran.err.contains("canary"));
    for (bad, message) in [
        (
            json!({"path": "a", "type": "KEY_VALUE", "hex": "00", "lost": 1}),
            "secret default a: its key does not open",
        ),
        (
            secret("../a", "KEY_VALUE", b""),
            "secret default ../a: path: must be",
        ),
        (
            secret("b", "BINARY", b""),
            "secret default b: its type is none of",
        ),
        (
            json!({"path": "c", "type": "KEY_VALUE", "hex": "", "namespace": "No Such"}),
            "--map 'No Such=NS' puts it elsewhere",
        ),
        (
            secret("/d", "TEMPLATE_CONFIG", b"\xff"),
            "its text is not UTF-8",
        ),
        (
            secret("/a/", "KEY_VALUE", b""),
            "another one goes to a in default too",
        ),
    ] {
        let mut secrets = one();
        secrets.push(bad);
        let file = made(home.path(), json!({"secrets": secrets}));
        let ran = tried(home.path(), &file, &[], PASSWORD);
        assert_eq!(ran.code, 64, "{message}: {}", ran.err);
        assert!(ran.err.contains("nothing was brought in"), "{}", ran.err);
        assert!(ran.err.contains(message), "{message}: {}", ran.err);
    }
    for (agents, grants, message) in [
        (json!([["../x", "AAAA"]]), json!([]), "agent ../x: agent_id"),
        (json!([["x", "AAAA"]]), json!([]), "agent x: "),
        (
            json!([]),
            json!([["p", "id-9", "A"]]),
            "project p: A: there is no such secret",
        ),
        (
            json!([]),
            json!([["p", "id-0", "LD_PRELOAD"]]),
            "project p: LD_PRELOAD: ",
        ),
    ] {
        let what = json!({"secrets": one(), "agents": agents, "grants": grants});
        let ran = tried(home.path(), &made(home.path(), what), &[], PASSWORD);
        assert_eq!(ran.code, 64, "{message}: {}", ran.err);
        assert!(ran.err.contains(message), "{message}: {}", ran.err);
    }
    // An agent without a key there is no reason to leave the rest, one without that column is.
    let agents = json!([["old", null], ["older", ""]]);
    let what = json!({"secrets": one(), "agents": agents});
    let ran = tried(home.path(), &made(home.path(), what.clone()), &[], PASSWORD);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for name in ["old", "older"] {
        let says = format!("note: the agent {name} has no public key there, and is left\n");
        assert!(ran.err.contains(&says), "{}", ran.err);
    }
    assert!(!ran.out.contains("old"), "{}", ran.out);
    let mut without = what;
    without["then"] = json!(["alter table agents drop column agent_pub"]);
    let ran = tried(home.path(), &made(home.path(), without), &[], PASSWORD);
    assert_eq!(ran.code, 64, "{}", ran.err);
    assert!(
        ran.err.contains("row 1 of agents has no agent_pub"),
        "{}",
        ran.err
    );
    let other = home.path().join("other.db");
    std::fs::write(&other, b"no database").unwrap();
    let ran = tried(home.path(), &other, &[], PASSWORD);
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("cannot be read as a CortexAuth database"),
        "{}",
        ran.err
    );
}

#[test]
fn what_puts_nothing_elsewhere_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let secrets = json!([
        secret("openai/key", "KEY_VALUE", b"1"),
        {"path": "other", "type": "KEY_VALUE", "hex": "31", "namespace": ""},
    ]);
    let file = made(home.path(), json!({"secrets": secrets}));
    for (args, message) in [
        (
            &["--map", "nope=shop"][..],
            "put elsewhere: --map nope=shop\n",
        ),
        (
            &["--path", "cx/o pnai=zz/y", "--map", "default=shop"],
            "put elsewhere: --path 'cx/o pnai=zz/y'\n",
        ),
        (
            &["--only", "default", "--map", "nope=a", "--path", "x=y"],
            "put elsewhere: --map nope=a, --path x=y\n",
        ),
    ] {
        let ran = tried(home.path(), &file, args, PASSWORD);
        assert_eq!(ran.code, 64, "{}", ran.err);
        assert!(ran.err.contains(message), "{message}: {}", ran.err);
    }
    let good = ["--map", "default=shop", "--path", "openai/key=zz/y"];
    let ran = tried(home.path(), &file, &good, PASSWORD);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("zz/y"), "{}", ran.out);
}

#[test]
fn honey_tokens_are_planted_unless_they_are_left() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let bait = |value: &[u8]| {
        let honey = json!({
            "path": "aws/bait", "type": "KEY_VALUE", "hex": hex(value), "honey": 1, "description": "do not use"
        });
        let secrets = json!([secret("real", "KEY_VALUE", b"1"), honey]);
        made(installed.dir(), json!({"secrets": secrets}))
    };
    let import = |file: &Path, more: &[&str]| {
        let path = file.to_str().unwrap();
        let args = ["--passphrase-fd", "0", "import", "cortexauth", path];
        cli.run(
            &[&args[..], more].concat(),
            format!("{PASSWORD}\n").as_bytes(),
        )
    };
    let refused = import(&bait(b""), &[]);
    assert_ne!(refused.code, 0);
    assert!(
        refused
            .err
            .contains("honey aws/bait: a honey secret has 1 byte"),
        "{}",
        refused.err
    );
    assert_ne!(cli.run(&["secret", "get", "real"], b"").code, 0);
    let left = import(&bait(b""), &["--without-honey"]);
    assert_eq!(left.code, 0, "{}", left.err);
    assert_eq!(cli.ok(&["secret", "get", "real"], b""), "1");
    assert!(!cli.json(&["secret", "list"]).to_string().contains("bait"));
    let file = bait(b"trap");
    for wrote in ["wrote 1 of", "wrote 0 of"] {
        let planted = import(&file, &[]);
        assert_eq!(planted.code, 0, "{}", planted.err);
        assert!(planted.err.contains(wrote), "{}", planted.err);
    }
    let honey = cli.json(&["honey", "list"]);
    assert!(
        honey.to_string().contains("\"path\":\"aws/bait\""),
        "{honey}"
    );
    // To others it is listed like the rest.
    let list = cli.json(&["secret", "list"]);
    assert!(list.to_string().contains("do not use"), "{list}");
}
