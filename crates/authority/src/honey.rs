//! Which decoys a run asks for, and on whose account.

use crate::error::AuthorityError;
use crate::matching::candidates;
use crate::project::ProjectRow;
use crate::require_grade::Attesting;
use crate::standing::Asking;
use procura_directory::{HoneyRecord, Snapshot};
use procura_types::{
    ActorId, Delivery, EnvName, Namespace, ProjectName, SecretKind, SecretPath, Thumbprint,
    Timestamp,
};
use procura_vault::{Vault, newest_version};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a run asks for, as far as it may be decoys.
#[derive(Debug, Clone)]
pub struct HoneyQuery {
    /// Where.
    pub namespace: Namespace,
    /// For which project.
    pub project: ProjectName,
    /// Names as sent; none asks for the whole mapping.
    pub names: Vec<String>,
    /// How the values would be delivered.
    pub delivery: Delivery,
    /// Whether it was refused. What goes into templates is looked at then alone: a
    /// template with a variable that finds nothing is never handed over.
    pub refused: bool,
}

/// A decoy that a run leads to.
#[derive(Debug, Clone)]
pub struct Led {
    /// By which name.
    pub name: EnvName,
    /// To which.
    pub honey: Arc<HoneyRecord>,
    /// Who asks for it, where that is not who runs: the device that mapped the name.
    pub mapper: Option<Thumbprint>,
}

impl HoneyQuery {
    fn asking<'a>(
        &'a self,
        vault: &'a Vault,
        snapshot: &'a Snapshot,
        agent: &'a ActorId,
        now: Timestamp,
    ) -> Asking<'a> {
        Asking {
            vault,
            snapshot,
            agent,
            namespace: &self.namespace,
            project: &self.project,
            delivery: self.delivery,
            now,
        }
    }

    /// The decoys that it leads to.
    ///
    /// Of names that are sent: those that the project maps one to, those that declare one
    /// which no secret declares that is there for the agent, and of templates among them
    /// their variables. They are asked for by whoever runs.
    ///
    /// Without names it is the whole mapping. Whoever runs has not chosen what is in it,
    /// so this is asked for by the device that mapped the name, or the template whose
    /// variable it is.
    ///
    /// None for an agent without a part in the project, which is told that there is none.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub fn find(
        &self,
        vault: &Vault,
        snapshot: &Snapshot,
        agent: &ActorId,
        now: Timestamp,
    ) -> Result<Vec<Led>, AuthorityError> {
        let (namespace, project) = (&self.namespace, &self.project);
        if snapshot.honey_of(namespace).next().is_none() {
            return Ok(Vec::new());
        }
        let row = ProjectRow::of(vault.store(), snapshot, namespace, project, agent, now)?;
        let Some(row) = row else {
            return Ok(Vec::new());
        };
        let asking = self.asking(vault, snapshot, agent, now);
        // By name, and on whose account: none for whoever runs.
        let asked: BTreeMap<EnvName, Option<Thumbprint>> = if self.names.is_empty() {
            let mapped = row.env.keys();
            mapped
                .filter_map(|name| Some((name.clone(), Some(row.mapper(name)?))))
                .collect()
        } else {
            self.sent().into_iter().map(|name| (name, None)).collect()
        };
        let mut all = asked;
        if self.refused {
            for (variable, mapper) in variables(&asking, &row, &all)? {
                all.entry(variable).or_insert(mapper);
            }
        }
        all.retain(|name, _| name.deliverable().is_ok());
        let mut found = Vec::new();
        for (name, mapper) in all {
            for honey in led_to(&asking, &row, &name)? {
                found.push(Led {
                    name: name.clone(),
                    honey,
                    mapper,
                });
            }
        }
        Ok(found)
    }

    /// The decoys that it is handed: of the names that are sent, those that lead to one
    /// that is handed out, unless the project would hand this daemon nothing at all. One that is denied is not met on the way here, so that this
    /// takes as long for one as for what is not there.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub fn baits(
        &self,
        vault: &Vault,
        snapshot: &Snapshot,
        agent: &ActorId,
        attesting: Attesting,
        now: Timestamp,
    ) -> Result<Vec<(EnvName, Arc<HoneyRecord>)>, AuthorityError> {
        let (namespace, project) = (&self.namespace, &self.project);
        if !snapshot.has_bait() || self.names.is_empty() {
            return Ok(Vec::new());
        }
        let row = ProjectRow::of(vault.store(), snapshot, namespace, project, agent, now)?;
        let Some(row) = row.filter(|row| row.admits(attesting).is_ok()) else {
            return Ok(Vec::new());
        };
        let asking = self.asking(vault, snapshot, agent, now);
        let mut found = Vec::new();
        for name in self.sent() {
            let bait = match row.env.get(&name) {
                Some(path) => snapshot.bait_at(namespace, path),
                None => snapshot.baits_declaring(namespace, &name).next(),
            };
            if let Some(bait) = bait
                && (row.env.contains_key(&name) || candidates(&asking, &name)?.is_empty())
            {
                found.push((name, Arc::clone(bait)));
            }
        }
        Ok(found)
    }

    /// The names that are sent, as far as they are names.
    fn sent(&self) -> BTreeSet<EnvName> {
        self.names
            .iter()
            .filter_map(|name| name.parse::<EnvName>().ok())
            .filter(|name| name.deliverable().is_ok())
            .collect()
    }
}

/// The variables of the templates among these names, on the account of whoever mapped
/// the variable or else asks for the template.
fn variables(
    asking: &Asking<'_>,
    row: &ProjectRow,
    asked: &BTreeMap<EnvName, Option<Thumbprint>>,
) -> Result<Vec<(EnvName, Option<Thumbprint>)>, AuthorityError> {
    let mut found = Vec::new();
    for (name, mapper) in asked {
        let path: SecretPath = match row.env.get(name) {
            Some(path) => path.clone(),
            None => match candidates(asking, name)?.as_slice() {
                [path] => path.clone(),
                _ => continue,
            },
        };
        let newest = newest_version(asking.vault.store(), asking.namespace, &path)?;
        let Some(newest) = newest.filter(|newest| newest.kind == SecretKind::Template) else {
            continue;
        };
        for variable in newest.variables {
            let mapper = mapper.map(|device| row.mapper(&variable).unwrap_or(device));
            found.push((variable, mapper));
        }
    }
    Ok(found)
}

/// The decoys that a name leads to: the one that the project maps it to, or those that
/// declare it where no secret does that is there for the agent.
fn led_to(
    asking: &Asking<'_>,
    row: &ProjectRow,
    name: &EnvName,
) -> Result<Vec<Arc<HoneyRecord>>, AuthorityError> {
    let (snapshot, namespace) = (asking.snapshot, asking.namespace);
    if let Some(path) = row.env.get(name) {
        let found = snapshot.honey_at(namespace, path);
        return Ok(found.cloned().into_iter().collect());
    }
    let decoys: Vec<_> = snapshot
        .honey_declaring(namespace, name)
        .map(Arc::clone)
        .collect();
    if decoys.is_empty() {
        return Ok(decoys);
    }
    // Beside one that is there the name is ambiguous, as between two secrets.
    let there = candidates(asking, name)?;
    Ok(if there.is_empty() { decoys } else { Vec::new() })
}
