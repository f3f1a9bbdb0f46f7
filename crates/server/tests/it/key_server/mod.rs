//! The verification service, in the shapes of others.

mod agent;
mod clients;
mod edges;
mod fields;
mod identities;
mod key_files;
mod log;
mod proofs;
mod started;
