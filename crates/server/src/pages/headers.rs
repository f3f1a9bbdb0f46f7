//! What stands in the head of every page, also of one that refuses (ADR 42).

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a page may load and do: what comes from this server, nothing inline, in nobody's
/// frame.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; script-src 'self'; connect-src 'self'";

/// The fields, in lower case.
const FIELDS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    // For browsers that do not know frame-ancestors.
    ("x-frame-options", "DENY"),
    // Ids in paths are for nobody else. With `no-referrer` a browser would say `null` for
    // the origin of our own forms, too, and what it says is checked.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-create=(self), publickey-credentials-get=(self)",
    ),
];

/// Puts them into a head, and that nothing on the way may keep the page.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in FIELDS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
