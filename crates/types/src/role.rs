//! Roles of operators (`protocol.md` §2).

use crate::{Malformed, Namespace};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What an operator may do, in the installation or in one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Of the installation: namespaces, operators, seal.
    Steward,
    /// Of a namespace: secrets, agents, projects.
    Admin,
    /// Of a namespace: approves, denies and withdraws.
    Approver,
    /// Of a namespace: reads the record.
    Auditor,
}

impl Role {
    /// All roles, in the order of the permission matrix.
    pub const ALL: [Self; 4] = [Self::Steward, Self::Admin, Self::Approver, Self::Auditor];

    /// The role as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steward => "steward",
            Self::Admin => "admin",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(Malformed::new(
                "role",
                "must be steward, admin, approver or auditor",
            ))
    }
}

/// Where a role or a resource belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The installation as a whole.
    Installation,
    /// One namespace.
    Namespace(Namespace),
}
