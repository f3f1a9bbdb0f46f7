//! What is asked for: the paths of these routes, and what the OpenAPI document says of
//! each.

use super::{answer, counts, enrol, holder, secret, session, token};
use crate::foreign_answer::ForeignRefused;
use crate::foreign_call::{ForeignCall, JSON};
use crate::openapi::Document;

/// Where the routes are as well.
const FUNCTIONS: &str = "/functions/v1";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    EnrolStart,
    EnrolComplete,
    SessionStart,
    SessionExtend,
    TokenRefresh,
    SecretRotate,
    Echo,
    Metrics,
    Healthz,
}

impl Route {
    const ALL: [Self; 9] = [
        Self::EnrolStart,
        Self::EnrolComplete,
        Self::SessionStart,
        Self::SessionExtend,
        Self::TokenRefresh,
        Self::SecretRotate,
        Self::Echo,
        Self::Metrics,
        Self::Healthz,
    ];

    /// The route of a path, and the path as the dial has it.
    pub(super) fn of(path: &str) -> Option<(Self, &str)> {
        let path = path.strip_prefix(FUNCTIONS).unwrap_or(path);
        let route = Self::ALL
            .into_iter()
            .find(|route| route.call().path == path)?;
        Some((route, path))
    }

    /// The call that it is.
    pub(super) const fn call(self) -> ForeignCall {
        let call = ForeignCall {
            label: "agent.enrol.start",
            method: "POST",
            path: "/agent/enroll/start",
            query: &[],
            summary: "A code and a challenge with which an agent is enrolled, for an admin",
            content: JSON,
            proven: true,
            refuses: &[404, 405, 409, 413, 429, 500],
        };
        match self {
            Self::EnrolStart => call,
            Self::EnrolComplete => ForeignCall {
                label: "agent.enrol.complete",
                path: "/agent/enroll/complete",
                summary: "Enrols whoever shows the code and signed the challenge; the secret is shown once",
                proven: false,
                ..call
            },
            Self::SessionStart => ForeignCall {
                label: "agent.session.start",
                path: "/agent/session/start",
                summary: "Starts a session of an agent, by any proof but hmac-v1",
                ..call
            },
            Self::SessionExtend => ForeignCall {
                label: "agent.session.extend",
                path: "/agent/session/extend",
                summary: "Goes on with a session, for twelve hours at most; its id is another then",
                ..call
            },
            Self::TokenRefresh => ForeignCall {
                label: "agent.token.refresh",
                path: "/agent/token/refresh",
                summary: "A token, by a native proof or hmac-v2",
                ..call
            },
            Self::SecretRotate => ForeignCall {
                label: "agent.secret.rotate",
                path: "/agent/secret/rotate",
                summary: "Another secret, for the agent itself or an admin, by a native proof",
                ..call
            },
            Self::Echo => ForeignCall {
                label: "agent.echo",
                path: "/agent/protected/echo",
                summary: "The body as it was sent; whether callers have to prove who they are, the dial says",
                refuses: &[405, 413, 429, 500],
                ..call
            },
            Self::Metrics => ForeignCall {
                label: "agent.metrics",
                method: "GET",
                path: "/agent/metrics",
                summary: "How many sessions, secrets and used nonces there are, for addresses on the list",
                proven: false,
                refuses: &[405, 429, 500],
                ..call
            },
            Self::Healthz => ForeignCall {
                label: "agent.healthz",
                method: "GET",
                path: "/agent/healthz",
                summary: "Whether the server answers",
                proven: false,
                refuses: &[405, 429],
                ..call
            },
        }
    }
}

/// Describes the routes.
pub(crate) fn document(document: Document) -> Document {
    type Unproven = ForeignRefused<'static>;
    Route::ALL.into_iter().fold(document, |document, route| {
        let call = route.call();
        match route {
            Route::EnrolStart => {
                document.foreign::<enrol::Start, enrol::Started<'static>, Unproven>(&call)
            }
            Route::EnrolComplete => {
                document.foreign::<enrol::Complete, enrol::Enrolled<'static>, Unproven>(&call)
            }
            Route::SessionStart => {
                document.foreign::<holder::Named, session::AgentSessionId, Unproven>(&call)
            }
            Route::SessionExtend => {
                document.foreign::<session::Extend, session::AgentSessionId, Unproven>(&call)
            }
            Route::TokenRefresh => {
                document.foreign::<holder::Named, token::Refreshed<'static>, Unproven>(&call)
            }
            Route::SecretRotate => {
                document.foreign::<secret::Rotate, secret::Rotated<'static>, Unproven>(&call)
            }
            Route::Echo => document.foreign::<(), (), Unproven>(&call),
            Route::Metrics => document.foreign::<(), counts::Counts, ()>(&call),
            Route::Healthz => document.foreign::<(), answer::Well, ()>(&call),
        }
    })
}
