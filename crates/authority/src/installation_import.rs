//! What is brought in from another vault: secrets, decoys and mappings of several
//! namespaces, and the namespaces themselves, in one commit.
//!
//! Whoever does it has to be allowed each part of it, and the record has the entries that
//! the parts would have had by themselves.

use crate::error::AuthorityError;
use crate::project::{NUMBERS, PROJECTS, ProjectRow, checked, mapped_by};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::Expected;
use procura_types::wire::{InstallationImported, NamespaceImported};
use procura_types::{Entropy, EnvName, Namespace, ProjectName, SecretPath, Timestamp};
use procura_vault::{
    HoneyPlant, ImportPart, MAX_AT_ONCE, NewNamespaces, SecretImport, Vault, VaultError,
};
use std::collections::{BTreeMap, BTreeSet};

/// What goes into one namespace.
pub struct NamespaceImport {
    /// Which.
    pub namespace: Namespace,
    /// Whether it is made by this.
    pub create: bool,
    /// Its secrets, if there are any.
    pub secrets: Option<SecretImport>,
    /// Its decoys.
    pub honey: Vec<HoneyPlant>,
    /// Names that its projects map from here on, beside those that they map already.
    pub projects: BTreeMap<ProjectName, BTreeMap<EnvName, SecretPath>>,
}

impl NamespaceImport {
    fn is_nothing(&self) -> bool {
        !self.create && self.secrets.is_none() && self.honey.is_empty() && self.projects.is_empty()
    }

    /// A path that more than one thing would go to, or a part that is of another namespace.
    fn clash(&self) -> Option<AuthorityError> {
        let elsewhere = self
            .secrets
            .iter()
            .map(SecretImport::namespace)
            .chain(self.honey.iter().map(|honey| &honey.namespace))
            .any(|namespace| *namespace != self.namespace);
        if elsewhere {
            return Some(AuthorityError::Elsewhere(self.namespace.clone()));
        }
        let secrets = self.secrets.iter().flat_map(SecretImport::paths);
        let mut seen: BTreeSet<&SecretPath> = secrets.collect();
        let mut honey = self.honey.iter().map(|honey| &honey.path);
        let twice = honey.find(|path| !seen.insert(path))?;
        let error = AuthorityError::from(VaultError::Twice(twice.clone()));
        Some(error.within(&self.namespace))
    }

    fn parts(&self) -> Vec<(Action, Resource)> {
        let here = || self.namespace.clone();
        let mut parts = Vec::new();
        if self.create {
            // Its maker has every role in it.
            parts.push((Action::NamespaceCreate, Resource::Installation));
        } else {
            if self.secrets.is_some() {
                parts.push((Action::SecretImport, Resource::Namespace(here())));
            }
            let projects = self.projects.keys();
            parts.extend(projects.map(|name| {
                let project = Resource::Project(here(), name.clone());
                (Action::ProjectWrite, project)
            }));
        }
        let honey = self.honey.iter();
        parts.extend(honey.map(|honey| (Action::HoneyPlant, honey.resource())));
        parts
    }

    fn put(
        &self,
        vault: &Vault,
        batch: &mut RecordedBatch<'_, InstallationImport>,
        new: &NewNamespaces,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<NamespaceImported, AuthorityError> {
        let here = Resource::Namespace(self.namespace.clone());
        if self.create {
            batch.say_of_part(Action::NamespaceCreate, &here, Vec::new());
        } else if batch.directory().namespace(&self.namespace).is_none() {
            return Err(VaultError::NoNamespace.into());
        }
        let part = ImportPart {
            namespace: &self.namespace,
            secrets: self.secrets.as_ref(),
            honey: &self.honey,
        };
        let (imported, honey) = part.put(vault, batch, new, entropy, now)?;
        let projects = add_to_projects(batch, &self.namespace, &self.projects, now)?;
        for name in &projects {
            let project = Resource::Project(self.namespace.clone(), name.clone());
            batch.say_of_part(Action::ProjectWrite, &project, Vec::new());
        }
        Ok(NamespaceImported {
            namespace: self.namespace.clone(),
            created: self.create,
            secrets: imported.secrets,
            written: imported.written,
            honey,
            projects,
        })
    }
}

/// Brings in what goes into several namespaces.
pub struct InstallationImport {
    namespaces: Vec<NamespaceImport>,
}

impl Op for InstallationImport {
    const ACTION: Action = Action::InstallationImport;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
    fn parts(&self) -> Vec<(Action, Resource)> {
        let namespaces = self.namespaces.iter();
        namespaces.flat_map(NamespaceImport::parts).collect()
    }
}

impl InstallationImport {
    /// An import of these, each namespace once.
    ///
    /// # Errors
    /// [`AuthorityError::NothingIn`]; [`AuthorityError::NamespaceTwice`];
    /// [`VaultError::TooMany`] for more than [`MAX_AT_ONCE`] secrets together;
    /// [`VaultError::Twice`] for a path that a decoy and something else would go to.
    pub fn new(mut namespaces: Vec<NamespaceImport>) -> Result<Self, AuthorityError> {
        if namespaces.is_empty() || namespaces.iter().any(NamespaceImport::is_nothing) {
            return Err(AuthorityError::NothingIn);
        }
        namespaces.sort_by(|one, two| one.namespace.cmp(&two.namespace));
        let twice = namespaces
            .iter()
            .zip(namespaces.iter().skip(1))
            .find(|(one, two)| one.namespace == two.namespace);
        if let Some((one, _)) = twice {
            return Err(AuthorityError::NamespaceTwice(one.namespace.clone()));
        }
        if let Some(clash) = namespaces.iter().find_map(NamespaceImport::clash) {
            return Err(clash);
        }
        let secrets = namespaces.iter().flat_map(|one| &one.secrets);
        if secrets.flat_map(SecretImport::paths).count() > MAX_AT_ONCE {
            return Err(VaultError::TooMany.into());
        }
        Ok(Self { namespaces })
    }

    /// The namespaces of it, in the order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.iter().map(|one| &one.namespace)
    }

    /// The imports of secrets in it, by namespace.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretImport> {
        self.namespaces.iter().flat_map(|one| &one.secrets)
    }

    /// Puts all of the permit.
    ///
    /// # Errors
    /// [`AuthorityError::Within`] with what stands in the way of the first; the store
    /// refuses what is too large for one batch.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<InstallationImported, AuthorityError> {
        let op = batch.op();
        let made = op.namespaces.iter().filter(|one| one.create);
        let made: Vec<Namespace> = made.map(|one| one.namespace.clone()).collect();
        let new = vault.create_namespaces(batch, &made, now)?;
        let mut namespaces = Vec::with_capacity(op.namespaces.len());
        for one in &op.namespaces {
            let done = one
                .put(vault, batch, &new, entropy, now)
                .map_err(|error| error.within(&one.namespace))?;
            namespaces.push(done);
        }
        let sum = |count: fn(&NamespaceImported) -> usize| -> usize {
            namespaces.iter().map(count).sum()
        };
        batch.details().with = Some(format!(
            "namespaces:{} secrets:{} honey:{} projects:{}",
            namespaces.len(),
            sum(|one| one.written),
            sum(|one| one.honey.len()),
            sum(|one| one.projects.len()),
        ));
        Ok(InstallationImported { namespaces })
    }
}

/// Has projects map more names; one that is not there is made, without agents. Nothing is
/// led elsewhere by it, so requests that wait fit as before. Gives those that changed.
fn add_to_projects<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    namespace: &Namespace,
    projects: &BTreeMap<ProjectName, BTreeMap<EnvName, SecretPath>>,
    now: Timestamp,
) -> Result<Vec<ProjectName>, AuthorityError> {
    let numbers = NUMBERS.get(batch.store(), namespace)?;
    let before = numbers.as_ref().map_or(0, |row| row.value);
    let mut number = before;
    let mut changed = Vec::new();
    for (name, env) in projects {
        let key = (namespace.clone(), name.clone());
        let found = PROJECTS.get(batch.store(), &key)?;
        let row = match &found {
            Some(found) => {
                let all = joined(name, &found.value.env, env)?;
                if all == found.value.env {
                    continue;
                }
                ProjectRow {
                    mapped_by: mapped_by(batch, Some(&found.value), &all),
                    env: all,
                    updated: now,
                    ..found.value.clone()
                }
            }
            None => {
                number += 1;
                ProjectRow {
                    agents: Vec::new(),
                    env: env.clone(),
                    display_name: None,
                    number,
                    mapped_by: mapped_by(batch, None, env),
                    require_grade: None,
                    created: now,
                    updated: now,
                }
            }
        };
        checked(batch.directory(), namespace, &[], &row.env)?;
        let expected = found.map_or(Expected::Absent, |found| Expected::At(found.version));
        PROJECTS.expect(batch.rows(), &key, expected);
        PROJECTS.put(batch.rows(), &key, &row);
        changed.push(name.clone());
    }
    if number > before {
        let expected = numbers.map_or(Expected::Absent, |row| Expected::At(row.version));
        NUMBERS.expect(batch.rows(), namespace, expected);
        NUMBERS.put(batch.rows(), namespace, &number);
    }
    Ok(changed)
}

/// What a project maps with these names too.
fn joined(
    project: &ProjectName,
    before: &BTreeMap<EnvName, SecretPath>,
    more: &BTreeMap<EnvName, SecretPath>,
) -> Result<BTreeMap<EnvName, SecretPath>, AuthorityError> {
    let mut all = before.clone();
    for (name, path) in more {
        match all.insert(name.clone(), path.clone()) {
            Some(other) if other != *path => {
                return Err(AuthorityError::MappedElsewhere {
                    project: project.clone(),
                    name: name.clone(),
                });
            }
            _ => {}
        }
    }
    Ok(all)
}
