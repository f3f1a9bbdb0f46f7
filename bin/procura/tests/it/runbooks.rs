//! What the runbooks say to type is typed, in their order.

use crate::installed::{Cli, Installed, PASSPHRASE};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The blocks of a runbook that are commands for a shell.
fn blocks(name: &str) -> Vec<String> {
    blocks_of("runbooks", name)
}

/// The same of a page in a folder of the documentation.
pub(crate) fn blocks_of(folder: &str, name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(folder)
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut parts = text.split("```");
    let mut blocks = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let commands = block.strip_prefix("sh\n");
        blocks.push(commands.expect("a block of commands").to_owned());
    }
    blocks
}

/// Types one block, as somebody would who follows the text; gives what it printed.
fn typed(installed: &Installed, block: &str, variables: &[(&str, &str)]) -> String {
    let home = installed.cli.home.to_str().unwrap();
    let own = [
        ("PROCURA_HOME", home),
        (
            "PROCURA_SERVER",
            installed.cli.url.as_ref().unwrap().as_str(),
        ),
    ];
    typed_in(installed.dir(), block, &[&own, variables].concat())
}

/// The same in a folder, with these variables and no others.
pub(crate) fn typed_in(place: &Path, block: &str, variables: &[(&str, &str)]) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_procura")).parent().unwrap();
    let output = Command::new("setsid")
        .args(["--wait", "bash", "-euc", block])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .envs(variables.iter().copied())
        .current_dir(place)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{block}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A gate that runs as an agent: a machine with a device of it.
struct Machine(Child);

impl Machine {
    /// Makes agent and service, and starts the gate of one in front of nothing.
    fn joined(installed: &Installed, agent: &str) -> (Self, String) {
        let cli = &installed.cli;
        cli.ok(&["agent", "add", agent, "--no-code"], b"");
        cli.ok(&["service", "add", "web", "--gate", agent], b"");
        let code = cli.ok(&["agent", "code", agent], b"");
        let home: Cli = installed.other("machine");
        let mut child = home
            .command(&["gate", "--service", "web", "--listen", "127.0.0.1:0"])
            .args([
                "--upstream",
                "http://127.0.0.1:9",
                "--danger-unlocked-memory",
            ])
            .args(["--join", code.trim()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let machine = Self(child);
        assert!(ready.contains("ready"), "{ready}");
        let agents = cli.json(&["agent", "list"]);
        let joined = agents["agents"].as_array().unwrap().iter();
        let joined = joined.filter(|joined| joined["label"] == agent);
        let device = joined.map(|joined| joined["devices"][0]["thumbprint"].as_str());
        let thumbprint = device.flatten().next().expect("a device").to_owned();
        (machine, thumbprint)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn from_off_over_observe_to_enforce_and_back() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let log = "{\"ts\":\"2026-11-20T09:00:00Z\",\"event\":\"observed\",\"service\":\"web\",\"passed\":7,\"would_reject\":0}\n";
    let logs = installed.dir().join("logs");
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(logs.join("observe.jsonl"), log).unwrap();
    let mut modes = Vec::new();
    for block in blocks("enforce-signatures.md") {
        typed(&installed, &block, &[]);
        let mode = cli.json(&["service", "show", "web"])["mode"].clone();
        modes.push(mode.as_str().unwrap_or("off").to_owned());
    }
    modes.dedup();
    assert_eq!(modes, ["off", "observe", "enforce", "observe", "off"]);
}

#[test]
fn new_keys_for_an_agent() {
    let installed = Installed::new();
    let (_machine, device) = Machine::joined(&installed, "bot");
    let variables = [
        ("AGENT", "bot"),
        ("DEVICE", device.as_str()),
        ("ID", "Bot_1"),
    ];
    let said: Vec<String> = blocks("rotate-agent-keys.md")
        .iter()
        .map(|block| typed(&installed, block, &variables))
        .collect();
    assert!(said[0].contains(&device), "{said:?}");
    let key = std::fs::read_to_string(installed.dir().join("new-key.pub")).unwrap();
    let known = installed.cli.home.join("keys/agents/Bot_1.pub");
    assert_eq!(std::fs::read_to_string(known).unwrap(), key);
    assert!(said[4].contains("x-agent-id: Bot_1"), "{said:?}");
    assert!(said[5].contains("device.revoke"), "{said:?}");
}

#[test]
fn a_machine_goes() {
    let installed = Installed::new();
    let (_machine, device) = Machine::joined(&installed, "bot");
    let file = installed.cli.home.join("keys/agents/Bot_1.pub");
    std::fs::write(&file, "ssh-ed25519 AAAA\n").unwrap();
    let variables = [
        ("AGENT", "bot"),
        ("DEVICE", device.as_str()),
        ("ID", "Bot_1"),
    ];
    let said: Vec<String> = blocks("decommission-host.md")
        .iter()
        .map(|block| typed(&installed, block, &variables))
        .collect();
    assert!(said[0].contains(&device), "{said:?}");
    assert!(!file.exists());
    let last = said.last().unwrap();
    assert!(
        !last.lines().next().unwrap_or_default().contains(&device),
        "{last}"
    );
    assert!(
        last.contains("device.revoke") && last.contains("agent.revoke"),
        "{last}"
    );
}

/// An agent with an id of another system and a secret of it.
fn with_secret(installed: &Installed) {
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "bot", "--no-code"], b"");
    cli.ok(&["agent", "foreign", "bind", "Bot_1", "bot"], b"");
    cli.ok(&["agent", "secret", "rotate", "Bot_1"], b"");
}

fn secrets(installed: &Installed) -> usize {
    let shown = installed.cli.json(&["agent", "secret", "show", "Bot_1"]);
    shown["secrets"].as_array().unwrap().len()
}

#[test]
fn new_secrets_for_agents() {
    let installed = Installed::new();
    with_secret(&installed);
    let mut counts = Vec::new();
    for block in blocks("rotate-agent-secrets.md") {
        let said = typed(&installed, &block, &[("ID", "Bot_1")]);
        if block.contains("procura sign") {
            assert!(said.contains("x-signature-version: 2"), "{said}");
        }
        counts.push(secrets(&installed));
    }
    // Two in the days of grace, one after a doubt, none after the end.
    counts.dedup();
    assert_eq!(counts, [1, 2, 1, 0]);
}

#[test]
fn rolling_the_keys_that_sign_tokens() {
    let installed = Installed::new();
    let states = || {
        let keys = installed.cli.json(&["signing-key", "list"]);
        let keys = keys["keys"].as_array().unwrap().iter();
        let state = |key: &serde_json::Value| key["state"].as_str().unwrap().to_owned();
        let mut states: Vec<String> = keys.map(state).collect();
        states.sort();
        states
    };
    let active = || {
        let keys = installed.cli.json(&["signing-key", "list"]);
        let mut keys = keys["keys"].as_array().unwrap().iter();
        let active = keys.find(|key| key["state"] == "active").unwrap();
        active["kid"].as_str().unwrap().to_owned()
    };
    let mut seen = vec![states()];
    let first = active();
    for block in blocks("roll-signing-keys.md") {
        typed(&installed, &block, &[("KID", first.as_str())]);
        seen.push(states());
    }
    seen.dedup();
    assert_eq!(
        seen,
        [
            vec!["active", "next"],
            vec!["active", "next", "retiring"],
            vec!["active", "next", "retired"],
        ]
    );
    assert_ne!(active(), first);
}

#[test]
fn somebody_repeats_requests_or_tries_keys() {
    let installed = Installed::new();
    with_secret(&installed);
    let cli = &installed.cli;
    cli.ok(&["service", "add", "web", "--mode", "observe"], b"");
    let variables = [("SERVICE", "web"), ("AGENT", "bot"), ("ID", "Bot_1")];
    let mut terms = Vec::new();
    for block in blocks("replay-or-abuse.md") {
        typed(&installed, &block, &variables);
        terms.push(cli.json(&["service", "show", "web"])["hmac_v1"].clone());
    }
    terms.dedup();
    let narrow = terms.iter().find(|terms| !terms.is_null()).unwrap();
    assert_eq!(narrow["nonce_required"], true, "{narrow}");
    assert!(terms.last().unwrap().is_null());
    let service = cli.json(&["service", "show", "web"]);
    assert_eq!(service["mode"], "enforce");
    assert_eq!(service["routes"][0]["rate"], "5/s burst 10", "{service}");
    let ids = cli.json(&["agent", "foreign", "list"]);
    assert!(ids["ids"].as_array().unwrap().is_empty(), "{ids}");
}

#[test]
fn a_clock_is_off() {
    let installed = Installed::new();
    let said: Vec<String> = blocks("clock-drift.md")
        .iter()
        .map(|block| typed(&installed, block, &[]))
        .collect();
    assert!(said[0].contains("agrees with the server's"), "{said:?}");
}

#[test]
fn a_tree_of_keys_comes_in() {
    let installed = Installed::new();
    let tree = installed.dir().join("tree");
    for folder in ["agents", "ssh"] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
    }
    let key = installed.dir().join("agent-key");
    let key_file = key.to_str().unwrap();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key_file])
        .status()
        .unwrap();
    assert!(made.success());
    let public = key.with_extension("pub");
    std::fs::copy(public, tree.join("agents/Bot_1.pub")).unwrap();
    std::fs::copy(&key, tree.join("ssh/deploy")).unwrap();
    let variables = [
        ("KEYS", tree.to_str().unwrap()),
        ("KEY_FILE", key_file),
        ("ID", "Bot_1"),
        ("NAME", "deploy"),
    ];
    let said: Vec<String> = blocks("bring-in-keys.md")
        .iter()
        .map(|block| typed(&installed, block, &variables))
        .collect();
    assert!(
        said[0].contains("ssh/deploy") && said[0].contains("bot-1"),
        "{said:?}"
    );
    assert!(said[1].contains("SSH_DEPLOY"), "{said:?}");
    assert!(said[2].contains("approval_required"), "{said:?}");
    assert!(said[2].contains("SSH_DEPLOY"), "{said:?}");
    let waiting = installed.cli.json(&["request", "list"]);
    assert_eq!(
        waiting["requests"][0]["lineage"], "alice//bot-1",
        "{waiting}"
    );
}

#[test]
fn a_drill_opens_the_vault_without_its_passphrase() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let keep = |name: &str, text: &[u8]| std::fs::write(installed.dir().join(name), text).unwrap();
    keep("passphrase.txt", PASSPHRASE);
    keep("new-passphrase.txt", b"canary passphrase 8d11\n");
    let said: Vec<String> = blocks_of("guides", "recovery-drill.md")
        .iter()
        .map(|block| typed(&installed, block, &[]))
        .collect();
    assert!(said[0].contains("2 of its 3"), "{said:?}");
    assert!(said[3].contains("unseal_source/recovery"), "{said:?}");
    assert!(said[3].contains("recovery"), "{said:?}");
    assert!(!said[4].contains(" passphrase  passphrase"), "{said:?}");
    // The key agent is gone with the old key: who is signed in is so by the new one.
    assert!(said[5].contains("alice"), "{said:?}");
    let gone = cli.run(
        &["login", "--passphrase-fd", "0"],
        b"canary passphrase 8d11\n",
    );
    assert_eq!(gone.code, 77, "{}", gone.err);
    assert!(
        gone.err.contains("procura operator recover NAME"),
        "{}",
        gone.err
    );
    let left = cli.json(&["unseal-source", "list"]);
    let names = left["sources"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|source| source["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["main", "recovery2"]);
    let found = installed.other("new-key");
    let login = ["login", "--passphrase-fd", "0"];
    found.ok(&login, b"canary passphrase 8d11\n");
    found.ok(&["seal", "--yes"], b"");
    let lost = cli.run(&["unseal", "--passphrase-fd", "0"], PASSPHRASE);
    assert!(lost.err.contains("passphrase is wrong"), "{}", lost.err);
    cli.ok(
        &["unseal", "--passphrase-fd", "0"],
        b"canary passphrase 8d11\n",
    );
}
