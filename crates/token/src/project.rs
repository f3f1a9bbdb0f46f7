//! What a signed token of a project says (RFC 7519, RFC 7800).

use crate::claims::{Bounds, Expected, verified};
use crate::jws::sign;
use crate::{KeySet, TokenError};
use procura_crypto::SigningKey;
use procura_types::wire::GrantItem;
use procura_types::{ActorId, Duration, Namespace, ProjectName, Secret, Thumbprint, TokenId};
use serde::{Deserialize, Serialize};

/// The `typ` of the tokens of projects.
pub const PROJECT_TYPE: &str = "procura-project+jwt";
/// The `aud` of the tokens of projects.
pub const PROJECT_AUDIENCE: &str = "procura-project";
/// The longest life of a project token, and its life when nothing is said.
pub const PROJECT_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Who can use it (RFC 7800 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The RFC 7638 thumbprint of the one device's key.
    pub jkt: Thumbprint,
}

/// The claims of a project token, all of them required and no others allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectClaims {
    /// Who made it: the URL under which the key set is.
    pub iss: String,
    /// [`PROJECT_AUDIENCE`].
    pub aud: String,
    /// The agent.
    pub sub: ActorId,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// When it ends, in seconds since 1970: at that second it counts no more.
    pub exp: u64,
    /// Its own id: no two tokens have the same.
    pub jti: TokenId,
    /// The project.
    pub project: ProjectName,
    /// Where that is.
    pub namespace: Namespace,
    /// What it opens (RFC 8693 §4.2): `NAME=path`, sorted, with one space between.
    pub scope: String,
    /// The device.
    pub cnf: Confirmation,
}

/// The claim `scope` for these items, in their order.
#[must_use]
pub fn scope(items: &[GrantItem]) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(item.name.as_str());
        text.push('=');
        text.push_str(item.path.as_str());
    }
    text
}

impl ProjectClaims {
    /// The token with these claims, signed by `key`.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`]; [`TokenError::NotMade`], for a scope that is too long
    /// among others.
    pub fn sign(&self, key: &SigningKey) -> Result<Secret<String>, TokenError> {
        let payload = serde_json::to_vec(self).map_err(|_| TokenError::NotMade)?;
        sign(key, PROJECT_TYPE, &payload)
    }

    /// The claims of a token, if a key of the set signed it, it is of the type of
    /// project tokens, from the expected issuer, and counts now. It ends by the clock of
    /// who asks, to the second; whether it was revoked, only the server knows.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`TokenError`]: form,
    /// header, type, key, algorithm, signature, claims, issuer, audience, time.
    pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Self, TokenError> {
        let claims: Self = verified(token, PROJECT_TYPE, keys)?;
        claims.check(expected)?;
        Ok(claims)
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        let life = self.exp.checked_sub(self.iat);
        if life.is_none_or(|life| life > PROJECT_LIFE.as_secs()) {
            return Err(TokenError::Claims);
        }
        let bounds = Bounds {
            iss: &self.iss,
            aud: &self.aud,
            iat: self.iat,
            exp: self.exp,
        };
        bounds.check(PROJECT_AUDIENCE, expected)
    }
}
