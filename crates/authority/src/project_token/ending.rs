//! Revoking tokens: one, or all of a project.

use super::{find, state};
use crate::error::AuthorityError;
use crate::project::PROJECTS;
use procura_directory::{Snapshot, TokenRecord, TokensEndedRecord};
use procura_policy::{Action, Concerned, Op, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::ProjectTokenState;
use procura_types::{ActorId, Namespace, ProjectName, Timestamp, TokenId};
use std::sync::Arc;

/// Revokes one token. Made by [`TokenRevoke::resolve`].
pub struct TokenRevoke {
    namespace: Namespace,
    id: TokenId,
    agent: ActorId,
}

impl Op for TokenRevoke {
    const ACTION: Action = Action::ProjectTokenRevoke;
    fn resource(&self) -> Resource {
        Resource::ProjectToken(self.namespace.clone(), self.id)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.agent)
    }
}

impl TokenRevoke {
    /// The operation; none when there is no such token in the namespace.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, namespace: &Namespace, id: &TokenId) -> Option<Self> {
        let token = find(snapshot, namespace, id)?;
        Some(Self {
            namespace: token.namespace.clone(),
            id: token.id,
            agent: token.agent,
        })
    }

    /// Revokes the token of the permit: the next use is refused. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`AuthorityError::NoToken`] when it is not remembered any more.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<(), AuthorityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let op = batch.op();
        let token = find(batch.directory(), &op.namespace, &op.id)
            .ok_or(AuthorityError::NoToken)?
            .as_ref()
            .clone();
        let details = batch.details();
        details.token = Some(token.id);
        details.grant = Some(token.grant);
        details.with = Some(format!("project:{}", token.project));
        if token.revoked.is_none() {
            batch.put_token(&TokenRecord {
                revoked: Some(now),
                ..token
            });
        }
        Ok(())
    }
}

/// Revokes all tokens of a project that were issued so far.
pub struct TokenRevokeAll {
    /// Where.
    pub namespace: Namespace,
    /// Of which project; it may have ended.
    pub project: ProjectName,
}

impl Op for TokenRevokeAll {
    const ACTION: Action = Action::ProjectTokenRevokeAll;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.project.clone())
    }
}

impl TokenRevokeAll {
    /// Revokes them, and gives how many would have opened something.
    ///
    /// # Errors
    /// [`AuthorityError::NoProject`] where there never was one, and the store's.
    pub fn run(batch: &mut RecordedBatch<'_, Self>, now: Timestamp) -> Result<u64, AuthorityError> {
        batch.reserved();
        let op = batch.op();
        let directory = batch.directory();
        let generation = directory.token_generation(&op.namespace, &op.project);
        let is_of = |token: &&Arc<TokenRecord>| {
            token.namespace == op.namespace && token.project == op.project
        };
        // A project that ended leaves tokens behind until they are forgotten.
        let key = (op.namespace.clone(), op.project.clone());
        if PROJECTS.get(batch.store(), &key)?.is_none()
            && generation == 0
            && !directory.tokens().any(|token| is_of(&token))
        {
            return Err(AuthorityError::NoProject(op.project.clone()));
        }
        let live = directory
            .tokens()
            .filter(is_of)
            .filter(|token| state(directory, token, now) == ProjectTokenState::Live)
            .count();
        batch.details().with = Some(format!("tokens:{live}"));
        // Those that are issued later count.
        batch.put_tokens_ended(&TokensEndedRecord {
            namespace: op.namespace.clone(),
            project: op.project.clone(),
            generation: generation.saturating_add(1),
            time: now,
        });
        Ok(u64::try_from(live).unwrap_or(u64::MAX))
    }
}
