use crate::{ActorId, Malformed, ProposalId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An act that takes as many stewards as a rule says.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardedAct {
    /// Shares of a new unseal source are made.
    MakeShares,
    /// The root turns: by itself, with another passphrase, or without an unseal source.
    RotateRoot,
    /// A namespace ends.
    EndNamespace,
    /// A break-glass account opens.
    UseBreakGlass,
}

impl GuardedAct {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::MakeShares,
        Self::RotateRoot,
        Self::EndNamespace,
        Self::UseBreakGlass,
    ];

    /// The word as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MakeShares => "make_shares",
            Self::RotateRoot => "rotate_root",
            Self::EndNamespace => "end_namespace",
            Self::UseBreakGlass => "use_break_glass",
        }
    }
}

impl fmt::Display for GuardedAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GuardedAct {
    type Err = Malformed;
    fn from_str(word: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|act| act.as_str() == word)
            .ok_or(Malformed::new(
                "act",
                "is not make_shares, rotate_root, end_namespace or use_break_glass",
            ))
    }
}

/// How many stewards an act takes.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// Which.
    pub act: GuardedAct,
    /// So many now, with the stewards that there are.
    pub needs: u32,
    /// What was set; without it, 1 where there is one steward and 2 where there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<u8>,
    /// When it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorId>,
}

/// `GET /v1/approval-rules`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovalRuleList {
    /// How many stewards there are.
    pub stewards: u32,
    /// One for each act.
    pub rules: Vec<ApprovalRule>,
}

/// `PUT /v1/approval-rules/{act}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRulePut {
    /// So many stewards: 1 at the least, and no more than there are.
    pub needs: u8,
    /// What the stewards agreed to, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for act in GuardedAct::ALL {
            assert_eq!(act.as_str().parse(), Ok(act));
            let json = serde_json::to_string(&act).unwrap();
            assert_eq!(json, format!("\"{act}\""));
        }
        let wrong = "rotate".parse::<GuardedAct>().unwrap_err();
        assert_eq!(wrong.field, "act");
    }
}
