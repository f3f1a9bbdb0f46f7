//! A request's body as typed: a text, `@FILE`, or `@-` for stdin.

use crate::failure::Failure;
use procura_types::{Secret, SecretBytes};
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

/// The largest body, in bytes.
const LARGEST: u64 = 32 * 1024 * 1024;

/// Where a body comes from.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Text(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Body {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            Some("-") => Self::Stdin,
            Some(file) => Self::File(file.into()),
            None => Self::Text(text.to_owned()),
        })
    }
}

impl Body {
    /// Its exact bytes: nothing is added and nothing is trimmed.
    pub(crate) fn read(&self) -> Result<SecretBytes, Failure> {
        let mut bytes = Secret::new(Vec::new());
        let (name, read) = match self {
            Self::Text(text) => return Ok(Secret::new(text.clone().into_bytes())),
            Self::Stdin => (
                "stdin".to_owned(),
                std::io::stdin()
                    .take(LARGEST + 1)
                    .read_to_end(bytes.expose_mut()),
            ),
            Self::File(path) => (
                path.display().to_string(),
                std::fs::File::open(path)
                    .and_then(|file| file.take(LARGEST + 1).read_to_end(bytes.expose_mut())),
            ),
        };
        let length = read.map_err(|error| {
            Failure::usage(format!("the body cannot be read from {name}")).because(error)
        })?;
        if u64::try_from(length).is_ok_and(|length| length > LARGEST) {
            return Err(Failure::usage("the body is larger than 32 MiB"));
        }
        Ok(bytes)
    }
}
