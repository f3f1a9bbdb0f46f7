//! Snapshots against what went into them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod attestations;
mod model;
mod policies;
mod quarantine;
mod records;
mod snapshot;
mod tokens;
