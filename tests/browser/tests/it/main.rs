//! The pages as people use them: in a real browser, by keyboard alone, on a desk and on a
//! phone, with a passkey that answers for who is there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code: it fails by panicking, and its passwords are of this moment"
)]

mod alarms;
mod devices;
mod framed;
mod oidc;
mod pages;
mod passkeys;
mod proposals;
mod restored;
mod site;
mod team_guide;
