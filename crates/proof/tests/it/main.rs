//! Proofs as the server sees them: made by `sign`, changed in every way that
//! matters, and verified.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod accepted;
mod agent_sessions;
mod device_grant;
mod fixture;
mod foreign;
mod hostile;
mod join;
mod pending;
mod provoked;
mod refusals;
mod sessions;
mod web_logins;
