//! The verification service, in the shapes of others.

mod agent;
mod agent_events;
mod clients;
mod edges;
mod fields;
mod identities;
mod key_files;
mod log;
mod proofs;
mod started;

pub(crate) use agent::{enrol as put_file, line as line_of};
pub(crate) use log::lines;
