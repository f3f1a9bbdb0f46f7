//! What a daemon says of its own process, and how good its word is (ADR 39).

use crate::{Malformed, encoding};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How good the word of a daemon is on which program it is. Each grade holds all that
/// the one before it says, so they are in order.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// The process names the digest of its program, and nobody vouches for that.
    SelfReported,
    /// The digest is one that a release key signed.
    SignedRelease,
    /// A TPM has signed besides, for this very process, that its machine started as an
    /// operator accepted.
    Quoted,
}

impl Grade {
    /// Every grade, the weakest first.
    pub const ALL: [Self; 3] = [Self::SelfReported, Self::SignedRelease, Self::Quoted];

    /// The word as in JSON and in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfReported => "self-reported",
            Self::SignedRelease => "signed-release",
            Self::Quoted => "quoted",
        }
    }

    /// The one byte that stands for it in a session.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::SelfReported => 1,
            Self::SignedRelease => 2,
            Self::Quoted => 3,
        }
    }

    /// The grade of a byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|grade| grade.byte() == byte)
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Grade {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|grade| grade.as_str() == text);
        found.ok_or(Malformed::new(
            "grade",
            "must be self-reported, signed-release or quoted",
        ))
    }
}

/// The SHA-256 of a program, or of something else that is compared and never opened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExeDigest([u8; 32]);

impl ExeDigest {
    /// These 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ExeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoding::hex(&self.0))
    }
}

impl fmt::Debug for ExeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ExeDigest {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        encoding::from_hex_fixed(text)
            .filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
            .map(Self)
            .ok_or(Malformed::new(
                "sha256",
                "is not 64 hexadecimal digits in lower case",
            ))
    }
}

impl TryFrom<String> for ExeDigest {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<ExeDigest> for String {
    fn from(digest: ExeDigest) -> Self {
        digest.to_string()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ExeDigest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::text("64 hexadecimal digits, lower case")
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ExeDigest {
    fn name() -> std::borrow::Cow<'static, str> {
        "ExeDigest".into()
    }
}

/// Most characters of a [`BuildWord`].
const LONGEST: usize = 64;

/// A word that a program says of itself or of its host: a version (`0.5.0`), a target
/// (`x86_64-linux`), the id of a boot. Of `[A-Za-z0-9._+-]`, 1 to 64 of them, so that it
/// can stand in a line, in the record and on a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildWord(String);

impl BuildWord {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BuildWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BuildWord {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let is_fit =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-');
        if (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_fit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new(
                "version",
                "must be 1 to 64 of A-Z a-z 0-9 . _ + -",
            ))
        }
    }
}

impl TryFrom<String> for BuildWord {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<BuildWord> for String {
    fn from(word: BuildWord) -> Self {
        word.0
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for BuildWord {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::text("1 to 64 of A-Z a-z 0-9 . _ + -")
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for BuildWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "BuildWord".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_in_order_and_read_back() {
        assert!(Grade::ALL.is_sorted());
        for grade in Grade::ALL {
            assert_eq!(grade.as_str().parse::<Grade>().unwrap(), grade);
            assert_eq!(Grade::from_byte(grade.byte()), Some(grade));
        }
        assert_eq!(Grade::from_byte(0), None);
        assert_eq!(Grade::from_byte(4), None);
        assert_eq!("Quoted".parse::<Grade>().unwrap_err().field, "grade");
    }

    #[test]
    fn digests_have_one_spelling() {
        let text = "ab".repeat(32);
        assert_eq!(text.parse::<ExeDigest>().unwrap().to_string(), text);
        for bad in [
            "",
            "ab",
            &"AB".repeat(32),
            &"ag".repeat(32),
            &"ab".repeat(33),
        ] {
            assert_eq!(
                bad.parse::<ExeDigest>().unwrap_err().field,
                "sha256",
                "{bad}"
            );
        }
    }

    #[test]
    fn words_can_stand_anywhere() {
        for good in ["0.5.0", "x86_64-linux", "1.0.0-rc.1+abc", &"a".repeat(64)] {
            assert!(good.parse::<BuildWord>().is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\n", "\u{1b}[2J", "é", &"a".repeat(65)] {
            assert!(bad.parse::<BuildWord>().is_err(), "{bad:?}");
        }
    }
}
