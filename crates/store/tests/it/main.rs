//! The store from outside: tables, sealing, refusals, and files that were
//! tampered with while nobody looked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod backup;
mod backup_damage;
mod deep;
mod home;
mod logs;
mod moment;
mod refusals;
mod rows;
mod sealing;
mod tables;
mod trim;
mod trouble;
mod turned;
