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

mod audit;
mod durability;
mod gate;
mod http;
mod identity;
mod impostor;
mod installed;
mod leaks;
mod listeners;
mod main_job;
mod namespaces;
mod rules;
mod scene;
mod seal;
mod secrets;
mod terminal;
mod verify;
mod wait;
