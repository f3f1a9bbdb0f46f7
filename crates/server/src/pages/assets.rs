//! What pages are made of besides their text: one stylesheet, one small script for
//! passkeys, one picture. They are part of the program, and served sealed or not.

use super::headers::protect;
use crate::app::App;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use procura_crypto::sha256;
use procura_types::encoding;
use std::sync::Arc;

/// A file that is part of the program.
#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset {
        path: "/assets/style.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("../../templates/style.css"),
    },
    Asset {
        path: "/assets/passkey.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../../templates/passkey.js"),
    },
    Asset {
        path: "/assets/icon.svg",
        kind: "image/svg+xml",
        text: include_str!("../../templates/icon.svg"),
    },
];

/// Mounts them.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    ASSETS.into_iter().fold(router, |router, asset| {
        let tag = format!("\"{}\"", encoding::b64url(&sha256(asset.text.as_bytes())));
        let serve = async move |headers: HeaderMap| served(asset, &tag, &headers);
        router.route(asset.path, get(serve))
    })
}

/// The file, or that the browser has it. It asks each time: another version of the
/// program may have another.
fn served(asset: Asset, tag: &str, asked: &HeaderMap) -> Response {
    let has_it = asked
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if has_it {
        Body::empty()
    } else {
        Body::from(asset.text)
    });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    protect(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
