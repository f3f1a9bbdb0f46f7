//! Which decoys a run asks for.

use crate::error::AuthorityError;
use crate::matching::candidates;
use crate::project::ProjectRow;
use crate::standing::Asking;
use procura_directory::{HoneyRecord, Snapshot};
use procura_types::wire::GrantItem;
use procura_types::{ActorId, Delivery, EnvName, Namespace, ProjectName, SecretPath, Timestamp};
use procura_vault::Vault;
use std::collections::BTreeSet;
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
}

impl HoneyQuery {
    /// The decoys behind the names: those that the project maps one to, and those that
    /// declare one which no secret declares that is there for the agent. None for an
    /// agent without a part in the project, which is told that there is none.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub fn find(
        &self,
        vault: &Vault,
        snapshot: &Snapshot,
        agent: &ActorId,
        now: Timestamp,
    ) -> Result<Vec<(EnvName, Arc<HoneyRecord>)>, AuthorityError> {
        let (namespace, project) = (&self.namespace, &self.project);
        if snapshot.honey_of(namespace).next().is_none() {
            return Ok(Vec::new());
        }
        let row = ProjectRow::of(vault.store(), snapshot, namespace, project, agent, now)?;
        let Some(row) = row else {
            return Ok(Vec::new());
        };
        let at = |path: &SecretPath| snapshot.honey_at(namespace, path).cloned();
        if self.names.is_empty() {
            let mapped = row
                .env
                .iter()
                .filter(|(name, _)| name.deliverable().is_ok());
            let mapped = mapped.filter_map(|(name, path)| Some((name.clone(), at(path)?)));
            return Ok(mapped.collect());
        }
        let asking = Asking {
            vault,
            snapshot,
            agent,
            namespace,
            project,
            delivery: self.delivery,
            now,
        };
        let names: BTreeSet<EnvName> = self
            .names
            .iter()
            .filter_map(|name| name.parse::<EnvName>().ok())
            .filter(|name| name.deliverable().is_ok())
            .collect();
        let mut found = Vec::new();
        for name in names {
            let honey = match row.env.get(&name) {
                Some(path) => at(path),
                None => declared(&asking, &name)?,
            };
            found.extend(honey.map(|honey| (name, honey)));
        }
        Ok(found)
    }
}

/// The decoy that declares a name, where no secret does that is there for the agent.
fn declared(
    asking: &Asking<'_>,
    name: &EnvName,
) -> Result<Option<Arc<HoneyRecord>>, AuthorityError> {
    let decoy = asking
        .snapshot
        .honey_declaring(asking.namespace, name)
        .next();
    let Some(decoy) = decoy else {
        return Ok(None);
    };
    for path in candidates(asking, name)? {
        let item = GrantItem {
            name: name.clone(),
            path,
        };
        if asking.is_there(&item)? {
            return Ok(None);
        }
    }
    Ok(Some(Arc::clone(decoy)))
}
