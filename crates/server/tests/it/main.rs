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
mod at_once;
mod audits;
mod calls;
mod ceremonies;
mod configuration;
mod crowded;
mod deliveries;
mod events;
mod expiry;
mod feed;
mod forbidden;
mod gate_questions;
mod golden;
mod honey;
mod honey_timing;
mod hostile_names;
mod hung_up;
mod indexed;
mod joining;
mod key_server;
mod keys;
mod lifecycle;
mod listeners;
mod negative;
mod own_work;
mod problems;
mod process;
mod project_tokens;
mod quotas;
mod rates;
mod recorded;
mod revoked;
mod rotation;
mod secrets;
mod servers;
mod sessions;
mod share_quorum;
mod shared_guard;
mod signing_keys;
mod sources;
mod start;
mod templates;
mod transit;
mod unseal_sources;
mod unseal_wrapped;
mod wire;
mod world;
