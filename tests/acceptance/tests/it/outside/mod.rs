//! Clients and services that share no code with this project: programs in Python and
//! Node (`tests/acceptance/clients`), and OpenSSL. What they know of a profile they
//! have from its description.

mod cortexauth;
mod device_grant;
mod grpc;
mod middleware;
mod native;
mod notify;
mod notify_down;
mod oidc;
mod project_token;
mod record;
mod shares;
mod signed;
mod snippets;
mod websocket;

use crate::gate::{gate, service};
use crate::scene::agent;
use crate::verify::Agent;
use procura_acceptance::{GateHost, Installation, Program};
use serde_json::{Value, json};

/// A server whose own routes and the service `web`, with a gate in front of it, all
/// enforce; and an agent of another system, whose id stands for an agent of `shop`.
struct Site {
    // Stopped before the server that it follows.
    gate: GateHost,
    server: Installation,
    agent: Agent,
}

impl Site {
    /// With the service at this URL.
    fn before(upstream: &str) -> Self {
        Self::with(upstream, &[])
    }

    /// With what is particular about a route.
    fn with(upstream: &str, route: &[&str]) -> Self {
        let server = Installation::configured("agent_service = \"shop/web\"\n");
        server.cli(&["namespace", "create", "shop"]).ok();
        let _ = agent(&server, "shop", "scribe");
        let scribe = Agent::of_openssl(&server, "Scribe.1");
        let bind = [
            "-n", "shop", "agent", "foreign", "bind", "Scribe.1", "scribe",
        ];
        server.cli(&bind).ok();
        scribe.enrol(&server);
        let code = service(&server);
        if !route.is_empty() {
            let set = ["-n", "shop", "service", "route", "web"];
            server.cli(&[&set[..], route].concat()).ok();
        }
        let gate = gate(&server, &code, upstream, &[]);
        Self {
            gate,
            server,
            agent: scribe,
        }
    }

    /// The gate, as a client calls it.
    fn url(&self) -> String {
        format!("http://{}", self.gate.address())
    }

    /// The file that has the agent's key.
    fn key(&self) -> String {
        let file = self.agent.folder.join("key.der");
        file.to_str().unwrap().to_owned()
    }
}

/// What a client prints of an answer; the reason of one that refuses.
fn step(name: &str, status: u16, reason: Option<&str>) -> Value {
    json!({"step": name, "status": status, "reason": reason})
}
