//! The decider against its printed table, and what no table says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod decisions;
mod golden;
mod legacy;
mod matrix;
mod restrained;
mod web_logins;
mod world;
