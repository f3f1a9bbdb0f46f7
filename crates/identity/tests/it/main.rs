//! Identity against a real store, with every refusal by its exact reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod agents;
mod devices;
mod foreign;
mod founding;
mod joining;
mod operators;
mod proposals;
mod signing_keys;
mod stewards;
mod tree;
mod world;
