//! The HTTP edge: through the real router with real signatures, and through real
//! listeners with whatever a stranger may send.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod actors;
mod agent_routes;
mod api_keys;
mod at_once;
mod attestations;
mod audits;
mod backup_cut;
mod bounds;
mod calls;
mod ceremonies;
mod ceremony_strangers;
mod clocks;
mod configuration;
mod crowd_at_start;
mod crowded;
mod deliveries;
mod device_grants;
mod device_grants_gone;
mod device_grants_places;
mod device_grants_standard;
mod device_grants_words;
mod events;
mod expiry;
mod feed;
mod forbidden;
mod gate_questions;
mod golden;
mod honey;
mod honey_apart;
mod honey_http;
mod honey_kept;
mod honey_reinstated;
mod honey_timing;
mod hostile_names;
mod hung_up;
mod import_across;
mod indexed;
mod joining;
mod key_server;
mod keys;
mod legacy;
mod lifecycle;
mod list_at;
mod listeners;
mod matrix_http;
mod negative;
mod notify;
mod oidc;
mod own_key;
mod own_work;
mod pages;
mod passkeys;
mod policies;
mod policy_sources;
mod problems;
mod process;
mod project_tokens;
mod quotas;
mod rates;
mod read_and_recorded;
mod recorded;
mod recover_operator;
mod reminders;
mod retention;
mod revoked;
mod rotation;
mod second_persons;
mod secrets;
mod server_list;
mod servers;
mod servers_root;
mod sessions;
mod share_quorum;
mod shared_guard;
mod sign_in_crowd;
mod sign_in_timing;
mod signing_in;
mod signing_keys;
mod slip39;
mod sources;
mod start;
mod stewards;
mod templates;
mod transit;
mod unseal_sources;
mod unseal_wrapped;
mod wire;
mod world;
