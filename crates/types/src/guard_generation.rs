//! Which memory of used proofs verifiers share.

use crate::{Malformed, encoding};
use std::fmt;
use std::str::FromStr;

/// A generation of the memory of a shared replay guard, as one verifier names it to
/// another: those who name the same one refuse each other's replays. As text 32
/// hexadecimal digits, a point and milliseconds: `9f…2c.1795287007119`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuardGeneration {
    /// Which.
    pub id: [u8; 16],
    /// When it began, in milliseconds since 1970 by the clock of the shared server; 0
    /// for one that nothing was before.
    pub since: u64,
}

impl fmt::Display for GuardGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", encoding::hex(&self.id), self.since)
    }
}

impl FromStr for GuardGeneration {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let read = || {
            let (id, since) = text.split_once('.')?;
            let found = Self {
                id: encoding::from_hex_fixed(id)?,
                since: since.parse().ok()?,
            };
            // One spelling.
            (found.to_string() == text).then_some(found)
        };
        read().ok_or(Malformed::new(
            "guard",
            "must be 32 hexadecimal digits, a point and milliseconds since 1970",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::GuardGeneration;

    #[test]
    fn it_has_one_spelling() {
        let generation = GuardGeneration {
            id: [0x9f; 16],
            since: 17,
        };
        let text = generation.to_string();
        assert_eq!(text, format!("{}.17", "9f".repeat(16)));
        assert_eq!(text.parse(), Ok(generation));
        for other in [
            text.to_uppercase(),
            format!("{text} "),
            format!("{}.017", "9f".repeat(16)),
            format!("{}.+17", "9f".repeat(16)),
            format!("{}.", "9f".repeat(16)),
            format!("{}.17", "9f".repeat(15)),
            "9f".repeat(16),
            String::new(),
        ] {
            assert!(other.parse::<GuardGeneration>().is_err(), "{other}");
        }
    }
}
