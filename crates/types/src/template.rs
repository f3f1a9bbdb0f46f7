//! Texts with variables, of secrets of the kind `template` (`protocol.md` §9).
//!
//! A variable is written `{{procura:NAME}}`, exactly so. Everything else stays byte for
//! byte as it is, other programs' `{{ x }}`, `${X}` and `%X%` among it, and what is put
//! in is put in as it is. `{{procura:}}` stands for the ten characters
//! `{{procura:`, so that any text at all can be said.

use crate::{EnvName, SecretBytes};
use std::collections::BTreeSet;

/// What a variable begins with.
const OPEN: &[u8] = b"{{procura:";
/// What it ends with.
const CLOSE: &[u8] = b"}}";
/// Longest name, and so the farthest that an end is looked for.
const LONGEST_NAME: usize = 128;

/// Most variables of different names in one template.
pub const MAX_VARIABLES: usize = 64;
/// Most places in one template where a variable stands.
pub const MAX_PLACES: usize = 4096;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    /// As it is.
    Text(&'a [u8]),
    /// A value is put here.
    Variable(EnvName),
}

/// A template that was understood.
#[derive(Debug)]
pub struct Template<'a> {
    pieces: Vec<Piece<'a>>,
}

/// Why bytes are no template, or cannot be rendered. Says nothing of what they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{procura:` is not followed by a name and `}}`.
    #[error(
        "at byte {at}: {{{{procura: is followed by an environment name and }}}}, or for itself by }}}} alone"
    )]
    NoVariable {
        /// Where it begins, from 0.
        at: usize,
    },
    /// A name of the loader's, which is never delivered.
    #[error("at byte {at}: {name} is a variable of the loader, which is never delivered")]
    Loader {
        /// Where it begins, from 0.
        at: usize,
        /// Which.
        name: EnvName,
    },
    /// More names than a template has.
    #[error("it has more than {MAX_VARIABLES} variables of different names")]
    TooManyVariables,
    /// More places than a template has.
    #[error("it has more than {MAX_PLACES} places where a variable stands")]
    TooManyPlaces,
    /// There is no value for a variable.
    #[error("there is no value for the variable {0}")]
    Missing(EnvName),
    /// The text would be longer than a value may be.
    #[error("the text with its values is longer than {0} bytes")]
    TooLong(usize),
}

impl<'a> Template<'a> {
    /// Reads a template: any bytes.
    ///
    /// # Errors
    /// All of [`TemplateError`] but those of [`Self::render`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut names = BTreeSet::new();
        let (mut rest, mut at, mut places) = (bytes, 0, 0usize);
        while let Some(begin) = find(rest, OPEN) {
            let (text, from) = rest.split_at(begin);
            at += begin;
            pieces.push(Piece::Text(text));
            let (open, after) = from.split_at(OPEN.len());
            let near = after.get(..LONGEST_NAME + CLOSE.len()).unwrap_or(after);
            let no_variable = TemplateError::NoVariable { at };
            let length = find(near, CLOSE).ok_or_else(|| no_variable.clone())?;
            let (name, behind) = after.split_at(length);
            if name.is_empty() {
                pieces.push(Piece::Text(open));
            } else {
                let name: EnvName = std::str::from_utf8(name)
                    .ok()
                    .and_then(|name| name.parse().ok())
                    .ok_or(no_variable)?;
                if name.deliverable().is_err() {
                    return Err(TemplateError::Loader { at, name });
                }
                places += 1;
                if places > MAX_PLACES {
                    return Err(TemplateError::TooManyPlaces);
                }
                names.insert(name.clone());
                if names.len() > MAX_VARIABLES {
                    return Err(TemplateError::TooManyVariables);
                }
                pieces.push(Piece::Variable(name));
            }
            at += OPEN.len() + length + CLOSE.len();
            rest = behind.get(CLOSE.len()..).unwrap_or_default();
        }
        pieces.push(Piece::Text(rest));
        Ok(Self { pieces })
    }

    /// The names of its variables, each once, ascending.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<EnvName> {
        let names = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(name) => Some(name.clone()),
        });
        names.collect()
    }

    /// The text, with `value` of each variable in its place, at most `longest` bytes. It
    /// is written once into memory that is large enough.
    ///
    /// # Errors
    /// [`TemplateError::Missing`] for the first variable without a value,
    /// [`TemplateError::TooLong`].
    pub fn render<'v>(
        &self,
        longest: usize,
        value: impl Fn(&EnvName) -> Option<&'v [u8]>,
    ) -> Result<SecretBytes, TemplateError> {
        let bytes = |piece: &Piece<'a>| match piece {
            Piece::Text(text) => Ok(Bytes::Text(text)),
            Piece::Variable(name) => value(name)
                .map(Bytes::Value)
                .ok_or_else(|| TemplateError::Missing(name.clone())),
        };
        let mut length = 0usize;
        for piece in &self.pieces {
            length = length.saturating_add(bytes(piece)?.as_slice().len());
        }
        if length > longest {
            return Err(TemplateError::TooLong(longest));
        }
        let mut text = SecretBytes::new(Vec::with_capacity(length));
        for piece in &self.pieces {
            text.expose_mut()
                .extend_from_slice(bytes(piece)?.as_slice());
        }
        Ok(text)
    }
}

/// Bytes of the template, or of a value.
enum Bytes<'t, 'v> {
    Text(&'t [u8]),
    Value(&'v [u8]),
}

impl Bytes<'_, '_> {
    const fn as_slice(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Value(bytes) => bytes,
        }
    }
}

/// Where `needle` begins.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Text as a template says it: what looks like a variable is none.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace("{{procura:", "{{procura:}}")
}

/// The variable of this name, as a template says it.
#[must_use]
pub fn variable(name: &EnvName) -> String {
    format!("{{{{procura:{name}}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 1024;

    fn render(template: &[u8], values: &[(&str, &[u8])]) -> Result<Vec<u8>, TemplateError> {
        let parsed = Template::parse(template)?;
        let value = |name: &EnvName| {
            let found = values.iter().find(|(other, _)| *other == name.as_str());
            found.map(|(_, value)| *value)
        };
        Ok(parsed.render(LONGEST, value)?.expose().clone())
    }

    #[test]
    fn values_go_where_their_names_stand_and_all_else_stays() {
        let values: &[(&str, &[u8])] = &[
            ("A", b"<>&\"'\0\r\n\xff"),
            ("B_2", b"{{procura:A}}"),
            ("EMPTY", b""),
        ];
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"{{procura:A}}", b"<>&\"'\0\r\n\xff"),
            (
                b"a={{procura:A}}\r\nb={{procura:EMPTY}};",
                b"a=<>&\"'\0\r\n\xff\r\nb=;",
            ),
            // What a value holds is no template.
            (b"{{procura:B_2}}", b"{{procura:A}}"),
            // Other programs' variables, and what only begins alike.
            (
                b"{{ A }} ${A} {{A}} {{procur:A}} {{{{ }}}} \xff\0",
                b"{{ A }} ${A} {{A}} {{procur:A}} {{{{ }}}} \xff\0",
            ),
            (b"{{procura:}}A}}", b"{{procura:A}}"),
            (b"{{procura:}}{{procura:EMPTY}}", b"{{procura:"),
            (b"{{{procura:EMPTY}}}", b"{}"),
        ];
        for (template, text) in cases {
            assert_eq!(render(template, values).unwrap(), *text, "{template:?}");
        }
    }

    #[test]
    fn what_begins_as_a_variable_is_one_or_refused() {
        let long = format!("x{{{{procura:{}}}}}", "N".repeat(129));
        let bad: &[(&[u8], usize)] = &[
            (b"{{procura:", 0),
            (b"ab{{procura:A", 2),
            (b"{{procura:A}", 0),
            (b"{{procura: A}}", 0),
            (b"{{procura:A }}", 0),
            (b"{{procura:1A}}", 0),
            (b"{{procura:A-B}}", 0),
            (b"{{procura:A\0}}", 0),
            (b"{{procura:\xff}}", 0),
            (b"{{procura:A\n}}", 0),
            (b"{{procura:A|html}}", 0),
            (b"{{procura:}}{{procura:{{procura:A}}}}", 12),
            (long.as_bytes(), 1),
        ];
        for (template, at) in bad {
            let error = Template::parse(template).unwrap_err();
            assert_eq!(error, TemplateError::NoVariable { at: *at }, "{template:?}");
        }
        let loader = Template::parse(b"{{procura:LD_PRELOAD}}").unwrap_err();
        let name = "LD_PRELOAD".parse().unwrap();
        assert_eq!(loader, TemplateError::Loader { at: 0, name });
    }

    #[test]
    fn how_many_is_bounded_and_a_missing_one_is_named() {
        let many = |count: usize| -> String {
            let names = (0..count).map(|number| format!("{{{{procura:N{number}}}}}"));
            names.collect()
        };
        assert!(Template::parse(many(MAX_VARIABLES).as_bytes()).is_ok());
        let error = Template::parse(many(MAX_VARIABLES + 1).as_bytes()).unwrap_err();
        assert_eq!(error, TemplateError::TooManyVariables);
        let places = "{{procura:A}}".repeat(MAX_PLACES);
        let parsed = Template::parse(places.as_bytes()).unwrap();
        assert_eq!(parsed.variables().len(), 1);
        let error = Template::parse((places + "{{procura:A}}").as_bytes()).unwrap_err();
        assert_eq!(error, TemplateError::TooManyPlaces);
        let error = render(b"{{procura:A}}{{procura:B}}", &[("A", b"")]).unwrap_err();
        assert_eq!(error, TemplateError::Missing("B".parse().unwrap()));
        let full = vec![b'x'; LONGEST];
        assert_eq!(render(b"{{procura:A}}", &[("A", &full)]).unwrap(), full);
        let error = render(b"{{procura:A}}.", &[("A", &full)]).unwrap_err();
        assert_eq!(error, TemplateError::TooLong(LONGEST));
        let error = render(b"{{procura:A}}{{procura:A}}", &[("A", &full)]).unwrap_err();
        assert_eq!(error, TemplateError::TooLong(LONGEST));
    }

    proptest! {
        #[test]
        fn any_text_can_be_said(text in "(\\{\\{procura:|A\\}\\}|[{}:a-z<&]|\\PC){0,40}") {
            let template = escaped(&text);
            let parsed = Template::parse(template.as_bytes()).unwrap();
            prop_assert!(parsed.variables().is_empty());
            let rendered = parsed.render(usize::MAX, |_| None).unwrap();
            prop_assert_eq!(rendered.expose().as_slice(), text.as_bytes());
        }

        #[test]
        fn any_bytes_are_a_template_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(parsed) = Template::parse(&bytes) {
                let rendered = parsed.render(LONGEST, |_| Some(b"v"));
                prop_assert!(rendered.is_ok());
            }
        }
    }
}
