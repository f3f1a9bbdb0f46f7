//! Policies in Cedar, beside the decision by roles and grants (ADR 37).
//!
//! Roles and grants are the floor: what they deny stays denied, and [`CedarDecider`] asks
//! the policies that are in force only about what they allow.
//!
//! - [`schema_text`] is what policies may speak of, generated from the product's own types.
//! - [`PolicySet`] is a text that parsed and type-checked, ready to decide on [`Facts`].
//! - [`CedarDecider`] decides by the sets that the directory says are in force.
//! - [`PolicyPut`] and its siblings keep versions and say which of them counts.
//! - [`template`] and [`run_cases`] are for those who write policies.

mod analysis;
mod cache;
mod case;
mod decider;
mod diff;
mod error;
mod explain;
mod facts;
mod hours;
mod observed;
mod op;
mod request;
mod schema;
mod set;
mod shape;
mod slice;
mod stack;
mod statement;
pub mod template;
mod token;
mod verdict;
mod versions;
mod vocabulary;
mod weight;

pub use case::{case_facts, run_cases};
pub use decider::{CedarDecider, Unusable};
pub use diff::diff;
pub use error::{Flaw, PolicyError};
pub use explain::explain;
pub use facts::{AgentFacts, Asks, Circumstances, Facts, Principal, Thing};
pub use hours::COUNTED;
pub use op::{
    PolicyExplaining, PolicyListing, PolicyPut, PolicyReading, PolicyReporting, PolicyRollback,
    PolicyStateSet,
};
pub use schema::schema_text;
pub use set::{MAX_POLICIES, MAX_TEXT, PolicySet};
pub use slice::Slice;
pub use verdict::{Outcome, Verdict};
pub use versions::MAX_VERSIONS;
pub use vocabulary::{Say, for_agents, for_operators};
