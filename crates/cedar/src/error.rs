//! What can be wrong.

use procura_store::StoreError;
use std::fmt;

/// Something wrong with a text of policies, or doubtful about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The policy, by name, if it has got that far.
    pub policy: Option<String>,
    /// The line on which that policy begins, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Flaw {
    pub(crate) fn of_text(message: impl Into<String>) -> Self {
        Self {
            policy: None,
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "{policy}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why an operation on policies failed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The text does not parse or does not type-check.
    #[error("{}", .0.first().map_or_else(String::new, ToString::to_string))]
    Flawed(Vec<Flaw>),
    /// There is no such version.
    #[error("there is no version {0} of these policies")]
    NoVersion(u32),
    /// What is asked cannot be read, and why.
    #[error("{0}")]
    Question(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}
