//! The record over a fake engine that fails on request, and over files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod changes;
mod events;
mod faults;
mod followed;
mod handover;
mod index;
mod publisher;
mod reader;
mod refusals;
mod retention;
mod retention_killed;
mod retention_times;
mod retention_world;
mod running;
mod spool;
mod watched;
mod whole;
mod world;
