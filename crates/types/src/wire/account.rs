//! What an operator signs in with in a browser, and their web logins.

use crate::{ActorId, Amr, Label, Secret, Timestamp, WebLoginId};
use serde::{Deserialize, Serialize, Serializer};
use std::net::IpAddr;

/// `GET /v1/operators/{name}/account`: what an operator signs in with, without any of it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Whose.
    pub name: Label,
    /// When the password was set, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Timestamp>,
    /// Since when codes of an authenticator app are asked for, if one was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<Timestamp>,
    /// Whether a new app waits for its first code.
    pub totp_waits: bool,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
    /// How many identities at identity providers are linked.
    pub identities: usize,
}

/// `PUT /v1/operators/{name}/password`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordPut {
    /// The new password: at least 12 characters.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    #[serde(serialize_with = "exposed")]
    pub password: Secret<String>,
}

/// Answer to `POST /v1/operators/{name}/totp`: the secret of a new authenticator app, shown
/// once. The app of before goes on until a first code of the new one arrived.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct TotpSetUp {
    /// Base32, to be typed into the app.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    #[serde(serialize_with = "exposed")]
    pub secret: Secret<String>,
    /// The same as an `otpauth:` URI, to be shown as a QR code.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    #[serde(serialize_with = "exposed")]
    pub uri: Secret<String>,
}

/// `POST /v1/operators/{name}/totp/confirm`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotpConfirm {
    /// Six digits of the app.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    #[serde(serialize_with = "exposed")]
    pub code: Secret<String>,
}

/// Answer to `POST /v1/operators/{name}/recovery-codes`: shown once, each good once.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct RecoveryCodes {
    /// Four groups of four each.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    #[serde(serialize_with = "all_exposed")]
    pub codes: Vec<Secret<String>>,
}

/// A web login: what a browser holds after sign-in.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebLogin {
    /// Its id, which stands in the record; the cookie is another.
    pub id: WebLoginId,
    /// Whose.
    pub actor: ActorId,
    /// By what they signed in.
    pub amr: Amr,
    /// When.
    pub began: Timestamp,
    /// When they last proved who they are.
    pub authenticated: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen: Timestamp,
    /// When it ends whatever is done with it.
    pub ends: Timestamp,
    /// From where they signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub from: Option<IpAddr>,
}

/// `GET /v1/operators/{name}/logins`, the newest first.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebLoginList {
    /// Those that are not over.
    pub logins: Vec<WebLogin>,
}

/// Answer to `DELETE /v1/operators/{name}/logins` and `DELETE …/logins/{id}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebLoginsEnded {
    /// How many ended.
    pub ended: usize,
}

/// Into a body that is seen by its two ends alone.
fn exposed<S: Serializer>(text: &Secret<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text.expose())
}

fn all_exposed<S: Serializer>(texts: &[Secret<String>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(texts.iter().map(|text| text.expose().as_str()))
}
