//! Tokens, key sets and rings, through the crate's public face.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions
)]

mod agent_claims;
mod daemon_claims;
mod jws;
mod key_set;
mod other_program;
mod project_claims;
mod ring;
mod vectors;

use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::encoding::b64url;

fn p256() -> SigningKey {
    SigningKey::generate_p256(&SystemEntropy).unwrap()
}

/// A token of this header and payload, signed by `key` whatever the header says.
fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    let signed = format!(
        "{}.{}",
        b64url(header.as_bytes()),
        b64url(payload.as_bytes())
    );
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", b64url(&signature))
}
