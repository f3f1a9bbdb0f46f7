//! A text of policies, taken apart: so that what is wrong is told with the line of its
//! policy, and each policy has its name.

use crate::error::Flaw;
use crate::shape::Shape;
use crate::token::{Token, Tokens};
use cedar_policy::{Policy, PolicyId};
use procura_types::plain;
use std::sync::Arc;

/// A statement of a text, with the line on which it begins.
pub(crate) struct Statement<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
    shape: Shape<'a>,
}

impl Statement<'_> {
    /// What of it is more than may be parsed, if anything is.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        Some(Flaw {
            policy: None,
            line: Some(self.line),
            message: self.shape.flaw()?,
        })
    }
}

/// The statements of a text: each ends with a semicolon that is in no string and no
/// comment. What is left behind the last one is one of its own unless it says nothing.
pub(crate) fn statements(text: &str) -> Vec<Statement<'_>> {
    let (mut found, mut from, mut begins) = (Vec::new(), 0, None);
    let mut shape = Shape::default();
    for placed in Tokens::of(text) {
        begins.get_or_insert(placed.line);
        shape.see(&placed);
        if placed.token == Token::Sign(';') {
            found.push(Statement {
                line: begins.take().unwrap_or(placed.line),
                text: text.get(from..placed.end).unwrap_or_default(),
                shape: std::mem::take(&mut shape),
            });
            from = placed.end;
        }
    }
    if let Some(line) = begins {
        found.push(Statement {
            line,
            text: text.get(from..).unwrap_or_default(),
            shape,
        });
    }
    found
}

/// The line with a character that steers, hides or reverses what is shown, so that a text
/// would read otherwise than it decides.
pub(crate) fn deceives(text: &str) -> Option<usize> {
    let mut line = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_plain = match letter {
            '\n' | '\t' | ' '..='~' => true,
            '\r' => letters.peek() == Some(&'\n'),
            _ => {
                let mut shown = [0; 4];
                let letter: &str = letter.encode_utf8(&mut shown);
                plain(letter) == letter
            }
        };
        if !is_plain {
            return Some(line);
        }
        line += usize::from(letter == '\n');
    }
    None
}

/// Whether an id of a policy can stand in the record.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A policy with its name.
pub(crate) fn named(place: usize, statement: &Statement<'_>) -> Result<(Arc<str>, Policy), Flaw> {
    let flaw = |message: String| Flaw {
        policy: None,
        line: Some(statement.line),
        message,
    };
    let policy = Policy::parse(None, statement.text.trim()).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        flaw(all.join("; "))
    })?;
    let name = match policy.annotation("id") {
        None => format!("policy{place}"),
        Some(name) if is_name(name) => name.to_owned(),
        Some(_) => {
            return Err(flaw(
                "@id has 1 to 64 of letters, digits, '-', '_' and '.'".to_owned(),
            ));
        }
    };
    let policy = policy.new_id(PolicyId::new(&name));
    Ok((name.into(), policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_and_comments_end_nothing() {
        let text = "// a; b\n@id(\"x;y\")\npermit(principal, action, resource); // c;\n\n\
                    forbid(principal, action, resource) when { \"\\\";//\" == \"a\" };\n// end;\n";
        let found = statements(text);
        let lines: Vec<usize> = found.iter().map(|found| found.line).collect();
        assert_eq!(lines, [2, 5]);
        let whole: String = found.iter().map(|found| found.text).collect();
        assert!(text.starts_with(&whole));
    }

    #[test]
    fn what_deceives_is_found_with_its_line() {
        for (text, line) in [
            ("// grün 🦀\r\n\tpermit", None),
            ("a\n// b\u{202e}", Some(2)),
            ("// a\rpermit", Some(1)),
            ("\n\n\u{200b}", Some(3)),
            ("a\u{1b}[2J", Some(1)),
            ("a\u{7f}", Some(1)),
        ] {
            assert_eq!(deceives(text), line, "{text:?}");
        }
    }

    #[test]
    fn each_policy_is_bounded_for_itself() {
        let nested = |count: usize| format!("x {}{};\n", "(".repeat(count), ")".repeat(count));
        let text = nested(30).repeat(10);
        assert!(statements(&text).iter().all(|found| found.flaw().is_none()));
        let text = text + &nested(33);
        let flaws: Vec<String> = statements(&text)
            .iter()
            .filter_map(|found| Some(found.flaw()?.to_string()))
            .collect();
        assert_eq!(flaws, ["line 11: the policy is nested too deep"]);
    }

    #[test]
    fn what_is_left_behind_the_last_one_is_told() {
        let found = statements("permit(principal, action, resource);\n\n permit");
        assert_eq!(found.len(), 2);
        assert_eq!(found.last().map(|found| found.line), Some(3));
        assert!(statements(" \n// nothing\n").is_empty());
    }
}
