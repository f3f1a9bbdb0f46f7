//! Fuzz targets: one for every parser that sees strangers' bytes.
//!
//! A target takes any bytes and says whether they were accepted. Not to panic is
//! the least of it: what parses has to print and parse again to the same, what
//! has one spelling must come back in it, a verifier must accept nothing that
//! was not signed, and where there is a second way to an answer, here or in a
//! standard, both must agree. A target that finds otherwise panics.
//!
//! `corpus/<target>/` holds inputs that are accepted (`good-…`), that miss it by
//! one thing (`near-…`), that reached new code when they were found (`reach-…`),
//! and those that once broke something, named after it. `tests/it` replays and
//! mutates them on stable; `libfuzzer/` looks for new ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "test code: it fails by panicking"
)]

mod age;
mod audit;
mod backup;
mod base;
mod dial;
mod envelope;
mod events;
mod export;
mod fields;
mod foreign;
mod forwarded;
mod home;
mod http1;
mod id_token;
mod journal;
mod ledger;
mod merkle;
mod oauth;
mod passkey;
mod proof;
mod request;
mod row;
mod shares;
mod sign_in;
mod socket;
mod spool;
mod ssh;
mod story;
mod text;
mod token;
mod tpm;
mod wire;
mod world;

pub mod seed;

/// What a target made of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what the parser reads, or what the verifier lets in.
    Accepted,
    /// It is not, and was refused.
    Refused,
}

impl Verdict {
    const fn of(accepted: bool) -> Self {
        if accepted {
            Self::Accepted
        } else {
            Self::Refused
        }
    }
}

/// A parser under test.
pub struct Target {
    /// Its name, and that of the folder of its corpus.
    pub name: &'static str,
    /// Reads any bytes; panics when a property does not hold.
    pub run: fn(&[u8]) -> Verdict,
}

macro_rules! targets {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// All targets, sorted by module.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $module::$name },)*];
    };
}

targets![
    age::age_file,
    age::template,
    audit::audit,
    backup::backup,
    base::signature_base,
    dial::observed,
    dial::route,
    envelope::envelope,
    events::event_stream,
    export::export,
    foreign::guide_v1,
    foreign::hmac_v1,
    foreign::hmac_v2,
    foreign::key_server_v1,
    forwarded::forwarded,
    forwarded::rate,
    home::config,
    home::device_file,
    home::installation,
    http1::http1,
    id_token::id_token,
    id_token::provider_keys,
    journal::replay_journal,
    ledger::bundle,
    ledger::checkpoint,
    ledger::entry,
    ledger::grant,
    ledger::note,
    ledger::tile,
    ledger::tile_path,
    ledger::vkey,
    merkle::consistency,
    merkle::inclusion,
    oauth::oauth_form,
    oauth::user_code,
    passkey::passkey_assertion,
    passkey::passkey_attestation,
    passkey::passkey_client_data,
    proof::join,
    proof::public_key,
    proof::session_id,
    proof::signature,
    request::request,
    row::row,
    shares::mnemonic,
    shares::share,
    sign_in::sign_in_code,
    sign_in::web_cookie,
    socket::message,
    socket::values,
    spool::spool,
    ssh::ssh_private_key,
    ssh::ssh_public_key,
    text::dotenv,
    text::link_code,
    text::name,
    text::row_key,
    text::server_url,
    text::time,
    token::agent_token,
    token::key_set,
    token::project_token,
    tpm::release,
    tpm::tpm_quote,
    wire::wire,
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
