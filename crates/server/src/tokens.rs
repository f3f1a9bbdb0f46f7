//! Tokens that services verify by themselves, with the key set (`protocol.md` §4).

use crate::problem::{Code, Failure};
use procura_identity::{CurrentKeys, SigningKeys};
use procura_token::{AGENT_AUDIENCE, AgentClaims, TOKEN_LIFE, TokenError};
use procura_types::{ActorId, Duration, Entropy, Secret, Timestamp, encoding};
use std::sync::Arc;

/// Makes tokens for as long as the vault is open.
pub struct Tokens {
    /// The keys that sign.
    pub(crate) keys: SigningKeys,
    issuer: String,
    entropy: Arc<dyn Entropy>,
}

/// A token as its agent gets it.
pub struct AgentJwt {
    /// The token; whoever has it can use it.
    pub token: Secret<String>,
    /// How long it counts from now on.
    pub expires_in: Duration,
}

impl Tokens {
    /// Tokens by these keys, made by the server of this URL.
    pub(crate) const fn new(keys: SigningKeys, issuer: String, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            keys,
            issuer,
            entropy,
        }
    }

    /// A token for an agent that another system knows as `agent_id`.
    ///
    /// # Errors
    /// [`Code::Sealed`] while sealed; the server's own otherwise.
    pub fn agent_jwt(
        &self,
        agent_id: &str,
        actor: &ActorId,
        owner: &ActorId,
        scopes: &[&str],
        now: Timestamp,
    ) -> Result<AgentJwt, Failure> {
        let mut jti = [0; 16];
        self.entropy.fill(&mut jti).map_err(Failure::internal)?;
        let iat = now.as_secs();
        let claims = AgentClaims {
            iss: self.issuer.clone(),
            aud: AGENT_AUDIENCE.to_owned(),
            sub: agent_id.to_owned(),
            agent_id: agent_id.to_owned(),
            actor: *actor,
            owner_user_id: *owner,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            iat,
            exp: iat.saturating_add(TOKEN_LIFE.as_secs()),
            jti: encoding::b64url(&jti),
        };
        let keys = self.keys.current()?;
        let token = claims.sign(keys.active()).map_err(not_made)?;
        Ok(AgentJwt {
            token,
            expires_in: TOKEN_LIFE,
        })
    }

    /// The key set as JSON.
    pub(crate) fn key_set(&self, now: Timestamp) -> Result<String, Failure> {
        let keys: Arc<CurrentKeys> = self.keys.current()?;
        let set = keys.ring().key_set(now).map_err(not_made)?;
        set.to_json().map_err(not_made)
    }
}

fn not_made(error: TokenError) -> Failure {
    match error {
        TokenError::KeySet => Failure::new(
            Code::Damaged,
            "The keys that sign tokens are not what was written.",
        ),
        other => Failure::internal(other),
    }
}
