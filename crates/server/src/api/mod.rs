//! The native API (`protocol.md` §9), one file per resource. Each call is a
//! declaration of its operation and a few lines.

mod account;
mod agent;
mod api_key;
mod approval_rule;
mod attestation;
mod backup;
mod break_glass;
mod device;
mod device_grant;
mod errors;
pub(crate) mod event_stream;
pub(crate) mod events;
mod feed;
mod foreign;
mod grant;
mod honey;
mod installation_import;
mod join;
pub(crate) mod ledger;
mod namespace;
mod notify;
mod oidc;
mod operator;
mod passkey;
mod policy;
mod project;
pub(crate) mod project_token;
mod proposal;
mod recovery;
mod release;
mod request;
mod retention;
mod rotation;
pub(crate) mod run;
mod secret;
pub(crate) mod secret_import;
mod server;
mod service;
mod session;
mod signing_key;
pub mod status;
mod transit;
mod verify_for_gate;

use crate::app::App;
use crate::openapi::Document;
use crate::problem::{Code, Failure};
use crate::rates::guard;
use crate::serve::{Context, Reply, mount, mount_either, mount_one_of};
use crate::{agent_routes, key_server, keys_routes, legacy, oauth, pages};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use http::StatusCode;
use procura_crypto::PublicKey;
use procura_identity::{ByQuorum, IssuedCode};
use procura_types::wire::{JoinAnswer, JoinRequest, LinkCode, PublicJwk};
use procura_types::{LinkCodeText, ProposalId, TraceId};
use std::sync::Arc;

macro_rules! routes {
    ($($endpoint:ty),* $(,)?) => {
        /// Every call that goes through the adapter: method, path, action.
        pub const CALLS: &[(&str, &str, &str)] = &[$((
            <$endpoint as crate::serve::Endpoint>::METHOD_NAME,
            <$endpoint as crate::serve::Endpoint>::PATH,
            <<$endpoint as crate::serve::Endpoint>::Op as procura_policy::Op>::ACTION.as_str(),
        ),)*];

        /// The OpenAPI document of all calls, as JSON text.
        #[must_use]
        pub fn openapi_json() -> String {
            let document = Document::default();
            $(let document = document.call::<$endpoint>();)*
            let document = document
                .call::<secret::List>()
                .call::<secret::Delete>()
                .call::<ledger::Entries>()
                .call::<device::OfAgent>()
                .call::<status::DeepCheck>()
                .open_call::<JoinRequest, JoinAnswer>("POST", "/v1/join", "Binds a device to an actor by a link code")
                .open_call::<(), ()>("GET", crate::jwks::PATH, "The keys by which tokens are verified: a JWK Set (RFC 7517)")
                .open_call::<(), ()>("GET", crate::jwks::AGENT_PATH, "The same for tokens of agents alone")
                .open_call::<(), ()>("GET", crate::jwks::PROJECT_PATH, "The same for tokens of projects alone")
                .open_call::<(), ()>("GET", crate::jwks::WEBHOOK_PATH, "The key by which webhooks are verified: a JWK Set (RFC 7517)")
                .open_call::<(), ()>("GET", crate::jwks::DAEMON_PATH, "The same for tokens of devices that joined by a device grant alone");
            let document = oauth::document(keys_routes::document(key_server::document(document)));
            legacy::document(agent_routes::document(document)).into_json()
        }

        fn calls(router: Router<Arc<App>>) -> Router<Arc<App>> {
            $(let router = mount::<$endpoint>(router);)*
            router
        }
    };
}

routes![
    namespace::List,
    namespace::Create,
    namespace::Read,
    namespace::Quota,
    namespace::DisplayName,
    namespace::Delete,
    rotation::Read,
    rotation::Namespace,
    operator::List,
    operator::Invite,
    operator::SetRoles,
    operator::Revoke,
    operator::Link,
    passkey::List,
    passkey::Invite,
    passkey::Rename,
    passkey::Remove,
    oidc::List,
    oidc::Link,
    oidc::Unlink,
    api_key::List,
    api_key::Create,
    api_key::Revoke,
    break_glass::List,
    break_glass::Create,
    break_glass::Use,
    approval_rule::List,
    approval_rule::Set,
    account::Show,
    account::End,
    account::Password,
    account::Totp,
    account::TotpConfirm,
    account::RecoveryCodes,
    account::Logins,
    account::EndLogins,
    account::EndLogin,
    device::Hold,
    device_grant::List,
    device_grant::Show,
    device_grant::Approve,
    device_grant::Deny,
    agent::List,
    agent::Create,
    agent::Link,
    agent::Revoke,
    agent::Sources,
    agent::DisplayName,
    foreign::List,
    foreign::Read,
    foreign::Bind,
    foreign::Release,
    foreign::RotateSecret,
    foreign::RevokeSecrets,
    attestation::Challenge,
    attestation::Make,
    attestation::List,
    attestation::Revoke,
    attestation::SetBaseline,
    attestation::RemoveBaseline,
    release::Keys,
    release::AddKey,
    release::RemoveKey,
    release::List,
    release::Add,
    release::Withdraw,
    session::Start,
    signing_key::List,
    signing_key::Roll,
    signing_key::Retire,
    secret::Read,
    secret::Write,
    secret::Undelete,
    secret::Set,
    secret::History,
    secret_import::Import,
    secret_import::Export,
    secret_import::RollbackOne,
    secret_import::RollbackAll,
    installation_import::Import,
    honey::List,
    honey::Plant,
    honey::Remove,
    honey::Which,
    honey::Quarantine,
    honey::ReinstateDevice,
    honey::ReinstateId,
    project::List,
    project::Read,
    project::Write,
    project::Rebind,
    project::DisplayName,
    project::RequireGrade,
    project::Delete,
    transit::List,
    transit::Write,
    transit::Wrap,
    transit::Unwrap,
    transit::Remove,
    policy::List<policy::OfNamespace>,
    policy::Put<policy::OfNamespace>,
    policy::Read<policy::OfNamespace>,
    policy::State<policy::OfNamespace>,
    policy::Rollback<policy::OfNamespace>,
    policy::Explain<policy::OfNamespace>,
    policy::Report<policy::OfNamespace>,
    policy::List<policy::OfInstallation>,
    policy::Put<policy::OfInstallation>,
    policy::Read<policy::OfInstallation>,
    policy::State<policy::OfInstallation>,
    policy::Rollback<policy::OfInstallation>,
    policy::Explain<policy::OfInstallation>,
    policy::Report<policy::OfInstallation>,
    service::List,
    service::Read,
    service::Write,
    service::Remove,
    feed::Follow,
    events::Follow,
    verify_for_gate::Verify,
    project_token::Issue,
    project_token::Values,
    project_token::RevokeAll,
    project_token::List,
    project_token::Rotate,
    project_token::Revoke,
    run::Deliver,
    run::End,
    request::List,
    request::Read,
    request::Approve,
    request::Deny,
    grant::List,
    grant::Read,
    grant::Withdraw,
    notify::Channels,
    notify::WriteChannel,
    notify::RemoveChannel,
    notify::TestChannel,
    notify::Routes,
    notify::WriteRoute,
    notify::RemoveRoute,
    notify::Queue,
    notify::Dead,
    notify::Retry,
    notify::Drop,
    ledger::Checkpoint,
    ledger::Consistency,
    ledger::Handovers,
    ledger::Tile,
    ledger::Proof,
    retention::Read,
    retention::Set,
    retention::Forgotten,
    recovery::Seen,
    proposal::List,
    proposal::Create,
    proposal::Sign,
    proposal::Refuse,
    server::List,
    server::Remove,
    status::Seal,
    backup::Take,
];

/// The routes of the API listener.
pub fn router(app: Arc<App>) -> Router {
    let router = calls(Router::new());
    let router = mount_either::<secret::Delete, secret::Destroy>(router, "destroy", |value| {
        value != "false"
    });
    let router = mount_one_of::<secret::List, secret::ListDeleted, secret::ListAt>(
        router,
        ("deleted", |value| value != "false"),
        ("at", |_| true),
    );
    let router =
        mount_either::<ledger::Entries, ledger::NamespaceEntries>(router, "namespace", |_| true);
    let router = device::route(join::route(status::route(router)));
    let router = crate::jwks::route(keys_routes::route(key_server::route(router)));
    let router = legacy::route(oauth::route(router), &app);
    let router = pages::route(agent_routes::route(router), &app);
    let router = router
        .fallback(async |State(app): State<Arc<App>>, request: Request| {
            let detail = if pages::are_missed(&app, request.uri().path()) {
                "There is no such path: the pages are off. Whoever runs the server switches them on by [web] enabled = true in procura.toml."
            } else {
                "There is no such path."
            };
            unserved(&app, &request, Failure::new(Code::NotFound, detail))
        })
        .method_not_allowed_fallback(async |State(app): State<Arc<App>>, request: Request| {
            let detail = "This path does not take that method.";
            unserved(&app, &request, Failure::new(Code::MethodNotAllowed, detail))
        })
        .layer(from_fn_with_state(Arc::clone(&app), guard))
        .with_state(Arc::clone(&app));
    pages::by_tls_alone(router, &app)
}

/// The refusal of a request that reached no call.
fn unserved(app: &App, request: &Request, failure: Failure) -> Response {
    let trace = TraceId::generate(app.clock.now(), app.entropy.as_ref())
        .unwrap_or(TraceId::from_bytes([0; 16]));
    let response = if pages::answers_unserved(app, request) {
        pages::failed(failure, trace)
    } else {
        failure.into_response_for(trace)
    };
    app.metrics.unserved(response.status());
    response
}

/// The query of lists that go by id.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery<I> {
    after: Option<I>,
    limit: Option<usize>,
}

/// The public key of something new.
fn new_key(key: &PublicJwk) -> Result<PublicKey, Failure> {
    PublicKey::from_jwk(key).map_err(|error| {
        let mut failure = Failure::new(
            Code::Malformed,
            "This is no Ed25519 or P-256 key in JWK form.",
        );
        failure.field = Some("key");
        failure.because(error)
    })
}

/// What was agreed to, of this installation.
fn agreed(open: &crate::Open, proposal: Option<ProposalId>) -> Option<ByQuorum> {
    let installation = open.vault.installation().id;
    proposal.map(|proposal| ByQuorum {
        installation,
        proposal,
    })
}

/// A code that was just made, as its text.
fn link_code(context: &Context<'_>, issued: IssuedCode) -> Result<Reply, Failure> {
    let code = written(context.app, context.open, issued);
    shown_once(&code)
}

/// A code as it is typed.
pub(crate) fn written(app: &App, open: &crate::Open, issued: IssuedCode) -> LinkCode {
    let text = LinkCodeText {
        code: issued.code,
        server: crate::server_id(&open.vault),
        installation: open.vault.installation().id,
        joins: issued.joins,
        url: app.public_url().to_owned(),
    };
    LinkCode {
        code: text.encode().expose().clone(),
        expires: issued.expires,
    }
}

/// The answer with a code.
pub(crate) fn shown_once(answer: &LinkCode) -> Result<Reply, Failure> {
    Reply::secret_with_status(StatusCode::CREATED, answer, answer.code.len())
}
