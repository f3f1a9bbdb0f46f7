//! Every call of the API with who may make it, who may not, and what of it can be
//! malformed. The negative cases go through this table; a call that is not in it
//! fails `every_call_is_in_the_table`.

mod agents;
mod attestations;
mod case;
mod device_grants;
mod ends;
mod honey;
mod installation;
mod ledger;
mod namespaces;
mod notify;
mod oidc;
mod operators;
mod policies;
mod projects;
mod requests;
mod runs;
mod second_persons;
mod secrets;
mod services;
mod transit;

pub(crate) use case::Case;

use crate::actors::Actors;

/// The namespace that the calls are about, where they are about one.
const NS: &str = "/v1/namespaces/shop";

/// Calls without a wrong actor: whoever has a device may make them.
pub(crate) const OPEN: [&str; 7] = [
    // Whoever has a role anywhere, and every agent; what they see is in `events`.
    "GET /v1/events",
    "GET /v1/namespaces",
    "POST /v1/sessions",
    "GET /v1/ledger/checkpoint",
    "GET /v1/ledger/handovers",
    "GET /v1/ledger/consistency",
    "GET /v1/ledger/retention",
];
/// Calls that read neither path parameters, nor a query, nor a body.
pub(crate) const NO_INPUT: [&str; 19] = [
    "GET /v1/approval-rules",
    "GET /v1/break-glass",
    "GET /v1/release-keys",
    "GET /v1/releases",
    "GET /v1/policies",
    "GET /v1/policies/report",
    "GET /v1/servers",
    "GET /v1/honey",
    "GET /v1/quarantine",
    "GET /v1/proposals",
    "GET /v1/namespaces",
    "GET /v1/operators",
    "GET /v1/rotation",
    "GET /v1/ledger/handovers",
    "GET /v1/ledger/checkpoint",
    "GET /v1/ledger/forgotten",
    "GET /v1/ledger/retention",
    "POST /v1/seal",
    "GET /v1/status",
];

fn c(
    method: &'static str,
    template: &'static str,
    target: impl Into<String>,
    by: &'static str,
) -> Case {
    Case::new(method, template, target, by)
}

/// A call whose path has no parameters.
fn plain(method: &'static str, path: &'static str, by: &'static str) -> Case {
    c(method, path, path, by)
}

/// In an order in which all of them succeed one after the other.
pub(crate) async fn cases(actors: &Actors) -> Vec<Case> {
    let mut cases = device_grants::cases(actors).await;
    cases.extend(second_persons::cases(actors).await);
    cases.extend(oidc::cases(actors).await);
    cases.extend(namespaces::cases());
    cases.extend(attestations::cases(actors).await);
    cases.extend(operators::cases(actors).await);
    cases.extend(agents::cases());
    cases.extend(secrets::cases());
    cases.extend(projects::cases());
    cases.extend(transit::cases(actors).await);
    cases.extend(services::cases());
    cases.extend(runs::cases(actors).await);
    cases.extend(requests::cases(actors).await);
    cases.extend(honey::cases(actors).await);
    cases.extend(policies::cases());
    cases.extend(notify::cases().await);
    cases.extend(installation::cases(actors).await);
    cases.extend(ledger::cases(actors).await);
    cases.extend(ends::cases(actors));
    cases
}
