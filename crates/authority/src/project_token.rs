//! Tokens of projects (`protocol.md` §4): what one device may have without asking a
//! person again, until it is over. A token is issued for what a grant covers, and its
//! names and paths stay as they were then. Using it is looked at anew each time: the
//! record of the token and its grant by policy, with everything else that the directory
//! knows ([`procura_directory::Snapshot::token_opens`]), project and secrets here.

use crate::error::AuthorityError;
use crate::matching::{Matched, RunQuery};
use crate::project::{PROJECTS, ProjectRow};
use crate::rendering::Handed;
use crate::run::RunDeliver;
use crate::{MAX_NAMES, page};
use procura_directory::{
    GrantRecord, Snapshot, TokenHash, TokenRecord, TokenRefusal, TokensEndedRecord,
};
use procura_policy::{Action, Concerned, GrantNeed, Op, Permit, Resource, TokenNeed};
use procura_record::{Details, RecordedBatch};
use procura_types::wire::{
    GrantItem, ProjectToken, ProjectTokenKind, ProjectTokenList, ProjectTokenState,
};
use procura_types::{
    ActorId, Delivery, Duration, EnvName, Namespace, ProjectName, RunId, Thumbprint, Timestamp,
    TokenId,
};
use procura_vault::{Released, Releases, Vault, Wanted, candidates_for_env, newest_version};
use std::sync::Arc;

/// The longest life of a token, and its life when nothing is said.
pub const TOKEN_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Most tokens of one agent that open something.
pub const MAX_TOKENS: usize = 32;
/// Most tokens of one agent that are remembered: of those that open nothing any more,
/// the oldest go first.
const MAX_REMEMBERED: usize = 64;

/// Whom a token is made for: the device that asks, by its own key.
#[derive(Debug, Clone, Copy)]
pub struct TokenHolder {
    /// The agent.
    pub agent: ActorId,
    /// Its device.
    pub device: Thumbprint,
}

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
        put(batch, record, op.life, None, now)
    }
}

/// Puts a new token into the commit, bound to the grant that covers it and holds the
/// longest. `before` is the one that it is exchanged for.
fn put<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    record: TokenRecord,
    life: Duration,
    before: Option<&TokenId>,
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
        .filter(|token| before != Some(&token.id))
        .partition(|token| state(directory, token, now) == ProjectTokenState::Live);
    if live.len() >= MAX_TOKENS {
        return Err(AuthorityError::TooManyTokens);
    }
    let kept = live.len() + over.len() + usize::from(before.is_some()) + 1;
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
        put(batch, next, life, Some(&op.before.id), now)
    }
}

/// Hands the values of a token to its device. Made by [`TokenUse::resolve`].
pub struct TokenUse {
    token: Arc<TokenRecord>,
    /// The hand-over, as of a run; nobody sees it end, so there is no row of it.
    deliver: RunDeliver,
}

impl Op for TokenUse {
    const ACTION: Action = Action::ProjectTokenUse;
    fn resource(&self) -> Resource {
        Resource::Project(self.token.namespace.clone(), self.token.project.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            token: Some(TokenNeed {
                token: &self.token.id,
                items: self.deliver.items(),
            }),
            ..Concerned::default()
        }
    }
}

impl Releases for TokenUse {
    fn wanted(&self) -> Vec<Wanted<'_>> {
        self.deliver.wanted()
    }
}

impl TokenUse {
    /// What a token opens for who shows it: these of its names, or all of them. Each
    /// has to find the secret that it found when the token was issued, and that has to
    /// be one that can be handed over. `run` is the id of the hand-over.
    ///
    /// # Errors
    /// [`AuthorityError::Token`] when token or grant do not hold;
    /// [`AuthorityError::NotInScope`], [`AuthorityError::Remapped`]; those of
    /// [`Matched::resolve`] for a secret that is not to be had.
    pub fn resolve(
        vault: &Vault,
        snapshot: &Snapshot,
        token: &Arc<TokenRecord>,
        holder: &TokenHolder,
        names: &[EnvName],
        run: RunId,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        // Before anything is said of project and secrets; and once more, with all that is
        // handed over, by policy.
        snapshot.token_opens(token, &holder.agent, Some(&holder.device), &[], now)?;
        let items = if names.is_empty() {
            token.items.clone()
        } else {
            chosen(token, names)?
        };
        as_issued(vault, snapshot, token, &items, now)?;
        let query = RunQuery {
            namespace: token.namespace.clone(),
            project: token.project.clone(),
            names: items.iter().map(|item| item.name.to_string()).collect(),
            delivery: token.delivery,
            report: None,
        };
        let matched = Matched::resolve(vault, snapshot, &token.agent, query, now)?;
        if let Some(missing) = matched.unmatched().first() {
            let missing = items
                .iter()
                .find(|item| item.name.as_str() == missing.name)
                .ok_or(TokenRefusal::Grant)?;
            return Err(AuthorityError::MissingSecret(missing.name.clone()));
        }
        // Among them what goes into templates, which may be others by now.
        for item in matched.items() {
            if token.items.binary_search(item).is_err() {
                let is_named = token.items.iter().any(|own| own.name == item.name);
                return Err(if is_named {
                    AuthorityError::Remapped(item.name.clone())
                } else {
                    AuthorityError::NotInScope(item.name.clone())
                });
            }
        }
        Ok(Self {
            token: Arc::clone(token),
            deliver: matched.deliver(run),
        })
    }

    /// The token that is shown.
    #[must_use]
    pub fn token(&self) -> &TokenRecord {
        &self.token
    }

    /// The hand-over.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.deliver.run()
    }

    /// What the device gets of the released values: templates with theirs put in.
    ///
    /// # Errors
    /// [`AuthorityError::NotRendered`], and nothing is handed over.
    pub fn hand(&self, released: Vec<Released>) -> Result<Vec<Handed<'_>>, AuthorityError> {
        self.deliver.hand(released)
    }

    /// What its entry says: which values exactly, by name, path and version. Token and
    /// grant are said by the decision.
    #[must_use]
    pub fn details(&self) -> Details {
        self.deliver.details()
    }
}

/// Refuses names that lead elsewhere than when the token was issued, and templates that
/// ask for more, before it is looked whether anything is there. So a use does not tell
/// what a name that was mapped anew, or is declared anew, leads to, and meets no decoy:
/// where a token was issued for is or was a secret.
///
/// # Errors
/// [`AuthorityError::Remapped`], [`AuthorityError::NotInScope`], and the store's. A
/// project that is not there is for the caller to find out.
fn as_issued(
    vault: &Vault,
    snapshot: &Snapshot,
    token: &TokenRecord,
    items: &[GrantItem],
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let (namespace, project) = (&token.namespace, &token.project);
    let row = ProjectRow::of(
        vault.store(),
        snapshot,
        namespace,
        project,
        &token.agent,
        now,
    )?;
    let Some(row) = row else {
        return Ok(());
    };
    let leads_elsewhere = |item: &GrantItem| -> Result<bool, AuthorityError> {
        if let Some(path) = row.env.get(&item.name) {
            return Ok(*path != item.path);
        }
        let declaring = candidates_for_env(vault.store(), namespace, &item.name)?;
        let mut decoys = snapshot.honey_declaring(namespace, &item.name);
        Ok(!declaring.contains(&item.path) && (!declaring.is_empty() || decoys.next().is_some()))
    };
    for item in items {
        if leads_elsewhere(item)? {
            return Err(AuthorityError::Remapped(item.name.clone()));
        }
        let newest = newest_version(vault.store(), namespace, &item.path)?;
        for variable in newest.map_or_else(Vec::new, |newest| newest.variables) {
            let own = token.items.iter().find(|own| own.name == variable);
            let Some(own) = own else {
                return Err(AuthorityError::NotInScope(variable));
            };
            if leads_elsewhere(own)? {
                return Err(AuthorityError::Remapped(variable));
            }
        }
    }
    Ok(())
}

/// The items of a token under these names, sorted, each once.
fn chosen(token: &TokenRecord, names: &[EnvName]) -> Result<Vec<GrantItem>, AuthorityError> {
    if names.len() > MAX_NAMES {
        return Err(AuthorityError::TooManyNames);
    }
    let mut items = names
        .iter()
        .map(|name| {
            token
                .items
                .iter()
                .find(|item| item.name == *name)
                .cloned()
                .ok_or_else(|| AuthorityError::NotInScope(name.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    items.sort();
    items.dedup();
    Ok(items)
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
        Concerned {
            own: Some(&self.agent),
            ..Concerned::default()
        }
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
        let is_of = |token: &&Arc<TokenRecord>| {
            token.namespace == op.namespace && token.project == op.project
        };
        // A project that ended leaves tokens behind until they are forgotten.
        let key = (op.namespace.clone(), op.project.clone());
        if PROJECTS.get(batch.store(), &key)?.is_none()
            && directory.token_generation(&op.namespace, &op.project) == 0
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
        end_all(batch, &op.namespace, &op.project, now);
        Ok(u64::try_from(live).unwrap_or(u64::MAX))
    }
}

/// Revokes all tokens of a project in this commit. Those that are issued later count.
pub(crate) fn end_all<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    project: &ProjectName,
    now: Timestamp,
) {
    let generation = batch.directory().token_generation(namespace, project);
    batch.put_tokens_ended(&TokensEndedRecord {
        namespace: namespace.clone(),
        project: project.clone(),
        generation: generation.saturating_add(1),
        time: now,
    });
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
        Ok(_) if snapshot.may_act(&token.device) => ProjectTokenState::Live,
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
