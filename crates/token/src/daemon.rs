//! What the token of a device says that joined by a device grant (RFC 7519, RFC 7800).

use crate::claims::{Bounds, Expected, verified};
use crate::jws::sign;
use crate::project::Confirmation;
use crate::{KeySet, TokenError};
use procura_crypto::SigningKey;
use procura_types::{ActorId, Duration, Secret, TokenId};
use serde::{Deserialize, Serialize};

/// The `typ` of the tokens of devices.
pub const DAEMON_TYPE: &str = "procura-daemon+jwt";
/// The `aud` of the tokens of devices.
pub const DAEMON_AUDIENCE: &str = "procura-daemon";
/// How long one counts.
pub const DAEMON_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The claims of a device's token, all of them required and no others allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonClaims {
    /// Who made it: the URL under which the key set is.
    pub iss: String,
    /// [`DAEMON_AUDIENCE`].
    pub aud: String,
    /// The agent.
    pub sub: ActorId,
    /// The agent's way from its owner, as people read it: `alice//scribe`.
    pub agent: String,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// Its own id: no two tokens have the same.
    pub jti: TokenId,
    /// The device: the token is good for whoever proves to hold its key, for nobody else.
    pub cnf: Confirmation,
}

impl DaemonClaims {
    /// The token with these claims, signed by `key`.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`], [`TokenError::NotMade`].
    pub fn sign(&self, key: &SigningKey) -> Result<Secret<String>, TokenError> {
        let payload = serde_json::to_vec(self).map_err(|_| TokenError::NotMade)?;
        sign(key, DAEMON_TYPE, &payload)
    }

    /// The claims of a token, if a key of the set signed it, it is of the type of devices'
    /// tokens, from the expected issuer, and counts now. Who sent it is still to be
    /// proven, by the key in `cnf`; whether that device was revoked, only the server knows.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`TokenError`]: form,
    /// header, type, key, algorithm, signature, claims, issuer, audience, time.
    pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Self, TokenError> {
        let claims: Self = verified(token, DAEMON_TYPE, keys)?;
        claims.check(expected)?;
        Ok(claims)
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        if self.exp.checked_sub(self.iat) != Some(DAEMON_LIFE.as_secs()) {
            return Err(TokenError::Claims);
        }
        let bounds = Bounds {
            iss: &self.iss,
            aud: &self.aud,
            iat: self.iat,
            exp: self.exp,
        };
        bounds.check(DAEMON_AUDIENCE, expected)
    }
}
