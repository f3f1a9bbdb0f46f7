//! The words of Procura as types: ids, names, times, secrets in memory, field
//! tuples, and the shapes that cross the HTTP API ([`wire`]).
//!
//! This crate is the bottom layer. It does no I/O, reads no clock and knows no
//! cryptography; whatever comes from outside becomes one of these types once,
//! at the edge, or is refused with the name of the field.

mod actor;
mod amr;
mod attestation;
mod audience;
mod cidr;
mod delivery_rules;
pub mod dial;
mod display_name;
mod dotenv;
pub mod encoding;
pub mod exit;
mod foreign_project;
mod guard_generation;
mod honey;
mod id;
mod inward;
mod link_code;
mod name;
mod observed;
#[cfg(feature = "openapi")]
mod openapi;
mod plain_text;
mod rate;
mod role;
mod seam;
mod secret;
mod secret_kind;
mod tags;
pub mod template;
mod time;
mod tuple;
mod user_code;
pub mod wire;

pub use actor::{ActorId, Alg, IdentityId, Thumbprint};
pub use amr::Amr;
pub use attestation::{BuildWord, ExeDigest, Grade};
pub use audience::Audience;
pub use cidr::Cidr;
pub use delivery_rules::{DeliveryRules, DeliveryWay};
pub use dotenv::{Dotenv, DotenvEntry, DotenvError};
pub use foreign_project::ForeignProject;
pub use guard_generation::GuardGeneration;
pub use honey::{HoneyMode, HoneyShape};
pub use id::{
    AttestationId, BatchId, CanaryId, EntryId, GrantId, InstallationId, InstanceId, ProposalId,
    RequestId, RunId, TokenId, TraceId, WebLoginId,
};
pub use inward::inward;
pub use link_code::{Joins, LinkCodeText};
pub use name::{
    DataClass, Delivery, DisplayName, EnvName, ForeignId, Label, LoaderVariable, Namespace,
    ProjectName, RoutePrefix, SecretOwner, SecretPath, Tag, is_loader_variable,
};
pub use observed::{
    Counted, LinesLost, MAX_OBSERVED_LINE, OBSERVE_LOG, OBSERVED_EVERY, ObservedLine, WouldReject,
};
pub use plain_text::plain;
pub use rate::{Rate, RateLimit};
pub use role::{Role, Scope};
pub use seam::{Clock, Entropy, EntropyError};
pub use secret::{Secret, SecretBytes, Wipe};
pub use secret_kind::SecretKind;
pub use tags::Tags;
pub use time::{Duration, Timestamp, whole_seconds_up};
pub use tuple::FieldTuple;
pub use user_code::UserCode;

/// A value from outside did not have the form that its field requires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Malformed {
    /// The field, in the words of the API (`namespace`, `path`, `label` …).
    pub field: &'static str,
    /// What is wrong and what is accepted; never the value itself.
    pub problem: &'static str,
}

impl Malformed {
    /// Names the field and the rule that it broke.
    #[must_use]
    pub const fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }
}
