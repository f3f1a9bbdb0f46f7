//! A real browser, driven from outside by the W3C WebDriver protocol: Debian's Chromium
//! with its driver, on loopback, in a profile that vanishes.
//!
//! What a test does is what a person can do: open an address, press keys, and read. A
//! screenshot of each page that a test looks at is kept in `target/browser`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code: it fails by panicking, and waits by the clock of the machine"
)]

mod browser;
mod driver;

pub use browser::{Browser, ENTER, SPACE, Screen, TAB};
