//! What is asked for: the paths, and what the OpenAPI document says of each.

use super::{answer, attest, discover, login, values};
use crate::foreign_call::{ForeignCall, JSON};
use crate::openapi::Document;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Authorize,
    Token,
    Attest,
    Discover,
    Secrets,
    Config,
}

impl Route {
    pub(super) const ALL: [Self; 6] = [
        Self::Authorize,
        Self::Token,
        Self::Attest,
        Self::Discover,
        Self::Secrets,
        Self::Config,
    ];

    /// The route of a path.
    pub(super) fn of(path: &str) -> Option<Self> {
        let is_of = |route: &Self| route.call().matches(path).is_some();
        Self::ALL.into_iter().find(is_of)
    }

    /// The call that it is.
    pub(super) const fn call(self) -> ForeignCall {
        let call = ForeignCall {
            label: "legacy.device.authorize",
            method: "POST",
            path: "/device/authorize",
            query: &[],
            summary: "Codes for the login of a client of CortexAuth, which a person answers",
            content: JSON,
            proven: false,
            refuses: &[404, 405, 413, 429, 500],
        };
        match self {
            Self::Authorize => call,
            Self::Token => ForeignCall {
                label: "legacy.device.token",
                path: "/device/token",
                summary: "The token of such a login, once a person has said yes; 401 `authorization_pending` until then",
                refuses: &[401, 404, 405, 413, 429, 500],
                ..call
            },
            Self::Attest => ForeignCall {
                label: "legacy.daemon.attest",
                path: "/daemon/attest",
                summary: "A session for the key of a daemon's process, by the token of a login",
                refuses: &[401, 404, 405, 413, 429, 500],
                ..call
            },
            Self::Discover => ForeignCall {
                label: "legacy.agent.discover",
                proven: true,
                path: "/agent/discover",
                summary: "A token of a project for the names of a `.env` file; 403 `pending_approval` until a person has said yes",
                refuses: &[401, 404, 405, 409, 410, 413, 422, 429, 500],
                ..call
            },
            Self::Secrets => ForeignCall {
                label: "legacy.project.secrets",
                proven: true,
                method: "GET",
                path: "/project/secrets/{project}",
                summary: "The values of such a token",
                refuses: &[401, 404, 405, 410, 413, 422, 429, 500],
                ..call
            },
            Self::Config => ForeignCall {
                label: "legacy.project.config",
                proven: true,
                method: "GET",
                path: "/project/config/{project}/{app}",
                summary: "A template that the project maps, with its values; 403 `pending_approval` until a person has said yes",
                content: "text/plain",
                refuses: &[401, 404, 405, 410, 413, 422, 429, 500],
                ..call
            },
        }
    }
}

/// Describes the paths.
pub(crate) fn document(document: Document) -> Document {
    type No = answer::LegacyRefused<'static>;
    Route::ALL.into_iter().fold(document, |document, route| {
        let call = route.call();
        match route {
            Route::Authorize => document.legacy::<login::Ask, login::Asked<'static>, No>(&call),
            Route::Token => document.legacy::<login::Collect, login::LoggedIn<'static>, No>(&call),
            Route::Attest => {
                document.legacy::<attest::Attest, attest::Attested<'static>, No>(&call)
            }
            Route::Discover => {
                document.legacy::<discover::Discover, discover::Discovered<'static>, No>(&call)
            }
            Route::Secrets => document.legacy::<(), values::Secrets<'static>, No>(&call),
            Route::Config => document.legacy::<(), (), No>(&call),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn a_path_is_of_one_route_or_of_none() {
        for (path, route) in [
            ("/device/authorize", Some(Route::Authorize)),
            ("/device/token", Some(Route::Token)),
            ("/daemon/attest", Some(Route::Attest)),
            ("/agent/discover", Some(Route::Discover)),
            ("/project/secrets/shop", Some(Route::Secrets)),
            ("/project/config/shop/nginx", Some(Route::Config)),
            ("/device", None),
            ("/device/authorize/", None),
            ("/agent/discover/x", None),
            ("/project", None),
            ("/projects/secrets/shop", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
