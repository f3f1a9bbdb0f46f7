//! What the runbooks say to type is typed, in their order.

use crate::installed::Installed;
use std::path::Path;

/// The blocks of a runbook that are commands for a shell.
fn blocks(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/runbooks")
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

#[test]
fn from_off_over_observe_to_enforce_and_back() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let log = "{\"ts\":\"2026-11-20T09:00:00Z\",\"event\":\"observed\",\"service\":\"web\",\"passed\":7,\"would_reject\":0}\n";
    let logs = installed.dir().join("logs");
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(logs.join("observe.jsonl"), log).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_procura")).parent().unwrap();
    let mut modes = Vec::new();
    for block in blocks("enforce-signatures.md") {
        let output = std::process::Command::new("setsid")
            .args(["--wait", "bash", "-euc", &block])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("PROCURA_HOME", &cli.home)
            .env("PROCURA_SERVER", cli.url.as_ref().unwrap())
            .current_dir(installed.dir())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{block}: {said}");
        let mode = cli.json(&["service", "show", "web"])["mode"].clone();
        modes.push(mode.as_str().unwrap_or("off").to_owned());
    }
    modes.dedup();
    assert_eq!(modes, ["off", "observe", "enforce", "observe", "off"]);
}
