//! For whom a session is: who can verify it, and nobody else (`protocol.md` §3.4).

use crate::{Label, Malformed, Namespace};
use std::fmt;
use std::str::FromStr;

/// Who verifies a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The server itself: `procura`.
    Server,
    /// The gate of a service: `gate:<namespace>/<service>`.
    Gate(Namespace, Label),
}

const SERVER: &str = "procura";
const GATE: &str = "gate:";

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str(SERVER),
            Self::Gate(namespace, service) => write!(f, "{GATE}{namespace}/{service}"),
        }
    }
}

impl FromStr for Audience {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == SERVER {
            return Ok(Self::Server);
        }
        let malformed = Malformed::new("audience", "must be procura or gate:NAMESPACE/SERVICE");
        let (namespace, service) = text
            .strip_prefix(GATE)
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| malformed.clone())?;
        match (namespace.parse(), service.parse()) {
            (Ok(namespace), Ok(service)) => Ok(Self::Gate(namespace, service)),
            _ => Err(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_has_one_spelling() {
        for text in ["procura", "gate:shop/web", "gate:a/a-1"] {
            assert_eq!(text.parse::<Audience>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Procura",
            "procura ",
            "gate:",
            "gate:shop",
            "gate:shop/",
            "gate:/web",
            "gate:shop/web/x",
            "gate:Shop/web",
            "gate:shop/we b",
            "gates:shop/web",
        ] {
            let error = text.parse::<Audience>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "audience: must be procura or gate:NAMESPACE/SERVICE",
                "{text}"
            );
        }
    }
}
