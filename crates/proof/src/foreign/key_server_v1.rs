//! `key-server-v1` (`protocol.md` §3.2): Ed25519 over
//! `METHOD\nPATH\nTIMESTAMP\nNONCE\nhex(sha256(body))`.
//!
//! The method is in upper case, the path without its query, timestamp and nonce
//! as sent; no line feed at the end. Query, authority and header fields are not
//! protected, nor is the id of the agent: it is the key that the nonce belongs to.

use super::parsed::{self, AGENT_ID, NONCE, Parsed, TIMESTAMP, required};
use super::timestamp;
use crate::message::{Fields, Target};
use crate::reason::Case;
use procura_types::encoding;
use std::borrow::Cow;

pub(super) fn read<'a>(
    fields: &Fields<'a>,
    target: &Target<'a>,
    body_sha256: &[u8; 32],
) -> Result<Parsed<'a>, Case> {
    let agent = parsed::agent(fields, AGENT_ID)?;
    let moment = required(fields, TIMESTAMP, Case::TimestampForm)?;
    let created = timestamp::iso(moment).ok_or(Case::TimestampForm)?;
    let nonce = required(fields, NONCE, Case::AgentNonceForm)?;
    check_nonce(nonce)?;
    let signature = parsed::signature(fields)?;
    let message = message(target.method, target.path, moment, nonce, body_sha256);
    Ok(Parsed {
        agent,
        created,
        nonce: Some(nonce),
        session: None,
        signature,
        message: Cow::Owned(message),
    })
}

/// 16 to 128 hexadecimal digits of either case.
pub(super) fn check_nonce(nonce: &str) -> Result<(), Case> {
    let sound =
        (16..=128).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
    if sound {
        Ok(())
    } else {
        Err(Case::AgentNonceForm)
    }
}

/// What is signed.
pub(super) fn message(
    method: &str,
    path: &str,
    timestamp: &str,
    nonce: &str,
    body_sha256: &[u8; 32],
) -> Vec<u8> {
    parsed::lines(&[
        &method.to_ascii_uppercase(),
        path,
        timestamp,
        nonce,
        &encoding::hex(body_sha256),
    ])
}
