//! Identity against a real store, with every refusal by its exact reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod account_world;
mod accounts;
mod agents;
mod attestations;
mod break_glass;
mod device_grants;
mod device_grants_in_browsers;
mod devices;
mod foreign;
mod founding;
mod joining;
mod legacy_logins;
mod oidc;
mod oidc_world;
mod operators;
mod passkey_answers;
mod passkey_world;
mod passkeys;
mod passkeys_of_devices;
mod proposals;
mod quotes;
mod second_persons;
mod signing_keys;
mod steward_world;
mod stewards;
mod tree;
mod web_logins;
mod world;
mod wrong_codes;
