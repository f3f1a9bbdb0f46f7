//! `hmac-v1` (`protocol.md` §3.2): HMAC-SHA256 over the raw body, with the
//! agent's secret as UTF-8 text for a key.
//!
//! Nothing else is protected: whoever has seen one such request can send its body
//! anywhere, by any method, at any time and with any nonce. The clock and the
//! nonce keep honest clients honest. Without a nonce a request can be repeated as
//! it is for as long as its timestamp is in the window.

use super::parsed::{self, AGENT_ID, NONCE, Parsed, SESSION, TIMESTAMP, line, required};
use super::timestamp;
use crate::guard::Windows;
use crate::message::Fields;
use crate::reason::Case;
use procura_types::Malformed;
use std::borrow::Cow;

/// How a service that switched `hmac-v1` on wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HmacV1 {
    window: u64,
    nonce_required: bool,
}

impl Default for HmacV1 {
    /// 60 seconds, and a nonce may be missing.
    fn default() -> Self {
        Self {
            window: 60,
            nonce_required: false,
        }
    }
}

impl HmacV1 {
    /// The widest window that a service may set, each way, in seconds.
    pub(super) const WIDEST: u64 = 120;

    /// With this window each way, in seconds, and with or without the rule that
    /// there has to be a nonce.
    ///
    /// # Errors
    /// [`Malformed`], naming `window`, for fewer than 30 or more than 120 seconds.
    pub const fn new(window: u64, nonce_required: bool) -> Result<Self, Malformed> {
        if window < 30 || window > Self::WIDEST {
            return Err(Malformed::new("window", "must be 30 to 120 seconds"));
        }
        Ok(Self {
            window,
            nonce_required,
        })
    }

    /// Whether there has to be a nonce.
    #[must_use]
    pub const fn nonce_required(self) -> bool {
        self.nonce_required
    }

    /// How far clocks may differ.
    #[must_use]
    pub const fn windows(self) -> Windows {
        Windows {
            back: self.window,
            forward: self.window,
        }
    }
}

pub(super) fn read<'a>(fields: &Fields<'a>, body: &'a [u8]) -> Result<Parsed<'a>, Case> {
    Ok(read_fields(fields)?.parsed(Cow::Borrowed(body)))
}

/// The header fields that both profiles with a MAC have.
pub(super) struct MacFields<'a> {
    agent: procura_types::ForeignId,
    created: procura_types::Timestamp,
    signature: &'a str,
    pub(super) timestamp: &'a str,
    pub(super) nonce: Option<&'a str>,
    pub(super) session: Option<&'a str>,
}

impl<'a> MacFields<'a> {
    pub(super) fn parsed(self, message: Cow<'a, [u8]>) -> Parsed<'a> {
        Parsed {
            agent: self.agent,
            created: self.created,
            nonce: self.nonce,
            session: self.session,
            signature: self.signature,
            message,
        }
    }
}

pub(super) fn read_fields<'a>(fields: &Fields<'a>) -> Result<MacFields<'a>, Case> {
    let agent = parsed::agent(fields, AGENT_ID)?;
    let timestamp = required(fields, TIMESTAMP, Case::TimestampForm)?;
    let created = timestamp::milliseconds(timestamp).ok_or(Case::TimestampForm)?;
    let nonce = line(fields, NONCE, Case::AgentNonceForm)?;
    if nonce.is_some_and(|nonce| !(1..=128).contains(&nonce.len())) {
        return Err(Case::AgentNonceForm);
    }
    let session = line(fields, SESSION, Case::AgentSessionForm)?;
    if session.is_some_and(|session| !(1..=512).contains(&session.len())) {
        return Err(Case::AgentSessionForm);
    }
    Ok(MacFields {
        agent,
        created,
        signature: parsed::signature(fields)?,
        timestamp,
        nonce,
        session,
    })
}
