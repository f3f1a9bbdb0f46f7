//! The vault over a real store, with real keys, in a directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod about;
mod broken_change;
mod installation;
mod kinds;
mod namespaces;
mod passphrase;
mod rewrap;
mod secrets;
mod tamper;
mod undelete;
mod unseal_sources;
mod world;
