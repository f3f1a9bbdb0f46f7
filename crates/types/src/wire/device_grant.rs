use super::{JoinAnswer, PublicJwk, ValueB64};
use crate::{DisplayName, InstallationId, Label, Thumbprint, Timestamp, UserCode};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where a device grant stands.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceGrantState {
    /// Nobody answered yet.
    Pending,
    /// Somebody said yes, and the device has not heard of it yet.
    Approved,
    /// Somebody said no.
    Denied,
    /// The device is one of the agent's.
    Joined,
}

impl DeviceGrantState {
    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Joined => "joined",
        }
    }
}

/// A device that asks to be let in (`protocol.md` §2.1).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceGrant {
    /// RFC 7638 thumbprint of its key, which it has proven to hold.
    pub device: Thumbprint,
    /// Whether a client of CortexAuth asks to log in. It shows no key: there is no
    /// fingerprint, `device` only tells it from others, and whoever has its code gets the
    /// token. What it gets makes nobody a device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy: bool,
    /// What the host shows as well, in four groups of four: the same only where host and
    /// server are the same, and the code. Told to whoever brings the code, and in no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What the host says that it is called. Nothing vouches for it.
    pub host: DisplayName,
    /// The address that it asked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub from: Option<IpAddr>,
    /// When it asked.
    pub asked: Timestamp,
    /// Until when it can be answered, and collected.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: DeviceGrantState,
}

/// `GET /v1/namespaces/{ns}/device-grants`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceGrantList {
    /// Those that nobody answered yet, the newest first: 256 at the most.
    pub grants: Vec<DeviceGrant>,
}

/// `POST …/device-grants/show` and `POST …/device-grants/deny`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceGrantCode {
    /// What the host shows.
    pub user_code: UserCode,
}

/// `POST …/device-grants/approve`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceGrantApprove {
    /// What the host shows.
    pub user_code: UserCode,
    /// The agent whose device it becomes.
    pub agent: Label,
    /// The device that was looked at: no other is approved.
    pub device: Thumbprint,
}

/// `POST /oauth/device_authorization`: what a device gets that asks (RFC 8628 §3.2).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct DeviceAuthorization {
    /// What it asks with. The device's key signs its SHA-256, so that it is of no use to
    /// anybody else.
    pub device_code: ValueB64,
    /// What a person types.
    pub user_code: UserCode,
    /// Where they type it.
    pub verification_uri: String,
    /// The same with the code in it; there a person has to confirm it all the same.
    pub verification_uri_complete: String,
    /// For how many seconds both codes are good.
    pub expires_in: u64,
    /// Seconds between two questions.
    pub interval: u64,
}

/// `POST /oauth/token`: what a device gets whose grant was approved (RFC 6749 §5.1), and
/// all that a link code yields.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct DeviceToken {
    /// A `procura-daemon+jwt`: it opens nothing without a proof by the device's key.
    pub access_token: String,
    /// `PoP` (RFC 9200 §8.2): whoever has it and not the key cannot use it.
    pub token_type: String,
    /// For how many seconds it counts.
    pub expires_in: u64,
    /// What the device is now.
    #[serde(flatten)]
    pub joined: JoinAnswer,
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414), with what a device needs to
/// sign its question.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OauthMetadata {
    /// The server's URL.
    pub issuer: String,
    /// Where a device asks.
    pub device_authorization_endpoint: String,
    /// Where it collects.
    pub token_endpoint: String,
    /// The keys by which its tokens are verified.
    pub jwks_uri: String,
    /// Device grants, and nothing else.
    pub grant_types_supported: Vec<String>,
    /// `none`: there is no endpoint for browsers.
    pub response_types_supported: Vec<String>,
    /// `none`: the device's own key proves more than a client's secret would.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Where whoever writes a client reads which parameters there are beside those of
    /// the standard, and what a device signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_documentation: Option<String>,
    /// The key whose thumbprint is the `server_id` of what is signed.
    pub procura_server_key: PublicJwk,
    /// The installation.
    pub procura_installation: InstallationId,
}

/// What an OAuth endpoint says that it does not do (RFC 6749 §5.2).
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OauthError {
    /// One word of RFC 6749 or RFC 8628.
    pub error: String,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}
