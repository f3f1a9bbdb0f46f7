//! Tokens that services verify by themselves, with the key set (`protocol.md` §4).

use crate::problem::{Code, Failure};
use procura_directory::TokenRecord;
use procura_identity::{CurrentKeys, SigningKeys};
use procura_token::{
    AGENT_AUDIENCE, AgentClaims, Confirmation, DAEMON_AUDIENCE, DAEMON_LIFE, DaemonClaims,
    Expected, KeySet, LEGACY_AUDIENCE, LEGACY_LIFE, LegacyClaims, PROJECT_AUDIENCE, ProjectClaims,
    TOKEN_LIFE, TokenError, scope,
};
use procura_types::wire::TokenType;
use procura_types::{
    ActorId, Duration, Entropy, ForeignId, Secret, Thumbprint, Timestamp, TokenId, encoding,
};
use std::sync::Arc;

/// Makes tokens for as long as the vault is open.
pub struct Tokens {
    agents: SigningKeys,
    projects: SigningKeys,
    daemons: SigningKeys,
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

/// Whose token it is to be.
pub(crate) struct DaemonSubject {
    /// The agent.
    pub(crate) actor: ActorId,
    /// Its way from its owner, as people read it.
    pub(crate) agent: String,
    /// The device.
    pub(crate) device: Thumbprint,
}

/// A token as its device gets it.
pub(crate) struct DaemonJwt {
    /// Its id.
    pub(crate) id: TokenId,
    /// The token.
    pub(crate) token: Secret<String>,
    /// How long it counts from now on.
    pub(crate) expires_in: Duration,
}

/// Whose login it is to be.
pub(crate) struct LegacyHolder {
    /// The agent, by the id that its client knows.
    pub(crate) id: ForeignId,
    /// The agent that the id stands for.
    pub(crate) actor: ActorId,
    /// The agent's key: the token ends with it.
    pub(crate) key: Thumbprint,
}

/// A token as the client of CortexAuth gets it that was let log in.
pub(crate) struct LegacyJwt {
    /// Its id.
    pub(crate) id: TokenId,
    /// The token; whoever has it can attest for the agent.
    pub(crate) token: Secret<String>,
    /// How long it counts from now on.
    pub(crate) expires_in: Duration,
    /// The key that signed it, which its client is told of.
    pub(crate) kid: Thumbprint,
}

impl Tokens {
    /// Tokens by the keys for those of agents, projects and daemons, made by the server of
    /// this URL.
    pub(crate) fn new(
        [agents, projects, daemons]: [SigningKeys; 3],
        issuer: String,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            agents,
            projects,
            daemons,
            issuer,
            entropy,
        }
    }

    /// The keys of a type of tokens.
    pub(crate) const fn keys(&self, tokens: TokenType) -> &SigningKeys {
        match tokens {
            TokenType::Agent => &self.agents,
            TokenType::Project => &self.projects,
            TokenType::Daemon => &self.daemons,
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
        let keys = self.agents.current()?;
        let token = claims.sign(keys.active()).map_err(not_made)?;
        Ok(AgentJwt {
            token,
            expires_in: TOKEN_LIFE,
        })
    }

    /// A token for a device that joined, which says whose it is. Nothing is kept of it,
    /// and nothing is opened by it alone: whoever takes it asks for a proof by the key in
    /// `cnf`, and the server whether the device is still one of the agent's.
    ///
    /// # Errors
    /// [`Code::Sealed`] while sealed; the server's own otherwise.
    pub(crate) fn daemon_jwt(
        &self,
        of: DaemonSubject,
        now: Timestamp,
    ) -> Result<DaemonJwt, Failure> {
        let id = TokenId::generate(now, self.entropy.as_ref()).map_err(Failure::internal)?;
        let iat = now.as_secs();
        let claims = DaemonClaims {
            iss: self.issuer.clone(),
            aud: DAEMON_AUDIENCE.to_owned(),
            sub: of.actor,
            agent: of.agent,
            iat,
            exp: iat.saturating_add(DAEMON_LIFE.as_secs()),
            jti: id,
            cnf: Confirmation { jkt: of.device },
        };
        let keys = self.daemons.current()?;
        let token = claims.sign(keys.active()).map_err(not_made)?;
        Ok(DaemonJwt {
            id,
            token,
            expires_in: DAEMON_LIFE,
        })
    }

    /// A token for a client of CortexAuth that a person let log in. It is signed by the keys
    /// of daemons' tokens, and its type tells the two apart.
    ///
    /// # Errors
    /// [`Code::Sealed`] while sealed; the server's own otherwise.
    pub(crate) fn legacy_jwt(
        &self,
        of: LegacyHolder,
        now: Timestamp,
    ) -> Result<LegacyJwt, Failure> {
        let id = TokenId::generate(now, self.entropy.as_ref()).map_err(Failure::internal)?;
        let iat = now.as_secs();
        let claims = LegacyClaims {
            iss: self.issuer.clone(),
            aud: LEGACY_AUDIENCE.to_owned(),
            sub: of.id,
            actor: of.actor,
            iat,
            exp: iat.saturating_add(LEGACY_LIFE.as_secs()),
            jti: id,
            cnf: Confirmation { jkt: of.key },
        };
        let keys = self.daemons.current()?;
        let token = claims.sign(keys.active()).map_err(not_made)?;
        Ok(LegacyJwt {
            id,
            token,
            expires_in: LEGACY_LIFE,
            kid: keys.active().public().thumbprint(),
        })
    }

    /// What the token of such a login says, if this server made it and it counts by the
    /// clock. Whether the agent still has its id and its key is not looked at.
    ///
    /// # Errors
    /// What does not hold; or, apart from that, what kept it from being looked at.
    pub(crate) fn read_legacy(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<LegacyClaims, TokenError>, Failure> {
        let keys: Arc<CurrentKeys> = self.daemons.current()?;
        let set = keys.ring().key_set(now).map_err(not_made)?;
        let expected = Expected {
            issuer: &self.issuer,
            now,
        };
        Ok(LegacyClaims::verify(token, &set, &expected))
    }

    /// What the signed token of a record says.
    fn claims(&self, token: &TokenRecord) -> ProjectClaims {
        ProjectClaims {
            iss: self.issuer.clone(),
            aud: PROJECT_AUDIENCE.to_owned(),
            sub: token.agent,
            iat: token.issued.as_secs(),
            exp: token.until.as_secs(),
            jti: token.id,
            project: token.project.clone(),
            namespace: token.namespace.clone(),
            scope: scope(&token.items),
            cnf: Confirmation { jkt: token.device },
        }
    }

    /// The signed token of a record.
    ///
    /// # Errors
    /// [`Code::Malformed`] at `names` when it would be too long; [`Code::Sealed`] while
    /// sealed; the server's own otherwise.
    pub(crate) fn project_jwt(&self, token: &TokenRecord) -> Result<Secret<String>, Failure> {
        let keys = self.projects.current()?;
        self.claims(token).sign(keys.active()).map_err(|error| {
            if error != TokenError::NotMade {
                return not_made(error);
            }
            let mut failure = Failure::new(
                Code::Malformed,
                "A signed token for so many names is longer than 8 KiB; name fewer, or ask for an opaque one.",
            );
            failure.field = Some("names");
            failure
        })
    }

    /// What a signed token says, if this server made it for projects and it counts by
    /// the clock. Whether it was revoked is not looked at.
    ///
    /// # Errors
    /// What does not hold; or, apart from that, what kept it from being looked at.
    pub(crate) fn read_project(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<ProjectClaims, TokenError>, Failure> {
        let keys: Arc<CurrentKeys> = self.projects.current()?;
        let set = keys.ring().key_set(now).map_err(not_made)?;
        let expected = Expected {
            issuer: &self.issuer,
            now,
        };
        Ok(ProjectClaims::verify(token, &set, &expected))
    }

    /// Whether a token says what its record does.
    pub(crate) fn is_of(&self, claims: &ProjectClaims, token: &TokenRecord) -> bool {
        *claims == self.claims(token)
    }

    /// The key set of one type of tokens, or of all of them, as JSON.
    pub(crate) fn key_set(
        &self,
        tokens: Option<TokenType>,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let mut keys = Vec::new();
        for of in TokenType::ALL {
            if tokens.is_none_or(|tokens| tokens == of) {
                let current = self.keys(of).current()?;
                let set = current.ring().key_set(now).map_err(not_made)?;
                keys.extend(set.keys().iter().cloned());
            }
        }
        KeySet::new(keys)
            .and_then(|set| set.to_json())
            .map_err(not_made)
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
