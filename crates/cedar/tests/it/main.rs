//! Policies: what is refused, what they decide, and that the decider of a server keeps
//! roles and grants as the floor.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod bounds;
mod cases;
mod decisions;
mod flaws;
mod limits;
mod observing;
mod slices;
mod stored;
mod templates;
mod world;
