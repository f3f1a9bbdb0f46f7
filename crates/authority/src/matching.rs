//! From names to secrets (`protocol.md` §9): the project's own mapping first, else
//! the one secret in the namespace that declares the name.

use crate::error::AuthorityError;
use crate::project::ProjectRow;
use crate::rendering::Rendering;
use crate::report::cleaned;
use crate::request::RequestCreate;
use crate::require_grade::Attesting;
use crate::run::RunDeliver;
use crate::standing::Asking;
use crate::{MAX_NAMES, fits, pair};
use procura_directory::Snapshot;
use procura_types::wire::{CallerReport, GrantItem, Unmatched, UnmatchedReason};
use procura_types::{
    ActorId, Delivery, EnvName, Grade, Namespace, ProjectName, RunId, SecretKind, SecretPath,
    Timestamp,
};
use procura_vault::{Newest, Vault, candidates_for_env};
use std::collections::{BTreeMap, BTreeSet};

/// What a run asks for.
#[derive(Debug, Clone)]
pub struct RunQuery {
    /// Where.
    pub namespace: Namespace,
    /// For which project.
    pub project: ProjectName,
    /// Names as found, at most [`MAX_NAMES`]; none asks for the whole mapping.
    pub names: Vec<String>,
    /// How the values will be delivered.
    pub delivery: Delivery,
    /// What the daemon says of the process.
    pub report: Option<CallerReport>,
    /// What the daemon attested.
    pub attesting: Attesting,
}

/// The secrets behind the names of a run. The only way to [`RunDeliver`] and
/// [`RequestCreate`], so both are about what the project and the vault say.
#[derive(Debug, Clone)]
pub struct Matched {
    namespace: Namespace,
    project: ProjectName,
    delivery: Delivery,
    report: Option<CallerReport>,
    agent: ActorId,
    /// The project's.
    number: u64,
    /// What the project requires of daemons.
    grade: Option<Grade>,
    members: Vec<ActorId>,
    items: Vec<GrantItem>,
    /// The newest version of each item's secret, in the same order.
    versions: Vec<u64>,
    rendering: Rendering,
    unmatched: Vec<Unmatched>,
}

impl Matched {
    /// Looks the names up. Whoever the project does not name, and who has no
    /// grant for it either, is told that there is none.
    pub fn resolve(
        vault: &Vault,
        snapshot: &Snapshot,
        agent: &ActorId,
        query: RunQuery,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let RunQuery {
            namespace,
            project,
            names,
            delivery,
            report,
            attesting,
        } = query;
        let row = ProjectRow::of(vault.store(), snapshot, &namespace, &project, agent, now)?
            .ok_or_else(|| AuthorityError::NoProject(project.clone()))?;
        row.admits(attesting)?;
        if names.len() > MAX_NAMES {
            return Err(AuthorityError::TooManyNames);
        }
        let asking = Asking {
            vault,
            snapshot,
            agent,
            namespace: &namespace,
            project: &project,
            delivery,
            now,
        };
        let (found, unmatched) = look_up(&asking, &row.env, names)?;
        if found.is_empty() {
            return Err(AuthorityError::NothingToDeliver(unmatched));
        }
        let (found, rendering) = with_variables(&asking, &row.env, found)?;
        let (items, versions): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|(item, newest)| (item, newest.version))
            .unzip();
        if !fits(items.iter().map(pair)) {
            return Err(AuthorityError::TooLong);
        }
        Ok(Self {
            namespace,
            project,
            delivery,
            report: report.map(cleaned),
            agent: *agent,
            number: row.number,
            grade: row.require_grade,
            members: row.agents,
            items,
            versions,
            rendering,
            unmatched,
        })
    }

    /// What was found, sorted by name, with what goes into the templates among it.
    #[must_use]
    pub fn items(&self) -> &[GrantItem] {
        &self.items
    }

    /// What is handed over of that: not what only goes into templates.
    pub fn handed(&self) -> impl Iterator<Item = &GrantItem> {
        let put_in = &self.rendering.put_in;
        let items = self.items.iter();
        items.filter(|item| !put_in.contains(&item.name))
    }

    /// Names that found nothing, sorted.
    #[must_use]
    pub fn unmatched(&self) -> &[Unmatched] {
        &self.unmatched
    }

    /// What the daemon said, fit to be recorded.
    #[must_use]
    pub const fn report(&self) -> Option<&CallerReport> {
        self.report.as_ref()
    }

    /// The hand-over of all that was found.
    #[must_use]
    pub fn deliver(&self, run: RunId) -> RunDeliver {
        RunDeliver {
            namespace: self.namespace.clone(),
            project: self.project.clone(),
            delivery: self.delivery,
            items: self.items.clone(),
            versions: self.versions.clone(),
            rendering: self.rendering.clone(),
            run,
            agent: self.agent,
            grade: self.grade,
            report: self.report.clone(),
        }
    }

    /// The question to a person, when no grant covers all that was found.
    #[must_use]
    pub fn ask(self) -> RequestCreate {
        RequestCreate {
            namespace: self.namespace,
            project: self.project,
            delivery: self.delivery,
            items: self.items,
            number: self.number,
            grade: self.grade,
            members: self.members,
            agent: self.agent,
            report: self.report,
        }
    }
}

type Items = Vec<(GrantItem, Newest)>;
type Found = (Items, Vec<Unmatched>);

fn look_up(
    asking: &Asking<'_>,
    mapping: &BTreeMap<EnvName, SecretPath>,
    names: Vec<String>,
) -> Result<Found, AuthorityError> {
    let mut items = Vec::new();
    let mut unmatched = Vec::new();
    let mut ambiguous = Vec::new();
    let item = |name: &EnvName, path: &SecretPath| GrantItem {
        name: name.clone(),
        path: path.clone(),
    };
    let declared = |name: &EnvName, path: &SecretPath| -> Result<_, AuthorityError> {
        let item = item(name, path);
        let newest = asking.declared(&item)?;
        Ok(newest.map(|newest| (item, newest)))
    };
    let mapped = |name: &EnvName, path: &SecretPath| {
        let item = item(name, path);
        let missing = || AuthorityError::MissingSecret(name.clone());
        let newest = asking.newest(&item)?.ok_or_else(missing)?;
        Ok::<_, AuthorityError>((item, newest))
    };
    if names.is_empty() {
        for (name, path) in mapping {
            // No mapping is written with such a name any more, but one may be stored.
            if name.deliverable().is_ok() {
                items.push(mapped(name, path)?);
            } else {
                unmatched.push(Unmatched {
                    name: name.to_string(),
                    reason: UnmatchedReason::InvalidName,
                });
            }
        }
    }
    // The set sorts and takes duplicates out.
    for text in names.into_iter().collect::<BTreeSet<String>>() {
        let reason = match text.parse::<EnvName>() {
            Err(_) => UnmatchedReason::InvalidName,
            Ok(name) if name.deliverable().is_err() => UnmatchedReason::InvalidName,
            Ok(name) => match mapping.get(&name) {
                Some(path) => {
                    items.push(mapped(&name, path)?);
                    continue;
                }
                None => match candidates(asking, &name)?.as_slice() {
                    [] => UnmatchedReason::NoMatch,
                    [path] => match declared(&name, path)? {
                        Some(item) => {
                            items.push(item);
                            continue;
                        }
                        // Deleted between one look and the other, expired, or not to be
                        // had in this way.
                        None => UnmatchedReason::NoMatch,
                    },
                    _ => {
                        ambiguous.push(text);
                        continue;
                    }
                },
            },
        };
        unmatched.push(Unmatched { name: text, reason });
    }
    if !ambiguous.is_empty() {
        return Err(AuthorityError::Ambiguous(ambiguous));
    }
    items.sort_by(|(one, _), (two, _)| one.cmp(two));
    Ok((items, unmatched))
}

/// Adds what the variables of the templates among `found` stand for: names of the
/// project like any other, so that what goes into a template is granted, expires and is
/// recorded like what is handed over by itself.
///
/// # Errors
/// [`AuthorityError::MissingVariable`], [`AuthorityError::NestedTemplate`],
/// [`AuthorityError::Ambiguous`], and as for a name that is asked for.
fn with_variables(
    asking: &Asking<'_>,
    mapping: &BTreeMap<EnvName, SecretPath>,
    found: Items,
) -> Result<(Items, Rendering), AuthorityError> {
    let mut rendering = Rendering::default();
    let mut all: BTreeMap<EnvName, (GrantItem, Newest)> = found
        .into_iter()
        .map(|(item, newest)| (item.name.clone(), (item, newest)))
        .collect();
    let templates: Vec<(EnvName, Vec<EnvName>)> = all
        .iter()
        .filter(|(_, (_, newest))| newest.kind == SecretKind::Template)
        .map(|(name, (_, newest))| (name.clone(), newest.variables.clone()))
        .collect();
    for (template, variables) in templates {
        for variable in variables {
            let nested = || AuthorityError::NestedTemplate {
                template: template.clone(),
                variable: variable.clone(),
            };
            let missing = || AuthorityError::MissingVariable {
                template: template.clone(),
                variable: variable.clone(),
            };
            if let Some((_, newest)) = all.get(&variable) {
                if newest.kind == SecretKind::Template {
                    return Err(nested());
                }
                continue;
            }
            let (path, is_mapped) = match mapping.get(&variable) {
                Some(path) => (path.clone(), true),
                None => match candidates(asking, &variable)?.as_slice() {
                    [] => return Err(missing()),
                    [path] => (path.clone(), false),
                    _ => return Err(AuthorityError::Ambiguous(vec![variable.to_string()])),
                },
            };
            let item = GrantItem {
                name: variable.clone(),
                path,
            };
            let newest = match is_mapped {
                true => asking.newest(&item)?,
                false => asking.declared(&item)?,
            };
            let newest = newest.ok_or_else(missing)?;
            if newest.kind == SecretKind::Template {
                return Err(nested());
            }
            rendering.put_in.insert(variable.clone());
            all.insert(variable, (item, newest));
        }
        rendering.templates.insert(template);
    }
    Ok((all.into_values().collect(), rendering))
}

/// The secrets that declare a name. One that is not there for this agent does not make
/// the name of another ambiguous; a decoy beside one that is there does, as the secret
/// would that it seems to be.
pub(crate) fn candidates(
    asking: &Asking<'_>,
    name: &EnvName,
) -> Result<Vec<SecretPath>, AuthorityError> {
    let paths = candidates_for_env(asking.vault.store(), asking.namespace, name)?;
    // Where no secret is, decoys are not looked for: they find nothing, as fast.
    if paths.is_empty() {
        return Ok(paths);
    }
    let decoys = asking.snapshot.honey_declaring(asking.namespace, name);
    let decoys: Vec<SecretPath> = decoys.map(|decoy| decoy.path.clone()).collect();
    if paths.len() + decoys.len() < 2 {
        return Ok(paths);
    }
    let mut there = Vec::new();
    for path in paths {
        let name = name.clone();
        let item = GrantItem { name, path };
        if asking.is_there(&item)? {
            there.push(item.path);
        }
    }
    if !there.is_empty() {
        there.extend(decoys);
    }
    Ok(there)
}
