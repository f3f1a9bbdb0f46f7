//! `hmac-v2` (`protocol.md` §3.2): HMAC-SHA256 over
//! `v2\nMETHOD\nPATH?QUERY\nAUTHORITY\nTIMESTAMP\nNONCE\nSESSION\nhex(sha256(body))`,
//! by a key that is derived from the agent's secret.
//!
//! The method is as sent; without a query its question mark is left out; the
//! authority is that of RFC 9421 §2.2.3 (lower case, no default port); a nonce or
//! a session that is not sent is an empty line. No line feed at the end. Header
//! fields beyond these are not protected.

use super::hmac_v1;
use super::parsed::{self, Parsed};
use crate::message::{Fields, Target};
use crate::reason::Case;
use procura_crypto::{LockError, LockedKey, MacKey, hkdf_sha256};
use procura_types::encoding;
use std::borrow::Cow;

/// What the derived key is for.
const INFO: &[u8] = b"procura.hmac-v2";

/// The key: HKDF-SHA256 of the secret's text, without a salt, 32 bytes.
pub(super) fn derive(secret: &str) -> Result<MacKey, LockError> {
    let key = hkdf_sha256::<32>(secret.as_bytes(), b"", INFO);
    Ok(MacKey::from_locked(LockedKey::new(key)?))
}

pub(super) fn read<'a>(
    fields: &Fields<'a>,
    target: &Target<'a>,
    body_sha256: &[u8; 32],
) -> Result<Parsed<'a>, Case> {
    let read = hmac_v1::read_fields(fields)?;
    let message = message(
        target,
        read.timestamp,
        read.nonce,
        read.session,
        body_sha256,
    );
    Ok(read.parsed(Cow::Owned(message)))
}

/// What is signed.
pub(super) fn message(
    target: &Target<'_>,
    timestamp: &str,
    nonce: Option<&str>,
    session: Option<&str>,
    body_sha256: &[u8; 32],
) -> Vec<u8> {
    let path_and_query = match target.query {
        Some(query) => Cow::Owned(format!("{}?{query}", target.path)),
        None => Cow::Borrowed(target.path),
    };
    parsed::lines(&[
        "v2",
        target.method,
        &path_and_query,
        &target.authority,
        timestamp,
        nonce.unwrap_or(""),
        session.unwrap_or(""),
        &encoding::hex(body_sha256),
    ])
}
