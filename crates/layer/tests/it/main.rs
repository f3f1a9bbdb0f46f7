//! A `tower` service behind the layer, over sockets, with what a server's feed says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod layered;
mod world;
