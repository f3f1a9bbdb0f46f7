//! The scene that most tests begin with: an unsealed installation, namespaces
//! with a secret, and an agent whose device has joined.

use procura_acceptance::{Daemon, Installation, Outcome, PASSPHRASE, until};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

/// A value that must be found nowhere but where it was delivered.
pub(crate) const CANARY: &str = "value-canary-7d10c2f58e4b9a36";

/// Long enough for a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One installation and one host of agents.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) server: Installation,
}

impl Scene {
    /// Namespace `shop` with the secret `api/key` = [`CANARY`] and `db/url`, the
    /// agent `scribe` joined, and the project `orders` that maps both as
    /// `API_KEY` and `DB_URL` and names the agent.
    pub(crate) fn set() -> Self {
        Self::in_shop(shop())
    }

    /// The same with `text` as `procura.toml`.
    pub(crate) fn configured(text: &str) -> Self {
        let server = Installation::configured(text);
        server.cli(&["namespace", "create", "shop"]).ok();
        Self::in_shop(server)
    }

    fn in_shop(server: Installation) -> Self {
        server.put("shop", "api/key", CANARY.as_bytes());
        server.put("shop", "db/url", b"db-url-of-the-shop");
        let daemon = Daemon::start(server.folder(), "host");
        join(&server, &daemon, "shop", "scribe");
        orders(&server, "shop", "scribe");
        let scene = Self { daemon, server };
        scene.set_orders(&["--env", "DB_URL=db/url"]);
        scene
    }

    /// The agent runs a command for the project, asking for `names`.
    pub(crate) fn run(&self, names: &[&str], command: &[&str]) -> Outcome {
        self.daemon
            .run_for(self.server.folder(), "orders", names, command)
    }

    /// Asks for `names` and has all of them approved.
    pub(crate) fn approved(&self, names: &[&str]) -> String {
        let _ = self.run(names, &["true"]).code(75);
        let request = self.waiting();
        self.server
            .cli(&["-n", "shop", "request", "approve", &request])
            .ok();
        request
    }

    /// The one request that waits.
    pub(crate) fn waiting(&self) -> String {
        let requests = requests(&self.server, "shop");
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0]["id"].as_str().unwrap().to_owned()
    }

    /// A command that has what was approved until it is killed.
    pub(crate) fn holder(&self) -> Child {
        let folder = self.server.folder();
        let sleep = ["sleep", "300"];
        let child = self
            .daemon
            .spawn_for(folder, "orders", &["API_KEY"], &sleep);
        becomes(&child, "sleep");
        child
    }

    /// Changes the project.
    pub(crate) fn set_orders(&self, words: &[&str]) {
        let set = ["-n", "shop", "project", "set", "orders"];
        self.server.cli(&[&set[..], words].concat()).ok();
    }
}

/// An unsealed installation with the namespace `shop`.
pub(crate) fn shop() -> Installation {
    let server = Installation::ready();
    server.cli(&["namespace", "create", "shop"]).ok();
    server
}

/// Makes the agent; the code with which its machine joins.
pub(crate) fn agent(server: &Installation, namespace: &str, label: &str) -> String {
    server
        .cli(&["-n", namespace, "agent", "add", label])
        .ok()
        .text()
}

/// Makes the agent and joins a device for it.
pub(crate) fn join(server: &Installation, daemon: &Daemon, namespace: &str, label: &str) {
    daemon.join(&agent(server, namespace, label)).ok();
}

/// The project `orders`, which maps `API_KEY` and names the agent.
pub(crate) fn orders(server: &Installation, namespace: &str, label: &str) {
    let set = ["-n", namespace, "project", "set", "orders"];
    let words = ["--agent", label, "--env", "API_KEY=api/key"];
    server.cli(&[&set[..], &words[..]].concat()).ok();
}

/// The requests that wait in a namespace.
pub(crate) fn requests(server: &Installation, namespace: &str) -> Vec<Value> {
    let list = ["-n", namespace, "--json", "request", "list"];
    let list = server.cli(&list).ok().json();
    list["requests"].as_array().unwrap().clone()
}

/// Invites an operator with a role, who joins; the home of them.
pub(crate) fn operator(server: &Installation, name: &str, role: &str) -> PathBuf {
    let invite = ["operator", "invite", name, "--role", role];
    let code = server.cli(&invite).ok().text();
    let home = server.folder().join(name);
    server
        .cli_in(&home, PASSPHRASE, &["operator", "join", &code], b"")
        .ok();
    home
}

/// Waits until the process has become the command.
fn becomes(child: &Child, command: &str) {
    until(command, PATIENCE, || {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).ok()?;
        (name.trim() == command).then_some(())
    });
}
