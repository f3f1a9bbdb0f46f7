use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// `PUT /v1/ledger/retention`: how long entries of the record are kept.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSet {
    /// Whole days, 7 to 36,500; for ever with `null`.
    #[serde(deserialize_with = "given")]
    pub keep_days: Option<u64>,
}

impl RetentionSet {
    /// The fewest days that entries can be kept, and the most that can be said.
    pub const DAYS: RangeInclusive<u64> = 7..=36_500;
}

/// For ever is said and not left out.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(from)
}

/// How long entries of the record are kept, and what is forgotten.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// In days; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u64>,
    /// When that was said; absent when nobody ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until then they are kept as long as before: a rule that keeps them for less waits
    /// for a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// The days of the rule of before, while the other one waits; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_then_days: Option<u64>,
    /// The first entry that is kept; those before it are forgotten.
    pub first: u64,
    /// The number of entries that there ever were.
    pub entries: u64,
}
