//! The scene that most tests begin with: an unsealed installation, namespaces
//! with a secret, and an agent whose device has joined.

use procura_acceptance::{Daemon, Installation, Outcome};

/// A value that must be found nowhere but where it was delivered.
pub(crate) const CANARY: &str = "value-canary-7d10c2f58e4b9a36";

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
        let server = Installation::ready();
        server.cli(&["namespace", "create", "shop"]).ok();
        server.put("shop", "api/key", CANARY.as_bytes());
        server.put("shop", "db/url", b"db-url-of-the-shop");
        let daemon = Daemon::start(server.folder(), "host");
        join(&server, &daemon, "shop", "scribe");
        let set = [
            "-n", "shop", "project", "set", "orders", "--agent", "scribe",
        ];
        let env = ["--env", "API_KEY=api/key", "--env", "DB_URL=db/url"];
        server.cli(&[&set[..], &env[..]].concat()).ok();
        Self { daemon, server }
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
        let list = self
            .server
            .cli(&["-n", "shop", "--json", "request", "list"])
            .ok()
            .json();
        let requests = list["requests"].as_array().unwrap().clone();
        assert_eq!(requests.len(), 1, "{list}");
        requests[0]["id"].as_str().unwrap().to_owned()
    }
}

/// Makes the agent and joins a device for it.
pub(crate) fn join(server: &Installation, daemon: &Daemon, namespace: &str, label: &str) {
    let code = server
        .cli(&["-n", namespace, "agent", "add", label])
        .ok()
        .text();
    daemon.join(&code).ok();
}
