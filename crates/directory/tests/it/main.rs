//! Snapshots against what went into them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod model;
mod records;
mod snapshot;
mod tokens;
