//! Where the dials of services stand.

use super::Checks;
use procura_client::{ClientError, SessionClient};
use procura_server::Config;
use procura_types::dial::Mode;
use procura_types::wire::Service;
use procura_types::{Namespace, Timestamp};

const OPEN: &str =
    "requests without a valid proof are let through; docs/runbooks/enforce-signatures.md";

/// `AUTH_MODE` is over every dial.
pub(super) fn environment(checks: &mut Checks) {
    #[expect(
        clippy::disallowed_methods,
        reason = "what stands in this environment is what is looked at"
    )]
    let set = std::env::var_os("AUTH_MODE");
    if let Some(mode) = set {
        checks.notice(
            "AUTH_MODE",
            format!("{} in this environment", mode.to_string_lossy()),
            "a gate or a server that is started here goes by it, whatever the dials say",
        );
    }
}

/// `auth_mode` is over the dial of the agents' own routes.
pub(super) fn configuration(checks: &mut Checks, config: &Config) {
    if let Some(mode) = config.auth_mode {
        checks.notice(
            "auth_mode",
            format!("{mode} in the server's configuration"),
            "the server goes by it at /agent/protected/, whatever the dial of agent_service says",
        );
    }
}

/// The services of all namespaces that the operator has a part in.
pub(super) async fn services(checks: &mut Checks, server: &SessionClient, now: Timestamp) {
    match read(server).await {
        Ok(services) if services.is_empty() => checks.ok("dials", "no services"),
        Ok(services) => {
            for (namespace, service) in services {
                look(checks, &namespace, &service, now);
            }
        }
        Err(_) => checks.note("dials", "not looked at"),
    }
}

async fn read(server: &SessionClient) -> Result<Vec<(Namespace, Service)>, ClientError> {
    let mut all = Vec::new();
    for namespace in server.namespaces().await?.namespaces {
        // Of a namespace in which the operator reads no services, nothing is said.
        if let Ok(list) = server.services(&namespace.name).await {
            let services = list.services.into_iter();
            all.extend(services.map(|service| (namespace.name.clone(), service)));
        }
    }
    Ok(all)
}

fn look(checks: &mut Checks, namespace: &Namespace, service: &Service, now: Timestamp) {
    let name = format!("{namespace}/{}", service.name);
    let mode = service.mode.unwrap_or_default();
    let laxer: Vec<String> = service
        .routes
        .iter()
        .filter_map(|route| Some((route, route.mode?)))
        .filter(|(_, route)| *route < Mode::Enforce && *route < mode)
        .map(|(route, mode)| format!("{} {mode}", route.prefix))
        .collect();
    match (mode, laxer.as_slice()) {
        (Mode::Enforce, []) => checks.ok("dials", format!("{name} enforces")),
        (Mode::Enforce, laxer) => checks.notice(
            "dials",
            format!("{name} enforces, but for {}", laxer.join(", ")),
            OPEN,
        ),
        (mode, _) => checks.notice("dials", format!("{name} is at {mode}"), OPEN),
    }
    let unsigned = service.routes.iter();
    for route in unsigned.filter(|route| route.danger_unsigned_body == Some(true)) {
        checks.notice(
            "dials",
            format!("{name} takes bodies of {} unsigned", route.prefix),
            "whoever is between caller and service can change them",
        );
    }
    let over = service.exceptions.iter();
    for exception in over.filter(|exception| !exception.holds(now)) {
        let whom = match (&exception.agent, &exception.route) {
            (Some(agent), Some(route)) => format!("{agent} at {route}"),
            (Some(agent), None) => agent.to_string(),
            (None, Some(route)) => route.to_string(),
            (None, None) => "everybody".to_owned(),
        };
        checks.notice(
            "dials",
            format!("{name}: the exception for {whom} is over"),
            "auth report counts them again",
        );
    }
    if service.gates.is_empty() {
        checks.notice(
            "dials",
            format!("{name} has no gate"),
            "nothing that the dial says has an effect, unless a middleware goes by it",
        );
    }
}
