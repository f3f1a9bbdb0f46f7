//! The cookie of a web login, and what its forms carry.

use crate::app::App;
use crate::config::WebOrigin;
use crate::input::Input;
use crate::problem::Failure;
use crate::proving::authority;
use http::{HeaderValue, header};
use procura_proof::{Refusal, WebLoginCookie};
use procura_types::Secret;

/// Its name over TLS: no other host, and no page of this one that came without TLS, can
/// set it (RFC 6265bis §4.1.3.2).
const SECURE: &str = "__Host-procura-login";
/// Its name on this machine, without TLS.
const PLAIN: &str = "procura-login";

/// What the forms of a web login carry, so that no other site can send them.
pub(crate) struct CsrfToken(Secret<String>);

impl CsrfToken {
    /// That of a cookie; it ends with it.
    pub(super) fn of(cookie: &WebLoginCookie) -> Self {
        Self(cookie.form_token())
    }

    /// As it stands in a form.
    pub(crate) fn as_str(&self) -> &str {
        self.0.expose()
    }

    /// Whether a form carries it; compared in constant time.
    pub(crate) fn is(&self, given: &str) -> bool {
        let given = Secret::new(given.as_bytes().to_vec());
        given == Secret::new(self.0.expose().as_bytes().to_vec())
    }
}

/// The cookie of a request, if it has one: exactly one, in its one spelling.
pub(super) fn of(app: &App, input: &Input) -> Result<Option<WebLoginCookie>, Refusal> {
    let lines = input.parts.headers.get_all(header::COOKIE).iter();
    let name = name(is_secure(app, input));
    WebLoginCookie::find(lines.map(HeaderValue::as_bytes), name)
}

/// Gives the cookie to a browser, until that is closed.
pub(super) fn setting(
    app: &App,
    input: &Input,
    cookie: &WebLoginCookie,
) -> Result<HeaderValue, Failure> {
    let secure = is_secure(app, input);
    let value = cookie.text();
    let text = Secret::new(format!(
        "{}={}{}",
        name(secure),
        value.expose(),
        attributes(secure)
    ));
    let mut field = HeaderValue::from_str(text.expose()).map_err(Failure::internal)?;
    field.set_sensitive(true);
    Ok(field)
}

/// Takes the cookie away from a browser.
pub(crate) fn clearing(app: &App, input: &Input) -> HeaderValue {
    if is_secure(app, input) {
        HeaderValue::from_static(
            "__Host-procura-login=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure",
        )
    } else {
        HeaderValue::from_static("procura-login=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict")
    }
}

const fn name(secure: bool) -> &'static str {
    if secure { SECURE } else { PLAIN }
}

const fn attributes(secure: bool) -> &'static str {
    if secure {
        "; Path=/; HttpOnly; SameSite=Strict; Secure"
    } else {
        "; Path=/; HttpOnly; SameSite=Strict"
    }
}

/// Whether the browser came by TLS: to this server, or to the proxy before it under the
/// name that is configured for that.
fn is_secure(app: &App, input: &Input) -> bool {
    let config = &app.config;
    if config.tls_cert.is_some() {
        return true;
    }
    let parts = &input.parts;
    let Ok(named) = authority(app, parts.version, &parts.headers, &parts.uri) else {
        return false;
    };
    let origin = config.web.origin.as_ref().map(WebOrigin::as_str);
    let mut urls = [origin, config.public_url.as_deref()].into_iter().flatten();
    urls.any(|url| {
        url.strip_prefix("https://")
            .is_some_and(|rest| rest.trim_end_matches('/') == named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_carries_the_token_of_its_cookie() {
        let entropy = procura_crypto::SystemEntropy;
        let cookie = WebLoginCookie::generate(&entropy).unwrap();
        let token = CsrfToken::of(&cookie);
        assert!(token.is(token.as_str()));
        let other = CsrfToken::of(&WebLoginCookie::generate(&entropy).unwrap());
        for wrong in ["", "x", other.as_str(), cookie.text().expose()] {
            assert!(!token.is(wrong));
        }
    }
}
