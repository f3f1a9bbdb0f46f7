//! `guide-v1` (`protocol.md` §3.2): Ed25519 over
//! `METHOD\nPATH\nTIMESTAMP\nNONCE\n` and the body as it is.
//!
//! The method is as sent, the path without its query. Query, authority and header
//! fields are not protected, nor is the name of the agent.

use super::parsed::{self, AGENT, NONCE, Parsed, TIMESTAMP, required};
use super::timestamp;
use crate::message::{Fields, Target};
use crate::reason::Case;
use procura_types::encoding;
use std::borrow::Cow;

pub(super) fn read<'a>(
    fields: &Fields<'a>,
    target: &Target<'a>,
    body: &[u8],
) -> Result<Parsed<'a>, Case> {
    let agent = parsed::agent(fields, AGENT)?;
    let moment = required(fields, TIMESTAMP, Case::TimestampForm)?;
    let created = timestamp::seconds(moment).ok_or(Case::TimestampForm)?;
    let nonce = required(fields, NONCE, Case::AgentNonceForm)?;
    check_nonce(nonce)?;
    let signature = parsed::signature(fields)?;
    let message = message(target.method, target.path, moment, nonce, body);
    Ok(Parsed {
        agent,
        created,
        nonce: Some(nonce),
        session: None,
        signature,
        message: Cow::Owned(message),
    })
}

/// base64url of 8 to 64 bytes, padded or not: what the other profile with a
/// signature allows in hexadecimal.
fn check_nonce(nonce: &str) -> Result<(), Case> {
    let sound = !nonce.contains(['+', '/'])
        && encoding::from_b64_any(nonce).is_some_and(|bytes| (8..=64).contains(&bytes.len()));
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
    body: &[u8],
) -> Vec<u8> {
    let mut message = parsed::lines(&[method, path, timestamp, nonce, ""]);
    message.extend_from_slice(body);
    message
}
