//! Which action each call of the table is, written down once more: what the routes say
//! of themselves is what is tested by it.

use crate::actors::Actors;
use crate::calls::Case;

/// Where a call is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Installation,
    Shop,
    Dock,
}

pub(crate) const AGENTS: [&str; 3] = ["scribe", "baker", "robber"];
const EVERYBODY: [&str; 9] = [
    "alice", "stew", "adam", "anna", "otto", "bert", "scribe", "baker", "robber",
];

/// What is said of a call.
pub(crate) struct Row {
    pub(crate) call: &'static str,
    /// What the target has, where two actions share the call; `@NAME` for a device.
    pub(crate) with: &'static str,
    pub(crate) action: &'static str,
    place: Option<Place>,
    /// Whose it is, whom it names, or who has the grant.
    pub(crate) own: &'static [&'static str],
    /// Whoever may not hears that there is nothing.
    pub(crate) hidden: bool,
    /// Agents are told that there is nothing, whatever the table says.
    pub(crate) for_people: bool,
    /// Whose answer depends on more than the table, and has tests of its own.
    pub(crate) others: &'static [&'static str],
}

const fn r(call: &'static str, action: &'static str) -> Row {
    Row {
        call,
        with: "",
        action,
        place: None,
        own: &[],
        hidden: false,
        for_people: false,
        others: &[],
    }
}

impl Row {
    const fn with(mut self, with: &'static str) -> Self {
        self.with = with;
        self
    }

    const fn in_shop(mut self) -> Self {
        self.place = Some(Place::Shop);
        self
    }

    const fn own(mut self, own: &'static [&'static str]) -> Self {
        self.own = own;
        self
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    const fn for_people(mut self) -> Self {
        self.for_people = true;
        self
    }

    const fn not_of(mut self, others: &'static [&'static str]) -> Self {
        self.others = others;
        self
    }

    fn is_of(&self, case: &Case, actors: &Actors) -> bool {
        let target = match self.with.strip_prefix('@') {
            Some(name) => case.target.contains(&actors.device(name)),
            None => case.target.contains(self.with),
        };
        target && self.call == format!("{} {}", case.method, case.template)
    }

    pub(crate) fn place(&self, case: &Case) -> Place {
        match self.place {
            Some(place) => place,
            None if case.namespaced() => Place::Shop,
            None if case.target.starts_with("/v1/namespaces/dock") => Place::Dock,
            None => Place::Installation,
        }
    }
}

/// The row of a case: the one that says most of the target.
pub(crate) fn row(case: &Case, actors: &Actors) -> &'static Row {
    let rows = ROWS.iter().filter(|row| row.is_of(case, actors));
    rows.max_by_key(|row| row.with.len())
        .unwrap_or_else(|| panic!("{} {} has no row", case.method, case.template))
}

const OTTO: &[&str] = &["otto"];
const SCRIBE: &[&str] = &["scribe"];
const BAKER: &[&str] = &["baker"];
/// The break-glass account of the cases.
const NIGHT: &[&str] = &["night"];

pub(crate) const ROWS: &[Row] = &[
    r("GET /v1/namespaces/{ns}/device-grants", "device_grant.list"),
    r(
        "POST /v1/namespaces/{ns}/device-grants/show",
        "device_grant.read",
    ),
    r(
        "POST /v1/namespaces/{ns}/device-grants/approve",
        "device_grant.approve",
    ),
    r(
        "POST /v1/namespaces/{ns}/device-grants/deny",
        "device_grant.deny",
    ),
    r("GET /v1/namespaces", "namespace.list"),
    r("POST /v1/namespaces", "namespace.create"),
    r("GET /v1/namespaces/{ns}", "namespace.read"),
    r("PUT /v1/namespaces/{ns}/quota", "namespace.quota"),
    r(
        "PUT /v1/namespaces/{ns}/display-name",
        "namespace.display_name",
    ),
    r("DELETE /v1/namespaces/{ns}", "namespace.delete"),
    r("POST /v1/sessions", "session.start"),
    r("POST /v1/attestations", "attestation.make")
        .own(&AGENTS)
        .hidden(),
    r("POST /v1/attestations/challenge", "attestation.challenge")
        .own(&AGENTS)
        .hidden(),
    r("GET /v1/namespaces/{ns}/attestations", "attestation.list"),
    r(
        "PUT /v1/namespaces/{ns}/devices/{thumbprint}/baseline",
        "baseline.set",
    ),
    r(
        "DELETE /v1/namespaces/{ns}/devices/{thumbprint}/baseline",
        "baseline.remove",
    ),
    r(
        "POST /v1/namespaces/{ns}/attestations/{id}/revoke",
        "attestation.revoke",
    )
    .own(BAKER),
    r("GET /v1/release-keys", "release_key.list"),
    r("POST /v1/release-keys", "release_key.add"),
    r("DELETE /v1/release-keys", "release_key.remove"),
    r("GET /v1/releases", "release.list"),
    r("POST /v1/releases", "release.add"),
    r("POST /v1/releases/{sha256}/withdraw", "release.withdraw"),
    r("GET /v1/operators", "operator.list"),
    r("POST /v1/operators", "operator.invite"),
    r("PUT /v1/operators/{name}/roles", "operator.roles"),
    r("DELETE /v1/operators/{name}", "operator.revoke"),
    r("POST /v1/operators/{name}/link-code", "operator.link")
        .own(OTTO)
        .hidden(),
    r("GET /v1/operators/{name}/logins", "web_login.list")
        .own(OTTO)
        .hidden(),
    r("DELETE /v1/operators/{name}/logins", "web_login.end")
        .own(OTTO)
        .hidden(),
    r("DELETE /v1/operators/{name}/logins/{id}", "web_login.end")
        .own(OTTO)
        .hidden(),
    r("GET /v1/operators/{name}/passkeys", "operator.passkey.list")
        .own(OTTO)
        .hidden(),
    r(
        "POST /v1/operators/{name}/passkey-code",
        "operator.passkey.invite",
    )
    .own(OTTO)
    .hidden(),
    r("PUT /v1/passkeys/{id}/name", "operator.passkey.rename")
        .own(OTTO)
        .hidden(),
    r("DELETE /v1/passkeys/{id}", "operator.passkey.remove")
        .own(OTTO)
        .hidden(),
    r("PUT /v1/operators/{name}/password", "operator.password")
        .own(OTTO)
        .hidden(),
    r(
        "POST /v1/operators/{name}/totp/confirm",
        "operator.totp.confirm",
    )
    .own(OTTO)
    .hidden(),
    r("POST /v1/operators/{name}/totp", "operator.totp")
        .own(OTTO)
        .hidden(),
    r(
        "POST /v1/operators/{name}/recovery-codes",
        "operator.recovery_codes",
    )
    .own(OTTO)
    .hidden(),
    r("GET /v1/operators/{name}/account", "operator.account")
        .own(OTTO)
        .hidden(),
    r(
        "DELETE /v1/operators/{name}/account",
        "operator.account.end",
    )
    .own(OTTO)
    .hidden(),
    r("GET /v1/namespaces/{ns}/agents", "agent.list"),
    r("POST /v1/namespaces/{ns}/agents", "agent.create"),
    r(
        "POST /v1/namespaces/{ns}/agents/{label}/link-code",
        "agent.link",
    ),
    r(
        "PUT /v1/namespaces/{ns}/agents/{label}/sources",
        "agent.sources",
    ),
    r(
        "PUT /v1/namespaces/{ns}/agents/{label}/display-name",
        "agent.display_name",
    ),
    r("DELETE /v1/namespaces/{ns}/agents/{label}", "agent.revoke"),
    r("PUT /v1/namespaces/{ns}/secrets/{path}", "secret.write"),
    r("GET /v1/namespaces/{ns}/secrets", "secret.list"),
    r("GET /v1/namespaces/{ns}/secrets", "secret.list.deleted").with("deleted=true"),
    r("GET /v1/namespaces/{ns}/secrets", "secret.list.at").with("?at="),
    r("POST /v1/namespaces/{ns}/metadata/{path}", "secret.set"),
    r("GET /v1/namespaces/{ns}/secrets/{path}", "secret.read"),
    r("GET /v1/namespaces/{ns}/history/{path}", "secret.history"),
    r("DELETE /v1/namespaces/{ns}/secrets/{path}", "secret.delete"),
    r(
        "DELETE /v1/namespaces/{ns}/secrets/{path}",
        "secret.destroy",
    )
    .with("destroy=true"),
    r(
        "POST /v1/namespaces/{ns}/undelete/{path}",
        "secret.undelete",
    ),
    r("POST /v1/import", "installation.import").in_shop(),
    r("POST /v1/namespaces/{ns}/import", "secret.import"),
    r("POST /v1/namespaces/{ns}/export", "secret.export"),
    r(
        "POST /v1/namespaces/{ns}/rollback/{path}",
        "secret.rollback",
    ),
    r("POST /v1/namespaces/{ns}/rollback", "secret.rollback"),
    r("PUT /v1/namespaces/{ns}/projects/{name}", "project.write"),
    r("GET /v1/namespaces/{ns}/projects", "project.read"),
    r("GET /v1/namespaces/{ns}/projects/{name}", "project.read"),
    r(
        "PUT /v1/namespaces/{ns}/projects/{name}/require-grade",
        "project.require_grade",
    ),
    r(
        "PUT /v1/namespaces/{ns}/projects/{name}/display-name",
        "project.display_name",
    ),
    r(
        "POST /v1/namespaces/{ns}/projects/{name}/rebind",
        "project.rebind",
    ),
    r(
        "DELETE /v1/namespaces/{ns}/projects/{name}",
        "project.delete",
    ),
    r("PUT /v1/namespaces/{ns}/transit/{key}", "transit.write"),
    r("GET /v1/namespaces/{ns}/transit", "transit.list"),
    r(
        "POST /v1/namespaces/{ns}/transit/{key}/wrap",
        "transit.wrap",
    )
    .own(BAKER)
    .hidden(),
    r(
        "POST /v1/namespaces/{ns}/transit/{key}/unwrap",
        "transit.unwrap",
    )
    .own(BAKER)
    .hidden(),
    r("DELETE /v1/namespaces/{ns}/transit/{key}", "transit.write"),
    r("PUT /v1/namespaces/{ns}/services/{name}", "service.write"),
    r("GET /v1/namespaces/{ns}/services", "service.read"),
    r("GET /v1/namespaces/{ns}/services/{name}", "service.read"),
    r(
        "GET /v1/namespaces/{ns}/services/{name}/feed",
        "service.follow",
    )
    .own(BAKER)
    .hidden(),
    r(
        "POST /v1/namespaces/{ns}/services/{name}/verify",
        "service.verify",
    )
    .own(BAKER)
    .hidden(),
    r(
        "DELETE /v1/namespaces/{ns}/services/{name}",
        "service.write",
    ),
    r(
        "PUT /v1/namespaces/{ns}/foreign-ids/{agent_id}",
        "foreign.bind",
    ),
    r("GET /v1/namespaces/{ns}/foreign-ids", "foreign.list"),
    r(
        "GET /v1/namespaces/{ns}/foreign-ids/{agent_id}",
        "foreign.list",
    ),
    r(
        "POST /v1/namespaces/{ns}/foreign-ids/{agent_id}/secret",
        "agent.secret.rotate",
    )
    .own(SCRIBE),
    r(
        "DELETE /v1/namespaces/{ns}/foreign-ids/{agent_id}/secret",
        "agent.secret.revoke",
    ),
    r(
        "DELETE /v1/namespaces/{ns}/foreign-ids/{agent_id}",
        "foreign.release",
    ),
    r(
        "POST /v1/namespaces/{ns}/projects/{name}/runs",
        "run.deliver",
    )
    .own(SCRIBE)
    .hidden(),
    r(
        "POST /v1/namespaces/{ns}/projects/{name}/runs/{run}/end",
        "run.end",
    )
    .own(SCRIBE),
    r(
        "POST /v1/namespaces/{ns}/projects/{name}/tokens",
        "project_token.issue",
    )
    .own(SCRIBE)
    .hidden(),
    // The token in the wrong hands is an alarm.
    r(
        "POST /v1/namespaces/{ns}/projects/{name}/values",
        "project_token.use",
    )
    .own(SCRIBE)
    .hidden()
    .not_of(BAKER),
    r("GET /v1/namespaces/{ns}/tokens", "project_token.list").own(BAKER),
    r(
        "POST /v1/namespaces/{ns}/tokens/{id}/rotate",
        "project_token.rotate",
    )
    .own(SCRIBE)
    .hidden(),
    r(
        "DELETE /v1/namespaces/{ns}/tokens/{id}",
        "project_token.revoke",
    )
    .own(SCRIBE),
    r(
        "DELETE /v1/namespaces/{ns}/projects/{name}/tokens",
        "project_token.revoke_all",
    ),
    r("GET /v1/namespaces/{ns}/requests", "request.list"),
    r("GET /v1/namespaces/{ns}/requests/{id}", "request.read").own(SCRIBE),
    r(
        "POST /v1/namespaces/{ns}/requests/{id}/approve",
        "request.approve",
    ),
    r(
        "POST /v1/namespaces/{ns}/requests/{id}/deny",
        "request.deny",
    ),
    r("GET /v1/namespaces/{ns}/grants", "grant.read"),
    r("GET /v1/namespaces/{ns}/grants/{id}", "grant.read"),
    r(
        "POST /v1/namespaces/{ns}/grants/{id}/withdraw",
        "grant.withdraw",
    ),
    r("GET /v1/honey", "honey.list"),
    r("PUT /v1/honey/{ns}/{path}", "honey.plant"),
    r("POST /v1/honey/which", "honey.which"),
    r("DELETE /v1/honey/{ns}/{path}", "honey.remove"),
    r("GET /v1/quarantine", "quarantine.list"),
    r("POST /v1/devices/{thumbprint}/reinstate", "quarantine.lift"),
    r(
        "POST /v1/quarantine/{agent_id}/reinstate",
        "quarantine.lift",
    ),
    r("POST /v1/namespaces/{ns}/policies", "policy.write"),
    r("GET /v1/namespaces/{ns}/policies", "policy.read"),
    r("GET /v1/namespaces/{ns}/policies/{version}", "policy.read"),
    r(
        "PUT /v1/namespaces/{ns}/policies/{version}/state",
        "policy.state",
    ),
    r(
        "POST /v1/namespaces/{ns}/policies/{version}/rollback",
        "policy.write",
    ),
    r("POST /v1/namespaces/{ns}/policies/explain", "policy.read"),
    r("GET /v1/namespaces/{ns}/policies/report", "policy.read"),
    r("POST /v1/policies", "policy.write"),
    r("GET /v1/policies", "policy.read"),
    r("GET /v1/policies/{version}", "policy.read"),
    r("PUT /v1/policies/{version}/state", "policy.state"),
    r("POST /v1/policies/{version}/rollback", "policy.write"),
    r("POST /v1/policies/explain", "policy.read"),
    r("GET /v1/policies/report", "policy.read"),
    r("PUT /v1/notify/channels/{name}", "notify.write"),
    r("GET /v1/notify/channels", "notify.read"),
    r("POST /v1/notify/channels/{name}/test", "notify.test"),
    r("PUT /v1/notify/routes/{name}", "notify.write"),
    r("GET /v1/notify/routes", "notify.read"),
    r("GET /v1/notify/queue", "notify.read"),
    r("GET /v1/notify/dead", "notify.read"),
    r("POST /v1/notify/dead/retry", "notify.redeliver"),
    r("POST /v1/notify/dead/drop", "notify.redeliver"),
    r("DELETE /v1/notify/routes/{name}", "notify.write"),
    r("DELETE /v1/notify/channels/{name}", "notify.write"),
    r("GET /v1/signing-keys", "signing_key.list"),
    r("POST /v1/signing-keys/roll", "signing_key.roll"),
    r("POST /v1/signing-keys/{kid}/retire", "signing_key.retire"),
    r("GET /v1/proposals", "proposal.list"),
    r("POST /v1/proposals", "proposal.create"),
    r("POST /v1/proposals/{id}/refuse", "proposal.refuse"),
    r("POST /v1/proposals/{id}/sign", "proposal.sign"),
    r("GET /v1/approval-rules", "approval_rule.list"),
    r("PUT /v1/approval-rules/{act}", "approval_rule.set"),
    r("GET /v1/break-glass", "break_glass.list"),
    r("POST /v1/break-glass", "break_glass.create"),
    r("POST /v1/break-glass/{name}/use", "break_glass.use")
        .own(NIGHT)
        .hidden(),
    r("GET /v1/operators/{name}/api-keys", "api_key.list")
        .own(OTTO)
        .hidden(),
    r("POST /v1/operators/{name}/api-keys", "api_key.create")
        .own(OTTO)
        .hidden(),
    r(
        "DELETE /v1/operators/{name}/api-keys/{device}",
        "api_key.revoke",
    )
    .own(OTTO)
    .hidden(),
    r("GET /v1/operators/{name}/identities", "operator.oidc.list")
        .own(OTTO)
        .hidden(),
    r("POST /v1/operators/{name}/identities", "operator.oidc.link")
        .own(OTTO)
        .hidden(),
    r(
        "DELETE /v1/operators/{name}/identities/{id}",
        "operator.oidc.unlink",
    )
    .own(OTTO)
    .hidden(),
    r("GET /v1/servers", "server.list"),
    r("DELETE /v1/servers/{id}", "server.remove"),
    r("POST /v1/recoveries/seen", "recovery.seen")
        .hidden()
        .for_people(),
    r("GET /v1/backup", "installation.backup"),
    r("GET /v1/rotation", "installation.keys"),
    r("POST /v1/namespaces/{ns}/rotate", "namespace.rotate"),
    r("GET /v1/events", "events.read").own(&EVERYBODY),
    r("GET /v1/ledger/handovers", "ledger.checkpoint"),
    r("GET /v1/ledger/checkpoint", "ledger.checkpoint"),
    r("GET /v1/ledger/retention", "ledger.checkpoint"),
    r("PUT /v1/ledger/retention", "ledger.retention"),
    r("GET /v1/ledger/forgotten", "ledger.export"),
    r("GET /v1/ledger/consistency", "ledger.checkpoint"),
    r("GET /v1/ledger/entries", "ledger.export"),
    r("GET /v1/ledger/entries", "ledger.read").with("namespace=shop"),
    r("GET /v1/ledger/tile/{path}", "ledger.export"),
    // An auditor gets the entries of their namespace.
    r("GET /v1/ledger/proof/{id}", "ledger.export").not_of(&["otto", "bert"]),
    r("POST /v1/devices/{thumbprint}/revoke", "device.revoke")
        .with("@baker")
        .in_shop()
        .own(BAKER),
    r(
        "POST /v1/devices/{thumbprint}/revoke",
        "operator.device.revoke",
    )
    .with("@bert")
    .own(&["bert"]),
    r("POST /v1/devices/{thumbprint}/hold", "operator.device.hold").hidden(),
    r("GET /v1/status", "installation.check"),
    r("POST /v1/seal", "installation.seal"),
];
