//! `procurad` as a process: the daemon itself, and the stub that becomes a
//! command. The stub's tests serve the daemon's socket from this process,
//! against a scripted server, so that they can say what the server answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod daemon;
mod deliveries;
#[path = "../../../../crates/daemon/tests/it/fake.rs"]
mod fake;
#[path = "../../../../crates/daemon/tests/it/host.rs"]
mod host;
mod run;
mod withheld;
