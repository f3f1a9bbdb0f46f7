//! Vectors, properties and refusals of the cryptography.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod actor;
mod aes_gcm;
mod age;
mod certificate;
mod ecdsa_p256;
mod ed25519;
mod entropies;
mod envelope;
mod hkdf;
mod hmac;
mod hpke;
mod jose;
mod locked_memory;
mod passphrase;
mod shamir;
mod signing_key;
mod slip39;
mod ssh;
mod ssh_kept;
mod vectors;
