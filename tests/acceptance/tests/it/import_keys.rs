//! A tree of keys of another system is brought in whole, or not at all.

use crate::keys::{CANARY, api_key, private_key, tree};
use crate::verify::{Agent, file};
use procura_acceptance::{Installation, Outcome};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

fn import(server: &Installation, dir: &Path, words: &[&str]) -> Outcome {
    let command = ["import", "keys", dir.to_str().unwrap()];
    let outcome = server.cli(&[&command, words].concat());
    for shown in [&outcome.text(), &outcome.stderr] {
        assert!(!shown.contains(CANARY), "a value is shown");
    }
    outcome
}

/// What of each step: `what name` → state.
fn states(server: &Installation, dir: &Path, words: &[&str]) -> Vec<(String, Value)> {
    let steps = import(server, dir, &[words, &["--json"]].concat())
        .ok()
        .json();
    steps
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let (what, name) = (
                step["what"].as_str().unwrap(),
                step["name"].as_str().unwrap(),
            );
            (format!("{what} {name}"), step["state"].clone())
        })
        .collect()
}

fn secret(server: &Installation, path: &str) -> String {
    server.cli(&["secret", "get", path]).ok().text()
}

#[test]
fn a_tree_comes_in_once_and_again_changes_nothing() {
    let server = Installation::ready();
    let scribe = Agent::of_ssh_keygen(&server, "Build_Agent.2");
    let dir = tree(&server, "tree", &[&scribe]);
    fs::copy(scribe.public(), dir.join("ssh/deploy.pub")).unwrap();
    let list = br#"{"allowed_ips": ["127.0.0.0/8"], "note": "whose they are"}"#;
    fs::write(dir.join("allowed-clients.json"), list).unwrap();

    // Only shown.
    let dry = import(&server, &dir, &["--dry-run"]).ok();
    for part in [
        "ssh/deploy",
        "api/openai",
        "build-agent-2",
        "Build_Agent.2",
        "allowed-clients.json",
    ] {
        assert!(dry.text().contains(part), "{part}: {}", dry.text());
    }
    assert!(
        dry.stderr.contains("deploy.pub: a public half"),
        "{}",
        dry.stderr
    );
    assert!(!file(&server, "Build_Agent.2").exists());
    let _ = server.cli(&["project", "show", "keys"]).code(77);
    let _ = server.cli(&["secret", "get", "ssh/deploy"]).code(77);

    // Brought in.
    let first = states(&server, &dir, &[]);
    assert!(first.iter().all(|(_, state)| state == "new"), "{first:?}");
    assert_eq!(first.len(), 7, "{first:?}");
    assert_eq!(secret(&server, "ssh/deploy") + "\n", private_key());
    assert_eq!(secret(&server, "api/openai"), api_key());
    let project = server
        .cli(&["--json", "project", "show", "keys"])
        .ok()
        .json();
    assert_eq!(project["agents"], serde_json::json!(["build-agent-2"]));
    let env = serde_json::json!({"API_OPENAI": "api/openai", "SSH_DEPLOY": "ssh/deploy"});
    assert_eq!(project["env"], env);
    let key = file(&server, "Build_Agent.2");
    assert_eq!(fs::read(&key).unwrap(), fs::read(scribe.public()).unwrap());
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let allowed = server.home().join("auth/allowed-clients.json");
    assert_eq!(fs::read(&allowed).unwrap(), list);

    // Once more: all is there.
    let again = states(&server, &dir, &[]);
    assert!(again.iter().all(|(_, state)| state == "same"), "{again:?}");
    import(&server, &dir, &[]).ok().says("wrote 0 of 7");

    // More of it, beside what was made here by hand.
    server
        .cli(&["project", "set", "keys", "--env", "MINE=db/url"])
        .ok();
    // An import that broke off behind this goes on from there.
    server.cli(&["agent", "add", "clerk", "--no-code"]).ok();
    let clerk = Agent::of_openssl(&server, "clerk");
    fs::copy(clerk.public(), dir.join("agents/clerk.pub")).unwrap();
    let more = states(&server, &dir, &[]);
    let new = more.iter().filter(|(_, state)| *state == "new").count();
    assert_eq!(new, 2, "{more:?}");
    let project = server
        .cli(&["--json", "project", "show", "keys"])
        .ok()
        .json();
    assert_eq!(
        project["agents"],
        serde_json::json!(["build-agent-2", "clerk"])
    );
    assert_eq!(project["env"]["MINE"], "db/url");
}

#[test]
fn what_differs_is_replaced_only_when_that_is_said() {
    let server = Installation::ready();
    let scribe = Agent::of_openssl(&server, "scribe");
    let dir = tree(&server, "tree", &[&scribe]);
    import(&server, &dir, &[]).ok();
    // A value, a key, and a list that are others.
    fs::write(dir.join("openai/api-key.txt"), "sk-another").unwrap();
    let other = Agent::of_openssl(&server, "other");
    fs::copy(other.public(), dir.join("agents/scribe.pub")).unwrap();
    fs::write(
        dir.join("allowed-clients.json"),
        r#"{"allowed_ips": ["127.0.0.1"]}"#,
    )
    .unwrap();
    fs::write(server.home().join("auth/allowed-clients.json"), "{}").unwrap();
    for words in [&[][..], &["--dry-run"]] {
        let refused = import(&server, &dir, words);
        let expected = if words.is_empty() { 77 } else { 0 };
        assert_eq!(refused.code, expected, "{}", refused.stderr);
        for part in [
            "version 1 has another value",
            "another file is there",
            "--replace",
        ] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
        assert_eq!(secret(&server, "api/openai"), api_key());
        let key = fs::read(file(&server, "scribe")).unwrap();
        assert_eq!(key, fs::read(scribe.public()).unwrap());
    }
    import(&server, &dir, &["--replace"])
        .ok()
        .says("wrote 3 of");
    assert_eq!(secret(&server, "api/openai"), "sk-another");
    let key = fs::read(file(&server, "scribe")).unwrap();
    assert_eq!(key, fs::read(other.public()).unwrap());

    // What somebody deleted does not come back by itself.
    server.cli(&["secret", "delete", "ssh/deploy"]).ok();
    let _ = import(&server, &dir, &[])
        .code(77)
        .says("version 1 was deleted");
    import(&server, &dir, &["--replace"])
        .ok()
        .says("wrote 1 of");
    assert_eq!(secret(&server, "ssh/deploy") + "\n", private_key());

    // An agent that has a life of its own does not become somebody's by its name.
    server.cli(&["agent", "add", "clerk"]).ok();
    let daemon = procura_acceptance::Daemon::start(server.folder(), "host");
    let code = server.cli(&["agent", "code", "clerk"]).ok().text();
    daemon.join(&code).ok();
    let clerk = Agent::of_openssl(&server, "clerk");
    fs::copy(clerk.public(), dir.join("agents/clerk.pub")).unwrap();
    let _ = import(&server, &dir, &[])
        .code(77)
        .says("the agent clerk has devices, ids or grants of its own");
    assert!(!file(&server, "clerk").exists());
    // Nor does an id that stands for somebody else, here or in another namespace.
    fs::remove_file(dir.join("agents/clerk.pub")).unwrap();
    fs::copy(clerk.public(), dir.join("agents/Clerk.7.pub")).unwrap();
    server
        .cli(&["agent", "foreign", "bind", "Clerk.7", "clerk"])
        .ok();
    let _ = import(&server, &dir, &["--replace"])
        .code(77)
        .says("is bound to the agent clerk");
    fs::remove_file(dir.join("agents/Clerk.7.pub")).unwrap();
    server.cli(&["namespace", "create", "bank"]).ok();
    let outcome = server.cli(&[
        "-n",
        "bank",
        "import",
        "keys",
        dir.to_str().unwrap(),
        "--replace",
    ]);
    assert_eq!(outcome.code, 77, "{}", outcome.stderr);
}

#[test]
fn a_tree_with_anything_wrong_is_refused_whole() {
    let server = Installation::ready();
    let scribe = Agent::of_ssh_keygen(&server, "scribe");
    let dir = tree(&server, "tree", &[&scribe]);
    let elsewhere = server.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("key"), private_key()).unwrap();
    let line = fs::read_to_string(scribe.public()).unwrap();
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== a@b\n";
    let key = private_key();
    let long = format!("{}{}", "x".repeat(64 * 1024), key);
    // What is put there, and what is said of it.
    let cases: &[(&str, &str, &str)] = &[
        (
            "agents/rsa.pub",
            rsa,
            "agents/rsa.pub is refused: an OpenSSH key of another type than Ed25519",
        ),
        (
            "agents/none.pub",
            "hello\n",
            "agents/none.pub is refused: not an OpenSSH key",
        ),
        (
            "agents/two.pub",
            &format!("{line}{line}"),
            "agents/two.pub is refused: longer than one OpenSSH key",
        ),
        (
            "agents/half.pub",
            line.get(..40).unwrap(),
            "agents/half.pub is refused: the OpenSSH key is damaged",
        ),
        (
            "agents/options.pub",
            &format!("restrict {line}"),
            "agents/options.pub is refused: options stand before",
        ),
        ("agents/scribe", &line, "agents/scribe is not named ID.pub"),
        (
            "agents/a b.pub",
            &line,
            "a b.pub is named so that agent_id: must be",
        ),
        (
            "agents/SCRIBE.pub",
            &line,
            "would both have the label scribe",
        ),
        (
            "agents/big.pub",
            &"x".repeat(4097),
            "agents/big.pub is longer than 4096 bytes",
        ),
        ("agents/empty.pub", "", "agents/empty.pub is empty"),
        ("ssh/config", "Host *\n", "ssh/config is no private key"),
        (
            "ssh/cut",
            key.get(..60).unwrap(),
            "ssh/cut is no private key",
        ),
        ("ssh/big", &long, "ssh/big is longer than 65536 bytes"),
        ("ssh/a b", &key, "ssh/a b is named so that path: must be"),
        ("ssh/de.ploy", &key, ""),
        ("ssh/de-ploy", &key, "would both have the name SSH_DE_PLOY"),
        (
            "openai/notes.txt",
            "x",
            "openai/notes.txt is not api-key.txt",
        ),
        ("empty/other", "x", "empty has no api-key.txt"),
        ("blank/api-key.txt", "\n\n", "blank/api-key.txt is empty"),
        (
            "lines/api-key.txt",
            "one\ntwo\n",
            "lines/api-key.txt has more than one line",
        ),
        (
            "control/api-key.txt",
            "a\u{7}b\n",
            "control/api-key.txt has control characters",
        ),
        (
            "README",
            "x",
            "README is not agents, ssh, the folder of a service",
        ),
        (
            "allowed-clients.json",
            "[]",
            "allowed-clients.json is not {\"allowed_ips\"",
        ),
        (
            "allowed-clients.json",
            "{\"allowed_ips\": \"canary\"}",
            "allowed-clients.json is not {\"allowed_ips\": [\"ADDRESS\", …]}: at line 1, column",
        ),
    ];
    for (path, text, said) in cases {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if said.is_empty() {
            continue;
        }
        let _ = import(&server, &dir, &[]).code(64).says(said);
    }
    // Links lead nowhere, folders neither; of a pipe nobody waits for the other end.
    symlink(elsewhere.join("key"), dir.join("ssh/link")).unwrap();
    symlink(&elsewhere, dir.join("linked")).unwrap();
    fs::create_dir(dir.join("ssh/folder")).unwrap();
    let pipe = dir.join("ssh/pipe");
    crate::verify::tool(&["mkfifo", pipe.to_str().unwrap()], b"");
    let all = import(&server, &dir, &[]).code(64);
    for said in [
        "ssh/link is a link",
        "linked is not agents, ssh, the folder of a service",
        "ssh/folder is not a regular file",
        "ssh/pipe is not a regular file",
    ] {
        assert!(all.stderr.contains(said), "{said}: {}", all.stderr);
    }
    // All of it at once, and nothing of the tree came in.
    for (_, _, said) in cases {
        assert!(all.stderr.contains(said), "{said}: {}", all.stderr);
    }
    let _ = server.cli(&["secret", "get", "ssh/deploy"]).code(77);
    assert!(!file(&server, "scribe").exists());
    fs::remove_dir_all(dir.join("ssh")).unwrap();
    symlink(&elsewhere, dir.join("ssh")).unwrap();
    let _ = import(&server, &dir, &[]).code(64).says("ssh is a link");
    let nothing = server.folder().join("nothing");
    let _ = import(&server, &nothing, &[]).code(64).says("is not there");
    fs::create_dir(&nothing).unwrap();
    let _ = import(&server, &nothing, &[]).code(64).says("has no keys");
}
