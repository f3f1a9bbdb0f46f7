//! Pages for people in a browser ([ADR 42](../../../../docs/adr/0042-pages.md)): made on
//! the server, without a script but for passkeys.
//!
//! What a page does is an operation of the API, and goes the same way: the web login is
//! the proof, policy decides, the record is made, then the effect. There are none unless
//! the configuration says so (`[web]`).

mod account;
mod alarms;
mod answer;
mod approval;
mod assets;
mod device;
mod device_approval;
mod form;
mod grants;
mod headers;
mod layout;
mod moment;
mod namespaces;
mod next;
mod oidc;
mod page;
mod passkeys;
mod proposals;
mod refused;
mod requests;
mod shown;
mod sign_in;
mod site;
mod visit;

pub(crate) use answer::failed;
pub(crate) use refused::ACTION as FORM_ACTION;

use crate::app::App;
use axum::Router;
use axum::extract::Request;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, header};
use page::{Way, mount, mount_work};
use std::sync::Arc;

/// What counts and spans call a request for a page that is no operation.
const LABEL: &str = "page";

/// With what the paths of pages begin.
const PATHS: [&str; 11] = [
    "account",
    "alarms",
    "assets",
    "device",
    "grants",
    "oidc",
    "passkey",
    "proposals",
    "requests",
    "sign-in",
    "sign-out",
];

/// Whether a path is one of pages.
fn has(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    path == "/" || PATHS.contains(&first)
}

/// Whether a request is answered with a page, also when it is refused: it is for one, or
/// nobody else serves it and a browser asks.
pub(crate) fn answers(app: &App, path: &str, headers: Option<&HeaderMap>) -> bool {
    let wants_page = || {
        headers
            .and_then(|headers| headers.get(header::ACCEPT)?.to_str().ok())
            .is_some_and(|kinds| kinds.contains("text/html"))
    };
    app.config.web.enabled && (has(path) || wants_page())
}

/// Whether a path is one of pages that are off: hosts that ask to join name one all the same.
pub(crate) fn are_missed(app: &App, path: &str) -> bool {
    !app.config.web.enabled && has(path)
}

/// Whether a request that nobody serves is answered with a page.
pub(crate) fn answers_unserved(app: &App, request: &Request) -> bool {
    answers(app, request.uri().path(), Some(request.headers()))
}

/// Mounts the pages, if there are any.
pub(crate) fn route(router: Router<Arc<App>>, app: &App) -> Router<Arc<App>> {
    if !app.config.web.enabled {
        return router;
    }
    let router = assets::route(router).route("/", get(home));
    let router = mount_work(router, (Way::Look, "/sign-in", LABEL), sign_in::show);
    let router = mount_work(router, (Way::Form, "/sign-in", LABEL), sign_in::submit);
    let router = mount_work(router, (Way::Form, "/sign-out", LABEL), sign_in::out);
    let router = mount::<requests::List>(router);
    let router = mount::<requests::Read>(router);
    let router = mount::<requests::Deny>(router);
    let router = mount::<grants::List>(router);
    let router = mount::<grants::Withdraw>(router);
    let router = mount::<alarms::List>(router);
    let router = mount::<device::Ask>(router);
    let router = mount::<device::Show>(router);
    let router = mount::<device::Deny>(router);
    let router = device_approval::route(router);
    oidc::route(proposals::route(passkeys::route(account::route(router))))
}

/// The first page.
async fn home() -> Response {
    answer::home()
}

/// Has browsers come by TLS alone from now on, where they come by TLS to a name that is
/// configured.
pub(crate) fn by_tls_alone(router: Router, app: &App) -> Router {
    let config = &app.config;
    let origin = config.web.origin.as_ref().map(|origin| origin.as_str());
    let url = origin.or(config.public_url.as_deref());
    if !config.web.enabled || !url.is_some_and(|url| url.starts_with("https://")) {
        return router;
    }
    router.layer(map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
        response
    }))
}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn pages_have_paths_of_their_own() {
        for path in [
            "/",
            "/requests",
            "/requests/shop/1",
            "/sign-in",
            "/passkey/enrol",
        ] {
            assert!(has(path), "{path}");
        }
        for path in [
            "",
            "/v1/requests",
            "/requestsx",
            "/api/grants",
            "//requests",
            "/keys",
        ] {
            assert!(!has(path), "{path}");
        }
    }
}
