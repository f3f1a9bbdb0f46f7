use super::{CallerReport, GrantItem, ValueB64};
use crate::{Delivery, EnvName, GrantId, RequestId, RunId, SecretPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `POST …/projects/{name}/runs`. Only names leave the host.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// Names wanted, at most 256, as found (they need not be valid); empty asks for the whole mapping.
    #[serde(default)]
    pub names: Vec<String>,
    /// How the values will be delivered.
    pub delivery: Delivery,
    /// What the daemon says of the process; advisory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerReport>,
}

/// Why a name found nothing.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmatchedReason {
    /// Neither the project nor any secret names it.
    NoMatch,
    /// More than one secret declares it; map it in the project.
    Ambiguous,
    /// It is no name of an environment variable, or one of the dynamic loader or
    /// the C library, which are never delivered.
    InvalidName,
}

/// A name that found nothing.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmatched {
    /// The name as asked for.
    pub name: String,
    /// Why.
    pub reason: UnmatchedReason,
}

/// One value for one environment name.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct RunValue {
    /// The secret.
    pub path: SecretPath,
    /// The version that was read.
    pub version: u64,
    /// The value.
    pub value_b64: ValueB64,
}

/// 200: all values, or none.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
pub struct RunValues {
    /// This hand-over, in the ledger.
    pub run: RunId,
    /// The grant that allowed it.
    pub grant: GrantId,
    /// Every name that matched.
    pub values: BTreeMap<EnvName, RunValue>,
    /// Names that matched nothing and stay as the environment has them.
    pub unmatched: Vec<Unmatched>,
}

/// 202: a person has to say yes first.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunPending {
    /// The request that waits; the same one until it is answered.
    pub request: RequestId,
    /// What it asks for.
    pub asked: Vec<GrantItem>,
    /// Names that matched nothing.
    pub unmatched: Vec<Unmatched>,
}

/// Either answer to a run.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunAnswer {
    /// 200.
    Values(RunValues),
    /// 202.
    Pending(RunPending),
}

/// `POST …/projects/{name}/runs/{run}/end`: the daemon saw the process end.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {}
