//! Authority against a real vault, with every refusal by its exact reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod approvals;
mod flows;
mod keys;
mod listings;
mod matching;
mod model;
mod namespace_end;
mod passkeys;
mod project_end;
mod project_tokens;
mod projects;
mod pruning;
mod requests;
mod require_grade;
mod runs;
mod services;
mod standing;
mod world;
