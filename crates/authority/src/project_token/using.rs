//! Using a token: what it opens for the device that shows it.

use super::TokenHolder;
use crate::MAX_NAMES;
use crate::error::AuthorityError;
use crate::matching::{Matched, RunQuery};
use crate::project::ProjectRow;
use crate::rendering::Handed;
use crate::require_grade::Attesting;
use crate::run::RunDeliver;
use procura_directory::{Snapshot, TokenRecord, TokenRefusal};
use procura_policy::{Action, Concerned, Op, Resource, TokenNeed};
use procura_record::Details;
use procura_types::wire::GrantItem;
use procura_types::{EnvName, RunId, Timestamp};
use procura_vault::{Released, Releases, Vault, Wanted, candidates_for_env, newest_version};
use std::sync::Arc;

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
            grade: self.deliver.grade,
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
        as_issued(vault, snapshot, token, &items, holder.attesting, now)?;
        let query = RunQuery {
            namespace: token.namespace.clone(),
            project: token.project.clone(),
            names: items.iter().map(|item| item.name.to_string()).collect(),
            delivery: token.delivery,
            report: None,
            attesting: holder.attesting,
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
/// [`AuthorityError::AttestationRequired`], [`AuthorityError::Remapped`],
/// [`AuthorityError::NotInScope`], and the store's. A
/// project that is not there is for the caller to find out.
fn as_issued(
    vault: &Vault,
    snapshot: &Snapshot,
    token: &TokenRecord,
    items: &[GrantItem],
    attesting: Attesting,
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
    row.admits(attesting)?;
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
