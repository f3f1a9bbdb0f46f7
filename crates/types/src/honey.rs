//! Honey secrets: decoys that nobody has a reason to touch.

use crate::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What whoever asks for a decoy is answered.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoneyMode {
    /// That there is no such secret.
    #[default]
    Deny,
    /// The decoy.
    Bait,
}

impl HoneyMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Deny, Self::Bait];

    /// The mode as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Bait => "bait",
        }
    }
}

impl fmt::Display for HoneyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HoneyMode {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut all = Self::ALL.into_iter();
        all.find(|mode| mode.as_str() == text)
            .ok_or(Malformed::new("mode", "is deny or bait"))
    }
}

/// Whose credentials a decoy looks like.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoneyShape {
    /// The credentials file of an access key of AWS.
    Aws,
    /// A personal access token of GitHub.
    Github,
    /// A key of a project at OpenAI.
    Openai,
    /// A live secret key of Stripe.
    Stripe,
    /// The connection URL of a PostgreSQL database.
    Postgresql,
}

impl HoneyShape {
    /// Every shape.
    pub const ALL: [Self; 5] = [
        Self::Aws,
        Self::Github,
        Self::Openai,
        Self::Stripe,
        Self::Postgresql,
    ];

    /// The shape as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Github => "github",
            Self::Openai => "openai",
            Self::Stripe => "stripe",
            Self::Postgresql => "postgresql",
        }
    }
}

impl fmt::Display for HoneyShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HoneyShape {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut all = Self::ALL.into_iter();
        all.find(|shape| shape.as_str() == text)
            .ok_or(Malformed::new(
                "shape",
                "is none of aws, github, openai, stripe and postgresql",
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_are_those_of_the_json() {
        for mode in HoneyMode::ALL {
            assert_eq!(mode.as_str().parse::<HoneyMode>().unwrap(), mode);
            let json = serde_json::to_string(&mode).unwrap();
            assert_eq!(json, format!("\"{mode}\""));
        }
        for shape in HoneyShape::ALL {
            assert_eq!(shape.as_str().parse::<HoneyShape>().unwrap(), shape);
            let json = serde_json::to_string(&shape).unwrap();
            assert_eq!(json, format!("\"{shape}\""));
        }
        assert_eq!("Deny".parse::<HoneyMode>().unwrap_err().field, "mode");
        assert_eq!("gcp".parse::<HoneyShape>().unwrap_err().field, "shape");
    }
}
