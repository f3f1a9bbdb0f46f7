use crate::dial::{Dial, Exceptions, HmacV1Terms, Mode, Routes};
use crate::{Label, Timestamp};
use serde::{Deserialize, Serialize};

/// `PUT …/services/{name}`: makes the service or replaces all of it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePut {
    /// The version that must be the latest; 0 says that there must be none. Nobody
    /// replaces what they have not seen.
    pub expect_version: u64,
    /// For paths that no route speaks of; `off` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// At most 64, each prefix once.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::dial::Route>))]
    pub routes: Routes,
    /// At most 32, each about an agent, a route or both.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::dial::Exception>))]
    pub exceptions: Exceptions,
    /// The agents of the namespace that may run a gate of it, at most 16.
    #[serde(default)]
    pub gates: Vec<Label>,
    /// How `hmac-v1` is let in; it is not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_v1: Option<HmacV1Terms>,
}

/// A service as stored.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: Label,
    /// Greater after each change, and never one of an earlier service of this name.
    pub version: u64,
    /// For paths that no route speaks of; `off` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Ascending by prefix.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::dial::Route>))]
    pub routes: Routes,
    /// Whom the service refuses on purpose.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::dial::Exception>))]
    pub exceptions: Exceptions,
    /// The agents that may run a gate of it and are not revoked, sorted.
    pub gates: Vec<Label>,
    /// How `hmac-v1` is let in; it is not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_v1: Option<HmacV1Terms>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

impl Service {
    /// Its dial.
    #[must_use]
    pub fn dial(&self) -> Dial {
        Dial {
            mode: self.mode,
            routes: self.routes.clone(),
        }
    }
}

/// `GET …/services`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceList {
    /// Sorted by name.
    pub services: Vec<Service>,
}
