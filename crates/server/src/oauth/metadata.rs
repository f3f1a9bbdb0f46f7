//! `GET /.well-known/oauth-authorization-server`: where the endpoints are (RFC 8414), and
//! whom a device signs for.

use super::collect::DEVICE_CODE;
use super::{ASK_PATH, COLLECT_PATH, documentation};
use crate::jwks;
use crate::problem::Failure;
use crate::serve::{Context, Reply};
use axum::response::Response;
use procura_types::wire::OauthMetadata;

/// Answers with what holds for everybody.
pub(super) fn metadata(context: &Context<'_>) -> Result<Response, Failure> {
    let Context { app, open, input } = context;
    let issuer = app.public_url().trim_end_matches('/');
    let none = || vec!["none".to_owned()];
    let metadata = OauthMetadata {
        issuer: issuer.to_owned(),
        device_authorization_endpoint: format!("{issuer}{ASK_PATH}"),
        token_endpoint: format!("{issuer}{COLLECT_PATH}"),
        jwks_uri: format!("{issuer}{}", jwks::DAEMON_PATH),
        grant_types_supported: vec![DEVICE_CODE.to_owned()],
        response_types_supported: none(),
        token_endpoint_auth_methods_supported: none(),
        service_documentation: Some(documentation(app)),
        procura_server_key: open.vault.server_key().public().to_jwk(),
        procura_installation: open.vault.installation().id,
    };
    Ok(Reply::json(&metadata)?.into_response(input.trace, None))
}
