//! What the token of an agent says (RFC 7519).

use crate::json;
use crate::jws::{Jws, sign};
use crate::{KeySet, TokenError};
use procura_crypto::SigningKey;
use procura_types::{ActorId, Duration, Secret, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The `typ` of the tokens of agents.
pub const AGENT_TYPE: &str = "procura-agent+jwt";
/// The `aud` of the tokens of agents.
pub const AGENT_AUDIENCE: &str = "procura-agent";
/// How long a token counts.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);
/// By how much the clocks of issuer and verifier may differ.
pub const SKEW: Duration = Duration::from_secs(60);

/// The claims of an agent's token, all of them required and no others allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentClaims {
    /// Who made it: the URL under which the key set is.
    pub iss: String,
    /// [`AGENT_AUDIENCE`].
    pub aud: String,
    /// The same as `agent_id`.
    pub sub: String,
    /// The agent, by the name that the other system has for it.
    pub agent_id: String,
    /// The agent, by ours.
    pub actor: ActorId,
    /// The owner at the root of the agent's tree.
    pub owner_user_id: ActorId,
    /// What it is for.
    pub scopes: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// Its own id: no two tokens have the same.
    pub jti: String,
}

/// What a verifier expects.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whose tokens it takes.
    pub issuer: &'a str,
    /// Now, by its clock.
    pub now: Timestamp,
}

/// The claims of a token of this type, if a key of the set signed it; what they say is
/// not looked at yet.
pub(crate) fn verified<C: DeserializeOwned>(
    token: &str,
    typ: &str,
    keys: &KeySet,
) -> Result<C, TokenError> {
    let jws = Jws::parse(token)?;
    if jws.header().typ() != Some(typ) {
        return Err(TokenError::Type);
    }
    let key = jws
        .header()
        .kid()
        .and_then(|kid| keys.key(kid))
        .ok_or(TokenError::UnknownKey)?;
    json::object(jws.verify(key)?).ok_or(TokenError::Claims)
}

/// What a token bound to a key says of where it is from, whom it is for, and when it counts.
pub(crate) struct Bounds<'a> {
    pub(crate) iss: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) iat: u64,
    pub(crate) exp: u64,
}

impl Bounds<'_> {
    /// That it is from the expected issuer, for this audience, and counts now. It ends to the
    /// second, without a tolerance.
    pub(crate) fn check(&self, audience: &str, expected: &Expected<'_>) -> Result<(), TokenError> {
        if self.iss != expected.issuer {
            return Err(TokenError::Issuer);
        }
        if self.aud != audience {
            return Err(TokenError::Audience);
        }
        if Timestamp::from_secs(self.exp) <= expected.now {
            return Err(TokenError::Expired);
        }
        if expected.now.plus(SKEW) < Timestamp::from_secs(self.iat) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

impl AgentClaims {
    /// The token with these claims, signed by `key`.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`], [`TokenError::NotMade`].
    pub fn sign(&self, key: &SigningKey) -> Result<Secret<String>, TokenError> {
        let payload = serde_json::to_vec(self).map_err(|_| TokenError::NotMade)?;
        sign(key, AGENT_TYPE, &payload)
    }

    /// The claims of a token, if a key of the set signed it, it is of the type of
    /// agents' tokens, from the expected issuer, and counts now.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`TokenError`]: form,
    /// header, type, key, algorithm, signature, claims, issuer, audience, time.
    pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Self, TokenError> {
        let claims: Self = verified(token, AGENT_TYPE, keys)?;
        claims.check(expected)?;
        Ok(claims)
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        if self.sub != self.agent_id || self.exp.checked_sub(self.iat) != Some(TOKEN_LIFE.as_secs())
        {
            return Err(TokenError::Claims);
        }
        if self.iss != expected.issuer {
            return Err(TokenError::Issuer);
        }
        if self.aud != AGENT_AUDIENCE {
            return Err(TokenError::Audience);
        }
        let now = expected.now;
        if Timestamp::from_secs(self.exp).plus(SKEW) <= now {
            return Err(TokenError::Expired);
        }
        if now.plus(SKEW) < Timestamp::from_secs(self.iat) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}
