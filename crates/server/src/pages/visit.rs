//! What a browser holds before somebody signs in: a cookie that ties the form to the
//! browser that it was given to, and that never becomes a web login.

use super::site::Site;
use crate::problem::Failure;
use http::{HeaderMap, HeaderValue, header};
use procura_crypto::MacKey;
use procura_types::{Entropy, FieldTuple, Secret, encoding};

/// Its name over TLS, where no neighbour can plant one (RFC 6265bis §4.1.3.2).
const SECURE: &str = "__Host-procura-visit";
/// Its name on this machine without TLS.
const PLAIN: &str = "procura-visit";
/// How many bytes it is made of.
const BYTES: usize = 32;

/// The cookie before a sign-in.
pub(super) struct Visit(Secret<String>);

impl Visit {
    /// Another one.
    pub(super) fn begin(entropy: &dyn Entropy) -> Result<Self, Failure> {
        let mut bytes = Secret::new([0_u8; BYTES]);
        entropy
            .fill(bytes.expose_mut())
            .map_err(Failure::internal)?;
        Ok(Self(Secret::new(encoding::b64url(bytes.expose()))))
    }

    /// The one that a request brings; none of two, and none that this server never made.
    pub(super) fn of(headers: &HeaderMap, site: &Site) -> Option<Self> {
        let value = one_cookie(headers, name(site))?;
        encoding::from_b64url_fixed::<BYTES>("cookie", value).ok()?;
        Some(Self(Secret::new(value.to_owned())))
    }

    /// What the form carries.
    pub(super) fn token(&self) -> Result<String, Failure> {
        Ok(encoding::b64url(&self.key()?.sign(&[message().as_bytes()])))
    }

    /// Whether a form carries what it was given. Compared in constant time.
    pub(super) fn is(&self, token: &str) -> Result<bool, Failure> {
        let Ok(tag) = encoding::from_b64url("csrf", token) else {
            return Ok(false);
        };
        Ok(self.key()?.verify(&[message().as_bytes()], &tag))
    }

    fn key(&self) -> Result<MacKey, Failure> {
        MacKey::from_bytes(self.0.expose().as_bytes()).map_err(Failure::internal)
    }

    /// The field that gives it to a browser, until that is closed.
    pub(super) fn set_cookie(&self, site: &Site) -> Result<HeaderValue, Failure> {
        let text = Secret::new(format!(
            "{}={}{}",
            name(site),
            self.0.expose(),
            attributes(site)
        ));
        let mut value = HeaderValue::from_str(text.expose()).map_err(Failure::internal)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The field that takes it away.
    pub(super) fn clearing(site: &Site) -> Result<HeaderValue, Failure> {
        let text = format!("{}=; Max-Age=0{}", name(site), attributes(site));
        HeaderValue::from_str(&text).map_err(Failure::internal)
    }
}

/// The value of the cookie of this name; none of two.
pub(super) fn one_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut found = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim_ascii().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value);
    let (Some(value), None) = (found.next(), found.next()) else {
        return None;
    };
    Some(value)
}

fn message() -> FieldTuple {
    FieldTuple::new("procura.form.before-sign-in.v1")
}

const fn name(site: &Site) -> &'static str {
    if site.is_secure() { SECURE } else { PLAIN }
}

const fn attributes(site: &Site) -> &'static str {
    if site.is_secure() {
        "; Path=/; HttpOnly; SameSite=Strict; Secure"
    } else {
        "; Path=/; HttpOnly; SameSite=Strict"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procura_crypto::SystemEntropy;

    fn found(lines: &[String], secure: bool) -> Option<Visit> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        Visit::of(&headers, &Site::fake(secure))
    }

    #[test]
    fn a_form_belongs_to_the_browser_that_it_was_given_to() {
        let visit = Visit::begin(&SystemEntropy).unwrap();
        let token = visit.token().unwrap();
        assert!(visit.is(&token).unwrap());
        let other = Visit::begin(&SystemEntropy).unwrap();
        assert!(!other.is(&token).unwrap());
        for wrong in ["", "x", visit.0.expose(), &format!("{token}=")] {
            assert!(!visit.is(wrong).unwrap());
        }
    }

    #[test]
    fn there_is_one_cookie_of_ours_or_none() {
        let visit = Visit::begin(&SystemEntropy).unwrap();
        let value = visit.0.expose();
        let line = |text: &str| text.replace('V', value);
        for good in ["procura-visit=V", "theme=dark; procura-visit=V;x=y"] {
            let kept = found(&[line(good)], false).unwrap();
            assert!(kept.is(&visit.token().unwrap()).unwrap(), "{good}");
        }
        for bad in [
            "",
            "procura-visit=",
            "procura-visit=V=",
            "procura-visit=VV",
            "Procura-Visit=V",
            "procura-visit=V; procura-visit=V",
            "__Host-procura-visit=V",
        ] {
            assert!(found(&[line(bad)], false).is_none(), "{bad}");
        }
        let twice = [line("procura-visit=V"), line("procura-visit=V")];
        assert!(found(&twice, false).is_none());
        // Over TLS one that a page without TLS could have set is none.
        assert!(found(&[line("procura-visit=V")], true).is_none());
        assert!(found(&[line("__Host-procura-visit=V")], true).is_some());
    }
}
