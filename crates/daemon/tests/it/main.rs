//! The daemon's socket, served in this process, against a server that the tests
//! script.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod checkpoint;
mod client;
mod delivery;
mod fake;
mod host;
mod join;
mod listen;
mod protocol;
mod several;
mod strangers;
