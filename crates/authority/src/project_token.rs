//! Tokens of projects (`protocol.md` §4): what one device may have without asking a
//! person again, until it is over. A token is issued for what a grant covers, and its
//! names and paths stay as they were then. Using it is looked at anew each time: the
//! record of the token and its grant by policy, with everything else that the directory
//! knows ([`procura_directory::Snapshot::token_opens`]), project and secrets here.

mod ending;
mod issuing;
mod using;

pub use ending::{TokenRevoke, TokenRevokeAll};
pub use issuing::{MAX_TOKENS, TOKEN_LIFE, TokenIssue, TokenRotate, TokenTerms};
pub use using::TokenUse;

use crate::page;
use crate::require_grade::Attesting;
use procura_directory::{Snapshot, TokenRecord, TokenRefusal};
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_types::wire::{ProjectToken, ProjectTokenList, ProjectTokenState};
use procura_types::{ActorId, ForeignId, Namespace, ProjectName, Thumbprint, Timestamp, TokenId};
use std::sync::Arc;

/// Whom a token is made for: the device that asks, by its own key.
#[derive(Debug, Clone)]
pub struct TokenHolder {
    /// The agent.
    pub agent: ActorId,
    /// Its device; of a daemon of CortexAuth the key of its process.
    pub device: Thumbprint,
    /// The id of such a daemon's agent. Its tokens replace those that the same process had
    /// for the project.
    pub foreign: Option<ForeignId>,
    /// What its daemon attested.
    pub attesting: Attesting,
}

/// Lists tokens of a namespace.
pub struct TokenListing {
    /// Where.
    pub namespace: Namespace,
    /// Only those of this project.
    pub project: Option<ProjectName>,
    /// Only those of this agent, who may list them itself.
    pub agent: Option<ActorId>,
    /// Only those after this one.
    pub after: Option<TokenId>,
    /// At most so many, 1 to 1000; 100 by default.
    pub limit: Option<usize>,
}

impl Op for TokenListing {
    const ACTION: Action = Action::ProjectTokenList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            own: self.agent.as_ref(),
            ..Concerned::default()
        }
    }
}

impl TokenListing {
    /// The tokens by id, that is by time; those that open nothing any more too, as long
    /// as they are remembered.
    #[must_use]
    pub fn run(permit: &Permit<Self>, snapshot: &Snapshot, now: Timestamp) -> ProjectTokenList {
        let op = permit.op();
        let limit = page(op.limit);
        let mut found: Vec<&Arc<TokenRecord>> = snapshot
            .tokens()
            .filter(|token| {
                token.namespace == op.namespace
                    && op
                        .project
                        .as_ref()
                        .is_none_or(|only| token.project == *only)
                    && op.agent.is_none_or(|only| token.agent == only)
                    && op.after.is_none_or(|after| token.id > after)
            })
            .collect();
        found.sort_by_key(|token| token.id);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|token| token.id);
        ProjectTokenList {
            tokens: found
                .into_iter()
                .map(|token| show_token(snapshot, token, now))
                .collect(),
            next,
        }
    }
}

fn find<'a>(
    snapshot: &'a Snapshot,
    namespace: &Namespace,
    id: &TokenId,
) -> Option<&'a Arc<TokenRecord>> {
    snapshot
        .token(id)
        .filter(|token| token.namespace == *namespace)
}

/// Whether a token opens anything, in the hands of its device.
fn state(snapshot: &Snapshot, token: &TokenRecord, now: Timestamp) -> ProjectTokenState {
    match snapshot.token_opens(token, &token.agent, Some(&token.device), &token.items, now) {
        Err(TokenRefusal::Revoked) => ProjectTokenState::Revoked,
        Err(TokenRefusal::Expired) => ProjectTokenState::Expired,
        Ok(_) if snapshot.holder_may_act(token) => ProjectTokenState::Live,
        Ok(_) | Err(TokenRefusal::Unknown | TokenRefusal::Device | TokenRefusal::Grant) => {
            ProjectTokenState::Ended
        }
    }
}

/// A token as the API shows it.
#[must_use]
pub fn show_token(snapshot: &Snapshot, token: &TokenRecord, now: Timestamp) -> ProjectToken {
    ProjectToken {
        id: token.id,
        kind: token.kind,
        namespace: token.namespace.clone(),
        project: token.project.clone(),
        agent: token.agent,
        lineage: snapshot.lineage(&token.agent),
        device: token.device,
        delivery: token.delivery,
        items: token.items.clone(),
        grant: token.grant,
        issued: token.issued,
        expires: token.until,
        revoked: token.revoked,
        state: state(snapshot, token, now),
    }
}
