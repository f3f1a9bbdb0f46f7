//! Tests of the ledger as its users see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod approval;
mod chain;
mod continuity;
mod entry;
mod export;
mod fixture;
mod forgetting;
mod lagging;
mod note;
mod origins;
mod parsers;
mod passkeys;
mod receipt;
mod succession;
mod tiles;
mod tree;
mod vectors;
