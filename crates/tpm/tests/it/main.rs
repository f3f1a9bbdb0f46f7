//! A real TPM implementation, swtpm, against what is read and made here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod quoting;
mod reading;
