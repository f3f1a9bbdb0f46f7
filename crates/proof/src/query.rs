//! `@query-param`: one parameter of the query, decoded and encoded anew
//! (RFC 9421 §2.2.8).

use crate::reason::Case;

/// The encoded value of the parameter whose encoded name is `wanted`. One that
/// occurs twice is refused, as the RFC asks.
pub(crate) fn parameter(query: &str, wanted: &str) -> Result<String, Case> {
    let mut found = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if recode(name) == wanted {
            if found.is_some() {
                return Err(Case::ComponentUnsupported);
            }
            found = Some(recode(value));
        }
    }
    found.ok_or(Case::ComponentAbsent)
}

/// Decodes `application/x-www-form-urlencoded` and percent-encodes the result,
/// with a space as `%20` (URL standard, "percent-encode after encoding").
fn recode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match (byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    rest = after.get(2..).unwrap_or(&[]);
                    high << 4 | low
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    let mut out = String::with_capacity(decoded.len());
    for byte in String::from_utf8_lossy(&decoded).bytes() {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.push(digit.to_ascii_uppercase());
            }
        }
    }
    out
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_occurs_twice_is_refused() {
        assert_eq!(
            parameter("a=1&a=2", "a").unwrap_err(),
            Case::ComponentUnsupported
        );
        assert_eq!(
            parameter("a=1&b=2", "c").unwrap_err(),
            Case::ComponentAbsent
        );
        assert_eq!(parameter("a", "a").unwrap(), "");
        assert_eq!(parameter("%61=%zz%", "a").unwrap(), "%25zz%25");
    }
}
