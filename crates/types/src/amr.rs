//! How a person proved who they are when they signed in.

use crate::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// By what a person signed in in a browser (the name is that of RFC 8176). What a web
/// login may do depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Amr {
    /// A password, and a code of an authenticator app or a recovery code.
    Password,
    /// A passkey, with user verification.
    Passkey,
    /// An identity provider's word (OIDC).
    Oidc,
}

impl Amr {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Password, Self::Passkey, Self::Oidc];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Passkey => "passkey",
            Self::Oidc => "oidc",
        }
    }
}

impl fmt::Display for Amr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Amr {
    type Err = Malformed;
    fn from_str(word: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|amr| amr.as_str() == word)
            .ok_or(Malformed::new("amr", "is not password, passkey or oidc"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for amr in Amr::ALL {
            assert_eq!(amr.as_str().parse(), Ok(amr));
            let json = serde_json::to_string(&amr).unwrap();
            assert_eq!(json, format!("\"{amr}\""));
        }
        assert_eq!("Password".parse::<Amr>().unwrap_err().field, "amr");
    }
}
