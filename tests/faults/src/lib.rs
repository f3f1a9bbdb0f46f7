//! Drives the real programs into faults and holds what they say afterwards
//! against what they acknowledged before.
//!
//! [`Load`] writes and reads secrets as fast as it can and keeps its own list;
//! [`Load::check`] is the checker: every acknowledged write is there with its
//! value, and every released value has its record.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "test code: it fails by panicking, and reads the clock as any client does"
)]

mod load;

pub use load::{Load, rounds};
