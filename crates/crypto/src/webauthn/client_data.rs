//! What the browser says of a ceremony (WebAuthn §5.8.1): JSON, of which the
//! authenticator signs the hash.

use super::{Flaw, LONGEST, RelyingParty};
use procura_types::encoding;
use serde::Deserialize;
use std::borrow::Cow;

/// Which ceremony an answer has to be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// A passkey was made.
    Create,
    /// A passkey was asked.
    Get,
}

impl Ceremony {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// The members that count. Others may stand beside them (§5.8.1: verifiers must tolerate
/// what is added later), each of these once.
#[derive(Deserialize)]
pub(super) struct ClientData<'a> {
    #[serde(rename = "type", borrow)]
    ceremony: Cow<'a, str>,
    #[serde(borrow)]
    challenge: Cow<'a, str>,
    #[serde(borrow)]
    origin: Cow<'a, str>,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
    #[serde(rename = "topOrigin", default, borrow)]
    top_origin: Option<Cow<'a, str>>,
}

impl<'a> ClientData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        if bytes.len() > LONGEST {
            return Err(Flaw::Malformed);
        }
        // A derived reader takes arrays as well, in the order of the fields.
        if bytes.first() != Some(&b'{') {
            return Err(Flaw::Malformed);
        }
        // A member that is passed over is not looked at by the reader of JSON.
        let text = std::str::from_utf8(bytes).map_err(|_| Flaw::Malformed)?;
        serde_json::from_str(text).map_err(|_| Flaw::Malformed)
    }

    pub(super) fn challenge(&self) -> Result<[u8; 32], Flaw> {
        encoding::from_b64url_fixed("challenge", &self.challenge).map_err(|_| Flaw::WrongChallenge)
    }

    pub(super) fn check(
        &self,
        ceremony: Ceremony,
        party: &RelyingParty,
        challenge: &[u8; 32],
    ) -> Result<(), Flaw> {
        if self.ceremony != ceremony.as_str() {
            return Err(Flaw::WrongType);
        }
        // A challenge is no secret: whoever asks for one sees it.
        if self.challenge()? != *challenge {
            return Err(Flaw::WrongChallenge);
        }
        if !party.takes(&self.origin) {
            return Err(Flaw::WrongOrigin);
        }
        if self.cross_origin || self.top_origin.is_some() {
            return Err(Flaw::CrossOrigin);
        }
        Ok(())
    }
}
