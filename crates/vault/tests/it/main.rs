//! The vault over a real store, with real keys, in a directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod about;
mod as_of;
mod broken_change;
mod import;
mod installation;
mod kinds;
mod namespace_end;
mod namespaces;
mod passphrase;
mod quotas;
mod rewrap;
mod rotation;
mod secrets;
mod slip39;
mod tamper;
mod transit;
mod undelete;
mod unseal_sources;
mod world;
