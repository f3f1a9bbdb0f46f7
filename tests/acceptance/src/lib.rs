//! The harness of tests that drive the built programs: an installation in a
//! fresh home, daemons, terminals, and what can be seen of them from outside.
//!
//! Everything is killed and removed when it is dropped. Nothing here links the
//! product: programs are found beside the test that runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a harness of tests says what went wrong by panicking"
)]

mod canary;
mod daemon;
mod gate;
mod guide;
mod identity_provider;
mod installation;
mod outcome;
mod outside;
mod process;
mod qr;
mod receiver;
mod terminal;

pub use canary::Search;
pub use daemon::Daemon;
pub use gate::GateHost;
pub use guide::Guide;
pub use identity_provider::IdentityProvider;
pub use installation::{Installation, PASSPHRASE};
pub use outcome::Outcome;
pub use outside::Program;
pub use process::{program, promised, until};
pub use qr::read_qr;
pub use receiver::Receiver;
pub use terminal::Terminal;
