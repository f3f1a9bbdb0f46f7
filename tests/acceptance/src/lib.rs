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
mod installation;
mod outcome;
mod process;
mod receiver;
mod terminal;

pub use canary::Search;
pub use daemon::Daemon;
pub use gate::GateHost;
pub use guide::Guide;
pub use installation::{Installation, PASSPHRASE};
pub use outcome::Outcome;
pub use process::{program, promised, until};
pub use receiver::Receiver;
pub use terminal::Terminal;
