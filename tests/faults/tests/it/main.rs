//! Faults against the real programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod cut;
mod disk;
mod failover;
mod kill;
mod notify;
mod rotation;
mod servers;
mod tamper;
