//! What the token of a CortexAuth client says that a person let log in (`protocol.md` §3.8,
//! ADR 43). Whoever shows it can attest a daemon for the agent, and nothing else.

use crate::claims::{Bounds, Expected, verified};
use crate::jws::sign;
use crate::project::Confirmation;
use crate::{KeySet, TokenError};
use procura_crypto::SigningKey;
use procura_types::{ActorId, Duration, ForeignId, Secret, TokenId};
use serde::{Deserialize, Serialize};

/// The `typ` of the tokens of logins.
pub const LEGACY_TYPE: &str = "procura-legacy+jwt";
/// The `aud` of the tokens of logins.
pub const LEGACY_AUDIENCE: &str = "procura-legacy";
/// How long one counts.
pub const LEGACY_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The claims of a login's token, all of them required and no others allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyClaims {
    /// Who made it: the URL under which the key set is.
    pub iss: String,
    /// [`LEGACY_AUDIENCE`].
    pub aud: String,
    /// The agent, by the id that the client knows it by: it reads its own name here.
    pub sub: ForeignId,
    /// The agent that the id stood for then.
    pub actor: ActorId,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// Its own id: no two tokens have the same.
    pub jti: TokenId,
    /// The agent's key at that time: it ends with that.
    pub cnf: Confirmation,
}

impl LegacyClaims {
    /// The token with these claims, signed by `key`.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`], [`TokenError::NotMade`].
    pub fn sign(&self, key: &SigningKey) -> Result<Secret<String>, TokenError> {
        let payload = serde_json::to_vec(self).map_err(|_| TokenError::NotMade)?;
        sign(key, LEGACY_TYPE, &payload)
    }

    /// The claims of a token, if a key of the set signed it, it is of the type of logins'
    /// tokens, from the expected issuer, and counts now. Whether the agent still has its id
    /// and that key, only the server knows.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`TokenError`]: form,
    /// header, type, key, algorithm, signature, claims, issuer, audience, time.
    pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Self, TokenError> {
        let claims: Self = verified(token, LEGACY_TYPE, keys)?;
        claims.check(expected)?;
        Ok(claims)
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        if self.exp.checked_sub(self.iat) != Some(LEGACY_LIFE.as_secs()) {
            return Err(TokenError::Claims);
        }
        let bounds = Bounds {
            iss: &self.iss,
            aud: &self.aud,
            iat: self.iat,
            exp: self.exp,
        };
        bounds.check(LEGACY_AUDIENCE, expected)
    }
}
