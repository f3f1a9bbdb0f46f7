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
mod id_token;
mod jws;
mod key_set;
mod legacy_claims;
mod other_program;
mod project_claims;
mod ring;
mod vectors;

use procura_crypto::{SigningKey, SystemEntropy};
use procura_token::{Expected, SKEW, TokenError};
use procura_types::encoding::b64url;
use procura_types::{Duration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

/// Whose tokens are verified.
const ISSUER: &str = "https://keys.example";
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_123);

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

/// What a verifier expects then.
fn expected(now: Timestamp) -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        now,
    }
}

/// A token of this type whose claims were changed, signed well.
fn bent(
    key: &SigningKey,
    typ: &str,
    claims: &impl Serialize,
    change: impl Fn(&mut Value),
) -> String {
    let mut value = serde_json::to_value(claims).unwrap();
    change(&mut value);
    let header = json!({"alg": "ES256", "kid": key.public().thumbprint(), "typ": typ});
    signed(key, &header.to_string(), &value.to_string())
}

/// The names of all claims.
fn names(claims: &impl Serialize) -> Vec<String> {
    let value = serde_json::to_value(claims).unwrap();
    value.as_object().unwrap().keys().cloned().collect()
}

/// That a token counts from when it was made until this second, by what `verify` says.
fn counts_until<C>(
    exp: u64,
    claims: impl Fn() -> C,
    verify: impl Fn(Timestamp) -> Result<C, TokenError>,
) where
    C: PartialEq + std::fmt::Debug,
{
    let end = Timestamp::from_secs(exp);
    let early = NOW.minus(SKEW).minus(Duration::from_secs(1));
    for (now, found) in [
        (NOW, Ok(claims())),
        (end.minus(Duration::from_millis(1)), Ok(claims())),
        (end, Err(TokenError::Expired)),
        (end.plus(SKEW), Err(TokenError::Expired)),
        (early, Err(TokenError::NotYet)),
    ] {
        assert_eq!(verify(now), found, "{now}");
    }
}
