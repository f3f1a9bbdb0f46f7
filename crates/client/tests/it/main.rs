//! The client against a real HTTP server on loopback that checks proofs as the
//! product does, and against servers that are not what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod answers;
mod checkpoint;
mod events;
mod feed;
mod impostor;
mod join;
mod server;
mod session;
mod socket;
mod tls;
