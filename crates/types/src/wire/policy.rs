use crate::{ActorId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What a version of policies counts for.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyState {
    /// Nothing: it is kept.
    Draft,
    /// What it would decide is computed beside, and reported.
    Observe,
    /// It decides.
    Enforce,
}

impl PolicyState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Observe, Self::Enforce];

    /// The state as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for PolicyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyState {
    type Err = crate::Malformed;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or(crate::Malformed::new(
                "state",
                "must be draft, observe or enforce",
            ))
    }
}

/// `POST …/policies`: another version, which counts for nothing yet.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyPut {
    /// In Cedar, at most 512 KiB.
    pub text: String,
}

/// `PUT …/policies/{version}/state`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStatePut {
    /// What the version counts for from now on. What counted for this before is a draft.
    pub state: PolicyState,
}

/// A version of the policies of a namespace or of the installation.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its number, from 1.
    pub version: u32,
    /// What it counts for.
    pub state: PolicyState,
    /// How many policies it has.
    pub policies: u64,
    /// Bytes of its text.
    pub size: u64,
    /// SHA-256 of its text, in hexadecimal.
    pub sha256: String,
    /// Who stored it: an operator by name, or an id once nobody has it.
    pub author: String,
    /// When it was stored.
    pub created: Timestamp,
    /// The version whose text it has, if it was stored to go back to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_of: Option<u32>,
    /// What is doubtful about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET …/policies`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyVersionList {
    /// All of them, newest first.
    pub versions: Vec<PolicyVersion>,
    /// Why what is in force cannot be used, if it cannot: then it allows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
}

/// `GET …/policies/{version}`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyText {
    /// What is known of the version.
    #[serde(flatten)]
    pub about: PolicyVersion,
    /// Its text.
    pub text: String,
}

/// What is asked for, in a case.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyCircumstances {
    /// When, RFC 3339; now without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// From which address.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// How the caller was proven; `native` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How often the agent did this in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses_last_hour: Option<u64>,
    /// For which project values are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// How they are delivered; `env` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Environment name → path of each value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, String>,
}

/// One question to policies: in a file of cases, or to a server that explains.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// `agent/<label>` or `operator/<name>`.
    pub principal: String,
    /// The names above an agent, from its owner on; `["owner"]` without. Of a server that
    /// explains they are those of the agent that is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<String>,
    /// As in the record: `run.deliver`.
    pub action: String,
    /// As in the record: `project/web`.
    pub resource: String,
    /// Under which circumstances.
    #[serde(default)]
    pub context: PolicyCircumstances,
}

/// A question with the answer that is expected, for `procura policy test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyCase {
    /// What it shows.
    pub name: String,
    /// What is asked.
    pub ask: PolicyQuestion,
    /// Whether it is to be allowed.
    pub expect: PolicyAnswer,
    /// The policies that are to decide; any without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<String>>,
}

/// A file of cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyCases {
    /// Where things and agents are; of the installation without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The cases.
    pub cases: Vec<PolicyCase>,
}

/// What comes of a question.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyAnswer {
    /// Policies allow it.
    Allow,
    /// Policies deny it.
    Deny,
}

impl PolicyAnswer {
    /// The answer as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCaseResult {
    /// What it shows.
    pub name: String,
    /// Whether it is as expected.
    pub passed: bool,
    /// What policies say.
    pub found: PolicyAnswer,
    /// Why, in one word.
    pub reason: String,
    /// By which of them.
    pub by: Vec<String>,
}

/// What one version says to a question.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExplanation {
    /// The namespace whose policies they are; the installation without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which version.
    pub version: u32,
    /// What it counts for.
    pub state: PolicyState,
    /// What it says.
    pub answer: PolicyAnswer,
    /// `permitted`, `policy_forbids`, `no_policy_permits`, `policies_unusable`, or
    /// `not_asked` where policies have no say.
    pub reason: String,
    /// By which of its policies.
    pub by: Vec<String>,
    /// How many of its policies could have a say.
    pub looked_at: u64,
    /// Whether the decision may be kept until the directory changes.
    pub kept: bool,
}

/// What policies say to a question, beside what roles and grants say.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExplained {
    /// What all that is in force says together.
    pub answer: PolicyAnswer,
    /// Of each version that decides or is observed.
    pub versions: Vec<PolicyExplanation>,
}

/// What enforcing would change about requests like one that came.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyWould {
    /// It was allowed, and would be denied.
    WouldDeny,
    /// It was denied by policies, and would be allowed by these.
    WouldAllow,
}

/// Requests alike that observed policies would decide otherwise.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyObservedLine {
    /// How.
    pub would: PolicyWould,
    /// Who asked: the names from the owner on, `alice//scribe`.
    pub actor: String,
    /// The actor's id.
    pub actor_id: ActorId,
    /// Whose agent it is: whom to ask about it.
    pub owner: String,
    /// What was asked.
    pub action: String,
    /// On what.
    pub resource: String,
    /// Why it would be so, in one word.
    pub reason: String,
    /// The policies that it would be by.
    pub by: Vec<String>,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// `GET …/policies/report`: what enforcing what is observed would change, as this server
/// saw it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The version that is observed; none is without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Since when this server has seen decisions beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How many decisions that were.
    pub decisions: u64,
    /// Those that would be otherwise, the most frequent first.
    pub lines: Vec<PolicyObservedLine>,
    /// Decisions that would be otherwise and are in no line, as there are no more lines.
    pub left_out: u64,
}
