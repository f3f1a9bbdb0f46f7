//! The values of components: derived ones and header fields (RFC 9421 §2.1, §2.2).

use crate::input::Component;
use crate::message::{Message, Target};
use crate::query;
use crate::reason::Case;
use sfv::{BareItemFromInput, Dictionary, FieldType as _, KeyRef, Parser};

/// Fields that are dictionaries, so that `;sf` has one meaning (RFC 9421 §2.1.1
/// asks for a known type; RFC 9530, RFC 9421 and RFC 9218 define these).
const DICTIONARIES: [&str; 7] = [
    "accept-signature",
    "content-digest",
    "priority",
    "repr-digest",
    "signature",
    "signature-input",
    "want-content-digest",
];

/// Appends the value of a component. It never contains a line break.
pub(crate) fn write_value(
    message: &Message<'_>,
    component: &Component<'_>,
    out: &mut String,
) -> Result<(), Case> {
    match component.name().strip_prefix('@') {
        Some(derived) => write_derived(message, derived, component, out),
        None => write_field(message, component, out),
    }
}

fn write_derived(
    message: &Message<'_>,
    name: &str,
    component: &Component<'_>,
    out: &mut String,
) -> Result<(), Case> {
    if name == "query-param" {
        let [(key, BareItemFromInput::String(wanted))] = component.parameters.as_slice() else {
            return Err(Case::ComponentUnsupported);
        };
        if key.as_str() != "name" {
            return Err(Case::ComponentUnsupported);
        }
        let target = message.target.as_ref().ok_or(Case::ComponentUnsupported)?;
        let value = query::parameter(target.query.unwrap_or(""), wanted.as_str())?;
        out.push_str(&value);
        return Ok(());
    }
    // `req`, `tr` and all others mean nothing on a derived component of a request.
    if !component.parameters.is_empty() {
        return Err(Case::ComponentUnsupported);
    }
    if name == "status" {
        let status = message.status.ok_or(Case::ComponentUnsupported)?;
        out.push_str(&status.to_string());
        return Ok(());
    }
    let target = message.target.as_ref().ok_or(Case::ComponentUnsupported)?;
    match name {
        "method" => out.push_str(target.method),
        "authority" => out.push_str(&target.authority),
        "path" => out.push_str(target.path),
        "query" => {
            out.push('?');
            out.push_str(target.query.unwrap_or(""));
        }
        "request-target" => write_request_target(target, out),
        "scheme" => write_scheme(target, out)?,
        "target-uri" => {
            write_scheme(target, out)?;
            out.push_str("://");
            out.push_str(&target.authority);
            write_request_target(target, out);
        }
        _ => return Err(Case::ComponentUnsupported),
    }
    Ok(())
}

fn write_scheme(target: &Target<'_>, out: &mut String) -> Result<(), Case> {
    let scheme = target.scheme.ok_or(Case::ComponentUnsupported)?;
    out.extend(scheme.chars().map(|letter| letter.to_ascii_lowercase()));
    Ok(())
}

fn write_request_target(target: &Target<'_>, out: &mut String) {
    out.push_str(target.path);
    if let Some(query) = target.query {
        out.push('?');
        out.push_str(query);
    }
}

fn write_field(
    message: &Message<'_>,
    component: &Component<'_>,
    out: &mut String,
) -> Result<(), Case> {
    let name = component.name();
    if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Case::ComponentUnsupported);
    }
    let mut key = None;
    let (mut structured, mut binary) = (false, false);
    for (parameter, value) in &component.parameters {
        match (parameter.as_str(), value) {
            ("sf", BareItemFromInput::Boolean(true)) => structured = true,
            ("bs", BareItemFromInput::Boolean(true)) => binary = true,
            ("key", BareItemFromInput::String(wanted)) => key = Some(wanted.as_str()),
            // `req` belongs to answers; `tr` to trailers, which we do not take.
            _ => return Err(Case::ComponentUnsupported),
        }
    }
    if !message.fields.has(name) {
        return Err(Case::ComponentAbsent);
    }
    match (key, structured, binary) {
        (None, false, false) => write_lines(message, name, out),
        (None, false, true) => {
            write_wrapped(message, name, out);
            Ok(())
        }
        (Some(wanted), _, false) => write_member(message, name, wanted, out),
        (None, true, false) if DICTIONARIES.contains(&name) => {
            let dictionary = dictionary(message, name)?;
            out.push_str(&dictionary.serialize().unwrap_or_default());
            Ok(())
        }
        _ => Err(Case::ComponentUnsupported),
    }
}

/// All lines of the field, trimmed and joined (RFC 9421 §2.1).
fn write_lines(message: &Message<'_>, name: &str, out: &mut String) -> Result<(), Case> {
    for (position, line) in message.fields.lines(name).enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        write_line(line, out)?;
    }
    Ok(())
}

/// One line without surrounding white space, obsolete folding made one space.
fn write_line(line: &[u8], out: &mut String) -> Result<(), Case> {
    let text = std::str::from_utf8(line.trim_ascii()).map_err(|_| Case::ComponentValue)?;
    if text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        out.push_str(text);
        return Ok(());
    }
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\t' | ' '..='~' => out.push(letter),
            // obs-fold (RFC 9112 §5.2): OWS, CRLF, and white space that must follow.
            '\r' | '\n' => {
                if letter == '\r' && rest.next_if_eq(&'\n').is_none() {
                    return Err(Case::ComponentValue);
                }
                rest.next_if(|next| matches!(next, ' ' | '\t'))
                    .ok_or(Case::ComponentValue)?;
                while rest.next_if(|next| matches!(next, ' ' | '\t')).is_some() {}
                while out.ends_with([' ', '\t']) {
                    out.pop();
                }
                out.push(' ');
            }
            _ => return Err(Case::ComponentValue),
        }
    }
    Ok(())
}

/// Each line as a byte sequence (RFC 9421 §2.1.3).
fn write_wrapped(message: &Message<'_>, name: &str, out: &mut String) {
    for (position, line) in message.fields.lines(name).enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        let line = line.trim_ascii();
        let _ = sfv::ItemSerializer::with_buffer(out)
            .bare_item(line)
            .finish();
    }
}

fn dictionary(message: &Message<'_>, name: &str) -> Result<Dictionary, Case> {
    let joined = message.fields.joined(name).ok_or(Case::ComponentAbsent)?;
    Parser::new(&joined)
        .parse::<Dictionary>()
        .map_err(|_| Case::ComponentValue)
}

/// One member of a dictionary (RFC 9421 §2.1.2).
fn write_member(
    message: &Message<'_>,
    name: &str,
    wanted: &str,
    out: &mut String,
) -> Result<(), Case> {
    let dictionary = dictionary(message, name)?;
    let wanted = KeyRef::from_str(wanted).map_err(|_| Case::ComponentUnsupported)?;
    let member = dictionary.get(wanted).ok_or(Case::ComponentAbsent)?;
    // The text of a list with one member is the text of the member.
    let list: sfv::List = vec![member.clone()];
    out.push_str(&list.serialize().unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(raw: &[u8]) -> Result<String, Case> {
        let mut out = String::new();
        write_line(raw, &mut out).map(|()| out)
    }

    #[test]
    fn lines_are_trimmed_and_unfolded() {
        assert_eq!(line(b"  a b\t").unwrap(), "a b");
        assert_eq!(line(b"one,  \r\n   two").unwrap(), "one, two");
        assert_eq!(line(b"one\n\ttwo").unwrap(), "one two");
        assert_eq!(line(b"").unwrap(), "");
    }

    #[test]
    fn a_line_cannot_break_the_base() {
        for raw in [
            &b"a\r\nb"[..],
            b"a\nb",
            b"a\rb",
            b"a\0b",
            b"\xff",
            "é".as_bytes(),
            b"a\x7fb",
        ] {
            assert_eq!(line(raw).unwrap_err(), Case::ComponentValue, "{raw:?}");
        }
    }
}
