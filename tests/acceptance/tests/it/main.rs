//! What the programs do, seen from outside, and the rules of the repository.
//!
//! Modules under `rules` read the sources; all others spawn the real programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    clippy::disallowed_methods
)]

mod agent_host;
mod agents;
mod attestation;
mod audit;
mod device_grant;
mod door;
mod durability;
mod gate;
mod gate_foreign;
mod gate_lasting;
mod guides;
mod hooks;
mod host_setup;
mod http;
mod identity;
mod import_keys;
mod impostor;
mod installed;
mod keys;
mod leaks;
mod listeners;
mod main_job;
mod namespaces;
mod observability;
mod outside;
mod reload;
mod rules;
mod scene;
mod seal;
mod secrets;
mod shared_guard;
mod sign_in_crowd;
mod skill;
mod team_guide;
mod terminal;
mod verify;
mod wait;
