//! What a browser sends of a form, or behind the question mark of an address: read
//! strictly, so that nothing has two meanings.

use crate::problem::{Code, Failure};
use http::{HeaderMap, header};
use procura_types::{Malformed, Secret};
use std::str::FromStr;

/// The longest body of a form.
pub(crate) const LONGEST: usize = 16 * 1024;

/// The fields of a form, each at most once, none that its page does not know. A value may
/// be a password.
#[derive(Default)]
pub(crate) struct Form(Vec<(&'static str, Secret<String>)>);

impl Form {
    /// Reads a body.
    pub(super) fn of_body(
        headers: &HeaderMap,
        body: &[u8],
        known: &[&'static str],
    ) -> Result<Self, Failure> {
        if !is_form(headers) {
            return Err(malformed(
                "content-type",
                "There must be exactly one Content-Type field, which says application/x-www-form-urlencoded.",
            ));
        }
        Self::read(body, known)
    }

    /// Reads a query.
    pub(super) fn of_query(query: Option<&str>, known: &[&'static str]) -> Result<Self, Failure> {
        Self::read(query.unwrap_or_default().as_bytes(), known)
    }

    fn read(bytes: &[u8], known: &[&'static str]) -> Result<Self, Failure> {
        let mut fields: Vec<(&'static str, Secret<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            let value = Secret::new(value.into_owned());
            let name = known.iter().find(|known| **known == name);
            let Some(name) = name.copied() else {
                return Err(malformed(
                    "form",
                    "The form has a field that this page does not know.",
                ));
            };
            // What is no UTF-8 is read as this character, which nobody types.
            if value.expose().contains(['\0', char::REPLACEMENT_CHARACTER]) {
                return Err(malformed(name, "The field is not text."));
            }
            if fields.iter().any(|(found, _)| *found == name) {
                return Err(malformed(name, "The form has the field twice."));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// A field as it was sent.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        let field = self.0.iter().find(|(found, _)| *found == name);
        field.map(|(_, value)| value.expose().as_str())
    }

    /// A field that must not be copied; it is not in the form any more.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Secret<String>> {
        let place = self.0.iter().position(|(found, _)| *found == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// A field read as its type; one that is empty is not there, since browsers send
    /// those that nobody filled in.
    pub(crate) fn value<T: FromStr<Err = Malformed>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Failure> {
        let text = self.text(name).filter(|text| !text.is_empty());
        Ok(text.map(str::parse).transpose()?)
    }
}

fn malformed(field: &'static str, detail: &'static str) -> Failure {
    let mut failure = Failure::new(Code::Malformed, detail);
    failure.field = Some(field);
    failure
}

/// Whether the body is said to be a form, in the one field that says so.
fn is_form(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    let (essence, parameter) = kind.split_once(';').unwrap_or((kind, ""));
    let parameter = parameter.trim_ascii();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && (parameter.is_empty() || parameter.eq_ignore_ascii_case("charset=utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use procura_types::Namespace;

    fn read(text: &str) -> Result<Form, Option<&'static str>> {
        Form::read(text.as_bytes(), &["name", "ns"]).map_err(|failure| failure.field)
    }

    #[test]
    fn a_field_is_there_once_and_known() {
        let form = read("name=a+b%26c%C3%BC&ns=").unwrap();
        assert_eq!(form.text("name"), Some("a b&cü"));
        assert_eq!(form.text("ns"), Some(""));
        assert!(form.value::<Namespace>("ns").unwrap().is_none());
        for (text, field) in [
            ("name=a&name=b", "name"),
            ("name=a&n%61me=b", "name"),
            ("other=a", "form"),
            ("name=a&=b", "form"),
            ("Name=a", "form"),
            ("name%00=a", "form"),
            ("name=%00", "name"),
            ("name=%ff", "name"),
            ("name=%ef%bf%bd", "name"),
        ] {
            assert_eq!(read(text).err(), Some(Some(field)), "{text}");
        }
        assert!(read("").unwrap().text("name").is_none());
        let bad = read("ns=Shop").unwrap().value::<Namespace>("ns");
        assert_eq!(bad.unwrap_err().field, Some("namespace"));
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut form = read("name=secret").unwrap();
        assert_eq!(form.take("name").unwrap().expose(), "secret");
        assert!(form.take("name").is_none() && form.text("name").is_none());
    }

    #[test]
    fn the_body_says_that_it_is_a_form() {
        let said = |kinds: &[&str]| {
            let mut headers = HeaderMap::new();
            for kind in kinds {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            }
            is_form(&headers)
        };
        let form = "application/x-www-form-urlencoded";
        assert!(said(&[form]) && said(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]));
        assert!(!said(&[]) && !said(&[form, form]) && !said(&["text/plain"]));
        assert!(!said(&["multipart/form-data; boundary=x"]) && !said(&["application/json"]));
        assert!(!said(&[
            "application/x-www-form-urlencoded; charset=utf-16"
        ]));
    }
}
