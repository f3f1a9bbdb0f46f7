//! `-H`: header fields as typed.

use crate::failure::Failure;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

/// Bytes of the longest file of header fields.
const LONGEST: u64 = 64 * 1024;

/// What a request gets from its target, its body and its proof, and what belongs
/// to the connection: typed, they would contradict what is sent or signed.
const OURS: [&str; 21] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "content-digest",
    "signature",
    "signature-input",
    "x-agent",
    "x-agent-id",
    "x-timestamp",
    "x-nonce",
    "x-signature",
    "x-signature-version",
    "x-session-id",
    "procura-answer",
];

/// One field: its name in lower case, and its value without the space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Field {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text
            .split_once(':')
            .ok_or("is not 'Name: value', such as 'Accept: text/plain'")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err("has a name that no header field has");
        }
        // No line end above all: what follows one would be a field of its own.
        let visible = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t');
        if !value.bytes().all(visible) {
            return Err("has a line end, or another character that is not visible ASCII");
        }
        let name = name.to_ascii_lowercase();
        if OURS.contains(&name.as_str()) {
            return Err(
                "is a field that is made of the URL, the body, the proof or the connection",
            );
        }
        Ok(Self {
            name,
            value: value.trim_matches([' ', '\t']).to_owned(),
        })
    }
}

/// `-H 'Name: value'`, or `-H @FILE` for what others must not see in the list of
/// processes.
#[derive(Debug, Clone)]
pub(crate) enum Fields {
    One(Field),
    File(PathBuf),
}

impl FromStr for Fields {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('@') {
            Some(file) => Ok(Self::File(file.into())),
            None => text.parse().map(Self::One),
        }
    }
}

impl Fields {
    /// Whether they are to be read from stdin.
    pub(crate) fn reads_stdin(&self) -> bool {
        matches!(self, Self::File(path) if path.as_os_str() == "-")
    }
}

/// All fields that were typed, each name once: two lines of one name mean the same
/// as one with a comma, and then there is only one thing to sign.
pub(crate) fn read(typed: &[Fields]) -> Result<Vec<Field>, Failure> {
    let mut fields: Vec<Field> = Vec::new();
    for typed in typed {
        let more = match typed {
            Fields::One(field) => vec![field.clone()],
            Fields::File(path) => lines(path)?,
        };
        for field in more {
            if fields.iter().any(|known| known.name == field.name) {
                return Err(Failure::usage(format!("-H: {} is given twice", field.name))
                    .next("one -H with both values and a comma between them"));
            }
            fields.push(field);
        }
    }
    Ok(fields)
}

fn lines(path: &PathBuf) -> Result<Vec<Field>, Failure> {
    let name = path.display();
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(LONGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("-H @{name} cannot be read")).because(error))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > LONGEST) {
        return Err(Failure::usage(format!("-H @{name} is longer than 64 KiB")));
    }
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .enumerate()
        .map(|(number, line)| {
            // The line may hold a secret and is not repeated.
            line.parse().map_err(|why: &str| {
                Failure::usage(format!("-H @{name}: field {} {why}", number + 1))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_what_would_be_two_is_refused() {
        for (text, name, value) in [
            ("Accept: text/plain", "accept", "text/plain"),
            ("X-A:b", "x-a", "b"),
            ("x-empty:", "x-empty", ""),
            ("A: \tb: c \t", "a", "b: c"),
        ] {
            let field: Field = text.parse().unwrap();
            assert_eq!((field.name.as_str(), field.value.as_str()), (name, value));
        }
        let form = "is not 'Name: value', such as 'Accept: text/plain'";
        let name = "has a name that no header field has";
        let value = "has a line end, or another character that is not visible ASCII";
        let ours = "is a field that is made of the URL, the body, the proof or the connection";
        for (text, reason) in [
            ("", form),
            ("Accept", form),
            (": x", name),
            (" A: x", name),
            ("A : x", name),
            ("A\r\nB: x", name),
            ("Ä: x", name),
            ("A: x\r\nB: y", value),
            ("A: x\ny", value),
            ("A: x\ry", value),
            ("A: x\0", value),
            ("A: ü", value),
            ("HOST: other", ours),
            ("Content-Length: 7", ours),
            ("Transfer-Encoding: chunked", ours),
            ("X-Agent-Id: other", ours),
            ("Signature: x=:AA==:", ours),
        ] {
            assert_eq!(text.parse::<Field>().unwrap_err(), reason, "{text:?}");
        }
    }
}
