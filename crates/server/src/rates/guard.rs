//! What stands before all of the API.

use super::{keeps_informed, retry_after};
use crate::app::App;
use crate::foreign_answer::{ForeignRefused, bad_request, json, unavailable};
use crate::legacy;
use crate::oauth;
use crate::pages;
use crate::problem::{Code, Failure, Told};
use crate::serve::Peer;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use procura_edge::source::{Reserve, Turned};
use procura_identity::oidc::OidcRefusal;
use procura_proof::Reason;
use procura_types::TraceId;
use std::sync::Arc;

/// In whose words a path is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surface {
    /// The native API.
    Native,
    /// The verification service, whose clients ask about the proofs of others.
    KeyServer,
    /// What agents of other systems call.
    Foreign,
    /// What devices ask that have no link code, in the words of OAuth.
    Oauth,
    /// What clients of CortexAuth ask, where that is switched on.
    Legacy,
    /// Pages for people in a browser.
    Pages,
}

impl Surface {
    fn of(path: &str) -> Self {
        let below = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if below("/api") {
            Self::KeyServer
        } else if ["/agent", "/functions", "/keys", "/audit"]
            .into_iter()
            .any(below)
        {
            Self::Foreign
        } else if below("/oauth") {
            Self::Oauth
        } else {
            Self::Native
        }
    }

    /// In the words of what is switched on, where it has the path.
    fn at(app: &App, path: &str) -> Self {
        if legacy::answers(app, path) {
            Self::Legacy
        } else if pages::answers(app, path, None) {
            Self::Pages
        } else {
            Self::of(path)
        }
    }

    /// The answer to an address that has to wait.
    fn turned(self, app: &App, turned: &Turned) -> Response {
        let seconds = retry_after(turned.retry_after());
        let mut response = match self {
            Self::Native | Self::Pages => {
                let detail = match turned {
                    Turned::Over(_) => {
                        "Requests come more often from this address than they may; send it again later."
                    }
                    Turned::Waiting(_) => {
                        "Too many requests from this address proved nothing; it has to wait."
                    }
                };
                let mut failure = Failure::new(Code::RateLimited, detail)
                    .with_reason(Reason::RateLimited.as_str());
                failure.retry_after = Some(seconds);
                self.refused(app, failure)
            }
            Self::Oauth => oauth::turned_away(seconds, trace(app)),
            Self::Legacy => legacy::turned_away(seconds, trace(app)),
            // Its clients know no status for too many.
            Self::KeyServer => unavailable(Reason::RateLimited.as_str(), seconds),
            Self::Foreign => {
                let refused = ForeignRefused::new(Reason::RateLimited.as_str());
                let mut response = json(StatusCode::TOO_MANY_REQUESTS, &refused);
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
        };
        if let Some(over) = turned.over() {
            over.left.tell(response.headers_mut());
        }
        response
    }

    /// The answer to a proxy that does not say whom it stands for.
    fn unclear(self, app: &App) -> Response {
        match self {
            Self::Oauth => return oauth::unclear(trace(app)),
            Self::Legacy => return legacy::unclear(trace(app)),
            _ => {}
        }
        if !matches!(self, Self::Native | Self::Pages) {
            return bad_request("forwarded");
        }
        let mut failure = Failure::new(
            Code::Malformed,
            "The proxy's fields Forwarded and X-Forwarded-For name no address, or two.",
        );
        failure.field = Some("forwarded");
        self.refused(app, failure)
    }

    /// A refusal as programs read it, or people.
    fn refused(self, app: &App, failure: Failure) -> Response {
        if self == Self::Pages {
            pages::failed(failure, trace(app))
        } else {
            failure.into_response_for(trace(app))
        }
    }

    /// Whether an answer says that a request proved nothing, or that somebody tries
    /// codes. What a client of the verification service is refused is not held against
    /// it: the proofs that it asks about are others', and once it is on the list of those
    /// who may ask, it may at once.
    fn is_violation(self, response: &Response) -> bool {
        let Some(told) = response.extensions().get::<Told>() else {
            return self != Self::KeyServer && response.status() == StatusCode::UNAUTHORIZED;
        };
        match told.code {
            Code::CodeRefused => true,
            // The signature of an approval, which has a word of proofs, but comes with a
            // proof that is good.
            Code::SignatureRefused => false,
            // Each may have cost an identity provider something.
            Code::OidcRefused => told.reason.is_some_and(OidcRefusal::counts_against_source),
            code => match told.reason.and_then(|word| word.parse::<Reason>().ok()) {
                Some(reason) => reason.counts_against_source(),
                // A proof of another kind than the call takes.
                None => code == Code::Unauthorized,
            },
        }
    }
}

fn trace(app: &App) -> TraceId {
    TraceId::generate(app.clock.now(), app.entropy.as_ref()).unwrap_or(TraceId::from_bytes([0; 16]))
}

/// Whether a call takes power away, or begins the session in which an operator does.
fn is_urgent(method: &Method, path: &str) -> bool {
    match *method {
        Method::DELETE => path.starts_with("/v1/"),
        Method::POST => {
            matches!(path, "/v1/seal" | "/v1/sessions")
                || (path.starts_with("/v1/")
                    && (path.ends_with("/withdraw") || path.ends_with("/revoke")))
                || (path.starts_with("/grants/") && path.ends_with("/withdraw"))
        }
        _ => false,
    }
}

/// The buckets that a call has beside that of all calls of its address. The session in
/// which an operator takes power away is also the one in which a gate hears of it.
fn reserves(method: &Method, path: &str) -> &'static [Reserve] {
    match (is_urgent(method, path), keeps_informed(method, path)) {
        (true, true) => &[Reserve::Urgent, Reserve::Informing],
        (true, false) => &[Reserve::Urgent],
        (false, true) => &[Reserve::Informing],
        (false, false) => &[],
    }
}

/// Stands before all of the API: who sends too much is told so before anything is
/// read or checked, and whose requests prove nothing waits. From here on a request's
/// [`Peer`] is the address that it comes from, also through a trusted proxy.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().and_then(|peer| peer.0) else {
        return next.run(request).await;
    };
    let rates = &app.rates;
    let path = request.uri().path();
    let surface = Surface::at(&app, path);
    let Ok(source) = rates.proxies.source(peer, request.headers()) else {
        app.metrics.limited("forwarded");
        return surface.unclear(&app);
    };
    let reserves = reserves(request.method(), path);
    let admitted = rates.sources.admit(source, reserves, app.clock.steady());
    if let Err(turned) = admitted {
        app.metrics.limited(turned.kind());
        return surface.turned(&app, &turned);
    }
    request.extensions_mut().insert(Peer(Some(source)));
    let response = next.run(request).await;
    if surface.is_violation(&response)
        && let Some(wait) = rates.sources.violated(source, app.clock.steady())
    {
        tracing::info!(%source, ?wait, "an address has to wait: its requests prove nothing");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_surface_keeps_its_words() {
        for (path, surface) in [
            ("/api", Surface::KeyServer),
            ("/api/verify", Surface::KeyServer),
            ("/apis", Surface::Native),
            ("/keys/api/openai", Surface::Foreign),
            ("/audit", Surface::Foreign),
            ("/auditors", Surface::Native),
            ("/agent/enroll/start", Surface::Foreign),
            ("/functions/v1/agent/metrics", Surface::Foreign),
            ("/v1/agents", Surface::Native),
        ] {
            assert!(Surface::of(path) == surface, "{path}");
        }
    }

    fn told(code: Code, reason: Option<&'static str>) -> Response {
        let mut response = Response::default();
        *response.status_mut() = code.status();
        response.extensions_mut().insert(Told { code, reason });
        response
    }

    #[test]
    fn what_proves_nothing_is_a_violation_and_tried_codes_are() {
        for reason in Reason::ALL {
            let code = match reason {
                Reason::SourceNotAllowed => Code::Forbidden,
                Reason::Quarantined => Code::DeviceQuarantined,
                Reason::RateLimited => Code::RateLimited,
                Reason::VerifierUnavailable => Code::VerifierUnavailable,
                _ => Code::Unauthorized,
            };
            let response = told(code, Some(reason.as_str()));
            for surface in [Surface::Native, Surface::Foreign] {
                let counts = reason.counts_against_source();
                assert_eq!(surface.is_violation(&response), counts, "{reason}");
            }
        }
        for (code, reason, violation) in [
            (Code::CodeRefused, Some("unknown_code"), true),
            (Code::Unauthorized, None, true),
            (Code::Unauthorized, Some("a_new_word"), true),
            (Code::SignatureRefused, Some("bad_signature"), false),
            (Code::Forbidden, None, false),
            (Code::Malformed, None, false),
            (Code::OidcRefused, Some("code_refused"), true),
            (Code::OidcRefused, Some("flow_unknown"), true),
            (Code::OidcRefused, Some("flow_expired"), true),
            (Code::OidcRefused, Some("flow_used"), true),
            // Whoever loads a page of their history anew, or is led there by another site.
            (Code::OidcRefused, Some("flow_missing"), false),
            (Code::OidcRefused, Some("wrong_state"), false),
            // Whoever changes their mind at the provider, or is new.
            (Code::OidcRefused, Some("provider_refused"), false),
            (Code::OidcRefused, Some("not_linked"), false),
            (Code::OidcRefused, None, false),
        ] {
            let response = told(code, reason);
            assert_eq!(
                Surface::Native.is_violation(&response),
                violation,
                "{code:?} {reason:?}"
            );
        }
    }

    #[test]
    fn refusals_of_others_proofs_are_nobodys_violation() {
        let mut refused = Response::default();
        *refused.status_mut() = StatusCode::UNAUTHORIZED;
        assert!(!Surface::KeyServer.is_violation(&refused));
        assert!(Surface::Foreign.is_violation(&refused));
    }

    #[test]
    fn what_takes_power_away_is_urgent() {
        for (method, path, urgent) in [
            (Method::DELETE, "/v1/namespaces/shop/agents/scribe", true),
            (Method::DELETE, "/v1/operators/anna", true),
            (Method::POST, "/v1/namespaces/shop/grants/1/withdraw", true),
            (Method::POST, "/v1/devices/AAAA/revoke", true),
            (Method::POST, "/v1/seal", true),
            (Method::POST, "/grants/shop/1/withdraw", true),
            (Method::GET, "/grants/shop/1/withdraw", false),
            (Method::POST, "/v1/sessions", true),
            (Method::GET, "/v1/seal", false),
            (Method::POST, "/v1/namespaces/shop/runs", false),
            (Method::DELETE, "/api/agents", false),
        ] {
            assert_eq!(is_urgent(&method, path), urgent, "{method} {path}");
        }
    }
}
