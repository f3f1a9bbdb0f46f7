//! The HTTP edge: through the real router with real signatures, and through real
//! listeners with whatever a stranger may send.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod actors;
mod agent_routes;
mod audits;
mod calls;
mod ceremonies;
mod configuration;
mod crowded;
mod events;
mod expiry;
mod feed;
mod forbidden;
mod gate_questions;
mod golden;
mod hung_up;
mod indexed;
mod joining;
mod key_server;
mod keys;
mod listeners;
mod negative;
mod own_work;
mod problems;
mod process;
mod rates;
mod recorded;
mod revoked;
mod secrets;
mod sessions;
mod shared_guard;
mod signing_keys;
mod sources;
mod start;
mod unseal_sources;
mod wire;
mod world;
