//! Issuing a token, and exchanging one for another of the same scope.

use super::{TokenHolder, find, state};
use crate::error::AuthorityError;
use crate::matching::{Matched, RunQuery};
use procura_directory::{GrantRecord, Snapshot, TokenHash, TokenRecord};
use procura_policy::{Action, Concerned, GrantNeed, Op, Resource, TokenNeed};
use procura_record::RecordedBatch;
use procura_types::wire::{GrantItem, ProjectTokenKind, ProjectTokenState};
use procura_types::{ActorId, Delivery, Duration, Namespace, ProjectName, Timestamp, TokenId};
use procura_vault::Vault;
use std::cmp::Reverse;
use std::sync::Arc;

/// The longest life of a token, and its life when nothing is said.
pub const TOKEN_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Most tokens of one agent that open something.
pub const MAX_TOKENS: usize = 32;
/// Most tokens of one agent that are remembered: of those that open nothing any more,
/// the oldest go first.
const MAX_REMEMBERED: usize = 64;
/// How long a token of a daemon of CortexAuth counts beside the next one of its process.
const BESIDE: Duration = Duration::from_secs(30);
/// Most tokens of one process and project that count beside the newest.
const MAX_BESIDE: usize = 7;
/// From so many tokens of one agent on none counts beside another.
const CROWD: usize = MAX_TOKENS / 2;

/// What a new token is to be.
#[derive(Debug, Clone, Copy)]
pub struct TokenTerms {
    /// The id that it gets.
    pub id: TokenId,
    /// How long it is to count, 1 s to [`TOKEN_LIFE`]; none for as long as is usual.
    pub life: Option<Duration>,
}

impl TokenTerms {
    fn life(&self, usual: Duration) -> Result<Duration, AuthorityError> {
        let life = self.life.unwrap_or(usual);
        if life < Duration::from_secs(1) || life > TOKEN_LIFE {
            return Err(AuthorityError::BadLife);
        }
        Ok(life)
    }
}

/// Issues a token. Made by [`TokenIssue::resolve`].
pub struct TokenIssue {
    namespace: Namespace,
    project: ProjectName,
    kind: ProjectTokenKind,
    delivery: Delivery,
    items: Vec<GrantItem>,
    holder: TokenHolder,
    id: TokenId,
    life: Duration,
}

impl Op for TokenIssue {
    const ACTION: Action = Action::ProjectTokenIssue;
    fn resource(&self) -> Resource {
        Resource::Project(self.namespace.clone(), self.project.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            need: Some(GrantNeed {
                namespace: &self.namespace,
                project: &self.project,
                delivery: self.delivery,
                items: &self.items,
            }),
            ..Concerned::default()
        }
    }
}

impl TokenIssue {
    /// The token for what the project's mapping and the secrets say now. All names have
    /// to be found.
    ///
    /// # Errors
    /// As [`Matched::resolve`]; [`AuthorityError::NoValue`] for a name that finds
    /// nothing; [`AuthorityError::BadLife`].
    pub fn resolve(
        vault: &Vault,
        snapshot: &Snapshot,
        holder: TokenHolder,
        kind: ProjectTokenKind,
        query: RunQuery,
        terms: TokenTerms,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let life = terms.life(TOKEN_LIFE)?;
        let (namespace, project) = (query.namespace.clone(), query.project.clone());
        let (delivery, all) = (query.delivery, query.names.is_empty());
        let matched = Matched::resolve(vault, snapshot, &holder.agent, query, now)?;
        if !all && !matched.unmatched().is_empty() {
            return Err(AuthorityError::NoValue(matched.unmatched().to_vec()));
        }
        Ok(Self {
            namespace,
            project,
            kind,
            delivery,
            items: matched.items().to_vec(),
            holder,
            id: terms.id,
            life,
        })
    }

    /// What it is to be.
    #[must_use]
    pub const fn kind(&self) -> ProjectTokenKind {
        self.kind
    }

    /// Puts the record of the token of the permit; `hash` is of an opaque one.
    ///
    /// # Errors
    /// [`AuthorityError::NoGrant`], [`AuthorityError::GrantEnds`],
    /// [`AuthorityError::TooManyTokens`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        hash: Option<TokenHash>,
        now: Timestamp,
    ) -> Result<TokenRecord, AuthorityError> {
        let op = batch.op();
        let record = TokenRecord {
            id: op.id,
            kind: op.kind,
            namespace: op.namespace.clone(),
            project: op.project.clone(),
            agent: op.holder.agent,
            device: op.holder.device,
            foreign: op.holder.foreign.clone(),
            delivery: op.delivery,
            items: op.items.clone(),
            // Said below.
            grant: procura_types::GrantId::from_bytes([0; 16]),
            generation: 0,
            seq: 0,
            hash,
            issued: now,
            until: now,
            revoked: None,
        };
        let (life, replaced) = (op.life, replaced(batch.directory(), &record, now));
        for token in &replaced {
            batch.put_token(&TokenRecord {
                revoked: Some(now),
                ..token.as_ref().clone()
            });
        }
        let replaced: Vec<TokenId> = replaced.iter().map(|token| token.id).collect();
        let record = put(batch, record, life, &replaced, now)?;
        if let Some(words) = &mut batch.details().with {
            for id in replaced {
                words.push_str(&format!(" ended:{id}"));
            }
        }
        Ok(record)
    }
}

/// What a process of a daemon of CortexAuth has for the project already. It discovers
/// whenever it is started or its token is over, and what it gathers so is to have an end.
/// Programs that are started together discover together, though, and each uses the token
/// that it was given itself: a few of a moment ago go on. Where the agent has all that it may
/// have, the oldest of the id goes too.
fn replaced(directory: &Snapshot, next: &TokenRecord, now: Timestamp) -> Vec<Arc<TokenRecord>> {
    if next.foreign.is_none() {
        return Vec::new();
    }
    let is_live =
        |token: &&Arc<TokenRecord>| state(directory, token, now) == ProjectTokenState::Live;
    let is_before = |token: &&Arc<TokenRecord>| {
        token.foreign == next.foreign
            && token.device == next.device
            && token.namespace == next.namespace
            && token.project == next.project
    };
    let live: Vec<_> = directory.tokens_of(&next.agent).filter(is_live).collect();
    let count = live.len();
    let room = if count < CROWD { MAX_BESIDE } else { 0 };
    let (mut before, others): (Vec<_>, Vec<_>) = live.into_iter().partition(is_before);
    before.sort_by_key(|token| Reverse(token.issued));
    let beside = before
        .iter()
        .take(room)
        .take_while(|token| token.issued.plus(BESIDE) > now)
        .count();
    let mut replaced = before.split_off(beside);
    // Processes that are gone revoke nothing, and one that is there asks anew: the oldest of
    // the id makes room.
    if count.saturating_sub(replaced.len()) >= MAX_TOKENS {
        let theirs = others.into_iter();
        let theirs = theirs.filter(|token| token.foreign == next.foreign);
        replaced.extend(theirs.min_by_key(|token| token.issued));
    }
    replaced.into_iter().map(Arc::clone).collect()
}

/// Puts a new token into the commit, bound to the grant that covers it and holds the
/// longest. `before` are those that it takes the place of.
fn put<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    record: TokenRecord,
    life: Duration,
    before: &[TokenId],
    now: Timestamp,
) -> Result<TokenRecord, AuthorityError> {
    let directory = batch.directory();
    let grant = longest(directory, &record, now).ok_or(AuthorityError::NoGrant)?;
    // Signed tokens count in whole seconds; both kinds end alike.
    let until = Timestamp::from_secs(now.plus(life).min(grant.until).as_secs());
    if until <= now {
        return Err(AuthorityError::GrantEnds);
    }
    let record = TokenRecord {
        grant: grant.id,
        generation: directory.token_generation(&record.namespace, &record.project),
        seq: directory.seq(),
        until,
        ..record
    };
    let (live, over): (Vec<_>, Vec<_>) = directory
        .tokens_of(&record.agent)
        .filter(|token| !before.contains(&token.id))
        .partition(|token| state(directory, token, now) == ProjectTokenState::Live);
    if live.len() >= MAX_TOKENS {
        return Err(AuthorityError::TooManyTokens);
    }
    let kept = live.len() + over.len() + before.len() + 1;
    let surplus = kept.saturating_sub(MAX_REMEMBERED);
    let forgotten: Vec<TokenId> = over.iter().take(surplus).map(|token| token.id).collect();
    let names: Vec<String> = record
        .items
        .iter()
        .map(|item| format!("{}={}", item.name, item.path))
        .collect();
    let details = batch.details();
    details.token = Some(record.id);
    details.grant = Some(record.grant);
    details.with = Some(format!(
        "{} delivery:{} until:{} {}",
        record.kind.as_str(),
        record.delivery.as_str(),
        record.until,
        names.join(" ")
    ));
    for id in forgotten {
        batch.forget_token(&id);
    }
    batch.put_token(&record);
    Ok(record)
}

/// Of the grants that cover a token's items, that which ends last.
fn longest<'a>(
    directory: &'a Snapshot,
    token: &TokenRecord,
    now: Timestamp,
) -> Option<&'a Arc<GrantRecord>> {
    directory
        .grants_of(&token.agent)
        .filter(|grant| {
            grant.namespace == token.namespace
                && grant.project == token.project
                && grant.delivery == token.delivery
                && grant.holds(now)
                && grant.covers(&token.items)
        })
        .max_by_key(|grant| grant.until)
}

/// Exchanges a token for another of the same kind and scope. Made by
/// [`TokenRotate::resolve`].
pub struct TokenRotate {
    before: Arc<TokenRecord>,
    terms: TokenTerms,
}

impl Op for TokenRotate {
    const ACTION: Action = Action::ProjectTokenRotate;
    fn resource(&self) -> Resource {
        Resource::ProjectToken(self.before.namespace.clone(), self.before.id)
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            token: Some(TokenNeed {
                token: &self.before.id,
                items: &self.before.items,
            }),
            ..Concerned::default()
        }
    }
}

impl TokenRotate {
    /// The operation; none when there is no such token in the namespace that is the
    /// agent's own.
    #[must_use]
    pub fn resolve(
        snapshot: &Snapshot,
        agent: &ActorId,
        namespace: &Namespace,
        id: &TokenId,
        terms: TokenTerms,
    ) -> Option<Self> {
        let before = find(snapshot, namespace, id)?;
        (before.agent == *agent).then(|| Self {
            before: Arc::clone(before),
            terms,
        })
    }

    /// What the token that is exchanged is.
    #[must_use]
    pub fn kind(&self) -> ProjectTokenKind {
        self.before.kind
    }

    /// Revokes the token of the permit and puts the record of the new one; `hash` is of
    /// an opaque one.
    ///
    /// # Errors
    /// As [`TokenIssue::run`], and [`AuthorityError::BadLife`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        hash: Option<TokenHash>,
        now: Timestamp,
    ) -> Result<TokenRecord, AuthorityError> {
        let op = batch.op();
        let before = op.before.as_ref().clone();
        let usual = before.until.since(before.issued);
        // It ends at a whole second, so it may have been made for a little less.
        let usual = Duration::from_secs(procura_types::whole_seconds_up(usual)).min(TOKEN_LIFE);
        let life = op.terms.life(usual)?;
        let next = TokenRecord {
            id: op.terms.id,
            hash,
            issued: now,
            ..before.clone()
        };
        batch.put_token(&TokenRecord {
            revoked: Some(now),
            ..before
        });
        put(batch, next, life, &[op.before.id], now)
    }
}
