//! Replays every corpus, and goes a bounded way beyond: what continuous
//! integration does of fuzzing, without any tool.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "test code: it fails by panicking, and reads what a person asks it for"
)]

mod corpus;
mod mutation;
