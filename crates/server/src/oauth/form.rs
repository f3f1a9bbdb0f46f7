//! The parameters of OAuth (RFC 6749 appendix B), read strictly: a form that libraries read
//! in two ways is no form here.

use super::refused::{Refused, Word};
use crate::serve::Input;
use http::header;
use procura_types::{Secret, Wipe as _};

/// The media type of every body.
const FORM: &str = "application/x-www-form-urlencoded";
/// Parameters that a request has at most; those that are not known are let be.
const MOST: usize = 32;

/// The parameters of one request.
pub(super) struct Form(Vec<(String, Secret<String>)>);

impl Form {
    /// Reads the body of a request.
    pub(super) fn read(input: &Input) -> Result<Self, Refused> {
        let parts = &input.parts;
        // What a page of another origin can have a browser send is a form as well.
        if ["origin", "sec-fetch-site"]
            .iter()
            .any(|name| parts.headers.contains_key(*name))
        {
            return Err(invalid(
                "This is for programs; a browser has no part in it.",
            ));
        }
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(invalid("Parameters belong into the body."));
        }
        let mut kinds = parts.headers.get_all(header::CONTENT_TYPE).iter();
        let kind = match (kinds.next(), kinds.next()) {
            (Some(kind), None) => kind.to_str().unwrap_or_default(),
            _ => "",
        };
        if !is_form(kind) {
            return Err(invalid(
                "There must be exactly one Content-Type field, which says application/x-www-form-urlencoded.",
            ));
        }
        Self::parse(&input.body)
    }

    fn parse(body: &[u8]) -> Result<Self, Refused> {
        let body = std::str::from_utf8(body)
            .ok()
            .filter(|body| body.is_ascii())
            .ok_or_else(|| invalid("The body is not a form."))?;
        let mut found: Vec<(String, Secret<String>)> = Vec::new();
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let damaged =
                || invalid("The body is not a form: what follows a % is no byte of text.");
            let name = decoded(name).ok_or_else(damaged)?;
            let value = decoded(value).map(Secret::new).ok_or_else(damaged)?;
            if found.iter().any(|(known, _)| *known == name) {
                return Err(invalid("A parameter is there more than once."));
            }
            if found.len() == MOST {
                return Err(invalid("There are more parameters than a request has."));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    /// A parameter; one without a value is as good as none (RFC 6749 §3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.expose().as_str()).filter(|value| !value.is_empty())
    }

    /// Those parameters that have to be there, in their order. A client that knows the
    /// standard and nothing of devices' keys is told all that it lacks at once, and where
    /// that is written (`about`).
    pub(super) fn need<const COUNT: usize>(
        &self,
        names: [&'static str; COUNT],
        about: impl FnOnce() -> String,
    ) -> Result<[&str; COUNT], Refused> {
        let found = names.map(|name| self.get(name));
        let missing: Vec<&str> = names
            .into_iter()
            .zip(found)
            .filter_map(|(name, value)| value.is_none().then_some(name))
            .collect();
        if missing.is_empty() {
            return Ok(found.map(Option::unwrap_or_default));
        }
        let (missing, about) = (missing.join(", "), about());
        Err(invalid(&format!(
            "Missing: {missing}. What a device gets is bound to a key of its own, which it shows and signs with: {about} (spec/protocol.md, 2.1)."
        )))
    }
}

/// The parameters of a body, if it is a form: for the fuzz target, which holds it against
/// another reading.
#[must_use]
pub fn oauth_form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let Form(found) = Form::parse(body).ok()?;
    let pairs = found.into_iter();
    Some(
        pairs
            .map(|(name, value)| (name, value.expose().clone()))
            .collect(),
    )
}

fn invalid(what: &str) -> Refused {
    Refused::new(Word::InvalidRequest, what)
}

/// Whether a media type is that of forms, with no parameter but the charset that they have.
fn is_form(kind: &str) -> bool {
    let (essence, parameter) = kind.split_once(';').unwrap_or((kind, ""));
    let parameter = parameter.trim_ascii();
    essence.trim_ascii().eq_ignore_ascii_case(FORM)
        && (parameter.is_empty() || parameter.eq_ignore_ascii_case("charset=utf-8"))
}

/// The text that a part of a form stands for.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes)
        .map_err(|error| error.into_bytes().wipe())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_reading() {
        let form = Form::parse(b"a=1+2&b=%41%2f&&c=&d&e=%E2%82%AC").unwrap();
        assert_eq!(form.get("a"), Some("1 2"));
        assert_eq!(form.get("b"), Some("A/"));
        assert_eq!(form.get("e"), Some("€"));
        for absent in ["c", "d", "f", "A"] {
            assert_eq!(form.get(absent), None, "{absent}");
        }
        for refused in [
            "a=1&a=1",
            "a=1&%61=2",
            "a&a",
            "a=%",
            "a=%4",
            "a=%4g",
            "a=%+1",
            "a=%ff",
            "%ff=1",
        ] {
            assert!(Form::parse(refused.as_bytes()).is_err(), "{refused}");
        }
        assert!(matches!(
            form.need(["a", "e"], String::new),
            Ok(["1 2", "€"])
        ));
        assert!(form.need(["a", "c"], String::new).is_err());
        let most: Vec<String> = (0..=MOST).map(|place| format!("p{place}=1")).collect();
        assert!(Form::parse(most.join("&").as_bytes()).is_err());
        assert!(Form::parse(most[1..].join("&").as_bytes()).is_ok());
    }

    #[test]
    fn a_form_says_that_it_is_one() {
        for kind in [
            FORM,
            "Application/X-WWW-Form-Urlencoded",
            "application/x-www-form-urlencoded; charset=UTF-8",
            "application/x-www-form-urlencoded;",
        ] {
            assert!(is_form(kind), "{kind}");
        }
        for kind in [
            "",
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded; charset=latin1",
            "application/x-www-form-urlencodedx",
        ] {
            assert!(!is_form(kind), "{kind}");
        }
    }
}
